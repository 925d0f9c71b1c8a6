"""From readings to indicators: judge each, fold it into its window, close windows when their time has come.

No I/O and no waiting: a driver's task calls `accept`, a ticker calls `close`. Memory is one small state a signal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.model.clock import Clock
from gateway.model.indicator import Indicator
from gateway.model.measure import Forward, Kind, Reading, Reason, Signal
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

    def __init__(self, signals: Iterable[Signal], clock: Clock, watched: Collection[str] = ()) -> None:
        """`watched`: ids of signals whose judged readings `seen` gives."""
        self._clock = clock
        self._watched = frozenset(watched)
        self._seen: list[Reading] = []
        start_ms = clock.now_ms()
        self._states = {signal.id: _State(signal, Window(signal, start_ms)) for signal in signals}
        self.accepted = 0

    def resume(self, last: Mapping[str, float]) -> None:
        """At a start, before the first reading: what each counter (Kind.DELTA) showed when it was last stored, by
        signal id. What it grew while nobody was there is then in its first window, as across any gap; of a counter that
        was reset or replaced meanwhile that is what it shows, and one replaced by a higher one cannot be told."""
        for signal, number in last.items():
            state = self._states.get(signal)
            if state is not None and state.signal.kind is Kind.DELTA and state.window.last is None:
                state.window.base = number

    def accept(self, batch: Sequence[Reading]) -> list[Indicator]:
        """Judges and folds a batch. Returns what is to be stored now: single readings of signals that forward every
        one, windows that a reading from after their end has closed, and what came late.

        A reading from before the open window is late: its window is closed and gone, so it is a record of its own that
        says `replayed`. Where only readings are forwarded, that is also a reading from before the latest one. For the
        history the late ones of a batch are windows too, of the full length, that say `replayed` and are not forwarded:
        they add to what is there of that time. Late readings of a counter give none: what it grew is taken across the
        gap by the next reading. Every signal has windows: see `Indicator.forwarded`."""
        out: list[Indicator] = []
        late: dict[tuple[str, int], Window] = {}
        synced = self._clock.synced()
        now_ms = self._clock.now_ms()
        self.accepted += len(batch)
        for raw in batch:
            state = self._states[raw.signal]
            if _is_late(raw, state, now_ms):
                out.append(_single(state.signal, self._take_late(raw, state, late), synced=synced))
                continue
            behind = _is_behind(raw, state, now_ms)
            # What came before in time is not known where it is not the latest: it is judged by its range alone.
            reading = judge(raw, state.signal.rule, Memory() if behind else state.memory)
            if not behind:
                state.latest = reading
                if raw.signal in self._watched:
                    self._seen.append(reading)
            if state.signal.forward in (Forward.EVERY, Forward.BOTH):
                out.append(_single(state.signal, reading, synced=synced))
            if reading.at_ms >= state.window.end_ms:
                out.append(self._turn(state, state.window, reading.at_ms, synced))
            state.window.add(reading, late=behind)
        closed = (window.close(synced=synced) for window in late.values())
        return out + [window for window in closed if window.parts is not None and window.parts.n]

    def seen(self) -> list[Reading]:
        """Judged readings of watched signals that came since it was last asked, without those that came late."""
        seen, self._seen = self._seen, []
        return seen

    @staticmethod
    def _take_late(raw: Reading, state: _State, late: dict[tuple[str, int], Window]) -> Reading:
        """The reading as it is sent; it is put into the window of its time: the open one, or one that is made anew."""
        signal, length_ms = state.signal, state.signal.window_s * 1000
        reading = judge(replace(raw, reasons=(*raw.reasons, Reason.REPLAYED)), signal.rule, Memory())
        if raw.at_ms >= state.window.start_ms:
            state.window.add(judge(raw, signal.rule, Memory()), late=True)
        elif signal.kind is not Kind.DELTA:
            start_ms = raw.at_ms - raw.at_ms % length_ms
            late.setdefault((signal.id, start_ms), Window(signal, start_ms)).add(reading, late=True)
        return reading

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


def _is_behind(reading: Reading, state: _State, now_ms: int) -> bool:
    """From before the latest reading, and brought late: a clock that was set back stamps what is new."""
    return state.latest is not None and reading.at_ms < min(state.latest.at_ms, now_ms - UNDER_WAY_MS)


def _single(signal: Signal, reading: Reading, *, synced: bool) -> Indicator:
    reasons = reading.reasons if synced else (*reading.reasons, Reason.CLOCK_UNSYNCED)
    return Indicator(signal, None, reading.at_ms, reading.value, reading.quality, reasons, None)
