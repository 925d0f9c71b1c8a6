"""An event adds what its file says, in its time, and changes nothing else."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from config.events import Event, State
from config.geography import geography
from config.rehearsal import rehearsal
from config.site import LoadedSite, findings, load_site
from gateway.diary import configuration
from gateway.indicators.engine import Derived
from gateway.indicators.formulas.crowd import CapacityParams
from gateway.indicators.formulas.market import Signs
from gateway.indicators.periods import Span
from gateway.uplink.encode import catalogue

EXAMPLES = Path(str(files("config"))) / "sites/events"
BEGIN, END = 4_073_587_200_000, 4_073_814_000_000  # 2099-02-01 07:00 and 2099-02-03 22:00, +07:00
HOUR_MS = 3_600_000
SITE = """
gateway: 38-test-01
site: Đình làng
place: {province: "38", commune: "14797", lat: 19.8, lon: 105.77}
state_dir: ./run
uplink: {host: 127.0.0.1}
wires:
  lora: {kind: mqtt_in, host: 127.0.0.1, port: 1883}
devices:
  gate: {profile: milesight-vs135, wire: lora, address: 24e124713d000001, every_s: 60}
zones:
  street: {name: Phố, kind: street, polygon: [[105.770, 19.800], [105.772, 19.800], [105.772, 19.801]], capacity: 50}
points:
  "gate/*": {zone: street, lat: 19.8, lon: 105.77}
indicators:
  - {code: crowd.capacity_rate, of: "gate/[cl]*", point: yard, with: &ways {inward: ["*/came"], outward: ["*/left"]}}
limits:
  - {profile: crowd-proposal}
"""
EVENT = """
event: NAME
title_vi: Hội làng
title_en: Village fair
from: "2099-02-01 07:00"
to: "2099-02-03 22:00"
hours: "07:30-21:30"
zones:
  yard: {name: Sân đình, kind: event, polygon: [[105.770, 19.800], [105.772, 19.800], [105.772, 19.801]], capacity: 900}
points:
  "gate/*": {zone: yard}
indicators:
  - {code: crowd.capacity_rate, of: "gate/[cl]*", point: yard, with: {inward: ["*/came"], outward: ["*/left"]}}
  - {code: market.after_hours_min, of: "gate/*", point: yard}
limits:
  - {profile: crowd-proposal}
  - {profile: NAME, of: "gate/*"}
"""
PROFILE = """
profile: NAME
title_en: People in the region of a counter
title_vi: Số người trong vùng của bộ đếm
document: made for tests
rows:
  - {code: crowd.zone_present, value: 20, unit: "1", mark: proposal}
  - {code: crowd.zone_present, over: 1h, value: 10, unit: "1", mark: proposal}
