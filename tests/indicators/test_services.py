"""Bins and toilets."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Given, Result, Track
from gateway.indicators.formulas.services import emptied, trips
from gateway.indicators.periods import Span
from gateway.model.measure import Kind, Quality, Reason, Value
from tests.indicators.tracks import HOUR_MS, T0, given, span, track


def fill(name: str, values: Sequence[Value | None], start_ms: int = T0) -> Track:
    return track("waste.fill", values, kind=Kind.LAST, id=name, every_s=1800, window_s=1800, start_ms=start_ms)


def compute(name: str, inputs: Given, over: Span, **params: object) -> Result:
    formula = FORMULAS[name]
    return formula.compute(over, inputs, formula.params.model_validate(params))


@pytest.mark.parametrize(
    ("fills", "found"),
    [
        ([80, 85, 5, 8], [2]),
        ([80, 60, 40, 20], []),  # it settled
        ([80, 10, 80, 82], []),  # its lid stood open
        ([80, 10], [1]),
        ([80, 5, 70, 3, 4], [3]),
        ([], []),
    ],
)
def test_a_bin_was_emptied_when_its_fill_falls_at_once_and_stays(fills: list[float], found: list[int]) -> None:
    assert emptied(list(enumerate(fills)), 30) == found


def test_bins_emptied_together_are_one_trip() -> None:
    minutes = [0, 20, 45, 120]
    assert trips((m * 60_000 for m in minutes), 30) == [0, 120 * 60_000]


def test_trips_of_a_day() -> None:
    bins = [fill("b1", [70, 90, 5, 10]), fill("b2", [60, 80, 90, 4]), fill("b3", [20, 21, 22, 23])]
    result = compute("bin_trips", given(fill=bins), span(7200))
    assert (result.value, result.quality) == (1, Quality.GOOD)
    assert result.detail["bins_emptied"] == {"b1": 1, "b2": 1}


def test_a_bin_emptied_between_two_spans_counts_once() -> None:
    bins = given(fill=[fill("b1", [80, 90, 5, 10], start_ms=T0 - HOUR_MS)])
    assert compute("bin_trips", bins, span(3600, T0 - HOUR_MS)).value == 0
    assert compute("bin_trips", bins, span(3600)).value == 1


def test_silent_bins_are_not_half_empty() -> None:
    bins = [fill("b1", [85]), fill("b2", [10]), fill("b3", [None])]
    result = compute("bins_over", given(fill=bins), span(1800))
    assert (result.value, result.quality, result.detail["unseen"]) == (1, Quality.UNCERTAIN, ["b3"])
    assert Reason.PARTIAL in result.reasons
    assert compute("bins_over", given(fill=[fill("b3", [None])]), span(1800)).value is None


def test_the_last_word_counts_for_six_hours() -> None:
    bins = given(fill=[fill("b1", [85])])
    said = T0 + 1_800_000
    assert compute("fill_max", bins, Span(said + 5 * HOUR_MS - 900_000, said + 5 * HOUR_MS)).value == 85
    assert compute("fill_max", bins, Span(said + 6 * HOUR_MS - 900_000, said + 6 * HOUR_MS)).value is None


def test_the_fullest_bin_and_which() -> None:
    result = compute("fill_max", given(fill=[fill("b1", [40, 50]), fill("b2", [70, 45])]), span(3600))
    assert (result.value, result.detail["at"]) == (50, "b1")


def door(name: str, values: Sequence[Value | None]) -> Track:
    return track("wc.door", values, kind=Kind.LAST, id=name, every_s=10)


def test_stalls_are_taken_by_time_and_a_dead_contact_is_not_a_free_stall() -> None:
    doors = [door("d1", [True, True, False, False]), door("d2", [True, True, True, True])]
    result = compute("stall_occupancy", given(doors=doors), span(240))
    assert (result.value, result.detail["taken_min"], result.detail["known_min"]) == (75, 6, 8)
    dead = compute("stall_occupancy", given(doors=[*doors, door("d3", [None] * 4)]), span(240))
    assert (dead.value, dead.quality, dead.detail["unseen"]) == (75, Quality.UNCERTAIN, ["d3"])


def test_without_doors_people_over_stalls() -> None:
    people = track("wc.people", [3, 5])
    assert compute("stall_occupancy", given(people=people), span(120), stalls=8).value == 50
    assert compute("stall_occupancy", given(people=people), span(120)).value is None
    assert compute("stall_occupancy", given(people=track("wc.people", [None])), span(60), stalls=8).value is None


def test_what_last_said_it_is_broken() -> None:
    states = [door("w1", [False, True]), door("w2", [True, False])]
    result = compute("count_yes", given(state=states), span(120))
    assert (result.value, result.detail["which"], result.quality) == (1, ["w1"], Quality.GOOD)
