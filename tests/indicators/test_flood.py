"""Stage: alarm levels only over a levelled zero, slopes that one wild value does not bend, no guess at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gateway.indicators.formula import Result, Track
from gateway.indicators.formulas.flood import FORMULAS as FORMULAS_OF_FLOOD
from gateway.indicators.formulas.flood import (
    AlarmParams,
    EtaParams,
    RiseParams,
    StageParams,
    alarm_level,
    reached,
    slope,
)
from gateway.model.limit import Limit, Threshold
from gateway.model.measure import Kind, Quality
from tests.indicators.tracks import T0, given, span, track

VECTORS = YAML(typ="safe").load(Path(__file__).with_name("vectors") / "flood.yaml")
FORMULAS = {formula.name: formula for formula in FORMULAS_OF_FLOOD}
LIMIT = Limit(op="<", value=4.0, over_s=0, basis="QĐ 05/2020/QĐ-TTg", clause="", profile="flood-thanh-hoa")
GIANG = Threshold(id="giang", limit=LIMIT, levels=(4.0, 5.5, 6.5))
LEVELLED: dict[str, Any] = {"zero_offset_m": 2.0, "datum": "Giàng"}
TEN_MIN, HOUR = span(600), span(3600)


def stage(values: list[float | None], unit: str = "m", **fields: Any) -> Track:
    return track("flood.level", values, kind=Kind.LAST, unit=unit, **fields)


def computed(name: str, values: list[float | None], *thresholds: Threshold, hour: bool = False, **told: Any) -> Result:
    formula = FORMULAS[name]
    unit = told.pop("unit", "m")
    inputs = given(*thresholds, level=stage(values, unit))
    return formula.compute(HOUR if hour else TEN_MIN, inputs, formula.params(**told))


@pytest.mark.parametrize("vector", VECTORS["slope"])
def test_the_slope_is_the_median_of_all_pairs(vector: dict[str, Any]) -> None:
    assert slope([(x, y) for x, y in vector["points"]]) == vector["slope"]


@pytest.mark.parametrize("vector", VECTORS["alarm"])
def test_an_alarm_level_is_left_only_below_its_band(vector: dict[str, Any]) -> None:
    assert alarm_level(vector["stages"], GIANG, 0.05) == vector["level"]


@forall(st.lists(st.floats(0, 10), min_size=1, max_size=30))
def test_the_alarm_is_never_below_what_the_stage_has_reached(stages: list[float]) -> None:
    level = alarm_level(stages, GIANG, 0.05)
    assert reached(stages[-1], GIANG) <= level <= max(reached(s, GIANG) for s in stages)


def test_the_stage_is_told_in_the_stations_datum_whatever_the_unit() -> None:
    for values, unit in (([2.1] * 9 + [2.2], "m"), ([210.0] * 9 + [220.0], "cm")):
        result = computed("flood_level", list(values), unit=unit, **LEVELLED)
        assert result.value == pytest.approx(4.2)
        assert result.detail["min"] == pytest.approx(4.1)
        assert result.detail["datum"] == "Giàng"


def test_without_a_levelled_zero_nothing_is_held_against_absolute_levels() -> None:
    for name in ("flood_stage", "flood_alarm", "flood_margin", "flood_eta_next"):
        result = computed(name, [9.0] * 10, GIANG)
        assert (result.value, result.detail["why"]) == (None, "zero_not_levelled"), name
    assert computed("flood_stage", [9.0] * 10, GIANG, **LEVELLED).value is not None


def test_levels_that_nobody_confirmed_judge_nothing() -> None:
    doubtful = Threshold(id="x", limit=LIMIT, levels=(4.0, 5.5, 6.5), confirmed=False)
    for name in ("flood_alarm", "flood_margin", "flood_eta_next"):
        assert computed(name, [9.0] * 10, doubtful, **LEVELLED).detail["limit"] == "unconfirmed"
        assert computed(name, [9.0] * 10, **LEVELLED).detail["limit"] == "none"


def test_the_alarm_remembers_by_replaying_what_came_before_the_span() -> None:
    formula = FORMULAS["flood_alarm"]
    before = stage([2.1, 1.97], start_ms=T0 - 120_000)
    now = stage([1.97] * 10)
    both = Track(now.signal, [*before.windows, *now.windows])
    params = AlarmParams.model_validate(LEVELLED)
    assert formula.compute(TEN_MIN, given(GIANG, level=both), params).value == 1
    assert formula.compute(TEN_MIN, given(GIANG, level=now), params).value == 0


def test_a_silent_gauge_has_no_alarm_level_even_if_it_was_high_before() -> None:
    old = stage([9.0] * 10, start_ms=T0 - 600_000)
    result = FORMULAS["flood_alarm"].compute(TEN_MIN, given(GIANG, level=old), AlarmParams.model_validate(LEVELLED))
    assert (result.value, result.quality) == (None, Quality.MISSING)


def test_the_margin_is_to_the_next_level_and_negative_above_the_last() -> None:
    assert computed("flood_margin", [1.5] * 10, GIANG, **LEVELLED).value == pytest.approx(0.5)
    above_one = computed("flood_margin", [2.5] * 10, GIANG, **LEVELLED)
    assert above_one.value == pytest.approx(1.0)
    assert above_one.detail["next"] == 2
    above_all = computed("flood_margin", [5.0] * 10, GIANG, **LEVELLED)
    assert above_all.value == pytest.approx(-0.5)
    assert above_all.detail["next"] is None


def test_the_rate_of_rise_is_in_cm_an_hour() -> None:
    rising: list[float | None] = [1.0 + i * 0.005 for i in range(60)]
    assert computed("flood_rise_rate", rising, hour=True).value == pytest.approx(30)
    rising[20] = 9.0
    assert computed("flood_rise_rate", rising, hour=True).value == pytest.approx(30, abs=0.1)


def test_a_rate_needs_three_windows_over_twenty_minutes() -> None:
    assert computed("flood_rise_rate", [1.0, 1.1, 1.2, *[None] * 57], hour=True).value is None
    far: list[float | None] = [1.0, *[None] * 29, 1.1, *[None] * 28, 1.2]
    result = computed("flood_rise_rate", far, hour=True)
    assert result.value == pytest.approx(20.3, abs=0.2)
    assert result.quality is Quality.UNCERTAIN


def test_the_time_to_the_next_level_tells_not_rising_from_not_known() -> None:
    rising: list[float | None] = [1.0 + i * 0.005 for i in range(60)]
    found = computed("flood_eta_next", rising, GIANG, hour=True, **LEVELLED)
    assert found.value == pytest.approx((2.0 - 1.295) / 0.30 * 60)
    assert found.detail["state"] == "rising"
    still = computed("flood_eta_next", [1.0] * 60, GIANG, hour=True, **LEVELLED)
    assert (still.value, still.detail["state"]) == (1440, "not_rising")
    slow: list[float | None] = [-20 + i * 0.0002 for i in range(60)]
    assert computed("flood_eta_next", slow, GIANG, hour=True, **LEVELLED).detail["state"] == "beyond_horizon"
    silent = computed("flood_eta_next", [None] * 60, GIANG, hour=True, **LEVELLED)
    assert silent.value is None
    assert "state" not in silent.detail
    drowned = computed("flood_eta_next", [6.0] * 60, GIANG, hour=True, **LEVELLED)
    assert (drowned.value, drowned.detail["state"]) == (0, "above_last")
    unsure = computed("flood_eta_next", [*[None] * 58, 1.0, 1.1], GIANG, hour=True, **LEVELLED)
    assert (unsure.value, unsure.detail["why"]) == (None, "too_few_windows")


def test_parameters_of_a_gauge_are_understood_by_all_its_formulas() -> None:
    for params in (StageParams, AlarmParams, EtaParams):
        assert params.model_validate({**LEVELLED, "surveyed": "2026-05-12"}).zero_offset_m == 2.0
    assert RiseParams().min_stretch_min == 20
