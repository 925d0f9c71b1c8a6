"""Fire, order, cold chain, sirens: what was seen often or long enough to be called an event, and what is ready.

Nothing here is a fire alarm or replaces one. Counts and times only: no pictures, nobody's identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track
from gateway.indicators.formulas.services import LatestParams, truths
from gateway.indicators.formulas.spells import (
    MINUTE_MS,
    Minutes,
    Share,
    above,
    any_of,
    course,
    height,
    incomplete,
    occurrences,
    spent,
    told,
)
from gateway.indicators.periods import Span
from gateway.model.indicator import Indicator
from gateway.model.limit import Threshold

_BACK_S = 2 * 3600


class SeenParams(Params):
    confirm: float = Field(
        2, ge=1, le=100, description="It must be seen so often to count: twice is our proposal, one is one too few."
    )
    quiet_min: int = Field(
        5, ge=1, le=60, description="Over after so many minutes without it; then it may count again. Our proposal: 5."
    )


class GatherParams(Params):
    people_over: float | None = Field(None, gt=0, description="More people than this in one place; empty: not used.")
    density_over: float | None = Field(None, gt=0, description="More people per m2 than this; empty: not used.")
    for_min: int = Field(5, ge=1, le=60, description="For so many minutes. Our proposal: 5 min.")
    quiet_min: int = Field(2, ge=1, le=60, description="Over after so many minutes without it. Our proposal: 2 min.")


def sightings(track: Track, span: Span) -> list[float | None]:
    """How often it was seen in each minute: of yes/no readings how many were yes, of counts their sum."""
    minutes: list[float | None] = [None] * max(1, round(span.length_s / 60))
    for window in track.within(span):
        if window.parts is None or window.parts.total is None or window.start_ms is None:
            continue
        first = (window.start_ms - span.start_ms) // MINUTE_MS
        last = min(len(minutes) - 1, (window.end_ms - 1 - span.start_ms) // MINUTE_MS)
        minutes[first] = (minutes[first] or 0.0) + max(0.0, window.parts.total)
        for i in range(first + 1, last + 1):
            minutes[i] = minutes[i] or 0.0
    return minutes


def _counted(span: Span, tracks: Sequence[Track], courses: dict[str, Minutes], found: dict[str, list[int]]) -> Result:
    """Events that came to be within the span, from courses that begin before it."""
    skip = len(next(iter(courses.values()))) - round(span.length_s / 60)
    at = {
        name: [span.start_ms + (i - skip) * MINUTE_MS for i in minutes if i >= skip] for name, minutes in found.items()
    }
    whole = spent([minute for minutes in courses.values() for minute in minutes[skip:]])
    unseen = [name for name, minutes in courses.items() if all(minute is None for minute in minutes[skip:])]
    detail = {"at_ms": {name: moments for name, moments in at.items() if moments}, "unseen": unseen}
    result = told(sum(map(len, at.values())), whole, tracks, span, **detail)
    return incomplete(result, when=bool(unseen))


def _seen_events(span: Span, given: Given, params: SeenParams) -> Result:
    tracks = given.all("seen")
    long = Span(span.start_ms - _BACK_S * 1000, span.end_ms)
    courses: dict[str, Minutes] = {track.signal.id: sightings(track, long) for track in tracks}
    found = {name: occurrences(minutes, params.confirm, params.quiet_min) for name, minutes in courses.items()}
    return _counted(span, tracks, courses, found)


def _gatherings(span: Span, given: Given, params: GatherParams) -> Result:
    levels = {"people": params.people_over, "density": params.density_over}
    used = [(track, level) for role, level in levels.items() if level is not None for track in given.all(role)]
    if not used:
        return Result.missing(why="no level is told for any of the inputs")
    long = Span(span.start_ms - _BACK_S * 1000, span.end_ms)
    courses: dict[str, Minutes] = {track.signal.id: course(track, long, above(level)) for track, level in used}
    found = {name: occurrences(minutes, params.for_min, params.quiet_min) for name, minutes in courses.items()}
    return _counted(span, [track for track, _ in used], courses, found)


def _unmet_min(span: Span, given: Given, _: Params) -> Result:
    """Minutes in which a value was on the wrong side of a limit that is in force and confirmed, in any of the signals;
    and in how many the higher levels were passed. Without a confirmed limit nothing can be said."""
    limits = [threshold for threshold in given.thresholds if threshold.confirmed]
    tracks = given.all("value")
    if not limits:
        return Result.missing(limit="unconfirmed" if given.thresholds else "none")
    whole = spent(any_of([course(track, span, _unmet(limits)) for track in tracks]))
    by = {track.signal.id: spent(course(track, span, _unmet(limits))) for track in tracks}
    levels = {
        f"{limit.limit.op} {level:g}": spent(any_of([course(t, span, _beyond(limit, level)) for t in tracks])).minutes
        for limit in limits
        for level in limit.levels
    }
    unseen = {name: time.asked - time.known for name, time in by.items() if time.asked > time.known}
    detail = {"limits": [limit.id for limit in limits], "levels": levels, "unseen_by": unseen}
    return told(whole.minutes, whole, tracks, span, by={n: t.minutes for n, t in by.items() if t.known}, **detail)


def _unmet(limits: Sequence[Threshold]) -> Share:
    """1 where a window's height breaks one of the limits."""

    def share(window: Indicator) -> float | None:
        found = height(window)
        return None if found is None else float(any(not limit.limit.is_met(found) for limit in limits))

    return share


def _beyond(limit: Threshold, level: float) -> Share:
    """1 where a window's height is on the wrong side of one level."""
    one = replace(limit.limit, value=level)

    def share(window: Indicator) -> float | None:
        found = height(window)
        return None if found is None else float(not one.is_met(found))

    return share


def _ready_rate(span: Span, given: Given, params: LatestParams) -> Result:
    """Ready ones over those that said anything. One that is silent is not taken to be ready: the rate is in doubt."""
    said, windows = truths(given.all("ready"), span, params.valid_h)
    known = {name: is_ready for name, is_ready in said.items() if is_ready is not None}
    unseen = [name for name in said if name not in known]
    if not known:
        return Result.missing(*windows, unseen=unseen)
    not_ready = [name for name, is_ready in known.items() if not is_ready]
    ready = len(known) - len(not_ready)
    detail = {"ready": ready, "known": len(known), "of": len(said), "not_ready": not_ready, "unseen": unseen}
    return incomplete(Result.of(100 * ready / len(known), *windows, **detail), when=bool(unseen))


_PLACES = {"people": Role(many=True, optional=True), "density": Role(many=True, optional=True)}

FORMULAS = (
    Formula("seen_events", _seen_events, {"seen": Role(many=True)}, SeenParams, back_s=_BACK_S),
    Formula("gatherings", _gatherings, _PLACES, GatherParams, back_s=_BACK_S),
    Formula("unmet_min", _unmet_min, {"value": Role(many=True)}, back_s=3600),
    Formula("ready_rate", _ready_rate, {"ready": Role(many=True)}, LatestParams, back_s=86_400, grain_s=300),
)
