"""Reading a store from outside: safe beside a running gateway and on a file copied from a dead box. Never writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from buffer.bundle import inflate
from buffer.writer import store_error
from gateway.model.errors import StoreError
from gateway.model.ports import Lane
from gateway.model.spans import Spans


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write. Raises StoreError with a hint when the file is missing or no store."""
    if not path.is_file():
        raise StoreError("no store here", where=str(path), hint="the store is the .sqlite3 file in the state_dir")
    try:
        connection = _connect(path)
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    try:
        yield connection
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return _opened(f"{path.absolute().as_uri()}?mode=ro")
    except sqlite3.OperationalError as error:
        if "unable to open" not in str(error):
            raise
        # A copy in a folder where nothing can be created.
        return _opened(f"{path.absolute().as_uri()}?immutable=1")


def _opened(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=5)
    try:
        connection.execute("SELECT count(*) FROM bundle WHERE lo < 0").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def summary(connection: sqlite3.Connection) -> dict[str, Any]:
    """What is held, what waits, what was set aside, what became of commands."""
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    low, high, held = connection.execute("SELECT min(lo), max(lo + n - 1), coalesce(sum(n), 0) FROM bundle").fetchone()
    oldest, newest = connection.execute("SELECT min(at_ms), max(at_ms) FROM bundle").fetchone()
    aside = connection.execute("SELECT reason, sum(n) FROM set_aside GROUP BY reason ORDER BY reason").fetchall()
    states = connection.execute("SELECT state, count(*) FROM command GROUP BY state ORDER BY state").fetchall()
    return {
        "epoch": meta.get("epoch", ""),
        "rid_lo": low,
        "rid_hi": high,
        "records": held,
        "waiting": len(unsettled(connection)),
        "oldest_ms": oldest,
        "newest_ms": newest,
        "set_aside": dict(aside),
        "commands": dict(states),
    }


def unsettled(connection: sqlite3.Connection) -> Spans:
    """Ids that still have to be sent, as far as the file knows: what a running gateway sent a moment ago may
    still be among them."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'unsettled'").fetchone()
    saved = json.loads(row[0]) if row else {}
    spans = Spans()
    for lane in Lane:
        spans.update(saved.get(lane.name.lower(), ()))
    for lo, n in connection.execute("SELECT lo, n FROM bundle WHERE lo > ? ORDER BY lo", (saved.get("seen", 0),)):
        spans.add(lo, lo + n - 1)
    return spans


def newest(connection: sqlite3.Connection, limit: int) -> list[dict[str, Any]]:
    """The newest records, newest first, each with its `lane`, its commit time `at_ms` and whether it `waits`."""
    waits = list(unsettled(connection))
    found: list[dict[str, Any]] = []
    for lane, at_ms, blob in connection.execute("SELECT lane, at_ms, body FROM bundle ORDER BY lo DESC"):
        for record in reversed(json.loads(b"[" + inflate(blob) + b"]")):
            if len(found) == limit:
                return found
            waiting = any(lo <= record["rid"] <= hi for lo, hi in waits)
            found.append({**record, "lane": Lane(lane).name.lower(), "at_ms": at_ms, "waits": waiting})
    return found


def since(connection: sqlite3.Connection, at_ms: int) -> Iterator[dict[str, Any]]:
    """The records that were committed at that time or later, newest first."""
    for committed_ms, blob in connection.execute("SELECT at_ms, body FROM bundle ORDER BY lo DESC"):
        if committed_ms < at_ms:
            return
        yield from reversed(json.loads(b"[" + inflate(blob) + b"]"))


def every_rid(connection: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """(lo, n) of every bundle held, upwards."""
    yield from connection.execute("SELECT lo, n FROM bundle ORDER BY lo")
