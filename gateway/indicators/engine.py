"""From committed windows to derived indicators, as their periods end: what is due is computed, and computed again when
values come late.

The only state is how far each one came and which revisions were sent; it is kept in the commit that brings the records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.indicators.formula import Formula, Given, Params, Track
from gateway.indicators.periods import DAY_S, Period, Span
from gateway.indicators.reader import Need, Reader
from gateway.indicators.thresholds import verdict
from gateway.model.clock import Clock
from gateway.model.indicator import Indicator
from gateway.model.limit import Threshold
from gateway.model.measure import Signal

CATCH_UP_MS = 2 * DAY_S * 1000
"""So far back a start makes up for what fell due while the gateway was off; days and nights always find theirs."""
LATE_MS = 7 * DAY_S * 1000
"""Values later than that change no derived indicator any more."""
CALM_S = 30.0
"""So long nothing more must have come late before all that it touches is computed again, or CALM_MOST_S at most."""
CALM_MOST_S = 600.0
SAID_FROM_S = 3600
"""A period as long as this is said to be missing even if the gateway was off all the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """One derived indicator of one place. `thresholds` judge its value; `levels` are those of its first input, for its
    formula. Not `published`: it is only judged. `active`: an event's time; outside it nothing is due."""

    signal: Signal
    formula: Formula
    inputs: Mapping[str, Sequence[Signal]]
    period: Period
    params: Params = field(default_factory=Params)
    thresholds: Sequence[Threshold] = ()
    levels: Sequence[Threshold] = ()
    published: bool = True
    active: Span | None = None

    @property
    def signals(self) -> list[Signal]:
        return [signal for signals in self.inputs.values() for signal in signals]

    def is_active(self, span: Span) -> bool:
        return self.active is None or (span.end_ms > self.active.start_ms and span.start_ms < self.active.end_ms)


@dataclass(slots=True)
class Computed:
    """What one turn brings: (derived, its indicator) in the order of their ends, and what to keep with them."""

    found: list[tuple[Derived, Indicator]] = field(default_factory=list)
    keep: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Late:
    """The time that late values of one signal lie in, and when they came."""

    start_ms: int
    end_ms: int


