"""The stage of a river or canal: in its station's datum, its alarm level, how fast it rises, when it gets there.

Alarm levels (báo động 1, 2, 3 of QĐ 05/2020/QĐ-TTg) come from the limits in force for the gauge, never from here. They
are absolute: without a levelled zero (`zero_offset_m`) nothing is held against them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import median
from typing import Any

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track, number
from gateway.indicators.formulas.held import middle
from gateway.indicators.periods import Span
from gateway.model.indicator import Indicator
from gateway.model.limit import Threshold
from gateway.model.measure import Kind

_LEVEL = {"level": Role()}
_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_MIN_WINDOWS = 3
_HOUR_MS = 3_600_000
_VI = ("Dưới báo động 1", "Trên báo động 1", "Trên báo động 2", "Trên báo động 3")


class StageParams(Params):
    """Where the gauge's zero lies."""

    zero_offset_m: float | None = Field(
        None,
        description="Height of the gauge's zero above the station's datum, in metres, as surveyed; 0 if it is set.",
    )
    datum: str = Field("", max_length=60, description="Datum of the alarm levels: VN-2000, Hon Dau 1972, station zero.")
    surveyed: str = Field("", max_length=40, description="Day of the survey: 2026-05-12.")


class AlarmParams(StageParams):
    hysteresis_m: float = Field(
        0.05, ge=0, le=1, description="So far below a level the water must fall before it is left. Our proposal: 5 cm."
    )


class RiseParams(Params):
    min_stretch_min: float = Field(
        20, ge=2, le=60, description="Minutes the readings must span at least before a slope is said. Our proposal: 20."
    )


class EtaParams(StageParams, RiseParams):
    rising_cm_h: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Slower than this the water does not rise: it would be noise. Our proposal: 1 cm/h.",
    )
    horizon_min: float = Field(
        1440,
        ge=60,
        le=10_080,
        description="No time beyond this is told; it also stands for water that does not rise. Our proposal: a day.",
    )


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """Theil-Sen: the median of the slopes of all pairs of (x, y). One wild value in four does not move it far, which
    least squares does not promise. None of fewer than three points, or all at one x."""
    if len(points) < _MIN_WINDOWS:
        return None
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x1 != x2]
    return median(slopes) if slopes else None


def reached(stage: float, alarm: Threshold) -> int:
    """How many of the levels the stage has reached: 0 to 3. Whether "at" counts is as the limit's sign says."""
    return sum(not replace(alarm.limit, value=level).is_met(stage) for level in alarm.levels)


def alarm_level(stages: Iterable[float], alarm: Threshold, hysteresis_m: float) -> int:
    """The alarm level after these stages, oldest first: up at once, down only `hysteresis_m` below a level. [P]"""
    level = 0
    for stage in stages:
        up = reached(stage, alarm)
        while level > up and stage < alarm.levels[level - 1] - hysteresis_m:
            level -= 1
        level = max(level, up)
    return level


def alarm_levels(given: Given) -> tuple[Threshold | None, str]:
    """The confirmed threshold with the most levels, above which is bad; else None and why."""
    found = [t for t in given.thresholds if t.limit.op in ("<", "<=") and t.levels]
    confirmed = [t for t in found if t.confirmed]
    if confirmed:
        return max(confirmed, key=lambda t: len(t.levels)), ""
    return None, "unconfirmed" if found else "none"


def _metres(track: Track) -> float:
    return _METRES.get(track.signal.unit, 1.0)


def _zero(params: StageParams) -> dict[str, Any]:
    """Travels with every stage: those above different zeros must never share an axis."""
    return {"datum": params.datum, "zero_offset_m": params.zero_offset_m, "surveyed": params.surveyed}


def _rising(track: Track, span: Span, params: RiseParams) -> tuple[float | None, dict[str, Any]]:
    """cm/h over the span, of the means of the windows, and how it was found."""
    points = [
        (((w.start_ms or 0) + w.end_ms) / 2 / _HOUR_MS, mean * _metres(track) * 100)
        for w in track.within(span)
        if (mean := middle(w)) is not None
    ]
    hours = [x for x, _ in points]
    detail = {"method": "theil-sen", "windows": len(points)}
    if len(points) < _MIN_WINDOWS or (max(hours) - min(hours)) * 60 < params.min_stretch_min:
        return None, detail | {"why": "too_few_windows"}
    return slope(points), detail


