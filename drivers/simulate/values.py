"""What a simulated device says: its profile's points, moving over time, what was written to them, and what a scenario
does to them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

from drivers.profiles import ModbusPoint, Point, Simulate
from drivers.simulate.changes import Change
from drivers.simulate.scenario import Effect
from gateway.model.clock import Clock
from gateway.model.measure import Value

_DEPTH = 8


class World:
    """The values of one device. The same clock, seed, writes and changes give the same values."""

    def __init__(self, device: str, points: Mapping[str, Point], clock: Clock, seed: int) -> None:
        self._device = device
        self._points = points
        self._clock = clock
        self._seed = seed
        self._written: dict[str, Value] = {}
        self._took: dict[str, Value] = {}  # what came of it: a stuck contactor's coil is written and does nothing
        self._counted: dict[str, tuple[float, float]] = {}
        self._changes: dict[str, list[Change]] = {}
        self._shown_by = {
            point.write.read_back: name
            for name, point in points.items()
            if isinstance(point, ModbusPoint) and point.write is not None and point.write.read_back is not None
        }

    def write(self, name: str, value: Value) -> None:
        """From now on the point says this, and so does the point that reads it back."""
        self._written[name] = value
        if not self._ignores_writes(name):
            self._took[name] = value

    def change(self, name: str, effect: Effect, *, since_s: float | None = None, speed: float = 1.0) -> Change:
        """From now on the point says something else; changes add up in the order they came. `since_s`: when it began
        on the monotonic clock, now if left out. `restore` ends it."""
        began = self._clock.monotonic() if since_s is None else since_s
        change = Change(effect, self.value(name), began, speed)
        self._changes.setdefault(name, []).append(change)
        return change

    def restore(self, name: str, change: Change) -> None:
        """Ends a change. What was written while writes were ignored takes effect."""
        self._changes[name] = [other for other in self._changes.get(name, ()) if other is not change]
        if name in self._written and not self._ignores_writes(name):
            self._took[name] = self._written[name]

    def value(self, name: str, depth: int = 0) -> Value:
        """What the point says now, in its unit. `depth` counts points that look at one another."""
        value = self._undisturbed(name, depth)
        now_s = self._clock.monotonic()
        for change in self._changes.get(name, ()):
            value = change.of(value, change.age_s(now_s), 2 * self._share(f"{name}/{self._clock.now_ms()}") - 1)
        return value

    def _ignores_writes(self, name: str) -> bool:
        return any(change.effect.ignore_writes for change in self._changes.get(name, ()))

    def _undisturbed(self, name: str, depth: int) -> Value:
        point = self._points[name]
        # Whoever asks a coil hears what was written; the contactor behind it does what came of it.
        heard = self._written if depth == 0 and name in self._shown_by.values() else self._took
        if name in heard:
            return heard[name]
        hint = point.simulate
        if hint is None:
            if name in self._shown_by and depth <= _DEPTH:
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
        turn = math.sin(2 * math.pi * (self._clock.now_ms() / 1000 / hint.period_s + self._share(name)))
        return hint.low + (hint.high - hint.low) * (1 + turn) / 2

    def _share(self, what: str) -> float:
        """A number from 0 to 1 that looks like chance and is always the same."""
        return zlib.crc32(f"{self._seed}/{self._device}/{what}".encode()) / 2**32

    def _count(self, name: str, point: Point, hint: Simulate, pace: float) -> float:
        now = self._clock.monotonic()
        before, total = self._counted.get(name, (now, hint.start))
        total += (now - before) * hint.per_s * pace
        if point.rolls_at is not None:
            total %= point.rolls_at
        self._counted[name] = (now, total)
        return total


def _still(point: Point) -> Value:
    """A point without a hint: a contact is off, a text is empty, a code with names has the first of them, a number
    stands in the middle of its range."""
    if point.is_bool:
        return False
    if point.is_text:
        names: Mapping[object, Value] = getattr(point, "values", {})
        return next(iter(names.values()), "")
    return sum(point.range) / 2 if point.range is not None else 0.0
