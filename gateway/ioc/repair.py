"""When to ask for what is missing of one store. Pure: books and seconds in, ranges out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.ioc.ledger import StoreBook
from gateway.model.spans import Spans

MOST_RANGES = 200
MOST_RECORDS = 50_000
SLOWEST = 64
"""Back-off ends at so many times the grace time."""
VAIN = 2
"""After so many vain questions a person, or a command that is answered, should be asked."""


class Repair:
    """A gap is asked for when it is older than `after_s` and cannot be on its way: what the gateway itself says is
    waiting explains as many missing records. What was asked for in vain is asked for again, half as often each time.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._gaps: list[tuple[int, int]] = []
        self._asked: list[tuple[int, int]] = []
        self._look_from = 0.0
        self.vain = 0
        """How often the same ranges were asked for, and nothing of them came."""

    def due(self, store: StoreBook, waiting: int, now: float) -> list[tuple[int, int]]:
        """The ranges to ask for now, not too many at a time; often none. `waiting`: see `waiting_at`."""
        if now < self._look_from:
            return []
        old, self._gaps = self._gaps, store.gaps()
        self._look_from = now + self._after_s
        stale = [gap for lo, hi in old for gap in store.missing(lo, hi)]
        if sum(hi - lo + 1 for lo, hi in stale) <= waiting:
            return []
        stale = list(Spans(stale[:MOST_RANGES]).head(MOST_RECORDS))
        self.vain = self.vain + 1 if stale == self._asked else 0
        self._asked = stale
        self._look_from = now + self._after_s * min(SLOWEST, 2**self.vain)
        return stale


def waiting_at(heartbeat: Mapping[str, Any], epoch: str) -> int:
    """How many records the gateway said are still to be sent."""
    return sum(heartbeat["wait"].values()) if heartbeat.get("ep") == epoch else 0
