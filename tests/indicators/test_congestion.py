"""Four states of a road, found by replay: held before they are said, held before they are over, unknown in silence."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from gateway.indicators.formulas.congestion import FORMULAS as FORMULAS_OF_CONGESTION
from gateway.indicators.formulas.congestion import Flow, FlowParams, Minute, states
from gateway.model.measure import Kind, Quality, Value
from tests.indicators.tracks import T0, given, span, track

STATE, MINUTES, EVENTS = FORMULAS_OF_CONGESTION
TOLD = FlowParams()
FREE, DENSE, SLOW, JAM = Flow


def course(*speeds: float | None) -> list[Flow | None]:
    return list(states([Minute(speed) for speed in speeds], TOLD))


@pytest.mark.parametrize(
    ("speeds", "state"),
    [
        ([40], FREE),
        ([15], DENSE),
        ([5] * 4, DENSE),
        ([5] * 5, SLOW),
        ([5] * 29, SLOW),
        ([5] * 30, JAM),
        ([5] * 4 + [40], FREE),
        ([5] * 4 + [40] + [5] * 4, DENSE),  # a relief before it was said begins anew
        ([5] * 5 + [40] * 4, SLOW),
        ([5] * 5 + [40] * 5, FREE),
        ([5] * 30 + [40] * 4, JAM),
        ([5] * 30 + [40] * 5, FREE),
        ([5] * 15 + [40] * 2 + [5] * 15, JAM),  # a short relief while it is held up is forgiven
        ([5] * 20 + [40] * 5 + [5] * 10, SLOW),
        ([5] * 10 + [None] * 4, SLOW),
        ([5] * 10 + [None] * 5, None),
        ([5] * 3 + [None] * 4 + [5] * 2, SLOW),
        ([None], None),
    ],
)
def test_the_state_after_these_minutes(speeds: list[float | None], state: Flow | None) -> None:
    assert course(*speeds)[-1] == state


def test_a_long_queue_is_a_jam_at_once_and_occupancy_holds_up_like_speed() -> None:
    assert next(states([Minute(queue=301)], TOLD)) is JAM
    assert list(states([Minute(occupancy=61)] * 5, TOLD))[-1] is SLOW
    assert next(states([Minute(occupancy=50)], TOLD)) is DENSE


@forall(st.lists(st.one_of(st.none(), st.floats(0, 60)), max_size=90))
def test_nothing_is_a_jam_without_enough_slow_minutes(speeds: list[float | None]) -> None:
    found = course(*speeds)
    for i, state in enumerate(found):
        slow = sum(speed is not None and speed < 10 for speed in speeds[: i + 1])
        assert state is not JAM or slow >= 30
        assert state is not SLOW or slow >= 5


def test_the_state_is_replayed_from_before_the_span() -> None:
    slow: Sequence[Value | None] = [5.0] * 40
    speed = track("traffic.speed", slow, start_ms=T0 - 35 * 60_000)
    assert STATE.compute(span(300), given(speed=speed), TOLD).value == JAM
    result = STATE.compute(span(300), given(speed=track("traffic.speed", [5.0] * 5)), TOLD)
    assert (result.value, result.detail["state_vi"]) == (SLOW, "ùn ứ")


def test_speeds_every_five_minutes_stand_in_between() -> None:
    values = [5.0 if i % 5 == 0 else None for i in range(40)]
    speed = track("traffic.speed", values, every_s=300, start_ms=T0 - 35 * 60_000)
    assert STATE.compute(span(300), given(speed=speed), TOLD).value == JAM


def test_a_silent_detector_is_not_a_free_road() -> None:
    speed = track("traffic.speed", [40.0] * 30 + [None] * 5, start_ms=T0 - 30 * 60_000)
    assert STATE.compute(span(300), given(speed=speed), TOLD).value is None
    assert STATE.compute(span(300), given(), TOLD).quality is Quality.MISSING
    assert MINUTES.compute(span(3600), given(speed=track("traffic.speed", [None] * 60)), TOLD).value is None
    assert EVENTS.compute(span(3600), given(speed=track("traffic.speed", [None] * 60)), TOLD).value is None


def test_minutes_and_events_of_a_day() -> None:
    values = [40.0] * 60 + [5.0] * 45 + [40.0] * 15 + [5.0] * 30 + [40.0] * 1290
    speed = given(speed=track("traffic.speed", values))
    minutes = MINUTES.compute(span(86_400), speed, TOLD)
    assert minutes.value == (16 + 4) + (1 + 4)  # from the 30th minute on, and until it has been clear for 5
    assert sum(minutes.detail["minutes"].values()) == 1440
    assert minutes.quality is Quality.GOOD
    assert EVENTS.compute(span(86_400), speed, TOLD).value == 2


def test_a_jam_from_before_midnight_began_the_day_before() -> None:
    speed = given(speed=track("traffic.speed", [5.0] * 100, start_ms=T0 - 40 * 60_000, kind=Kind.MEAN))
    assert EVENTS.compute(span(3600), speed, TOLD).value == 0
    assert MINUTES.compute(span(3600), speed, TOLD).value == 60
