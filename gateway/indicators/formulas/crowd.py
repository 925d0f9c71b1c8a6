"""People in a place: how many, how dense, how near to what the place can safely hold.

The worst cell of a crowd is what hurts people; a mean over the area says nothing of it and is never put in its place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track, number
from gateway.indicators.formulas.gates import PASSES, Gates, Ways, balance, steps, total, unclear, ways
from gateway.indicators.formulas.spells import TimeOfDay, course, height, incomplete
from gateway.indicators.periods import DAY_S, Period, Span, clock_s
from gateway.model.measure import Kind

_PRESENT = {**PASSES, "zones": Role(many=True, optional=True)}
_CELLS = {"value": Role(many=True)}


class PresentParams(Gates):
    reset_at: TimeOfDay = Field(
        "04:00", description="Local time at which the place is empty and counting begins anew. Our proposal: 04:00."
    )
    doubt_after_min: float = Field(
        5, ge=0, description="So long a gate may go uncounted before the number is in doubt. Our proposal: 5 min."
    )


class DensityParams(PresentParams):
    area_m2: float = Field(gt=0, description="Area that people can stand on, in square metres.")


class CapacityParams(PresentParams):
    capacity: float = Field(gt=0, description="How many people the place holds safely, by the plan of the event.")


class QueueParams(Gates):
    least_served: float = Field(
        3, gt=0, description="Fewer served than this in the period say nothing of the wait. Our proposal: 3."
    )


class Inside(NamedTuple):
    """People present, by a result whose value is a number or missing."""

    result: Result
    peak: float | None = None


def present(span: Span, given: Given, params: PresentParams) -> Inside:
    """The people present: of zones that are looked at directly where there are any (their mean over the span, summed),
    else as the balance of the gates at its end. Where both are there, the gates' balance stands in the detail."""
    zones = given.all("zones")
    gates = ways(given, params)
    if not zones:
        return _by_gates(span, gates, params)
    inside = _by_zones(span, zones)
    if gates.inward and gates.outward and not gates.unassigned:
        counted = _by_gates(span, gates, params)
        detail = {**inside.result.detail, "by_gates": counted.result.value}
        found = inside.result
        inside = Inside(Result(found.value, found.quality, found.reasons, found.parts, detail), inside.peak)
    return inside


def _by_zones(span: Span, zones: Sequence[Track]) -> Inside:
    means = [zone.over(span, Kind.MEAN) for zone in zones]
    by_zone = {window.signal.id: number(window) for window in means}
    unseen = [name for name, value in by_zone.items() if value is None]
    known = [value for value in by_zone.values() if value is not None]
    if not known:
        return Inside(Result.missing(*means, by="zones", unseen=unseen))
    highs = [w.parts.high for w in means if w.parts is not None and w.parts.high is not None]
    detail = {"by": "zones", "zones": by_zone, "unseen": unseen, "sum_of_zone_peaks": sum(highs)}
    return Inside(incomplete(Result.of(sum(known), *means, **detail), when=bool(unseen)), sum(highs))


def _by_gates(span: Span, gates: Ways, params: PresentParams) -> Inside:
    if why := unclear(gates):
        return Inside(Result.missing(by="gates", **why))
    if not gates.inward or not gates.outward:
        return Inside(Result.missing(by="gates", lacking="in" if not gates.inward else "out"))
    since = Span(reset_before(span.end_ms, params.reset_at), span.end_ms)
    tracks = [*gates.inward, *gates.outward]
    unseen_min = {track.signal.id: _unseen_min(track, since) for track in tracks}
    doubtful = max(unseen_min.values()) > params.doubt_after_min
    now = [track.over(Span(max(span.start_ms, since.start_ms), span.end_ms)) for track in tracks]
    nets: dict[int, float] = defaultdict(float)
    came = left = 0.0
    for sign, side in ((1, gates.inward), (-1, gates.outward)):
        for track in side:
            for end_ms, count in steps(track, since):
                nets[end_ms] += sign * count
                came, left = (came + count, left) if sign > 0 else (came, left + count)
    found = balance(nets[end_ms] for end_ms in sorted(nets))
    detail: dict[str, Any] = {
        "by": "gates", "in": came, "out": left, "since_ms": since.start_ms, "drift": found.uncounted, "peak": found.peak
    }  # fmt: skip
    if doubtful:
        detail["unseen_min"] = {name: minutes for name, minutes in unseen_min.items() if minutes}
    if all(window.value is None for window in now):
        return Inside(Result.missing(*now, last_known=found.present, **detail))
    return Inside(incomplete(Result.of(found.present, *now, **detail), when=doubtful), found.peak)


