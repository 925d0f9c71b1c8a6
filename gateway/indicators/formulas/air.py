"""Air: means over hours, NowCast, hourly and daily VN_AQI from what a station measures.

An hour is named by its end, as decision 1459/QĐ-TCMT has it: the day's are 01:00 to 24:00, its first began at 00:00.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track
from gateway.indicators.formulas import aqi, gases
from gateway.indicators.formulas.slices import (
    HOUR_MS,
    HOUR_S,
    complete_number,
    counted,
    hours_before,
    judged,
    partial,
    pieces,
)
from gateway.indicators.periods import Span
from gateway.model.folding import COMPLETE_SHARE
from gateway.model.indicator import Indicator

PARTICLES: Final = ("pm25", "pm10")
GASES: Final = ("so2", "no2", "co", "o3")
_ROLES: Final = {name: Role(optional=True) for name in (*PARTICLES, *GASES)}


class HourlyParams(Params):
    min_share: float = Field(
        COMPLETE_SHARE,
        gt=0,
        le=1,
        description="An hour counts from this share of its readings on; a mean of hours likewise. Our proposal.",
    )


class AqiParams(HourlyParams):
    indicative: bool = Field(
        False,
        description="True for low-cost sensors: VN_AQI is defined for automatic stations, theirs is only a hint.",
    )
    data_source: str = Field("", description="Who measures, as it is to be named beside a published VN_AQI.")


class Hours(NamedTuple):
    """Hourly means of one pollutant in ug/m3, oldest first; None: none that counts."""

    values: list[float | None]
    windows: list[Indicator]

    def used(self) -> list[Indicator]:
        return [w for w, value in zip(self.windows, self.values, strict=True) if value is not None]


class Part(NamedTuple):
    """One column of the table that has an index: `rank`, not rounded."""

    pollutant: str
    column: str
    concentration: float
    rank: float
    used: Sequence[Indicator]
    more: Mapping[str, Any]


def hourly(track: Track, span: Span, min_share: float) -> Hours | None:
    """Its hourly means over whole hours. None where its unit cannot be brought to ug/m3. An hour with too few readings
    has none, and neither has one whose mean is below zero: noise around nothing, or a sensor that drifted."""
    factor = gases.factor_of(track.signal)
    if factor is None:
        return None
    windows = pieces(track, span, HOUR_S)
    found = [complete_number(window, min_share) for window in windows]
    return Hours([None if value is None or value < 0 else value * factor for value in found], windows)


def mean(values: Sequence[float | None], min_share: float = COMPLETE_SHARE) -> float | None:
    """The mean of those that are known, if they are at least this share."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) >= min_share * len(values) else None


def _unit_is_unknown(track: Track) -> dict[str, Any]:
    return {"unit": f"{track.signal.unit or 'none'}: cannot be brought to ug/m3"}


def _mean(span: Span, given: Given, params: HourlyParams) -> Result:
    """Over an hour, or less: of all readings. Over several: the mean of the hourly means."""
    track = given.the("value")
    factor = gases.factor_of(track.signal)
    if factor is None:
        return Result.missing(**_unit_is_unknown(track))
    if span.length_s <= HOUR_S:
        window = track.over(span)
        value = complete_number(window, 0.0) if window.value is not None else None
        detail = {} if factor == 1 else {"factor": factor, "unit": track.signal.unit}
        return judged(None if value is None else value * factor, [window], [window], **detail)
    hours = hourly(track, span, params.min_share)
    if hours is None:
        return Result.missing(**_unit_is_unknown(track))
    used = hours.used()
    known = mean(hours.values, 0.0)
    result = judged(known, used, hours.windows, hours=len(used), of_hours=len(hours.values))
    return result if len(used) >= params.min_share * len(hours.values) else partial(result)


def _nowcast(span: Span, given: Given, params: HourlyParams) -> Result:
    track = given.the("value")
    hours = hourly(track, hours_before(span.end_ms, aqi.NOWCAST_HOURS), params.min_share)
    if hours is None:
        return Result.missing(**_unit_is_unknown(track))
    found = aqi.nowcast(hours.values[::-1])
    if found is None:
        return judged(None, (), hours.windows, nowcast="two of the three newest hours are needed")
    return judged(found.value, hours.used(), hours.windows, weight=found.weight, hours=found.hours)


def _hourly_aqi(span: Span, given: Given, params: AqiParams) -> Result:
    parts: list[Part] = []
    seen: list[Indicator] = []
    lacking: dict[str, str] = {}
    for name in (*PARTICLES, *GASES):
        track = given.one(name)
        if track is None:
            continue
        back = aqi.NOWCAST_HOURS if name in PARTICLES else 1
        hours = hourly(track, hours_before(span.end_ms, back), params.min_share)
        if hours is None:
            lacking[name] = "unit"
            continue
        seen += hours.windows
        found = _nowcast_part(name, hours) if name in PARTICLES else _highest(name, hours)
        if found is None:
            lacking[name] = "no value"
        else:
            parts.append(found)
    return _index(parts, seen, lacking, params)


