"""Formulas that only fold: longer periods, running ones, counters."""

from __future__ import annotations

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track
from gateway.indicators.periods import Span
from gateway.model.folding import growth
from gateway.model.indicator import Indicator
from gateway.model.measure import Kind

_ONE = {"value": Role()}


def _as(kind: Kind) -> Formula:
    def compute(span: Span, given: Given, _: Params) -> Result:
        return Result.window(given.the("value").over(span, kind))

    return Formula(f"fold_{kind}", compute, _ONE, grain_s=0)


def grown(track: Track, span: Span) -> float | None:
    """How much a counter grew in the span: of windows of growth their sum, of windows of its readings the way from the
    last before the span, over resets and roll-overs. None where nothing was read. The track must reach back before the
    span to know where it stood (`back_s`); else it counts from its first reading on."""
    if track.signal.kind in (Kind.DELTA, Kind.SUM, Kind.COUNT):
        value = track.over(span).value
        return None if value is None or isinstance(value, str) else float(value)
    before: float | None = None
    total, seen = 0.0, False
    for window in track.windows:
        parts = window.parts
        if parts is None or parts.first is None or parts.last is None:
            continue
        if (window.start_ms or 0) >= span.start_ms:
            seen = True
            if before is not None:
                total += growth(before, parts.first, track.signal.rollover)
            total += growth(parts.first, parts.last, track.signal.rollover)
        before = parts.last
    return total if seen else None


def _growth(span: Span, given: Given, _: Params) -> Result:
    track = given.the("value")
    folded: Indicator = track.over(span)
    return Result.of(grown(track, span), folded)


FORMULAS = (*(_as(kind) for kind in Kind), Formula("growth", _growth, _ONE, back_s=86_400))
