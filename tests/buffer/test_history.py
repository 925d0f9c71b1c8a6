"""Windows in the store: kept by their length, folded to longer ones, and no crash forgets to."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buffer import history
from buffer.due import Period, period_of
from buffer.settings import BufferSettings, HistorySettings
from buffer.store import Store
from buffer.window_rows import encoded, packed, unpacked
from gateway.model.errors import StoreError
from gateway.model.folding import fold
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Quality, Reason, Signal
from tests.kit.clock import ManualClock

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOON = 1_795_320_000_000 - 1_795_320_000_000 % HOUR


def signal(point: str = "m/power", **more: Any) -> Signal:
    return Signal(**{"id": point, "point": point, "indicator": "light.power", "unit": "W", "kind": Kind.MEAN,
                     "every_s": 10, **more})  # fmt: skip


POWER = signal()


def window(end_ms: int, value: float, of: Signal = POWER, n: int = 6) -> Indicator:
    parts = Parts(n, of.window_s // 10, value * n, value, value, value, value)
    return Indicator(of, end_ms - of.window_s * 1000, end_ms, value, Quality.GOOD, (), parts)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


@asynccontextmanager
async def opened(path: Path, clock: ManualClock, **kept: float) -> AsyncIterator[Store]:
    settings = BufferSettings(commit_every_s=0.01, history=HistorySettings(**kept))
    async with Store(path, settings, clock) as store:
        yield store


async def put(store: Store, windows: Sequence[Indicator]) -> None:
    await store.append([], windows=windows)
    await store.flush()


async def held(store: Store, span_s: int, *signals: str) -> list[Indicator]:
    return await store.history.windows(0, 1 << 62, span_s=span_s, signals=signals or None)


def minutes(count: int, from_ms: int = NOON, of: Signal = POWER) -> list[Indicator]:
    """That many windows after `from_ms`, with the values 1, 2, 3 ..."""
    return [window(from_ms + n * MINUTE, float(n), of) for n in range(1, count + 1)]


# --- kept and found -------------------------------------------------------------------------------------------------


async def test_windows_come_back_as_they_were(path: Path, clock: ManualClock) -> None:
    door = signal("gate/door", kind=Kind.EVENT, tags={"dir": "in"}, unit="", window_s=30)
    kept = [
        window(NOON, 7.25),
        Indicator(POWER, NOON, NOON + 42_000, None, Quality.MISSING, (Reason.NO_ANSWER, Reason.PARTIAL), Parts(0, 4)),
        Indicator(door, NOON - 30_000, NOON, 'chữ "ok"\n[1,', Quality.GOOD, (), Parts(1, 3)),
        Indicator(door, NOON, NOON + 30_000, True, Quality.UNCERTAIN, (Reason.STUCK,), Parts(3, 3, 3.0, 1, 1, 1, 1)),
    ]
    async with opened(path, clock) as store:
        await put(store, kept)
        assert await held(store, 60) == kept[:2]
        assert await held(store, 30) == kept[2:]
    with closing(sqlite3.connect(path)) as connection:
        assert history.read(connection, 0, 1 << 62, span_s=60) == kept[:2]
        assert history.lengths(connection) == [30, 60]


async def test_only_what_was_asked_for_is_found(path: Path, clock: ManualClock) -> None:
    """Of few signals, which are picked out, and of many, whose rows are decoded whole."""
    many = [signal(f"m/{n}") for n in range(30)]
    async with opened(path, clock) as store:
        for t1_ms in range(NOON, NOON + 5 * MINUTE, MINUTE):
            await put(store, [window(t1_ms, float(n), of) for n, of in enumerate(many)])
        for asked in (["m/1", "m/11"], [f"m/{n}" for n in range(5, 28)]):
            found = await store.history.windows(NOON, NOON + 2 * MINUTE, span_s=60, signals=asked)
            assert {(w.signal.id, w.end_ms) for w in found} == {
                (of, end_ms) for of in asked for end_ms in (NOON + MINUTE, NOON + 2 * MINUTE)
            }
            assert [w.end_ms for w in found] == sorted(w.end_ms for w in found)
        assert await store.history.windows(NOON, NOON + DAY, span_s=60, signals=["m/unknown"]) == []


async def test_more_windows_than_one_slice_are_all_found_while_new_ones_come(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SLICE", 7)
    async with opened(path, clock) as store:
        for one in minutes(40):
            await put(store, [one, one])
        new = signal("m/new")
        found, _ = await asyncio.gather(
            store.history.windows(NOON, NOON + 40 * MINUTE, span_s=60),
            put(store, [window(NOON + 41 * MINUTE, 1.0, new), window(NOON + 30 * MINUTE, 1.0, new)]),
        )
        assert [w.end_ms for w in found if w.signal == POWER] == [w.end_ms for w in minutes(40) for _ in range(2)]


async def test_another_unit_is_another_signal(path: Path, clock: ManualClock) -> None:
    kilo = replace(POWER, unit="kW")
    async with opened(path, clock) as store:
        await put(store, [window(NOON + MINUTE, 1500.0)])
        await put(store, [window(NOON + 2 * MINUTE, 1.5, kilo)])
        await put(store, [window(NOON + 3 * MINUTE, 1500.0, replace(POWER))])
        assert [(w.value, w.signal.unit) for w in await held(store, 60, "m/power")] == [
            (1500.0, "W"), (1.5, "kW"), (1500.0, "W"),
        ]  # fmt: skip
        clock.advance(600)
        await store.history.roll()
        folded = await held(store, 300)
        assert {(w.value, w.signal.unit, w.parts and w.parts.n) for w in folded} == {(1500.0, "W", 12), (1.5, "kW", 6)}


class Refusing(sqlite3.Connection):
    """Its next commit fails when it is told to."""

    refuses = False

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if self.refuses and sql == "COMMIT":
            self.refuses = False
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *values)


@asynccontextmanager
async def refusing(path: Path, clock: ManualClock) -> AsyncIterator[tuple[Store, Refusing]]:
    made: list[Refusing] = []

    def connect(file: Path) -> sqlite3.Connection:
        made.append(sqlite3.connect(file, isolation_level=None, check_same_thread=False, factory=Refusing))
        return made[-1]

    async with Store(path, BufferSettings(commit_every_s=0.01), clock, connect) as store:
        yield store, made[-1]


async def test_a_commit_that_failed_gives_no_signal_another_ones_number(path: Path, clock: ManualClock) -> None:
    first, second = signal("m/first"), signal("m/second")
    async with refusing(path, clock) as (store, connection):
        connection.refuses = True
        with pytest.raises(StoreError):
            await store._writer.run_once(  # beside the group, which would try the same again before anything else
                lambda connection: store.history.write(connection, [window(NOON, 1.0, first)] * 2)
            )
        await put(store, [window(NOON, 2.0, second), window(NOON, 2.5, second)])
        await put(store, [window(NOON, 1.0, first)])
        assert [(w.signal.id, w.value) for w in await held(store, 60)] == [
            ("m/second", 2.0), ("m/second", 2.5), ("m/first", 1.0),
        ]  # fmt: skip


async def test_what_could_not_be_folded_is_folded_later(path: Path, clock: ManualClock) -> None:
    async with refusing(path, clock) as (store, connection):
        await put(store, minutes(5))
        clock.advance(400)
        connection.refuses = True
        with pytest.raises(StoreError):
            await store.history.roll()
        assert await held(store, 300) == []
        assert await store.history.roll() == 1
        assert [w.value for w in await held(store, 300)] == [3.0]


def test_one_signal_is_picked_out_of_a_row_like_all_of_them_decoded() -> None:
    rows = [encoded(number, window(NOON, float(number))) for number in (1, 11, 2, 21, 1)]
    rows.append(encoded(3, Indicator(POWER, NOON, NOON, "\n[1,\\n[1,", Quality.GOOD, (), Parts(1, 1))))
    body = packed(rows)
    for wanted in ({1}, {11}, {2, 21}, {3}, {4}):
        assert unpacked(body, wanted) == sorted((row for row in rows if row[0] in wanted), key=lambda row: row[0])
    assert unpacked(body) == rows
    assert unpacked(body, set(range(1, 40))) == rows


# --- folded ---------------------------------------------------------------------------------------------------------


async def test_periods_are_folded_once_they_are_over_and_settled(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        windows = minutes(60)
        for one in windows:
            await put(store, [one])
        clock.advance(300 + 9)
        assert await store.history.roll() == 0
        clock.advance(1)
        assert await store.history.roll() == 1
        assert await held(store, 300) == [fold(POWER, windows[:5], NOON, NOON + 5 * MINUTE)]
        clock.advance(3600)
        assert await store.history.roll() == 12
        assert await store.history.roll() == 0
        assert [w.value for w in await held(store, 300)] == [5 * n + 3 for n in range(12)]
        assert await held(store, 3600) == [fold(POWER, windows, NOON, NOON + HOUR)]


@pytest.mark.parametrize(
    ("span_s", "periods"),
    [
        (1, [300, 3600]), (60, [300, 3600]), (300, [3600]), (900, [3600]), (40, [3600]), (7, []), (3600, []),
    ],
)  # fmt: skip
async def test_a_length_is_folded_to_those_it_fills(
    path: Path, clock: ManualClock, span_s: int, periods: list[int]
) -> None:
    of = signal(window_s=span_s, every_s=1)
    async with opened(path, clock) as store:
        ends = range(NOON + span_s * 1000, NOON + max(HOUR, span_s * 1000) + 1, span_s * 1000)
        await put(store, [window(end_ms, 5.0, of, n=span_s) for end_ms in ends])
        clock.advance(7210)
        await store.history.roll()
        for tier_s in {300, 3600} - {span_s}:
            found = await held(store, tier_s)
            assert len(found) == (3600 // tier_s if tier_s in periods else 0)
            assert all(w.parts == Parts(tier_s, tier_s, 5.0 * tier_s, 5.0, 5.0, 5.0, 5.0) for w in found)


async def test_what_a_restart_left_is_folded_after_it_in_steps(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path, clock) as store:
        await put(store, minutes(26 * 60))
    clock.advance(30 * 3600)
    monkeypatch.setattr(history, "STEP_S", 0.0)
    async with opened(path, clock) as store:
        steps = 0
        before = store._writer.run

        async def run(work: Any) -> Any:
            nonlocal steps
            steps += 1
            return await before(work)

        monkeypatch.setattr(store._writer, "run", run)
        assert await store.history.roll() == 26 * 12 + 26
        assert steps > 26 * 12, "the store's thread had a turn between any two"
        assert len(await held(store, 300)) == 26 * 12
        assert [w.value for w in await held(store, 3600)] == [30.5 + 60 * n for n in range(26)]


async def test_windows_that_come_late_or_twice_are_folded_in(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await put(store, minutes(4))
        clock.advance(3610)
        await store.history.roll()
        await put(store, [window(NOON + 5 * MINUTE, 5.0)])
        clock.step(-1800)  # set back: the same minute comes a second time
        await put(store, [window(NOON + MINUTE, 9.0)])
        assert await store.history.roll() == 1
        clock.advance(1800)
        assert await store.history.roll() == 1
        for span_s in (300, 3600):
            (folded,) = await held(store, span_s)
            assert (folded.value, folded.parts and folded.parts.n) == (4.0, 36)


async def test_what_is_folded_again_without_its_ground_stays_as_it_was(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await put(store, minutes(5))
        clock.advance(2 * 86400)
        await store.history.roll()
        assert await store.history.prune() == 5
        await put(store, [window(NOON + MINUTE, 100.0)])
        await store.history.roll()
        assert [w.value for w in await held(store, 300)] == [3.0]


async def test_a_commit_that_failed_leaves_no_wrong_memory_of_what_is_due(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buffer.group.RETRY_S", 0.01)
    async with opened(path, clock) as store:
        await put(store, minutes(1))

        def refused(*_: object) -> None:  # after the windows, in the same transaction
            raise sqlite3.OperationalError("no")

        with monkeypatch.context() as patch:
            patch.setattr(store.keepsakes, "write", refused)
            await store.append([], windows=minutes(1, NOON + HOUR), keep={"x": {}})
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(store.flush(), 0.05)
            assert await store.history.roll() == 0
        await store.flush()
        clock.advance(2 * 3600 + 10)
        assert await store.history.roll() == 4
        assert [w.end_ms for w in await held(store, 3600)] == [NOON + HOUR, NOON + 2 * HOUR]


async def test_a_store_that_does_not_say_what_is_due_is_folded_from_what_it_holds(
    path: Path, clock: ManualClock
) -> None:
    async with opened(path, clock) as store:
        await put(store, minutes(60))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key = 'due'")
    clock.advance(3610)
    async with opened(path, clock) as store:
        assert await store.history.roll() == 13
        assert [w.value for w in await held(store, 3600)] == [30.5]


async def test_a_changed_interval_does_not_cut_a_period_in_two(path: Path, clock: ManualClock) -> None:
    faster = replace(POWER, window_s=30, every_s=5)
    async with opened(path, clock) as store:
        await put(store, minutes(2))
        await put(store, [window(NOON + 150_000 + n * 30_000, 4.0, faster) for n in range(6)])
        clock.advance(400)
        await store.history.roll()
        (folded,) = await held(store, 300)
        assert (folded.signal.every_s, folded.parts and folded.parts.n, folded.value) == (5, 48, (6 + 12 + 36 * 4) / 48)


def test_a_window_belongs_to_the_period_in_which_it_ends() -> None:
    assert period_of(60, NOON) == Period(300, NOON)
    assert period_of(60, NOON + 1) == period_of(60, NOON + 300_000) == Period(300, NOON + 300_000)
    assert Period(300, NOON).start_ms == NOON - 300_000


# --- forgotten ------------------------------------------------------------------------------------------------------


async def test_each_length_is_kept_for_its_own_time_and_by_whole_hours(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock, base_hours=2, five_minutes_days=2, hour_years=1) as store:
        await put(store, minutes(180))
        clock.advance(3 * 3600 + 1800)  # 15:30
        await store.history.roll()
        assert await store.history.prune() == 60
        assert (await held(store, 60))[0].end_ms == NOON + 61 * MINUTE
        clock.advance(2 * 86400)
        assert await store.history.prune() == 120 + 36
        assert (await held(store, 60), await held(store, 300)) == ([], [])
        assert len(await held(store, 3600)) == 3
        clock.advance(366 * 86400)
        assert await store.history.prune() == 3


async def test_a_clock_that_is_not_set_or_jumps_deletes_nothing(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await put(store, minutes(5))
        clock.is_synced = False
        clock.step(10 * 365 * 86400)
        assert await store.history.prune() == 0
        clock.step(-10 * 365 * 86400)
        clock.is_synced = True
        assert await store.history.prune() == 0
        clock.advance(3600)
        clock.step(10 * 365 * 86400)
        assert await store.history.prune() == 0
        clock.advance(1800)
        assert await store.history.prune() == 0, "an hour, in which somebody may set it right"
        clock.advance(1800)
        assert await store.history.prune() == 5


async def test_the_keeper_folds_and_forgets(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await put(store, minutes(5))
        clock.advance(3 * 86400)
        await store.keeper.tend()
        assert [len(await held(store, span_s)) for span_s in (60, 300, 3600)] == [0, 1, 1]


async def test_a_signal_nobody_can_describe_stops_no_folding(path: Path, clock: ManualClock) -> None:
    other = signal("m/current")
    async with opened(path, clock) as store:
        await put(store, [window(NOON + MINUTE, 1.0), window(NOON + MINUTE, 2.0, other)])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE signal SET about = '{' WHERE about LIKE '%m/current%'")
    clock.advance(3600)
    async with opened(path, clock) as store:
        await store.history.roll()
        assert [found.signal.id for found in await held(store, 300)] == ["m/power"]
        assert [found.signal.id for found in await held(store, 60)] == ["m/power"]
