"""What is waiting, at the size of a week's outage: cheap to ask for, cheap to keep, never forgotten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from buffer import inspect
from buffer.bundle import Bundle
from buffer.lanes import FRESH_MS, SAVE_BYTES_PER_S, SAVE_FREELY, Lanes
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.ports import Batch, Lane
from tests.kit.clock import ManualClock

NOW_MS = 1_795_322_220_000
TAIL = b'"pt":"a","v":1}'


def week_of_alarms(intervals: int = 10_000) -> Lanes:
    """Telemetry that waits, cut by an alarm a minute that was sent."""
    lanes = Lanes()
    lanes.load({"seen": intervals * 101, "back": [[n * 101 + 1, n * 101 + 100] for n in range(intervals)]}, (), NOW_MS)
    return lanes


def send_oldest(lanes: Lanes) -> None:
    lo, hi = lanes.todo[Lane.BACK].first()
    lanes.todo[Lane.BACK].remove(lo, hi)
    lanes.settled(Batch(Lane.BACK, lo, hi, hi - lo + 1, b""))


def test_a_million_records_in_ten_thousand_intervals_are_counted_not_walked() -> None:
    lanes = week_of_alarms()
    for left in range(10_000, 9_000, -1):
        assert lanes.waiting(Lane.BACK, NOW_MS).records == left * 100
        send_oldest(lanes)


def test_a_long_list_is_saved_as_seldom_as_to_cost_little_and_the_last_change_is_saved_in_the_end() -> None:
    lanes, written, saves = week_of_alarms(), 0, 0
    for second in range(600):
        for _ in range(10):
            send_oldest(lanes)
        text = lanes.to_save(float(second))
        written += len(text)
        saves += bool(text)
    first = len(json.dumps(week_of_alarms().dump()))
    assert written <= first + 600 * SAVE_BYTES_PER_S
    assert saves > 10
    assert lanes.dirty
    lanes.save_now()
    assert json.loads(lanes.to_save(600.0))["back"][0][0] == 6_000 * 101 + 1


def test_a_short_list_is_saved_with_every_commit() -> None:
    lanes = week_of_alarms(100)
    for _ in range(50):
        send_oldest(lanes)
        assert 0 < len(lanes.to_save(7.0)) <= SAVE_FREELY


def test_what_the_disk_did_not_take_is_saved_with_the_next_commit() -> None:
    lanes = week_of_alarms()
    send_oldest(lanes)
    text = lanes.to_save(0.0)
    lanes.not_saved(text)
    assert lanes.to_save(0.1) == text


def test_a_long_list_is_saved_less_often_while_it_only_grows() -> None:
    """With the line down: 100 records a second and an alarm a minute, on top of a week."""
    lanes, written = week_of_alarms(), 0
    rid = lanes.seen
    for second in range(3600):
        lanes.committed(Bundle(rid + 1, 100, Lane.LIVE, b""), NOW_MS + second * 1000)
        rid += 100
        written += len(lanes.to_save(float(second)))
    assert written < 3600 * 100 * 15, "bytes a record, beside 83 of the record itself"


def test_a_week_without_a_line_keeps_no_list_of_ages() -> None:
    lanes, now_ms = Lanes(), NOW_MS
    for n in range(20_000):
        now_ms += 1000
        lanes.committed(Bundle(n * 10 + 1, 10, Lane.LIVE, b"x" * 800), now_ms)
    assert len(lanes._ages._ages) <= FRESH_MS / 1000 + 1
    assert lanes.waiting(Lane.LIVE, now_ms).records + lanes.waiting(Lane.BACK, now_ms).records == 200_000


def test_a_clock_that_is_set_back_blocks_nothing() -> None:
    lanes = Lanes()
    lanes.committed(Bundle(1, 10, Lane.LIVE, b""), NOW_MS + 86_400_000)
    lanes.committed(Bundle(11, 10, Lane.LIVE, b""), NOW_MS)
    assert list(lanes.due(Lane.BACK, NOW_MS)) == [(1, 10)]
    assert list(lanes.due(Lane.LIVE, NOW_MS)) == [(11, 20)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def filled(store: Store, intervals: int) -> None:
    """Telemetry that waits, and an alarm after each of them that was sent."""
    for _ in range(intervals):
        await store.append([TAIL] * 3)
        await store.append([TAIL], Lane.URGENT)
        await store.flush()
    while batch := await store.outbox.take(Lane.URGENT, 200, 65536):
        store.outbox.settle(batch)
    await store.flush()


@pytest.mark.parametrize("until_confirmed", [False, True])
async def test_what_the_centre_must_confirm_is_kept_until_it_does(
    tmp_path: Path, clock: ManualClock, until_confirmed: bool
) -> None:
    settings = BufferSettings(commit_every_s=0.01, keep_days=7)
    async with Store(tmp_path / "s.sqlite3", settings, clock, until_confirmed=until_confirmed) as store:
        for _ in range(10):
            await store.append([TAIL] * 10)
            await store.flush()
        while batch := await store.outbox.take(Lane.LIVE, 200, 65536):
            store.outbox.settle(batch)
        clock.advance(8 * 86_400)
        await store.append([TAIL])
        await store.flush()
        for upto, kept_from in ((0, 1), (40, 41), (100, 101)):
            await store.outbox.confirmed(upto)
            await store.keeper.tend()
            assert store.outbox.span()[0] == (kept_from if until_confirmed else 101)


async def test_what_was_late_when_it_came_never_queues_before_fresh_records(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "store.sqlite3"
    async with Store(path, BufferSettings(commit_every_s=0.01), clock) as store:
        await store.append([TAIL] * 1000, Lane.BACK)
        await store.append([TAIL] * 2)
        await store.flush()
        assert [store.outbox.waiting(lane).records for lane in Lane] == [0, 2, 1000]
    async with Store(path, BufferSettings(), clock) as store:
        assert [store.outbox.waiting(lane).records for lane in Lane] == [0, 2, 1000]


async def test_a_crash_while_a_long_list_waits_to_be_saved_sends_more_again_and_forgets_nothing(
    tmp_path: Path, clock: ManualClock
) -> None:
    path = tmp_path / "store.sqlite3"
    async with Store(path, BufferSettings(commit_every_s=0.01), clock) as store:
        await filled(store, 600)
        assert len(json.dumps(store.outbox.lanes.dump())) > SAVE_FREELY
        for _ in range(300):
            batch = await store.outbox.take(Lane.LIVE, 200, 65536)
            assert batch is not None
            store.outbox.settle(batch)
            await store._group.flush()  # as commits go by themselves; `Store.flush` also saves the list
        left = store.outbox.lanes.unsettled()
        for suffix in ("", "-wal"):
            shutil.copy(path.with_name(path.name + suffix), tmp_path / ("crashed.sqlite3" + suffix))
    async with Store(tmp_path / "crashed.sqlite3", BufferSettings(), clock) as store:
        after = store.outbox.lanes.unsettled()
        assert all(not after.missing(lo, hi) for lo, hi in left)
        assert len(after) > len(left), "or the list was saved with every commit"
    with inspect.read_only(path) as connection:  # which was closed in an orderly way
        assert inspect.unsettled(connection) == left
