"""Data quality in four figures, each in %: of a point, or of all signals of a gateway.

completeness  usable readings / expected readings
validity      usable readings / (usable and rejected ones). Rejected is what windows lack that name a reason of the
              instrument: out of range, calibrating, at fault. What such a window lacks for another reason as well is
              counted as rejected: the windows do not tell the two apart
consistency   usable readings in windows that bear no mark of doubt (stuck, spike, frames dropped, view obscured, model
              unsure, clock not set) / usable readings
timeliness    usable readings that came in their time / usable readings

Of a gateway: the mean over its signals, each counting the same, so that an analyser with four readings an hour weighs
as much as a meter with 3600. Signals that only tell events expect nothing and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track
from gateway.indicators.periods import Span
from gateway.model.folding import DOUBTS, expected
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Reason

REJECTED: Final = frozenset({Reason.OUT_OF_RANGE, Reason.CALIBRATING, Reason.DEVICE_FAULT})
IN_DOUBT: Final = DOUBTS | {Reason.CLOCK_UNSYNCED}
_WORST: Final = 5


class Share(NamedTuple):
    """Readings of readings."""

    numerator: int
    denominator: int


class Counts(NamedTuple):
    """Readings of one signal in one span."""

    expected: int
    usable: int
    rejected: int
    doubted: int
    late: int


def count(track: Track, span: Span) -> Counts:
    """Counted window by window. A late window completes the one it lies beside."""
    usable: dict[tuple[int, int], int] = {}
    needed: dict[tuple[int, int], int] = {}
    reasons: dict[tuple[int, int], set[Reason]] = {}
    late = doubted = 0
    for window in track.within(span):
        if window.parts is None or window.start_ms is None:
            continue
        key = (window.start_ms, window.end_ms)
        usable[key] = usable.get(key, 0) + window.parts.n
        needed[key] = max(needed.get(key, 0), window.parts.expected)
        reasons.setdefault(key, set()).update(window.reasons)
        late += window.parts.n if window.is_late else 0
        doubted += 0 if IN_DOUBT.isdisjoint(window.reasons) else window.parts.n
    rejected = sum(max(0, needed[key] - usable[key]) for key in needed if not REJECTED.isdisjoint(reasons[key]))
    return Counts(expected(track.signal, span.start_ms, span.end_ms), sum(usable.values()), rejected, doubted, late)


def completeness(found: Counts) -> Share:
    return Share(min(found.usable, found.expected), found.expected)


def validity(found: Counts) -> Share:
    return Share(found.usable, found.usable + found.rejected)


def consistency(found: Counts) -> Share:
    return Share(found.usable - found.doubted, found.usable)


def timeliness(found: Counts) -> Share:
    return Share(found.usable - found.late, found.usable)


def _formula(name: str, share: Callable[[Counts], Share]) -> Formula:
    def compute(span: Span, given: Given, _: Params) -> Result:
        tracks = [track for track in given.all("value") if track.signal.kind is not Kind.EVENT]
        counts = [count(track, span) for track in tracks]
        shares = [share(found) for found in counts]
        parts = Parts(sum(min(c.usable, c.expected) for c in counts), max(1, sum(c.expected for c in counts)))
        return _result(tracks, shares, parts, [track.over(span) for track in tracks])

    return Formula(f"dq_{name}", compute, {"value": Role(many=True)})


def _result(tracks: Sequence[Track], shares: Sequence[Share], parts: Parts, windows: Sequence[Indicator]) -> Result:
    """Good whatever it says: how bad the data are is known for certain. Missing where nothing came to be judged."""
    known = [(t.signal.id, s) for t, s in zip(tracks, shares, strict=True) if s.denominator]
    if not known:
        return Result.missing(*windows, signals=0, of_signals=len(tracks))
    if len(tracks) == 1:
        share = known[0][1]
        detail = {"numerator": share.numerator, "denominator": share.denominator}
        return Result(100 * share.numerator / share.denominator, parts=parts, detail=detail)
    rates = sorted((s.numerator / s.denominator, signal) for signal, s in known)
    total = sum(rate for rate, _ in rates)
    worst = {signal: 100 * rate for rate, signal in rates[:_WORST] if rate < 1}
    return Result(
        100 * total / len(rates),
        parts=parts,
        detail={
            "numerator": total,
            "denominator": len(rates),
            "signals": len(rates),
            "of_signals": len(tracks),
            "worst": worst,
        },
    )


FORMULAS: Final = (
    _formula("completeness", completeness),
    _formula("validity", validity),
    _formula("consistency", consistency),
    _formula("timeliness", timeliness),
)
