"""Every reading is judged; none is changed into something it was not."""

from __future__ import annotations

import math

import pytest

from gateway.model.measure import Quality, Reading, Reason, Rule, Value
from gateway.pipeline.judge import Memory, aged, judge


def reading(value: Value | None, at_s: float = 0) -> Reading:
    return Reading("s", round(at_s * 1000), value)


@pytest.mark.parametrize(
    ("value", "quality", "reasons"),
    [
        (5.0, Quality.GOOD, ()),
        (0.0, Quality.GOOD, ()),
        (12.0, Quality.GOOD, ()),
        (-0.01, Quality.BAD, (Reason.OUT_OF_RANGE,)),
        (12.01, Quality.BAD, (Reason.OUT_OF_RANGE,)),
        (13, Quality.BAD, (Reason.OUT_OF_RANGE,)),
        (True, Quality.GOOD, ()),
        ("99", Quality.GOOD, ()),
    ],
)
def test_range_holds_for_numbers_and_only_for_numbers(value: Value, quality: Quality, reasons: tuple[Reason]) -> None:
    judged = judge(reading(value), Rule(low=0, high=12), Memory())
    assert (judged.quality, judged.reasons) == (quality, reasons)
    assert judged.value == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_missing(value: float) -> None:
    judged = judge(reading(value), Rule(), Memory())
    assert (judged.value, judged.quality, judged.reasons) == (None, Quality.MISSING, (Reason.BAD_FRAME,))


def test_missing_stays_missing_with_its_own_reason() -> None:
    missing = Reading.missing("s", 0, Reason.NO_ANSWER)
    assert judge(missing, Rule(low=0, stuck_s=1, max_step=1), Memory()) is missing


def test_a_value_is_stuck_only_after_its_own_time_and_recovers_with_a_change() -> None:
    rule, memory = Rule(stuck_s=30), Memory()
    reasons = [judge(reading(v, t), rule, memory).reasons for t, v in [(0, 7), (15, 7), (30, 7), (45, 7), (60, 8)]]
    assert reasons == [(), (), (Reason.STUCK,), (Reason.STUCK,), ()]


def test_a_jump_is_a_spike_once_and_a_new_level_if_it_stays() -> None:
    rule, memory = Rule(max_step=2), Memory()
    reasons = [judge(reading(v, t), rule, memory).reasons for t, v in enumerate([5, 6, 9, 9, 5, 5])]
    assert reasons == [(), (), (Reason.SPIKE,), (), (Reason.SPIKE,), ()]


def test_a_bad_value_is_not_remembered_as_the_last_level() -> None:
    rule, memory = Rule(low=0, high=10, max_step=2), Memory()
    reasons = [judge(reading(v, t), rule, memory).reasons for t, v in enumerate([5, 99, 5])]
    assert reasons == [(), (Reason.OUT_OF_RANGE,), ()]


def test_uncertain_never_makes_a_bad_value_better() -> None:
    rule, memory = Rule(max_step=1), Memory()
    judge(reading(1), rule, memory)
    already_bad = Reading("s", 0, 9, Quality.BAD, (Reason.DEVICE_FAULT,))
    judged = judge(already_bad, rule, memory)
    assert (judged.quality, judged.reasons) == (Quality.BAD, (Reason.DEVICE_FAULT, Reason.SPIKE))


def test_a_value_that_nothing_followed_is_stale_and_keeps_its_value() -> None:
    fresh = Reading("s", 0, 4.2)
    assert aged(fresh, 10, 30_000) is fresh
    old = aged(fresh, 10, 30_001)
    assert (old.value, old.quality, old.reasons) == (4.2, Quality.UNCERTAIN, (Reason.STALE,))
    missing = Reading.missing("s", 0, Reason.NO_ANSWER)
    assert aged(missing, 10, 1_000_000) is missing
