"""Rain: sums over running and logical spans, its intensity, and its class by name.

A gap makes a sum a lower bound, and it says so by its quality; a counter that kept counting through the gap gives the
rain of it to the window after.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role
from gateway.indicators.formulas.folded import grown
from gateway.indicators.periods import Span
from gateway.model.folding import is_complete
from gateway.model.indicator import Indicator

_RAIN = {"rain": Role()}
_HOUR_S: Final = 3600
_NAMES: Final = ("mưa nhỏ", "mưa vừa", "mưa to", "mưa rất to")
_LIMITS_MM: Final = {12: (8.0, 25.0, 50.0), 24: (16.0, 50.0, 100.0)}


class RainParams(Params):
    confirmed: bool = Field(
        False, description="true: the limits of the rain classes (16/50/100 mm in 24 h, 8/25/50 in 12 h) were checked."
    )


def rain_class(mm: float, hours: float) -> str:
    """ "mưa nhỏ" ... "mưa rất to", "không mưa" for none; empty for a time other than 12 or 24 h. From memory of the
    weather service's practice, not from a text: domain research, 5.2, likely but not certain [M+]. The lowest limit
    belongs to the class above it, the others to the one below."""
    limits = _LIMITS_MM.get(round(hours)) if hours == round(hours) else None
    if limits is None:
        return ""
    if mm <= 0:
        return "không mưa"
    return _NAMES[(mm >= limits[0]) + sum(mm > limit for limit in limits[1:])]


def _sum(span: Span, given: Given, params: RainParams) -> Result:
    track = given.the("rain")
    window = track.over(span)
    mm = grown(track, span)
    name = rain_class(mm, span.length_s / _HOUR_S) if params.confirmed and mm is not None else ""
    if not name:
        return Result.of(mm, window)
    return Result.of(mm, window, **{"class" if _is_whole(window) else "class_at_least": name})


def _is_whole(window: Indicator) -> bool:
    return window.parts is not None and is_complete(window.parts)


def _rate(span: Span, given: Given, _: Params) -> Result:
    track = given.the("rain")
    mm = grown(track, span)
    rate = None if mm is None else mm / (span.length_s / _HOUR_S)
    return Result.of(rate, track.over(span), mm=mm, over_s=span.length_s)


FORMULAS = (
    Formula("rain_sum", _sum, _RAIN, RainParams, grain_s=300),
    Formula("rain_rate", _rate, _RAIN, grain_s=300),
)
