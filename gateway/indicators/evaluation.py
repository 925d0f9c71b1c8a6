"""Where values meet their thresholds: single readings at once, derived indicators as their periods end.

What comes of it (records, alarms, violations, and what to keep for the next start) belongs into one commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.indicators.alarms import Alarms
from gateway.indicators.engine import Engine
from gateway.indicators.violations import Violations
from gateway.model.alarm import Alarm
from gateway.model.clock import Clock
from gateway.model.indicator import Indicator
from gateway.model.limit import Threshold
from gateway.model.measure import Quality, Reading, Signal
from gateway.model.ports import Keepsakes
from gateway.model.violation import Violation

KEEPSAKE = "violations"


@dataclass(slots=True)
class Said:
    """What one turn brings, to be stored together. `keep`: keepsakes by name. Alarms have a keepsake of their own."""

    indicators: list[Indicator] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    keep: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.indicators or self.alarms or self.violations or self.keep)


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
        self._inputs = {one.signal.id: [signal.id for signal in one.signals] for one in derived}

    async def restore(self, keepsakes: Keepsakes) -> None:
        """Goes on from what the last start kept; to be called once, before anything else. Alarms are restored by
        whoever says what follows from it."""
        self.engine.restore(await keepsakes.recall(self.engine.NAME))
        self.violations.restore(await keepsakes.recall(KEEPSAKE) or {})

    @property
    def hot(self) -> frozenset[str]:
        """Ids of measured signals that an alarm is about, open or about to be: these report faster."""
        return frozenset(name for hot in self.alarms.hot() for name in self._inputs.get(hot, (hot,)))

    def look(self, readings: Iterable[Reading]) -> list[Alarm]:
        """Judged readings of watched signals, as they came."""
        return [said for one in readings for said in self.alarms.look(one.signal, _number(one), one.at_ms)]

    def take(self, windows: Iterable[Indicator]) -> dict[str, dict[str, Any]]:
        """Windows that are about to be stored: what came late is computed again later. Returns what to keep."""
        return self.engine.take(windows)

    async def turn(self) -> Said:
        """Everything that is due."""
        computed = await self.engine.advance()
        said = Said(keep=computed.keep)
        for derived, indicator in computed.found:
            if derived.published:
                said.indicators.append(indicator)
            if not derived.thresholds:
                continue
            said.violations += self.violations.look(derived, indicator)
            if not indicator.revision:  # an alarm is about now
                said.alarms += self.alarms.look(derived.signal.id, _number(indicator), indicator.end_ms)
        if self.violations.changed:
            said.keep[KEEPSAKE] = self.violations.state()
        return said

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
