"""Wastewater: volumes, balance and loads of what is known; time over limits; compliance that silence cannot improve."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Params, Result, Track
from gateway.indicators.formulas.exceedance import OverParams
from gateway.indicators.periods import Span
from gateway.model.limit import Limit, Threshold
from gateway.model.measure import Kind, Quality, Reason
from tests.indicators.tracks import HOUR_MS, T0, given, span, track, window

DAY = span(86_400)
MONTH = span(30 * 86_400)


def hourly(code: str, values: list[Any], unit: str = "mg/L") -> Track:
    return track(code, values, 300, 3600, unit=unit)


def limit(value: float, over_s: int = 3600, op: str = "<=", **fields: Any) -> Threshold:
    told = Limit(op=op, value=value, over_s=over_s, basis="permit", clause="1", profile="test")
    return Threshold(id=f"test/{op}{value}/{over_s}", limit=told, levels=(value,), **fields)


def compute(name: str, at: Span, /, *thresholds: Threshold, params: Params | None = None, **tracks: Track) -> Result:
    formula = FORMULAS[name]
    return formula.compute(at, given(*thresholds, **tracks), params or formula.params())


def test_the_volume_of_a_day_is_the_growth_of_its_counter() -> None:
    counter = track("ww.volume", [10.0] * 24, 300, 3600, Kind.DELTA, unit="m3")
    found = compute("volume", DAY, counter=counter, flow=hourly("ww.flow_out", [99] * 24, "m3/h"))
    assert (found.value, found.quality, found.detail["method"]) == (240, Quality.GOOD, "counter")


def test_a_counter_that_was_reset_loses_nothing() -> None:
    readings = [100.0, 110.0, 5.0, 15.0]
    counter = track("ww.volume", readings, 300, 3600, Kind.LAST, start_ms=T0 - HOUR_MS, unit="m3")
    assert compute("volume", DAY, counter=counter).value == 25


def test_without_a_counter_flow_stands_in_for_the_time_it_is_known() -> None:
    flow = hourly("ww.flow_out", [10] * 12 + [None] * 12, "m3/h")
    found = compute("volume", DAY, flow=flow)
    assert (found.value, found.detail["hours"], found.quality) == (120, 12, Quality.UNCERTAIN)
    assert compute("volume", DAY, flow=hourly("ww.flow_out", [10] * 24, "L/s")).value == pytest.approx(864)


def test_no_counter_and_no_flow_is_no_volume_and_not_zero() -> None:
    found = compute("volume", DAY, flow=hourly("ww.flow_out", [None] * 24, "m3/h"))
    assert (found.value, found.quality) == (None, Quality.MISSING)


def test_a_bypass_shows_in_the_balance_over_common_hours_only() -> None:
    came = hourly("ww.flow_in", [100] * 20 + [None] * 4, "m3/h")
    went = hourly("ww.flow_out", [None] * 2 + [70] * 22, "m3/h")
    found = compute("flow_balance", DAY, flow_in=came, flow_out=went)
    assert found.value == pytest.approx(30)
    assert (found.detail["denominator"], found.detail["hours"]) == (1800, 18)


def test_no_inflow_is_no_balance() -> None:
    nothing = hourly("ww.flow_in", [0.0] * 24, "m3/h")
    assert compute("flow_balance", DAY, flow_in=nothing, flow_out=replace(nothing)).value is None


def test_a_load_is_concentration_times_flow_piece_by_piece() -> None:
    cod = track("ww.cod", [50, 100] * 48, 900, 900, unit="mg/L")
    flow = track("ww.flow_out", [10] * 48 * 15 + [20] * 48 * 15, 60, 60, unit="m3/h")
    found = compute("pollution_load", DAY, concentration=cod, flow=flow)
    assert found.value == pytest.approx(75 * 15 * 24 / 1000)
    assert found.quality is Quality.GOOD


def test_an_unknown_unit_is_said_and_not_guessed() -> None:
    flow = hourly("ww.flow_out", [10] * 24, "gpm")
    found = compute("pollution_load", DAY, concentration=hourly("ww.cod", [50] * 24), flow=flow)
    assert found.value is None
    assert "gpm" in found.detail["unit"]


def test_minutes_over_count_only_known_time() -> None:
    cod = track("ww.cod", [80] * 60 + [70] * 1380, unit="mg/L")
    found = compute("minutes_over", DAY, limit(75, 0), value=cod)
    assert (found.value, found.quality, found.detail["over_s"]) == (60, Quality.GOOD, 0)
    gap = compute("minutes_over", DAY, limit(75, 0), value=track("ww.cod", [80] * 60 + [None] * 1380))
    assert (gap.value, gap.quality, gap.detail["minutes_known"]) == (60, Quality.UNCERTAIN, 60)
    silent = compute("minutes_over", DAY, limit(75, 0), value=track("ww.cod", [None] * 1440))
    assert (silent.value, silent.quality) == (None, Quality.MISSING)


def test_a_peak_within_an_hour_is_not_over_a_limit_of_hourly_means() -> None:
    cod = track("ww.cod", [90] * 20 + [60] * 40 + [80] * 60, unit="mg/L")
    assert compute("minutes_over", span(7200), limit(75, 3600), value=cod).value == 60


def test_a_day_of_which_only_longer_windows_are_left_is_still_known() -> None:
    folded = track("ww.cod", [80] * 12 + [70] * 276, 60, 300, unit="mg/L")
    base = replace(folded.signal, window_s=60)
    found = compute("minutes_over", DAY, limit(75, 0), value=replace(folded, signal=base))
    assert (found.value, found.quality) == (60, Quality.GOOD)


def test_below_the_lower_and_above_the_upper_limit_is_over() -> None:
    ph = track("ww.ph", [5, 7, 10])
    assert compute("minutes_over", span(180), limit(5.5, 0, ">="), limit(9, 0), value=ph).value == 2


def test_the_length_of_the_means_can_be_chosen() -> None:
    cod = track("ww.cod", [90] * 20 + [60] * 40)
    both = (limit(75, 0), limit(75, 3600))
    assert compute("minutes_over", span(3600), *both, value=cod).value == 20
    assert compute("minutes_over", span(3600), *both, params=OverParams(over_s=3600), value=cod).value == 0


@pytest.mark.parametrize("name", ["minutes_over", "compliance_rate"])
@pytest.mark.parametrize(
    ("thresholds", "said"),
    [((), "none"), ((limit(75, 86_400),), "none"), ((limit(75, confirmed=False),), "unconfirmed")],
)
def test_without_a_confirmed_limit_nothing_is_called_kept(
    name: str, thresholds: tuple[Threshold, ...], said: str
) -> None:
    found = compute(name, DAY, *thresholds, value=hourly("ww.cod", [10] * 24))
    assert (found.value, found.quality, found.detail["limit"]) == (None, Quality.MISSING, said)


def test_ozone_in_ppb_is_held_against_micrograms() -> None:
    ozone = track("air.o3", [90.0, 110.0], unit="[ppb]")
    assert compute("minutes_over", span(120), limit(200, 0), value=ozone).value == 1


def test_compliance_is_of_valid_hours() -> None:
    values = [70] * 600 + [80] * 60 + [None] * 60
    found = compute("compliance_rate", MONTH, limit(75), value=hourly("ww.cod", values))
    assert found.value == pytest.approx(100 * 600 / 660)
    assert (found.detail["numerator"], found.detail["denominator"]) == (600, 660)
    assert found.quality is Quality.GOOD


def test_a_month_without_data_is_no_full_compliance() -> None:
    found = compute("compliance_rate", MONTH, limit(75), value=hourly("ww.cod", [None] * 720))
    assert (found.value, found.quality) == (None, Quality.MISSING)


def test_few_valid_hours_make_a_rate_uncertain() -> None:
    found = compute("compliance_rate", MONTH, limit(75), value=hourly("ww.cod", [70] * 100))
    assert (found.value, found.quality) == (100, Quality.UNCERTAIN)
    assert Reason.PARTIAL in found.reasons


def test_hours_before_a_limit_came_into_force_are_not_judged_by_it() -> None:
    begun = limit(75, from_ms=T0 + 12 * HOUR_MS)
    found = compute("compliance_rate", DAY, begun, value=hourly("ww.cod", [80] * 12 + [70] * 12))
    assert (found.value, found.detail["denominator"]) == (100, 12)


def test_hours_of_a_stuck_analyser_make_the_rate_doubtful() -> None:
    cod = hourly("ww.cod", [70] * 23)
    stuck = window(cod.signal, T0 + 23 * HOUR_MS, 70, Reason.STUCK)
    found = compute("compliance_rate", DAY, limit(75), value=replace(cod, windows=[*cod.windows, stuck]))
    assert (found.quality, found.detail["doubtful_hours"]) == (Quality.UNCERTAIN, 1)


def test_captured_data_are_counted_also_where_there_are_none() -> None:
    assert compute("capture_rate", DAY, value=hourly("ww.cod", [70] * 18 + [None] * 6)).value == 75
    nothing = compute("capture_rate", DAY, value=replace(hourly("ww.cod", []), windows=[]))
    assert (nothing.value, nothing.detail["denominator"]) == (0, 288)


@settings(max_examples=50, deadline=None)
@examples(values=st.lists(st.none() | st.floats(0, 200), min_size=24, max_size=24), gap=st.integers(0, 23))
def test_a_gap_never_adds_valid_hours_or_captured_data(values: list[Any], gap: int) -> None:
    fewer = [None if i == gap else value for i, value in enumerate(values)]
    rates = [compute("compliance_rate", DAY, limit(75), value=hourly("ww.cod", v)) for v in (values, fewer)]
    assert rates[1].detail["denominator"] <= rates[0].detail["denominator"]
    assert rates[0].value is None or isinstance(rates[0].value, float)
    captured = [compute("capture_rate", DAY, value=hourly("ww.cod", v)).detail["numerator"] for v in (values, fewer)]
    assert captured[1] <= captured[0]
