"""Commands: at most once, only what is allowed, never late, always with an outcome."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.commands.desk import Desk
from gateway.commands.settings import CommandSettings
from gateway.model.errors import NoAnswer
from gateway.model.measure import Kind, Reading, Signal, Value
from gateway.model.ports import IncomingCommand, Lane, Readback
from tests.kit.clock import ManualClock

LAMP = Signal(
    id="lamps/c1", point="lamps/c1", indicator="light.state", unit="1", kind=Kind.LAST, every_s=1, writable=True
)
DIM = Signal(
    id="lamps/dim", point="lamps/dim", indicator="light.dim_level", unit="%", kind=Kind.LAST, every_s=1, writable=True
)
RULES = CommandSettings.model_validate(
    {
        "allow": [{"from": "ioc-th", "ops": ["light.set", "light.read", "point.set"], "to": ["lamps/*"]}],
        "max_per_minute": 20,
    }
)


class Cabinet:
    """Stands for a driver that writes and reads back; counts what it was asked to do."""

    def __init__(self) -> None:
        self.state: dict[str, Value] = {"lamps/c1": False, "lamps/dim": 0.0}
        self.writes: list[tuple[str, Value]] = []
        self.stuck = self.dead = False

    async def apply(self, signal: str, value: Value) -> Readback:
        self.writes.append((signal, value))
        if self.dead:
            raise NoAnswer("no answer within 1 s", where="cabinet unit 1")
        if not self.stuck:
            self.state[signal] = value
        return Readback(Reading(signal, 0, self.state[signal]), self.state[signal] == value)

    async def read(self, signal: str) -> Reading:
        return Reading(signal, 0, self.state[signal])


class Office:
    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock, self.cabinet = store, clock, Cabinet()
        actuators: Any = {s.id: (self.cabinet, s) for s in (LAMP, DIM)}
        self.desk = Desk("gw-1", RULES, store.claims, actuators, clock)
        self.number = 0

    def message(self, **more: Any) -> dict[str, Any]:
        self.number += 1
        return {
            "s": "cmd/1", "id": f"command-{self.number}", "gw": "gw-1", "iss": "ioc-th", "iat": self.clock.now_ms(),
            "ttl": 30, "op": "light.set", "to": ["lamps/c1"], "arg": {"level": 100}, **more,
        }  # fmt: skip

    async def send(self, _retained: bool = False, _expires: float | None = None, **more: Any) -> dict[str, Any]:
        payload = json.dumps(self.message(**more)).encode()
        answer = await self.desk.handle(IncomingCommand(payload, _retained, _expires))
        return {} if answer is None else json.loads(answer)

    async def records(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while batch := await self.store.outbox.take(Lane.URGENT, 200, 65536):
            found += json.loads(b"[" + batch.body + b"]")
        return found


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    clock = ManualClock()
    async with Store(tmp_path / "s.sqlite3", BufferSettings(commit_every_s=0.01), clock) as store:
        yield Office(store, clock)


async def test_a_command_is_applied_read_back_and_recorded(office: Office) -> None:
    answer = await office.send()
    assert answer["st"] == "applied"
    assert answer["res"] == [{"to": "lamps/c1", "want": True, "got": True, "how": "readback"}]
    (record,) = await office.records()
    assert (record["ind"], record["v"], record["p"]["id"]) == ("gw.command", "applied", "command-1")


async def test_a_repeated_id_never_acts_twice_and_gets_the_same_answer(office: Office) -> None:
    first = await office.send(id="the-same-id")
    again = await office.send(id="the-same-id", arg={"level": 0})
    assert again == first
    assert office.cabinet.writes == [("lamps/c1", True)]
    assert len(await office.records()) == 1


async def test_a_lamp_that_does_not_follow_is_unverified(office: Office) -> None:
    office.cabinet.stuck = True
    answer = await office.send()
    assert (answer["st"], answer["res"][0]["got"]) == ("unverified", False)


async def test_a_device_that_does_not_answer_makes_the_command_fail(office: Office) -> None:
    office.cabinet.dead = True
    answer = await office.send()
    assert answer["st"] == "failed"
    assert "no-answer" in answer["res"][0]["err"]
    assert len(office.cabinet.writes) == 1


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({"iss": "somebody"}, "refused", "may not"),
        ({"op": "light.explode"}, "refused", "unknown op"),
        ({"to": ["pump/1"]}, "refused", "may not"),
        ({"to": []}, "refused", "names nothing"),
        ({"gw": "gw-2"}, "refused", "this gateway is gw-1"),
        ({"ttl": 301}, "refused", "ttl"),
        ({"ttl": 0}, "refused", "ttl"),
        ({"iat": 1}, "expired", "issued"),
    ],
)
async def test_what_is_not_allowed_or_too_late_never_acts(
    office: Office, change: dict[str, Any], state: str, words: str
) -> None:
    answer = await office.send(**change)
    assert answer["st"] == state
    assert words in answer["why"]
    assert office.cabinet.writes == []
    assert [r["v"] for r in await office.records()] == [state]


async def test_expiry_counts_from_issue_and_allows_for_clocks_that_differ_a_little(office: Office) -> None:
    assert (await office.send(iat=office.clock.now_ms() - 34_000))["st"] == "applied"
    assert (await office.send(iat=office.clock.now_ms() - 36_000))["st"] == "expired"


async def test_retained_and_broker_expired_commands_never_act(office: Office) -> None:
    assert (await office.send(_retained=True))["st"] == "refused"
    assert (await office.send(_expires=0.0))["st"] == "expired"
    assert office.cabinet.writes == []


async def test_without_a_clock_only_light_may_be_made(office: Office) -> None:
    office.clock.is_synced = False
    assert (await office.send(arg={"level": 0}))["st"] == "refused"
    assert (await office.send(op="point.set", arg={"value": 1}))["st"] == "refused"
    assert (await office.send(arg={"level": 100}, iat=5))["st"] == "applied"
    assert office.cabinet.writes == [("lamps/c1", True)]


async def test_after_a_restart_a_claim_without_outcome_is_interrupted_and_not_repeated(office: Office) -> None:
    payload = json.dumps(office.message(id="half-way-there")).encode()
    assert await office.store.claims.claim("half-way-there", payload, office.clock.now_ms()) is None
    assert await office.desk.report_interrupted() == 1
    (record,) = await office.records()
    assert (record["v"], record["p"]["id"]) == ("interrupted", "half-way-there")
    answer = await office.desk.handle(IncomingCommand(payload))
    assert answer is not None
    assert json.loads(answer)["st"] == "interrupted"
    assert office.cabinet.writes == []


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff\xfe", b"[]", b"{}", b'{"s":"cmd/1"}', b'{"s":"cmd/1","id":5,"iss":"a","op":"b","iat":1,"ttl":1}'],
)
async def test_what_is_no_command_is_ignored_without_an_answer(office: Office, payload: bytes) -> None:
    assert await office.desk.handle(IncomingCommand(payload)) is None


async def test_too_many_commands_in_a_minute_are_refused_and_the_minute_passes(office: Office) -> None:
    states = [(await office.send())["st"] for _ in range(22)]
    assert states == ["applied"] * 20 + ["refused"] * 2
    office.clock.advance(61)
    assert (await office.send())["st"] == "applied"


@pytest.mark.parametrize("arg", [{}, {"level": 101}, {"level": -1}, {"level": "on"}, {"level": True}])
async def test_a_level_outside_0_to_100_fails_without_a_write(office: Office, arg: dict[str, Any]) -> None:
    assert (await office.send(arg=arg))["st"] == "failed"
    assert office.cabinet.writes == []


async def test_a_dimmable_point_takes_the_level_itself_and_a_read_changes_nothing(office: Office) -> None:
    answer = await office.send(to=["lamps/dim"], arg={"level": 60})
    assert (answer["res"][0]["want"], answer["res"][0]["got"]) == (60.0, 60.0)
    answer = await office.send(op="light.read", to=["lamps/dim", "lamps/c1"], arg={})
    assert [r["got"] for r in answer["res"]] == [60.0, False]
    assert office.cabinet.writes == [("lamps/dim", 60.0)]
