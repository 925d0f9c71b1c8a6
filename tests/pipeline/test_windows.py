"""Windows: aligned, complete, honest about what is missing; no reading is counted twice or lost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.folding import growth
from gateway.model.indicator import Indicator
from gateway.model.measure import Forward, Kind, Quality, Reading, Reason, Rule, Signal, Value
from gateway.pipeline.pipeline import Pipeline
from tests.kit.clock import ManualClock

MINUTE = 60_000
T0 = 1_795_322_220_000 - 1_795_322_220_000 % MINUTE


def signal(kind: Kind = Kind.MEAN, **more: Any) -> Signal:
    return Signal(**{"id": "s", "point": "s", "indicator": "x", "unit": "1", "kind": kind, "every_s": 10, **more})


def run(values: Sequence[Value | None], kind: Kind = Kind.MEAN, **more: Any) -> Indicator:
    """One full window of readings 10 s apart."""
    clock = ManualClock(T0)
    pipeline = Pipeline([signal(kind, **more)], clock)
    for i, value in enumerate(values):
        at_ms = T0 + i * 10_000
        missing = Reading.missing("s", at_ms, Reason.NO_ANSWER)
        pipeline.accept([missing if value is None else Reading("s", at_ms, value)])
    (closed,) = pipeline.close(T0 + MINUTE)
    return closed


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.MEAN, 3.5), (Kind.MIN, 1.0), (Kind.MAX, 6.0), (Kind.LAST, 6.0), (Kind.SUM, 21.0), (Kind.COUNT, 6),
    ],
)  # fmt: skip
def test_each_kind_reduces_a_window_its_own_way(kind: Kind, expected: float) -> None:
    closed = run([1, 2, 3, 4, 5, 6], kind)
    assert (closed.value, closed.quality, closed.reasons) == (expected, Quality.GOOD, ())
    assert (closed.start_ms, closed.end_ms) == (T0, T0 + MINUTE)
    parts = closed.parts
    assert parts is not None
    assert (parts.n, parts.expected, parts.total, parts.low, parts.high, parts.first, parts.last) == (
        6, 6, 21.0, 1.0, 6.0, 1.0, 6.0,
    )  # fmt: skip


def test_an_empty_window_is_known_to_be_empty_and_never_zero() -> None:
    closed = run([])
    assert (closed.value, closed.quality, closed.reasons) == (None, Quality.MISSING, (Reason.STALE,))
    assert closed.parts is not None
    assert (closed.parts.n, closed.parts.expected) == (0, 6)


def test_missing_readings_lower_the_completeness_and_leave_their_reason() -> None:
    closed = run([1, None, None, 1, 1, None])
    assert (closed.value, closed.quality) == (1.0, Quality.UNCERTAIN)
    assert set(closed.reasons) == {Reason.NO_ANSWER, Reason.PARTIAL}


def test_bad_readings_never_enter_a_mean() -> None:
    clock = ManualClock(T0)
    pipeline = Pipeline([signal()], clock)
    for i in range(6):
        bad = Reading("s", T0 + i * 10_000, 1e6, Quality.BAD, (Reason.OUT_OF_RANGE,))
        pipeline.accept([bad if i == 2 else Reading("s", T0 + i * 10_000, 4.0)])
    (closed,) = pipeline.close(T0 + MINUTE)
    assert closed.value == 4.0
    assert closed.reasons == (Reason.OUT_OF_RANGE,)
    assert closed.parts is not None
    assert (closed.parts.n, closed.parts.expected) == (5, 6)


@pytest.mark.parametrize(
    ("before", "now", "rollover", "expected"),
    [
        (10, 15, None, 5),
        (10, 10, 65536, 0),
        (65_530, 4, 65536, 10),
        (1000, 4, 65536, 4),
        (1000, 4, None, 4),
    ],
)
def test_counters_grow_roll_over_and_restart(before: float, now: float, rollover: float, expected: float) -> None:
    assert growth(before, now, rollover) == expected


def test_a_counter_loses_nothing_across_windows_and_gaps() -> None:
    clock = ManualClock(T0)
    pipeline = Pipeline([signal(Kind.DELTA, every_s=60)], clock)
    out: list[Indicator] = []
    for minute, value in [(0, 100), (1, 130), (4, 200), (5, 10)]:
        out += pipeline.accept([Reading("s", T0 + minute * MINUTE, value)])
    out += pipeline.close(T0 + 6 * MINUTE)
    grown = [i.value for i in out if i.value is not None]
    assert grown == [0.0, 30.0, 70.0, 10.0]
    assert Reason.PARTIAL in out[0].reasons


def test_text_and_contacts_keep_their_last_value() -> None:
    assert run(["off", "on"], Kind.LAST, every_s=30).value == "on"
    assert run([False, True, True, True, True, True], Kind.LAST).value is True


@given(st.lists(st.tuples(st.integers(0, 600_000), st.integers(-1000, 1000)), max_size=60))
def test_no_reading_is_lost_or_counted_twice(readings: list[tuple[int, int]]) -> None:
    clock = ManualClock(T0)
    pipeline = Pipeline([signal(Kind.SUM)], clock)
    out: list[Indicator] = []
    for offset, value in sorted(readings):
        out += pipeline.accept([Reading("s", T0 + offset, value)])
    out += pipeline.close_all(T0 + 700_000)
    assert sum(i.parts.n for i in out if i.parts is not None) == len(readings)
    assert sum(i.value for i in out if isinstance(i.value, float)) == sum(v for _, v in readings)
    spans = [(i.start_ms, i.end_ms) for i in out]
    assert all(a_end <= b_start for (_, a_end), (b_start, _) in itertools.pairwise(spans) if b_start)


def test_a_stop_closes_windows_as_partial_and_the_next_start_goes_on_from_there() -> None:
    clock = ManualClock(T0 + 30_000)
    pipeline = Pipeline([signal()], clock)
    pipeline.accept([Reading("s", T0 + 31_000, 1.0), Reading("s", T0 + 41_000, 3.0)])
    (stopped,) = pipeline.close_all(T0 + 45_000)
    assert (stopped.start_ms, stopped.end_ms, stopped.value) == (T0 + 30_000, T0 + 45_000, 2.0)
    assert Reason.PARTIAL in stopped.reasons
    clock.advance(20)
    again = Pipeline([signal()], clock)
    (next_one,) = again.close(T0 + MINUTE)
    assert (next_one.start_ms, next_one.end_ms) == (T0 + 50_000, T0 + MINUTE)


def test_a_clock_that_jumps_ahead_leaves_no_windows_between() -> None:
    clock = ManualClock(T0)
    pipeline = Pipeline([signal()], clock)
    pipeline.accept([Reading("s", T0, 1.0)])
    (before,) = pipeline.accept([Reading("s", T0 + 100 * MINUTE + 5, 2.0)])
    (after,) = pipeline.close(T0 + 101 * MINUTE)
    assert (before.end_ms, after.start_ms, after.value) == (T0 + MINUTE, T0 + 100 * MINUTE, 2.0)


def test_a_clock_that_jumps_back_still_counts_every_reading() -> None:
    clock = ManualClock(T0)
    pipeline = Pipeline([signal(Kind.COUNT)], clock)
    pipeline.accept([Reading("s", T0 + 30_000, 1.0)])
    clock.step(-500)
    assert pipeline.accept([Reading("s", T0 - 500_000, 2.0)]) == []
    (closed,) = pipeline.close(T0 + MINUTE)
    assert closed.value == 2


def test_a_clock_that_was_years_ahead_and_is_set_right_closes_windows_again() -> None:
    clock = ManualClock(T0 + 5_000_000 * MINUTE)
    pipeline = Pipeline([signal(Kind.COUNT), replace(signal(Kind.COUNT), id="h", window_s=3600)], clock)
    for name in ("s", "h"):
        pipeline.accept([Reading(name, clock.now_ms(), 1.0)])
    clock.step(-5_000_000 * 60)
    wrong = pipeline.close(T0)
    assert [(i.start_ms, i.value, Reason.PARTIAL in i.reasons) for i in wrong] == [
        (T0 + 5_000_000 * MINUTE, 1, True)
    ] * 2  # fmt: skip
    assert pipeline.close(T0) == []
    pipeline.accept([Reading("s", T0 + 1_000, 2.0)])
    (right,) = pipeline.close(T0 + MINUTE)
    assert (right.start_ms, right.end_ms, right.value) == (T0, T0 + MINUTE, 1)


def test_a_clock_that_is_corrected_by_seconds_gives_no_span_twice() -> None:
    pipeline = Pipeline([signal(Kind.COUNT)], ManualClock(T0))
    assert pipeline.close(T0 - 40_000) == []
    (closed,) = pipeline.close(T0 + MINUTE)
    assert closed.start_ms == T0


@pytest.mark.parametrize("forward", ["windows", "both"])
def test_a_reading_from_before_the_open_window_is_a_record_of_its_own(forward: str) -> None:
    clock = ManualClock(T0 + 10 * MINUTE)
    pipeline = Pipeline([signal(Kind.SUM, forward=Forward(forward), rule=Rule(high=100, max_step=1))], clock)
    pipeline.accept([Reading("s", T0 + 10 * MINUTE, 7.0)])
    late = pipeline.accept(
        [
            Reading("s", T0, 50.0),
            Reading("s", T0 + MINUTE, 500.0, Quality.BAD, (Reason.CALIBRATING,)),
            Reading.missing("s", T0 + 2 * MINUTE, Reason.DEVICE_FAULT),
        ]
    )
    singles, windows = [i for i in late if i.forwarded], [i for i in late if not i.forwarded]
    assert [(i.start_ms, i.end_ms, i.value, i.quality, i.reasons) for i in singles] == [
        (None, T0, 50.0, Quality.GOOD, (Reason.REPLAYED,)),
        (None, T0 + MINUTE, 500.0, Quality.BAD, (Reason.CALIBRATING, Reason.REPLAYED, Reason.OUT_OF_RANGE)),
        (None, T0 + 2 * MINUTE, None, Quality.MISSING, (Reason.DEVICE_FAULT, Reason.REPLAYED)),
    ]
    assert [(i.start_ms, i.end_ms, i.value) for i in windows] == [(T0, T0 + MINUTE, 50.0)], "values, for the history"
    assert pipeline.latest(clock.now_ms())["s"].value == 7.0
    (closed,) = pipeline.close(T0 + 11 * MINUTE)
    assert closed.value == 7.0
    assert Reason.REPLAYED not in closed.reasons


def test_an_answer_that_was_under_way_when_its_window_closed_is_not_late() -> None:
    clock = ManualClock(T0)
    pipeline = Pipeline([signal(Kind.COUNT)], clock)
    clock.advance(60.001)
    pipeline.close(clock.now_ms())
    assert pipeline.accept([Reading("s", T0 + MINUTE - 1, 1.0)]) == []
    (closed,) = pipeline.close(T0 + 2 * MINUTE)
    assert closed.value == 1


def test_what_comes_late_where_every_reading_is_forwarded_says_so_and_does_not_become_the_latest() -> None:
    clock = ManualClock(T0 + 10 * MINUTE)
    pipeline = Pipeline([signal(forward=Forward.EVERY, rule=Rule(max_step=1))], clock)
    out = pipeline.accept([Reading("s", T0 + 10 * MINUTE, 7.0), Reading("s", T0, 50.0)])
    assert [(i.value, i.quality, i.reasons) for i in out if i.forwarded] == [
        (7.0, Quality.GOOD, ()),
        (50.0, Quality.GOOD, (Reason.REPLAYED,)),
    ]
    assert pipeline.latest(clock.now_ms())["s"].value == 7.0


def test_an_unset_clock_is_said_with_every_value() -> None:
    clock = ManualClock(T0, synced=False)
    pipeline = Pipeline([signal(forward=Forward.BOTH)], clock)
    (single,) = pipeline.accept([Reading("s", T0, 1.0)])
    (window,) = pipeline.close(T0 + MINUTE)
    assert Reason.CLOCK_UNSYNCED in single.reasons
    assert Reason.CLOCK_UNSYNCED in window.reasons


@pytest.mark.parametrize(("forward", "singles", "windows"), [("every", 3, 0), ("both", 3, 1), ("windows", 0, 1)])
def test_forward_decides_what_leaves(forward: str, singles: int, windows: int) -> None:
    clock = ManualClock(T0)
    pipeline = Pipeline([signal(forward=Forward(forward))], clock)
    out = [i for t in range(3) for i in pipeline.accept([Reading("s", T0 + t, float(t))])]
    assert len(out) == singles
    closed = pipeline.close(T0 + MINUTE)
    assert len(closed) == 1  # for the history, whatever leaves
    assert sum(window.forwarded for window in closed) == windows


# --- late readings, for the history ---------------------------------------------------------------------------------


def test_late_readings_of_a_batch_are_windows_of_the_full_length_that_stay_here() -> None:
    clock = ManualClock(T0 + 60 * MINUTE)
    pipeline = Pipeline([signal(), signal(Kind.COUNT, id="c")], clock)
    late = [Reading(name, T0 + n * 10_000, float(n)) for n in range(12) for name in ("s", "c")]
    windows = [i for i in pipeline.accept(late) if i.start_ms is not None]
    assert [(i.signal.id, i.start_ms, i.end_ms, i.value, i.quality, i.reasons) for i in windows] == [
        (name, T0 + n * MINUTE, T0 + (n + 1) * MINUTE, value, Quality.GOOD, (Reason.REPLAYED,))
        for n in (0, 1)
        for name, value in (("s", 2.5 + 6 * n), ("c", 6))
    ]
    assert not any(i.forwarded for i in windows)


def test_late_readings_without_a_value_make_no_window() -> None:
    pipeline = Pipeline([signal(Kind.COUNT)], ManualClock(T0 + 60 * MINUTE))
    (alone,) = pipeline.accept([Reading.missing("s", T0, Reason.DEVICE_FAULT)])
    assert alone.start_ms is None


def test_late_readings_of_a_counter_make_no_window_because_its_next_one_takes_their_growth() -> None:
    clock = ManualClock(T0)
    pipeline = Pipeline([signal(Kind.DELTA)], clock)
    out = pipeline.accept([Reading("s", T0, 100.0)])
    clock.advance(3600)
    out += pipeline.close(clock.now_ms())
    out += pipeline.accept([Reading("s", T0 + 20 * MINUTE, 120.0), Reading("s", T0 + 60 * MINUTE, 160.0)])
    out += pipeline.close(T0 + 61 * MINUTE)
    assert [i.value for i in out if i.start_ms is not None] == [0.0, 60.0]


@pytest.mark.parametrize(("kind", "value"), [(Kind.DELTA, 20.0), (Kind.LAST, 120.0), (Kind.MEAN, 110.0)])
def test_what_comes_late_for_a_long_window_that_is_open_is_in_it_and_not_its_last(kind: Kind, value: float) -> None:
    hour = T0 - T0 % (60 * MINUTE)
    clock = ManualClock(hour)
    pipeline = Pipeline([signal(kind, window_s=3600, every_s=1200, rule=Rule(max_step=15))], clock)
    pipeline.accept([Reading("s", hour, 100.0)])
    clock.advance(2400)
    pipeline.accept([Reading("s", hour + 2_400_000, 120.0)])
    clock.advance(300)
    assert pipeline.accept([Reading("s", hour + 1_200_000, 110.0)]) == []
    assert pipeline.latest(clock.now_ms())["s"].value == 120.0
    (closed,) = pipeline.close(hour + 60 * MINUTE)
    assert closed.parts is not None
    assert (closed.value, closed.parts.n, closed.parts.last) == (value, 3, 120.0)


def test_what_comes_late_for_an_empty_window_that_is_open_is_its_last_and_grows_from_before() -> None:
    hour = T0 - T0 % (60 * MINUTE)
    clock = ManualClock(hour)
    pipeline = Pipeline([signal(Kind.DELTA, window_s=3600, every_s=1200)], clock)
    pipeline.resume({"s": 90.0})
    clock.advance(2700)
    pipeline.accept([Reading.missing("s", clock.now_ms(), Reason.NO_ANSWER)])
    pipeline.accept([Reading("s", hour + 1_200_000, 100.0), Reading("s", hour + 600_000, 95.0)])
    (closed,) = pipeline.close(hour + 60 * MINUTE)
    assert (closed.value, closed.parts and closed.parts.last) == (10.0, 100.0)


def test_a_late_reading_of_a_signal_that_forwards_each_one_is_in_the_window_that_is_open() -> None:
    clock = ManualClock(T0)
    pipeline = Pipeline([signal(Kind.MEAN, forward=Forward.EVERY)], clock)
    clock.advance(30)
    out = pipeline.accept([Reading("s", T0 + 30_000, 6.0), Reading("s", T0 + 10_000, 2.0)])
    assert [(i.start_ms, i.value, i.reasons) for i in out] == [(None, 6.0, ()), (None, 2.0, (Reason.REPLAYED,))]
    (closed,) = pipeline.close(T0 + MINUTE)
    assert (closed.value, closed.parts and closed.parts.n, Reason.REPLAYED in closed.reasons) == (4.0, 2, False)


# --- counters over a restart ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("now", "grown"), [(107.0, 7.0), (100.0, 0.0), (3.0, 3.0)])
def test_a_counter_goes_on_from_what_was_stored(now: float, grown: float) -> None:
    pipeline = Pipeline([signal(Kind.DELTA, every_s=60)], ManualClock(T0))
    pipeline.resume({"s": 100.0, "gone": 5.0})
    pipeline.accept([Reading("s", T0, now)])
    (closed,) = pipeline.close(T0 + MINUTE)
    assert (closed.value, closed.quality, closed.reasons) == (grown, Quality.GOOD, ())


def test_only_counters_are_resumed_and_never_over_what_was_read() -> None:
    pipeline = Pipeline([signal(Kind.DELTA, every_s=60), signal(id="m")], ManualClock(T0))
    pipeline.accept([Reading("s", T0, 100.0)])
    pipeline.resume({"s": 1.0, "m": 1.0})
    pipeline.accept([Reading("s", T0 + 1, 101.0)])
    closed = pipeline.close(T0 + MINUTE)
    assert [(i.value, i.quality) for i in closed] == [(1.0, Quality.UNCERTAIN), (None, Quality.MISSING)]
