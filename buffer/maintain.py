"""What a person has done to the store: records sent again, refused ones tried again or discarded, the file made small.

One thing at a time, each in one transaction together with its journal entry: a power cut leaves it done and noted, or
not begun. The same code runs inside a gateway and, when none runs, inside the verb.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from buffer.bundle import Bundle, cut, deflate
from buffer.chain import Chain
from buffer.chosen import Aside, Weight, need_room, set_aside, weight
from buffer.group import Group, Statement
from buffer.lost import Lost, lost_record
from buffer.outbox import Outbox
from buffer.writer import Writer
from gateway.model.clock import Clock
from gateway.model.errors import BadArgument, StoreBusy
from gateway.model.ports import Lane
from gateway.model.spans import Spans

MAX_SPANS = 1000
"""What is still to be sent is saved as intervals with every commit, so there must not be many."""
SHORT_BYTES = 32_000_000
"""What may be compacted beside a running gateway without being asked: 10 s on a slow card."""
PATIENCE_S = 3.0
"""Beside a running gateway the first part of a VACUUM, about a quarter of it, may take so long. The watchdog is fed by
the store's thread, and outcomes wait for it."""

INSERT_ASIDE = "INSERT INTO set_aside (lo, n, lane, at_ms, reason, body) VALUES (?, ?, ?, ?, ?, ?)"


class Maintenance:
    """`patience_s` is for a store that is at work; whoever has it for itself may set it to infinity."""

    def __init__(self, writer: Writer, group: Group, outbox: Outbox, journal: Chain, clock: Clock) -> None:
        self._writer = writer
        self._group = group
        self._outbox = outbox
        self._journal = journal
        self._clock = clock
        self._turn = asyncio.Lock()
        self.patience_s = PATIENCE_S

    async def perform(self, do: str, args: Mapping[str, Any], who: str) -> dict[str, Any]:
        """`do` and its `args`:

            replay   {"spans": [[lo, hi], ...]}   {"records", "not_held": [[lo, hi], ...], "set_aside"}
            retry    {"spans": [[lo, hi], ...]}   {"records"}
            discard  {"spans": [[lo, hi], ...]}   {"records"}
            compact  {"long": false}              {"before_bytes", "after_bytes", "busy_s"}
            backup   what was copied              {}: it was done by somebody else, and is only noted
            archive  which event                  {}: likewise

        Committed when it returns, with a journal entry naming `who`. Raises BadArgument, and StoreError of all kinds;
        then nothing was done.
        """
        known: dict[str, Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
            "replay": self._replay,
            "retry": self._retry,
            "discard": self._discard,
            "compact": self._compact,
            "backup": self._noted,
            "archive": self._noted,
        }
        if do not in known:
            raise BadArgument(f"the store cannot do {do!r}", hint=f"it can do {', '.join(known)}")
        async with self._turn:
            result = await known[do](args)
            # No await between what joined the group in there and this: they are one transaction.
            self._journal.note("maintenance", {"who": who, "do": do, "args": dict(args), "result": result})
            await self._group.flush()
        return result

    async def _replay(self, args: Mapping[str, Any]) -> dict[str, Any]:
        wanted = _spans(args)
        asked = len(wanted)
        for row in await self._writer.read(set_aside):
            wanted.remove(row.lo, row.hi)
        again = await self._outbox.again(wanted)
        self._outbox.lanes.save_now()
        return {
            "records": again.records,
            "not_held": [list(span) for span in again.not_held],
            "set_aside": asked - len(wanted),
        }

    async def _retry(self, args: Mapping[str, Any]) -> dict[str, Any]:
        wanted, lanes = _spans(args), self._outbox.lanes
        picked = await self._writer.read(lambda connection: _pick(connection, wanted))
        spans = picked.spans()
        lanes.again(spans)  # from here on the keeper leaves their rows alone
        await self._writer.run(lambda connection: _put_back(connection, picked.records))
        lanes.again(spans)  # those that were taken meanwhile and had no row
        lanes.save_now()  # together with the statements: they must not be in neither place
        self._outbox.set_aside -= picked.total()
        self._group.join(statements=picked.statements)
        self._outbox.wake()
        return {"records": len(spans)}

    async def _discard(self, args: Mapping[str, Any]) -> dict[str, Any]:
        wanted = _spans(args)
        picked = await self._writer.read(lambda connection: _pick(connection, wanted))
        spans = picked.spans()
        self._outbox.set_aside -= picked.total()
        now_ms = self._clock.now_ms()
        told = [(int(Lane.URGENT), lost_record(Lost.at(lo, hi, now_ms), "discarded")) for lo, hi in spans]
        self._group.join(told, statements=picked.statements)
        return {"records": len(spans)}

    async def _compact(self, args: Mapping[str, Any]) -> dict[str, Any]:
        before = await self._writer.read(weight)
        need_room(self._writer.path, before.live)
        if self.patience_s < float("inf") and before.live > SHORT_BYTES and args.get("long") is not True:
            raise StoreBusy(
                f"the store would stand still for up to {before.seconds:.0f} s",
                where=str(self._writer.path),
                hint="say --yes, or stop the gateway first; records wait in memory meanwhile",
            )
        began = self._clock.monotonic()
        stopped = threading.Event()
        deadline = began + self.patience_s

        def enough() -> bool:
            return stopped.is_set() or self._clock.monotonic() > deadline

        try:
            await self._writer.read(lambda connection: _vacuum(connection, enough))
        finally:  # also when the gateway stops meanwhile: its last commit must not wait
            stopped.set()
        # A turn of its own: what waited may be committed in between.
        after = await self._writer.read(_shortened)
        busy_s = round(self._clock.monotonic() - began, 3)
        return {"before_bytes": before.size, "after_bytes": after.size, "busy_s": busy_s}

    async def _noted(self, args: Mapping[str, Any]) -> dict[str, Any]:
        del args
        return {}


