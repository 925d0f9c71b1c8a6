"""Folding: a longer window is what one window over all the readings would have been."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.folding import fold
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Quality, Reading, Reason, Signal, Value
from gateway.pipeline.windows import Window

MINUTE = 60_000
HOUR = 60 * MINUTE
T0 = 1_795_320_000_000 - 1_795_320_000_000 % HOUR
TOP = 1_000.0
"""Where the counters of these tests roll over."""


def signal(kind: Kind = Kind.MEAN, **more: Any) -> Signal:
    return Signal(**{"id": "s", "point": "s", "indicator": "x", "unit": "1", "kind": kind, "every_s": 10, **more})


def window(
    minute: int, values: Sequence[Value | None], of: Signal | None = None, base: float | None = 0.0
) -> Indicator:
    """The window of one minute, with readings 10 s apart."""
    open_ = Window(of or signal(), T0 + minute * MINUTE, base)
    for i, value in enumerate(values):
        at_ms = open_.start_ms + i * 10_000
        open_.add(Reading.missing("s", at_ms, Reason.NO_ANSWER) if value is None else Reading("s", at_ms, value))
    return open_.close()


def five(windows: Iterable[Indicator], of: Signal | None = None) -> Indicator:
    return fold(of or signal(), windows, T0, T0 + 5 * MINUTE)


# --- as one window would have it ------------------------------------------------------------------------------------

numbers = st.integers(0, int(TOP) - 1)
texts: st.SearchStrategy[Value] = st.sampled_from(["on", "off", True, False])


@st.composite
def readings(draw: st.DrawFn, values: st.SearchStrategy[Value]) -> list[Reading]:
    """An hour of them, in order, with gaps, failures, and values that are doubtful or bad."""
    found = []
    for offset in sorted(draw(st.lists(st.integers(0, HOUR - 1), max_size=120))):
        quality = draw(st.sampled_from([Quality.GOOD] * 5 + [Quality.UNCERTAIN, Quality.BAD, Quality.MISSING]))
        if quality is Quality.MISSING:
            found.append(Reading.missing("s", T0 + offset, draw(st.sampled_from([Reason.NO_ANSWER, Reason.LINK_DOWN]))))
            continue
        why = {Quality.UNCERTAIN: (Reason.SPIKE,), Quality.BAD: (Reason.OUT_OF_RANGE,)}.get(quality, ())
        found.append(Reading("s", T0 + offset, draw(values), quality, why))
    return found


def base_windows(of: Signal, all_readings: Sequence[Reading], stops: Iterable[int], base: float) -> list[Indicator]:
    """What the pipeline makes of them: windows of a minute, cut in two where the gateway stopped; where nothing came,
    none for every other minute, as if it had been off."""
    ends = sorted({*range(T0 + MINUTE, T0 + HOUR + 1, MINUTE), *(T0 + stop for stop in stops)})
    closed: list[Indicator] = []
    open_ = Window(of, T0, base)
    for end_ms in ends:
        inside = [r for r in all_readings if open_.start_ms <= r.at_ms < end_ms]
        for reading in inside:
            open_.add(reading)
        if inside or end_ms % (2 * MINUTE) == 0:
            closed.append(open_.close(end_ms))
        open_ = Window(of, end_ms, open_.last)
    return closed


def in_one(of: Signal, all_readings: Iterable[Reading], base: float) -> Indicator:
    whole = Window(replace(of, window_s=3600), T0, base)
    for reading in all_readings:
        whole.add(reading)
    return whole.close()


def said(indicator: Indicator) -> tuple[Any, ...]:
    """Everything but the order of reasons. Minutes in which nothing came say `stale`, which an hour has no word for."""
    reasons = set(indicator.reasons) - {Reason.STALE}
    return indicator.start_ms, indicator.end_ms, indicator.value, indicator.quality, reasons, indicator.parts


@given(
    st.sampled_from(list(Kind)).flatmap(lambda kind: st.tuples(st.just(kind), readings(numbers))),
    st.lists(st.integers(1, HOUR - 1), max_size=3),
    numbers,
)
def test_folded_windows_are_one_window_over_all_readings(
    case: tuple[Kind, list[Reading]], stops: list[int], base: int
) -> None:
    kind, all_readings = case
    of = signal(kind, rollover=TOP if kind is Kind.DELTA else None, every_s=40)
    windows = base_windows(of, all_readings, stops, float(base))
    folded = fold(of, windows, T0, T0 + HOUR)
    whole = in_one(of, all_readings, float(base))
    assert said(replace(folded, signal=whole.signal)) == said(whole)
    fives = [
        fold(of, inside, T0 + n * 5 * MINUTE, T0 + (n + 1) * 5 * MINUTE)
        for n in range(12)
        if (inside := [w for w in windows if T0 + n * 5 * MINUTE < w.end_ms <= T0 + (n + 1) * 5 * MINUTE])
    ]
    assert said(fold(of, reversed(fives), T0, T0 + HOUR)) == said(folded)


@given(st.sampled_from([Kind.LAST, Kind.EVENT]), readings(texts), st.lists(st.integers(1, HOUR - 1), max_size=3))
def test_texts_and_contacts_keep_their_last_value(kind: Kind, all_readings: list[Reading], stops: list[int]) -> None:
    of = signal(kind, every_s=40)
    folded = fold(of, base_windows(of, all_readings, stops, 0.0), T0, T0 + HOUR)
    whole = in_one(of, all_readings, 0.0)
    assert (type(folded.value), folded.value) == (type(whole.value), whole.value)
    assert folded.parts == whole.parts


# --- in words -------------------------------------------------------------------------------------------------------


def test_an_average_is_never_an_average_of_averages() -> None:
    assert five([window(0, [1] * 6), window(1, [8, 8])]).value == 22 / 8


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(Kind.MIN, 1.0), (Kind.MAX, 6.0), (Kind.SUM, 14.0), (Kind.LAST, 2.0), (Kind.COUNT, 4), (Kind.DELTA, 8.0)],
)
def test_each_kind_is_folded_its_own_way(kind: Kind, expected: float) -> None:
    of = signal(kind)
    assert five([window(0, [1, 5], of), window(1, [6, 2], of, base=5.0)], of).value == expected


def test_time_without_any_window_counts_as_expected() -> None:
    folded = five([window(0, [1] * 6), window(1, [1] * 6), window(2, [1] * 6)])
    assert folded.parts == Parts(18, 30, 18.0, 1.0, 1.0, 1.0, 1.0)
    assert (folded.quality, folded.reasons) == (Quality.UNCERTAIN, (Reason.PARTIAL,))


def test_one_incomplete_minute_does_not_make_a_complete_hour_partial() -> None:
    incomplete = window(0, [1, None, None, None, 1, 1])
    assert Reason.PARTIAL in incomplete.reasons
    folded = five([incomplete, *(window(n, [1] * 6) for n in range(1, 5))])
    assert (folded.quality, folded.reasons) == (Quality.GOOD, (Reason.NO_ANSWER,))


def test_a_doubtful_minute_makes_its_hour_doubtful() -> None:
    doubtful = replace(window(0, [1] * 6), quality=Quality.UNCERTAIN, reasons=(Reason.CLOCK_UNSYNCED,))
    folded = five([doubtful, *(window(n, [1] * 6) for n in range(1, 5))])
    assert (folded.quality, folded.reasons) == (Quality.UNCERTAIN, (Reason.CLOCK_UNSYNCED,))


def test_a_counter_of_which_the_start_is_unknown_stays_doubtful() -> None:
    of = signal(Kind.DELTA)
    folded = five([window(0, [7] * 6, of, base=None), *(window(n, [7] * 6, of, base=7.0) for n in range(1, 5))], of)
    assert (folded.value, folded.quality) == (0.0, Quality.UNCERTAIN)


@pytest.mark.parametrize("kind", list(Kind))
def test_of_nothing_nothing_is_known(kind: Kind) -> None:
    folded = five([], signal(kind))
    assert (folded.value, folded.quality, folded.reasons) == (None, Quality.MISSING, (Reason.STALE,))
    assert folded.parts == Parts(0, 30)


def test_windows_that_say_why_there_is_no_value_say_it_for_the_whole() -> None:
    folded = five([window(0, [None]), window(1, [])])
    assert (folded.value, folded.quality) == (None, Quality.MISSING)
    assert set(folded.reasons) == {Reason.NO_ANSWER, Reason.STALE}
