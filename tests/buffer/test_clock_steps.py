"""A clock that jumps must not cost anything: nothing is deleted by an age that may be wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from buffer.settings import BufferSettings
from buffer.steady import Steady
from buffer.store import Store
from gateway.model.ports import Lane
from tests.kit.clock import ManualClock

DAY_S = 86_400.0
FAR_S = 14 * 365 * DAY_S
SETTINGS = BufferSettings(commit_every_s=0.005, ballast_mb=0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    async with Store(tmp_path / "store.sqlite3", SETTINGS, clock) as store:
        yield store


async def send(store: Store, n: int = 10) -> None:
    await store.append([b'"pt":"a","v":1}'] * n)
    await store.flush()
    while batch := await store.outbox.take(Lane.LIVE, 100, 65536):
        store.outbox.settle(batch)
    await store.flush()


async def tended(store: Store, clock: ManualClock, minutes: int) -> int:
    gone = 0
    for _ in range(minutes):
        clock.advance(60)
        gone += await store.keeper.tend()
    return gone


@pytest.mark.parametrize("step_s", [FAR_S, -FAR_S, 8 * DAY_S])
async def test_a_clock_that_leaps_and_comes_back_costs_nothing(store: Store, clock: ManualClock, step_s: float) -> None:
    await send(store)
    for _ in range(5):
        assert await tended(store, clock, 3) == 0
        clock.step(step_s)
        assert await tended(store, clock, 30) == 0
        await send(store)
        clock.step(-step_s)
    assert await tended(store, clock, 180) == 0
    assert store.outbox.span() == (1, 60)


async def test_nothing_is_deleted_by_age_while_the_clock_is_not_synced(store: Store, clock: ManualClock) -> None:
    await send(store)
    clock.is_synced = False
    clock.advance(30 * DAY_S)
    assert await store.keeper.tend() == 0
    clock.is_synced = True
    assert await tended(store, clock, 59) == 0
    assert await tended(store, clock, 3) == 10


async def test_after_an_hour_of_calm_age_counts_again(store: Store, clock: ManualClock) -> None:
    await send(store)
    clock.advance(8 * DAY_S)
    clock.step(120)
    assert await store.keeper.tend() == 0
    assert await tended(store, clock, 59) == 0
    assert await tended(store, clock, 2) == 10


async def test_a_clock_that_is_only_corrected_a_little_holds_nothing_up(store: Store, clock: ManualClock) -> None:
    await send(store)
    clock.advance(8 * DAY_S)
    clock.step(-20)
    assert await store.keeper.tend() == 10


async def test_records_stamped_in_the_future_go_with_what_was_stored_after_them(
    store: Store, clock: ManualClock
) -> None:
    await send(store)
    clock.step(FAR_S)
    await send(store)
    clock.step(-FAR_S)
    await send(store)
    await tended(store, clock, 90)
    clock.advance(8 * DAY_S)
    assert await store.keeper.tend() == 30


async def test_records_stamped_long_ago_stay_as_long_as_what_was_stored_before_them(
    store: Store, clock: ManualClock
) -> None:
    await send(store)
    clock.step(-FAR_S)
    await send(store)
    clock.step(FAR_S)
    assert await tended(store, clock, 180) == 0
    clock.advance(8 * DAY_S)
    assert await store.keeper.tend() == 20


async def test_finished_commands_outlive_a_leap_and_a_repeated_one_is_still_known(
    store: Store, clock: ManualClock
) -> None:
    from gateway.model.command import CommandState, Outcome

    assert await store.claims.claim("c", b"{}", clock.now_ms()) is None
    await store.claims.finish(Outcome(id="c", state=CommandState.APPLIED, at_ms=clock.now_ms()), b'{"a":1}', [])
    clock.step(FAR_S)
    await tended(store, clock, 5)
    assert await store.claims.claim("c", b"{}", clock.now_ms()) == b'{"a":1}'
    clock.step(-FAR_S)
    await tended(store, clock, 70)
    clock.advance(9 * DAY_S)
    await store.keeper.tend()
    assert await store.claims.claim("c", b"{}", clock.now_ms()) is None, "it is old now, and may be forgotten"


def test_a_steady_clock_may_be_believed_at_once() -> None:
    assert Steady(ManualClock())()


def test_each_jump_begins_the_hour_anew() -> None:
    clock = ManualClock()
    steady = Steady(clock)
    for _ in range(3):
        clock.step(61)
        assert not steady()
        clock.advance(3500)
        assert not steady()
    clock.advance(101)
    assert steady()