class _Picked(NamedTuple):
    """Set-aside records, each with when it was set aside, and what takes them out of their table."""

    records: Sequence[tuple[Bundle, int]]
    statements: Sequence[Statement]

    def spans(self) -> Spans:
        return Spans((bundle.lo, bundle.hi) for bundle, _ in self.records)

    def total(self) -> int:
        return sum(bundle.n for bundle, _ in self.records)


def _pick(connection: sqlite3.Connection, wanted: Spans) -> _Picked:
    """What a row holds beside the wanted ids stays set aside. Raises BadArgument when none of them is."""
    records: list[tuple[Bundle, int]] = []
    statements: list[Statement] = []
    for row in set_aside(connection):
        mine = row.part(wanted)
        if not mine:
            continue
        bundle = row.bundle()
        records += [(cut(bundle, lo, hi), row.at_ms) for lo, hi in mine]
        statements.append(("DELETE FROM set_aside WHERE lo = ?", (row.lo,)))
        rest = [cut(bundle, lo, hi) for lo, hi in mine.missing(row.lo, row.hi)]
        statements += [(INSERT_ASIDE, _values(part, row)) for part in rest]
    if not records:
        raise BadArgument("none of these records is set aside", hint="gateway buffer retry lists what is")
    return _Picked(records, statements)


def _values(part: Bundle, row: Aside) -> tuple[Any, ...]:
    return part.lo, part.n, part.lane, row.at_ms, row.reason, deflate(part.body)


def _put_back(connection: sqlite3.Connection, records: Iterable[tuple[Bundle, int]]) -> None:
    """What of them is no longer held is held again; normally all still is."""
    for bundle, at_ms in records:
        rows = connection.execute(
            "SELECT lo, lo + n - 1 FROM bundle WHERE lo <= ? AND lo + n > ?", (bundle.hi, bundle.lo)
        ).fetchall()
        for lo, hi in Spans(rows).missing(bundle.lo, bundle.hi):
            part = cut(bundle, lo, hi)
            connection.execute(
                "INSERT INTO bundle (lo, n, lane, at_ms, body) VALUES (?, ?, ?, ?, ?)",
                (part.lo, part.n, min(part.lane, Lane.LIVE), at_ms, deflate(part.body)),
            )


def _spans(args: Mapping[str, Any]) -> Spans:
    spans = args.get("spans")
    if not isinstance(spans, list) or not spans or not all(map(_is_span, spans)):
        raise BadArgument("no records are named", hint='{"spans": [[100, 200]]}')
    found = Spans((lo, hi) for lo, hi in spans)
    if len(found.intervals()) > MAX_SPANS:
        raise BadArgument(f"more than {MAX_SPANS} separate ranges of ids", hint="name fewer, or one large one")
    return found


def _is_span(span: object) -> bool:
    return (
        isinstance(span, list)
        and len(span) == 2
        and all(type(number) is int for number in span)
        and 0 < span[0] <= span[1] < 2**63
    )


# --- in the store's thread ------------------------------------------------------------------------------------------


def _vacuum(connection: sqlite3.Connection, enough: Callable[[], bool]) -> None:
    """Raises StoreBusy when it is `enough` before the longer, second part of it has begun; then nothing was changed."""
    connection.set_progress_handler(enough, 1000)
    try:
        with _undisturbed(connection):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        raise StoreBusy(
            "compacting took too long beside a running gateway; nothing was changed",
            hint="stop the gateway first (systemctl stop gateway), compact, and start it again",
        ) from error
    finally:
        connection.set_progress_handler(None, 0)


def _shortened(connection: sqlite3.Connection) -> Weight:
    """The WAL, which holds the whole file after a VACUUM, is put into it. A reader may be in the way: then later."""
    with _undisturbed(connection):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return weight(connection)


@contextmanager
def _undisturbed(connection: sqlite3.Connection) -> Iterator[None]:
    """Without waiting long for readers, and without a checkpoint inside the VACUUM."""
    names = ("busy_timeout", "wal_autocheckpoint")
    before = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    _set(connection, names, (200, 0))
    try:
        yield
    finally:
        _set(connection, names, before)


def _set(connection: sqlite3.Connection, names: Iterable[str], values: Iterable[int]) -> None:
    for name, value in zip(names, values, strict=True):
        connection.execute(f"PRAGMA {name}={value}").fetchone()
