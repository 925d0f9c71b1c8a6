"""What a document says of places, against the list of communes and the boxes of the provinces.

What the list does not know is a warning: lists change, and a gateway must start after an update of the list. What
contradicts itself is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from config import places
from config.checks import Draft
from config.findings import Code, Finding, Path
from config.words import did_you_mean
from config.zones import corners, signed_area_m2

_FIND = "gateway place find NAME"
_AREA_FACTOR = 2  # an area that is used is smaller than what a polygon encloses, but not that much


def communes_are_known(draft: Draft) -> Iterator[Finding]:
    asked = list(_communes(draft))
    if not asked and draft.province is None:
        return
    list_ = places.gazetteer()
    province = None if draft.province is None else list_.provinces.get(draft.province)
    if draft.province is not None and province is None:
        yield draft.tree.finding(
            Code.UNKNOWN_PROVINCE,
            ("place", "province"),
            f'"{draft.province}" is none of the {len(list_.provinces)} in {places.version()}',
            f"provinces were joined in 2025; {_FIND}",
            "warning",
        )
    for path, code in asked:
        commune = list_.communes.get(code)
        if commune is None:
            what = f'"{code}" is not in {places.version()}: unknown, dissolved in 2025, or newer than the list'
            yield draft.tree.finding(Code.UNKNOWN_COMMUNE, path, what, _FIND, "warning")
        elif province is not None and commune.province != province.code:
            own = list_.provinces[commune.province]
            what = f'{commune.name} "{code}" is in {own.name} "{own.code}", not in {province.name}'
            yield draft.tree.finding(Code.WRONG_PROVINCE, path, what, f"correct one of the two; {_FIND}")


def _communes(draft: Draft) -> Iterator[tuple[Path, str]]:
    if draft.commune is not None:
        yield ("place", "commune"), draft.commune
    for name, zone in draft.zones.items():
        for number, code in enumerate(zone.communes):
            yield ("zones", name, "communes", number), code


def coordinates_lie_in_the_province(draft: Draft) -> Iterator[Finding]:
    if draft.province is None or draft.commune in places.scattered():
        return
    bounds = places.bounds(draft.province)
    if bounds is None:
        return
    told = set()
    for path, lat, lon in _coordinates(draft):
        if not bounds.hold(lat, lon) and path[:2] not in told:
            told.add(path[:2])  # of a zone, the first corner says enough
            names = places.provinces()
            here = names[draft.province].name if draft.province in names else draft.province
            what = f"{lat:g}, {lon:g} (lat, lon) lies outside {here}"
            yield draft.tree.finding(Code.OUTSIDE_PROVINCE, path, what, _elsewhere(bounds, names, lat, lon))


def _coordinates(draft: Draft) -> Iterator[tuple[Path, float, float]]:
    lat, lon = draft.tree.get(("place", "lat")), draft.tree.get(("place", "lon"))
    if type(lat) in {int, float} and type(lon) in {int, float} and abs(lon) <= 180 and abs(lat) <= 180:
        yield ("place", "lat"), lat, lon
    for pattern, point in draft.points.items():
        if point.lat is not None and point.lon is not None and not point.mobile:
            yield ("points", pattern, "lat"), point.lat, point.lon
    for name, zone in draft.zones.items():
        for number, (lon, lat) in enumerate(zone.polygon):
            yield ("zones", name, "polygon", number), lat, lon


def _elsewhere(bounds: places.Bounds, names: Mapping[str, places.Province], lat: float, lon: float) -> str:
    if bounds.hold(lon, lat):
        return "did you swap lat and lon?"
    near = [names[code].name for code in places.holding(lat, lon) if code in names]
    return f"this may be in {' or '.join(near)}" if near else "in degrees, WGS 84, as lat: 19.8075, lon: 105.7764"


def names_of_places_are_known(draft: Draft) -> Iterator[Finding]:
    for key, section, code in (("zone", "zones", Code.UNKNOWN_ZONE), ("route", "routes", Code.UNKNOWN_ROUTE)):
        known = draft.names(section)
        for pattern, point in draft.points.items():
            name = getattr(point, key)
            if name is not None and name not in known:
                hint = did_you_mean(name, known) or f"add it under {section}:"
                yield draft.tree.finding(code, ("points", pattern, key), f"there is no {key} '{name}'", hint)


def areas_fit_their_polygons(draft: Draft) -> Iterator[Finding]:
    for name, zone in draft.zones.items():
        enclosed = abs(signed_area_m2(corners(zone.polygon)))
        if zone.area_m2 is not None and not 1 / _AREA_FACTOR <= zone.area_m2 / enclosed <= _AREA_FACTOR:
            what = f"{zone.area_m2:.0f} m² are said, the polygon encloses {enclosed:.0f} m²"
            hint = "correct one of the two; density is counted with area_m2"
            yield draft.tree.finding(Code.AREA_DIFFERS, ("zones", name, "area_m2"), what, hint, "warning")


ALL: tuple[Callable[[Draft], Iterator[Finding]], ...] = (
    communes_are_known,
    coordinates_lie_in_the_province,
    names_of_places_are_known,
    areas_fit_their_polygons,
)
