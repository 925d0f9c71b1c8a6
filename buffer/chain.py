"""The journal's chain: each entry's hash covers the hash of the one before, so that nothing can be changed, taken out
or put in unseen. The newest hash is also sent to the centre: a journal that was rewritten whole does not match it.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, NamedTuple

from buffer.group import Group, Note
from buffer.writer import Writer
from gateway.model.clock import Clock

KIND = re.compile(r"[a-z]{1,20}")
# What an entry takes beside its body: hash, number, time, kind, and SQLite's own.
OVERHEAD = 120
# A cut goes down to this share, so that it is one entry now and then and not one a minute.
CUT_TO = 0.9
_EXACT = 2**53


class Entry(NamedTuple):
    """One entry as it is kept. `body` is canonical JSON."""

    seq: int
    at_ms: int
    kind: str
    body: str
    hash: str


# --- canonical JSON -------------------------------------------------------------------------------------------------


def canonical(content: Any) -> str:
    """JSON by RFC 8785: keys in the order of their UTF-16 units, numbers as ECMAScript writes them, no spaces.

    It never refuses a value, because a journal must not: what a JSON number cannot carry (NaN, infinity, integers
    beyond 2^53) is written as text, half a surrogate pair as "?". Raises TypeError for what is no JSON at all.
    """
    return _json(content).encode("utf-8", "replace").decode()


def _json(content: Any) -> str:
    if isinstance(content, str):
        return encode_basestring(content)
    if content is None or isinstance(content, bool):
        return "null" if content is None else "true" if content else "false"
    if isinstance(content, int):
        return int.__repr__(content) if abs(content) <= _EXACT else f'"{int(content)}"'
    if isinstance(content, float):
        return _number(content)
    if isinstance(content, Mapping):
        keys = sorted(content, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{encode_basestring(key)}:{_json(content[key])}" for key in keys) + "}"
    if isinstance(content, Sequence) and not isinstance(content, bytes | bytearray):
        return "[" + ",".join(map(_json, content)) + "]"
    raise TypeError(f"{type(content).__name__} is no JSON")


def _number(value: float) -> str:
    """As ECMAScript does. Python finds the same shortest digits and only sets them out differently."""
    if not isfinite(value):
        return '"NaN"' if value != value else '"Infinity"' if value > 0 else '"-Infinity"'  # noqa: PLR0124  # NaN
    if value == 0:
        return "0"
    sign, figures, exponent = Decimal(float.__repr__(value)).normalize().as_tuple()
    digits = "".join(map(str, figures))
    point = len(digits) + int(exponent)  # where the decimal point stands, counted from the first digit
    if 0 < point <= 21:
        whole, rest = digits[:point].ljust(point, "0"), digits[point:]
        text = f"{whole}.{rest}" if rest else whole
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        text = f"{digits[0]}.{digits[1:]}" if digits[1:] else digits
        text += f"e{point - 1:+d}"
    return f"-{text}" if sign else text


# --- the chain ------------------------------------------------------------------------------------------------------


def digest(seq: int, at_ms: int, kind: bytes, body: bytes, before: bytes) -> str:
    """The hash of an entry: SHA-256 of its canonical JSON, in hex. `body` goes in as it is kept, byte by byte; `before`
    is the hash of the entry before it, empty for the first."""
    text = b'{"at":%d,"body":%b,"kind":"%b","prev":"%b","seq":%d}' % (at_ms, body, kind, before, seq)
    return sha256(text).hexdigest()


def link(seq: int, note: Note, before: str) -> Entry:
    """The entry that follows the one with the hash `before` ("" for the first)."""
    found = digest(seq, note.at_ms, note.kind.encode(), note.body.encode(), before.encode())
    return Entry(seq, note.at_ms, note.kind, note.body, found)


class Chain:
    """The daemon's end of the journal (`gateway.model.ports.Journal`). Kinds and bodies: see buffer/README.md."""

    def __init__(self, writer: Writer, group: Group, clock: Clock) -> None:
        self._writer = writer
        self._group = group
        self._clock = clock
        self._head = (0, "")

    def note(self, kind: str, body: Mapping[str, Any]) -> None:
        self._group.join(notes=[self.noted(kind, body)])
        self._group.within(self._group.every_s)

    def noted(self, kind: str, body: Mapping[str, Any]) -> Note:
        """An entry that may join the open group. Raises ValueError for what is no kind, TypeError for what is no
        JSON."""
        if not KIND.fullmatch(kind):
            raise ValueError(f"{kind!r} is no kind of entry")
        return Note(self._clock.now_ms(), kind, canonical(body))

    def head(self) -> tuple[int, str]:
        return self._head

    def load(self, connection: sqlite3.Connection) -> None:
        self._head = newest(connection)

    @staticmethod
    def write(connection: sqlite3.Connection, notes: Iterable[Note]) -> Sequence[Entry]:
        """In the store's thread, inside the transaction."""
        seq, before = newest(connection)
        entries: list[Entry] = []
        for note in notes:
            entry = link(seq + 1, note, before)
            seq, before = entry.seq, entry.hash
            entries.append(entry)
        connection.executemany("INSERT INTO journal (seq, at_ms, kind, body, hash) VALUES (?, ?, ?, ?, ?)", entries)
        _grow(connection, sum(len(entry.body.encode()) + OVERHEAD for entry in entries))
        return entries

    def committed(self, entries: Sequence[Entry]) -> None:
        if entries:
            self._head = max(self._head, (entries[-1].seq, entries[-1].hash))

    async def last(self, *kinds: str) -> tuple[str, dict[str, Any]] | None:
        """Kind and body of the newest committed entry of these kinds."""

        def work(connection: sqlite3.Connection) -> tuple[str, str] | None:
            marks = ",".join("?" * len(kinds))
            sql = f"SELECT kind, body FROM journal WHERE kind IN ({marks}) ORDER BY seq DESC LIMIT 1"  # noqa: S608  # marks
            row: tuple[str, str] | None = connection.execute(sql, kinds).fetchone()
            return row

        row = await self._writer.read(work)
        return None if row is None else (row[0], json.loads(row[1]))

    async def cut(self, max_bytes: int) -> int:
        """Removes the oldest entries when the journal takes more than this; returns how many went.

        The same transaction adds an entry that says so, and remembers the last removed hash: from there on the chain
        can still be verified, and a journal that was shortened by somebody else can be told from it.
        """

        def work(connection: sqlite3.Connection) -> tuple[int, Sequence[Entry]]:
            held = _held(connection)
            if held <= max_bytes:
                return 0, ()
            removed = _oldest(connection, held - max_bytes * CUT_TO)
            (first, since), (upto, until, head) = removed.first, removed.last
            body = {"from": first, "to": upto, "since": since, "until": until, "head": head}
            # The entry comes first: it must follow the newest one, also if that is among those that go.
            entries = self.write(connection, [Note(self._clock.now_ms(), "cut", canonical(body))])
            connection.execute("DELETE FROM journal WHERE seq <= ?", (upto,))
            anchor = canonical({"seq": upto, "hash": head})
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('journal_cut', ?)", (anchor,))
            _grow(connection, -removed.size)
            return removed.entries, entries

        gone, entries = await self._writer.run(work)
        self.committed(entries)
        return gone


