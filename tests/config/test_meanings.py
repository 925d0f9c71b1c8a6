"""What the centre can group, name and hold against, from the catalogue alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.indicators_of import own_folder
from config.meanings import meanings
from config.plan import Plan
from config.site import load_site
from gateway.indicators.book import FORMULAS
from gateway.indicators.engine import Derived
from gateway.indicators.periods import Period
from gateway.model.limit import Limit, Threshold
from gateway.model.measure import Forward, Kind, Signal
from gateway.uplink.encode import catalogue
from tests.kit.schemas import check

PM25 = Signal(id="air/pm25", point="air/pm25", indicator="air.pm25", unit="ug/m3", kind=Kind.MEAN, every_s=60)
CO = replace(PM25, id="air/co", point="air/co", indicator="air.co")
QCVN = Threshold(
    id="qcvn-05-2023/air.pm25/24h",
    limit=Limit(op="<=", value=50, over_s=86_400, basis="QCVN 05", clause="1", profile="qcvn-05-2023 v1"),
    levels=(50.0,),
    confirmed=False,
)
SITES = [own_folder().parent / "sites" / f"{name}.yaml" for name in ("demo", "industrial-zone")]


def mean_of(*signals: Signal) -> Derived:
    """A mean that is only judged, as limits over 24 hours need it."""
    signal = replace(signals[0], id=f"{signals[0].id}/86400s")
    return Derived(signal=signal, formula=FORMULAS["fold_mean"], inputs={"value": signals}, period=Period.of("day"),
                   thresholds=[QCVN], published=False)  # fmt: skip


def test_an_indicator_says_what_it_is_for_and_who_answers_for_it_in_this_province() -> None:
    here, there = (meanings(Plan([PM25]), province, [PM25]) for province in ("38", "01"))
    assert here["inds"]["air.pm25"] == {
        "name": {"en": "PM2.5", "vi": "Bụi PM2.5"}, "ver": 1, "grp": ["c", "d"], "sc": [4, 11, 14, 20],
        "ag": "environment", "fw": "AirQualityObserved.pm25",
    }  # fmt: skip
    assert here["agencies"]["environment"]["vi"] == "Sở Nông nghiệp và Môi trường"
    assert here["inds"] == there["inds"]
    assert "agencies" not in meanings(Plan([PM25]), "99", [PM25]), "not guessed for a province that is not known"


def test_a_factor_for_another_unit_says_for_which_unit_it_is() -> None:
    assert meanings(Plan(), "38", [CO])["inds"]["air.co"].items() >= {"fwx": 0.001, "fwu": "ug/m3"}.items()


def test_a_code_of_ones_own_is_not_explained_and_harms_nothing() -> None:
    assert meanings(Plan(), "38", [replace(PM25, indicator="mine.value")]) == {}


def test_a_rule_for_several_points_is_said_once_of_points_the_catalogue_has() -> None:
    other = replace(PM25, id="roof/pm25", point="roof/pm25")
    single = replace(QCVN, id="quick/air.pm25", limit=replace(QCVN.limit, over_s=0), levels=(50, 80), confirmed=True)
    plan = Plan([PM25, other], [mean_of(PM25), mean_of(other)], {PM25.id: [single]})
    limits = meanings(plan, "38", [PM25, other])["limits"]
    assert limits == {
        "qcvn-05-2023 v1": {
            "doc": "QCVN 05",
            "rules": [
                {"id": QCVN.id, "op": "<=", "lim": [50], "over": 86_400, "cl": "1", "ok": False, "alarm": True,
                 "of": ["air/pm25", "roof/pm25"]},
                {"id": single.id, "op": "<=", "lim": [50, 80], "over": 0, "cl": "1", "alarm": True, "of": ["air/pm25"]},
            ],
        }
    }  # fmt: skip


@pytest.mark.parametrize("file", SITES, ids=lambda file: str(file.stem))
def test_the_catalogue_of_an_example_keeps_to_its_schema_and_speaks_only_of_its_points(file: Path) -> None:
    site = load_site(file)
    signals = [*site.plan.signals, *(one.signal for one in site.plan.derived if one.published)]
    said = meanings(site.plan, site.document.place.province, signals)
    message = catalogue("38-test-01", "Điểm thử", {}, signals, meanings=said).body
    check("ioc/v1/38-test-01/cat", message)
    content: dict[str, Any] = json.loads(message)
    points = {point["id"] for point in content["points"]}
    rules = [rule for profile in content["limits"].values() for rule in profile["rules"]]
    assert {name for rule in rules for name in rule["of"]} <= points
    assert {one["ag"] for one in content["inds"].values() if "ag" in one} >= content["agencies"].keys()


def test_a_point_that_reports_on_alarm_only_keeps_to_the_schema() -> None:
    quiet = replace(PM25, forward=Forward.ON_ALARM)
    check("ioc/v1/38-test-01/cat", catalogue("38-test-01", "Điểm thử", {}, [quiet]).body)
