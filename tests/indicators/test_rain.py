"""Rain: tips add up over any span; a gap makes a sum a lower bound; classes only with confirmed limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gateway.indicators.formula import Params
from gateway.indicators.formulas.rain import FORMULAS as FORMULAS_OF_RAIN
from gateway.indicators.formulas.rain import RainParams, rain_class
from gateway.indicators.periods import Period
from gateway.model.measure import Kind, Quality, Reason
from tests.indicators.tracks import T0, given, span, track

VECTORS = YAML(typ="safe").load(Path(__file__).with_name("vectors") / "flood.yaml")
SUM, RATE = FORMULAS_OF_RAIN
HOUR, DAY = span(3600), span(86_400)


@pytest.mark.parametrize("vector", VECTORS["rain_class"])
def test_rain_is_called_by_its_class(vector: dict[str, Any]) -> None:
    assert rain_class(vector["mm"], vector["hours"]) == vector["class"]


@forall(st.floats(0, 500), st.floats(0, 500), st.sampled_from([12, 24]))
def test_more_rain_is_never_a_lower_class(one: float, other: float, hours: int) -> None:
    names = ["không mưa", "mưa nhỏ", "mưa vừa", "mưa to", "mưa rất to"]
    low, high = sorted((one, other))
    assert names.index(rain_class(low, hours)) <= names.index(rain_class(high, hours))


@pytest.mark.parametrize("kind", [Kind.DELTA, Kind.SUM])
def test_tips_add_up(kind: Kind) -> None:
    rain = track("flood.rain", [0.2] * 30 + [0.0] * 30, kind=kind, unit="mm")
    result = SUM.compute(HOUR, given(rain=rain), RainParams())
    assert result.value == pytest.approx(6.0)
    assert result.quality is Quality.GOOD


def test_rain_outside_the_span_is_not_in_its_sum() -> None:
    rain = track("flood.rain", [1.0] * 180, kind=Kind.DELTA, start_ms=T0 - 3_600_000)
    assert SUM.compute(HOUR, given(rain=rain), RainParams()).value == pytest.approx(60)


def test_a_gap_in_the_sum_is_said_and_no_data_is_not_a_dry_day() -> None:
    half = track("flood.rain", [0.2] * 30 + [None] * 30, kind=Kind.DELTA)
    result = SUM.compute(HOUR, given(rain=half), RainParams())
    assert result.value == pytest.approx(6.0)
    assert result.quality is Quality.UNCERTAIN
    assert Reason.PARTIAL in result.reasons
    nothing = SUM.compute(HOUR, given(rain=track("flood.rain", [None] * 60, kind=Kind.DELTA)), RainParams())
    assert (nothing.value, nothing.quality) == (None, Quality.MISSING)
    dry = SUM.compute(HOUR, given(rain=track("flood.rain", [0.0] * 60, kind=Kind.DELTA)), RainParams())
    assert (dry.value, dry.quality) == (0, Quality.GOOD)


def test_a_class_is_told_only_when_its_limits_are_confirmed_and_the_day_is_whole() -> None:
    whole = track("flood.rain", [5.0] * 12 + [0.0] * 276, kind=Kind.DELTA, every_s=300, window_s=300)
    assert dict(SUM.compute(DAY, given(rain=whole), RainParams()).detail) == {}
    assert SUM.compute(DAY, given(rain=whole), RainParams(confirmed=True)).detail == {"class": "mưa to"}
    part = track("flood.rain", [5.0] * 12 + [None] * 276, kind=Kind.DELTA, every_s=300, window_s=300)
    assert SUM.compute(DAY, given(rain=part), RainParams(confirmed=True)).detail == {"class_at_least": "mưa to"}


def test_the_rain_day_begins_at_seven() -> None:
    day = next(Period.of("rain_day").ended(T0, T0 + 2 * 86_400_000))
    tips = track("flood.rain", [1.0, 2.0], kind=Kind.DELTA, start_ms=day.start_ms - 60_000)
    assert SUM.compute(day, given(rain=tips), RainParams()).value == pytest.approx(2.0)


def test_intensity_is_told_for_an_hour() -> None:
    rain = track("flood.rain", [0.2] * 10, kind=Kind.DELTA)
    result = RATE.compute(span(600), given(rain=rain), Params())
    assert result.value == pytest.approx(12)
    assert result.detail["mm"] == pytest.approx(2)
