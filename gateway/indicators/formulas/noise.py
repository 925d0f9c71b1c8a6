"""Noise: the equivalent level LAeq, a mean of energy, over an hour or over the night."""

from __future__ import annotations

from collections.abc import Iterable
from math import log10
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track
from gateway.indicators.periods import DAY_S, Span, clock_s, time_of_day_s


def _a_time(text: str) -> str:
    clock_s(text)
    return text


class NightParams(Params):
    night_from: Annotated[str, AfterValidator(_a_time)] = Field(
        "21:00", description="Night begins; 21:00 as in QCVN 26:2010/BTNMT, which was replaced in 2025."
    )
    night_to: Annotated[str, AfterValidator(_a_time)] = Field("06:00", description="Night ends; 06:00 likewise.")


def energy(levels: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """The sum of weight times 10^(level/10), and the sum of weights, of pairs (level in dB, weight): they add up."""
    total = weights = 0.0
    for level, weight in levels:
        total += weight * 10 ** (level / 10)
        weights += weight
    return total, weights


def energy_mean(levels: Iterable[tuple[float, float]]) -> float | None:
    """LAeq of pairs (level in dB, weight): ISO 1996-1. 60 and 70 dB, equally long: 67.4 dB. None of nothing."""
    total, weights = energy(levels)
    return 10 * log10(total / weights) if weights else None


def night_of(span: Span, begins: str, ends: str) -> Span:
    """The night within a day from noon to noon. A night that ends when it begins is the whole span."""
    start_ms = span.start_ms + (clock_s(begins) - time_of_day_s(span.start_ms)) % DAY_S * 1000
    length_s = (clock_s(ends) - clock_s(begins)) % DAY_S or DAY_S
    return Span(start_ms, min(start_ms + length_s * 1000, span.end_ms))


def _level(track: Track, span: Span) -> Result:
    """Of the means of its windows, each counting as often as readings are in it. Within a window of a minute the
    readings are averaged as they are: the true level is never below this one."""
    pairs = [
        (float(window.value), float(window.parts.n))
        for window in track.within(span)
        if window.parts is not None and window.value is not None and not isinstance(window.value, str)
    ]
    total, n = energy(pairs)
    return Result.of(energy_mean(pairs), track.over(span), energy_sum=total, n=int(n))


def _laeq(span: Span, given: Given, _: Params) -> Result:
    return _level(given.the("value"), span)


def _laeq_night(span: Span, given: Given, params: NightParams) -> Result:
    return _level(given.the("value"), night_of(span, params.night_from, params.night_to))


FORMULAS: Final = (
    Formula("laeq", _laeq, {"value": Role()}),
    Formula("laeq_night", _laeq_night, {"value": Role()}, NightParams),
)
