"""`gateway violation` as people type it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.api import SOCKET_NAME, local_api
from gateway.indicators.violations import NoSuchViolation
from gateway.model.violation import ViolationState
from tests.cli.test_journal_verbs import MINUTE, NOW, Page, printed, violation
from tests.cli.test_verbs import type_in
from tests.kit.brokers import free_port
from tests.kit.clock import ManualClock
from tests.kit.site import TestSite


async def fill(path: Path, *states: ViolationState, **more: Any) -> None:
    async with Store(path, BufferSettings(), ManualClock(NOW)) as store:
        for state in states:
            store.journal.note("violation", violation(state, **more).body())
        await store.flush()


async def test_one_that_was_seen_is_still_shown_as_open(tmp_path: Path) -> None:
    seen = {"acknowledged_by": "Lê A", "acknowledged_ms": NOW, "remarks": "đã rửa đầu đo"}
    await fill(tmp_path / "open.sqlite3", ViolationState.OPENED, ViolationState.ACKNOWLEDGED, **seen)
    over = {**seen, "end_ms": NOW + 60 * MINUTE}
    await fill(tmp_path / "over.sqlite3", ViolationState.CLOSED, ViolationState.ACKNOWLEDGED, **over)
    (_, still, _), (_, ended, _) = await asyncio.gather(
        *(type_in("violation", "list", "--db", f"{name}.sqlite3", folder=tmp_path) for name in ("open", "over"))
    )
    assert "open / đang mở" in still
    assert "closed / đã kết thúc" in ended
    assert all("đã xác nhận: Lê A" in line for line in (still, ended))


async def test_the_permit_is_named_beside_its_number(tmp_path: Path) -> None:
    await fill(tmp_path / "s.sqlite3", ViolationState.OPENED)
    code, out, _ = await type_in("violation", "show", "V-20261122-0001", "--db", "s.sqlite3", folder=tmp_path)
    assert code == 0
    assert "QCVN 40:2011/BTNMT Bảng 1, cột A GPMT 123/BTNMT" in out


async def test_who_has_seen_it_can_be_named_and_an_unknown_id_says_so(tmp_path: Path) -> None:
    site = TestSite(tmp_path, free_port())
    site.site["devices"] = {"d1": {"profile": "registers", "wire": "bus", "unit": 1, "every_s": 1}}
    site.write()
    socket = site.folder / "state" / SOCKET_NAME
    socket.parent.mkdir(exist_ok=True)
    told: list[Mapping[str, Any]] = []

    async def perform(do: str, args: Mapping[str, Any], _: str) -> dict[str, Any]:
        if do != "violation.ack" or args["id"] != "V-1":
            raise NoSuchViolation("there is none", hint="open are V-1")
        told.append(args)
        return {"id": args["id"], "by": args["by"]}

    async with local_api(socket, dict, perform):
        seen, wrong = await asyncio.gather(
            type_in("violation", "ack", "V-1", site.file, "--by", "Lê A", "-m", "x", folder=site.folder),
            type_in("violation", "ack", "V-2", site.file, folder=site.folder),
        )
    assert (seen[0], wrong[0]) == (0, 1)
    assert told == [{"id": "V-1", "remarks": "x", "by": "Lê A"}]
    assert "no-such-violation" in wrong[2], "its own code, so that `gateway explain` knows it"
    assert "open are V-1" in wrong[2]


def test_paper_is_in_vietnams_time_and_without_digits_that_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def note() -> None:
        async with Store(tmp_path / "s.sqlite3", BufferSettings(), ManualClock(NOW)) as store:
            made = violation(ViolationState.OPENED, peak=20.217576666666666, mean=75.0000004)
            store.journal.note("violation", made.body())
            await store.flush()

    asyncio.run(note())
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        words = Page(printed(tmp_path / "s.sqlite3")).words
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "22/11/2026 08:00:00 +07:00" in words
    assert "20.21757667 mg/L" in words
    assert "75.0000004 mg/L" in words, "what is over the limit by little is not rounded to the limit"
