"""The one thread that owns the connection. Everything SQLite does for the daemon happens here."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import sqlite3
import zlib
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TypeVar

from buffer import group
from buffer.check import checked, look, suspect
from buffer.migrations import migrate
from gateway.model.errors import StoreBusy, StoreDamaged, StoreDiskFailed, StoreError, StoreFull, StoreReadOnly

log = logging.getLogger("buffer")

T = TypeVar("T")
Connect = Callable[[Path], sqlite3.Connection]

# Small pages: a commit rewrites whole pages, and most commits touch two or three of them.
PAGE_SIZE = 1024

# A damaged name in the schema comes back in SQLite's own message, which is then no text.
_FAILS = (sqlite3.Error, zlib.error, UnicodeDecodeError)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# A sector that cannot be read is as bad as one with something else in it.
_UNREADABLE = (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS)
_NEXT_START = "the next start sets the file aside and takes over what can be read; copy it away, replace the card"
_WRITABLE = "folder and file must belong to the gateway's user; `mount` shows a disk that became read-only (ro)"


class Writer:
    """One connection in one thread. `run` hands it a function and awaits the result.

    `connect` opens the file; tests give one whose disk fails.
    """

    def __init__(self, path: Path, connect: Connect | None = None, check_s: float = 0.0) -> None:
        self.path = path
        self._connect = connect or sqlite_connection
        self._check_s = check_s
        self._thread = _thread()
        self._connection: sqlite3.Connection | None = None
        self._lock_fd = -1
        self._damage: StoreDamaged | None = None
        self._damaged = asyncio.Event()
        self.checked = ""
        """What was looked at on opening: see `buffer.check.checked`; "salvaged" when that did not help."""
        self.on_damage: Callable[[StoreDamaged], None] | None = None
        """Puts another file in the place of a damaged one, on opening, in the thread and under the lock."""
        self.on_full: Callable[[int], Awaitable[bool]] | None = None
        """Makes room for so many bytes when the disk or the quota is full; True when trying again makes sense."""

    async def open(self) -> None:
        """Raises StoreBusy when another process has it, StoreReadOnly when nothing can be written, StoreDamaged when
        the file cannot be read and nothing was done about it."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except BaseException:
            self._thread.shutdown(wait=True)
            self._thread = _thread()  # it may be opened again, once what was wrong is out of the way
            raise

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=True)

    async def run(self, work: Callable[[sqlite3.Connection], T], size: int = 0) -> T:
        """Runs `work` in the thread, inside one transaction: all of it is committed, or none of it. When the disk is
        full and room could be made, it is run once more. `size`: about how many bytes it brings, if that is much."""
        try:
            return await self.run_once(work)
        except StoreFull:
            if self.on_full is None or not await self.on_full(size):
                raise
        return await self.run_once(work)

    async def insist(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `run`, for what nobody can do without: while the disk takes nothing it is tried again and again, with one
        log line."""
        refused = False
        while True:
            try:
                return await self.run(work)
            except (StoreDamaged, StoreBusy):
                raise
            except StoreError as error:
                if not refused:
                    log.error("%s; trying again", error)
                refused = True
            await asyncio.sleep(group.RETRY_S)

    async def run_once(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `run`, for those who make room themselves."""
        return await self._run(self._transact, work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `work` in the thread without a transaction of its own; for queries."""
        return await self._run(self._query, work)

    async def _run(
        self, how: Callable[[Callable[[sqlite3.Connection], T]], T], work: Callable[[sqlite3.Connection], T]
    ) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, how, work)
        except StoreDamaged:
            if self._damage is not None:
                self._damaged.set()
            raise

    @property
    def damaged(self) -> bool:
        return self._damage is not None

    async def failing(self) -> NoReturn:
        """Raises StoreDamaged once the file turns out to be damaged. Nothing can be done with the store then but to end
        the process: the next start salvages it."""
        await self._damaged.wait()
        assert self._damage is not None, "said before it is shown"  # noqa: S101
        raise self._damage

    def _query(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._translated() as connection:
            return work(connection)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._translated() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite has rolled back by itself after some errors
                    connection.execute("ROLLBACK")
                raise
            return result

    @contextmanager
    def _translated(self) -> Iterator[sqlite3.Connection]:
        """SQLite's errors as ours. Damage is remembered on the disk, and nothing more is written into the file."""
        assert self._connection is not None, "opened before used"  # noqa: S101
        if self._damage is not None:
            raise self._damage
        try:
            yield self._connection
        except _FAILS as error:
            found = store_error(error, self.path)
            if isinstance(found, StoreDamaged):
                self._damage = found
                suspect(self.path, found.what)
            raise found from error

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_fd = _lock(self.path)
        except OSError as error:
            raise _unusable(error, self.path) from error
        try:
            self._connection = self._sound_or_salvaged()
        except OSError as error:
            os.close(self._lock_fd)
            raise _unusable(error, self.path) from error
        except BaseException:
            os.close(self._lock_fd)
            raise

    def _sound_or_salvaged(self) -> sqlite3.Connection:
        try:
            return self._sound()
        except StoreDamaged as damage:
            if self.on_damage is None:
                raise
            self.on_damage(damage)
        connection = self._sound()
        self.checked = "salvaged"
        return connection

    def _sound(self) -> sqlite3.Connection:
        """The file, opened and looked at. From here on a stop is unclean, until `_close` says otherwise."""
        look(self.path)
        try:
            connection = self._connect(self.path)
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error
        try:
            prepared(connection)
            self.checked = checked(connection, self.path, self._check_s)
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', '0')")
        except BaseException as error:
            connection.close()
            if isinstance(error, _FAILS):
                raise _on_opening(error, self.path) from error
            raise
        return connection

    def _close(self) -> None:
        if self._connection is None:
            return
        if self._damage is None:
            with suppress(sqlite3.Error):  # a disk that does not take it: the next start checks
                self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', '1')")
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


def prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    """With our settings, and of this version. Raises sqlite3.Error, StoreError."""
    connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=2000")
    connection.execute(f"PRAGMA journal_size_limit={4 * 1024 * 1024}")
    connection.execute("PRAGMA cache_size=-1024")
    connection.execute("PRAGMA trusted_schema=OFF")
    # Debian's SQLite overwrites what is deleted: 180 times as much is written, and a full disk takes no deletion.
    connection.execute("PRAGMA secure_delete=OFF")
    migrate(connection)
    return connection


def store_error(error: sqlite3.Error | zlib.error | UnicodeDecodeError, path: Path) -> StoreError:
    """SQLite's error as ours, with what a person can do. What cannot be unpacked, or is no text, is damage too."""
    extended = getattr(error, "sqlite_errorcode", 0)
    code, place = extended & 0xFF, str(path)
    # A full partition has no room for SQLite's shared memory either, which it calls an I/O error.
    if code == sqlite3.SQLITE_FULL or extended == sqlite3.SQLITE_IOERR_SHMSIZE:
        return StoreFull(str(error), where=place, hint="free space on the partition; nothing stored is lost")
    no_text = "Could not decode to UTF-8" in str(error)  # has no code of its own
    if code in _DAMAGED or extended in _UNREADABLE or no_text or not isinstance(error, sqlite3.Error):
        return StoreDamaged(str(error), where=place, hint=_NEXT_START)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(str(error), where=place, hint="something else holds a lock on the file")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreReadOnly(str(error), where=place, hint=_WRITABLE)
    if code == sqlite3.SQLITE_IOERR:
        return StoreDiskFailed(
            str(error), where=place, hint="see dmesg; a card that does this once is dying: replace it"
        )
    return StoreError(str(error), where=place, hint="check the disk: dmesg, df, mount options")


def _on_opening(error: sqlite3.Error | zlib.error | UnicodeDecodeError, path: Path) -> StoreError:
    """As `store_error`. Our own SQL is right for a sound store, so what it stumbles over here is damage."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_ERROR:
        return StoreDamaged(str(error), where=str(path), hint=_NEXT_START)
    return store_error(error, path)


def _unusable(error: OSError, path: Path) -> StoreError:
    what = f"the store cannot be opened: {error.strerror}"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StoreReadOnly(what, where=str(path), hint=_WRITABLE)
    if error.errno == errno.ENOSPC:
        return StoreFull(what, where=str(path), hint="free space on the partition; nothing stored is lost")
    return StoreError(
        what, where=str(path), hint="the folder must exist, belong to the gateway's user, and be on a writable disk"
    )
