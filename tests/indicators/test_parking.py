"""Parking: a sensor's last word stands for its hours, a silent space is not free, gates count anew each day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from gateway.indicators.formula import Result, Track
from gateway.indicators.formulas.parking import FORMULAS, ParkingParams
from gateway.model.measure import Kind, Quality, Value
from tests.indicators.tracks import HOUR_MS, T0, given, span, track

(PARKING,) = FORMULAS
FIVE_MIN = span(300)


def bay(number: int, values: Sequence[Value | None], ago_h: float = 0) -> Track:
    start_ms = T0 - round(ago_h * HOUR_MS)
    return track(
        "parking.occupied", values, every_s=86_400, kind=Kind.LAST, id=f"bay{number}/occupied", start_ms=start_ms
    )


def parking(what: str, *tracks: Track, **told: Any) -> Result:
    return PARKING.compute(FIVE_MIN, given(occupied=tracks), ParkingParams.model_validate({"what": what, **told}))


def gates(entered: list[Value | None], left: list[Value | None], what: str = "occupied", **told: Any) -> Result:
    """Hourly counts from 04:00 of the day before to midnight of T0."""
    start_ms = T0 - 20 * HOUR_MS
    ins = track("parking.in", entered, 3600, 3600, Kind.SUM, start_ms=start_ms)
    outs = track("parking.out", left, 3600, 3600, Kind.SUM, start_ms=start_ms)
    midnight = span(300, T0 - 300_000)
    params = ParkingParams.model_validate({"what": what, "capacity": 100, **told})
    return PARKING.compute(midnight, given(**{"in": ins, "out": outs}), params)


def test_the_last_word_of_each_space_stands() -> None:
    spaces = [bay(1, [True], 5), bay(2, [False], 20), bay(3, [True, None, False], 1), bay(4, [True], 25)]
    for what, value in (("capacity", 4), ("occupied", 2), ("free", 2), ("rate", 50)):
        assert parking(what, *spaces).value == value, what
    assert parking("rate", *spaces).quality is Quality.GOOD


def test_a_silent_space_is_unknown_and_not_free() -> None:
    result = parking("free", bay(1, [False], 1), bay(2, [False], 30))
    assert (result.value, result.detail["unknown"]) == (1, 1)
    assert result.quality is Quality.UNCERTAIN
    assert parking("rate", bay(1, [True], 1), bay(2, [False], 30)).value == 100
    assert parking("free", bay(1, [None], 1), bay(2, [False], 30)).value is None


def test_spaces_without_a_sensor_are_unknown_too() -> None:
    result = parking("free", bay(1, [False], 1), capacity=3)
    assert (result.value, result.detail["unknown"], result.quality) == (1, 2, Quality.UNCERTAIN)


@forall(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=20))
def test_free_and_taken_and_unknown_are_all_spaces(states: list[bool | None]) -> None:
    spaces = [bay(i, [state], 1) for i, state in enumerate(states)]
    free, taken = parking("free", *spaces), parking("occupied", *spaces)
    if free.value is None or taken.value is None:
        assert states.count(None) == len(states)
    else:
        assert float(free.value) + float(taken.value) + free.detail["unknown"] == len(states)


def test_gates_count_since_the_car_park_was_empty() -> None:
    result = gates([5] * 20, [2] * 20)
    assert result.value == 60
    assert (result.detail["in"], result.detail["out"]) == (100, 40)
    assert gates([5] * 20, [2] * 20, "free").value == 40
    assert gates([5] * 20, [2] * 20, at_empty=10).value == 70


def test_more_out_than_in_is_no_negative_number_but_is_said() -> None:
    result = gates([1] * 20, [2] * 20)
    assert (result.value, result.detail["counted"]) == (0, -20)
    assert gates([50] * 20, [0] * 20).value == 100


def test_gates_without_data_or_capacity_tell_nothing() -> None:
    assert gates([None] * 20, [2] * 20).value is None
    assert gates([5] * 20, [2] * 10 + [None] * 10).quality is Quality.UNCERTAIN
    no_capacity = PARKING.compute(FIVE_MIN, given(), ParkingParams(what="free"))
    assert no_capacity.detail["why"] == "no_capacity"


def test_at_the_hour_it_begins_anew_there_are_those_it_is_told() -> None:
    ins = track("parking.in", [5] * 24, 3600, 3600, Kind.SUM, start_ms=T0 - 20 * HOUR_MS)
    four = span(300, T0 + 4 * HOUR_MS - 300_000)
    told = ParkingParams(what="occupied", capacity=50, at_empty=7)
    assert PARKING.compute(four, given(**{"in": ins, "out": ins}), told).value == pytest.approx(7)
