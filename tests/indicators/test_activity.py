"""A building site beside itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given as over
from hypothesis import strategies as st

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Given, Result, Track
from gateway.indicators.formulas.activity import index, usual
from gateway.indicators.periods import DAY_S
from gateway.model.measure import Kind, Quality, Reason
from tests.indicators.tracks import T0, given, span, track

AMOUNT = st.one_of(st.none(), st.floats(0, 1e6))


def days(code: str, amounts: Sequence[float | None], kind: Kind = Kind.SUM) -> Track:
    """One window a day; the last is the day of the span."""
    start_ms = T0 - (len(amounts) - 1) * DAY_S * 1000
    return track(code, amounts, kind=kind, every_s=DAY_S, window_s=DAY_S, start_ms=start_ms)


def compute(name: str, inputs: Given, **params: object) -> Result:
    formula = FORMULAS[name]
    return formula.compute(span(DAY_S), inputs, formula.params.model_validate(params))


@pytest.mark.parametrize(
    ("amounts", "found"),
    [
        ([10.0] * 7, 10),
        ([10.0] * 6, None),
        ([0.0] * 7, None),
        ([0.0] * 20 + [8.0], 8),  # long idle, but a day of work is in sight
        ([None] * 20 + [10.0] * 6, None),
        ([4.0, 100.0, 5.0, 6.0, 5.0, 4.0, 6.0], 5),
    ],
)
def test_what_is_usual(amounts: Sequence[float | None], found: float | None) -> None:
    assert usual(amounts, 7) == found


@over(st.dictionaries(st.sampled_from("abc"), st.tuples(AMOUNT, AMOUNT), min_size=1))
def test_the_index_is_between_0_and_100_or_not_there(parts: dict[str, tuple[float | None, float | None]]) -> None:
    found = index({k: v[0] for k, v in parts.items()}, {k: v[1] for k, v in parts.items()}, dict.fromkeys("abc", 0.3))
    assert found.value is None or 0 <= found.value <= 100 + 1e-9
    assert set(found.shares) | set(found.lacking) == set(parts)


def test_the_weighted_index_and_what_it_is_made_of() -> None:
    inputs = given(people=days("site.gate_people", [100.0] * 10 + [50.0]), energy=days("power.kwh", [200.0] * 11))
    result = compute("activity_index", inputs)
    assert result.value == pytest.approx(100 * (0.3 * 0.5 + 0.2) / 0.5)
    assert result.detail["usual"] == {"people": 100, "energy": 200}
    assert result.quality is Quality.GOOD


def test_more_than_usual_is_as_usual() -> None:
    assert compute("activity_index", given(people=days("site.gate_people", [10.0] * 10 + [900.0]))).value == 100


def test_too_few_days_of_history_give_no_index() -> None:
    result = compute("activity_index", given(people=days("site.gate_people", [100.0] * 6 + [50.0])))
    assert (result.value, result.detail["days_measured"]) == (None, {"people": 6})


def test_a_part_that_was_not_measured_is_left_out_and_said() -> None:
    inputs = given(people=days("site.gate_people", [100.0] * 10 + [None]), energy=days("power.kwh", [200.0] * 11))
    result = compute("activity_index", inputs)
    assert (result.value, result.quality, result.detail["left_out"]) == (100, Quality.UNCERTAIN, ["people"])
    assert Reason.PARTIAL in result.reasons


def test_a_site_that_stood_still_for_weeks_is_idle_and_not_unknown() -> None:
    assert compute("activity_index", given(people=days("site.gate_people", [0.0] * 30))).value == 0


def test_a_day_not_measured_gives_no_index() -> None:
    assert compute("activity_index", given(people=days("site.gate_people", [100.0] * 10 + [None]))).value is None


@pytest.mark.parametrize(
    ("amounts", "run", "at_least", "quality"),
    [
        ([100.0] * 10 + [50.0], 0, False, Quality.GOOD),
        ([100.0] * 10 + [5.0, 0.0, 0.0], 3, False, Quality.GOOD),
        ([100.0] * 10 + [0.0, None, 0.0], 1, True, Quality.UNCERTAIN),
    ],
)
def test_days_without_work_in_a_row(
    amounts: Sequence[float | None],
    run: int,
    at_least: bool,  # the row was cut by a gap
    quality: Quality,
) -> None:
    result = compute("idle_days", given(people=days("site.gate_people", amounts)))
    assert (result.value, result.detail["at_least"], result.quality) == (run, at_least, quality)


def test_a_day_that_cannot_be_told_is_no_idle_day() -> None:
    assert compute("idle_days", given(people=days("site.gate_people", [100.0] * 10 + [0.0, None]))).value is None


def test_machines_count_by_their_hours() -> None:
    inputs = given(machines=days("site.plant_running", [0.5] * 10 + [0.25], Kind.LAST))
    result = compute("activity_index", inputs)
    assert (result.value, result.detail["today"]) == (50, {"machines": 6})
