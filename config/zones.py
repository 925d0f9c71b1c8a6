"""What a site can speak of beside its devices: zones on the map, and routes that have kilometre posts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Corner = tuple[float, float]
CommuneCode = Annotated[str, Field(pattern=r"^[0-9]{5}$")]
ZoneKind = Literal[
    "event", "street", "closed_street", "park", "square", "market", "beach", "parking", "basin", "reservoir", "plot",
    "industrial", "residential", "other",
]  # fmt: skip
_DEGREE_M = 111_195.0  # of latitude, on a sphere of 6 371 km


class Zone(BaseModel):
    """A piece of ground. Corners as in GeoJSON: longitude first, WGS 84; the ring may be closed or left open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=120, description="What people call it.")
    kind: ZoneKind = Field(description="What it is: event, street, closed_street, park, plot, industrial, basin ...")
    polygon: tuple[Corner, ...] = Field(
        min_length=3, max_length=400, description="Corners in order round the zone, each [lon, lat] in degrees, WGS 84."
    )
    area_m2: float | None = Field(None, gt=0, description="Usable area in m²; left out: what the polygon encloses.")
    capacity: int | None = Field(None, gt=0, description="How many people or vehicles it is planned for.")
    communes: tuple[CommuneCode, ...] = Field(
        default=(), max_length=50, description='Codes of the communes it lies in, in quotes: ["14797"].'
    )

    @model_validator(mode="after")
    def _polygon_is_simple(self) -> Zone:
        for number, (lon, lat) in enumerate(self.polygon):
            if abs(lat) > 90 or abs(lon) > 180:
                raise ValueError(f"polygon.{number}: a corner is [lon, lat]: longitude first, as in GeoJSON")
        ring = corners(self.polygon)
        if len(set(ring)) < 3:
            raise ValueError("polygon: fewer than three different corners enclose nothing")
        if len(set(ring)) < len(ring):
            raise ValueError("polygon: a corner stands twice; only the last may repeat the first")
        if crosses_itself(ring):
            raise ValueError("polygon: its sides cross; name the corners in their order round the zone")
        return self


class Route(BaseModel):
    """A line that posts are counted along. Where it runs is known elsewhere; here it only has a name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["road", "river", "rail", "dyke"] = Field(description="road, river, rail or dyke.")
    name: str = Field(min_length=1, max_length=120, description="What it is called on its signs: Quốc lộ 1A.")


def corners(polygon: Sequence[Corner]) -> list[Corner]:
    """The corners, each once: without the last if it closes the ring."""
    return list(polygon[:-1] if len(polygon) > 1 and polygon[0] == polygon[-1] else polygon)


def signed_area_m2(ring: Sequence[Corner]) -> float:
    """Above 0 if the corners run counter-clockwise. On a plane that touches the earth at their mean latitude: within
    1 % up to some 50 km."""
    lat0, (lon0, _) = sum(lat for _, lat in ring) / len(ring), ring[0]
    scale = math.cos(math.radians(lat0))
    flat = [((lon - lon0) * scale * _DEGREE_M, (lat - lat0) * _DEGREE_M) for lon, lat in ring]
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(flat, [*flat[1:], flat[0]], strict=True)) / 2


def crosses_itself(ring: Sequence[Corner]) -> bool:
    """Whether two sides that are not neighbours meet."""
    sides = list(zip(ring, [*ring[1:], ring[0]], strict=True))
    last = len(sides) - 1
    return any(
        _meet(*sides[i], *sides[j])
        for i in range(len(sides))
        for j in range(i + 2, len(sides))
        if (i, j) != (0, last)  # the last side is the first one's neighbour
    )


def _meet(a: Corner, b: Corner, c: Corner, d: Corner) -> bool:
    one, two, three, four = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if one * two < 0 and three * four < 0:
        return True
    touching = ((one, a, b, c), (two, a, b, d), (three, c, d, a), (four, c, d, b))
    return any(turn == 0 and _between(p, q, r) for turn, p, q, r in touching)


def _turn(a: Corner, b: Corner, c: Corner) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _between(a: Corner, b: Corner, c: Corner) -> bool:
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])
