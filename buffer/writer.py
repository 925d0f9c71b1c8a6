"""The one thread that owns the connection. Everything SQLite does for the daemon happens here."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from gateway.model.errors import StoreBusy, StoreDamaged, StoreError, StoreFull

T = TypeVar("T")

SCHEMA_VERSION = 1
# Small pages: a commit rewrites whole pages, and most commits touch two or three of them.
PAGE_SIZE = 1024


class Writer:
    """One connection in one thread. `run` hands it a function and awaits the result."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._connection: sqlite3.Connection | None = None
        self._lock_fd = -1

    async def open(self) -> None:
        """Raises StoreBusy when another process has it, StoreDamaged when the file cannot be read."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except BaseException:
            self._thread.shutdown(wait=True)
            raise

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=True)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in the thread, inside one transaction: all of it is committed, or none of it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in the thread without a transaction of its own; for queries."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._query, work)

    def _query(self, work: Callable[[sqlite3.Connection], T]) -> T:
        assert self._connection is not None, "opened before used"  # noqa: S101
        try:
            return work(self._connection)
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        assert self._connection is not None, "opened before used"  # noqa: S101
        try:
            with self._connection as connection:
                connection.execute("BEGIN IMMEDIATE")
                return work(connection)
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_fd = _lock(self.path)
        except OSError as error:
            raise StoreError(
                f"the store cannot be opened: {error.strerror}",
                where=str(self.path),
                hint="the folder must exist, belong to the gateway's user, and be on a writable disk",
            ) from error
        try:
            self._connection = _connect(self.path)
        except BaseException:
            os.close(self._lock_fd)
            raise

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            os.close(self._lock_fd)


def _lock(path: Path) -> int:
    lock_path = path.with_name(path.name + ".lock")
    fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise StoreBusy(
            "another gateway process is using this store",
            where=str(path),
            hint="stop it first (systemctl stop gateway); `gateway buffer` verbs may run beside it",
        ) from error
    return fd


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=2000")
        connection.execute(f"PRAGMA journal_size_limit={4 * 1024 * 1024}")
        connection.execute("PRAGMA cache_size=-1024")
        connection.execute("PRAGMA trusted_schema=OFF")
        _migrate(connection)
    except sqlite3.Error as error:
        connection.close()
        raise store_error(error, path) from error
    except StoreError:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the store was written by a newer gateway (schema {version}, this one knows {SCHEMA_VERSION})",
            hint="install the newer gateway again, or move the file away to start an empty store",
        )
    if version == 0:
        schema = files("buffer").joinpath("schema.sql").read_text(encoding="utf-8")
        connection.executescript(f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """SQLite's error as ours, with what a person can do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(str(error), where=str(path), hint="free space on the partition; nothing stored is lost")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamaged(str(error), where=str(path), hint="the file is set aside and a new one begun")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(str(error), where=str(path), hint="something else holds a lock on the file")
    return StoreError(str(error), where=str(path), hint="check the disk: dmesg, df, mount options")


def set_aside_file(path: Path, now_ms: int) -> Path:
    """Moves a damaged store (with its WAL) out of the way; returns its new place."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ms / 1000))
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(target.with_name(target.name + suffix))
    return target
