"""Parking: free, taken and all spaces, of a sensor in each space or of counts at the gates.

A sensor in the ground speaks when a car comes or goes and once or twice a day besides; between the two its last word
stands. A space whose sensor is silent for longer is not free: it is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track, number
from gateway.indicators.formulas.folded import grown
from gateway.indicators.formulas.spells import TimeOfDay
from gateway.indicators.formulas.traffic import lessened
from gateway.indicators.periods import DAY_S, Span, clock_s, time_of_day_s
from gateway.model.indicator import Indicator

_BACK_S = 2 * DAY_S
_ROLES = {
    "occupied": Role(many=True, optional=True),
    "in": Role(many=True, optional=True),
    "out": Role(many=True, optional=True),
}


class ParkingParams(Params):
    what: Literal["capacity", "free", "occupied", "rate"] = Field(description="Which of the four is published.")
    capacity: int | None = Field(
        None,
        ge=1,
        description="Spaces of the car park. Needed with counts at the gates; else the spaces with a sensor.",
    )
    hold_h: float = Field(
        26,
        gt=0,
        le=48,
        description="Hours a space's last word stands: more than its sensor's own heartbeat. Our proposal: 26.",
    )
    empty_at: TimeOfDay = Field(
        "04:00",
        description="Gates: when the count begins anew each day, so that its errors do not add up. Our proposal.",
    )
    at_empty: int = Field(0, ge=0, description="Gates: vehicles that are there at that time.")


class Spaces(NamedTuple):
    """`known`: spaces of which it is known whether they are taken."""

    capacity: int
    known: int
    occupied: float


def spaces_taken(tracks: Iterable[Track], end_ms: int, hold_s: float) -> tuple[int, int, list[Indicator]]:
    """Known spaces, taken ones, and the windows that say so."""
    last: list[Indicator] = []
    for track in tracks:
        said = [w for w in track.windows if w.end_ms <= end_ms and number(w) is not None]
        newest = max(said, key=lambda w: w.end_ms, default=None)
        if newest is not None and newest.end_ms > end_ms - hold_s * 1000:
            last.append(newest)
    return len(last), sum(bool(number(w)) for w in last), last


def _of_sensors(span: Span, given: Given, params: ParkingParams) -> tuple[Spaces, list[Indicator], dict[str, Any]]:
    tracks = given.all("occupied")
    known, taken, windows = spaces_taken(tracks, span.end_ms, params.hold_h * 3600)
    capacity = max(params.capacity or 0, len(tracks))
    return Spaces(capacity, known, taken), windows, {"method": "space_sensors", "unknown": capacity - known}


def _of_gates(span: Span, given: Given, params: ParkingParams) -> tuple[Spaces, list[Indicator], dict[str, Any]]:
    capacity = params.capacity or 0
    ago_s = (time_of_day_s(span.end_ms) - clock_s(params.empty_at)) % DAY_S
    since = Span(span.end_ms - ago_s * 1000, span.end_ms)
    tracks = (*given.all("in"), *given.all("out"))
    windows = [track.over(since) for track in tracks] if ago_s else []
    entered, left = (_total(given.all(role), since) if ago_s else 0.0 for role in ("in", "out"))
    detail: dict[str, Any] = {"method": "gates", "in": entered, "out": left, "since_ms": since.start_ms}
    if entered is None or left is None:
        return Spaces(capacity, 0, 0), windows, detail
    there = params.at_empty + entered - left
    return Spaces(capacity, capacity, min(max(there, 0.0), capacity)), windows, detail | {"counted": there}


def _total(tracks: Iterable[Track], span: Span) -> float | None:
    counts = [grown(track, span) for track in tracks]
    return None if not counts or None in counts else sum(n for n in counts if n is not None)


def _parking(span: Span, given: Given, params: ParkingParams) -> Result:
    if given.all("occupied"):
        spaces, windows, detail = _of_sensors(span, given, params)
    elif params.capacity is None:
        return Result.missing(why="no_capacity")
    else:
        spaces, windows, detail = _of_gates(span, given, params)
    detail |= {"capacity": spaces.capacity, "known": spaces.known}
    if params.what == "capacity":
        return Result(spaces.capacity, detail=detail)
    if not spaces.known:
        return Result.missing(*windows, **detail)
    detail |= {"numerator": spaces.occupied, "denominator": spaces.known}
    value = {
        "free": spaces.known - spaces.occupied,
        "occupied": spaces.occupied,
        "rate": 100 * spaces.occupied / spaces.known,
    }[params.what]
    result = Result.of(value, *windows, **detail)
    return result if spaces.known == spaces.capacity else lessened(result)


FORMULAS = (Formula("parking", _parking, _ROLES, ParkingParams, back_s=_BACK_S, grain_s=300),)
