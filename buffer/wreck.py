"""Reading a damaged SQLite file as far as it goes, without writing to it."""

from __future__ import annotations

import heapq
import os
import shutil
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buffer.writer import PAGE_SIZE, prepared, sqlite_connection

Row = tuple[Any, ...]

# The second one is a damaged name inside SQLite's own message.
UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)

# Looking for islands between two breaks ends after so many looks in a row that found nothing: what is left is then
# smaller than a thousandth of the largest hole.
VAIN_PROBES = 2_000
# A damaged length must not make SQLite ask for a gigabyte; no cell of a store comes near this.
MOST_BYTES = 16 * 1024 * 1024
# SQLite on a 32-bit machine still takes it, and no key of ours comes near it.
HIGHEST = 2**53


@contextmanager
def laid_open(file: Path) -> Iterator[sqlite3.Connection | None]:
    """A read-only connection to a set-aside store, None when SQLite sees no store in it. Text comes as bytes.

    The file itself is never written: SQLite gets another name for it, and its own copy of the log. When the schema
    cannot be read, which is what a torn first page leaves, a copy gets the one of a new store. It is made in one go, so
    its roots lie where they lay; in a store that was migrated only those of the older tables do, and rows of another
    table are not taken for ours because they do not prove themselves.
    """
    with ExitStack() as stack:
        names = [file.with_name(f"{file.name}.{n}") for n in ("reading", "mended", "new")]
        for name in names:
            stack.callback(_remove, name)
            _remove(name)
        connection = _opened(file, names[0], _other_name) or _opened(file, names[1], _with_schema(names[2]))
        if connection is not None:
            stack.enter_context(closing(connection))
        yield connection


def _opened(file: Path, name: Path, make: Callable[[Path, Path], bool]) -> sqlite3.Connection | None:
    if not make(file, name):
        return None
    log = file.with_name(file.name + "-wal")
    with suppress(OSError):
        shutil.copy(log, name.with_name(name.name + "-wal"))
    connection = sqlite3.connect(f"{name.absolute().as_uri()}?mode=ro", uri=True)
    try:
        connection.text_factory = bytes
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
        connection.execute("PRAGMA cell_size_check=ON")
        connection.execute("PRAGMA cache_size=-2048")
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("SELECT lo, n, lane, at_ms, body FROM bundle WHERE 0").fetchone()
    except UNREADABLE:
        connection.close()
        return None
    return connection


def _other_name(file: Path, name: Path) -> bool:
    try:
        os.link(file, name)
    except OSError:  # a file system without links
        return _copied(file, name)
    return True


def _copied(file: Path, name: Path) -> bool:
    try:
        if shutil.disk_usage(file.parent).free < 2 * file.stat().st_size:
            return False
        shutil.copyfile(file, name)
    except OSError:
        return False
    return True


def _with_schema(new: Path) -> Callable[[Path, Path], bool]:
    """A copy with the schema of a new store: the pages of a new one that are no table's root."""

    def make(file: Path, name: Path) -> bool:
        if not _copied(file, name):
            return False
        with closing(prepared(sqlite_connection(new))) as fresh:
            fresh.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            roots = {root for (root,) in fresh.execute("SELECT rootpage FROM sqlite_schema")}
            pages = new.read_bytes()
        with name.open("r+b") as copy:
            for number in set(range(1, len(pages) // PAGE_SIZE + 1)) - roots:
                copy.seek((number - 1) * PAGE_SIZE)
                copy.write(pages[(number - 1) * PAGE_SIZE : number * PAGE_SIZE])
            size = copy.seek(0, os.SEEK_END)
            copy.seek(28)  # how many pages there are: https://www.sqlite.org/fileformat2.html#the_database_header
            copy.write((size // PAGE_SIZE).to_bytes(4, "big"))
        return True

    return make


def _remove(name: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        name.with_name(name.name + suffix).unlink(missing_ok=True)


# --- reading ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Walk:
    """A table along its integer key, which is the first of `columns`. `also`: a condition on top, with its values.
    Where the key is not `unique`, rows with the same one follow each other."""

    columns: str
    table: str
    also: str = ""
    values: Row = ()
    unique: bool = True

    @property
    def key(self) -> str:
        return self.columns.split(",", 1)[0]

    @property
    def step(self) -> int:
        return 1 if self.unique else 0

    def follows(self, key: int, before: int, *, down: bool) -> bool:
        return (key == before and not self.unique) or (key < before if down else key > before)

    def run(self, connection: sqlite3.Connection, start: int, *, down: bool) -> Iterator[Row]:
        """From `start` on, without an end: a key that cannot be there would end it unseen."""
        order = ("<=", "DESC") if down else (">=", "ASC")
        return connection.execute(
            f"SELECT {self.columns} FROM {self.table} WHERE {self.key} {order[0]} ? {self.also} "  # noqa: S608  # ours
            f"ORDER BY {self.key} {order[1]}",
            (start, *self.values),
        )

    def top(self, connection: sqlite3.Connection) -> int | None:
        """The highest key, None when it cannot be read."""
        try:
            row = next(iter(self.run(connection, HIGHEST, down=True)), None)
        except UNREADABLE:
            return None
        return row[0] if row is not None and isinstance(row[0], int) else None


class Reader:
    """Reads the rows of a damaged file, until `over` says that the time is up."""

    def __init__(self, connection: sqlite3.Connection, over: Callable[[], bool]) -> None:
        self.connection = connection
        self.over = over
        self.left = False
        """Something was not read because the time was up."""
        self.broken: set[str] = set()
        """Tables that could not be read in one go."""

    def rows(self, walk: Walk, guess: int) -> Iterator[Row]:
        """Every readable row of a table, in runs: from the end down to the first break, from the beginning up to it,
        then the islands in between, found by halving the largest gap that is left. Where the end of the table cannot
        be read, keys above `guess` are not looked for one by one. A row may come twice."""
        low, high = 0, HIGHEST if walk.top(self.connection) is not None else guess
        seen: set[int] = set()
        end = yield from self._run(walk, low, high, seen, down=True)
        if end is None:
            return
        self.broken.add(walk.table)
        start = yield from self._run(walk, low, end - walk.step, seen, down=False)
        gaps = [] if start is None else [(start - end, start + walk.step, end - walk.step)]
        vain = 0
        while gaps and not self.left and vain < VAIN_PROBES:
            _, low, high = heapq.heappop(gaps)
            if low > high:
                continue
            middle = (low + high) // 2
            up = yield from self._run(walk, middle, high, seen, down=False)
            down = yield from self._run(walk, low, middle - 1, seen, down=True)
            vain = vain + 1 if up == middle - 1 and down == middle else 0
            if up is not None:
                heapq.heappush(gaps, (up - high, max(up, middle) + 1, high))
            if down is not None:
                heapq.heappush(gaps, (low - down, low, min(down, middle) - 1))

    def _run(self, walk: Walk, low: int, high: int, seen: set[int], *, down: bool) -> Generator[Row, None, int | None]:
        """Yields rows from one end on; returns the last key that could be read (one outside the range if none), or
        None when it came to the end of the table or to a row it had `seen`."""
        at = high + 1 if down else low - 1
        if low > high:
            return None
        try:
            for row in walk.run(self.connection, high if down else low, down=down):
                key = row[0]
                # A page may lead back to another one, or hold what is no row.
                if not isinstance(key, int) or not walk.follows(key, at, down=down):
                    return at
                if not low <= key <= high:
                    return None if key in seen else at
                yield row
                seen.add(key)
                at = key
                if self.over():
                    self.left = True
                    return at
        except UNREADABLE:
            return at
        return None
