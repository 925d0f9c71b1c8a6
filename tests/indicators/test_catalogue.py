"""The catalogue that comes with the gateway holds together, and says enough to be grouped and explained by."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from config.indicators_of import agencies, catalogue, findings
from gateway.indicators.book import FORMULAS
from gateway.indicators.catalogue import Entry

# Provinces whose plans name agencies: Hà Nội, Thanh Hóa.
PRESETS = {"01", "38"}


def test_nothing_in_the_catalogue_is_wrong() -> None:
    assert [str(finding) for finding in findings()] == []


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.code)
def test_an_indicator_has_names_in_both_languages_and_somebody_who_answers_for_it(entry: Entry) -> None:
    assert entry.name_en != entry.name_vi
    assert entry.definition_en != entry.definition_vi
    assert not entry.agency or set(agencies()[entry.agency]) >= PRESETS


def test_every_formula_is_used() -> None:
    used = {name for entry in catalogue().values() for name in (entry.formula, entry.judged)}
    unused = {name for name in FORMULAS if not name.startswith("fold_")} - used
    assert unused == set()


def test_every_scenario_of_the_plans_with_a_part_for_the_edge_has_indicators() -> None:
    """Rows 1 to 20 of the scenario table; 21 is not an edge matter."""
    named = {scenario for entry in catalogue().values() for scenario in entry.scenarios}
    assert named >= set(range(1, 21)) - {21}


SCENARIOS: dict[int, str] = {
    1: "traffic.*", 2: "traffic.speed_* traffic.incident_count flood.inundation_depth",
    3: "asset.* traffic.heavy_share light.lit_rate light.fault_open light.cabinet_online gw.device_uptime",
    4: "flood.* air.pm* air.vn_aqi* sw.*",
    5: "flood.reservoir_level flood.gate_opening flood.pump_running gw.power_backup_h",
    6: "cd.siren_ready_rate crowd.present gw.power_* gw.heartbeat gw.devices_online", 7: "fire.*",
    8: "health.cold_chain_* crowd.present", 9: "site.*", 10: "site.*", 11: "ww.* em.* air.vn_aqi* noise.*",
    12: "crowd.* parking.* waste.* wc.* noise.* traffic.* power.kw*",
    13: "crowd.* market.* noise.* waste.* traffic.veh_in_closed_min",
    14: "visitors.* crowd.* parking.* air.vn_aqi* air.pm25_* sw.*", 15: "crowd.* visitors.* waste.* wc.*",
    16: "order.* crowd.* gw.camera_uptime", 17: "light.lit_rate light.fault_* light.energy_* light.saving_rate",
    18: "res.*", 19: "site.out_of_hours_min fire.weather_class fire.smoke", 20: "air.vn_aqi* noise.* light.saving_rate",
}  # fmt: skip
"""What the plans' scenarios ask for (domain research, 13.1); codes that are only the instrument's own are not in it."""
GROUPS = {
    **dict.fromkeys((1, 4, 10, 11, 12, 13, 15, 17, 20), "d"),
    **dict.fromkeys((2, 5, 6, 7, 8), "a"),
    **dict.fromkeys((3, 14, 16, 18, 19), "c"),
    9: "ab",
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_a_scenario_asks_for_is_found_by_it(scenario: int) -> None:
    for pattern in SCENARIOS[scenario].split():
        asked = {e.code for e in catalogue().values() if fnmatchcase(e.code, pattern) and not e.code.endswith("_cf1")}
        assert asked, pattern
        assert {code for code in asked if scenario in catalogue()[code].scenarios} == asked


@pytest.mark.parametrize("entry", [e for e in catalogue().values() if e.group], ids=lambda entry: entry.code)
def test_the_groups_are_those_of_the_scenarios(entry: Entry) -> None:
    if not entry.code.startswith("gw."):
        assert set(entry.group) == set("".join(GROUPS[scenario] for scenario in entry.scenarios))


ORIGIN = re.compile(r"proposal|\[P\]|QCVN|Beaufort")
NEUTRAL = {"idle_a", "ground_cm", "at_empty"}


def test_every_number_a_formula_is_told_by_default_says_where_it_is_from() -> None:
    silent = {
        f"{name}: {field}"
        for name, formula in FORMULAS.items()
        for field, info in formula.params.model_fields.items()
        if isinstance(info.default, int | float)
        and not isinstance(info.default, bool)
        and field not in NEUTRAL
        and not ORIGIN.search(info.description or "")
    }
    assert silent == set()
