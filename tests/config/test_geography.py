"""Where things are, as the catalogue carries it: GeoJSON that any map reads, each fact once."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from config import places
from config.geography import geography
from config.site import LoadedSite, load_site
from config.zones import corners, crosses_itself, signed_area_m2
from gateway.model.measure import Kind, Signal
from gateway.uplink.encode import catalogue

HERE = Path(__file__).parent
CLOCKWISE = "[[105.77, 19.80], [105.77, 19.81], [105.78, 19.81], [105.78, 19.80]]"
EXTRA = f"""
zones:
  gate: {{name: Cổng Đông, kind: event, polygon: {CLOCKWISE}, capacity: 3000, communes: ["14797"]}}
routes:
  ql1a: {{kind: road, name: Quốc lộ 1A}}
points:
  "meter/*": {{zone: gate, route: ql1a, km: "324+500"}}
  meter/voltage: {{km: "325+000", lat: 19.81, lon: 105.77, datum: Hòn Dấu, zero_offset_m: -1.5, surveyed: "2026-03-01"}}
"""


def signal(name: str) -> Signal:
    return Signal(id=name, point=name, indicator="light.power", unit="W", kind=Kind.MEAN, every_s=5)


SIGNALS = [signal("meter/power"), signal("meter/voltage"), signal("meter/amps"), signal("mast/wind")]


@pytest.fixture
def site(tmp_path: Path) -> LoadedSite:
    shutil.copytree(HERE / "devices", tmp_path / "devices")
    text = (HERE / "cases/a_sound_document_has_no_findings/site.yaml").read_text(encoding="utf-8")
    (tmp_path / "site.yaml").write_text(text + EXTRA, encoding="utf-8")
    return load_site(tmp_path / "site.yaml")


def features(site: LoadedSite, kind: str) -> list[dict[str, Any]]:
    return [f for f in geography(site, SIGNALS)["geo"]["features"] if f["properties"]["is"] == kind]


def test_the_place_is_named_with_the_list_it_is_from(site: LoadedSite) -> None:
    assert geography(site, SIGNALS)["place"] == {
        "province": "38",
        "province_name": "Thanh Hóa",
        "commune": "14797",
        "commune_name": "Phường Hạc Thành",
        "lat": 19.8,
        "lon": 105.7,
        "list": places.version(),
    }


def test_a_code_the_list_does_not_know_goes_without_a_name(site: LoadedSite) -> None:
    place = site.document.place.model_copy(update={"commune": "99999"})
    told = geography(replaced(site, place=place), SIGNALS)["place"]
    assert told["commune"] == "99999"
    assert "commune_name" not in told


def test_the_site_is_a_point_longitude_first(site: LoadedSite) -> None:
    assert [f["geometry"] for f in features(site, "site")] == [{"type": "Point", "coordinates": [105.7, 19.8]}]


def test_a_ring_is_closed_and_counter_clockwise_however_it_was_written(site: LoadedSite) -> None:
    (zone,) = features(site, "zone")
    (ring,) = zone["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    assert len(ring) == 5
    assert sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring)) > 0
    assert zone["id"] == "gate"
    assert zone["properties"] == {
        "is": "zone", "name": "Cổng Đông", "kind": "event", "capacity": 3000, "communes": ["14797"],
    }  # fmt: skip


def test_points_at_one_place_share_a_feature_and_a_later_pattern_wins(site: LoadedSite) -> None:
    shared, own = sorted(features(site, "point"), key=lambda f: f["geometry"] is not None)
    assert shared["properties"] == {
        "is": "point", "pt": ["meter/amps", "meter/power"], "zone": "gate", "route": "ql1a", "km": "324+500",
    }  # fmt: skip
    assert own["geometry"]["coordinates"] == [105.77, 19.81]
    assert own["properties"] == {
        "is": "point", "pt": ["meter/voltage"], "zone": "gate", "route": "ql1a", "km": "325+000",
        "datum": "Hòn Dấu", "zero_offset_m": -1.5, "surveyed": "2026-03-01",
    }  # fmt: skip


def test_a_route_is_named_once_and_has_no_shape(site: LoadedSite) -> None:
    assert features(site, "route") == [
        {"type": "Feature", "id": "ql1a", "geometry": None,
         "properties": {"is": "route", "kind": "road", "name": "Quốc lộ 1A"}}
    ]  # fmt: skip


def test_the_catalogue_is_as_its_schema_says_and_does_not_depend_on_the_order_of_signals(site: LoadedSite) -> None:
    schema = json.loads((files("gateway.uplink") / "schemas/cat.json").read_text(encoding="utf-8"))
    first, again = (encoded(site, signals) for signals in (SIGNALS, SIGNALS[::-1]))
    Draft202012Validator(schema).validate(json.loads(first.body))
    assert first == again


def encoded(site: LoadedSite, signals: list[Signal]) -> Any:
    where = geography(site, signals)
    return catalogue("38-test-01", "Trạm thử", where["place"], signals, geo=where["geo"])


def replaced(site: LoadedSite, **changes: Any) -> LoadedSite:
    return LoadedSite(
        **{
            **{slot: getattr(site, slot) for slot in LoadedSite.__slots__},
            "document": site.document.model_copy(update=changes),
        }
    )


# --- polygons -------------------------------------------------------------------------------------------------------

SQUARE = [(105.0, 20.0), (105.001, 20.0), (105.001, 20.001), (105.0, 20.001)]


def test_an_area_is_in_square_metres() -> None:
    assert signed_area_m2(SQUARE) == pytest.approx(111.195 * 104.49, rel=0.001)
    assert signed_area_m2(SQUARE[::-1]) == pytest.approx(-signed_area_m2(SQUARE))


def test_a_closed_ring_is_the_open_one() -> None:
    assert corners([*SQUARE, SQUARE[0]]) == corners(SQUARE) == SQUARE


@given(st.permutations(range(4)))
def test_four_corners_cross_unless_they_are_named_in_their_order(order: list[int]) -> None:
    in_order = all((order[i] - order[i - 1]) % 4 in {1, 3} for i in range(4))
    assert crosses_itself([SQUARE[i] for i in order]) is not in_order


def test_a_side_that_touches_another_crosses_it() -> None:
    assert crosses_itself([(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)])
    assert not crosses_itself([(0, 0), (4, 0), (4, 4), (2, 1), (0, 4)])
