"""The one thread that owns the connection. Everything SQLite does for the daemon happens here."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from buffer.migrations import migrate
from gateway.model.errors import StoreBusy, StoreDamaged, StoreError, StoreFull

T = TypeVar("T")
Connect = Callable[[Path], sqlite3.Connection]

# Small pages: a commit rewrites whole pages, and most commits touch two or three of them.
PAGE_SIZE = 1024


class Writer:
    """One connection in one thread. `run` hands it a function and awaits the result.

    `connect` opens the file; tests give one whose disk fails.
    """

    def __init__(self, path: Path, connect: Connect | None = None) -> None:
        self.path = path
        self._connect = connect or sqlite_connection
        self._thread = _thread()
        self._connection: sqlite3.Connection | None = None
        self._lock_fd = -1
        self.on_full: Callable[[], Awaitable[bool]] | None = None
        """Makes room when the disk or the quota is full; True when trying again makes sense."""

    async def open(self) -> None:
        """Raises StoreBusy when another process has it, StoreDamaged when the file cannot be read."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except BaseException:
            self._thread.shutdown(wait=True)
            self._thread = _thread()  # it may be opened again, once what was wrong is out of the way
            raise

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=True)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in the thread, inside one transaction: all of it is committed, or none of it. When the disk is
        full and room could be made, it is run once more."""
        try:
            return await self.run_once(work)
        except StoreFull:
            if self.on_full is None or not await self.on_full():
                raise
        return await self.run_once(work)

    async def run_once(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `run`, for those who make room themselves."""
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
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite has rolled back by itself after some errors
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error
        return result

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
            self._connection = _prepared(self._connect(self.path), self.path)
        except BaseException:
            os.close(self._lock_fd)
            raise

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            os.close(self._lock_fd)


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")


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


def sqlite_connection(path: Path) -> sqlite3.Connection:
    """No transactions of Python's own: the writer says BEGIN and COMMIT."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _prepared(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=2000")
        connection.execute(f"PRAGMA journal_size_limit={4 * 1024 * 1024}")
        connection.execute("PRAGMA cache_size=-1024")
        connection.execute("PRAGMA trusted_schema=OFF")
        migrate(connection)
    except sqlite3.Error as error:
        connection.close()
        raise store_error(error, path) from error
    except StoreError:
        connection.close()
        raise
    return connection


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
