"""Field assets and what is taken from the ground."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Given, Result, Track
from gateway.model.measure import Kind, Quality, Reason, Value
from tests.indicators.tracks import given, span, track


def compute(name: str, inputs: Given, length_s: int, **params: object) -> Result:
    formula = FORMULAS[name]
    return formula.compute(span(length_s), inputs, formula.params.model_validate(params))


def online(name: str, values: Sequence[Value | None], code: str = "asset.online") -> Track:
    return track(code, values, kind=Kind.LAST, id=name, every_s=10)


def test_working_time_over_known_time() -> None:
    lamp, sign = online("lamp", [True, True, False, True]), online("sign", [False] * 4, "asset.fault")
    result = compute("available_rate", given(ok=lamp, fault=sign), 240)
    assert (result.value, result.detail["available_min"], result.detail["known_min"]) == (87.5, 7, 8)


def test_an_asset_that_does_not_answer_does_not_work() -> None:
    result = compute("available_rate", given(ok=online("lamp", [True, None, None, True])), 240)
    assert (result.value, result.detail["known_min"]) == (50, 4)


def test_an_asset_that_nobody_asked_is_not_known_to_work() -> None:
    result = compute("available_rate", given(ok=[online("a", [True] * 4), online("b", [])]), 240)
    assert (result.value, result.quality, result.detail["by"]) == (100, Quality.UNCERTAIN, {"a": 100})
    assert compute("available_rate", given(ok=online("b", [])), 240).value is None


def test_of_some_it_is_enough_that_they_answer() -> None:
    seen = track("flood.level", [1.0, None, 0.0, 2.0], id="gauge")
    assert compute("available_rate", given(seen=seen), 240).value == 75


def test_clearance_by_distance_or_by_the_level_below_the_deck() -> None:
    distance = track("asset.clearance", [3.5, 3.1, 3.3], unit="m")
    level = track("flood.level", [4.0, 4.5, 4.2], unit="m")
    assert compute("clearance", given(distance=distance), 180).value == 3.1
    assert compute("clearance", given(level=level), 180, underside_m=8.0).value == 3.5
    assert compute("clearance", given(level=level), 180).value is None
    assert compute("clearance", given(level=track("flood.level", [None] * 3)), 180, underside_m=8.0).value is None


def test_a_share_of_none_passed_is_not_zero() -> None:
    over, weighed = (track(code, [0, 0], kind=Kind.SUM) for code in ("asset.overloaded", "asset.weighed"))
    result = compute("share_of_counts", given(part=over, whole=weighed), 120)
    assert (result.value, result.detail) == (None, {"part": 0, "whole": 0})
    some = track("asset.overloaded", [1, 2], kind=Kind.SUM)
    all_of_them = track("asset.weighed", [10, 20], kind=Kind.SUM)
    found = compute("share_of_counts", given(part=some, whole=all_of_them), 120)
    assert (found.value, found.detail) == (10, {"part": 3, "whole": 30})


def test_weighings_are_added_up_and_a_silent_bridge_is_said() -> None:
    bridge = track("res.weighbridge", [20.5, 18.0], kind=Kind.SUM, id="w1")
    silent = track("res.weighbridge", [None, None], kind=Kind.SUM, id="w2")
    assert compute("weighed", given(value=bridge), 120).value == 38.5
    partial = compute("weighed", given(value=[bridge, silent]), 120)
    assert (partial.value, partial.quality, partial.detail["unseen"]) == (38.5, Quality.UNCERTAIN, ["w2"])
    assert compute("weighed", given(value=silent), 120).value is None


def test_of_a_scale_that_tells_a_running_total_the_growth_counts() -> None:
    total = track("res.weighbridge", [100.0, 120.0, 145.5], kind=Kind.LAST)
    assert compute("weighed", given(value=total), 180).value == 45.5
    grown = track("res.weighbridge", [20.0, None, 25.5], kind=Kind.DELTA)
    assert compute("weighed", given(value=grown), 180).value == 45.5


def test_a_licence_is_told_by_the_site() -> None:
    with pytest.raises(ValidationError):
        FORMULAS["quota_rate"].params()


@pytest.mark.parametrize(("kind", "values"), [(Kind.SUM, [10.0, 15.0]), (Kind.LAST, [100.0, 125.0])])
def test_taken_of_the_licence(kind: Kind, values: list[float]) -> None:
    result = compute("quota_rate", given(value=track("res.water_meter", values, kind=kind)), 120, licence=100)
    assert (result.value, result.detail["taken"], result.detail["licence"]) == (25, 25, 100)


def test_a_year_with_gaps_is_not_said_to_be_whole() -> None:
    result = compute("quota_rate", given(value=track("res.weighbridge", [10.0, None], kind=Kind.SUM)), 120, licence=100)
    assert (result.value, result.quality) == (10, Quality.UNCERTAIN)
    assert Reason.PARTIAL in result.reasons


def test_all_meters_together_over_a_reset() -> None:
    meters = [
        track("res.water_meter", [100.0, 130.0], kind=Kind.LAST, id="m1"),
        track("res.water_meter", [50.0, 5.0], kind=Kind.LAST, id="m2"),
    ]
    assert compute("growth_of_all", given(value=meters), 120).value == 35
