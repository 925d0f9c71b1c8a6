"""The last number of each of some signals, found from the newest window backwards. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from buffer.window_rows import LAST, unpacked
from gateway.model.measure import Signal


class Row(NamedTuple):
    """A row of the history of one length."""

    t1_ms: int
    part: int
    body: bytes


def same(signal: Signal) -> tuple[Any, ...]:
    """What must be equal for windows to belong together; how often it is read, or sent, may have changed."""
    return signal.id, signal.point, signal.indicator, signal.unit, signal.kind, tuple(sorted(signal.tags.items()))


class Newest:
    """To be shown the rows of one length after the other, shorter lengths first, each from the newest row down."""

    def __init__(self, signals: Collection[Signal], known: Mapping[int, Signal]) -> None:
        wanted = {same(signal) for signal in signals}
        self._known = {number: signal for number, signal in known.items() if same(signal) in wanted}
        self._found: dict[str, tuple[int, float]] = {}
        self.open: dict[int, str] = {}
        """Signals, by their numbers, that are still looked for in the rows of this length."""

    def begin(self, span_s: int) -> None:
        """Folded windows hold nothing newer than their ground; but the length of that may have changed."""
        self.open = {
            number: signal.id
            for number, signal in self._known.items()
            if signal.window_s == span_s or (signal.window_s < span_s and signal.id not in self._found)
        }

    def look(self, rows: Iterable[Row]) -> None:
        for row in rows:
            with suppress(zlib.error, ValueError, TypeError, LookupError):  # damaged: for `verify` to name
                for window in reversed(unpacked(row.body, self.open.keys())):
                    self._note(row.t1_ms, window[0], window[LAST])

    def _note(self, t1_ms: int, number: int, last: float | None) -> None:
        signal = self.open.get(number)
        if signal is None or last is None:
            return
        self._found[signal] = max(self._found.get(signal, (t1_ms, float(last))), (t1_ms, float(last)), key=_when)
        self.open = {other: name for other, name in self.open.items() if name != signal}

    def found(self) -> dict[str, float]:
        """By signal id."""
        return {signal: last for signal, (_, last) in self._found.items()}


def _when(found: tuple[int, float]) -> int:
    return found[0]
