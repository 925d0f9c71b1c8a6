"""What the place of a signal says: fills settings of formulas that a site did not give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from config.zones import Zone, corners, signed_area_m2
from gateway.model.measure import Signal
from gateway.pipeline.settings import PointSettings

_OF_A_POINT = ("datum", "zero_offset_m")


def about(
    signals: Iterable[Signal],
    points: Mapping[str, PointSettings],
    zones: Mapping[str, Zone],
    place: tuple[float, float] | None,
) -> dict[str, dict[str, Any]]:
    """By signal id: lat and lon of the site (`place`) or of the point itself, area_m2, capacity and communes of its
    zone, and datum, zero_offset_m, surveyed. What is not known is not there."""
    known = {} if place is None else {"lat": place[0], "lon": place[1]}
    return {signal.id: {**known, **_own(signal, points, zones)} for signal in signals}


def _own(signal: Signal, points: Mapping[str, PointSettings], zones: Mapping[str, Zone]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pattern, settings in points.items():
        if not (fnmatchcase(signal.id, pattern) or fnmatchcase(signal.point, pattern)):
            continue
        if settings.zone is not None and settings.zone in zones:
            found |= _of_zone(zones[settings.zone])
        if settings.lat is not None and settings.lon is not None:
            found |= {"lat": settings.lat, "lon": settings.lon}
        found |= {key: value for key in _OF_A_POINT if (value := getattr(settings, key)) is not None}
        if settings.surveyed is not None:
            found["surveyed"] = settings.surveyed.isoformat()
    return found


def _of_zone(zone: Zone) -> dict[str, Any]:
    found: dict[str, Any] = {"area_m2": zone.area_m2 or abs(signed_area_m2(corners(zone.polygon)))}
    if zone.capacity is not None:
        found["capacity"] = zone.capacity
    if zone.communes:
        found["communes"] = zone.communes
    return found