class Engine:
    """`settle_s`: so long after a period's end its windows are committed."""

    NAME = "indicators"

    def __init__(
        self,
        derived: Sequence[Derived],
        reader: Reader,
        clock: Clock,
        settle_s: float = 15.0,
    ) -> None:
        self.derived = derived
        self._reader = reader
        self._clock = clock
        self._settle_ms = round(settle_s * 1000)
        self._done: dict[str, int] = {}
        self._revisions: dict[str, dict[int, int]] = {}
        self._late: dict[str, _Late] = {}
        self._late_first = self._late_last = 0.0

    def restore(self, kept: Mapping[str, Any] | None) -> None:
        """What the last commit kept; None on the first start. What does not read is as good as none."""
        kept = kept or {}
        now_ms = self._clock.now_ms()
        done, revisions = _whole_numbers(kept.get("done")), kept.get("revisions")
        for derived in self.derived:
            name = derived.signal.id
            oldest = now_ms - max(CATCH_UP_MS, 2 * derived.period.every_s * 1000)
            self._done[name] = max(oldest, min(done.get(name, now_ms), now_ms))
            if isinstance(revisions, dict):
                self._revisions[name] = {int(at): n for at, n in _whole_numbers(revisions.get(name)).items()}
        late = kept.get("late")
        for name, ends in (late if isinstance(late, dict) else {}).items():
            if isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, int) for end in ends):
                self._late[name] = _Late(*ends)

    # --- what came late -------------------------------------------------------------------------------------------

    def take(self, windows: Iterable[Indicator]) -> dict[str, Any]:
        """Looks for late windows among those about to be stored; returns what to keep with them, or nothing."""
        now_ms = self._clock.now_ms()
        found = False
        for window in windows:
            if not window.is_late or window.start_ms is None or window.end_ms < now_ms - LATE_MS:
                continue
            late = self._late.setdefault(window.signal.id, _Late(window.start_ms, window.end_ms))
            late.start_ms = min(late.start_ms, window.start_ms)
            late.end_ms = max(late.end_ms, window.end_ms)
            found = True
        if not found:
            return {}
        self._late_last = self._clock.monotonic()
        self._late_first = self._late_first or self._late_last
        return {self.NAME: self._kept()}

    def _calm(self) -> bool:
        now = self._clock.monotonic()
        return now - self._late_last >= CALM_S or now - self._late_first >= CALM_MOST_S

    # --- what is due ----------------------------------------------------------------------------------------------

    async def advance(self) -> Computed:
        """Everything that is due now. The history is read once for each end of a period."""
        until_ms = self._clock.now_ms() - self._settle_ms
        jobs = self._due(until_ms)
        late = {name: replace(late) for name, late in self._late.items()} if self._calm() else {}
        again = self._touched() if late else []
        if not jobs and not late:
            return Computed()
        await self._reader.ready()
        computed = Computed()
        for end_ms in sorted({span.end_ms for _, span in (*jobs, *again)}):
            for revised, these in ((False, jobs), (True, again)):
                due = [(derived, span) for derived, span in these if span.end_ms == end_ms]
                if due:
                    computed.found += await self._compute(due, revised=revised)
        for name, before in late.items():
            if self._late.get(name) == before:  # nothing more came while this was computed
                del self._late[name]
        self._late_first = self._late_last if self._late else 0.0
        for derived in self.derived:
            self._done[derived.signal.id] = max(self._done[derived.signal.id], derived.period.last_end(until_ms))
        computed.keep = {self.NAME: self._kept()}
        return computed

    def _due(self, until_ms: int) -> list[tuple[Derived, Span]]:
        return [
            (derived, span)
            for derived in self.derived
            for span in derived.period.ended(self._done[derived.signal.id], until_ms)
            if derived.is_active(span)
        ]

    def _touched(self) -> list[tuple[Derived, Span]]:
        """Spans that were computed without the values that came late since."""
        jobs: list[tuple[Derived, Span]] = []
        for derived in self.derived:
            lates = [self._late[signal.id] for signal in derived.signals if signal.id in self._late]
            if not lates or not derived.published:
                continue
            start_ms, end_ms = min(late.start_ms for late in lates), max(late.end_ms for late in lates)
            reach_ms = (derived.period.length_s + derived.formula.back_s) * 1000
            until_ms = min(end_ms + reach_ms - 1, self._done[derived.signal.id])
            jobs += [(derived, s) for s in derived.period.ended(start_ms, until_ms) if derived.is_active(s)]
        return jobs

    async def _compute(self, due: Sequence[tuple[Derived, Span]], *, revised: bool) -> list[tuple[Derived, Indicator]]:
        needs = [Need(derived.signals, derived.formula, derived.period, span) for derived, span in due]
        tracks = await self._reader.read(needs)
        found = await asyncio.to_thread(_indicators, due, tracks)  # a day replayed takes a while
        return [(derived, self._numbered(derived, one) if revised else one) for derived, one in found]

    def _numbered(self, derived: Derived, indicator: Indicator) -> Indicator:
        revisions = self._revisions.setdefault(derived.signal.id, {})
        revisions[indicator.end_ms] = revisions.get(indicator.end_ms, 0) + 1
        oldest = self._clock.now_ms() - 2 * LATE_MS
        for end_ms in [end_ms for end_ms in revisions if end_ms < oldest]:
            del revisions[end_ms]
        return replace(indicator, revision=revisions[indicator.end_ms])

    def _kept(self) -> dict[str, Any]:
        return {
            "done": dict(self._done),
            "revisions": {
                name: {str(at): n for at, n in found.items()} for name, found in self._revisions.items() if found
            },
            "late": {name: [late.start_ms, late.end_ms] for name, late in self._late.items()},
        }


def _whole_numbers(found: Any) -> dict[str, int]:
    """What of a kept mapping reads as it should."""
    return {k: n for k, n in found.items() if isinstance(n, int)} if isinstance(found, dict) else {}


def _indicators(
    due: Sequence[tuple[Derived, Span]], tracks: Mapping[tuple[int, str], Track]
) -> list[tuple[Derived, Indicator]]:
    found = []
    for number, (derived, span) in enumerate(due):
        given = {role: [tracks[number, s.id] for s in signals] for role, signals in derived.inputs.items()}
        if (indicator := _indicator(derived, span, given)) is not None:
            found.append((derived, indicator))
    return found


def _indicator(derived: Derived, span: Span, tracks: Mapping[str, Sequence[Track]]) -> Indicator | None:
    """None where the formula has nothing to say, and for a short span in which nothing was even missing: the gateway
    was off."""
    if span.length_s < SAID_FROM_S and not any(track.within(span) for its in tracks.values() for track in its):
        return None
    levels = [threshold for threshold in derived.levels if threshold.in_force(span.end_ms - 1)]
    result = derived.formula.compute(span, Given(tracks, levels), derived.params)
    if not result.applies:
        return None
    indicator = Indicator(
        derived.signal, span.start_ms, span.end_ms, result.value, result.quality, result.reasons, result.parts,
        detail=result.detail or None,
    )  # fmt: skip
    return replace(indicator, verdict=verdict(derived.thresholds, indicator))
