"""The journal's chain: each entry's hash covers the hash of the one before, so that nothing can be changed, taken out
or put in unseen. The newest hash is also sent to the centre: a journal that was rewritten whole does not match it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from buffer.group import Group, Note
from gateway.model.clock import Clock


class Entry(NamedTuple):
    """One entry as it is kept. `body` is canonical JSON."""

    seq: int
    at_ms: int
    kind: str
    body: str
    hash: str


def canonical(content: Any) -> str:
    """JSON with sorted keys and no spaces, as RFC 8785 for what we write: our keys are ASCII and our numbers are ints
    or shortest floats. Raises ValueError for NaN and infinity."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def link(seq: int, note: Note, before: str) -> Entry:
    """The entry that follows the one with the hash `before` ("" for the first)."""
    text = canonical({"at": note.at_ms, "body": json.loads(note.body), "kind": note.kind, "prev": before, "seq": seq})
    return Entry(seq, note.at_ms, note.kind, note.body, sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


class Chain:
    """The daemon's end of the journal (`gateway.model.ports.Journal`)."""

    def __init__(self, group: Group, clock: Clock) -> None:
        self._group = group
        self._clock = clock
        self._head = (0, "")

    def note(self, kind: str, body: Mapping[str, Any]) -> None:
        self._group.join(notes=[Note(self._clock.now_ms(), kind, canonical(body))])
        self._group.within(self._group.every_s)

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
        return entries

    def committed(self, entries: Sequence[Entry]) -> None:
        if entries:
            self._head = max(self._head, (entries[-1].seq, entries[-1].hash))


def newest(connection: sqlite3.Connection) -> tuple[int, str]:
    row = connection.execute("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, "") if row is None else (row[0], row[1])
