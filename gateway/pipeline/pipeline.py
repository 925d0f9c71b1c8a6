"""From readings to indicators: judge each, fold it into its window, close windows when their time has come.

No I/O and no waiting: a driver's task calls `accept`, a ticker calls `close`. Memory is one small state a signal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from gateway.model.clock import Clock
from gateway.model.indicator import Indicator
from gateway.model.measure import Forward, Reading, Reason, Signal
from gateway.pipeline.judge import Memory, aged, judge
from gateway.pipeline.windows import Window

UNDER_WAY_MS = 5_000
"""An answer may be so long on its way from its device to here: with the others of its turn, behind a busy loop. One
that is older was brought late, from a file or a logger's memory."""


@dataclass(slots=True)
class _State:
    signal: Signal
    window: Window
    memory: Memory = field(default_factory=Memory)
    latest: Reading | None = None


class Pipeline:
    """Knows its signals from the start; a reading of an unknown signal is a KeyError, because it is a bug."""

    def __init__(self, signals: Iterable[Signal], clock: Clock) -> None:
        self._clock = clock
        start_ms = clock.now_ms()
        self._states = {signal.id: _State(signal, Window(signal, start_ms)) for signal in signals}
        self._ready: list[Indicator] = []
        self.accepted = 0

    def accept(self, batch: Sequence[Reading]) -> list[Indicator]:
        """Judges and folds a batch. Returns what is to be stored now: single readings of signals that forward every
        one, windows that a reading from after their end has closed, and readings from before the open window: theirs
        is closed and gone, so each is a record of its own that says `replayed`. Where only readings are forwarded,
        that is also a reading from before the latest one. Every signal has windows: see `Indicator.forwarded`."""
        out: list[Indicator] = []
        synced = self._clock.synced()
        now_ms = self._clock.now_ms()
        self.accepted += len(batch)
        for raw in batch:
            state = self._states[raw.signal]
            if _is_late(raw, state, now_ms):
                late = replace(raw, reasons=(*raw.reasons, Reason.REPLAYED))
                # What came before in time is not known here: it is judged by its range alone.
                out.append(_single(state.signal, judge(late, state.signal.rule, Memory()), synced=synced))
                continue
            reading = judge(raw, state.signal.rule, state.memory)
            state.latest = reading
            if state.signal.forward is not Forward.WINDOWS:
                out.append(_single(state.signal, reading, synced=synced))
            if reading.at_ms >= state.window.end_ms:
                out.append(self._turn(state, state.window, reading.at_ms, synced))
            state.window.add(reading)
        return out

    def close(self, now_ms: int) -> list[Indicator]:
        """Closes every window whose end has passed, or whose end the clock was set back too far from to wait for."""
        synced = self._clock.synced()
        closed = [
            self._turn(state, state.window, now_ms, synced)
            for state in self._states.values()
            if state.window.end_ms <= now_ms
        ]
        for state in self._states.values():
            if now_ms < state.window.start_ms - state.signal.window_s * 1000:
                closed.append(state.window.close(synced=synced))
                state.window = Window(state.signal, now_ms, state.window.last)
        return closed

    def close_all(self, now_ms: int) -> list[Indicator]:
        """Closes every open window as it is, at a stop. They say `partial`; the next start goes on from there."""
        synced = self._clock.synced()
        closed = self.close(now_ms)
        for state in self._states.values():
            if state.window.start_ms < now_ms:
                closed.append(state.window.close(now_ms, synced=synced))
                state.window = Window(state.signal, now_ms, state.window.last)
        return closed

    def next_close_ms(self) -> int | None:
        """When the next window ends; None when there is none."""
        return min((state.window.end_ms for state in self._states.values()), default=None)

    def latest(self, now_ms: int) -> dict[str, Reading]:
        """The latest judged reading of each signal that ever gave one, stale if nothing followed it."""
        return {
            signal: aged(state.latest, state.signal.every_s, now_ms)
            for signal, state in self._states.items()
            if state.latest is not None
        }

    @staticmethod
    def _turn(state: _State, window: Window, now_ms: int, synced: bool) -> Indicator:
        length_ms = window.signal.window_s * 1000
        # A clock that jumped ahead leaves the windows between unborn: nothing was measured in them.
        start_ms = max(window.end_ms, now_ms - now_ms % length_ms)
        state.window = Window(state.signal, start_ms, window.last)
        return window.close(synced=synced)


def _is_late(reading: Reading, state: _State, now_ms: int) -> bool:
    """From before the open window or the latest reading, and not because our own clock was set back."""
    start_ms = state.window.start_ms
    if state.signal.forward is Forward.EVERY and state.latest is not None:
        start_ms = max(start_ms, state.latest.at_ms)
    return reading.at_ms < start_ms - UNDER_WAY_MS and now_ms >= start_ms


def _single(signal: Signal, reading: Reading, *, synced: bool) -> Indicator:
    reasons = reading.reasons if synced else (*reading.reasons, Reason.CLOCK_UNSYNCED)
    return Indicator(signal, None, reading.at_ms, reading.value, reading.quality, reasons, None)
