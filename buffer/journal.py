"""The journal from outside: read and verified beside a running gateway, or in a copied file. Never writes."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from buffer import inspect
from buffer.chain import KIND, anchor_in, digest
from buffer.damage import corrupt
from gateway.model.errors import StoreError

# How many broken links are named; all are counted.
NAMED = 20
# Entries read at once. No longer transaction than that: the daemon could not begin its write-ahead log anew.
STEP = 2000
_KIND = re.compile(KIND.pattern.encode())
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
# As what they should be: in a damaged row anything may stand.
_COLUMNS = (
    "SELECT seq, coalesce(CAST(at_ms AS INTEGER), 0), coalesce(CAST(kind AS TEXT), ''), "
    "coalesce(CAST(body AS TEXT), ''), (SELECT CAST(p.hash AS TEXT) FROM journal AS p WHERE p.seq = journal.seq - 1), "
    "coalesce(CAST(hash AS TEXT), '') "
)
_OLDEST_FIRST = _COLUMNS + "FROM journal WHERE seq > ? ORDER BY seq LIMIT ?"
_NEWEST_FIRST = _COLUMNS + "FROM journal WHERE seq < ? ORDER BY seq DESC LIMIT ?"
# As bytes: not what they should read, but what is there.
_BYTES = (
    "SELECT seq, at_ms, CAST(kind AS BLOB), CAST(body AS BLOB), CAST(hash AS BLOB) FROM journal "
    "WHERE seq > ? ORDER BY seq LIMIT ?"
)


class Row(NamedTuple):
    """One entry. `body` is canonical JSON as it is kept, `prev` the hash of the entry before it."""

    seq: int
    at_ms: int
    kind: str
    body: str
    prev: str
    hash: str

    @property
    def content(self) -> dict[str, Any]:
        """The body as it reads; what was damaged is shown as it stands."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        return found if isinstance(found, dict) else {"unreadable": self.body}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which entries: of these kinds (all if empty), from..to in ms UTC, both included."""

    kinds: Collection[str] = ()
    from_ms: int = -(2**63)
    to_ms: int = 2**63

    def takes(self, kind: str, at_ms: int) -> bool:
        return (not self.kinds or kind in self.kinds) and self.from_ms <= at_ms <= self.to_ms


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write. Raises StoreError when the file is missing, no store, or of a gateway that kept
    no journal."""
    with inspect.read_only(path) as connection:
        if connection.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'journal'").fetchone() is None:
            raise StoreError(
                "this store has no journal: an older gateway wrote it",
                where=str(path),
                hint="start this gateway on it once; it brings the store up to date",
            )
        yield connection


def entries(connection: sqlite3.Connection, choice: Choice, *, newest_first: bool = False) -> Iterator[Row]:
    """In steps, so that a running gateway is not held up."""
    sql = _NEWEST_FIRST if newest_first else _OLDEST_FIRST
    after = _HIGHEST if newest_first else _LOWEST
    anchor = cut_at(connection)
    while rows := connection.execute(sql, (after, STEP)).fetchall():
        if not (rows[-1][0] < after if newest_first else rows[-1][0] > after):
            raise corrupt("entries of the journal are out of order")  # or this would never end
        after = rows[-1][0]
        for seq, at_ms, kind, body, prev, hash_ in rows:
            if choice.takes(kind, at_ms):
                before = anchor[1] if prev is None and anchor[0] == seq - 1 else prev or ""
                yield Row(seq, at_ms, kind, body, before, hash_)


def cut_at(connection: sqlite3.Connection) -> tuple[int, str]:
    """(number, hash) of the last entry that was cut off; (0, "") if none was."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'journal_cut'").fetchone()
    return (0, "") if row is None else anchor_in(row[0])


# --- verifying ------------------------------------------------------------------------------------------------------


class Fault(StrEnum):
    """What is wrong at an entry."""

    CHANGED = "changed"
    """It, or the entry before it, is not what was written."""
    MISSING = "missing"
    """Entries before it are not there."""
    PUT_IN = "put_in"
    """It was not written by the gateway there."""
    CUT = "cut"
    """Older entries were removed without the entry that says so."""
    ANOTHER = "another"
    """The centre was told of another hash: the journal was rewritten."""
    ENDS_BEFORE = "ends_before"
    """The centre was told of this entry, and the journal ends before it."""


class Broken(NamedTuple):
    """`seq`: the entry that it shows at. `upto`: for missing ones, the last of them."""

    seq: int
    fault: Fault
    upto: int = 0


