"""The uplink's view of the store: what is to be sent, what is on its way, what has arrived."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import sqlite3
from collections.abc import Iterable, Sequence

from buffer.bundle import Bundle, deflate, pack
from buffer.group import Group
from buffer.lanes import FRESH_MS, Lanes
from buffer.writer import Writer
from gateway.model.clock import Clock
from gateway.model.ports import Again, Batch, Lane, Waiting
from gateway.model.spans import Spans

log = logging.getLogger("buffer")


class Outbox:
    """`gateway.model.ports.Outbox`, and the store's own way of putting records in (`write`, then `committed`)."""

    def __init__(self, writer: Writer, group: Group, clock: Clock) -> None:
        self._writer = writer
        self._group = group
        self._clock = clock
        self._changed = asyncio.Event()
        self.lanes = Lanes()
        self.epoch = ""
        self.upto = 0
        """The far end has confirmed everything up to this rid."""
        self.set_aside = 0
        self._newest = 0
        self._oldest = 1

    def load(self, connection: sqlite3.Connection) -> None:
        meta = dict(connection.execute("SELECT key, value FROM meta"))
        self.epoch = meta.get("epoch") or secrets.token_hex(4)
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (self.epoch,))
        (low,) = connection.execute("SELECT min(lo) FROM bundle").fetchone()
        aside, self.set_aside = connection.execute(
            "SELECT max(lo + n - 1), coalesce(sum(n), 0) FROM set_aside"
        ).fetchone()
        self._newest = next_rid(connection) - 1
        if (aside or 0) > self._newest:
            self._newest = aside
            set_floor(connection, aside)
        self.upto = int(meta.get("confirmed", "0"))
        self._oldest = max(low or self._newest + 1, int(meta.get("offered", "1")))
        saved = json.loads(meta.get("unsettled", "{}"))
        now_ms = self._clock.now_ms()
        self.lanes.load(saved, _newest(connection, int(saved.get("seen", 0)), now_ms), now_ms)
        if "copied" in meta:
            self._begin_anew(connection)
        self.wake()

    def _begin_anew(self, connection: sqlite3.Connection) -> None:
        """A backup's original went on giving ids: under an epoch of its own none of them means two records. What was
        still to be sent is sent under it; what was sent before is not offered once more. The original's sessions went
        on too, and the centre ignores a lower one: seconds since 1970 are above any count of connections."""
        original, self.epoch = self.epoch, secrets.token_hex(4)
        unsettled = self.lanes.unsettled()
        self._oldest = unsettled.first()[0] if unsettled else self._newest + 1
        connection.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", [("epoch", self.epoch), ("offered", str(self._oldest))]
        )
        connection.execute(
            "INSERT INTO meta VALUES ('session', ?1) ON CONFLICT (key) DO UPDATE "
            "SET value = max(CAST(value AS INTEGER), CAST(?1 AS INTEGER))",
            (str(self._clock.now_ms() // 1000),),
        )
        connection.execute("DELETE FROM meta WHERE key = 'copied'")
        log.warning("this store is a backup of %s: epoch %s begins with record %d", original, self.epoch, self._oldest)

    # --- in, by the store ---------------------------------------------------------------------------------------

    @staticmethod
    def write(connection: sqlite3.Connection, records: Iterable[tuple[int, bytes]], at_ms: int) -> list[Bundle]:
        """In the store's thread, inside the transaction. Ids are given here and nowhere else."""
        bundles = pack(records, next_rid(connection))
        connection.executemany(
            "INSERT INTO bundle (lo, n, lane, at_ms, body) VALUES (?, ?, ?, ?, ?)",
            [(b.lo, b.n, b.lane, at_ms, deflate(b.body)) for b in bundles],
        )
        return bundles

    def committed(self, bundles: Sequence[Bundle], at_ms: int) -> None:
        for bundle in bundles:
            self.lanes.committed(bundle, at_ms)
            self._newest = max(self._newest, bundle.hi)
        if bundles:
            self._changed.set()
        if self.lanes.dirty:  # a long list of what waits is not saved with every commit, but it is in the end
            self._group.within(max(1.0, self._group.every_s))

    def wake(self) -> None:
        if self.lanes.any_due():
            self._changed.set()

    def close(self) -> None:
        """Before the last commit: what is settled is saved with it, however long that is."""
        self.lanes.save_now()
        if self.lanes.dirty:
            self._group.within(0)

    def deleted(self, oldest: int | None) -> None:
        """Rows are gone; `oldest` is the lowest rid still held, None when nothing is."""
        self._oldest = max(self._oldest, oldest or self._newest + 1)

    # --- out ----------------------------------------------------------------------------------------------------

    async def next_session(self) -> int:
        def work(connection: sqlite3.Connection) -> int:
            row = connection.execute(
                "INSERT INTO meta VALUES ('session', '1') "
                "ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1 RETURNING value"
            ).fetchone()
            return int(row[0])

        return await self._writer.insist(work)

    def span(self) -> tuple[int, int]:
        return self._oldest, self._newest

    def waiting(self, lane: Lane) -> Waiting:
        return self.lanes.waiting(lane, self._clock.now_ms())

    async def take(self, lane: Lane, max_records: int, max_bytes: int) -> Batch | None:
        return await self.lanes.take(lane, (max_records, max_bytes), self._writer, self._clock.now_ms())

    def settle(self, batch: Batch) -> None:
        self.lanes.settled(batch)
        # With nothing else to commit, the acknowledgements of a while share one small commit.
        self._group.within(max(1.0, self._group.every_s))

    async def refuse(self, batch: Batch, reason: str) -> None:
        values = (batch.lo, batch.n, batch.lane, self._clock.now_ms(), reason, deflate(batch.body))
        self._group.join(statements=[("INSERT OR REPLACE INTO set_aside VALUES (?, ?, ?, ?, ?, ?)", values)])
        self.lanes.settled(batch)
        self.set_aside += batch.n
        # Not waited for: a disk that takes nothing must not stop the sending, which is what makes room.
        self._group.within(0)

    def split(self, batch: Batch) -> tuple[Batch, Batch]:
        return self.lanes.split(batch)

    def give_back(self, but: Iterable[Batch] = ()) -> None:
        self.lanes.give_back(but)
        self.wake()

    async def changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    async def again(self, spans: Iterable[tuple[int, int]]) -> Again:
        asked = Spans(spans)

        def work(connection: sqlite3.Connection) -> Spans:
            held = Spans()
            for lo, hi in asked:
                rows = connection.execute(
                    "SELECT lo, n FROM bundle WHERE lo <= ?2 "
                    "AND lo >= coalesce((SELECT max(lo) FROM bundle WHERE lo <= ?1), ?1) ORDER BY lo",
                    (lo, hi),
                )
                held.update((max(lo, a), min(hi, a + n - 1)) for a, n in rows if a + n - 1 >= lo)
            return held

        held = await self._writer.read(work)
        records = self.lanes.again(held)
        self._group.within(self._group.every_s)
        self.wake()
        return Again(records, tuple(gap for lo, hi in asked for gap in held.missing(lo, hi)))

    async def confirmed(self, upto: int) -> None:
        upto = min(upto, self._newest)
        if upto > self.upto:
            self.upto = upto
            self._group.join(statements=[("INSERT OR REPLACE INTO meta VALUES ('confirmed', ?)", (str(upto),))])
            self._group.within(max(1.0, self._group.every_s))


def next_rid(connection: sqlite3.Connection) -> int:
    """Above every id that was ever given: what is held, and what was deleted."""
    row = connection.execute("SELECT lo + n - 1 FROM bundle ORDER BY lo DESC LIMIT 1").fetchone()
    floor = connection.execute("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'floor'").fetchone()
    return max(row[0] if row else 0, floor[0] if floor else 0) + 1


def set_floor(connection: sqlite3.Connection, top: int) -> None:
    """Ids up to `top` were given, whatever becomes of their rows."""
    connection.execute(
        "INSERT INTO meta VALUES ('floor', ?1) ON CONFLICT (key) DO UPDATE "
        "SET value = max(CAST(value AS INTEGER), CAST(?1 AS INTEGER))",
        (str(top),),
    )


def _newest(connection: sqlite3.Connection, seen: int, now_ms: int) -> list[tuple[int, int, int, int]]:
    """(lo, n, lane, at_ms) of the bundles after `seen`, and of those before it that are still fresh, upwards.

    Read from the newest down to the first that is neither, so that a start does not read a week of rows.
    """
    found = []
    for row in connection.execute("SELECT lo, n, lane, at_ms FROM bundle ORDER BY lo DESC"):
        lo, at_ms = row[0], row[3]
        if lo <= seen and not now_ms - FRESH_MS < at_ms <= now_ms:
            break
        found.append(row)
    return found[::-1]
