"""What a verb would act on, read from outside before it acts: so that a person can be asked first."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from buffer.bundle import Bundle, inflate
from gateway.model.errors import StoreDamaged, StoreFull
from gateway.model.spans import Spans


class Aside(NamedTuple):
    """One row of records that the far end refused. `at_ms`: when."""

    lo: int
    n: int
    lane: int
    at_ms: int
    reason: str
    body: bytes

    @property
    def hi(self) -> int:
        return self.lo + self.n - 1

    def bundle(self) -> Bundle:
        """Inflated. Raises StoreDamaged."""
        try:
            return Bundle(self.lo, self.n, self.lane, inflate(self.body))
        except zlib.error as error:
            hint = "gateway buffer verify names everything that is damaged"
            raise StoreDamaged(f"the set-aside records {self.lo}..{self.hi} cannot be unpacked", hint=hint) from error

    def part(self, spans: Spans) -> Spans:
        """The ids of this row that are in `spans`."""
        mine = Spans([(self.lo, self.hi)])
        for lo, hi in spans.missing(self.lo, self.hi):
            mine.remove(lo, hi)
        return mine


def set_aside(connection: sqlite3.Connection) -> list[Aside]:
    """Every row, upwards."""
    return [
        Aside(*row) for row in connection.execute("SELECT lo, n, lane, at_ms, reason, body FROM set_aside ORDER BY lo")
    ]


def records_of(rows: list[Aside], spans: Spans) -> Iterator[dict[str, Any]]:
    """The set-aside records of these ids, each with its reason and when it was set aside."""
    for row in rows:
        wanted = row.part(spans)
        if wanted:
            for record in json.loads(b"[" + row.bundle().body + b"]"):
                if record["rid"] in wanted:
                    yield {"set_aside_ms": row.at_ms, "reason": row.reason, "record": record}


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of a time. `oldest_ms`: when the oldest record in the store was committed, None: there is none."""

    spans: Spans
    oldest_ms: int | None


def committed_between(connection: sqlite3.Connection, start_ms: int, end_ms: int, point: str | None = None) -> Held:
    """The records committed from `start_ms` to `end_ms`, both inclusive; with `point`, whole commits that brought
    a record of it. By the time of the commit, because a bundle can be chosen by it without being unpacked."""
    mark = f'"pt":{json.dumps(point, ensure_ascii=False)},'.encode() if point is not None else None
    (oldest_ms,) = connection.execute("SELECT min(at_ms) FROM bundle").fetchone()
    columns = "lo, n" if mark is None else "lo, n, body"
    spans = Spans()
    for lo, n, *body in connection.execute(
        f"SELECT {columns} FROM bundle WHERE at_ms BETWEEN ? AND ? ORDER BY lo",  # noqa: S608  # one of two texts above
        (start_ms, end_ms),
    ):
        if mark is None or mark in inflate(body[0]):
            spans.add(lo, lo + n - 1)
    return Held(spans, oldest_ms)


# --- compacting -----------------------------------------------------------------------------------------------------

# What an ordinary memory card writes; and what is kept is written three times: beside, to the WAL, to the file.
_CARD_BYTES_S = 10_000_000
_TIMES_WRITTEN = 3


@dataclass(frozen=True, slots=True)
class Weight:
    """How large a store's file is, and how large it would be without its free pages, in bytes."""

    size: int
    live: int

    @property
    def seconds(self) -> float:
        """How long the store's thread is busy compacting it, on a slow card."""
        return self.live * _TIMES_WRITTEN / _CARD_BYTES_S


def weight(connection: sqlite3.Connection) -> Weight:
    (page,), (pages,), (free,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "page_count", "freelist_count")
    )
    return Weight(page * pages, page * (pages - free))


def need_room(path: Path, live: int) -> None:
    """SQLite writes what is kept to a temporary file first and to the WAL then. Raises StoreFull when one of the two
    has no room; nothing was touched."""
    scratch = _scratch()
    same = scratch.stat().st_dev == path.stat().st_dev
    for folder, need in ((path.parent, live * (2 if same else 1)), (scratch, 0 if same else live)):
        free = shutil.disk_usage(folder).free
        if free < need:
            raise StoreFull(
                f"compacting needs {need / 1e6:.0f} MB free here, there are {free / 1e6:.0f}",
                where=str(folder),
                hint="free space, or set SQLITE_TMPDIR to a folder on a larger disk" if same else "free space there",
            )


def _scratch() -> Path:
    """Where SQLite puts temporary files."""
    named = [os.environ.get("SQLITE_TMPDIR", ""), os.environ.get("TMPDIR", ""), "/var/tmp", "/usr/tmp", "/tmp"]  # noqa: S108
    folders = (Path(name) for name in named if name)
    return next((f for f in folders if f.is_dir() and os.access(f, os.W_OK | os.X_OK)), Path())
