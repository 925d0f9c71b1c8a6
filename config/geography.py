"""Where a site and its points are, for the catalogue: said there once, so that records carry ids only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

from config import places
from config.events import Event
from config.site import LoadedSite
from config.zones import Corner, Zone, corners, signed_area_m2
from gateway.model.measure import Signal
from gateway.pipeline.settings import PointSettings

_WHERE = (
    "zone", "route", "km", "direction", "lat", "lon", "accuracy_m", "mobile", "datum", "zero_offset_m", "surveyed",
)  # fmt: skip


def geography(site: LoadedSite, signals: Sequence[Signal]) -> dict[str, Any]:
    """`{"place": ..., "geo": ...}` of `cat/1`.

    place  codes, names as in the list, lat, lon, and which list; a name the list does not have is left out
    geo    GeoJSON (RFC 7946): a feature for the site, for each zone, each route (without geometry), and for each group
           of points that share a place: `pt` lists them. Then what each event adds, named EVENT/ZONE, with `event`
    """
    document = site.document
    features = [
        _feature("site", _at(document.place.lat, document.place.lon), {}),
        *(_zone(name, zone) for name, zone in document.zones.items()),
        *(_feature("route", None, route.model_dump(), name) for name, route in document.routes.items()),
        *_points(signals, document.points),
        *chain.from_iterable(_event(one.source.event, signals) for one in site.events.values()),
    ]
    return {"place": _place(site), "geo": {"type": "FeatureCollection", "features": features}}


def _place(site: LoadedSite) -> dict[str, Any]:
    place = site.document.place
    known = places.gazetteer()
    province, commune = known.provinces.get(place.province), known.communes.get(place.commune)
    return {
        **place.model_dump(),
        **({} if province is None else {"province_name": province.name}),
        **({} if commune is None else {"commune_name": commune.name}),
        "list": places.version(),
    }


def _zone(name: str, zone: Zone) -> dict[str, Any]:
    about = zone.model_dump(mode="json", exclude={"polygon"}, exclude_defaults=True)
    return _feature("zone", {"type": "Polygon", "coordinates": [_ring(zone.polygon)]}, about, name)


def _ring(polygon: Sequence[Corner]) -> list[list[float]]:
    """Counter-clockwise and closed, as RFC 7946 wants it."""
    ring = corners(polygon)
    if signed_area_m2(ring) < 0:
        ring.reverse()
    return [list(corner) for corner in (*ring, ring[0])]


def _points(signals: Iterable[Signal], points: Mapping[str, PointSettings]) -> list[dict[str, Any]]:
    groups: list[tuple[dict[str, Any], list[str]]] = []
    for signal in signals:
        about = _about(signal, points)
        if not about:
            continue
        names = next((names for known, names in groups if known == about), None)
        if names is None:
            groups.append((about, names := []))
        if signal.point not in names:
            names.append(signal.point)
    # in an order of their own: the hash of a catalogue does not depend on the order of the signals
    return [
        _point(about, names) for names, about in sorted(((sorted(names), about) for about, names in groups), key=str)
    ]


def _about(signal: Signal, points: Mapping[str, PointSettings]) -> dict[str, Any]:
    """What every pattern that matches says of the place; later ones win, as in `gateway.pipeline.overrides`."""
    about: dict[str, Any] = {}
    for pattern, settings in points.items():
        if fnmatchcase(signal.id, pattern) or fnmatchcase(signal.point, pattern):
            about |= settings.model_dump(mode="json", include=set(_WHERE), exclude_none=True)
    return about


def _point(about: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    own = {key: about[key] for key in _WHERE if key in about and key not in {"lat", "lon"}}
    return _feature("point", _at(about["lat"], about["lon"]) if "lat" in about else None, {"pt": names, **own})


def _event(event: Event, signals: Sequence[Signal]) -> Iterator[dict[str, Any]]:
    """The event itself, its zones, and where it says that points are. Zones of the site keep their name."""
    name = event.event
    about = {"name": event.title_vi, "name_en": event.title_en, "from_ms": event.span.start_ms,
             "to_ms": event.span.end_ms, **({"hours": event.hours} if event.hours else {})}  # fmt: skip
    own = {zone: f"{name}/{zone}" for zone in event.zones}
    yield _feature("event", None, about, name)
    for feature in (*(_zone(own[zone], one) for zone, one in event.zones.items()), *_points(signals, event.points)):
        said = feature["properties"]
        zone = {"zone": own.get(said["zone"], said["zone"])} if "zone" in said else {}
        yield {**feature, "properties": {**said, **zone, "event": name}}


def _at(lat: float, lon: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [lon, lat]}


def _feature(is_: str, geometry: dict[str, Any] | None, about: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    identity = {"id": name} if name else {}
    return {"type": "Feature", **identity, "geometry": geometry, "properties": {"is": is_, **about}}