@dataclass(slots=True)
class Verdict:
    """What was found. `anchor`: the last entry that was cut off. `head`: the newest entry. `heads_met`: heads that the
    centre knows and that are in the journal; `heads_cut`: those that are older than it reaches."""

    entries: int = 0
    first: int = 0
    anchor: tuple[int, str] = (0, "")
    head: tuple[int, str] = (0, "")
    broken: list[Broken] = field(default_factory=list)
    faults: int = 0
    heads_met: int = 0
    heads_cut: int = 0

    @property
    def holds(self) -> bool:
        return self.faults == 0

    def found(self, broken: Broken) -> None:
        if self.broken and broken == Broken(self.broken[-1].seq, Fault.PUT_IN):
            self.broken[-1] = broken  # the entry itself looked changed; now it is known better
            return
        self.faults += 1
        if len(self.broken) < NAMED:
            self.broken.append(broken)


def verify(connection: sqlite3.Connection, heads: Mapping[int, Collection[str]] | None = None) -> Verdict:
    """Follows every link, from the first entry or from where the journal was cut, in one pass and little memory.

    `heads`: hashes the centre was told, by number. Without them nobody can see that the newest entries were removed, or
    that all was written anew: a chain that was made again from some entry on holds together too.
    """
    link = _Link(dict(heads or {}))
    after = _LOWEST
    while True:
        connection.execute("BEGIN")  # where it was cut, and the entries, as they are at one moment
        try:
            anchor, rows = cut_at(connection), connection.execute(_BYTES, (after, STEP)).fetchall()
        finally:
            connection.execute("ROLLBACK")
        link.begin_at(anchor)
        for row in rows:
            link.follow(*row)
        if len(rows) < STEP:
            return link.end()
        after = rows[-1][0]


class _Link:
    """Where the walk along the chain stands: the entry just passed, and the hash before it."""

    def __init__(self, heads: dict[int, Collection[str]]) -> None:
        self._verdict = Verdict()
        self._heads = heads
        self._seq, self._hash, self._before = 0, b"", b""
        self._witness: bytes | None = None

    def begin_at(self, anchor: tuple[int, str]) -> None:
        """The journal was cut there, perhaps while we read."""
        self._verdict.anchor = anchor
        if anchor[0] > self._seq:
            self._seq, self._hash, self._before = anchor[0], anchor[1].encode(), b""
            self._meet()

    def follow(self, seq: int, at_ms: int, kind: bytes, body: bytes, hash_: bytes) -> None:
        verdict = self._verdict
        verdict.entries += 1
        verdict.first = verdict.first or seq
        if kind == b"cut":
            self._witness = body
        if seq <= self._seq:
            verdict.found(Broken(seq, Fault.PUT_IN))  # older than where the journal begins
            return
        if seq > self._seq + 1:
            verdict.found(Broken(self._seq + 1, Fault.MISSING, seq - 1))
        elif not _KIND.fullmatch(kind) or digest(seq, at_ms, kind, body, self._hash).encode() != hash_:
            # If it follows the entry before the last one, then the last one is what was put in between.
            follows_earlier = digest(seq - 1, at_ms, kind, body, self._before).encode() == hash_
            verdict.found(Broken(self._seq, Fault.PUT_IN) if follows_earlier else Broken(seq, Fault.CHANGED))
        self._before, self._seq, self._hash = self._hash, seq, hash_
        self._meet()

    def end(self) -> Verdict:
        verdict = self._verdict
        verdict.head = (self._seq, self._hash.decode("ascii", "replace"))
        cut, hash_ = verdict.anchor
        if cut and not _says(self._witness, {"to": cut, "head": hash_}):
            verdict.found(Broken(cut, Fault.CUT))
        for seq in sorted(self._heads):
            if seq > self._seq:
                verdict.found(Broken(seq, Fault.ENDS_BEFORE))
            elif seq < cut:
                verdict.heads_cut += 1
            else:
                verdict.found(Broken(seq, Fault.MISSING, seq))
        return verdict

    def _meet(self) -> None:
        """Is this what the centre was told?"""
        for told in self._heads.pop(self._seq, ()):
            if told.encode() == self._hash:
                self._verdict.heads_met += 1
            else:
                self._verdict.found(Broken(self._seq, Fault.ANOTHER))


def _says(body: bytes | None, anchor: Mapping[str, Any]) -> bool:
    try:
        content = json.loads(body or b"")
    except ValueError:
        return False
    return isinstance(content, dict) and all(content.get(key) == value for key, value in anchor.items())