def _level(span: Span, given: Given, params: StageParams) -> Result:
    track = given.the("level")
    last = track.over(span, Kind.LAST)
    value, parts = number(last), last.parts
    if value is None or parts is None or parts.low is None or parts.high is None:
        return Result.missing(last, **_zero(params))
    metres, zero = _metres(track), params.zero_offset_m or 0.0
    detail = {"max": parts.high * metres + zero, "min": parts.low * metres + zero, **_zero(params)}
    return Result.of(value * metres + zero, last, **detail)


def _stage(span: Span, given: Given, params: StageParams) -> Result:
    """What single readings are held against levels as: a gauge whose zero nobody levelled is held against none."""
    if params.zero_offset_m is None:
        return Result.missing(given.the("level").over(span, Kind.LAST), why="zero_not_levelled", **_zero(params))
    return _level(span, given, params)


def _comparable(now: Indicator, given: Given, params: StageParams) -> tuple[Threshold, float] | Result:
    """The alarm levels and the height of the gauge's zero, in metres; or that nothing can be said without them."""
    alarm, why = alarm_levels(given)
    if alarm is None:
        return Result.missing(now, limit=why, **_zero(params))
    if params.zero_offset_m is None:
        return Result.missing(now, why="zero_not_levelled", **_zero(params))
    return alarm, params.zero_offset_m


def _alarm(span: Span, given: Given, params: AlarmParams) -> Result:
    track = given.the("level")
    now = track.over(span, Kind.LAST)
    known = _comparable(now, given, params)
    if isinstance(known, Result):
        return known
    alarm, zero_m = known
    if number(now) is None:
        return Result.missing(now, **_zero(params))
    ordered = sorted(track.windows, key=lambda w: w.end_ms)
    stages = [
        mean * _metres(track) + zero_m for w in ordered if w.end_ms <= span.end_ms and (mean := middle(w)) is not None
    ]
    hysteresis = alarm.hysteresis or params.hysteresis_m
    level = alarm_level(stages, alarm, hysteresis)
    detail = {"state_vi": _VI[min(level, 3)], "stage": stages[-1], "hysteresis_m": hysteresis, **_held_against(alarm)}
    return Result.of(level, now, **detail, **_zero(params))


def _held_against(alarm: Threshold) -> dict[str, Any]:
    return {"levels": list(alarm.levels), "basis": alarm.limit.basis, "profile": alarm.limit.profile}


def _margin(span: Span, given: Given, params: StageParams) -> Result:
    """To the next level; above the last one, negative: so far beyond it."""
    track = given.the("level")
    now = track.over(span, Kind.LAST)
    known = _comparable(now, given, params)
    if isinstance(known, Result):
        return known
    alarm, zero_m = known
    value = number(now)
    if value is None:
        return Result.missing(now, **_zero(params))
    stage = value * _metres(track) + zero_m
    at = reached(stage, alarm)
    above_all = at == len(alarm.levels)
    level = alarm.levels[-1 if above_all else at]
    detail = {"stage": stage, "level": at, "next": None if above_all else at + 1, **_held_against(alarm)}
    return Result.of(level - stage, now, **detail, **_zero(params))


def _rise_rate(span: Span, given: Given, params: RiseParams) -> Result:
    track = given.the("level")
    rate, detail = _rising(track, span, params)
    return Result.of(rate, track.over(span), **detail)


def _eta(span: Span, given: Given, params: EtaParams) -> Result:
    """Minutes to the next level at this rate. Known to be far, or not rising: the horizon, with `state`; above the last
    level: 0. Missing only where nothing can be said."""
    margin = _margin(span, given, params)
    room = margin.value
    if room is None or isinstance(room, str):
        return margin
    track = given.the("level")
    now = track.over(span)
    rate, how = _rising(track, span, params)
    detail = {**margin.detail, **how, "margin_m": room, "rate_cm_h": rate}
    if detail["next"] is None:
        return Result.of(0.0, now, state="above_last", **detail)
    if rate is None:
        return Result.missing(now, **detail)
    if rate < params.rising_cm_h:
        return Result.of(params.horizon_min, now, state="not_rising", **detail)
    minutes = room * 100 / rate * 60
    state = "rising" if minutes < params.horizon_min else "beyond_horizon"
    return Result.of(min(minutes, params.horizon_min), now, state=state, **detail)


FORMULAS = (
    Formula("flood_level", _level, _LEVEL, StageParams),
    Formula("flood_stage", _stage, _LEVEL, StageParams),
    Formula("flood_alarm", _alarm, _LEVEL, AlarmParams, back_s=86_400, grain_s=300),
    Formula("flood_margin", _margin, _LEVEL, StageParams),
    Formula("flood_rise_rate", _rise_rate, _LEVEL, RiseParams),
    Formula("flood_eta_next", _eta, _LEVEL, EtaParams),
)
