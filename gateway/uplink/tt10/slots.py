"""From indicators to the lines of one file. Pure.

A slot is (end - every_s, end], aligned to the clock; what ended in it belongs to it, as an hour is labelled by its end.
Kinds are reduced as everywhere: means by their counts, extremes by extremes, sums added, the rest by the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Forward, Kind, Quality, Reason, Signal
from gateway.model.tt10 import Line, Status
from gateway.uplink.tt10.settings import Parameter, Tt10Export


class _Cell:
    """What ended in one slot of one parameter: good numbers with their counts, and why others are none."""

    __slots__ = ("calibrating", "calibrating_value", "good", "others")

    def __init__(self) -> None:
        self.good: list[tuple[int, float, float]] = []  # (when, value, weight)
        self.calibrating = 0
        self.calibrating_value: float | None = None
        self.others = 0

    def add(self, indicator: Indicator) -> None:
        value = _number(indicator.value)
        if value is not None and indicator.quality not in (Quality.BAD, Quality.MISSING):
            parts = indicator.parts
            self.good.append((indicator.end_ms, value, float(parts.n) if parts is not None else 1.0))
        elif Reason.CALIBRATING in indicator.reasons:
            self.calibrating += 1
            self.calibrating_value = value if value is not None else self.calibrating_value
        else:
            self.others += 1

    def value(self, kind: Kind) -> float | None:
        if not self.good:
            return None
        values = [value for _, value, _ in self.good]
        if kind is Kind.MEAN:
            weight = sum(weight for _, _, weight in self.good)
            return sum(value * weight for _, value, weight in self.good) / weight if weight else None
        if kind in (Kind.SUM, Kind.DELTA, Kind.COUNT):
            return math.fsum(values)
        if kind in (Kind.MIN, Kind.MAX):
            return min(values) if kind is Kind.MIN else max(values)
        return max(self.good)[1]

    def status(self) -> Status:
        if self.good:
            return Status.MEASURING
        return Status.CALIBRATING if self.calibrating and not self.others else Status.FAULT


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


class Slots:
    """The open slots of one station. Signals that no parameter shows are ignored."""

    def __init__(self, settings: Tt10Export, signals: Iterable[Signal]) -> None:
        self._settings = settings
        self._every_ms = settings.every_s * 1000
        by_id = {signal.id: signal for signal in signals}
        self._signals = {symbol: by_id.get(shown.point) for symbol, shown in settings.parameters.items()}
        self._symbols: dict[str, list[str]] = {}
        for symbol, shown in settings.parameters.items():
            self._symbols.setdefault(shown.point, []).append(symbol)
        self._records = {_key_of(by_id[point]): by_id[point] for point in self._symbols if point in by_id}
        self._open: dict[int, dict[str, _Cell]] = {}

    def end_of(self, at_ms: int) -> int:
        """The end of the slot that holds a moment. An hour of GMT+7 begins with one of UTC, so slots do too."""
        return -(-at_ms // self._every_ms) * self._every_ms

    def add(self, indicator: Indicator) -> None:
        symbols = self._symbols.get(indicator.signal.id)
        # A signal that gives both, windows and readings, counts once: by its windows.
        if symbols is None or (indicator.start_ms is None) != (indicator.signal.forward is Forward.EVERY):
            return
        cells = self._open.setdefault(self.end_of(indicator.end_ms), {})
        for symbol in symbols:
            cells.setdefault(symbol, _Cell()).add(indicator)

    def add_record(self, record: Mapping[str, Any]) -> None:
        """The same from a stored record (`tele/1`): what was committed before a restart."""
        if Reason.CLOCK_UNSYNCED in record.get("f", ()):
            return  # nobody knows when that was
        signal = self._records.get((record.get("pt"), record.get("ind"), *sorted(record.get("tg", {}).items())))
        if signal is not None:
            self.add(_indicator(signal, record))

    def ends(self) -> list[int]:
        """Ends of the slots in which something is known, oldest first."""
        return sorted(self._open)

    def close(self, end_ms: int) -> list[Line]:
        """The lines of a slot. It, and every older one, is forgotten."""
        cells = self._open.get(end_ms, {})
        self._open = {end: kept for end, kept in self._open.items() if end > end_ms}
        return [
            self._line(symbol, shown, cells.get(symbol) or _Cell(), end_ms)
            for symbol, shown in self._settings.parameters.items()
        ]

    def _line(self, symbol: str, shown: Parameter, cell: _Cell, end_ms: int) -> Line:
        signal = self._signals[symbol]
        status = cell.status()
        value = cell.value(signal.kind) if signal is not None else None
        if status is Status.CALIBRATING:
            value = cell.calibrating_value
        # + 0.0: what rounds to nothing has no sign
        text = self._settings.no_value if value is None else f"{round(value, shown.decimals) + 0.0:.{shown.decimals}f}"
        return Line(symbol, value, shown.unit, end_ms, status, text)


def _key_of(signal: Signal) -> tuple[Any, ...]:
    return (signal.point, signal.indicator, *sorted(signal.tags.items()))


def _indicator(signal: Signal, record: Mapping[str, Any]) -> Indicator:
    parts = Parts(record["n"], record["ne"]) if "n" in record else None
    reasons = tuple(Reason(reason) for reason in record.get("f", ()))
    return Indicator(signal, record.get("t0"), record["t1"], record["v"], Quality(record["q"]), reasons, parts)
