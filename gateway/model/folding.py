"""Longer windows from shorter ones, as if one window had seen all their readings. Pure.

Parts are added up, never averages averaged. What cannot be told from parts is told by the windows' own values: the
growth of a counter, and the latest text or contact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Quality, Reason, Signal, Value

COMPLETE_SHARE = 0.75
"""A window with fewer than this share of its expected readings says so. Our default: no Vietnamese rule fixes a share
for short windows."""

DOUBTS = frozenset({Reason.STUCK, Reason.SPIKE, Reason.OBSCURED_VIEW, Reason.FRAMES_DROPPED, Reason.MODEL_LOW})
"""Reasons of readings that entered a value all the same and made it uncertain."""


def fold(signal: Signal, windows: Iterable[Indicator], start_ms: int, end_ms: int) -> Indicator:
    """One window over [start_ms, end_ms) from shorter ones that lie in it, in any order; they may be folded ones
    themselves. They must be of this signal's kind and unit. No two may hold the same reading, but those of late
    readings may lie over others: of the same time, the late ones count as the earlier ones.

    `expected` counts the whole time, also where no window is. The reasons are all reasons of the windows, except two:
    `replayed` says how a reading came, and not what the whole is worth; `partial` is found anew: it stands where less
    than 75 % of the expected readings came. Of no windows at all: missing.
    """
    ordered = sorted(windows, key=lambda window: (window.end_ms, not window.is_late, window.start_ms or 0))
    parts = _added([window.parts for window in ordered if window.parts is not None], expected(signal, start_ms, end_ms))
    value = _value(signal.kind, ordered, parts)
    reasons: dict[Reason, None] = dict.fromkeys(reason for window in ordered for reason in window.reasons)
    for found_anew in (Reason.PARTIAL, Reason.REPLAYED):
        reasons.pop(found_anew, None)
    if value is None:
        quality = Quality.MISSING
        reasons = reasons or {Reason.STALE: None}
    else:
        partial = not is_complete(parts)
        if partial:
            reasons[Reason.PARTIAL] = None
        quality = Quality.UNCERTAIN if partial or any(map(_in_doubt, ordered)) else Quality.GOOD
    return Indicator(signal, start_ms, end_ms, value, quality, tuple(reasons), parts)


def expected(signal: Signal, start_ms: int, end_ms: int) -> int:
    """How many readings a signal should give in this time; at least one."""
    return max(1, round((end_ms - start_ms) / 1000 / signal.every_s))


def is_complete(parts: Parts) -> bool:
    """Whether enough of the expected readings came for the value to stand for its whole window."""
    return parts.n >= COMPLETE_SHARE * parts.expected


def _added(all_parts: Sequence[Parts], expected_n: int) -> Parts:
    n = sum(parts.n for parts in all_parts)
    numeric = [parts for parts in all_parts if parts.first is not None]
    if not numeric:
        return Parts(n, expected_n)
    return Parts(
        n,
        expected_n,
        total=sum(parts.total for parts in numeric if parts.total is not None),
        low=min(parts.low for parts in numeric if parts.low is not None),
        high=max(parts.high for parts in numeric if parts.high is not None),
        first=numeric[0].first,
        last=numeric[-1].last,
    )


def _value(kind: Kind, ordered: Sequence[Indicator], parts: Parts) -> Value | None:
    values = [window.value for window in ordered if window.value is not None]
    if kind is Kind.COUNT:
        return parts.n if values else None
    texts = [value for value in values if isinstance(value, str | bool)]
    if texts and (kind in (Kind.LAST, Kind.EVENT) or parts.first is None):
        return texts[-1]
    if parts.total is None:
        return None
    numbers = {
        Kind.MEAN: parts.total / parts.n,
        Kind.MIN: parts.low,
        Kind.MAX: parts.high,
        Kind.SUM: parts.total,
        Kind.DELTA: sum(value for value in values if not isinstance(value, str)),
    }
    return numbers.get(kind, parts.last)


def _in_doubt(window: Indicator) -> bool:
    """Uncertain, and not only because it is cut short or incomplete: that is weighed for the whole."""
    if window.quality is not Quality.UNCERTAIN or window.parts is None or window.start_ms is None:
        return window.quality is Quality.UNCERTAIN
    whole = window.end_ms - window.start_ms >= window.signal.window_s * 1000 and is_complete(window.parts)
    return whole or not DOUBTS.isdisjoint(window.reasons)


def growth(before: float, now: float, rollover: float | None) -> float:
    """How much a counter grew from `before` to `now`.

    Backwards means it rolled over, if it was near its top (the last tenth), or else that it was reset and counts
    from zero again.
    """
    if now >= before:
        return now - before
    if rollover is not None and before > 0.9 * rollover:
        return rollover - before + now
    return now
