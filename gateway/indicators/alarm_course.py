"""One rule at one signal: how long the value has been beyond each level or back, and the alarm that is open.

Time is the values' own. Pure: the same values give the same messages, wherever the state was put away in between.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from gateway.indicators.alarm_texts import Ending, Text, over, said
from gateway.model.alarm import Alarm, AlarmState
from gateway.model.limit import Threshold
from gateway.model.measure import Signal

GAP_PERIODS = 3
"""A hold goes on through so many missing values; more of the silence does not count. Our own proposal."""
LATE_MS = 600_000
"""A value that is older than the last by at most this came late and says nothing; older still: the clock was set."""
CALM_MS = 3_600_000
FALLS = 3
"""A rule that fell so often within CALM_MS flaps: a minute, or `clear_s`, is doubled with each fall from then on, up to
CALM_MS, until it is calm. Our own proposal."""
LEAST_CALM_MS = 60_000
_BEYOND: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.gt, "<": operator.ge, ">=": operator.lt, ">": operator.le,
}  # fmt: skip
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Course:
    """`runs[k]` is of level k + 1, in ms: for levels above the open one how long the value has been beyond, for the
    others how long it has been back; None while it is not."""

    def __init__(self, threshold: Threshold, signal: Signal) -> None:
        self.threshold = threshold
        self.signal = signal
        self.alarm: Alarm | None = None
        self.runs: list[int | None] = [None] * len(threshold.levels)
        self.last_ms: int | None = None
        self.began_ms = 0
        self.peak = (0.0, 0)  # the worst since it began, and when
        self.falls: list[int] = []
        self._is_high_bad = threshold.limit.op in ("<", "<=")
        self._gap_ms = int(GAP_PERIODS * 1000 * max(signal.every_s, threshold.limit.over_s))

    @property
    def is_hot(self) -> bool:
        """Open, or on its way to be."""
        return self.alarm is not None or self.runs[0] is not None

    def look(self, value: float | None, at_ms: int, of_ms: int | None = None) -> Alarm | None:
        """A value, or none, of this moment. The message that follows, if one does. `of_ms`: see `Alarms.look`."""
        self.falls = [fall for fall in self.falls if at_ms - CALM_MS < fall <= at_ms]
        if not self.threshold.confirmed:
            return self.end(at_ms, Ending.UNCONFIRMED)
        if not self.threshold.in_force(at_ms if of_ms is None else of_ms):
            return self.end(at_ms, Ending.EXPIRED)
        if value is None:
            return None
        step_ms = self._step(at_ms)
        if step_ms is None:
            return None
        self._run(value, step_ms)
        self._note(value, at_ms)
        before = self.alarm.level if self.alarm else 0
        level = self._reached(before)
        if level == before:
            return None
        return self._rise(level, value, at_ms) if level > before else self._fall(level, value, at_ms)

    def end(self, at_ms: int, ending: Ending) -> Alarm | None:
        """It is over, whatever the value is."""
        self.runs = [None] * len(self.runs)
        if self.alarm is None:
            return None
        text = over(ending, Text(self.alarm.text_en, self.alarm.text_vi))
        return self._say(AlarmState.CLEARED, at_ms, text, cleared_ms=max(at_ms, self.alarm.at_ms))

    def acknowledge(self, by: str, at_ms: int) -> Alarm | None:
        """A person has seen it. None where somebody had before."""
        if self.alarm is None or self.alarm.acknowledged_ms is not None:
            return None
        text = Text(self.alarm.text_en, self.alarm.text_vi)
        return self._say(AlarmState.ACKNOWLEDGED, at_ms, text, by=by or "?", acknowledged_ms=at_ms)

    # --- the value's way ----------------------------------------------------------------------------------------------

    def _step(self, at_ms: int) -> int | None:
        """How long after the last value this one comes. None for one that comes late."""
        last_ms, step_ms = self.last_ms, 0
        if last_ms is not None:
            step_ms = at_ms - last_ms
            if -LATE_MS <= step_ms <= 0:
                return None
            if step_ms < 0:
                self.runs, step_ms = [None] * len(self.runs), 0
        self.last_ms = at_ms
        return step_ms

    def _run(self, value: float, step_ms: int) -> None:
        open_level = self.alarm.level if self.alarm else 0
        counted_ms = min(step_ms, self._gap_ms)
        for k, level in enumerate(self.threshold.levels):
            run = self.runs[k]
            if k >= open_level:
                self.runs[k] = (0 if run is None else run + counted_ms) if self._is_beyond(value, level) else None
            elif not self._is_back(value, level):
                self.runs[k] = None
            elif run is None:  # back after a silence, in which it may have been back all the time
                self.runs[k] = step_ms if step_ms > self._gap_ms else 0
            else:
                self.runs[k] = run + step_ms

    def _is_beyond(self, value: float, level: float) -> bool:
        return _BEYOND[self.threshold.limit.op](value, level)

    def _is_back(self, value: float, level: float) -> bool:
        room = self.threshold.hysteresis
        return not self._is_beyond(value, level - room if self._is_high_bad else level + room)

    def _note(self, value: float, at_ms: int) -> None:
        """Keeps the worst, and the open alarm as it is now."""
        if self.alarm is None and self.runs[0] is None:
            return
        if self.alarm is None and self.runs[0] == 0:
            self.began_ms, self.peak = at_ms, (value, at_ms)
        elif (value > self.peak[0]) if self._is_high_bad else (value < self.peak[0]):
            self.peak = (value, at_ms)
        if self.alarm is not None:
            now_ms = max(at_ms, self.alarm.at_ms)
            self.alarm = replace(self.alarm, value=value, at_ms=now_ms, peak=self.peak[0], peak_ms=self.peak[1])

    def _reached(self, before: int) -> int:
        """The level that holds now."""
        hold_ms, clear_ms = self.threshold.hold_s * 1000, self._clear_ms()
        for k, run in enumerate(self.runs[:before]):
            if run is not None and run >= clear_ms:
                return k
        held = [k + 1 for k, run in enumerate(self.runs) if k >= before and run is not None and run >= hold_ms]
        return max(held, default=before)

    def _clear_ms(self) -> float:
        clear_ms = self.threshold.clear_s * 1000
        beyond = min(len(self.falls) - FALLS, 10)  # ten doublings of a minute are more than CALM_MS
        if beyond < 0:
            return clear_ms
        return max(clear_ms, min(CALM_MS, max(clear_ms, LEAST_CALM_MS) * 2.0 ** (beyond + 1)))

    # --- what is said -------------------------------------------------------------------------------------------------

    def _rise(self, level: int, value: float, at_ms: int) -> Alarm:
        text = said(self.threshold, self.signal, level, value)
        self.runs[:level] = [None] * level
        if self.alarm is not None:  # worse than what was acknowledged: to be seen anew
            return self._say(AlarmState.LEVEL, at_ms, text, level=level, by="", acknowledged_ms=None)
        self.alarm = Alarm(
            id=_id(self.began_ms, self.signal.id, self.threshold.id),
            rule=self.threshold.id,
            state=AlarmState.RAISED,
            level=level,
            signal=self.signal.id,
            point=self.signal.point,
            indicator=self.signal.indicator,
            at_ms=at_ms,
            opened_ms=self.began_ms,
            value=value,
            peak=self.peak[0],
            peak_ms=self.peak[1],
            text_en=text.en,
            text_vi=text.vi,
            communes=self.threshold.communes,
        )
        return self.alarm

    def _fall(self, level: int, value: float, at_ms: int) -> Alarm | None:
        self.falls.append(at_ms)
        self.runs[level:] = [None] * (len(self.runs) - level)
        if level:
            text = said(self.threshold, self.signal, level, value)
            return self._say(AlarmState.LEVEL, at_ms, text, level=level)
        assert self.alarm is not None  # noqa: S101  # only an open one falls
        text = over(Ending.VALUE, said(self.threshold, self.signal, self.alarm.level, value))
        return self._say(AlarmState.CLEARED, at_ms, text, cleared_ms=max(at_ms, self.alarm.at_ms))

    def _say(self, state: AlarmState, at_ms: int, text: Text, **changes: Any) -> Alarm:
        assert self.alarm is not None  # noqa: S101  # the callers have looked
        now_ms = max(at_ms, self.alarm.at_ms)  # the clock may be set back; an alarm's messages never go back
        alarm = replace(self.alarm, state=state, at_ms=now_ms, text_en=text.en, text_vi=text.vi, **changes)
        self.alarm = None if state is AlarmState.CLEARED else alarm
        return alarm

    # --- between starts -----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any] | None:
        """Plain JSON; None where a course that begins anew would do the same."""
        if not (self.is_hot or self.falls):
            return None
        return {
            "signal": self.signal.id,
            "rule": self.threshold.id,
            "runs": list(self.runs),
            "last_ms": self.last_ms,
            "began_ms": self.began_ms,
            "peak": list(self.peak),
            "falls": list(self.falls),
            "alarm": self.alarm.body() if self.alarm else None,
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Goes on from there. An alarm is worth more than its timers: where those cannot be read, or the levels are
        others now, they begin anew. Raises ValueError when the alarm cannot be read."""
        alarm = Alarm.of(kept["alarm"]) if kept.get("alarm") else None
        if alarm is not None:
            self.alarm = replace(alarm, level=max(1, min(alarm.level, len(self.runs))))
            self.began_ms, self.peak, self.last_ms = alarm.opened_ms, (alarm.peak, alarm.peak_ms), alarm.at_ms
        try:
            runs = [None if run is None else int(run) for run in kept["runs"]]
            peak, peak_ms = kept["peak"]
            timers = (int(kept["last_ms"]), int(kept["began_ms"]), (float(peak), int(peak_ms)))
            falls = [int(fall) for fall in kept["falls"]]
        except (KeyError, TypeError, ValueError):
            return
        self.last_ms, self.began_ms, self.peak = timers
        self.falls = falls
        if len(runs) == len(self.runs):
            self.runs = runs


def _id(opened_ms: int, signal: str, rule: str) -> str:
    """In the order of time as texts too, until the year 5188; short enough to be read out over a telephone."""
    digest = sha256(f"{signal}\n{rule}".encode()).digest()
    return f"{_base36(opened_ms, 9)}-{_base36(int.from_bytes(digest[:4], 'big'), 7)}"


def _base36(number: int, width: int) -> str:
    text = ""
    while number or len(text) < width:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text
