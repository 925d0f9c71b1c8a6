"""Periods, and which of them are still to be folded: kept in meta as {"300": [end, ...]}, by their length in s."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from typing import NamedTuple

TIERS_S = (300, 3600)
"""The lengths that shorter windows are folded to."""


class Period(NamedTuple):
    """What is folded at once: the windows that end in (end - tier, end]."""

    tier_s: int
    end_ms: int

    @property
    def start_ms(self) -> int:
        return self.end_ms - self.tier_s * 1000


def period_of(span_s: int, t1_ms: int) -> Period | None:
    """The period that a window of this length is folded into; None where it fills none."""
    for tier_s in TIERS_S:
        if span_s < tier_s and tier_s % span_s == 0:
            length_ms = tier_s * 1000
            return Period(tier_s, -(-t1_ms // length_ms) * length_ms)
    return None


class Due:
    """The periods that are due, in the store's thread. Parsed once: the text in the file is only compared with the one
    that was parsed or written last, so a transaction that is rolled back leaves no wrong copy."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._periods: frozenset[Period] = frozenset()

    def load(self, connection: sqlite3.Connection) -> frozenset[Period]:
        """Inside a transaction."""
        row = connection.execute("SELECT value FROM meta WHERE key = 'due'").fetchone()
        if row is None:  # a new store, or what was saved of a damaged one: whatever is there
            rows = connection.execute("SELECT DISTINCT span_s, t1_ms FROM history")
            self.save(connection, {period for span_s, t1_ms in rows if (period := period_of(span_s, t1_ms))})
            return self._periods
        if row[0] != self._text:
            ends: dict[str, list[int]] = json.loads(row[0])
            self._periods = frozenset(Period(int(tier_s), end_ms) for tier_s in ends for end_ms in ends[tier_s])
            self._text = row[0]
        return self._periods

    def save(self, connection: sqlite3.Connection, due: Collection[Period]) -> None:
        ends: dict[int, list[int]] = {}
        for tier_s, end_ms in sorted(due):
            ends.setdefault(tier_s, []).append(end_ms)
        text = json.dumps(ends, separators=(",", ":"))
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('due', ?)", (text,))
        self._periods, self._text = frozenset(due), text