def reset_before(at_ms: int, reset_at: str) -> int:
    """The latest time of reset before this moment."""
    return Period("", DAY_S, DAY_S, clock_s(reset_at) % DAY_S).last_end(at_ms - 1)


def _unseen_min(track: Track, span: Span) -> int:
    """Minutes in which a gate was not counted."""
    return sum(minute is None for minute in course(track, span, height))


def _present(span: Span, given: Given, params: PresentParams) -> Result:
    return present(span, given, params).result


def _share(found: Result, of: float, factor: float, **detail: Any) -> Result:
    """The result divided by something, numerator and denominator with it."""
    value = found.value / of * factor if isinstance(found.value, float | int) else None
    detail = {**found.detail, "present": found.value, **detail}
    return Result(value, found.quality, found.reasons, found.parts, detail)


def _density_mean(span: Span, given: Given, params: DensityParams) -> Result:
    return _share(present(span, given, params).result, params.area_m2, 1, area_m2=params.area_m2)


def _capacity_rate(span: Span, given: Given, params: CapacityParams) -> Result:
    return _share(present(span, given, params).result, params.capacity, 100, capacity=params.capacity)


def _highest(span: Span, given: Given, _: Params) -> Result:
    """The highest single value of all, and where. Partial where one of them was not seen: it may be the worst."""
    folded = [track.over(span, Kind.MAX) for track in given.all("value")]
    known = {w.signal.id: value for w in folded if (value := number(w)) is not None}
    unseen = [w.signal.id for w in folded if number(w) is None]
    if not known:
        return Result.missing(*folded, unseen=unseen)
    worst = max(known, key=lambda name: known[name])
    return incomplete(Result.of(known[worst], *folded, at=worst, unseen=unseen), when=bool(unseen))


def _drift(span: Span, given: Given, params: PresentParams) -> Result:
    """In minus out over the day of operation that last closed in or before the span. Whoever came has left by then, so
    what remains are errors of counting, those of both ways set off against each other."""
    gates = ways(given, params)
    if why := unclear(gates):
        return Result.missing(**why)
    closing = reset_before(span.end_ms + 1, params.reset_at)
    day = Span(closing - DAY_S * 1000, closing)
    came, left = total(gates.inward, day), total(gates.outward, day)
    windows = [track.over(day) for track in (*gates.inward, *gates.outward)]
    if not isinstance(came.value, float) or not isinstance(left.value, float):
        lacking: dict[str, Any] = {"in": came.value, "out": left.value, "closing_ms": closing}
        return Result.missing(*windows, **lacking)
    share = 100 * (came.value - left.value) / came.value if came.value else None
    detail = {"in": came.value, "out": left.value, "share_of_in": share, "closing_ms": closing}
    gaps = "unseen" in came.detail or "unseen" in left.detail
    return incomplete(Result.of(came.value - left.value, *windows, **detail), when=gaps)


def _queue_wait(span: Span, given: Given, params: QueueParams) -> Result:
    """By Little's law: people waiting over people served a minute. Of a queue that stands still nothing can be said."""
    length = given.the("length").over(span, Kind.MEAN)
    served = total(given.all("served"), span)
    windows = [length, *(track.over(span) for track in given.all("served"))]
    waiting = number(length)
    if waiting is None or not isinstance(served.value, float):
        return Result.missing(*windows, length=waiting, served=served.value)
    if waiting > 0 and served.value < params.least_served:
        return Result.missing(*windows, length=waiting, served=served.value, why="too few were served to tell")
    a_minute = served.value / (span.length_s / 60)
    value = waiting / a_minute if waiting > 0 else 0.0
    return Result.of(value, *windows, length=waiting, served=served.value, method="Little's law")


_BACK_S = DAY_S + 3600

FORMULAS = (
    Formula("present", _present, _PRESENT, PresentParams, back_s=_BACK_S, grain_s=300),
    Formula("density_mean", _density_mean, _PRESENT, DensityParams, back_s=_BACK_S, grain_s=300),
    Formula("capacity_rate", _capacity_rate, _PRESENT, CapacityParams, back_s=_BACK_S, grain_s=300),
    Formula("highest", _highest, _CELLS, grain_s=0),
    Formula("gate_drift", _drift, PASSES, PresentParams, back_s=_BACK_S, grain_s=300),
    Formula("queue_wait", _queue_wait, {"length": Role(), "served": Role(many=True)}, QueueParams, grain_s=0),
)
