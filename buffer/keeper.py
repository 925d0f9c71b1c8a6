"""What is kept, and for how long: by age, by size, and when the disk is full."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from buffer.bundle import Bundle
from buffer.chain import Chain, Entry, canonical
from buffer.group import Note
from buffer.history import History
from buffer.lost import Lost, lost_record
from buffer.outbox import Outbox
from buffer.quota import REPEATED_MS, STEP_BYTES, Held, Plan, Row, aged, delete, give_up, lost_of
from buffer.settings import BufferSettings
from buffer.space import MB, Space
from buffer.steady import Steady
from buffer.tally import KEEP_MS, Tally
from buffer.writer import PAGE_SIZE, Writer
from gateway.model.clock import Clock
from gateway.model.errors import StoreDamaged, StoreError
from gateway.model.ports import Lane
from gateway.model.spans import Spans

log = logging.getLogger("buffer")

DAY_MS = 86_400_000
SOFT = 0.9
"""Above this share of the quota what was sent, and history, go before anybody has to wait for it."""
ROUND = 0.04
"""Share of the quota that is given up at once, so that it is not done every second."""


class Views(NamedTuple):
    """What is kept within bounds, and whether time may be trusted with it."""

    outbox: Outbox
    journal: Chain
    history: History
    tally: Tally
    steady: Steady


class _Gone(NamedTuple):
    """What one transaction gave up, and what it put in to say so."""

    rows: Sequence[Row]
    freed: int
    oldest: int | None
    lost: Sequence[Lost] = ()
    bundles: Sequence[Bundle] = ()
    entries: Sequence[Entry] = ()


class Keeper:
    """Deletes by age what was sent, and by size what has to go, in the order of `buffer.quota`."""

    def __init__(
        self, writer: Writer, views: Views, settings: BufferSettings, clock: Clock, *, until_confirmed: bool = False
    ) -> None:
        self._writer = writer
        self._views = views
        self._settings = settings
        self._clock = clock
        self._until_confirmed = until_confirmed
        self._steady = views.steady
        self._space = Space(writer.path, settings)
        self._held = Held()
        self._round: asyncio.Task[bool] | None = None
        self._failing = False
        self.lost = 0
        """Records that were dropped unsent since the store began."""

    def before_open(self) -> None:
        self._space.before_open()

    def after_close(self) -> None:
        self._space.after_close()

    def load(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'lost'").fetchone()
        self.lost = row[0] if row else 0
        self._views.tally.load(connection)
        self._space.load(connection)

    async def close(self) -> None:
        """Waits for a round that is on its way: what it dropped must be known before the last commit."""
        if self._round is not None:
            await asyncio.wait([self._round])

    def health(self) -> dict[str, Any]:
        """For the heartbeat: small, a number each."""
        pages = self._space.pages
        return {
            "lost": self.lost,
            "store_mb": round(pages.used * PAGE_SIZE / MB, 1),
            "store_max_mb": round(pages.limit * PAGE_SIZE / MB, 1),
        }

    # --- every minute -----------------------------------------------------------------------------------------------

    async def tend(self, why: str = "") -> int:
        """Called every minute or so; `why` nothing is sent, empty when it is. Returns how many sent records went
        because of their age. Raises StoreDamaged; a disk that fails is waited for."""
        gone = 0
        try:
            gone = await self._by_age()
            await self._writer.read(self._space.fit)
            await self._by_size()
            await self._views.journal.cut(int(self._settings.journal_mb * MB))
            await self._views.history.roll()
            await self._views.history.prune()
        except StoreDamaged:
            raise
        except StoreError as error:
            if not self._failing:
                log.error("the store cannot be tended: %s", error)
            self._failing = True
        else:
            self._failing = False
        self._views.tally.note(self.lost, why)
        return gone

    async def _by_age(self) -> int:
        if not self._steady():
            return 0
        now_ms = self._clock.now_ms()
        before_ms = now_ms - int(self._settings.keep_days * DAY_MS)
        sent = self._plan().sent

        def work(connection: sqlite3.Connection) -> _Gone:
            rows = aged(connection, sent, before_ms, now_ms)
            freed = delete(connection, rows)
            connection.execute(
                "DELETE FROM command WHERE finished_ms IS NOT NULL AND claimed_ms < ?", (before_ms - DAY_MS,)
            )
            connection.execute("DELETE FROM tally WHERE at_ms < ?", (now_ms - KEEP_MS,))
            return _Gone(rows, freed, _oldest(connection))

        gone = await self._writer.run(work)
        self._done(gone, now_ms)
        return sum(row.n for row in gone.rows)

    async def _by_size(self) -> None:
        """Before it hurts: only what was sent, and history."""
        outbox, pages = self._views.outbox, self._space.pages
        bound = min(pages.limit, self._space.most) * PAGE_SIZE
        share = int(self._settings.sent_share * bound)
        if pages.used * PAGE_SIZE > share:
            await self._writer.read(self._held.count)
            over = self._held.sent(len(outbox.lanes.unsettled())) - share
            if over > 0:
                await self._give_up(Plan(self._plan().sent, history=False), min(over + int(ROUND * bound), STEP_BYTES))
        over = self._space.pages.used * PAGE_SIZE - int(SOFT * bound)
        if over > 0:
            await self._give_up(Plan(self._plan().sent), min(over + int(ROUND * bound), STEP_BYTES))

    # --- when nothing more goes in ----------------------------------------------------------------------------------

    async def make_room(self, size: int = 0) -> bool:
        """Something of about this size did not go in: the disk or the quota is full. True when trying again makes
        sense. Never raises StoreError; asked from several sides at once it does it once."""
        if self._round is None:
            self._round = asyncio.create_task(self._make_room(size), name="make room")
            self._round.add_done_callback(self._round_over)
        # A caller may be cancelled. What was dropped must be known all the same.
        return await asyncio.shield(self._round)

    def _round_over(self, _: asyncio.Task[bool]) -> None:
        self._round = None

    async def _make_room(self, size: int) -> bool:
        """Everything here runs in transactions that make no room themselves: they would wait for this one."""
        try:
            partition_full = self._space.partition_full()
            released = await self._writer.read(self._space.relieve if partition_full else self._space.limit)
            pages = self._space.pages
            need = max(int(ROUND * pages.limit) * PAGE_SIZE, size)
            # With room inside the file it was the partition: giving up records would not help. If that has room again,
            # whoever filled it has made some.
            if pages.room * PAGE_SIZE > 2 * need:
                return released or not partition_full
            return await self._give_up(self._plan(), need)
        except StoreError as error:
            log.debug("no room could be made: %s", error)
            return False

    # --- giving up --------------------------------------------------------------------------------------------------

    def _plan(self) -> Plan:
        """What may go, as far as the event loop knows: what is on its way, or was stored a moment ago, may not."""
        outbox, now_ms = self._views.outbox, self._clock.now_ms()
        newest = outbox.span()[1]
        sent = Spans(outbox.lanes.unsettled().missing(1, newest))
        unconfirmed = Spans()
        if self._until_confirmed:
            unconfirmed = sent.copy()
            unconfirmed.remove(1, outbox.upto)
            sent.remove(outbox.upto + 1, newest)
        back, live = outbox.lanes.due(Lane.BACK, now_ms), outbox.lanes.due(Lane.LIVE, now_ms)
        commands_ms = now_ms - REPEATED_MS if self._steady() else 0
        return Plan(sent, unconfirmed, back, live, commands_ms=commands_ms)

    async def _give_up(self, plan: Plan, need: int) -> bool:
        now_ms = self._clock.now_ms()

        def work(connection: sqlite3.Connection) -> _Gone:
            rows, freed = give_up(connection, plan, need, now_ms)
            self._space.measure(connection)
            lost = lost_of(rows, plan)
            if not lost:
                return _Gone(rows, freed, _oldest(connection))
            told = [(int(Lane.URGENT), lost_record(part, "quota")) for part in lost]
            bundles = self._views.outbox.write(connection, told, now_ms)
            total = sum(part.n for part in lost)
            body = {"n": total, "spans": [[part.lo, part.hi] for part in lost], "why": "quota"}
            entries = self._views.journal.write(connection, [Note(now_ms, "lost", canonical(body))])
            connection.execute(
                "INSERT INTO meta VALUES ('lost', ?1) ON CONFLICT (key) DO UPDATE SET value = value + ?1", (str(total),)
            )
            return _Gone(rows, freed, _oldest(connection), lost, bundles, entries)

        gone = await self._writer.run_once(work)
        self._done(gone, now_ms)
        return gone.freed > 0

    def _done(self, gone: _Gone, now_ms: int) -> None:
        """Committed: the views learn of it."""
        outbox = self._views.outbox
        self._held.forget(gone.rows)
        for lo, hi in Spans((row.lo, row.hi) for row in gone.rows):
            outbox.lanes.drop(lo, hi)
        outbox.committed(gone.bundles, now_ms)
        self._views.journal.committed(gone.entries)
        outbox.deleted(gone.oldest)
        if gone.lost:
            records = sum(part.n for part in gone.lost)
            self.lost += records
            log.error("no room: %d records from %d on were dropped unsent", records, gone.lost[0].lo)


def _oldest(connection: sqlite3.Connection) -> int | None:
    (low,) = connection.execute("SELECT min(lo) FROM bundle").fetchone()
    return None if low is None else int(low)
