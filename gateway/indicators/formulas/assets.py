"""Field assets and what is taken from the ground: availability, clearance, overload, tonnes, share of a licence."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track, number
from gateway.indicators.formulas.folded import grown
from gateway.indicators.formulas.gates import total
from gateway.indicators.formulas.spells import course, incomplete, off, on, spent, told
from gateway.indicators.periods import Span
from gateway.model.indicator import Indicator
from gateway.model.measure import Kind, Reason

_ANY = Role(many=True, optional=True)
_DOWN = frozenset({Reason.NO_ANSWER, Reason.LINK_DOWN, Reason.DEVICE_FAULT, Reason.DEVICE_REFUSED, Reason.BAD_FRAME})


class ClearanceParams(Params):
    underside_m: float | None = Field(
        None, ge=-100, le=3000, description="Underside of the bridge in m, in the datum of the gauge, if that is used."
    )


class LicenceParams(Params):
    licence: float = Field(gt=0, description="What the licence allows in a year, in the unit of the input: tonnes, m3.")


def available(track: Track, span: Span, role: str) -> list[float | None]:
    """The share of each minute in which an asset worked. `ok` says so itself, `fault` says when not, and of `seen` it
    is enough that it answers. An asset that was asked and did not answer is not available; where it was not asked (the
    gateway was off) nothing is known."""
    share = {"ok": on, "fault": off}.get(role, _answers)
    minutes = course(track, span, share)
    for window in track.within(span):
        if window.value is not None or _DOWN.isdisjoint(window.reasons) or window.start_ms is None:
            continue
        first = (window.start_ms - span.start_ms) // 60_000
        for i in range(first, min(len(minutes), -(-(window.end_ms - span.start_ms) // 60_000))):
            minutes[i] = 0.0 if minutes[i] is None else minutes[i]
    return minutes


def _answers(window: Indicator) -> float | None:
    return None if window.value is None else 1.0


def _available_rate(span: Span, given: Given, _: Params) -> Result:
    """Working time over known time, of all assets together; each minute of each asset counts the same."""
    courses = {
        track.signal.id: available(track, span, role) for role in ("ok", "fault", "seen") for track in given.all(role)
    }
    times = {name: spent(minutes) for name, minutes in courses.items()}
    whole = spent([minute for minutes in courses.values() for minute in minutes])
    rates = {name: 100 * time.minutes / time.known for name, time in times.items() if time.known}
    tracks = [track for role in ("ok", "fault", "seen") for track in given.all(role)]
    rate = 100 * whole.minutes / whole.known if whole.known else 0.0
    detail = {"by": rates, "available_min": whole.minutes, "assets": len(courses)}
    result = told(rate, whole, tracks, span, **detail)
    return incomplete(result, when=len(rates) < len(courses))


def _clearance(span: Span, given: Given, params: ClearanceParams) -> Result:
    """The least height between bridge and water in the span."""
    distance, level = given.one("distance"), given.one("level")
    if distance is not None:
        return Result.window(distance.over(span, Kind.MIN))
    if level is None or params.underside_m is None:
        return Result.missing(underside_m=params.underside_m)
    highest = level.over(span, Kind.MAX)
    value = number(highest)
    least = None if value is None else params.underside_m - value
    return Result.of(least, highest, underside_m=params.underside_m, level=value)


def _share_of_counts(span: Span, given: Given, _: Params) -> Result:
    """The part over the whole, of sums. Of nothing passed no share can be told: missing, and the zeros are said."""
    part, whole = total(given.all("part"), span), total(given.all("whole"), span)
    windows = [track.over(span) for role in ("part", "whole") for track in given.all(role)]
    detail: dict[str, Any] = {"part": part.value, "whole": whole.value}
    if not isinstance(part.value, float) or not isinstance(whole.value, float) or whole.value <= 0:
        return Result.missing(*windows, **detail)
    unseen = "unseen" in part.detail or "unseen" in whole.detail
    return incomplete(Result.of(100 * part.value / whole.value, *windows, **detail), when=unseen)


def _weighed(span: Span, given: Given, _: Params) -> Result:
    """The sum of single weighings, or the growth of a scale's running total, which no outage takes anything from. A
    scale that weighed nothing and one that was not heard differ: see `readings`."""
    tracks = given.all("value")
    folded = [track.over(span) for track in tracks]
    known = {track.signal.id: value for track in tracks if (value := _taken(track, span)) is not None}
    counts = {w.signal.id: w.parts.n for w in folded if w.parts is not None and w.signal.id in known}
    unseen = [w.signal.id for w in folded if w.signal.id not in known]
    if not known:
        return Result.missing(*folded, unseen=unseen)
    result = Result.of(sum(known.values()), *folded, by=known, readings=counts, unseen=unseen)
    return incomplete(result, when=bool(unseen))


def _grown_all(span: Span, given: Given, _: Params) -> Result:
    return total(given.all("value"), span)


def _quota_rate(span: Span, given: Given, params: LicenceParams) -> Result:
    """What was taken since the span began (the year), as a share of the licence. With gaps it is at least so much."""
    taken = {track.signal.id: _taken(track, span) for track in given.all("value")}
    known = [value for value in taken.values() if value is not None]
    folded = [track.over(span) for track in given.all("value")]
    detail = {"taken": sum(known) if known else None, "licence": params.licence, "by": taken}
    value = 100 * sum(known) / params.licence if known else None
    return incomplete(Result.of(value, *folded, **detail), when=len(known) < len(taken))


def _taken(track: Track, span: Span) -> float | None:
    """Of a counter its growth, of single amounts their sum."""
    counts = track.signal.kind in (Kind.LAST, Kind.MAX, Kind.DELTA, Kind.COUNT)
    return grown(track, span) if counts else number(track.over(span, Kind.SUM))


_VALUES = {"value": Role(many=True)}
_ASSETS = {"ok": _ANY, "fault": _ANY, "seen": _ANY}
_CLEARANCE = {"distance": Role(optional=True), "level": Role(optional=True)}
_SHARE = {"part": Role(many=True), "whole": Role(many=True)}

FORMULAS = (
    Formula("available_rate", _available_rate, _ASSETS, back_s=3600),
    Formula("clearance", _clearance, _CLEARANCE, ClearanceParams, grain_s=0),
    Formula("share_of_counts", _share_of_counts, _SHARE, back_s=3600, grain_s=0),
    Formula("weighed", _weighed, _VALUES, back_s=3600, grain_s=0),
    Formula("growth_of_all", _grown_all, _VALUES, back_s=86_400, grain_s=0),
    Formula("quota_rate", _quota_rate, _VALUES, LicenceParams, back_s=86_400, grain_s=3600),
)
