"""The gateway's own ops: they answer what they found, are not counted as orders, and never end the process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.commands.desk import Desk, Served
from gateway.commands.policy import MAX_BYTES
from gateway.commands.replay import EVERY_S, MOST_RANGES, MOST_RECORDS, Replay
from gateway.commands.settings import CommandSettings
from gateway.model.command import Command, CommandState
from gateway.model.errors import StoreDamaged, StoreError, Unreachable
from gateway.model.ports import IncomingCommand, Lane
from tests.kit import schemas
from tests.kit.clock import ManualClock


class Office:
    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock, self.number = store, clock, 0
        self.desk = Desk("gw-1", CommandSettings(max_per_minute=2), store.claims, {}, clock)
        self.desk.services["tele.replay"] = Replay(store.outbox, clock)

    async def handle(self, payload: bytes) -> dict[str, Any] | None:
        answer = await self.desk.handle(IncomingCommand(payload))
        if answer is None:
            return None
        schemas.check("ioc/v1/gw-1/cmd/res", answer)
        found: dict[str, Any] = json.loads(answer)
        return found

    async def send(self, op: str, **more: Any) -> dict[str, Any]:
        self.number += 1
        message = {
            "s": "cmd/1", "id": f"command-{self.number}", "gw": "gw-1", "iss": "anybody", "iat": self.clock.now_ms(),
            "ttl": 30, "op": op, "to": [], **more,
        }  # fmt: skip
        found = await self.handle(json.dumps(message).encode())
        assert found is not None
        return found

    async def replay(self, *ranges: Any, ep: str | None = None) -> dict[str, Any]:
        return await self.send("tele.replay", arg={"ep": ep or self.store.outbox.epoch, "ranges": list(ranges)})


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    clock = ManualClock()
    async with Store(tmp_path / "s.sqlite3", BufferSettings(commit_every_s=0.01), clock) as store:
        await store.append([b'"pt":"a","ind":"b","t1":1,"v":1,"q":"good"}'] * 100)
        await store.flush()
        while batch := await store.outbox.take(Lane.LIVE, 200, 65536):
            store.outbox.settle(batch)
        yield Office(store, clock)


async def test_records_that_are_asked_for_are_due_again_and_the_answer_says_how_many(office: Office) -> None:
    answer = await office.replay([3, 5], [90, 100])
    assert (answer["st"], answer["info"]) == ("applied", {"records": 14, "not_held": [], "gone": 0})
    assert office.store.outbox.waiting(Lane.BACK).records == 14
    batch = await office.store.outbox.take(Lane.URGENT, 200, 65536)
    assert batch is not None
    (record,) = json.loads(b"[" + batch.body + b"]")
    assert record["p"]["info"]["records"] == 14


async def test_what_is_not_held_any_more_is_said(office: Office) -> None:
    office.clock.advance(8 * 86_400)
    await office.store.append([b'"pt":"a","ind":"b","t1":1,"v":1,"q":"good"}'] * 10)
    await office.store.flush()
    await office.store.keeper.tend()
    low, _ = office.store.outbox.span()
    answer = await office.replay([low - 2, low + 3])
    assert answer["info"]["not_held"] == [[low - 2, low - 1]]
    assert answer["info"]["gone"] == 2


@pytest.mark.parametrize(
    ("arg", "words"),
    [
        ({"ep": "00000000", "ranges": [[1, 2]]}, "epoch"),
        ({"ranges": [[1, 2]]}, "epoch"),
        ({}, "epoch"),
        ({"ep": "own"}, "list"),
        ({"ep": "own", "ranges": [[2, 1]]}, "no range"),
        ({"ep": "own", "ranges": [[1, 10**30]]}, "does not exist yet"),
        ({"ep": "own", "ranges": [["1", 2]]}, "two whole numbers"),
        ({"ep": "own", "ranges": [[1, 1]] * (MOST_RANGES + 1)}, "at most"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_with_the_reason(
    office: Office, arg: dict[str, Any], words: str
) -> None:
    if arg.get("ep") == "own":
        arg = {**arg, "ep": office.store.outbox.epoch}
    answer = await office.send("tele.replay", arg=arg)
    assert answer["st"] == "refused"
    assert words in answer["why"]
    assert office.store.outbox.waiting(Lane.BACK).records == 0


async def test_too_many_records_at_a_time_are_refused(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office.store.outbox, "span", lambda: (1, 10 * MOST_RECORDS))
    answer = await office.replay([1, MOST_RECORDS + 1])
    assert f"at most {MOST_RECORDS}" in answer["why"]


async def test_it_may_be_asked_now_and_then_and_a_wrong_question_costs_nothing(office: Office) -> None:
    assert (await office.replay([0, 5]))["st"] == "refused"
    assert (await office.replay([1, 5]))["st"] == "applied"
    answer = await office.replay([1, 5])
    assert answer["st"] == "refused"
    assert "ask again in" in answer["why"]
    office.clock.advance(EVERY_S)
    assert (await office.replay([1, 5]))["info"]["records"] == 0, "they are due already"


async def test_services_are_not_counted_as_orders(office: Office) -> None:
    async def ping(_: Command) -> None:
        return None

    office.desk.services["gw.ping"] = ping
    assert [(await office.send("gw.ping"))["st"] for _ in range(10)] == ["applied"] * 10


@pytest.mark.parametrize("error", [Unreachable("the connection just ended"), StoreError("disk I/O error")])
async def test_a_service_that_cannot_do_it_fails_with_the_reason(office: Office, error: Exception) -> None:
    async def rebirth(_: Command) -> Served:
        raise error

    office.desk.services["gw.rebirth"] = rebirth
    answer = await office.send("gw.rebirth")
    assert answer["st"] == CommandState.FAILED
    assert str(error) in answer["why"]


async def test_a_damaged_store_is_not_a_failed_service(office: Office) -> None:
    async def replay(_: Command) -> Served:
        raise StoreDamaged("malformed")

    office.desk.services["tele.replay"] = replay
    with pytest.raises(StoreDamaged):
        await office.replay([1, 2])


@pytest.mark.parametrize(
    "payload",
    [
        b'{"s":"cmd/1","id":"12345678","iss":"a","op":"gw.ping","ttl":30,"iat":1,"arg":' + b'{"a":' * 5000,
        b'{"s":"cmd/1","id":"12345678\\ud800","iss":"a","op":"gw.ping","ttl":30,"iat":1}',
        b'{"s":"cmd/1","id":"12345678","iss":"a","op":"gw.ping","ttl":30,"iat":1' + b"0" * 400 + b"}",
        b'{"s":"cmd/1","id":"12345678","iss":"a","op":"gw.ping","ttl":30,"iat":1,"arg":{"level":NaN}}',
        b'{"s":"cmd/1","id":"12345678","iss":"a","op":"gw.ping","ttl":30,"iat":1,"arg":{"level":1e999}}',
        b'{"s":"cmd/1","id":"12345678","iss":"a","op":"gw.ping","ttl":30,"iat":1}' + b" " * MAX_BYTES,
    ],
)
async def test_what_would_break_the_books_is_no_command(office: Office, payload: bytes) -> None:
    assert await office.handle(payload) is None
