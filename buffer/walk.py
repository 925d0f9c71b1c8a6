"""Walking through a store from one end to the other: in steps that hold no transaction, and over damage.

A step reads a bounded number of records and ends its transaction before they are looked at, so that a slow reader never
keeps the daemon from beginning its write-ahead log anew. What cannot be read is halved until only that is left out.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from buffer.bundle import MAX_RECORDS, inflate
from buffer.damage import is_damage
from buffer.inspect import meta
from gateway.model.ports import Lane
from gateway.model.spans import Spans

_LANES = frozenset(Lane)
# Record ids a step: about a megabyte of JSON.
STEP = 4_000

_FIRST = "SELECT lo FROM bundle ORDER BY lo LIMIT 1"
_LAST = "SELECT lo FROM bundle ORDER BY lo DESC LIMIT 1"
_TOP = "SELECT lo + n - 1 FROM bundle ORDER BY lo DESC LIMIT 1"
_BEFORE = "SELECT lo FROM bundle WHERE lo < ? ORDER BY lo DESC LIMIT 1"
_AFTER = "SELECT lo FROM bundle WHERE lo > ? ORDER BY lo LIMIT 1"


class Packed(NamedTuple):
    """One bundle, inflated. `body`: its JSON objects joined by commas."""

    lo: int
    n: int
    lane: int
    at_ms: int
    body: bytes


class Walk:
    """Bundles that were committed at `since_ms` or later, upwards or newest first.

    While `steps` runs, `share` (0..1) says how far it is, and `at_ms` the commit time it has reached. `damaged`:
    something could not be read.
    """

    def __init__(self, connection: sqlite3.Connection, *, newest_first: bool = False, since_ms: int = 0) -> None:
        self._connection = connection
        self._newest_first = newest_first
        self._since_ms = since_ms
        self.share = 0.0
        self.at_ms = 0
        self.damaged = False
        self._torn = Spans()
        self._read = Spans()
        self._top = 0

    def steps(self) -> Iterator[Sequence[Packed]]:
        """Each step's bundles in order; also steps that found none, so that the caller can say how far it is."""
        low, high = self._ends()
        at: int | None = high if self._newest_first else low
        while at is not None and low <= at <= high:
            first, last = (max(low, at - STEP + 1), at) if self._newest_first else (at, min(high, at + STEP - 1))
            rows = self._rows(first, last)
            found = [packed for row in (reversed(rows) if self._newest_first else rows) if (packed := self._whole(row))]
            self.share = (high - first + 1 if self._newest_first else last - low + 1) / (high - low + 1)
            if rows:
                self.at_ms = rows[0][3] if self._newest_first else rows[-1][3]
            yield found
            at = self._next(first, last)

    def unread(self) -> list[tuple[int, int]]:
        """Intervals of record ids that could not be read, as far as is known: a bundle that was not found may have had
        as many records as a bundle can."""
        torn = Spans()
        for lo, hi in self._torn:
            last = min(hi + MAX_RECORDS - 1, self._top or hi + MAX_RECORDS)
            torn.update((a, b) for a, b in self._read.missing(lo, last) if a <= hi)
        return list(torn)

    def _ends(self) -> tuple[int, int]:
        """The first and the last `lo`; a wide guess where the file does not say. (1, 0) when nothing is held."""
        low, high, self._top = self._lo(_FIRST), self._lo(_LAST), self._lo(_TOP) or 0
        if low is None and high is None and not self.damaged:
            return 1, 0
        said, seen = {}, 0
        with contextlib.suppress(sqlite3.Error, ValueError):
            said = meta(self._connection)
            seen = int(json.loads(said.get("unsettled", "{}")).get("seen", 0))
        if low is None:
            low = int(said.get("floor", "0")) + 1
        if high is None:
            high = max(low, seen, int(said.get("confirmed", "0"))) + 2 * STEP
        return low, high

    def _lo(self, sql: str, *values: int) -> int | None:
        """None: there is none, or the way to it is damaged."""
        try:
            row = self._connection.execute(sql, values).fetchone()
        except sqlite3.Error as error:
            self.forgive(error)
            return None
        return None if row is None else int(row[0])

    def _next(self, first: int, last: int) -> int | None:
        """Where the next step begins: gaps are jumped over, but not those that damage made."""
        was = self.damaged
        self.damaged = False
        found = self._lo(_BEFORE, first) if self._newest_first else self._lo(_AFTER, last)
        astray = found is not None and (found >= first if self._newest_first else found <= last)
        if astray or (found is None and self.damaged):
            self.damaged = True
            found = first - 1 if self._newest_first else last + 1
        self.damaged |= was
        return found

    def _rows(self, first: int, last: int) -> list[tuple[int, int, int, int, bytes]]:
        try:
            return self._connection.execute(
                "SELECT lo, n, lane, at_ms, body FROM bundle WHERE lo BETWEEN ? AND ? AND at_ms >= ? ORDER BY lo",
                (first, last, self._since_ms),
            ).fetchall()
        except sqlite3.Error as error:
            self.forgive(error)
        if first == last:
            self._torn.add(first, last)
            return []
        middle = (first + last) // 2
        return self._rows(first, middle) + self._rows(middle + 1, last)

    def lose(self, lo: int, n: int) -> None:
        """A bundle that was read and says nothing."""
        self.damaged = True
        self._torn.add(lo, lo + n - 1)

    def forgive(self, error: sqlite3.Error) -> None:
        """Damage is remembered; anything else is raised again."""
        if not is_damage(error):
            raise error
        self.damaged = True

    def _whole(self, row: tuple[int, int, int, int, bytes]) -> Packed | None:
        lo, n, lane, at_ms, blob = row
        if not (type(n) is type(at_ms) is int and lane in _LANES):  # SQLite does not mind what stands in a column
            self.lose(lo, 1)
            return None
        try:
            body = inflate(blob)
        except (zlib.error, TypeError):
            self.lose(lo, n)
            return None
        self._read.add(lo, lo + n - 1)
        return Packed(lo, n, lane, at_ms, body)
