"""From committed windows to derived indicators, as their periods end: what is due is computed, and computed again when
values come late.

The only state is how far everything is computed, what came late and how often it was said again; it is kept in the
commit that brings the records.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from gateway.indicators.formula import Formula, Given, Params, Result, Track
from gateway.indicators.periods import DAY_S, Period, Span
from gateway.indicators.reader import Need, Reader
from gateway.indicators.revisions import Late, Revisions, Stretch
from gateway.indicators.thresholds import verdict
from gateway.model.clock import Clock
from gateway.model.indicator import Indicator
from gateway.model.limit import Threshold
from gateway.model.measure import Signal

log = logging.getLogger("indicators")

CATCH_UP_MS = 2 * DAY_S * 1000
"""So far back a start makes up for what fell due while the gateway was off; days and nights always find theirs."""
LATE_MS = 7 * DAY_S * 1000
"""Values later than that change no derived indicator any more."""
CALM_S = 30.0
"""So long nothing more must have come late before all that it touches is computed again, or CALM_MOST_S at most."""
CALM_MOST_S = 600.0
BACK_MS = 600_000
"""A clock that was set back by less is waited for; after more, time is counted from where it is now."""
BACK_S = 3600.0
"""So long a clock that is not synchronised must have been back to be believed: without a battery it begins in 1970."""
READ_MS = 3_600_000
"""Periods that end within the same hour are computed from one reading of the history."""
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

    @property
    def is_revised(self) -> bool:
        """Whether anybody is told when values come late: the centre, or the violation journal."""
        return self.published or any(threshold.violation for threshold in self.thresholds)

    def is_active(self, span: Span) -> bool:
        return self.active is None or (span.end_ms > self.active.start_ms and span.start_ms < self.active.end_ms)


class Found(NamedTuple):
    """One derived value. `again`: it was said before, and is said again because values came late."""

    derived: Derived
    indicator: Indicator
    again: bool = False


@dataclass(slots=True)
class Computed:
    """What one turn brings, in the order of the ends; what came late last. None of it counts before it is settled."""

    until_ms: int
    found: list[Found] = field(default_factory=list)
    late: Mapping[str, list[Stretch]] = field(default_factory=dict)


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
        self._until_ms = self._said_ms = clock.now_ms()
        self._back_since: float | None = None
        self._revisions = Revisions()
        self._late = Late()
        self._late_first = self._late_last = 0.0
        self._failed: set[str] = set()

    def restore(self, kept: Mapping[str, Any] | None) -> None:
        """What the last commit kept; None on the first start. What does not read is as good as none."""
        kept = kept or {}
        until_ms, said_ms = kept.get("until"), kept.get("said")
        self._until_ms = until_ms if isinstance(until_ms, int) else self._clock.now_ms()
        self._said_ms = said_ms if isinstance(said_ms, int) else self._until_ms
        self._revisions.restore(kept.get("revisions"))
        self._late.restore(kept.get("late"))

    def state(self) -> dict[str, Any]:
        """Plain JSON for `restore`."""
        return {
            "until": self._until_ms,
            "said": self._said_ms,
            "revisions": self._revisions.state(),
            "late": self._late.state(),
        }

    # --- what came late -------------------------------------------------------------------------------------------

    def take(self, windows: Iterable[Indicator]) -> bool:
        """Looks for late windows among those about to be stored; whether there are any, and `state` has to be kept."""
        now_ms = self._clock.now_ms()
        found = False
        for window in windows:
            if window.is_late and window.start_ms is not None and window.end_ms >= now_ms - LATE_MS:
                self._late.add(window.signal.id, window.start_ms, window.end_ms)
                found = True
        if found:
            self._late_last = self._clock.monotonic()
            self._late_first = self._late_first or self._late_last
        return found

    def _is_calm(self) -> bool:
        now = self._clock.monotonic()
        return now - self._late_last >= CALM_S or now - self._late_first >= CALM_MOST_S

    # --- what is due ----------------------------------------------------------------------------------------------

    def has_work(self) -> bool:
        """Whether `advance` has anything to do. To be asked often: it looks whether the clock was set back."""
        until_ms = self._clock.now_ms() - self._settle_ms
        self._look_back(until_ms)
        return any(True for _ in self._due(until_ms)) or (bool(self._late) and self._is_calm())

    async def advance(self) -> Computed:
        """Everything that is due now, from what is committed. Changes nothing: see `settle`. Raises
        StoreError."""
        until_ms = self._clock.now_ms() - self._settle_ms
        jobs = list(self._due(until_ms))
        late = self._late.seen() if self._late and self._is_calm() else {}
        again = await asyncio.to_thread(self._touched, late) if late else []  # of a week they are many
        computed = Computed(until_ms, late=late)
        if jobs or again:
            await self._reader.ready()
            computed.found += await self._compute(jobs, again=False)
            computed.found += await self._compute(again, again=True)
        return computed

    def settle(self, computed: Computed) -> list[Found]:
        """From now on this counts as said: to be stored in one commit with `state`, nothing being awaited before."""
        found = [self._numbered(one) for one in computed.found]
        self._revisions.forget(self._clock.now_ms() - 2 * LATE_MS)
        self._late.without(computed.late)
        self._late_first = self._late_last if self._late else 0.0
        self._until_ms = max(self._until_ms, computed.until_ms)
        self._said_ms = max(self._said_ms, self._until_ms)
        return found

    def _look_back(self, until_ms: int) -> None:
        """A clock that was far ahead and was set right: what it said of time that only now comes is said again."""
        if until_ms >= self._until_ms - BACK_MS:
            self._back_since = None
            return
        now = self._clock.monotonic()
        self._back_since = now if self._back_since is None else self._back_since
        if self._clock.synced() or now - self._back_since >= BACK_S:
            log.warning("the clock was set back by %d s", (self._until_ms - until_ms) // 1000)
            self._until_ms, self._back_since = until_ms, None

    def _due(self, until_ms: int) -> Iterator[tuple[Derived, Span]]:
        return (
            (derived, span)
            for derived in self.derived
            for span in derived.period.ended(self._since(derived), until_ms)
            if derived.is_active(span)
        )

    def _since(self, derived: Derived) -> int:
        """A clock that was wrong by years would give years to make up for."""
        return max(self._until_ms, self._clock.now_ms() - max(CATCH_UP_MS, 2 * derived.period.every_s * 1000))

    def _touched(self, late: Mapping[str, list[Stretch]]) -> list[tuple[Derived, Span]]:
        """Spans that were computed without the values that came late since. In a thread."""
        jobs: list[tuple[Derived, Span]] = []
        for derived in self.derived:
            if not derived.is_revised:
                continue
            reach_ms = (derived.period.length_s + derived.formula.back_s) * 1000
            spans: dict[Span, None] = {}
            names = dict.fromkeys(signal.id for signal in derived.signals)
            for start_ms, end_ms in (stretch for name in names for stretch in late.get(name, ())):
                until_ms = min(end_ms + reach_ms - 1, self._until_ms)
                spans |= dict.fromkeys(derived.period.ended(start_ms, until_ms))
            jobs += [(derived, span) for span in spans if derived.is_active(span)]
        return jobs

    async def _compute(self, jobs: Iterable[tuple[Derived, Span]], *, again: bool) -> list[Found]:
        hours: dict[int, list[tuple[Derived, Span]]] = {}
        for job in sorted(jobs, key=lambda job: job[1].end_ms):
            hours.setdefault(job[1].end_ms // READ_MS, []).append(job)
        found: list[Found] = []
        for due in hours.values():
            needs = [Need(derived.signals, derived.formula, derived.period, span) for derived, span in due]
            tracks = await self._reader.read(needs)
            indicators = await asyncio.to_thread(self._indicators, due, tracks)  # a day replayed takes a while
            found += [Found(derived, indicator, again) for derived, indicator in indicators]
        return found

    def _numbered(self, one: Found) -> Found:
        if not one.again and one.indicator.end_ms > self._said_ms:
            return one
        step_ms = one.derived.period.every_s * 1000
        number = self._revisions.again(one.derived.signal.id, one.indicator.end_ms, step_ms)
        return one._replace(indicator=replace(one.indicator, revision=number))

    # --- in a thread ----------------------------------------------------------------------------------------------

    def _indicators(
        self, due: Sequence[tuple[Derived, Span]], tracks: Mapping[tuple[int, str], Track]
    ) -> list[tuple[Derived, Indicator]]:
        found = []
        for number, (derived, span) in enumerate(due):
            given = {role: [tracks[number, s.id] for s in signals] for role, signals in derived.inputs.items()}
            if (indicator := self._indicator(derived, span, given)) is not None:
                found.append((derived, indicator))
        return found

    def _indicator(self, derived: Derived, span: Span, tracks: Mapping[str, Sequence[Track]]) -> Indicator | None:
        """None where the formula has nothing to say, and for a short span in which nothing was even missing: the
        gateway was off."""
        if span.length_s < SAID_FROM_S and not any(_was_on(track, span) for its in tracks.values() for track in its):
            return None
        levels = [threshold for threshold in derived.levels if threshold.in_force(span.end_ms - 1)]
        result = self._result(derived, span, Given(tracks, levels))
        if not result.applies:
            return None
        indicator = Indicator(
            derived.signal, span.start_ms, span.end_ms, result.value, result.quality, result.reasons, result.parts,
            detail=result.detail or None,
        )  # fmt: skip
        return replace(indicator, verdict=verdict(derived.thresholds, indicator))

    def _result(self, derived: Derived, span: Span, given: Given) -> Result:
        """A formula that fails is a bug. It must not take all others with it, nor fail again at every start: its value
        is missing, and says so."""
        try:
            result = derived.formula.compute(span, given, derived.params)
            json.dumps([result.value, dict(result.detail)])  # or the record could not be written
        except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            if derived.signal.id not in self._failed:
                self._failed.add(derived.signal.id)
                log.exception("%s cannot be computed: its formula %s failed", derived.signal.id, derived.formula.name)
            return Result.missing(failed=type(error).__name__)
        return result


def _was_on(track: Track, span: Span) -> bool:
    """Whether a window tells that the gateway was on: one that ends in the span or, of windows that are longer than the
    span, the last that could have ended before."""
    since_ms = min(span.start_ms, span.end_ms - track.signal.window_s * 1000)
    return any(since_ms < window.end_ms <= span.end_ms for window in track.windows)
