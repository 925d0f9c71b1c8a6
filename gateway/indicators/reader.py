"""Which committed windows a formula gets to see: of each signal the shortest it needs and the longest that will do."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gateway.indicators.formula import Formula, Track
from gateway.indicators.periods import DAY_S, Period, Span
from gateway.model.clock import Clock
from gateway.model.indicator import Indicator
from gateway.model.measure import Signal
from gateway.model.ports import History

TIERS_S: Final = (300, 3600)
"""The lengths that the history folds shorter windows to."""
_MARGIN_MS: Final = 3_600_000


class Need(NamedTuple):
    """One formula's view of one span."""

    signals: Sequence[Signal]
    formula: Formula
    period: Period
    span: Span

    @property
    def start_ms(self) -> int:
        return self.span.start_ms - self.formula.back_s * 1000

    @property
    def grain_s(self) -> int:
        """The length of windows that will do: what only folds may fold from what is folded already, where no boundary
        cuts into it."""
        if self.formula.grain_s:
            fitting = [s for s in TIERS_S if s <= self.formula.grain_s and self.period.every_s % s == 0]
            return fitting[-1] if fitting else 60
        aligned = [s for s in TIERS_S if self.period.every_s % s == 0 and self.period.length_s >= 12 * s]
        return aligned[-1] if aligned else 60


class Reader:
    """Base windows are kept `base_hours`, those of five minutes `five_minutes_days`: what is older is read from longer
    ones."""

    def __init__(self, history: History, clock: Clock, base_hours: float, five_minutes_days: float) -> None:
        self._history = history
        self._clock = clock
        self._base_ms = round(base_hours * 3_600_000)
        self._five_ms = round(five_minutes_days * DAY_S * 1000)

    async def ready(self) -> None:
        """Has the history fold what is over by now."""
        await self._history.roll()

    async def read(self, needs: Sequence[Need]) -> Mapping[tuple[int, str], Track]:
        """A track for each need (by its place in the list) and signal. One reading of the history for each length."""
        wanted: dict[int, tuple[int, int, set[str]]] = {}
        lengths: dict[tuple[int, str], int] = {}
        for number, need in enumerate(needs):
            for signal in need.signals:
                length_s = lengths[number, signal.id] = self._length(signal, need)
                start_ms, end_ms, ids = wanted.get(length_s, (need.start_ms, need.span.end_ms, set()))
                ids.add(signal.id)
                wanted[length_s] = min(start_ms, need.start_ms), max(end_ms, need.span.end_ms), ids
        rows = {
            length_s: await self._history.windows(start_ms, end_ms, span_s=length_s, signals=ids)
            for length_s, (start_ms, end_ms, ids) in wanted.items()
        }
        return await asyncio.to_thread(_tracks, needs, lengths, rows)  # of a day they are many

    def _length(self, signal: Signal, need: Need) -> int:
        """The length of windows to read for a signal."""
        age_ms = self._clock.now_ms() - need.start_ms + _MARGIN_MS
        grain_s = need.grain_s
        if age_ms > self._base_ms:
            grain_s = max(grain_s, TIERS_S[0])
        if age_ms > self._five_ms:
            grain_s = max(grain_s, TIERS_S[1])
        fitting = [s for s in TIERS_S if signal.window_s < s <= grain_s and s % signal.window_s == 0]
        return fitting[-1] if fitting else signal.window_s


def _tracks(
    needs: Sequence[Need], lengths: Mapping[tuple[int, str], int], rows: Mapping[int, Iterable[Indicator]]
) -> dict[tuple[int, str], Track]:
    """`rows` by their length, in the order of their ends."""
    by_signal: dict[tuple[str, int], list[Indicator]] = {}
    for length_s, windows in rows.items():
        for window in windows:
            by_signal.setdefault((window.signal.id, length_s), []).append(window)
    return {
        (number, signal.id): Track(signal, _visible(by_signal.get((signal.id, lengths[number, signal.id]), []), need))
        for number, need in enumerate(needs)
        for signal in need.signals
    }


def _visible(rows: Sequence[Indicator], need: Need) -> list[Indicator]:
    first = bisect_right(rows, need.start_ms, key=_end_ms)
    last = bisect_right(rows, need.span.end_ms, key=_end_ms)
    return [window for window in rows[first:last] if (window.start_ms or 0) >= need.start_ms]


def _end_ms(window: Indicator) -> int:
    return window.end_ms
