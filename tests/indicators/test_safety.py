"""Fire, order, cold chain, sirens."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Given, Result, Track
from gateway.model.limit import Limit, Threshold
from gateway.model.measure import Kind, Quality, Reason, Value
from tests.indicators.tracks import T0, given, span, track, window


def compute(name: str, inputs: Given, length_s: int, **params: object) -> Result:
    formula = FORMULAS[name]
    return formula.compute(span(length_s), inputs, formula.params.model_validate(params))


def smoke(values: Sequence[Value | None], name: str = "cam/smoke", start_ms: int = T0) -> Track:
    return track("fire.smoke", values, kind=Kind.LAST, id=name, start_ms=start_ms)


def test_smoke_seen_once_is_one_too_few() -> None:
    once = compute("seen_events", given(seen=smoke([False, True] + [False] * 8)), 600)
    twice = compute("seen_events", given(seen=smoke([False, True, True] + [False] * 7)), 600)
    assert (once.value, once.quality) == (0, Quality.GOOD)
    assert (twice.value, twice.detail["at_ms"]) == (1, {"cam/smoke": [T0 + 120_000]})


def test_smoke_that_began_before_the_hour_is_not_counted_again() -> None:
    seen = smoke([True] * 20, start_ms=T0 - 600_000)
    assert compute("seen_events", given(seen=seen), 600).value == 0


def test_a_blind_camera_saw_no_end_and_no_beginning() -> None:
    blind = compute("seen_events", given(seen=smoke([None] * 10)), 600)
    both = compute("seen_events", given(seen=[smoke([False] * 10), smoke([None] * 10, "b")]), 600)
    assert (blind.value, blind.quality) == (None, Quality.MISSING)
    assert (both.value, both.quality, both.detail["unseen"]) == (0, Quality.UNCERTAIN, ["b"])
    covered = smoke([True, True] + [None] * 8 + [True] * 5)
    assert compute("seen_events", given(seen=covered), 900).value == 1


def people(values: Sequence[Value | None]) -> Track:
    return track("crowd.zone_present", values)


def test_a_gathering_lasts() -> None:
    crowd = given(people=people([10] + [200] * 4 + [10] * 5 + [200] * 6 + [10] * 4))
    result = compute("gatherings", crowd, 1200, people_over=100)
    assert (result.value, result.detail["at_ms"]) == (1, {"dev/zone_present": [T0 + 14 * 60_000]})


def test_without_a_size_nobody_says_what_a_gathering_is() -> None:
    assert compute("gatherings", given(people=people([500] * 10)), 600).value is None


def limit(op: str, value: float, *levels: float, confirmed: bool = True) -> Threshold:
    kept = Limit(op=op, value=value, over_s=0, basis="plan", clause="", profile="test")
    return Threshold(id=f"test/{op}{value:g}", limit=kept, levels=levels or (value,), confirmed=confirmed)


def fridge(values: Sequence[Value | None]) -> Track:
    return track("health.cold_chain_temp", values, unit="Cel")


def test_minutes_on_either_wrong_side_of_the_cold_chain() -> None:
    inputs = given(limit(">=", 2), limit("<=", 8), value=fridge([1.0, 2.0, 5.0, 8.0, 8.5, 9.0]))
    result = compute("unmet_min", inputs, 360)
    assert (result.value, result.detail["limits"]) == (3, ["test/>=2", "test/<=8"])
    assert result.detail["levels"] == {">= 2": 1, "<= 8": 2}


def test_limits_that_nobody_confirmed_judge_nothing() -> None:
    unconfirmed = compute("unmet_min", given(limit("<=", 8, confirmed=False), value=fridge([20.0] * 6)), 360)
    none = compute("unmet_min", given(value=fridge([20.0] * 6)), 360)
    assert (unconfirmed.value, unconfirmed.detail) == (None, {"limit": "unconfirmed"})
    assert (none.value, none.detail) == (None, {"limit": "none"})


def test_a_fridge_that_was_not_read_was_not_cold() -> None:
    within = limit("<=", 8)
    assert compute("unmet_min", given(within, value=fridge([None] * 6)), 360).value is None
    half = compute("unmet_min", given(within, value=fridge([5.0] * 3 + [None] * 3)), 360)
    assert (half.value, half.quality, half.detail["unseen_min"]) == (0, Quality.UNCERTAIN, 3)
    assert Reason.PARTIAL in half.reasons


def test_minutes_of_any_cell_and_of_each_level() -> None:
    cells = [
        track("crowd.density", [1.0, 2.5, 4.0, 1.0], kind=Kind.MAX, id="c1"),
        track("crowd.density", [1.0, 1.0, 5.5, 2.2], kind=Kind.MAX, id="c2"),
    ]
    result = compute("unmet_min", given(limit("<=", 2, 2, 3.5, 5), value=cells), 240)
    assert (result.value, result.detail["levels"]) == (3, {"<= 2": 3, "<= 3.5": 1, "<= 5": 1})
    assert result.detail["by"] == {"c1": 2, "c2": 2}


def siren(name: str, values: Sequence[Value | None]) -> Track:
    return track("cd.siren_ready", values, kind=Kind.LAST, id=name)


def test_a_silent_siren_is_not_taken_to_be_ready() -> None:
    known = [siren("s1", [True]), siren("s2", [False])]
    whole = compute("ready_rate", given(ready=known), 60)
    assert (whole.value, whole.quality, whole.detail["not_ready"]) == (50, Quality.GOOD, ["s2"])
    silent = compute("ready_rate", given(ready=[siren("s1", [True]), siren("s3", [None])]), 60)
    assert (silent.value, silent.quality, silent.detail["unseen"]) == (100, Quality.UNCERTAIN, ["s3"])
    assert Reason.PARTIAL in silent.reasons
    assert compute("ready_rate", given(ready=siren("s3", [None])), 60).value is None


def test_a_doubtful_view_makes_a_doubtful_count() -> None:
    seen = smoke([False] * 9)
    doubtful = window(seen.signal, T0 + 9 * 60_000, False, Reason.MODEL_LOW)
    result = compute("seen_events", given(seen=Track(seen.signal, [*seen.windows, doubtful])), 600)
    assert (result.value, result.quality, result.reasons) == (0, Quality.UNCERTAIN, (Reason.MODEL_LOW,))
