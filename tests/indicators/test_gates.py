"""Gates: a balance that never goes below nobody, and ways that are told, not guessed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given as over
from hypothesis import strategies as st

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Given, Result, Track
from gateway.indicators.formulas.gates import Gates, balance, steps, ways
from gateway.model.measure import Kind, Quality, Reason
from tests.indicators.tracks import HOUR_MS, T0, given, span, track

NETS = st.lists(st.integers(-50, 50).map(float), max_size=80)


@pytest.mark.parametrize(
    ("nets", "present", "peak", "uncounted"),
    [
        ([], 0, 0, 0),
        ([10, 5, -3], 12, 15, 0),
        ([10, -15], 0, 10, 5),
        ([-5, 10], 10, 10, 5),
        ([3, -5, 2, -4], 0, 3, 4),
    ],
)
def test_who_left_without_having_come_in_came_in_uncounted(
    nets: list[float], present: float, peak: float, uncounted: float
) -> None:
    assert balance(nets) == (present, peak, uncounted)


@over(NETS)
def test_nobody_is_the_least_there_can_be(nets: list[float]) -> None:
    found = balance(nets)
    assert 0 <= found.present <= found.peak
    assert found.present == pytest.approx(sum(nets) + found.uncounted)


def gate(name: str, counts: Sequence[int | None], **fields: Any) -> Track:
    return track("crowd.pass", counts, kind=Kind.SUM, id=name, **fields)


def compute(name: str, inputs: Given, length_s: float = 180, **params: object) -> Result:
    formula = FORMULAS[name]
    return formula.compute(span(length_s), inputs, formula.params.model_validate(params))


def test_ways_of_a_camera_are_assigned_by_the_site() -> None:
    inputs = given(passes=[gate("cam/g/person/up", [1]), gate("cam/g/person/down", [2])])
    found = ways(inputs, Gates(inward=("*/up",), outward=("*/down",)))
    assert [t.signal.id for t in found.inward] == ["cam/g/person/up"]
    assert [t.signal.id for t in found.outward] == ["cam/g/person/down"]


def test_a_way_that_nobody_assigned_is_not_guessed() -> None:
    inputs = given(passes=[gate("cam/g/person/up", [1]), gate("g/in", [2])])
    result = compute("gate_in", inputs)
    assert (result.value, result.detail) == (None, {"unassigned": ["cam/g/person/up"]})


def test_only_the_classes_asked_for_are_counted() -> None:
    person = gate("a/in", [1, 1, 1], tags={"cls": "person"})
    truck = gate("b/in", [9, 9, 9], tags={"cls": "truck"})
    assert compute("gate_in", given(passes=[person, truck]), classes=["person"]).value == 3


def test_the_sum_of_all_gates() -> None:
    result = compute("gate_in", given(passes=[gate("a/in", [1, 2, 3]), gate("b/in", [0, 0, 4])]))
    assert (result.value, result.quality) == (10, Quality.GOOD)


def test_nobody_came_is_zero_and_nobody_looked_is_missing() -> None:
    seen = compute("gate_in", given(passes=[gate("a/in", [0, 0, 0])]))
    blind = compute("gate_in", given(passes=[gate("a/in", [None, None, None])]))
    assert (seen.value, seen.quality) == (0, Quality.GOOD)
    assert (blind.value, blind.quality, blind.reasons) == (None, Quality.MISSING, (Reason.NO_ANSWER,))


def test_a_sum_with_a_blind_gate_is_said_to_be_partial() -> None:
    result = compute("gate_in", given(passes=[gate("a/in", [1, 2, 3]), gate("b/in", [None] * 3)]))
    assert (result.value, result.quality, result.detail["unseen"]) == (6, Quality.UNCERTAIN, ["b/in"])
    assert Reason.PARTIAL in result.reasons


def test_net_needs_both_ways() -> None:
    inputs = given(passes=[gate("a/in", [5, 5, 5]), gate("a/out", [None] * 3)])
    assert compute("gate_net", inputs).value is None
    assert compute("gate_net", given(passes=[gate("a/in", [5, 5, 5]), gate("a/out", [1, 1, 1])])).value == 12


def test_a_counter_that_is_read_counts_from_before_the_span() -> None:
    meter = track("crowd.pass_in", [100, 105, 103], kind=Kind.LAST, start_ms=T0 - 60_000)
    assert steps(meter, span(120)) == [(T0 + 60_000, 5), (T0 + 120_000, 103)]  # it was reset in between


def test_the_busiest_hour_and_which() -> None:
    hours = track("crowd.pass_in", [10, 40, None, 20], every_s=3600, window_s=3600, kind=Kind.SUM)
    result = compute("gate_peak_hour", Given({"in": [hours]}), length_s=4 * 3600)
    assert (result.value, result.detail["hour_start_ms"]) == (40, T0 + HOUR_MS)
    assert (result.detail["hours_seen"], result.detail["day"]) == (3, 70)
