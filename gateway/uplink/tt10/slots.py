"""From indicators to the lines of one file. Pure.

A slot is (end - every_s, end], aligned to the clock; what ended in it belongs to it, as an hour is labelled by its end.
A parameter's windows are folded as everywhere, those of late readings with them; of single readings only those count
that are in no window because they were read while calibrating.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from gateway.model.folding import fold
from gateway.model.indicator import Indicator
from gateway.model.measure import Reason, Signal, Value
from gateway.model.tt10 import Line, Status
from gateway.uplink.tt10.settings import Parameter, Tt10Export


class _Cell:
    """What ended in one slot of one signal. `calibrating`: the latest value that was read while calibrating: no window
    has it, because it measures nothing."""

    __slots__ = ("calibrating", "windows")

    def __init__(self) -> None:
        self.windows: list[Indicator] = []
        self.calibrating: float | None = None

    def add(self, indicator: Indicator) -> None:
        if indicator.start_ms is not None:
            self.windows.append(indicator)
        elif Reason.CALIBRATING in indicator.reasons:
            self.calibrating = _number(indicator.value)

    def status(self, value: float | None) -> Status:
        if value is not None:
            return Status.MEASURING
        if self.windows:
            calibrating = all(Reason.CALIBRATING in window.reasons for window in self.windows)
        else:
            calibrating = self.calibrating is not None
        return Status.CALIBRATING if calibrating else Status.FAULT


def _number(value: Value | None) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


class Slots:
    """The open slots of one station. Signals that no parameter shows are ignored."""

    def __init__(self, settings: Tt10Export, signals: Iterable[Signal]) -> None:
        self._settings = settings
        self._every_ms = settings.every_s * 1000
        shown = {parameter.point for parameter in settings.parameters.values()}
        self._signals = {signal.id: signal for signal in signals if signal.id in shown}
        self._open: dict[int, dict[str, _Cell]] = {}

    def end_of(self, at_ms: int) -> int:
        """The end of the slot that holds a moment. An hour of GMT+7 begins with one of UTC, so slots do too."""
        return -(-at_ms // self._every_ms) * self._every_ms

    def lengths(self) -> Mapping[int, set[str]]:
        """The signals that are shown, by the length of their windows in s."""
        found: dict[int, set[str]] = {}
        for signal in self._signals.values():
            found.setdefault(signal.window_s, set()).add(signal.id)
        return found

    def shows(self, signal: Signal) -> bool:
        """Also false for what it was before the site was changed: another unit, another kind."""
        ours = self._signals.get(signal.id)
        return ours is not None and (ours.unit, ours.kind) == (signal.unit, signal.kind)

    def add(self, indicator: Indicator) -> None:
        if self.shows(indicator.signal):
            cells = self._open.setdefault(self.end_of(indicator.end_ms), {})
            cells.setdefault(indicator.signal.id, _Cell()).add(indicator)

    def ends(self) -> list[int]:
        """Ends of the slots in which something is known, oldest first."""
        return sorted(self._open)

    def close(self, end_ms: int) -> list[Line]:
        """The lines of a slot. It, and every older one, is forgotten."""
        cells = self._open.get(end_ms, {})
        self._open = {end: kept for end, kept in self._open.items() if end > end_ms}
        return self._lines(cells, end_ms)

    def of(self, windows: Iterable[Indicator], end_ms: int) -> list[Line]:
        """The lines of a slot of which these are all windows, whatever is open."""
        cells: dict[str, _Cell] = {}
        for window in windows:
            if self.shows(window.signal):
                cells.setdefault(window.signal.id, _Cell()).add(window)
        return self._lines(cells, end_ms)

    def _lines(self, cells: Mapping[str, _Cell], end_ms: int) -> list[Line]:
        return [
            self._line(symbol, shown, cells.get(shown.point) or _Cell(), end_ms)
            for symbol, shown in self._settings.parameters.items()
        ]

    def _line(self, symbol: str, shown: Parameter, cell: _Cell, end_ms: int) -> Line:
        signal = self._signals.get(shown.point)
        value = None
        if signal is not None and cell.windows:
            value = _number(fold(signal, cell.windows, end_ms - self._every_ms, end_ms).value)
        status = cell.status(value)
        if status is Status.CALIBRATING:
            value = cell.calibrating
        # + 0.0: what rounds to nothing has no sign
        text = self._settings.no_value if value is None else f"{round(value, shown.decimals) + 0.0:.{shown.decimals}f}"
        return Line(symbol, value, shown.unit, end_ms, status, text)
