"""Data quality: what came, what was usable, what is doubtful, what came late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Params, Result, Track
from gateway.model.indicator import Parts
from gateway.model.measure import Kind, Quality, Reason
from tests.indicators.tracks import T0, given, span, track, window

HOUR = span(3600)
SHARES = ("completeness", "validity", "consistency", "timeliness")


def compute(name: str, *tracks: Track) -> Result:
    return FORMULAS[f"dq_{name}"].compute(HOUR, given(value=tracks), Params())


def marked(good: int, *reasons: Reason, value: float | None = None) -> Track:
    """So many good minutes of an hour, and the rest with these reasons."""
    found = track("air.pm25", [1.0] * good)
    rest = [window(found.signal, T0 + i * 60_000, value, *reasons) for i in range(good, 60)]
    return replace(found, windows=[*found.windows, *rest])


@pytest.mark.parametrize("name", SHARES)
def test_an_hour_without_fault_is_whole(name: str) -> None:
    found = compute(name, marked(60))
    assert (found.value, found.quality) == (100, Quality.GOOD)
    assert (found.detail["numerator"], found.detail["denominator"]) == (60, 60)


@pytest.mark.parametrize(
    ("reason", "value", "shares"),
    [
        (Reason.NO_ANSWER, None, (75, 100, 100, 100)),
        (Reason.CALIBRATING, None, (75, 75, 100, 100)),
        (Reason.OUT_OF_RANGE, None, (75, 75, 100, 100)),
        (Reason.DEVICE_FAULT, None, (75, 75, 100, 100)),
        (Reason.STUCK, 1.0, (100, 100, 75, 100)),
        (Reason.SPIKE, 9.0, (100, 100, 75, 100)),
        (Reason.CLOCK_UNSYNCED, 1.0, (100, 100, 75, 100)),
        (Reason.REPLAYED, 1.0, (100, 100, 100, 75)),
    ],
)
def test_each_fault_lowers_the_share_it_belongs_to(
    reason: Reason, value: float | None, shares: tuple[float, ...]
) -> None:
    found = marked(45, reason, value=value)
    assert tuple(compute(name, found).value for name in SHARES) == shares


def test_a_gateway_that_was_off_has_no_complete_data() -> None:
    found = track("air.pm25", [1.0] * 30)
    assert compute("completeness", found).value == 50


def test_of_nothing_completeness_is_zero_and_the_others_say_nothing() -> None:
    silent = track("air.pm25", [])
    assert compute("completeness", silent).value == 0
    for name in ("validity", "consistency", "timeliness"):
        assert (compute(name, silent).value, compute(name, silent).quality) == (None, Quality.MISSING)


def test_late_readings_complete_their_window_and_are_not_counted_as_rejected() -> None:
    found = track("air.pm25", [1.0] * 59)
    at = T0 + 59 * 60_000
    lost = replace(window(found.signal, at, None, Reason.DEVICE_FAULT), parts=Parts(0, 1))
    late = window(found.signal, at, 1.0, Reason.REPLAYED)
    whole = replace(found, windows=[*found.windows, lost, late])
    assert (compute("completeness", whole).value, compute("validity", whole).value) == (100, 100)


def test_more_readings_than_expected_are_not_more_than_all() -> None:
    found = track("air.pm25", [1.0] * 60)
    doubled = [replace(w, parts=Parts(2, 1, 2, 1, 1, 1, 1)) for w in found.windows]
    assert compute("completeness", replace(found, windows=doubled)).value == 100


def test_every_signal_of_a_gateway_counts_the_same() -> None:
    fast = track("air.pm25", [1.0] * 60, 1, id="a/fast")
    slow = track("ww.cod", [1.0, None, None, None], 900, 900, id="a/slow")
    found = compute("completeness", fast, slow)
    assert found.value == pytest.approx(62.5)
    assert (found.detail["signals"], found.detail["worst"]) == (2, {"a/slow": 25})
    assert found.detail["numerator"] / found.detail["denominator"] == 0.625


def test_signals_that_only_tell_events_expect_nothing() -> None:
    door = track("ww.station_door", [None] * 60, kind=Kind.EVENT, id="a/door")
    assert compute("completeness", marked(60), door).value == 100
    assert compute("completeness", door).value is None
