"""What windows say of being on or off: lamps, contacts, branches. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from gateway.indicators.formula import Track
from gateway.indicators.periods import Span

JOINED_MS = 120_000
"""So much may be missing between two stretches for a change between them to have a time."""


class Stretch(NamedTuple):
    """A time in which something was on for a share (0 to 1) of it."""

    start_ms: int
    end_ms: int
    share: float

    @property
    def on_s(self) -> float:
        return (self.end_ms - self.start_ms) / 1000 * self.share

    @property
    def length_s(self) -> float:
        return (self.end_ms - self.start_ms) / 1000


def stretches(track: Track, span: Span) -> list[Stretch]:
    """The windows of a contact (0 and 1) or of a level (0: off) in the span that have readings, in order. What came
    late is weighed in by its readings."""
    seen: dict[tuple[int, int], tuple[float, int]] = {}
    for window in track.within(span):
        parts = window.parts
        if parts is None or parts.low is None or parts.high is None or parts.total is None:
            continue
        if parts.high <= 0 or parts.low > 0:
            share = float(parts.high > 0)
        else:
            share = (parts.total / parts.n - parts.low) / (parts.high - parts.low)
        key = window.start_ms or 0, window.end_ms
        before, n = seen.get(key, (0.0, 0))
        seen[key] = before + share * parts.n, n + parts.n
    return [Stretch(*key, total / n) for key, (total, n) in sorted(seen.items())]


def clipped(of: Sequence[Stretch], spans: Iterable[Span]) -> list[Stretch]:
    """What of the stretches lies in these spans."""
    return [
        Stretch(max(s.start_ms, span.start_ms), min(s.end_ms, span.end_ms), s.share)
        for span in spans
        for s in of
        if s.start_ms < span.end_ms and span.start_ms < s.end_ms
    ]


def together(branches: Sequence[Sequence[Stretch]], pick: Callable[[Iterable[float]], float]) -> list[Stretch]:
    """Several as one: with `max` on while one of them is, with `min` while all are; only where something is known."""
    edges = sorted({edge for branch in branches for s in branch for edge in (s.start_ms, s.end_ms)})
    at = [0] * len(branches)
    found: list[Stretch] = []
    for start_ms, end_ms in pairwise(edges):
        shares: list[float] = []
        for number, branch in enumerate(branches):
            while at[number] < len(branch) and branch[at[number]].end_ms <= start_ms:
                at[number] += 1
            if at[number] < len(branch) and branch[at[number]].start_ms <= start_ms:
                shares.append(branch[at[number]].share)
        if shares:
            found.append(Stretch(start_ms, end_ms, pick(shares)))
    return found


def on_s(of: Iterable[Stretch]) -> float:
    return sum(s.on_s for s in of)


def known_s(of: Iterable[Stretch]) -> float:
    return sum(s.length_s for s in of)


def runs(of: Sequence[Stretch]) -> list[Stretch]:
    """Alternately on and off, each as long as it lasted; across a gap nothing is joined. Within a mixed stretch the
    change is put where its share says."""
    found: list[Stretch] = []
    for s in of:
        if s.share in (0.0, 1.0):
            pieces = [s]
        else:
            was_on = bool(found) and found[-1].share == 1.0
            first_s = s.on_s if was_on else s.length_s - s.on_s
            middle = s.start_ms + round(first_s * 1000)
            pieces = [Stretch(s.start_ms, middle, float(was_on)), Stretch(middle, s.end_ms, float(not was_on))]
        for piece in pieces:
            last = found[-1] if found else None
            if last and last.share == piece.share and piece.start_ms - last.end_ms <= JOINED_MS:
                found[-1] = Stretch(last.start_ms, piece.end_ms, last.share)
            else:
                found.append(piece)
    return found


def switched(of: Sequence[Stretch], *, on: bool) -> list[int]:
    """The moments (ms UTC) at which runs say that it went on, or off."""
    return [
        later.start_ms
        for earlier, later in pairwise(of)
        if earlier.share != later.share and bool(later.share) is on and later.start_ms - earlier.end_ms <= JOINED_MS
    ]
