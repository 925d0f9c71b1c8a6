"""When a device that speaks by itself is believed, and when it is missed. Pure: no wire, time is passed in.

Every signal has its own turns. A value begins the next one; the signal is missing when none has come 1.5 periods
later, and then once a period. What comes too soon after a value does not count (`rest_s`), but a true/false or text
that changed always does: a door does not wait for its turn. After a missing reading whatever comes counts.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.watch import Watch
from gateway.model.errors import BadFrame, DriverError
from gateway.model.measure import Reading, Reason, Value

EARLY: Final = 0.9
LATE: Final = 1.5
"""Periods after which the next value counts, and after which it is missing."""


class Spoilt(BadFrame):
    """Something began like one of the device's own and then did not fit. `points`: what it would have carried."""

    def __init__(self, points: Sequence[str], what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.points = points


@dataclass(slots=True)
class _Turn:
    """opens: from when a value counts. ends: when it is missing. spoilt: rubbish came. said: its last value."""

    opens: float
    ends: float
    spoilt: bool = False
    said: Value | None = None


class Turns:
    """The turns of one device. Times are seconds of the monotonic clock unless they say ms."""

    def __init__(
        self, signals: Iterable[str], every_s: float, watch: Watch, now: float, *, rest_s: float | None = None
    ) -> None:
        self._every_s = every_s
        self._rest_s = EARLY * every_s if rest_s is None else min(rest_s, EARLY * every_s)
        self._watch = watch
        self._turns = {signal: _Turn(now, now + LATE * every_s) for signal in signals}
        self._heard = now - every_s

    @property
    def ends(self) -> float:
        """When the next signal will be missing."""
        return min(turn.ends for turn in self._turns.values())

    def heard(self, values: Mapping[str, Value | None], now: float, at_ms: int) -> list[Reading]:
        """The readings that count; None stands for what the device itself marks as no value."""
        counted = {signal: value for signal, value in values.items() if self._counts(self._turns[signal], value, now)}
        if counted:
            self._heard = now
            self._watch.answered(now, at_ms, 0.0)
        for signal, value in counted.items():
            turn = self._turns[signal]
            turn.opens, turn.ends, turn.spoilt, turn.said = now + self._rest_s, now + LATE * self._every_s, False, value
        return [reading(signal, value, at_ms) for signal, value in counted.items()]

    def _counts(self, turn: _Turn, value: Value | None, now: float) -> bool:
        return now >= turn.opens or (isinstance(value, bool | str) and value != turn.said)

    def spoil(self, signals: Iterable[str] | None = None) -> None:
        """Rubbish came, for these signals or for nobody knows which. They may still come well in this turn; if not,
        they are missing as a bad frame."""
        for signal in self._turns if signals is None else signals:
            self._turns[signal].spoilt = True

    def over(self, now: float, at_ms: int, silence: DriverError, refused: Container[str] = ()) -> list[Reading]:
        """Missing readings of the signals whose turn has ended: for a bad frame if rubbish came, or else for want of an
        answer. `silence`: what to say of a device that is not heard at all; `refused`: signals we may not hear."""
        late = {signal: turn for signal, turn in self._turns.items() if now >= turn.ends}
        if late and now - self._heard >= self._every_s:  # otherwise it lives, and speaks of something else
            spoilt = any(turn.spoilt for turn in late.values())
            self._watch.failed(now, _RUBBISH if spoilt else silence, 0.0)
        missing = []
        for signal, turn in late.items():
            unheard = Reason.DEVICE_REFUSED if signal in refused else Reason.NO_ANSWER
            missing.append(Reading.missing(signal, at_ms, Reason.BAD_FRAME if turn.spoilt else unheard))
            turn.opens, turn.ends, turn.spoilt = now, now + self._every_s, False
        return missing


_RUBBISH: Final = BadFrame("only rubbish came", hint="check the settings of the wire and what else uses it")


def reading(signal: str, value: Value | None, at_ms: int) -> Reading:
    """One value as a reading; None: the device says that it has none."""
    return Reading.missing(signal, at_ms, Reason.DEVICE_FAULT) if value is None else Reading(signal, at_ms, value)
