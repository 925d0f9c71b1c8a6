"""What is kept, and for how long: by age, by size, and when the disk is full."""

from __future__ import annotations

import sqlite3

from buffer.group import Group
from buffer.outbox import Outbox, set_floor
from buffer.settings import BufferSettings
from buffer.writer import Writer
from gateway.model.clock import Clock


class Keeper:
    """Deletes sent records by age; never one that still has to be sent."""

    def __init__(self, writer: Writer, group: Group, outbox: Outbox, settings: BufferSettings, clock: Clock) -> None:
        self._writer = writer
        self._group = group
        self._outbox = outbox
        self._settings = settings
        self._clock = clock

    async def tend(self) -> int:
        """Called every minute or so. Returns how many sent records went."""
        before_ms = self._clock.now_ms() - int(self._settings.keep_days * 86_400_000)
        keep_from = self._outbox.lanes.lowest_unsettled()

        def work(connection: sqlite3.Connection) -> tuple[int, int | None]:
            gone, top = connection.execute(
                "SELECT coalesce(sum(n), 0), max(lo + n - 1) FROM bundle WHERE at_ms < ? AND lo + n <= ?",
                (before_ms, keep_from),
            ).fetchone()
            if gone:
                connection.execute("DELETE FROM bundle WHERE at_ms < ? AND lo + n <= ?", (before_ms, keep_from))
                set_floor(connection, top)
            connection.execute(
                "DELETE FROM command WHERE finished_ms IS NOT NULL AND claimed_ms < ?", (before_ms - 86_400_000,)
            )
            (low,) = connection.execute("SELECT min(lo) FROM bundle").fetchone()
            return gone, low

        gone, low = await self._writer.run(work)
        self._outbox.deleted(low)
        return gone

    async def make_room(self) -> bool:
        """The disk or the quota is full. True when something was given up, so that trying again makes sense."""
        return False
