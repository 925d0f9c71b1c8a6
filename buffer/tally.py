"""Every ten minutes a row that says how far things are. Rates, and the card's wear, are differences of two rows."""

from __future__ import annotations

import sqlite3

from buffer.group import Group
from buffer.outbox import Outbox
from gateway.model.clock import Clock
from gateway.model.ports import Lane

EVERY_S = 600.0
KEEP_MS = 400 * 86_400_000
JOIN_WITHIN_S = 60.0  # it goes along with a commit that comes anyway; on a silent site it makes one


class Tally:
    """Counts what this process writes to disk, over all starts, and notes it with the ids and what waits."""

    def __init__(self, group: Group, outbox: Outbox, clock: Clock) -> None:
        self._group = group
        self._outbox = outbox
        self._clock = clock
        self._before = 0
        self._due_at = 0.0

    def load(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'written'").fetchone()
        self._before = (row[0] if row else 0) - written_bytes()

    @property
    def written(self) -> int:
        """Bytes written to disk since the store began; what a crash cut off between two rows is missing."""
        return self._before + written_bytes()

    def note(self, lost: int, why: str) -> None:
        """Joins the open group, when it is time. `why`: why nothing is sent, empty when it is."""
        now = self._clock.monotonic()
        if now < self._due_at:
            return
        self._due_at = now + EVERY_S
        waiting = sum(self._outbox.waiting(lane).records for lane in Lane)
        written = self.written
        row = (self._clock.now_ms(), self._outbox.span()[1], waiting, lost, written, why)
        self._group.join(
            statements=[
                ("INSERT OR REPLACE INTO tally VALUES (?, ?, ?, ?, ?, ?)", row),
                ("INSERT OR REPLACE INTO meta VALUES ('written', ?)", (str(written),)),
            ]
        )
        self._group.within(JOIN_WITHIN_S)


def written_bytes() -> int:
    """What this process has caused to be written to block devices; 0 where the kernel does not count it."""
    try:
        with open("/proc/self/io", encoding="ascii") as counters:  # noqa: PTH123  # a kernel file, not a document
            return next(int(line.split()[1]) for line in counters if line.startswith("write_bytes"))
    except (OSError, StopIteration):
        return 0