"""


def written(folder: Path, *names: str) -> Path:
    (folder / "events").mkdir()
    (folder / "limits").mkdir()
    for name in names:
        (folder / f"events/{name}.yaml").write_text(EVENT.replace("NAME", name), encoding="utf-8")
        (folder / f"limits/{name}.yaml").write_text(PROFILE.replace("NAME", name), encoding="utf-8")
    named = [f"events/{name}.yaml" for name in names]
    (folder / "site.yaml").write_text(f"{SITE}events: {json.dumps(named)}\n", encoding="utf-8")
    return folder / "site.yaml"


@pytest.fixture
def site(tmp_path: Path) -> LoadedSite:
    return load_site(written(tmp_path, "hoi-lang"))


def derived(site: LoadedSite, name: str) -> Derived:
    (found,) = [one for one in site.plan.derived if one.signal.id == name]
    return found


def test_points_of_an_event_bear_its_name_and_are_formed_in_its_time_alone(site: LoadedSite) -> None:
    theirs = derived(site, "hoi-lang/yard/crowd.capacity_rate")
    assert theirs.signal.point == "hoi-lang/yard"
    assert theirs.active == Span(BEGIN, END)
    assert not theirs.is_active(Span(BEGIN - HOUR_MS, BEGIN))
    assert theirs.is_active(Span(BEGIN, BEGIN + HOUR_MS))
    assert not theirs.is_active(Span(END, END + HOUR_MS))


def test_what_the_event_says_of_a_place_goes_before_what_the_site_says(site: LoadedSite) -> None:
    capacities = [derived(site, f"{prefix}yard/crowd.capacity_rate").params for prefix in ("", "hoi-lang/")]
    assert [params.capacity for params in capacities if isinstance(params, CapacityParams)] == [50, 900]


def test_hours_of_an_event_are_those_of_formulas_that_ask_for_hours(site: LoadedSite) -> None:
    params = derived(site, "hoi-lang/yard/market.after_hours_min").params
    assert isinstance(params, Signs)
    assert (params.opens, params.closes) == ("07:30", "21:30")


def test_limits_of_an_event_judge_in_its_time_alone(site: LoadedSite) -> None:
    (limit,) = derived(site, "hoi-lang/yard/crowd.capacity_rate").thresholds
    (single,) = site.plan.single["gate/present"]
    (hourly,) = derived(site, "hoi-lang/gate/present/3600s").thresholds
    for threshold in (limit, single, hourly):
        assert threshold.id.startswith("hoi-lang/")
        assert [threshold.in_force(at) for at in (BEGIN - 1, BEGIN, END - 1, END)] == [False, True, True, False]
    (of_the_site,) = derived(site, "yard/crowd.capacity_rate").thresholds
    assert of_the_site.in_force(BEGIN - 1)


def test_a_site_without_its_events_derives_and_judges_the_same(tmp_path: Path, site: LoadedSite) -> None:
    (tmp_path / "plain.yaml").write_text(SITE, encoding="utf-8")
    plain = load_site(tmp_path / "plain.yaml").plan
    assert [one for one in site.plan.derived if one.active is None] == list(plain.derived)
    assert list(plain.signals) == list(site.plan.signals)


def test_events_may_overlap(tmp_path: Path) -> None:
    site = load_site(written(tmp_path, "hoi-lang", "cho-que"))
    ids = [one.signal.id for one in site.plan.derived]
    rules = [(name, one.id) for name, its in site.plan.single.items() for one in its]
    assert len(ids) == len(set(ids)) == 7
    assert sorted(rules) == [
        ("gate/present", f"{name}/{name}/crowd.zone_present") for name in ("cho-que", "hoi-lang")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("at_ms", "state"),
    [(BEGIN - 1, State.COMING), (BEGIN, State.RUNNING), (END - 1, State.RUNNING), (END, State.OVER)],
)
def test_an_event_is_coming_running_or_over(site: LoadedSite, at_ms: int, state: State) -> None:
    assert site.events["hoi-lang"].source.event.state(at_ms) is state


def test_the_catalogue_says_where_an_event_is_and_when(site: LoadedSite) -> None:
    where = geography(site, site.plan.signals)
    features = [f for f in where["geo"]["features"] if "hoi-lang" in (f.get("id"), f["properties"].get("event"))]
    kinds: dict[str, dict[str, Any]] = {feature["properties"]["is"]: feature for feature in features}
    assert kinds["event"]["properties"] == {
        "is": "event", "name": "Hội làng", "name_en": "Village fair", "from_ms": BEGIN, "to_ms": END,
        "hours": "07:30-21:30",
    }  # fmt: skip
    assert kinds["zone"]["id"] == "hoi-lang/yard"
    assert kinds["zone"]["properties"]["capacity"] == 900
    assert kinds["point"]["properties"]["zone"] == "hoi-lang/yard"
    assert kinds["point"]["properties"]["pt"] == ["gate/came", "gate/left", "gate/present"]
    of_the_site = [f for f in where["geo"]["features"] if f["properties"].get("zone") == "street"]
    assert len(of_the_site) == 1, "what the site says of its points still stands there"

    said = catalogue("38-test-01", "Đình làng", where["place"], site.plan.signals, geo=where["geo"])
    schema = json.loads(files("gateway.uplink").joinpath("schemas/cat.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(json.loads(said.body))


def test_the_journal_sees_another_event_file_as_another_configuration(site: LoadedSite) -> None:
    before = configuration(site)
    event = site.events["hoi-lang"].source.file
    event.write_text(event.read_text(encoding="utf-8").replace("900", "901"), encoding="utf-8")
    after = configuration(load_site(site.file))
    assert before["sha256"] == after["sha256"]
    assert before["events"] != after["events"]
    assert before["config"] != after["config"]


def test_a_rehearsal_finds_the_events(site: LoadedSite, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "limits", tmp_path / "desk/limits")
    assert list(load_site(rehearsal(site, tmp_path / "desk")).events) == ["hoi-lang"]


def test_times_of_an_event_are_local(site: LoadedSite) -> None:
    event = site.events["hoi-lang"].source.event
    assert event.span == Span(BEGIN, END)
    for wrong in ("2099-02-01", "2099-02-01 07:00+00:00", "07:00", "1/2/2099 07:00"):
        with pytest.raises(ValueError, match="no day and time"):
            Event.model_validate({**event.model_dump(by_alias=True), "from": wrong})


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.stem)
def test_an_example_event_fits_a_site_with_its_devices(file: Path, tmp_path: Path) -> None:
    counters = ("gate_north", "gate_south", "wc_1")
    counting = [
        f"  {name}: {{profile: milesight-vs135, wire: lora, address: {name}, every_s: 60}}" for name in counters
    ]
    lines = [
        *SITE.partition("devices:")[0].replace('"14797", lat: 19.8, lon: 105.77', '"15544", lat: 19.92, lon: 105.4')
        .splitlines(), "devices:", *counting,
        "  parking_1: {profile: bosch-tps110-chirpstack, wire: lora, address: p1, every_s: 3600}",
        "  bin_1: {profile: milesight-em400-mud, wire: lora, address: b1, every_s: 1200}",
        'points: {"bin_*/*": {window_s: 1200}, "parking_*/*": {window_s: 14400}}',
        f"events: [{json.dumps(str(file))}]",
    ]  # fmt: skip
    (tmp_path / "site.yaml").write_text("\n".join(lines), encoding="utf-8")
    assert {str(finding.code) for finding in findings(tmp_path / "site.yaml")} <= {"event-over"}
    assert len(load_site(tmp_path / "site.yaml").events[file.stem].plan.derived) > 10