def anchor_in(text: str) -> tuple[int, str]:
    """(number, hash) of the last entry that was cut off, as `meta.journal_cut` says it; (0, "") if it says nothing."""
    try:
        said = json.loads(text)
    except ValueError:
        return 0, ""
    match said:
        case {"seq": int(seq), "hash": str(hash_)}:
            return seq, hash_
    return 0, ""


def newest(connection: sqlite3.Connection) -> tuple[int, str]:
    row = connection.execute("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, "") if row is None else (row[0], row[1])


# --- how much it takes ----------------------------------------------------------------------------------------------


class _Removed(NamedTuple):
    first: tuple[int, int]
    last: tuple[int, int, str]
    size: int
    entries: int


def _oldest(connection: sqlite3.Connection, size: float) -> _Removed:
    """The oldest entries that together take at least so many bytes."""
    first, last, found, count = (0, 0), (0, 0, ""), 0, 0
    rows = connection.execute(
        "SELECT seq, at_ms, hash, length(CAST(body AS BLOB)) + ? FROM journal ORDER BY seq", (OVERHEAD,)
    )
    for seq, at_ms, hash_, takes in rows:
        first, last = first if count else (seq, at_ms), (seq, at_ms, hash_)
        found, count = found + takes, count + 1
        if found >= size:
            break
    rows.close()
    return _Removed(first, last, found, count)


def _held(connection: sqlite3.Connection) -> int:
    """Bytes the journal takes. Counted once in the life of a store, because it means reading all of it."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'journal_bytes'").fetchone()
    if row is not None:
        return int(row[0])
    sql = "SELECT coalesce(sum(length(CAST(body AS BLOB)) + ?), 0) FROM journal"
    (held,) = connection.execute(sql, (OVERHEAD,)).fetchone()
    connection.execute("INSERT INTO meta VALUES ('journal_bytes', ?)", (str(held),))
    return int(held)


def _grow(connection: sqlite3.Connection, size: int) -> None:
    connection.execute("UPDATE meta SET value = CAST(value + ? AS TEXT) WHERE key = 'journal_bytes'", (size,))
