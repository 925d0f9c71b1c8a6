"""When the store's own limit is reached: what goes, in which order, and that every id is accounted for."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.command import CommandState, Outcome
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Quality, Signal
from gateway.model.ports import Batch, Lane
from gateway.uplink import schemas
from tests.kit.clock import ManualClock
from tests.kit.ids import Ids, lost_records

SMALL = BufferSettings(commit_every_s=0.005, max_mb=4, ballast_mb=0)
SIGNALS = {
    span_s: Signal(id=f"s/{span_s}", point="s", indicator="test.window", unit="1", kind=Kind.MEAN, every_s=1,
                   window_s=span_s)
    for span_s in (60, 300, 3600)
}  # fmt: skip


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


random = Random(7)


def record(point: str = "a/b", size: int = 800) -> bytes:
    """One that hardly shrinks, so that a store is filled with few."""
    return b'"pt":"%b","ind":"test","t1":1795322220000,"v":"%b","q":"good"}' % (
        point.encode(),
        random.randbytes(size // 2).hex().encode(),
    )


async def fill(store: Store, megabytes: float, clock: ManualClock, *, seconds: float = 1.0, alarms: int = 0) -> None:
    """Telemetry in commits of fifty records, `seconds` apart; every so many commits an alarm."""
    for number in range(int(megabytes * 1e6 / 25_000)):
        await store.append([record() for _ in range(50)])
        if alarms and number % alarms == 0:
            await store.append([record("alarm", 60)], Lane.URGENT)
        await store.flush()
        clock.advance(seconds)


async def send(store: Store, ids: Ids | None = None, lanes: tuple[Lane, ...] = tuple(Lane)) -> None:
    for lane in lanes:
        while batch := await store.outbox.take(lane, 200, 65536):
            if ids is not None:
                ids.acknowledged(batch)
            store.outbox.settle(batch)
    await store.flush()


def rows(path: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def valid(found: list[dict[str, Any]]) -> None:
    schema = schemas.load("tele")
    validator = Draft202012Validator({"$defs": schema["$defs"], "$ref": "#/$defs/record"})
    for one in found:
        validator.validate(one)


async def test_sent_records_go_first_and_silently(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    ids = Ids()
    async with Store(path, SMALL, clock) as store:
        await fill(store, 3, clock)
        await send(store, ids)
        sent_upto = store.outbox.span()[1]
        await fill(store, 2.5, clock)
        newest = store.outbox.span()[1]
        ids.look(path).account(newest)
        assert not ids.lost
        assert set(range(sent_upto + 1, newest + 1)) <= ids.held.keys()
        assert 1 not in ids.held
        assert store.keeper.health()["lost"] == 0
        assert path.stat().st_size <= 4_000_000
    assert caplog.text == ""


async def test_unsent_telemetry_goes_oldest_first_and_every_id_is_accounted_for(path: Path, clock: ManualClock) -> None:
    ids = Ids()
    async with Store(path, SMALL, clock) as store:
        await fill(store, 10, clock, alarms=5)
        newest = store.outbox.span()[1]
        ids.look(path).account(newest)
        telemetry = [rid for rid in range(1, newest + 1) if ids.lanes.get(rid) != Lane.URGENT]
        gone = [rid for rid in telemetry if rid in ids.lost]
        assert gone == telemetry[: len(gone)], "not the oldest"
        assert 2000 < len(gone) == len(ids.lost) == store.keeper.lost
        assert store.keeper.health()["lost"] == len(gone)
        valid(lost_records(ids.held.values()))
        assert path.stat().st_size <= 4_000_000
        notes = [json.loads(body) for (body,) in rows(path, "SELECT body FROM journal WHERE kind = 'lost'")]
        assert sum(note["n"] for note in notes) == len(gone)
        assert [tuple(span) for note in notes for span in note["spans"]] == [
            (found["p"]["lo"], found["p"]["hi"]) for found in lost_records(ids.held.values())
        ]
        assert len(notes) < 60, "rounds are large: not every commit drops something"
    async with Store(path, SMALL, clock) as store:
        assert store.keeper.lost == len(gone)
        assert store.outbox.span() == (min(ids.held), newest)


async def test_an_alarm_is_never_dropped_for_telemetry(path: Path, clock: ManualClock) -> None:
    async with Store(path, SMALL, clock) as store:
        await store.append([record(f"alarm/{n}", 60) for n in range(100)], Lane.URGENT)
        await fill(store, 9, clock)
        held = Ids().look(path).held.values()
        assert {found["pt"] for found in held} >= {f"alarm/{n}" for n in range(100)}


async def test_the_backlog_goes_before_what_is_live(path: Path, clock: ManualClock) -> None:
    ids = Ids()
    async with Store(path, SMALL, clock) as store:
        await fill(store, 3, clock)
        clock.advance(3600)
        first_live = store.outbox.span()[1] + 1
        await fill(store, 2.5, clock, seconds=0.01)
        ids.look(path).account(store.outbox.span()[1])
        assert ids.lost.last()[1] < first_live
        await fill(store, 2.5, clock, seconds=0.01)
        ids.look(path).account(store.outbox.span()[1])
        assert first_live in ids.lost, "live records go too when nothing else is left"


async def test_nothing_is_dropped_that_is_on_its_way(path: Path, clock: ManualClock) -> None:
    async with Store(path, SMALL, clock) as store:
        await fill(store, 1, clock)
        clock.advance(600)
        taken = [await store.outbox.take(Lane.BACK, 25, 65536) for _ in range(3)]
        await fill(store, 8, clock)
        ids = Ids().look(path)
        ids.account(store.outbox.span()[1])
        assert set(range(1, 76)) <= ids.held.keys()
        assert 200 in ids.lost
        store.outbox.give_back()
        again = [await store.outbox.take(Lane.BACK, 25, 65536) for _ in range(3)]
        assert again == taken


@pytest.mark.parametrize("seed", range(2))
async def test_every_id_is_accounted_for_while_an_uplink_comes_and_goes(
    path: Path, clock: ManualClock, seed: int
) -> None:
    dice, ids = Random(seed), Ids()

    async def uplink(store: Store) -> None:
        while True:
            batches: list[Batch] = []
            for _ in range(dice.randrange(12)):
                batch = await store.outbox.take(dice.choice(list(Lane)), dice.choice((3, 7, 40)), 65536)
                batches += [batch] if batch else []
                await asyncio.sleep(dice.choice((0, 0, 0.001)))
            for batch in batches:
                if dice.random() < 0.6:
                    ids.acknowledged(batch)
                    store.outbox.settle(batch)
            store.outbox.give_back()
            await asyncio.sleep(dice.choice((0, 0.02)))

    async with Store(path, SMALL, clock) as store:
        task = asyncio.create_task(uplink(store))
        for _ in range(5):
            await fill(store, 1.5, clock, alarms=3)
            await store.keeper.tend()
        task.cancel()
        await asyncio.wait([task])
        store.outbox.give_back()
        await store.flush()
        newest = store.outbox.span()[1]
        ids.look(path).account(newest)
        assert len(ids.lost) == store.keeper.lost
    async with Store(path, SMALL, clock) as store:
        await send(store, ids)
        ids.look(path).account(newest)
        missing = [rid for rid in range(1, newest + 1) if rid not in ids.sent and rid not in ids.lost]
        assert missing == [], "held, and never sent"


async def test_commands_are_claimed_and_sessions_given_at_the_limit(path: Path, clock: ManualClock) -> None:
    async with Store(path, SMALL, clock) as store:
        await store._writer.read(lambda c: c.execute("PRAGMA wal_autocheckpoint=100").fetchone())
        await fill(store, 4, clock)
        for number in range(1500):
            assert await store.claims.claim(f"c{number}", b"x" * 900, clock.now_ms()) is None
        assert await store.outbox.next_session() == 1
        ids = Ids().look(path)
        ids.account(store.outbox.span()[1])
        assert len(ids.lost) > 500, "room for commands was made from telemetry"
        assert len(await store.claims.interrupted()) == 1500


async def _end(store: Store, command_id: str, state: CommandState, clock: ManualClock) -> None:
    """A command of 3 kB, from its claim to its outcome."""
    assert await store.claims.claim(command_id, random.randbytes(3000).hex().encode(), clock.now_ms()) is None
    outcome = Outcome(id=command_id, state=state, at_ms=clock.now_ms())
    async with asyncio.timeout(20):
        await store.claims.finish(outcome, b'{"id":"%b"}' % command_id.encode(), [record("gw", 60)])


async def test_a_flood_of_refused_commands_pushes_nothing_else_out(path: Path, clock: ManualClock) -> None:
    async with Store(path, SMALL, clock) as store:
        await fill(store, 2, clock)
        await send(store)
        newest = store.outbox.span()[1]
        await _end(store, "applied", CommandState.APPLIED, clock)
        for number in range(700):
            await _end(store, f"c{number}", CommandState.EXPIRED if number % 2 else CommandState.REFUSED, clock)
        await _end(store, "later", CommandState.APPLIED, clock)
        await send(store)
        ids = Ids().look(path)
        assert set(range(1, newest + 1)) <= ids.held.keys()
        assert store.keeper.lost == 0
        kept = {command_id for (command_id,) in rows(path, "SELECT id FROM command")}
        assert kept >= {"applied", "later", "c699"}, "what acted is known for as long as it could act again"
        assert "c0" not in kept


async def test_commands_that_nobody_can_repeat_go_before_unsent_telemetry(path: Path, clock: ManualClock) -> None:
    async with Store(path, SMALL, clock) as store:
        for number in range(300):
            await _end(store, f"old{number}", CommandState.APPLIED, clock)
        await send(store)
        clock.advance(3700)
        await _end(store, "young", CommandState.APPLIED, clock)
        await fill(store, 3, clock)
        assert store.keeper.lost == 0
        assert rows(path, "SELECT count(*) FROM command")[0][0] < 300
        assert rows(path, "SELECT id FROM command ORDER BY rowid DESC LIMIT 1") == [("young",)]
        clock.step(10 * 365 * 86400)
        await store.keeper.tend()
        await fill(store, 3, clock)
        assert rows(path, "SELECT count(*) FROM command WHERE id = 'young'") == [(1,)], "a clock that jumped"
        assert store.keeper.lost > 0


async def test_history_goes_before_unsent_telemetry_the_finest_first(path: Path, clock: ManualClock) -> None:
    async with Store(path, SMALL, clock) as store:
        await fill(store, 1, clock)
        begin_ms = clock.now_ms() // 3_600_000 * 3_600_000
        clock.advance(30 * 3600)
        for span_s in (3600, 300, 60):
            for n in range(1, 151):
                await store.append((), windows=_windows(span_s, begin_ms + n * 28 * 3_600_000 // 150))
        await store.flush()

        def lengths() -> dict[int, int]:
            return dict(rows(path, "SELECT span_s, count(*) FROM history GROUP BY span_s"))

        full = lengths()
        while (some := lengths()) == full:
            await fill(store, 0.05, clock, seconds=0.01)
        assert some.get(60, 0) < full[60]
        assert (some[300], some[3600]) == (full[300], full[3600])
        assert store.keeper.lost == 0
        while store.keeper.lost == 0:
            await fill(store, 0.05, clock, seconds=0.01)
        left = rows(path, "SELECT min(t1_ms) FROM history WHERE span_s < 3600")
        assert left[0][0] is None or left[0][0] >= begin_ms + 26 * 3_600_000, "only what is still to be folded stays"


def _windows(span_s: int, end_ms: int) -> list[Indicator]:
    parts = Parts(60, 60, *(random.random() for _ in range(5)))
    return [
        Indicator(SIGNALS[span_s], end_ms - span_s * 1000, end_ms, random.random(), Quality.GOOD, (), parts)
        for _ in range(100)
    ]


async def test_sent_records_never_take_more_than_their_share(path: Path, clock: ManualClock) -> None:
    settings = SMALL.model_copy(update={"sent_share": 0.3})
    async with Store(path, settings, clock) as store:
        for _ in range(4):
            await fill(store, 0.7, clock)
            await send(store)
            await store.keeper.tend()
            (held,) = rows(path, "SELECT sum(length(body)) FROM bundle")[0]
            assert held <= 0.3 * 4e6
        assert held > 0.2 * 4e6, "but most of their share they may take"
        await fill(store, 0.7, clock)
        await store.keeper.tend()
        assert store.keeper.lost == 0


async def test_above_the_soft_mark_tending_gives_up_what_was_sent_and_nothing_else(
    path: Path, clock: ManualClock
) -> None:
    settings = SMALL.model_copy(update={"sent_share": 1.0})
    async with Store(path, settings, clock) as store:
        await fill(store, 1.5, clock)
        await send(store)
        await fill(store, 2.2, clock)
        await store.keeper.tend()
        assert store.keeper.health()["store_mb"] <= 0.9 * 4
        assert store.outbox.span()[0] > 1
        clock.advance(600)
        await fill(store, 0.2, clock)
        await store.keeper.tend()
        assert store.keeper.lost == 0


async def test_a_quota_that_was_lowered_drops_nothing_unsent(path: Path, clock: ManualClock) -> None:
    async with Store(path, SMALL.model_copy(update={"max_mb": 8}), clock) as store:
        await fill(store, 6, clock)
        newest = store.outbox.span()[1]
    async with Store(path, SMALL, clock) as store:
        await store.keeper.tend()
        assert store.outbox.span() == (1, newest)
        assert store.keeper.lost == 0
        await fill(store, 0.5, clock)
        ids = Ids().look(path)
        ids.account(store.outbox.span()[1])
        assert store.keeper.lost > 0, "but more does not go in"
        size = path.stat().st_size
        await fill(store, 1, clock)
        assert path.stat().st_size == size


# --- where the centre confirms ----------------------------------------------------------------------------------------


async def test_until_it_is_confirmed_a_sent_record_is_kept_whatever_its_age(path: Path, clock: ManualClock) -> None:
    async with Store(path, SMALL, clock, until_confirmed=True) as store:
        await store.append([record() for _ in range(10)])
        await store.flush()
        await send(store)
        clock.advance(30 * 86400)
        assert await store.keeper.tend() == 0
        await store.append([record()])
        await store.flush()
        await store.outbox.confirmed(10)
        assert await store.keeper.tend() == 10
        assert store.outbox.span() == (11, 11)


async def test_what_was_never_confirmed_goes_before_what_was_never_sent_and_is_said_to_be_lost(
    path: Path, clock: ManualClock
) -> None:
    ids = Ids()
    async with Store(path, SMALL, clock, until_confirmed=True) as store:
        await fill(store, 3, clock)
        await send(store, ids)
        newest_sent = store.outbox.span()[1]
        await store.outbox.confirmed(1005)
        await fill(store, 1.8, clock)
        ids.look(path).account(store.outbox.span()[1], confirmed=1005)
        assert ids.lost.first()[0] == 1006
        assert ids.lost.last()[1] <= newest_sent


# --- what is said of it -----------------------------------------------------------------------------------------------


async def test_every_ten_minutes_a_row_says_how_far_things_are(path: Path, clock: ManualClock) -> None:
    async with Store(path, SMALL, clock) as store:
        await store.append([record() for _ in range(10)])
        await store.flush()
        for _ in range(25):
            await store.keeper.tend("no broker")
            await store.flush()
            clock.advance(60)
        await send(store)
        await store.keeper.tend()
    async with Store(path, SMALL, clock) as store:
        await store.keeper.tend()
    found = rows(path, "SELECT stored, waiting, lost, why FROM tally ORDER BY at_ms")
    assert found[:3] == [(10, 10, 0, "no broker")] * 3
    written = [row[0] for row in rows(path, "SELECT written FROM tally ORDER BY at_ms")]
    assert written == sorted(written)
    clock.advance(401 * 86400)
    async with Store(path, SMALL, clock) as store:
        await store.keeper.tend()
    assert len(rows(path, "SELECT 1 FROM tally")) == 1
