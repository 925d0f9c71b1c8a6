"""Base windows: aligned to the clock, folded reading by reading, closed with their parts. Pure.

BAD and MISSING readings are counted as expected and give their reasons, but never enter a value. A value that
is UNCERTAIN enters and makes the window uncertain.
"""

from __future__ import annotations

from gateway.model.folding import expected, growth, is_complete
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Quality, Reading, Reason, Signal, Value


class Window:
    """One open window of one signal, from start_ms to the next multiple of its length (exclusive).

    `base` is the last good value before the window: a counter's growth is taken across gaps and windows.
    """

    __slots__ = (
        "_doubtful", "_first", "_gained", "_high", "_last", "_last_ms", "_low", "_n", "_reasons", "_text", "_total",
        "base", "end_ms", "signal", "start_ms",
    )  # fmt: skip

    def __init__(self, signal: Signal, start_ms: int, base: float | None = None) -> None:
        self.signal = signal
        self.start_ms = start_ms
        length_ms = signal.window_s * 1000
        self.end_ms = start_ms - start_ms % length_ms + length_ms
        self.base = base
        self._n = 0
        self._total = self._low = self._high = self._gained = 0.0
        self._first: float | None = None
        self._last: float | None = None
        self._last_ms = 0
        self._text: Value | None = None
        self._doubtful = False
        self._reasons: dict[Reason, None] = {}

    @property
    def last(self) -> float | None:
        """The latest good number there is, in this window or before it."""
        return self.base if self._last is None else self._last

    def add(self, reading: Reading, *, late: bool = False) -> None:
        """A `late` one, which may be older than those before it, counts in everything but is not the last then; a
        counter's growth over its time is known already."""
        if reading.reasons:
            self._reasons.update(dict.fromkeys(reading.reasons))
        value = reading.value
        if value is None or reading.quality is Quality.BAD:
            return
        if reading.quality is Quality.UNCERTAIN:
            self._doubtful = True
        self._n += 1
        newest = not late or reading.at_ms >= self._last_ms
        if newest:
            self._last_ms = reading.at_ms
        if newest and isinstance(value, str | bool):
            self._text = value
        if not isinstance(value, str):
            self._add_number(float(value), newest=newest)

    def _add_number(self, number: float, *, newest: bool) -> None:
        if self._first is None:
            self._first = self._low = self._high = number
        elif number < self._low:
            self._low = number
        elif number > self._high:
            self._high = number
        self._total += number
        if newest:
            before = self.last
            if before is not None:
                self._gained += growth(before, number, self.signal.rollover)
            self._last = number

    def close(self, end_ms: int | None = None, *, synced: bool = True) -> Indicator:
        """The window as an indicator. `end_ms`: cut short there (a stop); then it says `partial`."""
        end = self.end_ms if end_ms is None else min(end_ms, self.end_ms)
        reasons = dict(self._reasons)
        parts = self._parts(expected(self.signal, self.start_ms, end))
        value = self._value()
        if value is None:
            quality = Quality.MISSING
            reasons = reasons or {Reason.STALE: None}  # nothing came, not even word of a failure
        else:
            cut = end < self.end_ms or not is_complete(parts) or self._base_is_unknown()
            if cut:
                reasons[Reason.PARTIAL] = None
            quality = Quality.UNCERTAIN if cut or self._doubtful else Quality.GOOD
        if not synced:
            reasons[Reason.CLOCK_UNSYNCED] = None
        return Indicator(self.signal, self.start_ms, end, value, quality, tuple(reasons), parts)

    def _base_is_unknown(self) -> bool:
        return self.signal.kind is Kind.DELTA and self.base is None

    def _parts(self, expected_n: int) -> Parts:
        if self._first is None:
            return Parts(self._n, expected_n)
        return Parts(self._n, expected_n, self._total, self._low, self._high, self._first, self._last)

    def _value(self) -> Value | None:
        kind = self.signal.kind
        if kind is Kind.COUNT:
            return self._n
        if self._n == 0:
            return None
        if kind in (Kind.LAST, Kind.EVENT) and self._text is not None:
            return self._text
        if self._first is None:
            return self._text
        numbers = {
            Kind.MEAN: self._total / self._n,
            Kind.MIN: self._low,
            Kind.MAX: self._high,
            Kind.SUM: self._total,
            Kind.DELTA: self._gained,
        }
        return numbers.get(kind, self._last)
