"""One SQLite file and its views: outbox, claims, journal, history, keepsakes, and the keeper that bounds them.

*Stored* means committed: what joins the open group is committed at the latest `commit_every_s` later (urgent records
at once), all of it in one transaction. *Sent* means settled by the uplink after an acknowledgement, which is written
with the next commit; a crash before it sends the same ids again, never others.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from buffer.bundle import Bundle
from buffer.chain import Chain, Entry
from buffer.claims import Claims
from buffer.group import Bag, Group
from buffer.history import History
from buffer.keeper import Keeper, Views
from buffer.keepsakes import Keepsakes, packed
from buffer.maintain import Maintenance
from buffer.outbox import Outbox
from buffer.salvage import recover
from buffer.settings import BufferSettings
from buffer.steady import Steady
from buffer.tally import Tally
from buffer.writer import Connect, Writer
from gateway.model.clock import Clock
from gateway.model.errors import StoreError
from gateway.model.indicator import Indicator
from gateway.model.ports import Lane

log = logging.getLogger("buffer")

# Records waiting for a commit that does not come (a full disk): beyond this the caller waits.
GROUP_LIMIT = 50_000
CLOSE_S = 5.0


class Store:
    """Enter it to open, leave it to commit and close. Raises StoreError, StoreBusy on entering.

    `until_confirmed`: sent records are kept until the far end has confirmed them, whatever their age.
    """

    def __init__(
        self,
        path: Path,
        settings: BufferSettings,
        clock: Clock,
        connect: Connect | None = None,
        *,
        until_confirmed: bool = False,
    ) -> None:
        self.path = path
        self._settings = settings
        self._clock = clock
        self._writer = Writer(path, connect, settings.check_s)
        self._group = Group(self._write, settings.commit_every_s)
        self.outbox = Outbox(self._writer, self._group, clock)
        self.journal = Chain(self._writer, self._group, clock)
        self.claims = Claims(self._writer, self._group, self.journal)
        self.keepsakes = Keepsakes(self._writer)
        steady = Steady(clock)
        self.history = History(self._writer, settings.history, clock, steady)
        views = Views(self.outbox, self.journal, self.history, Tally(self._group, self.outbox, clock), steady)
        self.keeper = Keeper(self._writer, views, settings, clock, until_confirmed=until_confirmed)
        self.maintenance = Maintenance(self._writer, self._group, self.outbox, self.journal, clock)
        self.commits = 0

    async def __aenter__(self) -> Self:
        self.keeper.before_open()
        # A damaged store must not keep the gateway dark: a new one begins with what can be read of it.
        self._writer.on_damage = lambda damage: recover(self.path, damage.what, self._clock)
        await self._writer.open()
        try:
            await self._writer.run(self._load)
        except BaseException:
            await self._writer.close()
            raise
        self._writer.on_full = self.keeper.make_room
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.claims.close()
        self.outbox.close()
        try:
            # A damaged file takes nothing any more: the next start salvages it.
            await self._group.close(1.0 if self._writer.damaged else CLOSE_S)
        finally:
            await self.keeper.close()
            await self._writer.close()
            self.keeper.after_close()

    def _load(self, connection: sqlite3.Connection) -> None:
        self.outbox.load(connection)
        self.journal.load(connection)
        self.keeper.load(connection)

    # --- in ---------------------------------------------------------------------------------------------

    async def append(
        self,
        records: Sequence[bytes],
        lane: Lane = Lane.LIVE,
        windows: Sequence[Indicator] = (),
        *,
        notes: Sequence[tuple[str, Mapping[str, Any]]] = (),
        keep: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Joins the open commit group; waits only while the disk takes nothing and the group is full."""
        entries = [self.journal.noted(kind, body) for kind, body in notes]
        keepsakes = packed(keep or {})
        while len(self._group) > GROUP_LIMIT:
            await self._group.flush()
        if records or windows or entries or keepsakes:
            told = [(lane, record) for record in records]
            self._group.join(told, windows=windows, notes=entries, keepsakes=keepsakes)
            self._group.within(0 if records and lane is Lane.URGENT else self._settings.commit_every_s)

    async def flush(self) -> None:
        """Returns after everything appended and settled so far is committed."""
        self.outbox.lanes.save_now()
        await self._group.flush()

    async def _write(self, bag: Bag, first_try: bool) -> bool:
        """One transaction. False, with one log line, when the disk did not take it."""
        at_ms = self._clock.now_ms()
        unsettled = self.outbox.lanes.to_save(self._clock.monotonic())

        def work(connection: sqlite3.Connection) -> tuple[Sequence[Bundle], Sequence[Entry]]:
            for sql, values in bag.statements:
                connection.execute(sql, values)
            bundles = self.outbox.write(connection, bag.records, at_ms) if bag.records else ()
            if bag.windows:
                self.history.write(connection, bag.windows)
            entries = self.journal.write(connection, bag.notes) if bag.notes else ()
            if bag.keepsakes:
                self.keepsakes.write(connection, bag.keepsakes)
            if unsettled:
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('unsettled', ?)", (unsettled,))
            return bundles, entries

        try:
            bundles, entries = await self._writer.run(work, sum(len(record) for _, record in bag.records))
        except StoreError as error:
            self.outbox.lanes.not_saved(unsettled)
            if first_try:
                log.error("%s; %d records wait in memory", error, len(bag.records))
            return False
        self.commits += 1
        self.outbox.committed(bundles, at_ms)
        self.journal.committed(entries)
        return True

    @property
    def checked(self) -> str:
        """What the start looked at: "clean" (nothing to check), "whole", "part" (the time was over), "salvaged"."""
        return self._writer.checked

    async def failing(self) -> NoReturn:
        """Raises StoreDamaged once the file turns out to be damaged: the process must end, and be started again."""
        await self._writer.failing()

    # --- for the watchdog -------------------------------------------------------------------------------

    async def turn(self) -> None:
        """Returns when the store's thread has answered."""
        await self._writer.read(lambda connection: connection.execute("SELECT 1").fetchone())
