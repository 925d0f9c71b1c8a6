"""How much of the time a device answered."""

from __future__ import annotations

from typing import Final

from gateway.indicators.formula import Formula, Given, Params, Result, Role
from gateway.indicators.periods import Span
from gateway.model.folding import COMPLETE_SHARE
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Quality, Reason

ANSWERED: Final = frozenset({Reason.OUT_OF_RANGE, Reason.CALIBRATING, Reason.DEVICE_FAULT, Reason.DEVICE_REFUSED})
SILENT: Final = frozenset({Reason.NO_ANSWER, Reason.LINK_DOWN, Reason.BAD_FRAME, Reason.STALE})


def answered(window: Indicator) -> float:
    """Share of the window's expected readings for which an answer came, 0 to 1. A value out of its range, or of a
    device being calibrated, is an answer, though it entered no window."""
    if not ANSWERED.isdisjoint(window.reasons) and SILENT.isdisjoint(window.reasons):
        return 1.0
    parts = window.parts
    return min(1.0, parts.n / parts.expected) if parts is not None and parts.expected else 0.0


def _uptime(span: Span, given: Given, _: Params) -> Result:
    """Of a device with several signals the one that answered best counts, window by window; signals with longer windows
    than the others are not asked. Time for which there is no window at all (the gateway was off) is no device's
    silence: it is left out, and said."""
    tracks = given.all("value")
    shortest_s = min((track.signal.window_s for track in tracks), default=0)
    best: dict[tuple[int, int], float] = {}
    for track in tracks:
        if track.signal.window_s > shortest_s:
            continue
        for window in track.within(span):
            key = window.start_ms or 0, window.end_ms
            best[key] = max(best.get(key, 0.0), answered(window))
    known_s = sum(end_ms - start_ms for start_ms, end_ms in best) / 1000
    up_s = sum((end_ms - start_ms) / 1000 * share for (start_ms, end_ms), share in best.items())
    if not known_s:
        return Result.missing()
    whole = known_s >= COMPLETE_SHARE * span.length_s
    quality, reasons = (Quality.GOOD, ()) if whole else (Quality.UNCERTAIN, (Reason.PARTIAL,))
    parts = Parts(round(known_s), round(span.length_s))
    return Result(100 * up_s / known_s, quality, reasons, parts, {"up_s": round(up_s, 1), "known_s": round(known_s, 1)})


FORMULAS = (Formula("uptime", _uptime, {"value": Role(many=True)}, grain_s=300),)
