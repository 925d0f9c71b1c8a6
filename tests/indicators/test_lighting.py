"""Street lighting, power and uptime: gateway.indicators.{sun,lamp_plan,lit,lighting,lamp_energy,power,health}."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Result, Track
from gateway.indicators.formulas.lamp_energy import lamps_out, saving_pct
from gateway.indicators.formulas.lamp_plan import LampPlan
from gateway.indicators.formulas.lit import runs, stretches, switched
from gateway.indicators.formulas.power import unbalance_pct
from gateway.indicators.formulas.sun import sunrise_ms, sunset_ms
from gateway.indicators.periods import Span
from gateway.model.measure import Kind, Quality, Reason, Value
from tests.indicators.tracks import HOUR_MS, T0, given, span, track, window

NOON = T0 + 12 * HOUR_MS
NIGHT = span(86_400, NOON)
PLAN = {"on": "18:00", "off": "06:00"}


def compute(name: str, at: Span, params: dict[str, Any] | None = None, **roles: Any) -> Result:
    formula = FORMULAS[name]
    return formula.compute(at, given(**roles), formula.params(**(params or {})))


def branch(name: str, *hours: tuple[float, Value | None], **fields: Any) -> Track:
    """So many hours of each value, from noon on, a window a minute."""
    values = [value for length, value in hours for _ in range(round(length * 60))]
    fields = {"id": f"cab/{name}", "kind": Kind.LAST, **fields}
    return track("light.state", values, start_ms=NOON, **fields)


@pytest.mark.parametrize(
    ("lat", "lon", "utc_h", "rises", "sets"),
    [
        (30.0444, 31.2357, 2, "06:47", "16:59"),  # Cairo
        (14.6928, -17.4467, 0, "07:30", "18:46"),  # Dakar
        (51.5074, -0.1278, 0, "08:04", "15:53"),  # London
        (37.9838, 23.7275, 2, "07:37", "17:09"),  # Athens
        (40.4168, -3.7038, 1, "08:34", "17:51"),  # Madrid
    ],
)
def test_the_sun_keeps_published_times(lat: float, lon: float, utc_h: int, rises: str, sets: str) -> None:
    """22 December 2015, Finnish Meteorological Institute, as Wikipedia's table of that solstice has them."""
    day = dt.date(2015, 12, 22)
    midnight = dt.datetime(2015, 12, 22, tzinfo=dt.timezone(dt.timedelta(hours=utc_h))).timestamp()
    for found, told in ((sunrise_ms(day, lat, lon), rises), (sunset_ms(day, lat, lon), sets)):
        hour, minute = map(int, told.split(":"))
        assert found is not None
        assert (found / 1000 - midnight) / 60 == pytest.approx(hour * 60 + minute + 0.5, abs=1)


def test_beyond_the_polar_circle_there_may_be_no_sunrise() -> None:
    assert sunrise_ms(dt.date(2026, 12, 21), 70, 25) is None