def _nowcast_part(name: str, hours: Hours) -> Part | None:
    found = aqi.nowcast(hours.values[::-1])
    more = {"weight": found.weight, "hours": found.hours} if found else {}
    return _part(name, name, found.value if found else None, hours.used(), more)


def _highest(name: str, hours: Hours) -> Part | None:
    """The highest hourly mean against the 1-hour column."""
    known = [value for value in hours.values if value is not None]
    return _part(name, "o3_1h" if name == "o3" else name, max(known, default=None), hours.used(), {"hours": len(known)})


def _part(
    name: str, column: str, concentration: float | None, used: Sequence[Indicator], more: Mapping[str, Any]
) -> Part | None:
    index = None if concentration is None else aqi.sub_index(column, concentration)
    if concentration is None or index is None:
        return None
    return Part(name, column, concentration, index, used, more)


def _daily_aqi(span: Span, given: Given, params: AqiParams) -> Result:
    parts: list[Part] = []
    seen: list[Indicator] = []
    lacking: dict[str, str] = {}
    for name in (*PARTICLES, *GASES):
        track = given.one(name)
        if track is None:
            continue
        hours = hourly(track, span, params.min_share)
        if hours is None:
            lacking[name] = "unit"
            continue
        seen += hours.windows
        used = hours.used()
        if name in PARTICLES:
            found = _part(name, name, mean(hours.values, params.min_share), used, {"hours": len(used)})
        else:
            found = _highest(name, hours)
            if name == "o3":
                found = _worse(found, _eight_hours(track, span, params))
        if found is None or len(used) < params.min_share * len(hours.values):
            lacking[name] = "too few hours"
        if found is not None:
            parts.append(found)
    return _index(parts, seen, lacking, params)


def _worse(one: Part | None, other: Part | None) -> Part | None:
    return max((part for part in (one, other) if part is not None), key=lambda part: part.rank, default=None)


def _eight_hours(track: Track, span: Span, params: HourlyParams) -> Part | None:
    """The day's highest 8-hour mean, of those that end in the day; the first began the evening before."""
    hours = hourly(track, Span(span.start_ms - 7 * HOUR_MS, span.end_ms), params.min_share)
    if hours is None:
        return None
    ends = range(8, len(hours.values) + 1)
    means = [mean(hours.values[end - 8 : end], params.min_share) for end in ends]
    known = [(value, end) for value, end in zip(means, ends, strict=True) if value is not None]
    if not known:
        return None
    highest, end = max(known)
    used = [w for w in hours.windows[end - 8 : end] if w.value is not None]
    return _part("o3", "o3_8h", highest, used, {"means": len(known)})


def _index(parts: list[Part], seen: list[Indicator], lacking: Mapping[str, str], params: AqiParams) -> Result:
    """The highest sub-index, rounded; uncertain where a pollutant that is measured here has none."""
    detail = _told(parts, lacking, params)
    if not any(part.pollutant in PARTICLES for part in parts):
        return judged(None, (), seen, **detail, needs="pm25 or pm10")
    top = max(parts, key=lambda part: part.rank)
    index = aqi.half_up(top.rank)
    level = aqi.level(index)
    used = [window for part in parts for window in part.used]
    result = judged(
        index,
        used,
        seen,
        **detail,
        dominant=top.pollutant,
        level_vi=level.name_vi,
        level_en=level.name_en,
        rgb=level.rgb,
        beyond_table=aqi.beyond(top.column, top.concentration),
    )
    return partial(result) if lacking else result


def _told(parts: Sequence[Part], lacking: Mapping[str, str], params: AqiParams) -> dict[str, Any]:
    return {
        "method": aqi.METHOD,
        "method_version": aqi.VERSION,
        "indicative": params.indicative,
        "sub_indices": {part.pollutant: aqi.half_up(part.rank) for part in parts},
        "concentrations": {part.pollutant: round(part.concentration, 3) for part in parts},
        "columns": {part.pollutant: part.column for part in parts},
        "made_of": {part.pollutant: {**part.more, "n": counted(part.used).n} for part in parts},
        **({"lacking": dict(lacking)} if lacking else {}),
        **({"data_source": params.data_source} if params.data_source else {}),
    }


_NOWCAST_BACK_S: Final = (aqi.NOWCAST_HOURS - 1) * HOUR_S
FORMULAS: Final = (
    Formula("air_mean", _mean, {"value": Role()}, HourlyParams, grain_s=300),
    Formula("nowcast", _nowcast, {"value": Role()}, HourlyParams, back_s=_NOWCAST_BACK_S, grain_s=300),
    Formula("vn_aqi_hour", _hourly_aqi, _ROLES, AqiParams, back_s=_NOWCAST_BACK_S, grain_s=300),
    Formula("vn_aqi_day", _daily_aqi, _ROLES, AqiParams, back_s=7 * HOUR_S, grain_s=300),
)
