"""Hours that are kept or not; strips kept clear; running times."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Given, Result, Track
from gateway.indicators.periods import Span
from gateway.model.measure import Kind, Quality, Reason, Value
from tests.indicators.tracks import HOUR_MS, T0, given, span, track, window


def compute(name: str, inputs: Given, over: Span, **params: object) -> Result:
    formula = FORMULAS[name]
    return formula.compute(over, inputs, formula.params.model_validate(params))


LATE = T0 + 22 * HOUR_MS
TWO_HOURS = Span(LATE, LATE + 2 * HOUR_MS)
HOURS = {"opens": "18:00", "closes": "23:00"}


def people(values: Sequence[Value | None]) -> Track:
    return track("crowd.zone_present", values, start_ms=LATE, id="cam/square")


def noise(values: Sequence[Value | None]) -> Track:
    return track("noise.laeq", values, start_ms=LATE, id="sound/laeq")


def after_hours(**tracks: Track) -> Result:
    return compute("out_of_hours_min", given(**tracks), TWO_HOURS, people_over=20, noise_over_dba=65, **HOURS)


def test_only_minutes_after_closing_count() -> None:
    result = after_hours(people=people([300.0] * 75 + [0.0] * 45))
    assert (result.value, result.quality) == (15, Quality.GOOD)
    assert (result.detail["known_min"], result.detail["unseen_min"]) == (60, 0)


def test_any_sign_is_enough_and_each_is_told() -> None:
    result = after_hours(people=people([0.0] * 120), noise=noise([50.0] * 60 + [80.0] * 10 + [50.0] * 50))
    assert (result.value, result.detail["by"]) == (10, {"sound/laeq": 10})


def test_nobody_after_hours_and_a_blind_camera_differ() -> None:
    quiet = after_hours(people=people([0.0] * 120))
    blind = after_hours(people=people([None] * 120))
    assert (quiet.value, quiet.quality) == (0, Quality.GOOD)
    assert (blind.value, blind.quality) == (None, Quality.MISSING)


def test_a_quiet_street_that_only_the_ear_attests_is_not_called_empty() -> None:
    result = after_hours(people=people([None] * 120), noise=noise([40.0] * 120))
    assert (result.value, result.detail["unseen_by"]) == (None, {"cam/square": 60})
    loud = after_hours(people=people([None] * 120), noise=noise([40.0] * 60 + [90.0] * 5 + [40.0] * 55))
    assert (loud.value, loud.quality) == (5, Quality.UNCERTAIN)
    assert Reason.PARTIAL in loud.reasons


def test_a_sensor_without_a_level_says_nothing() -> None:
    result = compute("out_of_hours_min", given(people=people([300.0] * 120)), TWO_HOURS, **HOURS)
    assert (result.value, result.detail["not_used"]) == (None, ["people"])


def test_round_the_clock_nothing_is_out_of_hours() -> None:
    inputs = given(people=people([300.0] * 120))
    result = compute("out_of_hours_min", inputs, TWO_HOURS, opens="00:00", closes="24:00", people_over=20)
    assert (result.value, result.quality) == (0, Quality.GOOD)


def test_trucks_at_night_are_work() -> None:
    trucks = track("res.gate_trucks", [0, 1, 0, 2], kind=Kind.SUM, start_ms=T0)
    assert compute("out_of_hours_min", given(passes=trucks), span(240)).value == 2


def test_a_market_open_when_it_should_be_closed() -> None:
    end = Span(LATE + 105 * 60_000, LATE + 120 * 60_000)
    lively = compute("open_state", given(people=people([300.0] * 120)), end, people_over=20, **HOURS)
    empty = compute("open_state", given(people=people([3.0] * 120)), end, people_over=20, **HOURS)
    blind = compute("open_state", given(people=people([None] * 120)), end, people_over=20, **HOURS)
    assert (lively.value, lively.detail["should_be"]) == ("open", "closed")
    assert empty.value == "closed"
    assert blind.value is None


def test_somebody_passing_is_no_encroachment() -> None:
    strips = [
        track("market.strip_presence", [1.0, 0.0, 1.0, 1.0, 1.0, 0.0], kind=Kind.MAX, id="s1"),
        track("market.strip_presence", [True, True, False, False, False, False], kind=Kind.LAST, id="s2"),
    ]
    result = compute("encroachment_min", given(strips=strips), span(360))
    assert (result.value, result.detail["by"]) == (5, {"s1": 3, "s2": 2})


def test_a_run_that_began_before_the_span_is_counted_in_it() -> None:
    strip = track("market.strip_presence", [1.0, 1.0, 0.0], kind=Kind.MAX, start_ms=T0 - 60_000)
    assert compute("encroachment_min", given(strips=strip), span(120)).value == 1


def test_an_unseen_strip_is_not_a_clear_one() -> None:
    strip = track("market.strip_presence", [None] * 6, kind=Kind.MAX)
    assert compute("encroachment_min", given(strips=strip), span(360)).value is None


def test_running_times_are_added_up_and_a_silent_machine_is_said() -> None:
    crane = track("site.plant_running", [0.5] * 60, kind=Kind.LAST, id="crane", every_s=10)
    mixer = track("site.plant_running", [True] * 60, kind=Kind.LAST, id="mixer", every_s=10)
    silent = track("site.plant_running", [None] * 60, kind=Kind.LAST, id="pump", every_s=10)
    assert compute("running_h", given(machines=[crane, mixer]), span(3600)).value == 1.5
    assert compute("running_min", given(machines=[crane]), span(3600)).value == 30
    partial = compute("running_h", given(machines=[crane, mixer, silent]), span(3600))
    assert (partial.value, partial.quality, partial.detail["unseen_by"]) == (1.5, Quality.UNCERTAIN, {"pump": 60})


def test_what_came_late_completes_its_minute() -> None:
    crane = track("site.plant_running", [None, False], kind=Kind.LAST, id="crane", every_s=10)
    late = window(crane.signal, T0, True, Reason.REPLAYED)
    completed = Track(crane.signal, [*crane.windows, late])
    assert compute("running_min", given(machines=completed), span(120)).value == 1
