"""Late values in the history, and the last numbers that it tells a start."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Quality, Reason, Signal
from tests.buffer.test_history import DAY, HOUR, MINUTE, NOON, POWER, held, opened, put, signal, window
from tests.kit.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


def late(end_ms: int, value: float, of: Signal = POWER, n: int = 6) -> Indicator:
    return replace(window(end_ms, value, of, n), reasons=(Reason.REPLAYED,))


def missing(end_ms: int, of: Signal = POWER) -> Indicator:
    start_ms = end_ms - of.window_s * 1000
    return Indicator(of, start_ms, end_ms, None, Quality.MISSING, (Reason.NO_ANSWER,), Parts(0, of.window_s // 10))


async def test_late_values_fill_what_was_missing_hours_ago(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await put(store, [missing(NOON + n * MINUTE) for n in range(1, 61)])
        clock.advance(6 * 3600)
        await store.history.roll()
        assert {w.quality for w in await held(store, 300)} == {Quality.MISSING}
        await put(store, [late(NOON + n * MINUTE, float(n)) for n in range(1, 61)])
        assert await store.history.roll() == 12 + 1
        (hour,) = await held(store, 3600)
        assert (hour.value, hour.quality, hour.parts and hour.parts.n) == (30.5, Quality.GOOD, 360)
        assert hour.reasons == (Reason.NO_ANSWER,)
        assert {w.quality for w in await held(store, 300)} == {Quality.GOOD}


async def test_late_values_of_a_time_whose_windows_are_deleted_fill_what_was_empty_and_make_nothing_smaller(
    path: Path, clock: ManualClock
) -> None:
    """Each signal for itself: one that answered keeps what it had, and the late value stays out of it."""
    dead = signal("m/dead")
    async with opened(path, clock, base_hours=2) as store:
        await put(store, [made for n in range(1, 61) for made in (window(NOON + n * MINUTE, 2.0), missing(
            NOON + n * MINUTE, dead))])  # fmt: skip
        clock.advance(5 * 3600)
        await store.history.roll()
        assert await store.history.prune() == 60
        await put(store, [late(NOON + 5 * MINUTE, 99.0), *(late(NOON + n * MINUTE, 7.0, dead) for n in range(1, 61))])
        await store.history.roll()
        for span_s in (300, 3600):
            found = {w.signal.id: (w.value, w.parts and w.parts.n) for w in reversed(await held(store, span_s))}
            assert found == {"m/power": (2.0, span_s // 10), "m/dead": (7.0, span_s // 10)}


# --- the last numbers -----------------------------------------------------------------------------------------------


async def test_the_last_number_of_each_signal_is_found_wherever_it_is_kept(path: Path, clock: ManualClock) -> None:
    long = signal("m/long", window_s=3600)
    silent, never = signal("m/silent"), signal("m/never")
    async with opened(path, clock, base_hours=2) as store:
        await put(store, [window(NOON + MINUTE, 4.0), window(NOON, 8.0, long), missing(NOON + MINUTE, silent)])
        clock.advance(3610)
        assert await store.history.last_numbers([POWER, long, silent, never]) == {"m/power": 4.0, "m/long": 8.0}
        await store.history.roll()
        clock.advance(5 * 3600)
        await store.history.prune()
        assert await held(store, 60) == []
        await put(store, [missing(NOON + 6 * HOUR)])
        assert await store.history.last_numbers([POWER, long]) == {"m/power": 4.0, "m/long": 8.0}
        await put(store, [window(NOON + 6 * HOUR, 5.0), window(NOON + 5 * HOUR, 3.0)])
        assert await store.history.last_numbers([POWER]) == {"m/power": 5.0}
        clock.advance(41 * 86400)
        assert await store.history.last_numbers([POWER, long]) == {}


async def test_the_last_number_is_that_of_the_same_quantity(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await put(store, [window(NOON - MINUTE, 4.0), window(NOON, 4000.0, replace(POWER, unit="mW"))])
        faster = replace(POWER, window_s=30, every_s=5)
        assert await store.history.last_numbers([faster]) == {"m/power": 4.0}
        assert await store.history.last_numbers([replace(POWER, indicator="x")]) == {}
        await put(store, [window(NOON, 6.0, faster)])
        assert await store.history.last_numbers([POWER]) == {"m/power": 6.0}


async def test_what_a_wrong_clock_stamped_in_the_future_is_not_the_last(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await put(store, [window(NOON, 4.0), window(NOON + HOUR, 5.0), window(NOON + 900 * DAY, 99.0)])
        assert await store.history.last_numbers([POWER]) == {"m/power": 4.0}
        clock.is_synced = False  # started with the time of the last save
        assert await store.history.last_numbers([POWER]) == {"m/power": 5.0}


async def test_a_damaged_row_stops_no_start(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await put(store, [window(NOON - MINUTE, 4.0), window(NOON, 5.0)])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE history SET body = x'00' WHERE t1_ms = ?", (NOON,))
    async with opened(path, clock) as store:
        assert await store.history.last_numbers([POWER]) == {"m/power": 4.0}
