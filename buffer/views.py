"""The views of `gateway buffer sql` on a read-only connection, and the guard that keeps it to reading."""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from buffer.bundle import inflate
from buffer.inspect import unsettled
from buffer.search import units

_ABOUT = re.compile(r"^-- (\w+): (.+)\n-- vi: (.+)\n-- try: (.+)\nCREATE TEMP VIEW \1 AS$", re.MULTILINE)
# What tells of the file, and of one of its tables; the latter take a name in brackets.
_PRAGMAS = frozenset({"compile_options", "database_list", "freelist_count", "function_list", "page_count", "page_size",
                      "schema_version", "table_list", "user_version"})  # fmt: skip
_PRAGMAS_OF = frozenset({"foreign_key_list", "index_info", "index_list", "index_xinfo", "integrity_check",
                         "quick_check", "table_info", "table_xinfo"})  # fmt: skip
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_SAVEPOINT})
_DENIED = {
    sqlite3.SQLITE_ATTACH: "ATTACH",
    sqlite3.SQLITE_DETACH: "DETACH",
    sqlite3.SQLITE_PRAGMA: "this PRAGMA",
    sqlite3.SQLITE_FUNCTION: "this function",
    sqlite3.SQLITE_TRANSACTION: "BEGIN and COMMIT",
}
# The largest text or blob a query may make: a slip must not take the memory of the box.
LARGEST = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class View:
    """What can be asked, in a line of each language, with an example that works."""

    name: str
    en: str
    vi: str
    example: str


@cache
def views() -> tuple[View, ...]:
    """In the order of views.sql."""
    return tuple(View(*found) for found in _ABOUT.findall(_sql()))


@cache
def _sql() -> str:
    return files("buffer").joinpath("views.sql").read_text(encoding="utf-8")


def prepare(connection: sqlite3.Connection, moment: Callable[[str], int]) -> None:
    """Makes functions and views. `moment` reads a time as people write it ("2026-01-31", "-2h") and gives ms UTC; in
    SQL it is `ms('-2h')`."""
    for name, arguments, function in (
        ("json_of", 1, _json_of), ("json_at", 2, _json_at), ("local", 1, local), ("ms", 1, moment)
    ):  # fmt: skip
        connection.create_function(name, arguments, function, deterministic=True)
    connection.execute("CREATE TEMP TABLE waiting_span (lo INTEGER PRIMARY KEY, hi INTEGER NOT NULL)")
    connection.executemany("INSERT INTO waiting_span VALUES (?, ?)", unsettled(connection))
    connection.execute("CREATE TEMP TABLE unit_of (point, indicator, unit, PRIMARY KEY (point, indicator))")
    connection.executemany(
        "INSERT INTO unit_of VALUES (?, ?, ?)", [(*key, unit) for key, unit in units(connection).items()]
    )
    # The view of the windows has the table's name, and so has what stands in for the table of an older store.
    stand_in = connection.execute("SELECT 1 FROM temp.sqlite_master WHERE name = 'history'").fetchone()
    connection.execute(
        "ALTER TABLE temp.history RENAME TO history_row" if stand_in
        else "CREATE TEMP VIEW history_row AS SELECT * FROM main.history"
    )  # fmt: skip
    connection.commit()
    connection.executescript(_sql())


class Guard:
    """Only reading is allowed. `denied`: what was not, the last time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.denied = ""
        connection.execute("PRAGMA query_only = ON")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST)
        connection.set_authorizer(self._allow)

    def _allow(self, action: int, first: str | None, second: str | None, *_: Any) -> int:
        if action in _READING:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and (first in _PRAGMAS_OF or (first in _PRAGMAS and second is None)):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and second != "load_extension":
            return sqlite3.SQLITE_OK
        self.denied = _DENIED.get(action, "writing")
        return sqlite3.SQLITE_DENY


@lru_cache(maxsize=4096)  # neighbours have the same times
def local(at_ms: float | None) -> str | None:
    """Local time with ms and offset: "2026-11-22 19:30:40.123+07:00"."""
    if at_ms is None:
        return None
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().isoformat(" ", "milliseconds")
    except (ValueError, OverflowError, OSError):
        return None


def _json_of(body: bytes | None) -> str:
    """A bundle's or a history row's body as a JSON array; an empty one where it is damaged."""
    try:
        text = inflate(body or b"")
    except zlib.error:
        return "[]"
    whole = text if text.startswith(b"[") else b"[" + text + b"]"
    return whole.decode("utf-8", "replace")


def _json_at(text: bytes | None, path: str) -> str | float | None:
    """One key of a message that may not be JSON: `$.key`."""
    try:
        found = json.loads(text or b"{}").get(path.removeprefix("$."))
    except (ValueError, AttributeError):
        return None
    return json.dumps(found, ensure_ascii=False) if isinstance(found, list | dict) else found
