"""A disk that takes nothing: nothing acts that is not claimed, everything is answered, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.commands.desk import Desk
from gateway.commands.settings import CommandSettings
from gateway.model.errors import StoreDamaged
from gateway.model.measure import Kind, Reading, Signal, Value
from gateway.model.ports import IncomingCommand, Lane, Readback
from tests.kit.clock import ManualClock

LAMP = Signal(id="lamp", point="lamp", indicator="light.state", unit="1", kind=Kind.LAST, every_s=1, writable=True)
RULES = CommandSettings.model_validate(
    {"allow": [{"from": "ioc-th", "ops": ["light.set"], "to": ["*"]}], "max_per_minute": 6000}
)
FINISH_S = 0.1


class Disk:
    """Refuses the statements that begin as told."""

    def __init__(self) -> None:
        self.refuses = ""
        self.error = sqlite3.SQLITE_FULL

    def connect(self, path: Path) -> sqlite3.Connection:
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                if disk.refuses and sql.startswith(disk.refuses):
                    error = sqlite3.OperationalError("the disk refuses")
                    error.sqlite_errorcode = disk.error
                    raise error
                return super().execute(sql, *values)

        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Connection)


class Lamp:
    def __init__(self) -> None:
        self.writes = 0

    async def apply(self, signal: str, value: Value) -> Readback:
        self.writes += 1
        return Readback(Reading(signal, 0, value), True)


class Office:
    def __init__(self, store: Store, disk: Disk, clock: ManualClock) -> None:
        self.store, self.disk, self.clock, self.lamp = store, disk, clock, Lamp()
        actuators: Any = {"lamp": (self.lamp, LAMP)}
        self.desk = Desk("gw-1", RULES, store.claims, actuators, clock, FINISH_S)

    async def send(self, number: int) -> dict[str, Any]:
        message = {
            "s": "cmd/1", "id": f"command-{number}", "iss": "ioc-th", "iat": self.clock.now_ms(), "ttl": 30,
            "op": "light.set", "to": ["lamp"], "arg": {"level": 100},
        }  # fmt: skip
        answer = await self.desk.handle(IncomingCommand(json.dumps(message).encode()))
        assert answer is not None
        found: dict[str, Any] = json.loads(answer)
        return found

    async def recorded(self) -> list[str]:
        await self.store.flush()
        batch = await self.store.outbox.take(Lane.URGENT, 200, 65536)
        return [] if batch is None else [record["p"]["id"] for record in json.loads(b"[" + batch.body + b"]")]


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    clock, disk = ManualClock(), Disk()
    settings = BufferSettings(commit_every_s=0.01, ballast_mb=0)
    async with Store(tmp_path / "s.sqlite3", settings, clock, disk.connect) as store:
        yield Office(store, disk, clock)
        disk.refuses = ""


@pytest.mark.parametrize("error", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR])
async def test_a_command_that_cannot_be_recorded_fails_and_says_why_and_nothing_acts(
    office: Office, error: int
) -> None:
    office.disk.refuses, office.disk.error = "INSERT INTO command", error
    answer = await office.send(1)
    assert answer["st"] == "failed"
    assert answer["why"].startswith("the gateway cannot record commands: ")
    assert office.lamp.writes == 0


async def test_the_same_id_does_not_act_later_either_and_a_new_one_does(office: Office) -> None:
    office.disk.refuses = "INSERT INTO command"
    answer = await office.send(1)
    office.disk.refuses = ""
    assert await office.send(1) == answer
    assert office.lamp.writes == 0
    assert (await office.send(2))["st"] == "applied"
    assert await office.recorded() == ["command-2"]


async def test_what_acted_before_the_disk_refused_keeps_its_answer(office: Office) -> None:
    answer = await office.send(1)
    office.disk.refuses = "BEGIN"
    assert await office.send(1) == answer
    assert office.lamp.writes == 1


async def test_a_damaged_store_is_not_worked_around(office: Office) -> None:
    office.disk.refuses, office.disk.error = "INSERT INTO command", sqlite3.SQLITE_CORRUPT
    with pytest.raises(StoreDamaged):
        await office.send(1)
    assert office.lamp.writes == 0


async def test_outcomes_that_cannot_be_recorded_hold_up_nobody_and_follow_when_they_can(office: Office) -> None:
    """A claim is small and may still fit where the group with everybody's readings does not."""
    office.disk.refuses = "UPDATE command"
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(office.send(n) for n in range(40)))
        answers += [await office.send(40)]
    assert [answer["st"] for answer in answers] == ["applied"] * 41
    assert all("not recorded yet" in answer["why"] for answer in answers)
    assert office.lamp.writes == 41
    assert (await office.send(7)) == answers[7]
    office.disk.refuses = ""
    assert sorted(await office.recorded()) == sorted(f"command-{n}" for n in range(41))
    assert office.lamp.writes == 41


async def test_a_start_on_a_disk_that_refuses_does_not_wait_for_the_interrupted(office: Office) -> None:
    for n in range(30):
        assert await office.store.claims.claim(f"cut-{n:04}", b"{}", office.clock.now_ms()) is None
    office.disk.refuses = "UPDATE command"
    async with asyncio.timeout(30 * FINISH_S):  # not one after the other
        assert await office.desk.report_interrupted() == 30
    office.disk.refuses = ""
    assert len(await office.recorded()) == 30
