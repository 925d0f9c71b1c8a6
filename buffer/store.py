"""The async face of the store: append, take, settle, claim, finish.

*Stored* means committed: records join the open group, and the group is committed at the latest
`commit_every_s` later (urgent ones at once). *Sent* means settled by the uplink after an acknowledgement.
What is settled is written with the next commit; a crash before it sends the same ids again, never others.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from buffer.bundle import deflate, pack
from buffer.group import Group, Statement
from buffer.lanes import FRESH_MS, Lanes
from buffer.settings import BufferSettings
from buffer.writer import Writer, set_aside_file
from gateway.model.clock import Clock
from gateway.model.command import Outcome
from gateway.model.errors import StoreDamaged, StoreError
from gateway.model.ports import Batch, Lane, Waiting

log = logging.getLogger("buffer")

# Records waiting for a commit that does not come (a full disk): beyond this the caller waits.
GROUP_LIMIT = 50_000
CLOSE_S = 5.0


class Store:
    """One SQLite file: outbox and command journal. Enter it to open, leave it to commit and close."""

    def __init__(self, path: Path, settings: BufferSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._writer = Writer(path)
        self._group = Group(self._write, settings.commit_every_s)
        self._lanes = Lanes()
        self._changed = asyncio.Event()
        self._epoch = ""
        self._next_rid = 1
        self._oldest = 1
        self.commits = 0
        self.set_aside = 0

    async def __aenter__(self) -> Self:
        try:
            await self._writer.open()
        except StoreDamaged as damage:
            # A damaged store must not keep the gateway dark: it is kept for salvage, and a new epoch begins.
            aside = set_aside_file(self._writer.path, self._clock.now_ms())
            log.error("%s; set aside as %s, beginning a new store", damage, aside)
            self._writer = Writer(self._writer.path)
            await self._writer.open()
        try:
            await self._writer.run(self._load)
        except BaseException:
            await self._writer.close()
            raise
        if self._lanes.any_due():
            self._changed.set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            await self._group.close(CLOSE_S)
        finally:
            await self._writer.close()

    def _load(self, connection: sqlite3.Connection) -> None:
        meta = dict(connection.execute("SELECT key, value FROM meta"))
        self._epoch = meta.get("epoch") or secrets.token_hex(4)
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (self._epoch,))
        low, high = connection.execute("SELECT min(lo), max(lo + n - 1) FROM bundle").fetchone()
        aside, self.set_aside = connection.execute(
            "SELECT max(lo + n - 1), coalesce(sum(n), 0) FROM set_aside"
        ).fetchone()
        self._next_rid = max(high or 0, aside or 0, int(meta.get("floor", "0"))) + 1
        self._oldest = low or self._next_rid
        saved = json.loads(meta.get("unsettled", "{}"))
        now_ms = self._clock.now_ms()
        self._lanes.load(saved, _newest(connection, int(saved.get("seen", 0)), now_ms), now_ms)

    # --- records in -------------------------------------------------------------------------------------

    async def append(self, records: Sequence[bytes], lane: Lane = Lane.LIVE) -> None:
        """Joins the open commit group; waits only while the disk takes nothing and the group is full."""
        while len(self._group) > GROUP_LIMIT:
            await self._group.flush()
        if records:
            stored_lane = min(lane, Lane.LIVE)
            self._group.join([(stored_lane, record) for record in records])
            self._group.within(0 if lane is Lane.URGENT else self._settings.commit_every_s)

    async def flush(self) -> None:
        """Returns after everything appended and settled so far is committed."""
        await self._group.flush()

    async def _write(
        self, records: Sequence[tuple[int, bytes]], statements: Sequence[Statement], first_try: bool
    ) -> bool:
        """One transaction. False, with one log line, when the disk did not take it."""
        bundles = pack(records, self._next_rid)
        at_ms = self._clock.now_ms()
        dirty, self._lanes.dirty = self._lanes.dirty, False
        unsettled = json.dumps(self._lanes.dump_with(bundles), separators=(",", ":")) if dirty else ""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO bundle (lo, n, lane, at_ms, body) VALUES (?, ?, ?, ?, ?)",
                [(b.lo, b.n, b.lane, at_ms, deflate(b.body)) for b in bundles],
            )
            for sql, values in statements:
                connection.execute(sql, values)
            if unsettled:
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('unsettled', ?)", (unsettled,))

        try:
            await self._writer.run(work)
        except StoreError as error:
            self._lanes.dirty |= dirty
            if first_try:
                log.error("%s; %d records wait in memory", error, len(records))
            return False
        self.commits += 1
        if dirty:
            self._lanes.saved = self._lanes.seen
        for bundle in bundles:
            self._lanes.committed(bundle, at_ms)
            self._next_rid = bundle.hi + 1
        if bundles:
            self._changed.set()
        return True

    # --- records out ------------------------------------------------------------------------------------

    @property
    def epoch(self) -> str:
        return self._epoch

    async def next_session(self) -> int:
        def work(connection: sqlite3.Connection) -> int:
            row = connection.execute(
                "INSERT INTO meta VALUES ('session', '1') "
                "ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1 RETURNING value"
            ).fetchone()
            return int(row[0])

        return await self._writer.run(work)

    def span(self) -> tuple[int, int]:
        return self._oldest, self._next_rid - 1

    def waiting(self, lane: Lane) -> Waiting:
        return self._lanes.waiting(lane, self._clock.now_ms())

    async def take(self, lane: Lane, max_records: int, max_bytes: int) -> Batch | None:
        return await self._lanes.take(lane, (max_records, max_bytes), self._writer, self._clock.now_ms())

    def settle(self, batch: Batch) -> None:
        self._lanes.settled(batch)
        # With nothing else to commit, the acknowledgements of a while share one small commit.
        self._group.within(max(1.0, self._settings.commit_every_s))

    async def refuse(self, batch: Batch, reason: str) -> None:
        values = (batch.lo, batch.n, batch.lane, self._clock.now_ms(), reason, deflate(batch.body))
        self._group.join([], [("INSERT OR REPLACE INTO set_aside VALUES (?, ?, ?, ?, ?, ?)", values)])
        self._lanes.settled(batch)
        self.set_aside += batch.n
        await self.flush()

    def give_back(self) -> None:
        self._lanes.give_back()
        if self._lanes.any_due():
            self._changed.set()

    async def changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    async def prune(self) -> int:
        """Deletes sent records older than `keep_days`; never one that still has to be sent. Returns how many."""
        before_ms = self._clock.now_ms() - int(self._settings.keep_days * 86_400_000)
        keep_from = min(self._lanes.lowest_unsettled(), self._next_rid)

        def work(connection: sqlite3.Connection) -> tuple[int, int]:
            gone, top = connection.execute(
                "SELECT coalesce(sum(n), 0), max(lo + n - 1) FROM bundle WHERE at_ms < ? AND lo + n <= ?",
                (before_ms, keep_from),
            ).fetchone()
            if gone:
                connection.execute("DELETE FROM bundle WHERE at_ms < ? AND lo + n <= ?", (before_ms, keep_from))
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('floor', ?)", (str(top),))
            connection.execute(
                "DELETE FROM command WHERE finished_ms IS NOT NULL AND claimed_ms < ?", (before_ms - 86_400_000,)
            )
            (low,) = connection.execute("SELECT min(lo) FROM bundle").fetchone()
            return gone, low or self._next_rid

        gone, self._oldest = await self._writer.run(work)
        return gone

    async def turn(self) -> None:
        """Returns when the store's thread has answered: the watchdog's question."""
        await self._writer.read(lambda connection: connection.execute("SELECT 1").fetchone())

    # --- commands ---------------------------------------------------------------------------------------

    async def claim(self, command_id: str, request: bytes, at_ms: int) -> bytes | None:
        def work(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute("SELECT outcome FROM command WHERE id = ?", (command_id,)).fetchone()
            if row is not None:
                return row[0] or b""
            connection.execute(
                "INSERT INTO command (id, claimed_ms, request) VALUES (?, ?, ?)", (command_id, at_ms, request)
            )
            return None

        return await self._writer.run(work)

    async def finish(self, outcome: Outcome, message: bytes, records: Sequence[bytes]) -> None:
        values = (outcome.state, outcome.at_ms, message, outcome.id)
        self._group.join(
            [(Lane.URGENT, record) for record in records],
            [("UPDATE command SET state=?, finished_ms=?, outcome=? WHERE id=?", values)],
        )
        await self.flush()

    async def interrupted(self) -> Sequence[str]:
        def work(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute("SELECT id FROM command WHERE finished_ms IS NULL ORDER BY claimed_ms")
            return [row[0] for row in rows]

        return await self._writer.run(work)


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
