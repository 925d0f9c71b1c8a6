"""Air over windows: hours by their ends, gaps, units, and a VN_AQI that says what it is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Params, Result, Track
from gateway.indicators.formulas import gases
from gateway.indicators.formulas.air import AqiParams, HourlyParams
from gateway.indicators.periods import Span
from gateway.model.indicator import Parts
from gateway.model.measure import Quality, Reason
from tests.indicators.tracks import HOUR_MS, T0, given, span, track, window

DAY = span(86_400)


def hourly(code: str, *values: float | None, start_ms: int = T0, unit: str = "ug/m3") -> Track:
    """One value an hour, each of twelve readings."""
    return track(f"air.{code}", values, 300, 3600, start_ms=start_ms, unit=unit)


def compute(name: str, at: Span, params: Params, /, **tracks: Track) -> Result:
    return FORMULAS[name].compute(at, given(**tracks), params)


def last_hour(of: Track) -> Span:
    return Span(of.windows[-1].end_ms - HOUR_MS, of.windows[-1].end_ms)


def test_parts_per_billion_become_micrograms() -> None:
    for gas, factor in {"so2": 2.62, "no2": 1.88, "o3": 1.96, "co": 1.145}.items():
        assert gases.factor(gas, "[ppb]") == pytest.approx(factor, abs=0.005)
        assert gases.factor(gas, "[ppm]") == pytest.approx(1000 * factor, abs=5)
    assert gases.factor("co", "mg/m3") == 1000


@pytest.mark.parametrize(("substance", "unit"), [("pm25", "[ppb]"), ("no2", ""), ("no2", "%"), ("dust", "ppm")])
def test_a_unit_that_cannot_be_converted_is_not_guessed(substance: str, unit: str) -> None:
    assert gases.factor(substance, unit) is None
    found = compute("air_mean", span(3600), HourlyParams(), value=hourly(substance, 5, unit=unit))
    assert found.quality is Quality.MISSING
    assert "unit" in found.detail


def test_a_running_mean_of_8_hours_is_that_of_the_decision() -> None:
    ozone = hourly("o3", 15.7, 14.2, 17.7, 18.9, 19.3, 15.7, 19.7, 22.6)
    found = compute("air_mean", span(8 * 3600), HourlyParams(), value=ozone)
    assert found.value == pytest.approx(17.975)
    assert found.quality is Quality.GOOD


def test_a_mean_of_too_few_hours_says_so() -> None:
    ozone = hourly("o3", 10, None, None, None, 20, 30, 40, 50)
    found = compute("air_mean", span(8 * 3600), HourlyParams(), value=ozone)
    assert (found.value, found.quality) == (30, Quality.UNCERTAIN)
    assert Reason.PARTIAL in found.reasons
    assert found.parts is not None
    assert found.parts.n / found.parts.expected == 5 / 8


def test_an_hour_of_too_few_readings_does_not_count_in_a_longer_mean() -> None:
    ozone = hourly("o3", *[10.0] * 7, 90)
    thin = replace(ozone.windows[-1], parts=Parts(5, 12, 450, 90, 90, 90, 90), quality=Quality.UNCERTAIN)
    found = compute(
        "air_mean", span(8 * 3600), HourlyParams(), value=replace(ozone, windows=[*ozone.windows[:-1], thin])
    )
    assert found.value == 10
    assert found.detail["hours"] == 7


def test_nothing_measured_is_missing_and_not_zero() -> None:
    for name in ("air_mean", "nowcast"):
        found = compute(name, span(3600), HourlyParams(), value=hourly("pm25", None))
        assert (found.value, found.quality) == (None, Quality.MISSING)
        assert Reason.NO_ANSWER in found.reasons


def test_an_hour_of_gases_in_ppb_is_published_in_micrograms() -> None:
    found = compute("air_mean", span(3600), HourlyParams(), value=hourly("no2", 10, unit="[ppb]"))
    assert found.value == pytest.approx(18.8, abs=0.02)


def test_nowcast_bridges_a_gap_without_reading_low() -> None:
    dust = hourly("pm25", 10, None, 100)
    found = compute("nowcast", last_hour(dust), HourlyParams(), value=dust)
    assert found.value == pytest.approx(82)
    assert found.quality is Quality.UNCERTAIN  # 2 of 12 hours


def test_late_windows_complete_the_hour_they_belong_to() -> None:
    dust = track("air.pm25", [10.0] * 30, 60, 60, unit="ug/m3")
    late = [window(dust.signal, T0 + i * 60_000, 40, Reason.REPLAYED) for i in range(30, 60)]
    found = compute("air_mean", span(3600), HourlyParams(), value=Track(dust.signal, [*dust.windows, *late]))
    assert found.value == 25
    assert found.parts is not None
    assert found.parts.n == 60


def test_hourly_vn_aqi_names_what_dominates_and_all_the_others() -> None:
    tracks = {
        "pm25": hourly("pm25", *[20.3] * 12),
        "no2": hourly("no2", *[118.7] * 12),
        "o3": hourly("o3", *[136.1] * 12),
    }
    found = compute("vn_aqi_hour", last_hour(tracks["no2"]), AqiParams(), **tracks)
    assert (found.value, found.quality) == (59, Quality.GOOD)
    assert found.detail["dominant"] == "no2"
    assert found.detail["sub_indices"] == {"pm25": 41, "no2": 59, "o3": 43}
    assert (found.detail["level_vi"], found.detail["rgb"]) == ("Trung bình", "255;255;0")
    assert found.detail["method_version"] == 1
    assert found.detail["indicative"] is False
    assert found.detail["columns"]["o3"] == "o3_1h"


def test_without_particles_there_is_no_vn_aqi() -> None:
    gas = hourly("no2", 118.7)
    found = compute("vn_aqi_hour", span(3600), AqiParams(), no2=gas)
    assert (found.value, found.quality) == (None, Quality.MISSING)
    silent = compute("vn_aqi_hour", span(3600), AqiParams(), no2=gas, pm25=hourly("pm25", None))
    assert silent.value is None


def test_a_pollutant_that_is_silent_makes_the_index_uncertain() -> None:
    dust = hourly("pm25", *[20.3] * 12)
    found = compute(
        "vn_aqi_hour", last_hour(dust), AqiParams(indicative=True), pm25=dust, o3=hourly("o3", *[None] * 12)
    )
    assert (found.value, found.quality) == (41, Quality.UNCERTAIN)
    assert found.detail["lacking"] == {"o3": "no value"}
    assert found.detail["indicative"] is True


def test_negative_hours_never_enter() -> None:
    dust = hourly("pm25", -5, 20.3, 20.3)
    found = compute("vn_aqi_hour", last_hour(dust), AqiParams(), pm25=dust)
    assert found.detail["concentrations"] == {"pm25": 20.3}


def test_an_index_beyond_the_table_says_so() -> None:
    dust = hourly("pm25", *[700] * 12)
    found = compute("vn_aqi_hour", last_hour(dust), AqiParams(), pm25=dust)
    assert (found.value, found.detail["beyond_table"], found.detail["level_vi"]) == (500, True, "Nguy hại")


def test_the_daily_index_is_that_of_the_decisions_example() -> None:
    evening = T0 - 7 * HOUR_MS
    found = compute(
        "vn_aqi_day",
        DAY,
        AqiParams(),
        pm25=hourly("pm25", *[55.7] * 24),
        no2=hourly("no2", *[50.0] * 23, 130.8),
        o3=hourly("o3", *[89.3] * 15, *[50.0] * 15, 114.6, start_ms=evening),
    )
    assert (found.value, found.detail["dominant"], found.quality) == (110, "pm25", Quality.GOOD)
    assert found.detail["sub_indices"] == {"pm25": 110, "no2": 65, "o3": 45}
    assert found.detail["columns"]["o3"] == "o3_8h"


def test_ozone_over_400_for_8_hours_is_judged_by_the_hour_alone() -> None:
    found = compute(
        "vn_aqi_day",
        DAY,
        AqiParams(),
        pm25=hourly("pm25", *[10.0] * 24),
        o3=hourly("o3", *[420.0] * 31, start_ms=T0 - 7 * HOUR_MS),
    )
    assert found.detail["columns"]["o3"] == "o3_1h"
    assert found.value == 205


def test_a_gap_in_the_day_leaves_no_daily_mean_of_particles() -> None:
    dust = hourly("pm25", *[10.0] * 17, *[None] * 7)
    found = compute("vn_aqi_day", DAY, AqiParams(), pm25=dust)
    assert (found.value, found.quality) == (None, Quality.MISSING)
    assert found.detail["lacking"] == {"pm25": "too few hours"}
    enough = compute("vn_aqi_day", DAY, AqiParams(), pm25=hourly("pm25", *[10.0] * 18, *[None] * 6))
    assert enough.value == 20
