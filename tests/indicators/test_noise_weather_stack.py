"""Means that are none of numbers: of sound energy, of wind vectors, of concentrations at a reference oxygen."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Params, Result, Track
from gateway.indicators.formulas.noise import NightParams, energy_mean, night_of
from gateway.indicators.formulas.stack import OxygenParams, at_reference
from gateway.indicators.formulas.weather import WindParams, vector_mean
from gateway.indicators.periods import Period, Span, clock_s, time_of_day_s
from gateway.model.measure import Kind, Quality, Reason, Value
from tests.indicators.tracks import HOUR_MS, T0, given, span, track

NIGHT = Period.of("night").span(T0 + 12 * HOUR_MS)


def laeq(values: Sequence[Value | None], start_ms: int = T0, window_s: int = 60) -> Track:
    return track("noise.laeq", values, 10, window_s, start_ms=start_ms, unit="dB{A}")


def compute(name: str, at: Span, params: Params, /, **tracks: Track) -> Result:
    return FORMULAS[name].compute(at, given(**tracks), params)


def test_loud_and_quiet_halves_are_not_averaged_as_numbers() -> None:
    found = compute("laeq", span(3600), Params(), value=laeq([60] * 30 + [70] * 30))
    assert found.value == pytest.approx(67.404, abs=1e-3)
    assert found.quality is Quality.GOOD


def test_the_centre_can_put_two_hours_together_from_their_energy_sums() -> None:
    hours = [compute("laeq", span(3600), Params(), value=laeq([level] * 60)).detail for level in (60, 70)]
    whole = compute("laeq", span(7200), Params(), value=laeq([60] * 60 + [70] * 60)).value
    assert 10 * log10(sum(h["energy_sum"] for h in hours) / sum(h["n"] for h in hours)) == pytest.approx(whole)


def test_silence_of_the_meter_is_not_silence_of_the_street() -> None:
    found = compute("laeq", span(3600), Params(), value=laeq([None] * 60))
    assert (found.value, found.quality, found.reasons) == (None, Quality.MISSING, (Reason.NO_ANSWER,))
    few = compute("laeq", span(3600), Params(), value=laeq([60] * 44 + [None] * 16))
    assert few.value == pytest.approx(60)
    assert few.quality is Quality.UNCERTAIN


@settings(max_examples=100)
@examples(levels=st.lists(st.floats(20, 140), min_size=1, max_size=20))
def test_the_energy_mean_lies_between_arithmetic_mean_and_maximum(levels: list[float]) -> None:
    mean = energy_mean([(level, 1.0) for level in levels])
    assert mean is not None
    assert sum(levels) / len(levels) - 1e-9 <= mean <= max(levels) + 1e-9


def test_the_night_is_in_one_piece_and_the_evening_is_not_in_it() -> None:
    night = night_of(NIGHT, "21:00", "06:00")
    assert (time_of_day_s(night.start_ms), time_of_day_s(night.end_ms)) == (clock_s("21:00"), clock_s("06:00"))
    assert night.length_s == 9 * 3600
    hours = [80] * 9 + [50] * 9 + [80] * 6
    found = compute("laeq_night", NIGHT, NightParams(), value=laeq(hours, NIGHT.start_ms, 3600))
    assert found.value == pytest.approx(50)


@pytest.mark.parametrize(
    ("winds", "speed", "direction"),
    [
        ([(5, 350), (5, 10)], 4.924, 360),
        ([(5, 90)], 5, 90),
        ([(4, 180), (4, 270)], 2.828, 225),
        ([(5, 0), (5, 180)], 0, 0),
        ([(0.1, 45)], 0.1, 0),
    ],
)
def test_winds_around_north_do_not_come_from_the_south(
    winds: list[tuple[float, float]], speed: float, direction: float
) -> None:
    found = vector_mean(winds)
    assert found is not None
    assert found.speed == pytest.approx(speed, abs=1e-3)
    assert found.direction == pytest.approx(direction)


def wind(speeds: list[Any], directions: list[Any]) -> dict[str, Track]:
    return {
        "speed": track("air.wind_speed", speeds, unit="m/s"),
        "direction": track("air.wind_dir", directions, kind=Kind.LAST, unit="deg"),
    }


def test_a_minute_with_only_one_of_both_does_not_count_as_wind() -> None:
    found = compute("wind_direction", span(600), WindParams(), **wind([5] * 9 + [None], [350, 10] * 5))
    assert found.detail["n"] == 9
    assert found.quality is Quality.GOOD
    few = compute("wind_direction", span(600), WindParams(), **wind([5] * 10, [90] * 4 + [None] * 6))
    assert few.value == pytest.approx(90)
    assert (few.detail["n"], few.quality) == (4, Quality.UNCERTAIN)


def test_calm_is_told_from_no_data() -> None:
    calm = compute("wind_direction", span(600), WindParams(), **wind([0.0] * 10, [123] * 10))
    assert (calm.value, calm.detail["calm"], calm.quality) == (0, True, Quality.GOOD)
    none = compute("wind_direction", span(600), WindParams(), **wind([None] * 10, [123] * 10))
    assert (none.value, none.quality) == (None, Quality.MISSING)


def test_the_parts_of_the_wind_add_up() -> None:
    found = compute("wind_speed", span(600), WindParams(), **wind([3] * 10, [90] * 10))
    assert found.value == pytest.approx(3)
    assert (found.detail["u_sum"], found.detail["n"]) == (pytest.approx(-30), 10)
    assert found.detail["v_sum"] == pytest.approx(0, abs=1e-9)


def stack(gas: list[Any], oxygen: list[Any], unit: str = "mg/m3") -> dict[str, Track]:
    return {"value": track("em.so2", gas, unit=unit), "o2": track("em.o2", oxygen, unit="%")}


def test_diluted_gas_is_brought_back_to_its_reference() -> None:
    assert at_reference(100, 13.5, 6) == 200
    assert at_reference(100, 6, 6) == 100
    found = compute("o2_corrected", span(300), OxygenParams(o2_ref=6), **stack([100] * 5, [13.5] * 5))
    assert (found.value, found.quality) == (200, Quality.GOOD)


@pytest.mark.parametrize("oxygen", [20.5, 20.99, 21.0, 25.0, -1.0])
def test_a_stack_that_stands_has_no_corrected_value(oxygen: float) -> None:
    found = compute("o2_corrected", span(300), OxygenParams(o2_ref=6), **stack([1] * 5, [oxygen] * 5))
    assert (found.value, found.quality) == (None, Quality.MISSING)


def test_minutes_without_oxygen_are_left_out() -> None:
    found = compute("o2_corrected", span(300), OxygenParams(o2_ref=6), **stack([100] * 5, [6, 6, 6, None, 20.9]))
    assert (found.value, found.detail["n"], found.detail["too_near_air_oxygen"]) == (100, 3, 1)


def test_parts_per_million_in_a_stack_become_milligrams() -> None:
    found = compute("o2_corrected", span(60), OxygenParams(o2_ref=6), **stack([100], [6], "[ppm]"))
    assert found.value == pytest.approx(262, abs=0.1)


def test_nobody_guesses_the_reference_oxygen() -> None:
    with pytest.raises(ValidationError):
        OxygenParams.model_validate({})
