"""Every shipped limit profile, against the numbers it was made from."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from config.limits_of import LimitShelf
from gateway.indicators.limit_profiles import LimitProfile, LimitUse
from gateway.indicators.thresholds import midnight_ms, thresholds, verdict
from gateway.model.indicator import Indicator
from gateway.model.limit import LimitStatus
from gateway.model.measure import Kind, Quality, Reason, Signal

SHELF = LimitShelf(Path("nowhere"))
PROFILES = SHELF.profiles()
NEW_YEAR = midnight_ms(date(2026, 1, 1))
DAY_MS = 86_400_000

# Stated again by hand: key -> numbers; "?" behind a key: from memory, judges nothing.
TABLE: dict[str, dict[str, float | tuple[float, ...]]] = {
    "qcvn-05-2023": {
        "air.so2/1h": 350, "air.so2/24h": 125, "air.co/1h": 30000, "air.co/8h": 10000, "air.no2/1h": 200,
        "air.no2/24h": 100, "air.o3/1h": 200, "air.o3/8h": 120, "air.tsp/1h": 300, "air.tsp/24h": 200,
        "air.pm10/24h": 100, "air.pm25/24h": 50, "air.pm25/24h@2026-01-01": 45, "air.h2s/1h?": 42, "air.nh3/1h?": 200,
    },
    "qcvn-40-2011-a": {
        "ww.ph/24h/>=": 6, "ww.ph/24h": 9, "ww.temp/24h?": 40, "ww.color/24h?": 50, "ww.bod5/24h": 30, "ww.cod/24h": 75,
        "ww.tss/24h": 50, "ww.nh4n/24h": 5, "ww.tn/24h?": 20, "ww.tp/24h?": 4, "ww.cl/24h?": 1, "ww.oil/24h": 5,
    },
    "qcvn-40-2011-b": {
        "ww.ph/24h/>=": 5.5, "ww.ph/24h": 9, "ww.temp/24h?": 40, "ww.color/24h?": 150, "ww.bod5/24h?": 50,
        "ww.cod/24h": 150, "ww.tss/24h": 100, "ww.nh4n/24h": 10, "ww.tn/24h": 40, "ww.tp/24h?": 6, "ww.cl/24h?": 2,
        "ww.oil/24h?": 10,
    },
    "qcvn-40-2025": {},
    "qcvn-08-2023": {
        "sw.nh4n/24h": 0.3, "sw.no2n/24h": 0.05,
        "sw.ph/24h/A/>=": 6.5, "sw.ph/24h/A": 8.5, "sw.bod5/24h/A": 4, "sw.cod/24h/A": 10, "sw.toc/24h/A": 4,
        "sw.tss/24h/A": 25, "sw.do/24h/A/>=?": 6, "sw.tp/24h/A": 0.1, "sw.tn/24h/A": 0.6,
        "sw.ph/24h/B/>=": 6, "sw.ph/24h/B": 8.5, "sw.bod5/24h/B": 6, "sw.cod/24h/B": 15, "sw.toc/24h/B": 6,
        "sw.tss/24h/B?": 100, "sw.do/24h/B/>=": 5, "sw.tp/24h/B": 0.3, "sw.tn/24h/B": 1.5,
        "sw.ph/24h/C/>=": 6, "sw.ph/24h/C": 8.5, "sw.bod5/24h/C": 10, "sw.cod/24h/C": 20, "sw.toc/24h/C?": 8,
        "sw.do/24h/C/>=": 4, "sw.tp/24h/C": 0.5, "sw.tn/24h/C": 2, "sw.do/24h/D/>=": 2,
        "sw.bod5/24h/lake-A": 4, "sw.cod/24h/lake-A": 10, "sw.toc/24h/lake-A": 4, "sw.tss/24h/lake-A": 5,
        "sw.do/24h/lake-A/>=": 6, "sw.tp/24h/lake-A": 0.1, "sw.tn/24h/lake-A": 0.6, "sw.chlorophyll/24h/lake-A": 14,
        "sw.bod5/24h/lake-B": 6, "sw.cod/24h/lake-B": 15, "sw.toc/24h/lake-B": 6, "sw.tss/24h/lake-B": 15,
        "sw.do/24h/lake-B/>=": 5, "sw.tp/24h/lake-B": 0.3, "sw.tn/24h/lake-B": 1.5,
    },
    "qcvn-26-2010": {
        "noise.laeq_1h/special/06:00-21:00": 55, "noise.laeq_1h/special/21:00-06:00": 45,
        "noise.laeq_night/special": 45, "noise.laeq_1h/ordinary/06:00-21:00": 70,
        "noise.laeq_1h/ordinary/21:00-06:00": 55, "noise.laeq_night/ordinary": 55,
    },
    "vn-aqi": {"air.vn_aqi_1h": (100, 150, 200), "air.vn_aqi_24h": (100, 150, 200)},
    "flood-thanh-hoa": {
        "flood.level/giang?": (4.0, 5.5, 6.5), "flood.level/ly-nhan": (9.5, 11.0, 12.0),
        "flood.level/cam-thuy?": (17.5, 19.0, 20.2), "flood.level/bai-thuong?": (15.0, 16.5, 18.0),
        "flood.level/xuan-khanh?": (9.0, 10.4, 12.0), "flood.level/kim-tan?": (10.0, 11.0, 12.0),
        "flood.level/chuoi?": (2.0, 2.8, 3.5), "flood.level/xuan-vinh?": (8.0, 9.0, 10.0),
        "flood.level/len?": (4.0, 5.0, 6.0),
    },
    "flood-ha-noi": {
        "flood.level/ha-noi": (9.5, 10.5, 11.5), "flood.level/son-tay": (12.4, 13.4, 14.4),
        "flood.level/trung-ha": (15.0, 16.0, 17.0), "flood.level/thuong-cat": (9.0, 10.0, 11.0),
        "flood.level/ba-tha": (5.5, 6.5, 7.5),
    },
    "crowd-proposal": {"crowd.density_peak": (2.0, 3.5, 5.0), "crowd.capacity_rate": (80, 90, 100),
                       "visitors.capacity_rate": (80, 100), "queue.wait": 30},
    "traffic-proposal": {"traffic.speed_mean/>=": 10, "traffic.occupancy": 60, "traffic.queue_max": 300,
                         "traffic.delay": 60, "traffic.signal_fault": 0},
    "parking-proposal": {"parking.occupancy_rate": (90, 100)},
    "inundation-proposal": {"flood.inundation_depth": (5, 15, 30, 50), "flood.inundation_min": (30, 90)},
    "flood-watch-proposal": {
        "flood.margin/>=": 0.5, "flood.rise_rate": 30, "flood.eta_next/>=": 180, "flood.rain_1h": 50,
        "flood.rain_3h": (70, 100), "flood.rain_6h": 150, "flood.rain_24h?": (50, 100),
    },
    "light-proposal": {"light.lit_rate/>=": 95, "light.schedule_dev": 10, "light.leak": 30, "light.day_burn_min": 0,
                       "light.fault_overdue": 0, "light.cabinet_online/>=": 99, "light.door_open": 0,
                       "light.mains_loss": 0},
    "waste-proposal": {"waste.fill": 80, "wc.out_of_service": 0},
    "gateway-health": {"gw.clock_offset": 1, "gw.cert_days/>=": (90, 30, 7), "gw.disk_free/>=": (10, 5)},
    "data-quality": {"ww.data_capture_rate/>=?": 80, "ww.flow_balance": 20},
    "fire-proposal": {"fire.panel_alarm": 0, "fire.smoke_events": 0, "fire.tank_level/>=": (90, 50),
                      "fire.pressure/>=": ()},
    "power-supply-proposal": {"gw.power_on_battery": 0, "gw.power_backup_h/>=": (1, 0.25)},
    "works-procedure": {"flood.reservoir_level": (), "flood.discharge": ()},
    "cold-chain": {"health.cold_chain_temp/5m/>=?": 2, "health.cold_chain_temp/5m?": 8},
    "market-proposal": {"market.after_hours_min": 0, "market.encroach_min": 0, "traffic.veh_in_closed_min": 0},
    "construction-proposal": {"site.activity_index/>=": 30, "site.idle_days": 7, "site.out_of_hours_min": 0},
    "resources-licence": {"res.quota_rate": (80, 100), "res.water_quota_rate": (80, 100), "res.tonnes_day": (),
                          "res.water_abstracted": (), "res.out_of_hours_min": 0},
    "order-proposal": {"order.intrusion_events": 0, "order.gather_events": 0, "gw.camera_uptime_day/>=": 0.98},
    "asset-proposal": {"asset.available_rate/>=": 98, "asset.bridge_clearance/>=": (), "asset.tilt/>=": (),
                       "asset.tilt": (), "asset.overload_share": 10},
}  # fmt: skip


def test_every_profile_is_sound_and_is_in_the_table() -> None:
    assert SHELF.findings() == []
    assert set(PROFILES) == {*TABLE, "permit-wastewater"}


@pytest.mark.parametrize("name", TABLE)
def test_every_number_is_the_one_of_the_document(name: str) -> None:
    shown = {
        f"{row.key}{'' if row.trusted else '?'}": row.numbers
        for row in PROFILES[name].each
        if not name.startswith("qcvn-40-2011") or row.over == "24h"
    }
    assert shown == {key: found if isinstance(found, tuple) else (found,) for key, found in TABLE[name].items()}


def test_wastewater_is_judged_over_three_lengths_by_the_same_number() -> None:
    by_code: dict[tuple[str, str], set[tuple[float, ...]]] = {}
    for row in PROFILES["qcvn-40-2011-a"].each:
        by_code.setdefault((row.code, row.op), set()).add(row.numbers)
    assert all(len(found) == 1 for found in by_code.values())
    assert {row.over for row in PROFILES["qcvn-40-2011-a"].each} == {"5m", "1h", "24h"}


def signal(code: str, unit: str, id_: str = "dev/x") -> Signal:
    return Signal(id=id_, point=id_, indicator=code, unit=unit, kind=Kind.MEAN, every_s=60)


def use(**fields: object) -> LimitUse:
    return LimitUse.model_validate(fields)


def window(of: Signal, value: float | None, end_ms: int, *reasons: Reason, length_ms: int = DAY_MS) -> Indicator:
    quality = Quality.MISSING if value is None else Quality.UNCERTAIN if reasons else Quality.GOOD
    return Indicator(of, end_ms - length_ms, end_ms, value, quality, reasons)


PM25 = signal("air.pm25", "ug/m3")
PM25_LIMITS = thresholds([use(profile="qcvn-05-2023")], PROFILES, [PM25])["dev/x"]


def test_the_last_day_of_2025_is_held_against_50_and_the_first_of_2026_against_45() -> None:
    old = verdict(PM25_LIMITS, window(PM25, 47.0, NEW_YEAR))
    new = verdict(PM25_LIMITS, window(PM25, 47.0, NEW_YEAR + DAY_MS))
    assert old is not None
    assert new is not None
    assert (old.status, old.limit.value) == (LimitStatus.MET, 50)
    assert (new.status, new.limit.value) == (LimitStatus.UNMET, 45)


@pytest.mark.parametrize(
    ("value", "reasons", "status"),
    [
        (45.0, (), "met"),
        (45.1, (), "unmet"),
        (None, (), "unknown"),
        (99.0, (Reason.PARTIAL,), "unknown"),
        (1.0, (Reason.PARTIAL,), "unknown"),
        (99.0, (Reason.SPIKE,), "unmet"),
    ],
)
def test_too_few_readings_and_no_value_are_never_met(
    value: float | None, reasons: tuple[Reason, ...], status: str
) -> None:
    found = verdict(PM25_LIMITS, window(PM25, value, NEW_YEAR + DAY_MS, *reasons))
    assert found is not None
    assert found.status == status


def test_before_the_rule_was_in_force_it_says_nothing() -> None:
    found = verdict(PM25_LIMITS, window(PM25, 99.0, midnight_ms(date(2023, 1, 1))))
    assert found is not None
    assert found.status is LimitStatus.UNKNOWN


def test_a_number_from_memory_judges_only_when_confirmed() -> None:
    nh3 = signal("air.nh3", "ug/m3")
    sure = {"by": "Nguyễn Văn A", "on": "2026-01-05", "document": "QCVN", "rows": ["air.nh3"]}
    plain = thresholds([use(profile="qcvn-05-2023")], PROFILES, [nh3])["dev/x"]
    confirmed = thresholds([use(profile="qcvn-05-2023", confirmed=sure)], PROFILES, [nh3])["dev/x"]
    hour = window(nh3, 500.0, NEW_YEAR, length_ms=3_600_000)
    told = [verdict(limits, hour) for limits in (plain, confirmed)]
    assert [one.status for one in told if one] == ["unknown", "unmet"]


def test_a_station_with_one_unsure_level_judges_as_a_whole_or_not_at_all() -> None:
    level = signal("flood.level", "m")
    one = use(profile="flood-thanh-hoa", station="giang")
    assert [t.confirmed for t in thresholds([one], PROFILES, [level])["dev/x"]] == [False]
    sure = {"by": "Nguyễn Văn A", "on": "2026-01-05", "document": "QĐ 05/2020", "rows": ["giang"]}
    (found,) = thresholds([use(profile="flood-thanh-hoa", station="giang", confirmed=sure)], PROFILES, [level])["dev/x"]
    assert (found.confirmed, found.levels, found.limit.value) == (True, (4.0, 5.5, 6.5), 4.0)
    assert "15853" in found.communes
    assert "15724" not in found.communes  # Đồng Tiến, another commune


def test_factors_multiply_only_what_they_may_and_are_asked_for() -> None:
    cod, ph = signal("ww.cod", "mg/L", "o/cod"), signal("ww.ph", "[pH]", "o/ph")
    with_ = thresholds([use(profile="qcvn-40-2011-a", factors={"kq": 0.9, "kf": 1.1})], PROFILES, [cod, ph])
    without = thresholds([use(profile="qcvn-40-2011-a")], PROFILES, [cod, ph])
    assert [t.limit.value for t in with_["o/cod"]] == pytest.approx([74.25] * 3)
    assert {t.limit.value for t in with_["o/ph"]} == {6, 9}
    assert {t.confirmed for t in without["o/cod"]} == {False}
    assert {t.confirmed for t in without["o/ph"]} == {True}
    assert {t.limit.over_s for t in with_["o/cod"]} == {300, 3600, 86_400}


def test_the_permit_goes_before_the_rule() -> None:
    cod, ph = signal("ww.cod", "mg/L", "o/cod"), signal("ww.ph", "[pH]", "o/ph")
    permit = {"values": {"ww.cod": 60, "ww.ph": [6.5, 8.5]}, "permit": "GPMT 123/GP-UBND"}
    for name in ("qcvn-40-2011-b", "permit-wastewater"):
        found = thresholds([use(profile=name, **permit)], PROFILES, [cod, ph])
        assert {(t.limit.value, t.limit.permit, t.confirmed, t.violation) for t in found["o/cod"]} == {
            (60, "GPMT 123/GP-UBND", True, True)
        }
        assert {(t.limit.op, t.limit.value) for t in found["o/ph"]} == {(">=", 6.5), ("<=", 8.5)}


def test_a_proposal_of_ours_never_travels_under_the_name_of_a_document() -> None:
    share, balance = signal("ww.data_capture_rate", "%", "o/share"), signal("ww.flow_balance", "%", "o/balance")
    found = thresholds([use(profile="data-quality")], PROFILES, [], [share, balance])
    assert found["o/share"][0].limit.basis == "Thông tư 10/2021/TT-BTNMT"
    assert found["o/balance"][0].limit.basis.startswith("our proposal")


def test_another_unit_is_never_compared() -> None:
    assert thresholds([use(profile="qcvn-05-2023")], PROFILES, [signal("air.so2", "[ppb]")]) == {}


def test_the_night_has_its_own_noise_limit_from_21_to_6() -> None:
    noise = signal("noise.laeq_1h", "dB{A}")
    limits = thresholds([use(profile="qcvn-26-2010", area="ordinary")], PROFILES, [], [noise])["dev/x"]
    hours = {7: "met", 21: "met", 22: "unmet", 6: "unmet"}  # by the local hour at which the window ends
    for hour, status in hours.items():
        found = verdict(limits, window(noise, 60.0, NEW_YEAR + hour * 3_600_000, length_ms=3_600_000))
        assert found is not None
        assert (hour, found.status) == (hour, status)


def test_the_worst_of_several_limits_counts() -> None:
    (limit,) = [t for t in PM25_LIMITS if t.limit.value == 45]
    unsure = replace(limit, id="other", confirmed=False)
    strict = replace(limit, id="strict", limit=replace(limit.limit, value=30.0))
    day = window(PM25, 40.0, NEW_YEAR + DAY_MS)
    for limits, status in (([limit], "met"), ([limit, unsure], "unknown"), ([limit, unsure, strict], "unmet")):
        found = verdict(limits, day)
        assert found is not None
        assert found.status == status
    assert verdict([], day) is None


@pytest.mark.parametrize(
    "rows",
    [
        [{"code": "a.b", "unit": "m", "mark": "source"}],
        [{"code": "a.b", "unit": "m", "mark": "source", "levels": [3, 2]}],
        [{"code": "a.b", "unit": "m", "mark": "source", "value": 1}] * 2,
        [],
    ],
)
def test_a_profile_that_cannot_be_meant_is_refused(rows: list[dict[str, object]]) -> None:
    head = {"profile": "x", "title_en": "title", "title_vi": "tiêu đề", "document": "QCVN"}
    with pytest.raises(ValueError, match=r"row|levels|numbers"):
        LimitProfile.model_validate({**head, "rows": rows})
