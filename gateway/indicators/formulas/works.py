"""Water on the road, and works of water: how deep, how long, how long pumps ran and how often they started."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track, number
from gateway.indicators.formulas.held import held, known_minutes, middle, minutes_on, minutes_where
from gateway.indicators.periods import Span
from gateway.model.indicator import Indicator
from gateway.model.measure import Kind

_DEPTH = {"depth": Role()}
_RUNNING = {"running": Role()}
_CENTIMETRES = {"m": 100.0, "cm": 1.0, "mm": 0.1}
DEPTHS_CM = (5.0, 15.0, 30.0, 50.0)
"""Wet, caution, closed to motorcycles, closed. Our proposal: there is no national table."""


class DepthParams(Params):
    ground_cm: float = Field(
        0.0, ge=-500, le=500, description="What the sensor reads when the road is just dry, in cm; taken off the depth."
    )


class InundationParams(DepthParams):
    over_cm: float = Field(15.0, ge=0, le=500, description="Flooded means deeper than this. Our proposal: 15 cm.")


def starts(windows: Sequence[Indicator]) -> int:
    """How often a 0/1 signal went to 1, by the first and last reading of each window, in order. What went on and off
    between the two is not seen; nor is it known whether one that is 1 from the beginning was started."""
    count = 0
    before: float | None = None
    for window in windows:
        parts = window.parts
        if parts is None or parts.first is None or parts.last is None:
            continue
        for now in (parts.first, parts.last):
            count += before is not None and before < 0.5 <= now
            before = now
    return count


def _centimetres(track: Track) -> float:
    return _CENTIMETRES.get(track.signal.unit, 1.0)


def _depth(span: Span, given: Given, params: DepthParams) -> Result:
    track = given.the("depth")
    last = track.over(span, Kind.LAST)
    value, parts = number(last), last.parts
    if value is None or parts is None or parts.high is None:
        return Result.missing(last)
    cm = _centimetres(track)
    return Result.of(max(0.0, value * cm - params.ground_cm), last, max=max(0.0, parts.high * cm - params.ground_cm))


def _inundation_min(span: Span, given: Given, params: InundationParams) -> Result:
    track = given.the("depth")
    window = track.over(span)
    courses = held(track, span)
    if not courses:
        return Result.missing(window)
    cm = _centimetres(track)

    def minutes(over: float) -> float:
        return minutes_where(courses, lambda mean: mean * cm - params.ground_cm > over)

    detail = {
        "over_cm": params.over_cm,
        "minutes_over": {f"{depth:g}": minutes(depth) for depth in DEPTHS_CM},
        "known_min": known_minutes(courses),
        "max": max(0.0, (window.parts.high if window.parts and window.parts.high else 0.0) * cm - params.ground_cm),
    }
    return Result.of(minutes(params.over_cm), window, **detail)


def _hours_on(span: Span, given: Given, _: Params) -> Result:
    track = given.the("running")
    courses = held(track, span)
    if not any(middle(course.window) is not None for course in courses):
        return Result.missing(track.over(span))
    return Result.of(minutes_on(courses) / 60, track.over(span), known_h=known_minutes(courses) / 60)


def _starts(span: Span, given: Given, _: Params) -> Result:
    """Starts in the span; one that fell exactly on its beginning is told from the last reading before it."""
    track = given.the("running")
    window = track.over(span)
    ordered = sorted((w for w in track.windows if w.end_ms <= span.end_ms), key=lambda w: w.end_ms)
    before = [w for w in ordered if (w.start_ms or 0) < span.start_ms]
    if window.parts is None or window.parts.first is None:
        return Result.missing(window)
    return Result.of(starts(ordered) - starts(before), window)


FORMULAS = (
    Formula("inundation_depth", _depth, _DEPTH, DepthParams),
    Formula("inundation_min", _inundation_min, _DEPTH, InundationParams, back_s=3600),
    Formula("hours_on", _hours_on, _RUNNING, back_s=3600),
    Formula("starts", _starts, _RUNNING, back_s=3600),
)
