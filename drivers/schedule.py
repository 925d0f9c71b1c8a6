"""When which device is due. Pure: no sleeping, no wire."""

from __future__ import annotations

import heapq
import math
import zlib
from collections.abc import Mapping

TICK_S = 0.01
"""All wires wake on the same ticks: many small polls then share a wake-up, which costs more than they do."""
SOON_S = 2.0
"""After a start a device with a long period is read within this time and not a whole period later."""


class Schedule:
    """Every device has its own grid on the monotonic clock: phase + n * every_s.

    The phases spread the devices of one wire over the period, and the wires of one site against each other;
    they depend on names only, so that a restart keeps them. A late poll is done once, at once; polls that were
    missed altogether are skipped and never made up for in a burst.
    """

    def __init__(self, wire: str, every_s: Mapping[str, float], now: float) -> None:
        shift = zlib.crc32(wire.encode()) / 2**32
        self._every_s = dict(every_s)
        self._share: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        for number, (name, every) in enumerate(self._every_s.items()):
            self._share[name] = share = (number + shift) / len(self._every_s)
            soon = now + share * SOON_S if every > SOON_S else math.inf
            heapq.heappush(self._heap, (min(self._after(name, now), soon), name))

    def next(self) -> tuple[float, str]:
        """The device that is due first, and when."""
        return self._heap[0]

    def done(self, began: float) -> None:
        """The device that `next` named was polled, beginning at this time; that stands for all its polls due until
        then. Gives it its next one."""
        _, name = self._heap[0]
        heapq.heapreplace(self._heap, (self._after(name, began), name))

    def _after(self, name: str, now: float) -> float:
        """The first moment of the device's grid that is later than now, on a tick."""
        every, share = self._every_s[name], self._share[name]
        due = (math.floor(now / every - share + 1e-9) + 1 + share) * every
        return math.ceil(due / TICK_S) * TICK_S
