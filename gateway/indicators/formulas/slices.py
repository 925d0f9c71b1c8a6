"""Cutting tracks into equal pieces, and saying how good a value over many pieces is. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from gateway.indicators.formula import Result, Track
from gateway.indicators.periods import Span
from gateway.model.folding import COMPLETE_SHARE, fold, is_complete
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Quality, Reason, Value

HOUR_S = 3600
HOUR_MS = HOUR_S * 1000


def pieces(track: Track, span: Span, length_s: int) -> list[Indicator]:
    """The span cut into pieces, each folded, in one pass: for days of minutes. A window that does not lie in one piece
    is left out."""
    step = length_s * 1000
    lying: dict[int, list[Indicator]] = defaultdict(list)
    for window in track.windows:
        start_ms = window.end_ms if window.start_ms is None else window.start_ms
        at = (start_ms - span.start_ms) // step
        if start_ms >= span.start_ms and window.end_ms <= min(span.start_ms + (at + 1) * step, span.end_ms):
            lying[at].append(window)
    return [
        fold(track.signal, lying.get(at, ()), piece.start_ms, piece.end_ms)
        for at, piece in enumerate(span.slices(length_s))
    ]


def base_s(*tracks: Track) -> int:
    """The shortest pieces in which each of these signals should have a reading: whole minutes, at least one window
    long, as long as those that are there: of days gone by the history has longer ones. An analyser that answers every
    15 minutes has pieces of 15 minutes."""
    lengths = [track.signal.window_s for track in tracks]
    lengths += [ceil(track.signal.every_s / 60) * 60 for track in tracks]
    lengths += [(w.end_ms - w.start_ms) // 1000 for track in tracks for w in track.windows if w.start_ms is not None]
    return max(lengths)


def hours_before(end_ms: int, count: int) -> Span:
    """The span of so many hours up to here."""
    return Span(end_ms - count * HOUR_MS, end_ms)


def complete_number(window: Indicator, min_share: float = COMPLETE_SHARE) -> float | None:
    """The value, if it is a number and enough of the expected readings are in it."""
    if window.value is None or isinstance(window.value, str) or window.parts is None:
        return None
    return float(window.value) if window.parts.n >= min_share * window.parts.expected else None


def judged(value: Value | None, used: Iterable[Indicator], seen: Sequence[Indicator], **detail: Any) -> Result:
    """A value made of the `used` windows, of the `seen` ones that could have been used.

    No better than those used; also uncertain where fewer than 75 % of all expected readings came. What was not used
    counts against completeness, yet its reasons are not the value's. No value: missing, for all the reasons seen.
    """
    used = list(used)
    parts = counted(seen)
    if value is None or not used:
        return replace(Result.missing(*seen, **detail), parts=parts)
    result = replace(Result.of(value, *used, **detail), parts=parts)
    return result if is_complete(parts) else partial(result)


def partial(result: Result) -> Result:
    """The same, said to be made of too little. What is missing stays so."""
    if result.quality is Quality.MISSING:
        return result
    reasons = tuple(dict.fromkeys((*result.reasons, Reason.PARTIAL)))
    return replace(result, quality=Quality.UNCERTAIN, reasons=reasons)


def counted(windows: Sequence[Indicator]) -> Parts:
    """Readings used and expected, of all windows together; more than were expected do not make up for others."""
    parts = [window.parts for window in windows if window.parts is not None]
    return Parts(sum(min(p.n, p.expected) for p in parts), max(1, sum(p.expected for p in parts)))
