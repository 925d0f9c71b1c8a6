"""What the gateway notes of itself: when it ran, with what, and how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buffer import journal
from buffer.settings import BufferSettings
from buffer.store import Store
from config.site import load_site
from gateway import diary
from tests.kit.clock import ManualClock
from tests.kit.site import TestSite


@pytest.fixture
def site(tmp_path: Path) -> TestSite:
    made = TestSite(tmp_path, 18_830)
    made.write()
    return made


async def lived(site: TestSite, *, killed: bool = False) -> None:
    """One life of the gateway, as far as the diary goes."""
    now = diary.configuration(load_site(site.file))
    async with Store(site.folder / "store.sqlite3", BufferSettings(), ManualClock()) as store:
        await diary.started(store.journal, now)
        if not killed:
            diary.stopped(store.journal, now)


def noted(site: TestSite) -> list[tuple[str, dict[str, Any]]]:
    with journal.opened(site.folder / "store.sqlite3") as connection:
        assert journal.verify(connection).holds
        return [(row.kind, row.content) for row in journal.entries(connection, journal.Choice())]


async def test_a_stop_that_was_not_orderly_is_noted_at_the_next_start(site: TestSite) -> None:
    for killed in (False, True, False):
        await lived(site, killed=killed)
    assert [body["after"] for kind, body in noted(site) if kind == "start"] == ["first", "clean", "unclean"]
    assert [kind for kind, _ in noted(site)] == ["config", "start", "stop", "start", "start", "stop"]


async def test_a_changed_configuration_is_noted_once_with_what_was_before(site: TestSite) -> None:
    await lived(site)
    await lived(site)
    site.site["site"] = "Điểm thử khác"
    site.write()
    await lived(site, killed=True)
    await lived(site)
    site.profile["points"]["r1"]["unit"] = "m"
    site.write()
    await lived(site)
    configs = [body for kind, body in noted(site) if kind == "config"]
    assert [body["before"] for body in configs] == ["", configs[0]["config"], configs[1]["config"]]
    assert configs[0]["sha256"] != configs[1]["sha256"] == configs[2]["sha256"]
    assert configs[1]["profiles"] != configs[2]["profiles"]


async def test_the_configuration_is_noted_without_its_content(site: TestSite) -> None:
    site.site["uplink"] |= {"username": "tram-01", "password": "broker"}
    site.write()
    await lived(site)
    text = str(noted(site))
    assert "tram-01" not in text
    assert "broker" not in text
    assert str(site.file) in text
