"""Reading a store from outside: safe beside a running gateway and on a file copied from a dead box. Never writes.

A reader must not hold a transaction for long: the daemon could not begin its write-ahead log anew. Whoever reads much
reads in steps (`buffer/walk.py`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from buffer.bundle import inflate
from buffer.damage import corrupt, is_damage
from buffer.writer import store_error
from gateway.model.errors import StoreDamaged, StoreError
from gateway.model.ports import Lane
from gateway.model.spans import Spans


class ReadOnly(sqlite3.Connection):
    """A connection that cannot write. Tables that an older store does not have are empty ones."""

    note = ""
    """What has to be said of what is read, "" for nothing."""


@contextmanager
def read_only(path: Path) -> Iterator[ReadOnly]:
    """Raises StoreError with a hint when the file is missing or no store, StoreDamaged when it cannot be read."""
    if not path.is_file():
        raise StoreError("no store here", where=str(path), hint="the store is the .sqlite3 file in the state_dir")
    try:
        connection = _connect(path)
    except sqlite3.Error as error:
        raise _said(error, path) from error
    except UnicodeDecodeError as error:  # names and messages of SQLite that hold what is no text
        raise _said(corrupt("the list of tables is damaged"), path) from error
    try:
        yield connection
    except sqlite3.Error as error:
        raise _said(error, path) from error
    finally:
        connection.close()


def _said(error: sqlite3.Error, path: Path) -> StoreError:
    if is_damage(error):
        return StoreDamaged(str(error), where=str(path), hint="copy it away with its -wal, and work on the copy")
    return store_error(error, path)


def _connect(path: Path) -> ReadOnly:
    uri = path.absolute().as_uri()
    wal = path.with_name(path.name + "-wal")
    if not wal.exists() and not path.with_name(path.name + ".lock").exists():
        # A copy: nobody writes to it, and any other way of opening it would leave files beside it.
        return _opened(f"{uri}?immutable=1", path)
    try:
        return _opened(f"{uri}?mode=ro", path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
    # A folder where nothing can be created.
    connection = _opened(f"{uri}?immutable=1", path)
    if wal.exists() and wal.stat().st_size:
        connection.note = (
            f"{wal.name} cannot be used here, so the newest records are missing: copy both files to a folder you can "
            "write / thiếu các bản ghi mới nhất: hãy chép cả hai tệp sang thư mục khác"
        )
    return connection


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")  # damage is for `verify` to name, and for a person to see


def _opened(uri: str, path: Path) -> ReadOnly:
    connection = sqlite3.connect(uri, uri=True, timeout=5, factory=ReadOnly)
    connection.text_factory = _text
    try:
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            # With this SQLite also opens a file that was cut off, as half a copy is.
            connection.execute("PRAGMA writable_schema = ON")
        _stand_in(connection, path)
    except (sqlite3.Error, UnicodeDecodeError, StoreError):
        connection.close()
        raise
    return connection


def _stand_in(connection: ReadOnly, path: Path) -> None:
    """Makes empty tables for those that are not there yet."""
    there = {name for (name,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")}
    if "bundle" not in there:
        hint = "the store is the .sqlite3 file in the state_dir"
        if not there:
            hint = "what a running gateway wrote may all be in its -wal still: copy both files"
        raise StoreError("this file is no store of a gateway", where=str(path), hint=hint)
    for name, columns in _tables():
        if name not in there:
            connection.execute(f'CREATE TEMP TABLE "{name}" ({columns})')


def _tables() -> list[tuple[str, str]]:
    """(name, columns) of every table a store of this version has."""
    empty = sqlite3.connect(":memory:")
    try:
        empty.executescript(files("buffer").joinpath("schema.sql").read_text(encoding="utf-8"))
        return empty.execute(
            "SELECT t.name, group_concat(c.name) FROM sqlite_master t, pragma_table_info(t.name) c "
            "WHERE t.type = 'table' GROUP BY t.name"
        ).fetchall()
    finally:
        empty.close()


def meta(connection: sqlite3.Connection) -> dict[str, str]:
    """The keys at the end of schema.sql, as far as they are there."""
    return dict(connection.execute("SELECT key, value FROM meta"))


def summary(connection: sqlite3.Connection) -> dict[str, Any]:
    """What is held, what waits, what was set aside, what became of commands."""
    low, high, held = connection.execute("SELECT min(lo), max(lo + n - 1), coalesce(sum(n), 0) FROM bundle").fetchone()
    oldest, newest = connection.execute("SELECT min(at_ms), max(at_ms) FROM bundle").fetchone()
    aside = connection.execute("SELECT reason, sum(n) FROM set_aside GROUP BY reason ORDER BY reason").fetchall()
    states = connection.execute("SELECT state, count(*) FROM command GROUP BY state ORDER BY state").fetchall()
    return {
        "epoch": meta(connection).get("epoch", ""),
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
    spans = Spans()
    try:
        saved = json.loads(meta(connection).get("unsettled", "{}"))
        for lane in Lane:
            spans.update(saved.get(lane.name.lower(), ()))
    except (ValueError, TypeError, AttributeError) as error:
        raise corrupt("the list of what is still to be sent is damaged") from error
    for lo, n in connection.execute("SELECT lo, n FROM bundle WHERE lo > ? ORDER BY lo", (saved.get("seen", 0),)):
        spans.add(lo, lo + n - 1)
    return spans


def newest(connection: sqlite3.Connection, limit: int) -> list[dict[str, Any]]:
    """The newest records, newest first, each with its `lane`, its commit time `at_ms` and whether it `waits`."""
    waits = unsettled(connection)
    found: list[dict[str, Any]] = []
    for lane, at_ms, blob in connection.execute("SELECT lane, at_ms, body FROM bundle ORDER BY lo DESC"):
        for record in reversed(json.loads(b"[" + inflate(blob) + b"]")):
            if len(found) == limit:
                return found
            found.append({**record, "lane": Lane(lane).name.lower(), "at_ms": at_ms, "waits": record["rid"] in waits})
    return found


def every_rid(connection: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """(lo, n) of every bundle held, upwards."""
    yield from connection.execute("SELECT lo, n FROM bundle ORDER BY lo")
