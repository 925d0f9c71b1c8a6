"""Minutes in a state: seen, not so, and not looked at stay three things."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given as over
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.indicators.formulas.spells import (
    Hours,
    above,
    any_of,
    course,
    height,
    occurrences,
    off,
    on,
    runs,
    spent,
    told,
)
from gateway.model.measure import Kind, Quality, Reason
from tests.indicators.tracks import HOUR_MS, T0, span, track, window

MINUTE = st.one_of(st.none(), st.just(0.0), st.just(1.0))


@pytest.mark.parametrize(
    ("opens", "closes", "days", "hour", "is_open"),
    [
        ("06:00", "22:00", (1, 2, 3, 4, 5, 6, 7), 6, True),
        ("06:00", "22:00", (1, 2, 3, 4, 5, 6, 7), 22, False),
        ("18:00", "02:00", (4,), 1, False),  # T0 is a Thursday: its small hours belong to Wednesday's night
        ("18:00", "02:00", (4,), 25, True),
        ("18:00", "02:00", (4,), 26, False),
        ("18:00", "02:00", (4,), 42, False),
        ("00:00", "24:00", (4,), 3, True),
        ("00:00", "24:00", (5,), 3, False),
        ("00:00", "00:00", (4,), 23, True),
    ],
)
def test_hours_past_midnight_belong_to_the_day_they_begin_on(
    opens: str, closes: str, days: tuple[int, ...], hour: int, is_open: bool
) -> None:
    assert Hours(opens=opens, closes=closes, days=days).hold(T0 + hour * HOUR_MS) is is_open


def test_a_time_of_day_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        Hours(opens="25:00")


def test_a_minute_nobody_looked_at_is_not_a_quiet_one() -> None:
    people = track("crowd.zone_present", [0, None, 30])
    assert course(people, span(180), above(20)) == [0.0, None, 1.0]


def test_a_longer_window_speaks_for_each_of_its_minutes() -> None:
    running = track("site.plant_running", [0.5], every_s=10, window_s=300, kind=Kind.LAST)
    assert course(running, span(420), on) == [0.5] * 5 + [None] * 2
    assert course(running, span(300), off) == [0.5] * 5


def test_passages_are_compared_as_so_many_a_minute() -> None:
    gate = track("crowd.pass", [30], window_s=300, kind=Kind.SUM)
    assert height(gate.windows[0]) == 6


def test_a_text_has_no_height() -> None:
    assert course(track("fire.pump_state", ["on"], kind=Kind.LAST), span(60), above(0)) == [None]


def test_quiet_is_only_what_all_were_seen_to_be() -> None:
    assert any_of([[1.0, 0.0, 0.0, None], [None, 0.0, None, None]]) == [1.0, 0.0, None, None]


def test_short_runs_are_somebody_passing_and_a_blind_minute_ends_a_run() -> None:
    assert runs([1.0, 0.0, 1.0, 1.0, None, 1.0], 2) == [0.0, 0.0, 1.0, 1.0, None, 0.0]


@pytest.mark.parametrize(
    ("amounts", "found"),
    [
        ([1.0, 0.0, 0.0, 1.0], []),  # once, and once again after it was over
        ([1.0, 0.0, 1.0], [2]),
        ([2.0, 5.0, 5.0], [0]),
        ([1.0, None, None, None, 1.0], [4]),  # nobody looked: it was not over
        ([2.0, 0.0, 0.0, 2.0], [0, 3]),
        ([2.0, None, None, 2.0], [0]),
        ([None, None], []),
    ],
)
def test_an_event_is_confirmed_by_a_second_sight_and_ended_only_by_looking(
    amounts: Sequence[float | None], found: list[int]
) -> None:
    assert occurrences(amounts, needed=2, quiet_min=2) == found


@over(st.lists(MINUTE, min_size=1, max_size=60), st.data())
def test_a_gap_never_adds_time_nor_raises_completeness(minutes: list[float | None], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(minutes) - 1))
    gapped = [None if i == at else minute for i, minute in enumerate(minutes)]
    assert spent(gapped).minutes <= spent(minutes).minutes
    assert spent(gapped).known <= spent(minutes).known
    assert spent(runs(gapped, 3)).minutes <= spent(runs(minutes, 3)).minutes


def test_why_nothing_was_seen_is_said() -> None:
    people = track("crowd.zone_present", [])
    blind = [window(people.signal, T0, None, Reason.OBSCURED_VIEW)]
    people = type(people)(people.signal, blind)
    result = told(0.0, spent(course(people, span(60), above(0))), [people], span(60))
    assert (result.value, result.quality, result.reasons) == (None, Quality.MISSING, (Reason.OBSCURED_VIEW,))
