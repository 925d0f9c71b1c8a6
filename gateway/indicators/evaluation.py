"""Where values meet their thresholds: single readings at once, derived indicators as their periods end.

What comes of it (records, alarms, violations, and what to keep for the next start) belongs into one commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.indicators.alarms import Alarms
from gateway.indicators.engine import Computed, Engine
from gateway.indicators.thresholds import is_too_little, last_ms
from gateway.indicators.violations import Violations
from gateway.model.alarm import Alarm
from gateway.model.clock import Clock
from gateway.model.indicator import Indicator
from gateway.model.limit import Threshold
from gateway.model.measure import Quality, Reading, Signal
from gateway.model.ports import Keepsakes
from gateway.model.violation import Violation

KEEPSAKE = "violations"
AFTER_MS = 60_000
"""So long after an event its last values have been computed."""


@dataclass(slots=True)
class Said:
    """What one turn brings, to be stored together. `again`: indicators that were said before; values came late.
    `keep`: keepsakes by name. Alarms have a keepsake of their own."""

    indicators: list[Indicator] = field(default_factory=list)
    again: list[Indicator] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    keep: dict[str, dict[str, Any]] = field(default_factory=dict)


class Evaluation:
    """`single`: thresholds on single readings, by signal id; `signals`: everything that is measured."""

    def __init__(
        self, engine: Engine, signals: Sequence[Signal], single: Mapping[str, Sequence[Threshold]], site: str,
        clock: Clock,
    ) -> None:  # fmt: skip
        self.engine = engine
        self._clock = clock
        self.watched = frozenset(single)
        derived = [one for one in engine.derived if one.thresholds]
        by_id = {signal.id: signal for signal in (*signals, *(one.signal for one in derived))}
        self.alarms = Alarms({**single, **{one.signal.id: one.thresholds for one in derived}}, by_id)
        self.violations = Violations(derived, site)
        self._ends = {one.signal.id: one.active.end_ms for one in derived if one.active is not None}
        self._inputs = {one.signal.id: [signal.id for signal in one.signals] for one in derived}

    async def restore(self, keepsakes: Keepsakes) -> Said:
        """Goes on from what the last start kept; to be called once, before anything else. From now on what falls due is
        made up for, also if the first period has not ended yet. Alarms are restored by whoever says what follows from
        it."""
        self.engine.restore(await keepsakes.recall(self.engine.NAME))
        withdrawn = self.violations.restore(await keepsakes.recall(KEEPSAKE) or {})
        kept = {KEEPSAKE: self.violations.state()} if withdrawn else {}
        return Said(violations=withdrawn, keep=self._kept() | kept)

    @property
    def hot(self) -> frozenset[str]:
        """Ids of measured signals that an alarm is about, open or about to be: these report faster."""
        return frozenset(name for hot in self.alarms.hot() for name in self._inputs.get(hot, (hot,)))

    def look(self, readings: Iterable[Reading]) -> list[Alarm]:
        """Judged readings of watched signals, as they came."""
        return [said for one in readings for said in self.alarms.look(one.signal, _number(one), one.at_ms)]

    def take(self, windows: Iterable[Indicator]) -> dict[str, dict[str, Any]]:
        """Windows that are about to be stored: what came late is computed again later. Returns what to keep."""
        return self._kept() if self.engine.take(windows) else {}

    def say(self, computed: Computed) -> Said:
        """What follows from what was computed. It counts as said from now on."""
        said = Said()
        for derived, indicator, again in self.engine.settle(computed):
            if derived.published:
                (said.again if again else said.indicators).append(indicator)
            if not derived.thresholds:
                continue
            said.violations += self.violations.look(derived, indicator)
            if not again:  # an alarm is about now
                value = _of_derived(indicator, derived.thresholds)
                said.alarms += self.alarms.look(derived.signal.id, value, indicator.end_ms, of_ms=last_ms(indicator))
        if computed.found or computed.late:
            said.keep = self._kept()
        if self.violations.changed:
            said.keep[KEEPSAKE] = self.violations.state()
        return said

    def after_events(self) -> Said | None:
        """The ends of alarms and violations whose event is over: nothing will be computed any more that would end them.
        None where there are none."""
        until_ms = self._clock.now_ms() - AFTER_MS
        over = {name: end_ms for name, end_ms in self._ends.items() if end_ms < until_ms}
        alarming = {alarm.signal for alarm in self.alarms.open()} & over.keys()
        said = Said(
            alarms=[message for name in sorted(alarming) for message in self.alarms.look(name, None, over[name])],
            violations=self.violations.cease(over),
        )
        if said.violations:
            said.keep[KEEPSAKE] = self.violations.state()
        return said if said.alarms or said.violations else None

    def _kept(self) -> dict[str, dict[str, Any]]:
        return {self.engine.NAME: self.engine.state()}

    def acknowledge(self, violation: str, by: str, remarks: str) -> Said:
        """A person has seen a violation. Raises NoSuchViolation."""
        found = self.violations.acknowledge(violation, by, self._clock.now_ms(), remarks)
        return Said(violations=found, keep={KEEPSAKE: self.violations.state()})


def _number(found: Reading | Indicator) -> float | None:
    """The value an alarm may be raised on."""
    value = found.value
    if value is None or isinstance(value, str) or found.quality is Quality.BAD:
        return None
    return float(value)


def _of_derived(indicator: Indicator, thresholds: Iterable[Threshold]) -> float | None:
    """The same of a derived value. One of too few readings is unknown, as its verdict is; but a sum that is beyond a
    limit already is at least so much."""
    return None if all(is_too_little(one.limit, indicator) for one in thresholds) else _number(indicator)
