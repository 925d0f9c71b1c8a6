"""`gateway alarm` as people type it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.api import SOCKET_NAME, local_api
from gateway.model.alarm import Alarm, AlarmState
from gateway.model.errors import BadArgument
from gateway.model.ports import Lane
from gateway.uplink.encode import alarm
from tests.cli.test_verbs import type_in
from tests.kit.brokers import free_port
from tests.kit.clock import ManualClock
from tests.kit.site import TestSite

NOW = 1_795_322_228_123
ALARM = Alarm(
    id="0mwr3x1c0-1k2m3n4", rule="flood/bridge", state=AlarmState.RAISED, level=2, signal="bridge/level",
    point="bridge/level", indicator="water.level", at_ms=NOW, opened_ms=NOW - 90_000, value=3.61, peak=3.7,
    peak_ms=NOW - 10_000, text_en="Flood II", text_vi="Báo động II",
)  # fmt: skip


async def test_open_alarms_are_listed_and_acknowledged(tmp_path: Path) -> None:
    site = TestSite(tmp_path, free_port())
    site.site["devices"] = {"d1": {"profile": "registers", "wire": "bus", "unit": 1, "every_s": 1}}
    site.write()
    socket = site.folder / "state" / SOCKET_NAME
    socket.parent.mkdir(exist_ok=True)

    async def perform(do: str, args: Mapping[str, Any], _: str) -> dict[str, Any]:
        if do != "alarm.ack" or args["id"] != ALARM.id:
            raise BadArgument("no open alarm", where=do, hint=f"open are {ALARM.id}")
        return {"id": args["id"], "by": args["by"], "done": True}

    def status() -> dict[str, Any]:
        return {"gateway": "38-test-01", "now_ms": NOW, "alarms": [ALARM.body()]}

    async with local_api(socket, status, perform):
        verbs = (("list", site.file), ("list", site.file, "--json"),
                 ("ack", site.file, ALARM.id, "--by", "Lê A"), ("ack", site.file, "0-0"))  # fmt: skip
        listed, as_json, seen, wrong = await asyncio.gather(
            *(type_in("alarm", *words, folder=site.folder) for words in verbs)
        )
    assert [code for code, _, _ in (listed, as_json, seen, wrong)] == [0, 0, 0, 1]
    assert all(word in listed[1] for word in (ALARM.id, "cấp 2", "2 min", "Báo động II", "Flood II"))
    assert "bridge/level  water.level  (flood/bridge)" in listed[1], "a text of one's own may not say where"
    assert json.loads(as_json[1])["alarms"] == [ALARM.body()]
    assert "acknowledged by Lê A" in seen[1]
    assert "Lê A đã xác nhận" in seen[1]
    assert f"open are {ALARM.id}" in wrong[2]


async def test_stored_alarms_are_not_shown_as_measured_values(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.sqlite3", BufferSettings(), ManualClock()) as store:
        cleared = replace(ALARM, state=AlarmState.CLEARED, cleared_ms=NOW, value=None)
        await store.append([alarm(ALARM), alarm(cleared)], Lane.URGENT)
    found = ("buffer", "find", "--db", "s.sqlite3", "--indicator", "gw.alarm")
    code, out, _ = await type_in(*found, folder=tmp_path)
    assert code == 0
    shown = re.findall(r"bridge/level water\.level +(\w+ \d(?: \(.*?\))?) +alarm", out)
    assert shown == ["cleared 2", "raised 2 (3.61)"], "newest first"