def test_a_plan_with_dims_exceptions_and_offsets() -> None:
    festival = {"first": "2026-10-01", "last": "2026-10-01", "on": "17:00", "off": "00:30"}
    plan = LampPlan.model_validate({**PLAN, "dims": [{"from": "22:00", "to": "04:00", "level": 40}]})
    assert plan.lit(NIGHT) == [Span(NOON + 6 * HOUR_MS, NOON + 18 * HOUR_MS)]
    assert plan.dimmed(NIGHT) == [(Span(NOON + 10 * HOUR_MS, NOON + 16 * HOUR_MS), 40)]
    assert LampPlan.model_validate({**PLAN, "exceptions": [festival]}).lit(NIGHT) == [
        Span(NOON + 5 * HOUR_MS, NOON + 12 * HOUR_MS + HOUR_MS // 2)
    ]
    here = {"lat": 19.8075, "lon": 105.7764}
    (sun,) = LampPlan.model_validate(here).lit(NIGHT)
    (later,) = LampPlan.model_validate({**here, "on": "sunset+30", "off": "sunrise-30"}).lit(NIGHT)
    assert (later.start_ms - sun.start_ms, sun.end_ms - later.end_ms) == (1_800_000, 1_800_000)
    with pytest.raises(ValidationError, match="is no time"):
        LampPlan.model_validate({"on": "dusk"})


def test_a_window_half_lit_is_a_switch_in_its_middle() -> None:
    contact = branch("contactor_1", (0.05, False), (0.05, True))
    half = window(contact.signal, contact.windows[-1].end_ms, True)
    assert half.parts is not None
    found = stretches(contact, NIGHT)
    mixed = [*found[:3], found[3]._replace(share=0.5), *found[4:]]
    assert switched(runs(found), on=True) == [NOON + 180_000]
    assert switched(runs(mixed), on=True) == [NOON + 210_000]


def test_hours_lit_and_deviation_of_a_night() -> None:
    late = branch("contactor_1", (6.25, False), (11.75, True), (6, False))
    on_time = branch("contactor_2", (6, False), (12, True), (6, False))
    hours = compute("light_on_hours", NIGHT, lit=[late, on_time])
    assert hours.value == pytest.approx(12)
    assert hours.detail["branches"] == {"cab/contactor_1": 11.75, "cab/contactor_2": 12}
    dev = compute("light_schedule_dev", NIGHT, PLAN, lit=[late, on_time])
    assert (dev.value, dev.quality) == (15, Quality.GOOD)
    assert dev.detail["branches"]["cab/contactor_1"] == {"on_min": 15, "off_min": 0}


def test_a_branch_dark_all_night_deviates_by_the_whole_night_but_one_not_heard_of_does_not() -> None:
    dark, silent = branch("c_1", (24, False)), branch("c_2", (24, None))
    assert compute("light_schedule_dev", NIGHT, PLAN, lit=dark).value == 720
    assert compute("light_schedule_dev", NIGHT, PLAN, lit=silent).quality is Quality.MISSING
    assert compute("light_dark_night", NIGHT, PLAN, lit=dark).value == 700, "10 minutes at each end are left out"
    assert compute("light_dark_night", NIGHT, PLAN, lit=silent).value is None


def test_times_by_the_sun_without_a_place_are_missing_not_guessed() -> None:
    found = compute("light_schedule_dev", NIGHT, lit=branch("c_1", (24, False)))
    assert found.quality is Quality.MISSING
    assert "lat" in found.detail["why"]


def test_lit_by_day_counts_only_outside_the_plan() -> None:
    burning = branch("c_1", (1, True), (5, False), (12, True), (6, False))
    found = compute("light_day_burn", NIGHT, PLAN, lit=burning)
    assert (found.value, found.detail["branches"]) == (60, {"cab/c_1": 60})


def test_the_command_is_not_taken_for_what_came_of_it() -> None:
    asked = branch("circuit_1", (24, True), writable=True)
    came = branch("contactor_1", (6, False), (12, True), (6, False))
    assert compute("light_on_hours", NIGHT, lit=[asked, came]).value == pytest.approx(12)
    assert compute("light_mismatch", NIGHT, lit=[asked, came]).value == 720
    assert compute("light_mismatch", NIGHT, lit=[asked]).value is None
    flicker = branch("c_1", *[(1 / 60, True), (1 / 60, False)] * 30)
    assert compute("light_starts", span(3600, NOON), lit=flicker).value == 29


QUARTER = span(900, NOON + 8 * HOUR_MS)


def test_the_share_lit_by_state_and_by_current() -> None:
    nodes = [branch(f"n{n}", (24, n != 3)) for n in range(4)]
    by_state = compute("light_lit_rate", QUARTER, PLAN, lit=nodes)
    assert (by_state.value, by_state.detail["lit"], by_state.detail["expected"]) == (75, 3, 4)
    amps = [
        track("light.current", [9.5] * 1440, start_ms=NOON, id="cab/current_1"),
        track("light.current", [9.5] * 1440, start_ms=NOON, id="cab/current_l1"),
    ]
    told = {**PLAN, "lamps": 20, "lamp_a": 0.5}
    by_current = compute("light_lit_rate", QUARTER, told, lit=nodes, current=amps)
    assert (by_current.value, by_current.detail["method"]) == (95, "current"), "phases are not counted once more"
    half = {**told, "dims": [{"from": "19:00", "to": "05:00", "level": 50}], "lamp_a": 1}
    assert compute("light_lit_rate", QUARTER, half, lit=nodes, current=amps).value == 95


def test_by_day_no_lamp_is_expected_and_a_silent_branch_makes_no_share() -> None:
    node = branch("n1", (24, True))
    assert not compute("light_lit_rate", span(900, NOON + HOUR_MS), PLAN, lit=node).applies
    silent = track("light.current", [None] * 1440, start_ms=NOON, id="cab/current_2")
    amps = track("light.current", [9.5] * 1440, start_ms=NOON, id="cab/current_1")
    told = {**PLAN, "lamps": 20, "lamp_a": 0.5}
    assert compute("light_lit_rate", QUARTER, told, lit=node, current=[amps, silent]).value is None


def test_energy_per_lamp_and_saving() -> None:
    meter = track("power.kwh", [0.05] * 1440, kind=Kind.DELTA, start_ms=NOON, id="cab/energy")
    lit = branch("contactor_1", (6, False), (12, True), (6, False))
    assert compute("light_energy_per_lamp", NIGHT, {"lamps": 36}, energy=meter).value == pytest.approx(2)
    assert compute("light_energy_per_lamp", NIGHT, energy=meter).quality is Quality.MISSING
    saved = compute("light_saving_rate", NIGHT, {"full_kw": 10}, energy=meter, lit=lit)
    assert saved.value == pytest.approx(40)
    assert saved.detail["undimmed"] == pytest.approx(120)
    assert compute("light_saving_rate", NIGHT, {"full_kw": 10, **PLAN, "hours": "plan"}, energy=meter).value == (
        pytest.approx(40)
    )
    assert saving_pct(1, 1, 0) is None


def nights(*amps: float | None) -> Track:
    """Nights of this current, oldest first, the last one being tonight; hourly windows, dark by day."""
    values = [a if 6 <= hour < 18 else 0.0 for a in amps for hour in range(24)]
    start_ms = NOON - (len(amps) - 1) * 24 * HOUR_MS
    return track("light.current", values, window_s=3600, start_ms=start_ms, id="cab/current_1")


def test_lamps_out_are_told_against_earlier_nights_and_not_before_there_are_enough() -> None:
    told = {**PLAN, "lamp_a": 0.5}
    found = compute("light_lamps_out", NIGHT, told, current=nights(10, 10, 9.9, 10.1, 10, None, 10, 8.5))
    assert found.value == pytest.approx(3)
    assert found.detail["branches"]["cab/current_1"]["nights"] == 6
    young = compute("light_lamps_out", NIGHT, told, current=nights(10, 10, 10, 10, 8.5))
    assert (young.value, young.detail["learning"]) == (None, ["cab/current_1"])
    assert compute("light_lamps_out", NIGHT, told, current=nights(*[10.0] * 7, None)).value is None
    assert lamps_out([10, 10], 11, 0.5) == 0


def test_minutes_of_a_contact_are_of_any_of_them_and_never_of_no_data() -> None:
    one, other = branch("mains_lost", (1, True), (23, False)), branch("mains_2", (0.5, True), (23.5, False))
    assert compute("on_minutes", NIGHT, contact=[one, other]).value == pytest.approx(60)
    assert compute("on_minutes", NIGHT, contact=branch("mains_lost", (24, None))).quality is Quality.MISSING


FIVE = span(300)


def phases(code: str, *values: float | None) -> list[Track]:
    name = code.rpartition(".")[2]
    return [track(code, [v] * 5, id=f"meter/{name}_l{n}") for n, v in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("volts", "amps", "fault"),
    [
        ((230, 231, 229), (10, 11, 9), 0),
        ((230, 4, 229), (), 1),
        ((230, 4, None), (), 1),
        ((230, 231, None), (10, 11, 9), None),
        ((230, 200, 229), (), 2),
        ((230, 231, 229), (20, 20, 0), 2),
        ((230, 231, 229), (1, 1, 0), 0),  # too little current to say
        ((), (10, 10), None),
    ],
)
def test_phase_faults(volts: tuple[float | None, ...], amps: tuple[float, ...], fault: int | None) -> None:
    found = compute(
        "phase_fault", FIVE, voltage=phases("power.voltage", *volts), current=phases("power.current", *amps)
    )
    assert found.value == fault
    assert unbalance_pct([0, 0, 0]) == 0


def test_the_contracted_share_does_not_count_phases_twice() -> None:
    powers = [*phases("power.kw", 3, 3, 3), track("power.kw", [9.0] * 15, id="meter/power_total")]
    assert compute("contract_share", FIVE, {"contracted_kw": 12}, power=powers).value == 75
    assert compute("contract_share", FIVE, power=powers).value is None
    silent = track("power.kw", [None] * 5, id="other/power_total")
    assert compute("contract_share", FIVE, {"contracted_kw": 12}, power=[*powers, silent]).value is None


def test_uptime_is_of_the_time_the_gateway_ran_and_a_value_out_of_range_is_an_answer() -> None:
    up = track("air.pm25", [1.0] * 30 + [None] * 10)
    assert compute("uptime", span(2400), value=up).value == 75
    off = compute("uptime", span(86_400), value=up)
    assert (off.value, off.quality, off.reasons) == (75, Quality.UNCERTAIN, (Reason.PARTIAL,))
    assert compute("uptime", span(60, T0 + 90 * HOUR_MS), value=up).quality is Quality.MISSING
    odd = Track(up.signal, [window(up.signal, T0, None, Reason.OUT_OF_RANGE)])
    assert compute("uptime", span(60), value=odd).value == 100
    other = track("air.pm10", [1.0] * 40, id="dev/pm10")
    assert compute("uptime", span(2400), value=[up, other]).value == 100, "one of its signals answered"
