"""What a simulated device says: its profile's points, moving over time, and what was written to them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

from drivers.profiles import ModbusPoint, Point, Simulate
from gateway.model.clock import Clock
from gateway.model.measure import Value

_DEPTH = 8


class World:
    """The values of one device. The same clock, seed and writes give the same values."""

    def __init__(self, device: str, points: Mapping[str, Point], clock: Clock, seed: int) -> None:
        self._device = device
        self._points = points
        self._clock = clock
        self._seed = seed
        self._written: dict[str, Value] = {}
        self._counted: dict[str, tuple[float, float]] = {}
        self._shown_by = {
            point.write.read_back: name
            for name, point in points.items()
            if isinstance(point, ModbusPoint) and point.write is not None and point.write.read_back is not None
        }

    def write(self, name: str, value: Value) -> None:
        """From now on the point says this, and so does the point that reads it back."""
        self._written[name] = value

    def value(self, name: str, depth: int = 0) -> Value:
        """What the point says now, in its unit."""
        point = self._points[name]
        if name in self._written:
            return self._written[name]
        hint = point.simulate
        if hint is None:
            if name in self._shown_by:
                return self.value(self._shown_by[name], depth + 1)
            return _still(point)
        if hint.shape == "constant":
            return hint.value
        if hint.shape == "sine":
            return self._sine(name, hint)
        followed = self._followed(hint, depth)
        if hint.shape == "follow":
            return bool(followed + hint.plus) if point.is_bool else followed + hint.plus
        return self._count(name, point, hint, followed if hint.follows else 1.0)

    def _followed(self, hint: Simulate, depth: int) -> float:
        if depth > _DEPTH:
            return 0.0  # points that follow one another in a ring
        total = 0.0
        for other, factor in hint.follows.items():
            value = self.value(other, depth + 1)
            total += factor * (0.0 if isinstance(value, str) else value)
        return total

    def _sine(self, name: str, hint: Simulate) -> float:
        shift = zlib.crc32(f"{self._seed}/{self._device}/{name}".encode()) / 2**32
        turn = math.sin(2 * math.pi * (self._clock.now_ms() / 1000 / hint.period_s + shift))
        return hint.low + (hint.high - hint.low) * (1 + turn) / 2

    def _count(self, name: str, point: Point, hint: Simulate, pace: float) -> float:
        now = self._clock.monotonic()
        before, total = self._counted.get(name, (now, hint.start))
        total += (now - before) * hint.per_s * pace
        if point.rolls_at is not None:
            total %= point.rolls_at
        self._counted[name] = (now, total)
        return total


def _still(point: Point) -> Value:
    """A point without a hint stands still in the middle of its range."""
    if point.is_bool:
        return False
    if point.is_text:
        return ""
    return sum(point.range) / 2 if point.range is not None else 0.0
