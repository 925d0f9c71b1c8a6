"""Hours that are kept or not: a market after closing, a building site or a quarry at night; strips kept clear; running
times of machines. Which level of sound, power or people means "at work" is told by the site: no rule says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track
from gateway.indicators.formulas.spells import (
    MINUTE_MS,
    Hours,
    Minutes,
    Share,
    above,
    any_of,
    course,
    on,
    runs,
    spent,
    told,
)
from gateway.indicators.periods import Span

_ANY = Role(many=True, optional=True)
_SIGNS = {"people": _ANY, "passes": _ANY, "noise": _ANY, "power": _ANY, "machines": _ANY}
_HALF = 0.5


class Signs(Hours):
    people_over: float | None = Field(None, ge=0, description="More people than this are activity; empty: not used.")
    passes_over: float | None = Field(
        0,
        ge=0,
        description="More people or trucks through a gate in a minute than this; empty: not used. Our proposal: 0.",
    )
    noise_over_dba: float | None = Field(None, ge=0, le=140, description="Louder than this in dB(A); empty: not used.")
    power_over_kw: float | None = Field(None, ge=0, description="More power than this in kW; empty: not used.")


class StripParams(Params):
    from_count: float = Field(
        1, gt=0, description="From so many things or people on a strip is taken; a yes/no sensor gives 1. Our proposal."
    )
    hold_min: int = Field(
        2, ge=1, le=60, description="Shorter than this is somebody passing, in minutes. Our proposal: 2 min."
    )


class Activity:
    """What shows that something is going on, minute by minute."""

    def __init__(self, given: Given, params: Signs) -> None:
        shares: dict[str, Share | None] = {
            "people": None if params.people_over is None else above(params.people_over),
            "passes": None if params.passes_over is None else above(params.passes_over),
            "noise": None if params.noise_over_dba is None else above(params.noise_over_dba),
            "power": None if params.power_over_kw is None else above(params.power_over_kw),
            "machines": on,
        }
        self.used = [(role, track, share) for role, share in shares.items() if share for track in given.all(role)]
        self.not_used = [role for role, share in shares.items() if share is None and given.all(role)]

    @property
    def tracks(self) -> Sequence[Track]:
        return [track for _, track, _ in self.used]

    def courses(self, span: Span) -> dict[str, Minutes]:
        """By signal."""
        return {track.signal.id: course(track, span, share) for _, track, share in self.used}


def _out_of_hours(span: Span, given: Given, params: Signs) -> Result:
    """Minutes outside the hours in which any sign showed activity. Quiet is only what all signs were seen to be."""
    activity = Activity(given, params)
    if not activity.used:
        return Result.missing(not_used=activity.not_used, why="no level is told for any of the inputs")
    asked = [not params.hold(span.start_ms + i * MINUTE_MS) for i in range(round(span.length_s / 60))]
    courses = activity.courses(span)
    time = spent(any_of(courses.values()), asked)
    by_signal = {name: spent(minutes, asked) for name, minutes in courses.items()}
    detail: dict[str, Any] = {
        "by": {name: one.minutes for name, one in by_signal.items() if one.minutes},
        "unseen_by": {name: one.asked - one.known for name, one in by_signal.items() if one.asked > one.known},
        "hours": f"{params.opens}-{params.closes}",
    }
    if activity.not_used:
        detail["not_used"] = activity.not_used
    return told(time.minutes, time, activity.tracks, span, **detail)


def _open_state(span: Span, given: Given, params: Signs) -> Result:
    """ "open" where something was going on for at least half of the known time, else "closed"; and what should be."""
    activity = Activity(given, params)
    if not activity.used:
        return Result.missing(not_used=activity.not_used, why="no level is told for any of the inputs")
    time = spent(any_of(activity.courses(span).values()))
    should = "open" if params.hold(span.end_ms - 1) else "closed"
    result = told(time.minutes, time, activity.tracks, span, active_min=time.minutes, should_be=should)
    if result.value is None:
        return result
    state = "open" if time.minutes >= _HALF * time.known else "closed"
    return Result(state, result.quality, result.reasons, result.parts, result.detail)


def _encroachment(span: Span, given: Given, params: StripParams) -> Result:
    """Minutes in which strips to be kept clear were taken, added up over the strips."""
    strips = given.all("strips")
    back_ms = params.hold_min * MINUTE_MS
    long = Span(span.start_ms - back_ms, span.end_ms)
    taken = above(params.from_count * (1 - 1e-9))
    courses = {t.signal.id: runs(course(t, long, taken), params.hold_min)[params.hold_min :] for t in strips}
    times = {name: spent(minutes) for name, minutes in courses.items()}
    detail = {
        "by": {name: time.minutes for name, time in times.items() if time.known},
        "unseen_by": {name: time.asked - time.known for name, time in times.items() if time.asked > time.known},
    }
    whole = spent([minute for minutes in courses.values() for minute in minutes])
    return told(whole.minutes, whole, strips, span, **detail)


def _running(span: Span, given: Given, factor: float) -> Result:
    """The running times of all machines, added up."""
    machines = given.all("machines")
    courses = {track.signal.id: course(track, span, on) for track in machines}
    times = {name: spent(minutes) for name, minutes in courses.items()}
    whole = spent([minute for minutes in courses.values() for minute in minutes])
    by = {name: time.minutes * factor for name, time in times.items() if time.known}
    unseen = {name: time.asked - time.known for name, time in times.items() if time.asked > time.known}
    return told(whole.minutes * factor, whole, machines, span, by=by, unseen_by=unseen)


def _running_h(span: Span, given: Given, _: Params) -> Result:
    return _running(span, given, 1 / 60)


def _running_min(span: Span, given: Given, _: Params) -> Result:
    return _running(span, given, 1)


_MACHINES = {"machines": Role(many=True)}

FORMULAS = (
    Formula("out_of_hours_min", _out_of_hours, _SIGNS, Signs, back_s=3600),
    Formula("open_state", _open_state, _SIGNS, Signs, back_s=3600),
    Formula("encroachment_min", _encroachment, {"strips": Role(many=True)}, StripParams, back_s=2 * 3600),
    Formula("running_h", _running_h, _MACHINES, back_s=3600),
    Formula("running_min", _running_min, _MACHINES, back_s=3600),
)
