"""Water on the road and pumps: minutes, hours and starts from what was read, and nothing from what was not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from gateway.indicators.formula import Params
from gateway.indicators.formulas.held import held, known_minutes, minutes_on
from gateway.indicators.formulas.works import FORMULAS as FORMULAS_OF_WORKS
from gateway.indicators.formulas.works import DepthParams, InundationParams
from gateway.model.measure import Kind, Quality, Value
from tests.indicators.tracks import T0, given, span, track

DEPTH, MINUTES, HOURS, STARTS = FORMULAS_OF_WORKS
HOUR = span(3600)


def test_minutes_flooded_are_those_deeper_than_the_limit() -> None:
    depth = track("flood.inundation_depth", [10.0] * 20 + [20.0] * 30 + [35.0] * 10, kind=Kind.LAST, unit="cm")
    result = MINUTES.compute(HOUR, given(depth=depth), InundationParams())
    assert result.value == 40
    assert result.detail["minutes_over"] == {"5": 60, "15": 40, "30": 10, "50": 0}
    assert result.detail["max"] == 35
    assert result.quality is Quality.GOOD


def test_a_sensor_in_metres_with_its_ground_taken_off_gives_the_same_minutes() -> None:
    depth = track("flood.inundation_depth", [0.9] * 20 + [1.1] * 40, kind=Kind.LAST, unit="m")
    told = InundationParams(ground_cm=80)
    assert MINUTES.compute(HOUR, given(depth=depth), told).value == 40
    assert DEPTH.compute(HOUR, given(depth=depth), DepthParams(ground_cm=80)).value == pytest.approx(30)
    assert DEPTH.compute(HOUR, given(depth=depth), DepthParams(ground_cm=200)).value == 0


def test_a_sensor_that_speaks_every_ten_minutes_stands_in_between() -> None:
    values: list[Value | None] = [20.0 if i % 10 == 0 else None for i in range(60)]
    depth = track("flood.inundation_depth", values, every_s=600, kind=Kind.LAST, unit="cm")
    assert MINUTES.compute(HOUR, given(depth=depth), InundationParams()).value == 60


def test_minutes_without_data_are_neither_flooded_nor_dry() -> None:
    depth = track("flood.inundation_depth", [20.0] * 10 + [None] * 50, kind=Kind.LAST, unit="cm")
    result = MINUTES.compute(HOUR, given(depth=depth), InundationParams())
    assert (result.value, result.detail["known_min"]) == (10, 10)
    assert result.quality is Quality.UNCERTAIN
    nothing = track("flood.inundation_depth", [None] * 60, kind=Kind.LAST)
    assert MINUTES.compute(HOUR, given(depth=nothing), InundationParams()).value is None
    assert DEPTH.compute(HOUR, given(depth=nothing), DepthParams()).value is None


def test_a_pump_is_counted_by_hours_and_starts() -> None:
    states = [False] * 10 + [True] * 15 + [False] * 20 + [True] * 15
    pump = track("flood.pump_running", states, kind=Kind.LAST)
    hours = HOURS.compute(HOUR, given(running=pump), Params())
    assert hours.value == pytest.approx(0.5)
    assert STARTS.compute(HOUR, given(running=pump), Params()).value == 2


def test_a_pump_that_ran_before_the_day_did_not_start_in_it() -> None:
    pump = track("flood.pump_running", [True] * 120, kind=Kind.LAST, start_ms=T0 - 3_600_000)
    assert STARTS.compute(HOUR, given(running=pump), Params()).value == 0
    at_midnight = track("flood.pump_running", [False] * 60 + [True] * 60, kind=Kind.LAST, start_ms=T0 - 3_600_000)
    assert STARTS.compute(HOUR, given(running=at_midnight), Params()).value == 1


def test_a_pump_of_which_nothing_is_known_did_not_stand_still() -> None:
    pump = track("flood.pump_running", [None] * 60, kind=Kind.LAST)
    assert HOURS.compute(HOUR, given(running=pump), Params()).value is None
    assert STARTS.compute(HOUR, given(running=pump), Params()).value is None
    told_in_words = track("flood.pump_running", ["on"] * 60, kind=Kind.LAST)
    assert HOURS.compute(HOUR, given(running=told_in_words), Params()).value is None


@forall(st.lists(st.sampled_from([True, False, None]), max_size=60), st.sampled_from([60, 300, 900]))
def test_time_held_never_overlaps_and_never_exceeds_the_span(states: Sequence[bool | None], every_s: int) -> None:
    courses = held(track("flood.pump_running", states, every_s=every_s, kind=Kind.LAST), HOUR)
    assert all(one.end_ms <= other.start_ms for one, other in pairwise(courses))
    assert minutes_on(courses) <= known_minutes(courses) <= 60


def test_a_value_stands_as_long_as_it_is_told_to_and_into_the_span() -> None:
    said = track("parking.occupied", [True], kind=Kind.LAST, start_ms=T0 - 3_600_000)
    assert known_minutes(held(said, HOUR, hold_s=5400)) == 30
    assert held(said, HOUR) == []
