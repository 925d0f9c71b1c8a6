"""How large the file may be: its quota, what the partition has left, and what happens when that is nothing."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress
from pathlib import Path

from buffer.ballast import SCANT, Ballast, allocated, free_bytes, reserve, total_bytes
from buffer.quota import Pages
from buffer.settings import BufferSettings
from buffer.writer import PAGE_SIZE

log = logging.getLogger("buffer")

MB = 1_000_000
WAL_BYTES = 4 * 1024 * 1024
"""Most that SQLite's write-ahead log takes in ordinary life; less on a small partition."""
SMALLEST = 1024
"""Pages a store may have while the partition takes them, though there never was room for a ballast."""


class Space:
    """The bounds of one store's file. All but `before_open` and `after_close` runs in the store's thread."""

    def __init__(self, path: Path, settings: BufferSettings) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._settings = settings
        self._wal_bytes = WAL_BYTES
        self.ballast = Ballast(path.with_name(path.name + ".ballast"), int(settings.ballast_mb * MB))
        self.most = int(settings.max_mb * MB) // PAGE_SIZE
        """Pages of the quota."""
        self.pages = Pages(0, self.most)

    def before_open(self) -> None:
        """On a full partition SQLite cannot even open the file: its shared memory takes room too."""
        if self.partition_full() and self.ballast.release():
            log.warning("%s: the partition is full, the ballast is given up", self._path)

    def after_close(self) -> None:
        """SQLite gives the log's room back. On a full partition the next start needs it: nobody else may have it."""
        if not self.ballast.held and not self._roomy():
            Ballast(self.ballast.path, min(self.ballast.size, free_bytes(self._path.parent) * 3 // 4)).build()

    def load(self, connection: sqlite3.Connection) -> None:
        """On a small partition everything is smaller; the ballast stays larger than the write-ahead log may become."""
        total = total_bytes(self._path.parent)
        self.ballast.size = min(self.ballast.size, total // 8)
        self._wal_bytes = min(WAL_BYTES, total // 16, self.ballast.size or WAL_BYTES)
        if self._wal_bytes < WAL_BYTES:
            connection.execute(f"PRAGMA journal_size_limit={self._wal_bytes}")
            connection.execute(f"PRAGMA wal_autocheckpoint={max(1, self._wal_bytes // 2 // PAGE_SIZE)}")
        self.limit(connection)

    def fit(self, connection: sqlite3.Connection) -> None:
        """To be asked every minute or so: makes the ballast once there is room for two, takes the log's room before
        anybody else does, and sets the limit anew."""
        if not self.ballast.held and self._roomy():
            if self.ballast.build():
                log.info("%s: %d MB of ballast", self.ballast.path, self.ballast.size // MB)
        elif self.ballast.size == 0:
            self.ballast.build()  # takes away what an earlier configuration left
        if free_bytes(self._path.parent) > self._wal_bytes + SCANT:
            reserve(self._wal, self._wal_bytes)
        self.limit(connection)

    def _roomy(self) -> bool:
        return free_bytes(self._path.parent) >= 2 * self.ballast.size

    def limit(self, connection: sqlite3.Connection) -> bool:
        """Sets it: at most the quota, and no more than leaves room for the ballast and the write-ahead log. Gives up
        nothing: always False."""
        (count,) = connection.execute("PRAGMA page_count").fetchone()
        free = free_bytes(self._path.parent) - self._growing(count)
        held = self.ballast.held
        spare = free if held else free - self.ballast.size if self._roomy() else 0
        limit = max(min(self.most, count + spare // PAGE_SIZE), min(SMALLEST, count + free // PAGE_SIZE), count)
        self._set(connection, limit)
        return False

    def _growing(self, count: int) -> int:
        """Bytes that are as good as taken: the log's room, and what will be carried over from it to the file's end."""
        return max(0, self._wal_bytes - allocated(self._wal)) + max(0, count * PAGE_SIZE - allocated(self._path))

    def _set(self, connection: sqlite3.Connection, limit: int) -> None:
        connection.execute(f"PRAGMA max_page_count={limit}").fetchone()
        self.measure(connection)

    def measure(self, connection: sqlite3.Connection) -> None:
        (limit,) = connection.execute("PRAGMA max_page_count").fetchone()
        (count,) = connection.execute("PRAGMA page_count").fetchone()
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        self.pages = Pages(count - free, limit)

    def partition_full(self) -> bool:
        return free_bytes(self._path.parent) < SCANT

    def relieve(self, connection: sqlite3.Connection) -> bool:
        """When the partition itself is full: gives up the ballast, carries the log over into the file, takes the log's
        room for good, and lets the file grow no more. True when there was ballast. Not in a transaction."""
        released = self.ballast.release()
        if released:
            log.error("%s: the partition is full: the ballast is given up, the store grows no more", self._path)
        with suppress(sqlite3.OperationalError):  # still no room for it
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        # Whoever fills the partition goes on: what was freed is taken before it can.
        reserve(self._wal, self._wal_bytes)
        self._set(connection, 1)
        return released
