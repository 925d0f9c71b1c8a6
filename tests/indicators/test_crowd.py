"""People in a place."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Given, Result, Track
from gateway.indicators.formulas.crowd import reset_before
from gateway.indicators.periods import Span
from gateway.model.measure import Kind, Quality, Reason
from tests.indicators.tracks import HOUR_MS, T0, given, track

NOON = T0 + 12 * HOUR_MS
RESET = T0 + 4 * HOUR_MS


def gate(name: str, counts: Sequence[float | None], start_ms: int = RESET) -> Track:
    return track("crowd.pass", counts, kind=Kind.SUM, id=name, every_s=300, window_s=300, start_ms=start_ms)


def zone(name: str, counts: Sequence[float | None]) -> Track:
    return track("crowd.zone_present", counts, id=name, start_ms=NOON)


def compute(name: str, inputs: Given, end_ms: int, length_s: int = 300, **params: object) -> Result:
    formula = FORMULAS[name]
    span = Span(end_ms - length_s * 1000, end_ms)
    return formula.compute(span, inputs, formula.params.model_validate(params))


def five(count: int) -> int:
    return RESET + count * 300_000


@pytest.mark.parametrize(
    ("at_ms", "found"),
    [(RESET, RESET - 24 * HOUR_MS), (RESET + 1, RESET), (T0, RESET - 24 * HOUR_MS), (NOON, RESET)],
)
def test_counting_begins_anew_at_the_reset(at_ms: int, found: int) -> None:
    assert reset_before(at_ms, "04:00") == found


def test_present_is_in_minus_out_since_the_reset() -> None:
    before = gate("old/in", [500] * 12, start_ms=RESET - HOUR_MS)
    inputs = given(passes=[before, gate("a/in", [10, 20, 5]), gate("a/out", [0, 5, 8])])
    result = compute("present", inputs, five(3))
    assert result.value == 22
    assert result.detail["in"] == 35
    assert result.detail["out"] == 13


def test_present_is_never_below_nobody_and_the_drift_is_said() -> None:
    result = compute("present", given(passes=[gate("a/in", [10, 0, 3]), gate("a/out", [0, 14, 0])]), five(3))
    assert (result.value, result.detail["drift"]) == (3, 4)


def test_a_gate_that_was_blind_since_the_reset_puts_the_number_in_doubt() -> None:
    inputs = given(passes=[gate("a/in", [10, None, None, 5]), gate("a/out", [0, 0, 0, 1])])
    result = compute("present", inputs, five(4))
    assert (result.value, result.quality) == (14, Quality.UNCERTAIN)
    assert Reason.PARTIAL in result.reasons
    assert result.detail["unseen_min"] == {"a/in": 10}


def test_with_all_gates_blind_nobody_says_how_many_are_present() -> None:
    inputs = given(passes=[gate("a/in", [10, 10, None]), gate("a/out", [0, 0, None])])
    result = compute("present", inputs, five(3))
    assert (result.value, result.quality, result.detail["last_known"]) == (None, Quality.MISSING, 20)


def test_entries_alone_say_nothing_of_who_is_present() -> None:
    result = compute("present", given(passes=[gate("a/in", [10])]), five(1))
    assert (result.value, result.detail["lacking"]) == (None, "out")


def test_zones_that_are_looked_at_come_before_gates() -> None:
    inputs = given(
        zones=[zone("a", [100] * 5), zone("b", [50, 60, 70, 60, 60])],
        passes=[gate("g/in", [40] * 97), gate("g/out", [0] * 97)],
    )
    result = compute("present", inputs, NOON + 300_000)
    assert (result.value, result.quality) == (160, Quality.GOOD)
    assert result.detail["by_gates"] == 97 * 40
    assert result.detail["sum_of_zone_peaks"] == 170


def test_nobody_in_a_zone_and_a_blind_camera_differ() -> None:
    empty = compute("present", given(zones=[zone("a", [0] * 5)]), NOON + 300_000)
    blind = compute("present", given(zones=[zone("a", [None] * 5)]), NOON + 300_000)
    half = compute("present", given(zones=[zone("a", [20] * 5), zone("b", [None] * 5)]), NOON + 300_000)
    assert (empty.value, empty.quality) == (0, Quality.GOOD)
    assert (blind.value, blind.quality) == (None, Quality.MISSING)
    assert (half.value, half.quality, half.detail["unseen"]) == (20, Quality.UNCERTAIN, ["b"])
    assert Reason.PARTIAL in half.reasons


def test_density_and_capacity_carry_numerator_and_denominator() -> None:
    inputs = given(zones=[zone("a", [450] * 5)])
    density = compute("density_mean", inputs, NOON + 300_000, area_m2=300)
    rate = compute("capacity_rate", inputs, NOON + 300_000, capacity=500)
    assert (density.value, density.detail["present"], density.detail["area_m2"]) == (1.5, 450, 300)
    assert (rate.value, rate.detail["capacity"]) == (90, 500)


def test_a_rate_of_nobody_seen_is_missing() -> None:
    result = compute("capacity_rate", given(zones=[zone("a", [None] * 5)]), NOON + 300_000, capacity=500)
    assert (result.value, result.quality) == (None, Quality.MISSING)


def test_the_worst_cell_counts_and_a_blind_cell_may_be_worse() -> None:
    cells = [
        track("crowd.density", values, kind=Kind.MAX, id=name, start_ms=NOON)
        for name, values in {"c1": [0.5, 4.2, 1.0], "c2": [3.0, 3.0, 3.0]}.items()
    ]
    blind = track("crowd.density", [None] * 3, kind=Kind.MAX, id="c3", start_ms=NOON)
    result = compute("highest", given(value=cells), NOON + 180_000, 180)
    assert (result.value, result.detail["at"], result.quality) == (4.2, "c1", Quality.GOOD)
    doubted = compute("highest", given(value=[*cells, blind]), NOON + 180_000, 180)
    assert (doubted.value, doubted.quality, doubted.detail["unseen"]) == (4.2, Quality.UNCERTAIN, ["c3"])
    assert compute("highest", given(value=blind), NOON + 180_000, 180).value is None


def test_the_drift_of_the_day_that_closed() -> None:
    inputs = given(
        passes=[
            track("crowd.pass", [10] * 24, kind=Kind.SUM, id="a/in", every_s=3600, window_s=3600, start_ms=RESET),
            track("crowd.pass", [9] * 24, kind=Kind.SUM, id="a/out", every_s=3600, window_s=3600, start_ms=RESET),
        ]
    )
    result = compute("gate_drift", inputs, RESET + 24 * HOUR_MS, 86_400)
    assert (result.value, result.detail["share_of_in"]) == (24, 10)
    assert result.quality is Quality.GOOD


def test_a_queue_that_is_served_and_one_that_stands_still() -> None:
    waiting = track("queue.length", [30] * 15, start_ms=NOON)
    served = track("queue.served", [2] * 15, kind=Kind.SUM, start_ms=NOON, id="q/served")
    still = track("queue.served", [0] * 15, kind=Kind.SUM, start_ms=NOON, id="q/served")
    nobody = track("queue.length", [0] * 15, start_ms=NOON)
    end_ms = NOON + 900_000
    assert compute("queue_wait", given(length=waiting, served=served), end_ms, 900).value == 15
    assert compute("queue_wait", given(length=waiting, served=still), end_ms, 900).value is None
    assert compute("queue_wait", given(length=nobody, served=still), end_ms, 900).value == 0
