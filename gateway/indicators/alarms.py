"""Alarms: raised once it holds, cleared once it is over, one id in between, whatever restarts and gaps there are."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from math import isfinite
from typing import Any

from gateway.indicators.alarm_course import Course
from gateway.indicators.alarm_texts import Ending, Text, over
from gateway.model.alarm import Alarm, AlarmState
from gateway.model.errors import BadArgument
from gateway.model.limit import Threshold
from gateway.model.measure import Signal

log = logging.getLogger("indicators")

VERSION = 1


class Alarms:
    """All rules of a site. `thresholds` by signal id; those that raise no alarm are left out. Not to be given values
    that were replayed, nor those of calibration or outside the instrument's range."""

    def __init__(self, thresholds: Mapping[str, Sequence[Threshold]], signals: Mapping[str, Signal]) -> None:
        self._courses = {
            name: [Course(threshold, signals[name]) for threshold in its if threshold.alarm and threshold.levels]
            for name, its in thresholds.items()
        }
        self._hot: set[str] = set()

    def look(
        self, signal_id: str, value: float | None, at_ms: int, *, unknown: bool = False, of_ms: int | None = None
    ) -> list[Alarm]:
        """The messages that follow from one value, in ms UTC of its own. None, not a number, or `unknown`: nobody
        knows, which raises nothing and clears nothing. `of_ms`: when a rule must be in force to judge it, if not at
        `at_ms`: a mean ends where the next rule begins."""
        courses = self._courses.get(signal_id)
        if not courses:
            return []
        if unknown or (value is not None and not isfinite(value)):
            value = None
        said = [message for course in courses if (message := course.look(value, at_ms, of_ms))]
        self._warm(signal_id)
        return said

    def acknowledge(self, alarm_id: str, by: str, at_ms: int) -> list[Alarm]:
        """A person has seen it: one message, or none where somebody had before. It stays open until the value is back,
        and asks anew when it becomes worse. Raises BadArgument for an id that is not open."""
        for course in self._all():
            if course.alarm is not None and course.alarm.id == alarm_id:
                message = course.acknowledge(by, at_ms)
                return [message] if message else []
        ids = [alarm.id for alarm in self.open()]
        hint = f"open are {', '.join(ids[-5:])}" if ids else "none is open"
        raise BadArgument(f"no open alarm {alarm_id!r}", where="alarm.ack", hint=hint)

    def open(self) -> list[Alarm]:
        """Those that are open, as they are now, oldest first."""
        return sorted((course.alarm for course in self._all() if course.alarm), key=lambda alarm: alarm.id)

    def hot(self) -> frozenset[str]:
        """Ids of signals with an alarm that is open or about to be: these report faster."""
        return frozenset(self._hot)

    def state(self) -> dict[str, Any]:
        """Plain JSON for `restore`. Small: only rules that are open, about to be, or fell within the last hour."""
        return {"v": VERSION, "rules": [kept for course in self._all() if (kept := course.state())]}

    def restore(self, state: Mapping[str, Any], at_ms: int) -> list[Alarm]:
        """Goes on from what `state` said; to be called before the first `look`. An open alarm is not said again; what
        is returned are the ends of those whose rule is not there any more. What cannot be read is left out."""
        said = []
        rules = state.get("rules")
        for kept in rules if isinstance(rules, list) else ():
            try:
                message = self._take_back(kept, at_ms)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                log.warning("what was kept of an alarm cannot be read, it is left out: %r", error)
                continue
            if message is not None:
                said.append(message)
        return said

    def _take_back(self, kept: Mapping[str, Any], at_ms: int) -> Alarm | None:
        name = kept["signal"]
        for course in self._courses.get(name, ()):
            if course.threshold.id == kept["rule"]:
                course.restore(kept)
                self._warm(name)
                return None
        if not kept.get("alarm"):
            return None
        alarm = Alarm.of(kept["alarm"])
        text = over(Ending.REMOVED, Text(alarm.text_en, alarm.text_vi))
        ended_ms = max(at_ms, alarm.at_ms)
        return replace(
            alarm, state=AlarmState.CLEARED, at_ms=ended_ms, cleared_ms=ended_ms, text_en=text.en, text_vi=text.vi
        )

    def _all(self) -> chain[Course]:
        return chain.from_iterable(self._courses.values())

    def _warm(self, name: str) -> None:
        if any(course.is_hot for course in self._courses[name]):
            self._hot.add(name)
        else:
            self._hot.discard(name)
