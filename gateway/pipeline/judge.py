"""Judging single readings: range, spike, stuck. Pure; the little it remembers is one small object a signal.

A judged value is kept, never replaced: what is out of range is BAD, what is stuck or jumped is UNCERTAIN, and
the reason travels with it. Staleness is judged where time passes without readings: when a window closes on
nothing at all, and when a person looks (`aged`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from gateway.model.measure import Quality, Reading, Reason, Rule

STALE_AFTER = 3


@dataclass(slots=True)
class Memory:
    """What judging has to remember of one signal. `changed_ms`: when its value last changed."""

    value: float | None = None
    changed_ms: int = 0
    in_step: float | None = None


def judge(reading: Reading, rule: Rule, memory: Memory) -> Reading:
    """The reading with its quality, by the signal's rule and what came before. Updates `memory`.

    Missing readings pass unchanged. Text and booleans have no range and no steps; booleans (contacts) are
    allowed to stay as they are for years.
    """
    value = reading.value
    if value is None or isinstance(value, str | bool):
        return reading
    if not math.isfinite(value):
        return replace(reading, value=None, quality=Quality.MISSING, reasons=(*reading.reasons, Reason.BAD_FRAME))
    low, high = rule.low, rule.high
    if (low is not None and value < low) or (high is not None and value > high):
        return replace(reading, quality=Quality.BAD, reasons=(*reading.reasons, Reason.OUT_OF_RANGE))
    if rule.stuck_s is None and rule.max_step is None:
        return reading
    doubts = _doubts(float(value), reading.at_ms, rule, memory)
    if not doubts:
        return reading
    worst = Quality.BAD if reading.quality is Quality.BAD else Quality.UNCERTAIN
    return replace(reading, quality=worst, reasons=(*reading.reasons, *doubts))


def _doubts(value: float, at_ms: int, rule: Rule, memory: Memory) -> list[Reason]:
    doubts: list[Reason] = []
    if memory.value is None or value != memory.value:
        memory.changed_ms = at_ms
    elif rule.stuck_s is not None and at_ms - memory.changed_ms >= rule.stuck_s * 1000:
        doubts.append(Reason.STUCK)
    if rule.max_step is not None and memory.in_step is not None and abs(value - memory.in_step) > rule.max_step:
        # A jump that stays is a new level: the next reading is compared with this one, not with the old level.
        doubts.append(Reason.SPIKE)
    memory.in_step = value
    memory.value = value
    return doubts


def aged(reading: Reading, every_s: float, now_ms: int) -> Reading:
    """The latest reading as it stands now: a value that should have been followed by three others is STALE."""
    if reading.value is None or now_ms - reading.at_ms <= STALE_AFTER * every_s * 1000:
        return reading
    worst = Quality.BAD if reading.quality is Quality.BAD else Quality.UNCERTAIN
    return replace(reading, quality=worst, reasons=(*reading.reasons, Reason.STALE))
