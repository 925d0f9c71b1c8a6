"""`gateway tt10` as people type it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.model import tt10
from gateway.uplink.tt10.shelf import Shelf
from tests.cli.test_verbs import type_in
from tests.kit.brokers import free_port
from tests.kit.site import TestSite

NOON = 1_767_243_600_000  # 2026-01-01 12:00:00, GMT+7
STATION = "TH_ABCD_NUO001"


@pytest.fixture
def site(tmp_path: Path) -> TestSite:
    made = TestSite(tmp_path, free_port())
    made.site["tt10"] = [
        {"station": STATION, "folder": "./tt10", "parameters": {"pH": {"point": "d1/r1", "unit": "-"}},
         "send": {"kind": "ftp", "host": "127.0.0.1", "user": "x", "password": "tt10"}},
        {"station": "TH_ABCD_KHI001", "folder": "./air", "parameters": {"CO": {"point": "d1/r2", "unit": "mg/m3"}}},
    ]  # fmt: skip
    made.write()
    return made


async def test_files_of_a_time_are_sent_again(site: TestSite) -> None:
    shelf = Shelf(site.folder / "tt10", STATION, sending=True)
    for n in range(-150, 150):
        shelf.write(NOON + n * 300_000, b"x")
    for file in shelf.waiting():
        shelf.sent(file)
    code, out, _ = await type_in(
        "tt10", "resend", site.file, "--from", "2026-01-01T11:55", "--to", "2026-01-01 12:05", folder=site.folder
    )
    assert code == 0
    assert f"{STATION}: 3 file(s)" in out
    assert "TH_ABCD_KHI001: nothing is sent" in out
    assert [file.name for file in shelf.waiting()] == [tt10.file_name(STATION, NOON + n * 300_000) for n in (-1, 0, 1)]
    code, out, _ = await type_in(
        "tt10", "resend", site.file, "--from", "2026-01-01", "--to", "2026-01-01", "--station", STATION,
        folder=site.folder,
    )  # fmt: skip
    assert "288 file(s)" in out, "a day is meant whole, by the time of Vietnam"
    code, out, _ = await type_in("tt10", "status", site.file, "--json", folder=site.folder)
    found = json.loads(out)[STATION]
    assert (code, found["kept"], found["waiting"], found["refused"], found["running"]) == (0, 300, 288, 0, False)
    code, out, _ = await type_in("tt10", "status", site.file, folder=site.folder)
    assert code == 0
    assert "does not run" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "yesterday", "--to", "2026-01-01"), "2026-01-31T08:00"),
        (("--from", "2026-01-02", "--to", "2026-01-01"), "swap the two"),
        (("--from", "2026-01-01", "--to", "2026-01-01", "--station", "XX_YY_ZZ"), "no station"),
    ],
)
async def test_mistakes_are_said_plainly(site: TestSite, words: tuple[str, ...], said: str) -> None:
    code, _, err = await type_in("tt10", "resend", site.file, *words, folder=site.folder)
    assert code == 1
    assert said in err


async def test_a_site_without_such_files_says_how_to_get_them(site: TestSite) -> None:
    del site.site["tt10"]
    site.write()
    code, _, err = await type_in("tt10", "status", site.file, folder=site.folder)
    assert code == 1
    assert "add tt10:" in err
