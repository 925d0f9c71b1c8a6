"""Vehicles: counts by class and direction, flow, shares, speed, faults of signals, vehicles where there should be none.

The camera's own classes stay; PCU is a figure of its own beside them. The 85th percentile of speed is measured or it is
not there: that of means is not that of vehicles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track, number
from gateway.indicators.formulas.folded import grown
from gateway.indicators.formulas.held import held, known_minutes, minutes_on
from gateway.indicators.formulas.pcu import PcuParams, PcuTable, units
from gateway.indicators.formulas.spells import TimeOfDay
from gateway.indicators.periods import Span, clock_s, local, time_of_day_s
from gateway.model.indicator import Indicator
from gateway.model.measure import Kind, Quality, Reason

_COUNTS: Final = {"count": Role(many=True)}
_NOT_VEHICLES: Final = frozenset({"person"})
_HOUR_S: Final = 3600
_MINUTE_S: Final = 60


class ShareParams(Params):
    classes: tuple[str, ...] = Field(
        min_length=1, description="Classes the share is of: [motorcycle]. Names as in the tag `cls` of the counts."
    )


class ClosedParams(Params):
    closed: tuple[tuple[TimeOfDay, TimeOfDay], ...] = Field(
        (),
        description='When no vehicle may be there: [["18:00", "24:00"]]; an end before its beginning is the next day.',
    )
    weekdays: tuple[Annotated[int, Field(ge=1, le=7)], ...] = Field(
        (1, 2, 3, 4, 5, 6, 7), description="Days on which the hours begin: 1 = Monday ... 7 = Sunday."
    )
    allowed: tuple[str, ...] = Field(("bicycle",), description="Classes that may be there all the same.")
    at_least: int = Field(1, ge=1, description="So many vehicles in a minute make it count. Our proposal: 1.")


def cls_of(track: Track) -> str:
    return track.signal.tags.get("cls", "vehicle")


def vehicles(tracks: Iterable[Track]) -> list[Track]:
    return [track for track in tracks if cls_of(track) not in _NOT_VEHICLES]


def by_class(tracks: Iterable[Track], span: Span) -> dict[str, float]:
    """Counted vehicles by class; a class of which nothing is known is not there."""
    counts: dict[str, float] = defaultdict(float)
    for track in tracks:
        n = grown(track, span)
        if n is not None:
            counts[cls_of(track)] += n
    return dict(counts)


def lessened(result: Result) -> Result:
    """The result as an uncertain one: part of what it should stand for is not in it."""
    if result.value is None:
        return result
    reasons = tuple(dict.fromkeys((*result.reasons, Reason.PARTIAL)))
    return replace(result, quality=Quality.UNCERTAIN, reasons=reasons)


def _count(span: Span, given: Given, _: Params) -> Result:
    track = given.the("count")
    return Result.of(grown(track, span), track.over(span))


def _counted_share(window: Indicator) -> float:
    """Share of the span that was watched."""
    parts = window.parts
    return min(1.0, parts.n / parts.expected) if parts is not None else 0.0


def _flow_pcu(span: Span, given: Given, params: PcuParams) -> Result:
    """PCU/h of the time that was watched: an unseen quarter of an hour is not an empty road."""
    tracks = vehicles(given.all("count"))
    windows = [track.over(span) for track in tracks]
    table = params.table
    if not isinstance(table, PcuTable):
        return Result.missing(*windows, why="no_such_table", table=table)
    named: dict[str, Any] = {"table": table.name, "version": table.version, "basis": table.basis}
    if not (table.confirmed or params.confirmed):
        return Result.missing(*windows, why="table_unconfirmed", **named)
    hourly: dict[str, float] = defaultdict(float)
    for track, window in zip(tracks, windows, strict=True):
        n, watched = grown(track, span), _counted_share(window)
        if n is not None and watched:
            hourly[cls_of(track)] += n / (span.length_s * watched / _HOUR_S)
    counts = by_class(tracks, span)
    per_hour, _ = units(hourly, table.factors)
    pcu, unconverted = units(counts, table.factors)
    detail: dict[str, Any] = {
        "pcu": pcu,
        "counts": counts,
        "unconverted": unconverted,
        "over_s": span.length_s,
        **named,
    }
    if not counts.keys() & table.factors.keys():
        return Result.missing(*windows, why="no_class_of_the_table", **detail)
    result = Result.of(per_hour, *windows, **detail)
    return lessened(result) if unconverted else result


def _class_share(span: Span, given: Given, params: ShareParams) -> Result:
    tracks = vehicles(given.all("count"))
    windows = [track.over(span) for track in tracks]
    counts = by_class(tracks, span)
    everything = sum(counts.values())
    of_these = sum(n for cls, n in counts.items() if cls in params.classes)
    detail: dict[str, Any] = {"numerator": of_these, "denominator": everything, "counts": counts}
    if not counts.keys() - {"vehicle"}:
        return Result.missing(*windows, why="no_classes", **detail)
    if not everything:
        return Result.missing(*windows, why="no_vehicles", **detail)
    return Result.of(100 * of_these / everything, *windows, **detail)


def _matches(speed: Track, count: Track) -> bool:
    """Whether vehicles of this count are among those of this speed: all the groups both name are the same."""
    both = speed.signal.tags.keys() & count.signal.tags.keys() & {"cls", "dir", "lane"}
    return all(speed.signal.tags[key] == count.signal.tags[key] for key in both)


def _speed_mean(span: Span, given: Given, _: Params) -> Result:
    """Weighted by the vehicles of each minute where they are counted too; else each reading weighs the same."""
    speeds, counts = given.all("speed"), vehicles(given.all("count"))
    windows = [track.over(span) for track in speeds]
    total = weight = 0.0
    for track in speeds:
        own = [count for count in counts if _matches(track, count)]
        for window in track.within(span):
            parts, mean = window.parts, number(window)
            if parts is None or mean is None:
                continue
            piece = Span(window.start_ms or 0, window.end_ms)
            n = sum(by_class(own, piece).values()) if counts else float(parts.n)
            total += mean * n
            weight += n
    detail: dict[str, Any] = {"sum": total, "weight": weight, "weighted_by": "vehicles" if counts else "readings"}
    if not weight:
        if any(window.value is not None for window in windows):
            detail["why"] = "no_vehicles"
        return Result.missing(*windows, **detail)
    return Result.of(total / weight, *windows, *(track.over(span) for track in counts), **detail)


def _queue_max(span: Span, given: Given, _: Params) -> Result:
    windows = [track.over(span, Kind.MAX) for track in given.all("queue")]
    lengths = {w.signal.id: n for w in windows if (n := number(w)) is not None}
    return Result.of(max(lengths.values(), default=None), *windows, by_signal=lengths)


def _incidents(span: Span, given: Given, _: Params) -> Result:
    """Counted ones: of signals that count, not of single messages, whose silence could be a fault as well."""
    tracks = given.all("incident")
    windows = [track.over(span) for track in tracks]
    types: dict[str, float] = defaultdict(float)
    for track in tracks:
        if track.signal.kind in (Kind.SUM, Kind.DELTA, Kind.COUNT) and (n := grown(track, span)) is not None:
            types[track.signal.tags.get("type", "incident")] += n
    return Result.of(sum(types.values()) if types else None, *windows, by_type=dict(types))


def _fault_min(span: Span, given: Given, _: Params) -> Result:
    track = given.the("fault")
    courses = [course for course in held(track, span) if number(course.window) is not None]
    if not courses:
        return Result.missing(track.over(span))
    return Result.of(minutes_on(courses), track.over(span), known_min=known_minutes(courses))


def is_closed(at_ms: int, params: ClosedParams) -> bool:
    """Whether the street is closed at this moment. Hours over midnight belong to the day they begin."""
    now, day = time_of_day_s(at_ms), local(at_ms).isoweekday()
    before = (day - 2) % 7 + 1
    for begin, end in ((clock_s(a), clock_s(b)) for a, b in params.closed):
        if begin < end and begin <= now < end and day in params.weekdays:
            return True
        if begin >= end and ((now >= begin and day in params.weekdays) or (now < end and before in params.weekdays)):
            return True
    return False


def _closed_min(span: Span, given: Given, params: ClosedParams) -> Result:
    tracks = [track for track in vehicles(given.all("count")) if cls_of(track) not in params.allowed]
    if not params.closed:
        return Result.missing(*(track.over(span) for track in tracks), why="no_hours")
    pieces = [piece for piece in span.slices(_MINUTE_S) if is_closed(piece.start_ms, params)]
    minutes = _minutes(tracks, pieces)
    over = [counts for counts in minutes if sum(counts.values()) >= params.at_least]
    counted: dict[str, float] = defaultdict(float)
    for counts in over:
        for cls, n in counts.items():
            counted[cls] += n
    seen = sum(bool(counts) for counts in minutes)
    detail: dict[str, Any] = {"vehicles": dict(counted), "closed_min": len(pieces), "known_min": seen}
    if pieces and not seen:
        return Result.missing(reason=Reason.STALE, **detail)
    result = Result(float(len(over)), detail=detail)
    return result if seen >= len(pieces) else lessened(result)


def _minutes(tracks: Iterable[Track], pieces: Iterable[Span]) -> list[Mapping[str, float]]:
    """What was counted in each minute, by class; empty for one of which nothing is known."""
    by_start: dict[int, dict[str, float]] = {piece.start_ms: {} for piece in pieces}
    for track in tracks:
        for window in track.windows:
            start, n = window.start_ms or 0, number(window)
            counts = by_start.get(start - start % (_MINUTE_S * 1000))
            if counts is not None and n is not None:
                counts[cls_of(track)] = counts.get(cls_of(track), 0.0) + n
    return list(by_start.values())


FORMULAS = (
    Formula("traffic_count", _count, {"count": Role()}),
    Formula("flow_pcu", _flow_pcu, _COUNTS, PcuParams, grain_s=300),
    Formula("class_share", _class_share, _COUNTS, ShareParams, grain_s=300),
    Formula("speed_mean", _speed_mean, {"speed": Role(many=True), "count": Role(many=True, optional=True)}),
    Formula("queue_max", _queue_max, {"queue": Role(many=True)}),
    Formula("incident_count", _incidents, {"incident": Role(many=True)}),
    Formula("fault_min", _fault_min, {"fault": Role()}, back_s=3600),
    Formula("veh_in_closed_min", _closed_min, _COUNTS, ClosedParams),
)
