"""What is carried from a damaged store into a new one, in the order of what matters.

Records that the centre has keep their ids and lie below `offered`: they are never offered in the new epoch. Those still
to be sent get the ids from there on, in their old order. Where the old store does not say what was sent, everything is
sent: twice is better than never.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from buffer.bundle import MAX_RECORDS, Bundle, cut, deflate, inflate, renumbered
from buffer.chain import Chain, anchor_in, canonical, digest
from buffer.group import Note
from buffer.lost import Lost, lost_record
from buffer.outbox import Outbox
from buffer.relics import Relics, Unsettled, is_json
from buffer.wreck import HIGHEST, Reader, Row
from gateway.model.ports import Lane
from gateway.model.spans import Spans

SESSIONS = 1000
"""Sessions that may have been given after the last one that can be read."""
AT_ONCE = 200
KEEP_FREE = 0.05
"""Share of the partition that stays free; four times as much where it is for history."""
KEEP_BYTES = 256 * 1024
"""So much stays free of what matters most, too: the new store must be finished, and opened."""
MOST_RANGES = 200
"""Ranges of lost ids that get a record each. Beyond that, the last record is for all that is left."""
NAMED = 50
_FAR = 10**8
_OF_THE_OLD = {"journal_bytes", "copied"}  # counted anew; done, with the new epoch

_INTO_BUNDLE = "INSERT OR IGNORE INTO bundle VALUES (?, ?, ?, ?, ?)"
_INTO_COMMAND = "INSERT OR IGNORE INTO command VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(slots=True)
class Carried:
    """What came over, as it is logged and noted in the journal of the new store. `lost`: records that had to be sent;
    `unreadable`: others."""

    records: int = 0
    to_send: int = 0
    lost: int = 0
    unreadable: int = 0
    commands: int = 0
    journal: int = 0
    history: int = 0
    left: bool = False
    """There was not time or room for everything."""
    journal_gaps: list[tuple[int, int]] = field(default_factory=list)
    journal_unproved: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        rest = "; there was not time or room for everything" if self.left else ""
        return (
            f"{self.records} records came over, {self.to_send} of them to be sent; {self.lost} are lost, "
            f"{self.unreadable} that the centre has could not be read; {self.commands} commands, "
            f"{self.journal} journal entries, {self.history} rows of history{rest}"
        )


@dataclass(frozen=True, slots=True)
class _Old:
    """What the old store said of itself. `top`: the highest id it may have given."""

    meta: Mapping[str, str]
    unsettled: Unsettled | None
    top: int


class Carrier:
    """One wreck, one new store, which has its schema and nothing else yet."""

    def __init__(self, reader: Reader, store: sqlite3.Connection, folder: Path, now_ms: int) -> None:
        self._reader = reader
        self._relics = Relics(reader, now_ms)
        self._store = store
        self._folder = folder
        self._now_ms = now_ms
        self.carried = Carried()

    def run(self, story: Mapping[str, Any]) -> Carried:
        """`story`: what else the journal entry says."""
        relics, carried = self._relics, self.carried
        meta = relics.meta()
        self._copy(_INTO_COMMAND, relics.commands())
        self._copy("INSERT OR IGNORE INTO journal VALUES (?, ?, ?, ?, ?)", relics.journal())
        self._copy("INSERT OR IGNORE INTO keepsake VALUES (?, ?)", relics.keepsakes())
        self._copy("INSERT OR IGNORE INTO signal VALUES (?, ?)", relics.signals())
        self._copy("INSERT OR IGNORE INTO tally VALUES (?, ?, ?, ?, ?, ?)", relics.tally())
        old = self._old(meta)
        guess = old.top + 10 * MAX_RECORDS
        self._copy("INSERT OR IGNORE INTO set_aside VALUES (?, ?, ?, ?, ?, ?)", relics.set_aside(guess))
        self._copy(_INTO_BUNDLE, relics.bundles(guess), KEEP_FREE)
        self._copy(_INTO_BUNDLE, relics.strays(int(meta.get("floor", "0"))), KEEP_FREE)
        self._copy("INSERT OR IGNORE INTO history VALUES (?, ?, ?, ?, ?)", relics.history(), 4 * KEEP_FREE)
        self._copy(_INTO_COMMAND, relics.command_ids())
        carried.left |= self._reader.left
        self._prove_journal(meta)
        self._settle(old)
        carried.commands, carried.journal, carried.history = map(self._count, ("command", "journal", "history"))
        self._sign(old, story)
        return carried

    # --- writing ------------------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # No ROLLBACK here: a new store that cannot be finished is thrown away.
        self._store.execute("BEGIN")
        yield
        self._store.execute("COMMIT")

    def _copy(self, sql: str, rows: Iterable[Row], keep_free: float = 0.0) -> None:
        rows = iter(rows)
        while step := list(islice(rows, AT_ONCE)):
            usage = shutil.disk_usage(self._folder)
            if usage.free < max(keep_free * usage.total, KEEP_BYTES) or not self._took(sql, step):
                self.carried.left = True
                return

    def _took(self, sql: str, rows: list[Row]) -> bool:
        """False when there is no room for these rows: what came over before them is worth having."""
        try:
            with self._transaction():
                self._store.executemany(sql, rows)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            if self._store.in_transaction:
                self._store.execute("ROLLBACK")
            return False
        return True

    def _count(self, table: str) -> int:
        (count,) = self._store.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608  # ours
        return int(count)

    # --- the journal --------------------------------------------------------------------------------------

    def _prove_journal(self, meta: Mapping[str, str]) -> None:
        """Takes out what is not what was written, and finds where the chain has holes. The first entry behind a hole
        cannot be proved: what it follows is gone. It is kept, and named."""
        at, before = anchor_in(meta.get("journal_cut", "{}"))
        wrong: list[tuple[int]] = []
        gaps, unproved = self.carried.journal_gaps, self.carried.journal_unproved
        for seq, at_ms, kind, body, hash_ in self._store.execute("SELECT * FROM journal ORDER BY seq"):
            follows = digest(seq, at_ms, kind.encode(), body.encode(), before.encode()) == hash_
            if seq <= at or (seq == at + 1 and not follows) or not is_json(body):
                wrong.append((seq,))
                continue
            if seq > at + 1:
                gaps.append((at + 1, seq - 1))
                unproved.append(seq)
            at, before = seq, hash_
        if wrong and wrong[-1][0] > at:
            gaps.append((at + 1, wrong[-1][0]))
        with self._transaction():
            self._store.executemany("DELETE FROM journal WHERE seq = ?", wrong)

    # --- records ------------------------------------------------------------------------------------------

    def _old(self, meta: Mapping[str, str]) -> _Old:
        unsettled = Unsettled.parsed(meta.get("unsettled", ""))
        (stored,) = self._store.execute("SELECT coalesce(max(stored), 0) FROM tally").fetchone()
        top = max(stored, unsettled.seen if unsettled else 0, int(meta.get("floor", "0")))
        return _Old(meta, unsettled, top if top < HIGHEST else 0)

    def _settle(self, old: _Old) -> None:
        """Divides what came over in sent and unsent, and says what is lost."""
        held = self._held("bundle")
        known = held.copy()
        known.update(self._held("set_aside"))
        end = known.last()[1] if known else 0
        top = max(end, old.top) if old.top < end + _FAR else end
        first = int(old.meta["floor"]) + 1 if "floor" in old.meta else known.first()[0] if known else top + 1
        everything = Spans([(first, top)])
        unsent = old.unsettled.upto(top) if old.unsettled else _union(everything, held)
        gone = _without(unsent, known)
        self.carried.lost = len(gone)
        self.carried.unreadable = len(_without(_without(everything, known), gone))
        self.carried.records = len(held)
        todo = self._renumber(unsent, end, old.unsettled)
        self._begin(old, todo, end)
        self._report(list(gone), old.meta.get("epoch", ""))

    def _held(self, table: str) -> Spans:
        """Ids held. A row whose ids are there already was reached over a page that is no longer its table's."""
        held, twice = Spans(), []
        for lo, n in self._store.execute(f"SELECT lo, n FROM {table} ORDER BY lo"):  # noqa: S608  # ours
            if held and lo <= held.last()[1]:
                twice.append((lo,))
            else:
                held.add(lo, lo + n - 1)
        with self._transaction():
            self._store.executemany(f"DELETE FROM {table} WHERE lo = ?", twice)  # noqa: S608  # ours
        return held

    def _renumber(self, unsent: Spans, end: int, known: Unsettled | None) -> dict[Lane, Spans]:
        """Gives the unsent records ids above `end`; returns them by the lane they are sent in."""
        todo = {lane: Spans() for lane in Lane}
        next_rid = end + 1
        rows = self._store.execute("SELECT lo, n FROM bundle ORDER BY lo").fetchall()
        due = iter([lo for lo, n in rows if unsent.missing(lo, lo + n - 1) != [(lo, lo + n - 1)]])
        while step := list(islice(due, AT_ONCE)):
            with self._transaction():
                for lo in step:
                    at_ms, parts = self._divide(lo, unsent)
                    for part in parts:
                        self._insert(renumbered(part, next_rid), at_ms)
                        todo[known.lane_of(part) if known else Lane.BACK].add(next_rid, next_rid + part.n - 1)
                        next_rid += part.n
        self.carried.to_send = next_rid - end - 1
        return todo

    def _divide(self, lo: int, unsent: Spans) -> tuple[int, list[Bundle]]:
        """Takes a row out, puts back what of it was sent; returns when it was stored, and the rest."""
        n, lane, at_ms, blob = self._store.execute(
            "DELETE FROM bundle WHERE lo = ? RETURNING n, lane, at_ms, body", (lo,)
        ).fetchone()
        bundle = Bundle(lo, n, lane, inflate(blob))
        sent = unsent.missing(lo, bundle.hi)
        for a, b in sent:
            self._insert(cut(bundle, a, b), at_ms)
        return at_ms, [cut(bundle, a, b) for a, b in Spans(sent).missing(lo, bundle.hi)]

    def _insert(self, bundle: Bundle, at_ms: int) -> None:
        self._store.execute(_INTO_BUNDLE, (bundle.lo, bundle.n, bundle.lane, at_ms, deflate(bundle.body)))

    def _report(self, gone: list[tuple[int, int]], epoch: str) -> None:
        """The records that tell the centre what will never come."""
        alone, rest = gone[:MOST_RANGES], gone[MOST_RANGES:]
        ranges = [(lo, hi, hi - lo + 1) for lo, hi in alone]
        if rest:
            ranges.append((rest[0][0], rest[-1][1], sum(hi - lo + 1 for lo, hi in rest)))
        lost = [Lost(*range_, self._now_ms, self._now_ms, epoch) for range_ in ranges]
        records = [(int(Lane.URGENT), lost_record(part, "damaged")) for part in lost]
        with self._transaction():
            Outbox.write(self._store, records, self._now_ms)

    # --- what the new store says of itself ----------------------------------------------------------------

    def _begin(self, old: _Old, todo: Mapping[Lane, Spans], end: int) -> None:
        """The new epoch. Its session numbers are above every one that was given, also where the last cannot be read:
        nobody connects more than once a minute for years."""
        meta = {name: text for name, text in old.meta.items() if name not in _OF_THE_OLD}
        session = max(int(old.meta.get("session", "0")) + SESSIONS, self._now_ms // 60_000)
        unsettled = {"seen": end + self.carried.to_send, **{lane.name.lower(): list(todo[lane]) for lane in Lane}}
        meta |= {
            "epoch": secrets.token_hex(4),
            "session": str(session),
            "floor": str(end),
            "offered": str(end + 1),
            "confirmed": str(min(int(old.meta.get("confirmed", "0")), end)),
            "lost": str(int(old.meta.get("lost", "0")) + self.carried.lost),
            "unsettled": json.dumps(unsettled, separators=(",", ":")),
            "clean": "1",
        }
        with self._transaction():
            self._store.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())

    def _sign(self, old: _Old, story: Mapping[str, Any]) -> None:
        """The entry that says what happened, behind what is left of the chain."""
        told = asdict(self.carried)
        told |= {name: value[:NAMED] for name, value in told.items() if isinstance(value, list)}
        epochs = {"old": old.meta.get("epoch", ""), "new": self._epoch()}
        with self._transaction():
            Chain.write(
                self._store, [Note(self._now_ms, "store", canonical({"salvaged": told, "epoch": epochs, **story}))]
            )

    def _epoch(self) -> str:
        (epoch,) = self._store.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        return str(epoch)


def _without(spans: Spans, other: Spans) -> Spans:
    return Spans(gap for lo, hi in spans for gap in other.missing(lo, hi))


def _union(spans: Spans, other: Spans) -> Spans:
    both = spans.copy()
    both.update(other)
    return both
