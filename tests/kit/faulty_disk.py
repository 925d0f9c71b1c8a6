"""A disk that fails on order, under a real SQLite: for `Store(..., connect=disk.connect)`.

    with FaultyDisk() as disk:
        disk.fault = Fault("io", "sync", first=3)      # the third sync from now on fails once
        async with Store(path, settings, clock, connect=disk.connect) as store: ...

A failed write leaves half of its bytes behind; a failed sync, if it `forgets`, also loses everything written since
the last good one, as a kernel does that drops the pages it could not write. `cut` gives what would be left of the
files if the power went now: what was synced, and any part of the rest.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple, Self, cast

import apsw

CODES = {
    ("full", "write"): apsw.SQLITE_FULL,
    ("full", "sync"): apsw.SQLITE_FULL,
    ("io", "write"): apsw.SQLITE_IOERR_WRITE,
    ("io", "sync"): apsw.SQLITE_IOERR_FSYNC,
}
WORDS = {"full": "database or disk is full", "io": "disk I/O error"}  # as SQLite says it
SECTOR = 512
_numbers = count()


@dataclass(slots=True)
class Fault:
    """From the `first` matching operation on, `times` of them fail. `file`: the end of its name ("-wal"), "" any."""

    error: Literal["full", "io"]
    op: Literal["write", "sync"]
    first: int = 1
    times: float = 1
    file: Literal["", "-wal", ".sqlite3"] = ""
    forgets: bool = False
    seen: int = 0

    def strikes(self, op: str, name: str) -> bool:
        if op != self.op or not name.endswith(self.file):
            return False
        self.seen += 1
        return self.first <= self.seen < self.first + self.times


class Change(NamedTuple):
    """Bytes that were overwritten, or with `new` None: the file cut off at `at`."""

    at: int
    old: bytes
    new: bytes | None


@dataclass
class FaultyDisk:
    """`failed`: how many operations failed. `on_operation` is called before each one, with its kind.
    `checkpoint_pages` overrules the store's own, so that short tests see checkpoints too."""

    fault: Fault | None = None
    failed: int = 0
    operations: int = 0
    on_operation: Callable[[str], None] | None = None
    checkpoint_pages: int | None = None
    unsynced: dict[str, list[Change]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._vfs = _Vfs(f"faulty-{next(_numbers)}", self)
        self._hook = sys.unraisablehook

    def __enter__(self) -> Self:
        sys.unraisablehook = self._unraisable
        return self

    def __exit__(self, *error: object) -> None:
        sys.unraisablehook = self._hook
        self._vfs.unregister()

    def _unraisable(self, told: Any) -> None:
        """A fault that SQLite shrugs off, as in the last checkpoint, has nobody to go to, and that is right."""
        if not isinstance(told.exc_value, apsw.Error):
            self._hook(told)

    def connect(self, path: Path) -> sqlite3.Connection:
        """Not a sqlite3.Connection, but as much of one as the store uses."""
        return cast("sqlite3.Connection", Connection(path, self._vfs.name, self.checkpoint_pages))

    def strike(self, op: Literal["write", "sync"], name: str) -> Fault | None:
        """The fault that this operation meets."""
        self.operations += 1
        if self.on_operation is not None:
            self.on_operation(op)
        if self.fault is None or not self.fault.strikes(op, name):
            return None
        self.failed += 1
        return self.fault

    def cut(self, path: Path, target: Path, random: Random) -> None:
        """Writes to `target` what is left of the store at `path` after a power cut. Of what was not synced each
        sector may have reached the disk or not, in any order."""
        for suffix in ("", "-wal", "-journal"):
            file = path.with_name(path.name + suffix)
            if file.exists():
                left = _after_cut(file.read_bytes(), self.unsynced.get(str(file), ()), random)
                target.with_name(target.name + suffix).write_bytes(left)


def _after_cut(content: bytes, changes: Iterable[Change], random: Random) -> bytes:
    data = bytearray(content)
    changes = list(changes)
    for change in reversed(changes):
        _undo(data, change)
    share = random.choice((0.0, 0.5, 0.9, 1.0))
    for change in changes:
        if change.new is None:
            if random.random() < share:
                del data[change.at :]
            continue
        for at in range(0, len(change.new), SECTOR):
            if random.random() < share:
                _put(data, change.at + at, change.new[at : at + SECTOR])
    return bytes(data)


def _undo(data: bytearray, change: Change) -> None:
    if change.new is not None and len(change.old) < len(change.new):
        del data[change.at + len(change.old) :]  # it made the file longer
    _put(data, change.at, change.old)


def _put(data: bytearray, at: int, piece: bytes) -> None:
    if len(data) < at:
        data.extend(bytes(at - len(data)))
    data[at : at + len(piece)] = piece


# --- the file system SQLite sees --------------------------------------------------------------------------------


class _Vfs(apsw.VFS):
    def __init__(self, name: str, disk: FaultyDisk) -> None:
        self.name = name
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  # SQLite's name
        return _File(name, flags, self._disk)


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], disk: FaultyDisk) -> None:
        super().__init__("", name, flags)
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        fault = self._disk.strike("write", self._name)
        if fault is not None:
            data = bytes(data)[: len(data) // 2]
        self._note(offset, bytes(data))
        super().xWrite(data, offset)
        if fault is not None:
            raise _error(fault)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        fault = self._disk.strike("sync", self._name)
        if fault is None:  # the machine stays up, so the real sync would only cost time
            self._disk.unsynced.pop(self._name, None)
            return
        if fault.forgets:
            self._forget()
        raise _error(fault)

    def xTruncate(self, size: int) -> None:  # noqa: N802  # SQLite's name
        self._disk.unsynced.setdefault(self._name, []).append(Change(size, self._old(size, self.xFileSize()), None))
        super().xTruncate(size)

    def _note(self, at: int, new: bytes) -> None:
        change = Change(at, self._old(at, min(at + len(new), self.xFileSize())), new)
        self._disk.unsynced.setdefault(self._name, []).append(change)

    def _old(self, at: int, end: int) -> bytes:
        return self.xRead(end - at, at) if end > at else b""

    def _forget(self) -> None:
        for change in reversed(self._disk.unsynced.pop(self._name, [])):
            if change.old:
                super().xWrite(change.old, change.at)
            if change.new is not None and len(change.old) < len(change.new):
                super().xTruncate(change.at + len(change.old))


def _error(fault: Fault) -> Exception:
    error = apsw.exception_for(CODES[fault.error, fault.op])
    error.args = (WORDS[fault.error],)
    return error


# --- the connection Python sees ---------------------------------------------------------------------------------


class Connection:
    """An apsw connection with the face and the errors of sqlite3's in autocommit mode."""

    def __init__(self, path: Path, vfs: str, checkpoint_pages: int | None) -> None:
        self._checkpoint_pages = checkpoint_pages
        with _translated():
            self._apsw = apsw.Connection(str(path), vfs=vfs)
            self._apsw.set_busy_timeout(5000)

    @property
    def in_transaction(self) -> bool:
        return self._apsw.in_transaction

    @property
    def total_changes(self) -> int:
        return self._apsw.total_changes()

    def execute(self, sql: str, values: Any = ()) -> Cursor:
        with _translated():
            before = self._apsw.total_changes()
            cursor = Cursor(self._apsw.execute(sql, values))
            if sql.lstrip()[:6].upper() in {"INSERT", "UPDATE", "DELETE"}:
                cursor.rowcount = self._apsw.changes() if self._apsw.total_changes() != before else 0
        if "wal_autocheckpoint" in sql:
            self._checkpoint_quietly()
        return cursor

    def executemany(self, sql: str, rows: Iterable[Any]) -> Cursor:
        with _translated():
            return Cursor(self._apsw.executemany(sql, rows))

    def executescript(self, sql: str) -> Cursor:
        with _translated():
            return Cursor(self._apsw.execute(sql))

    def set_progress_handler(self, handler: Callable[[], Any] | None, n: int) -> None:
        self._apsw.set_progress_handler(None if handler is None else lambda: bool(handler()), n)

    def interrupt(self) -> None:
        self._apsw.interrupt()

    def close(self) -> None:
        try:
            self._apsw.close()
        except apsw.Error:  # the last checkpoint: SQLite itself says nothing of it
            self._apsw.close(force=True)

    def _checkpoint_quietly(self) -> None:
        """SQLite ignores an error of the checkpoint that follows a commit. An apsw file system would make it one of the
        commit, so the checkpoint is ours."""
        limit = self._checkpoint_pages or self._apsw.execute("PRAGMA wal_autocheckpoint").get

        def hook(connection: apsw.Connection, name: str, pages: int) -> int:
            if pages >= limit:
                try:
                    connection.wal_checkpoint(name)
                except apsw.Error:
                    return apsw.SQLITE_OK
            return apsw.SQLITE_OK

        self._apsw.set_wal_hook(hook)


class Cursor:
    """What `execute` returns."""

    def __init__(self, cursor: apsw.Cursor) -> None:
        self._cursor = cursor
        self.rowcount = -1

    def fetchone(self) -> Any:
        with _translated():
            return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        with _translated():
            return list(self._cursor.fetchall())

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with _translated():
            return next(self._cursor)


@contextmanager
def _translated() -> Iterator[None]:
    """apsw's errors as sqlite3's, with its code."""
    try:
        yield
    except apsw.Error as error:
        raise _sqlite3_error(error) from error


def _sqlite3_error(error: apsw.Error) -> sqlite3.Error:
    code = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
    kinds: dict[int, type[sqlite3.Error]] = {
        apsw.SQLITE_CORRUPT: sqlite3.DatabaseError,
        apsw.SQLITE_NOTADB: sqlite3.DatabaseError,
        apsw.SQLITE_CONSTRAINT: sqlite3.IntegrityError,
        apsw.SQLITE_MISUSE: sqlite3.InterfaceError,
    }
    translated = kinds.get(code & 0xFF, sqlite3.OperationalError)(str(error))
    translated.sqlite_errorcode = code
    translated.sqlite_errorname = apsw.mapping_extended_result_codes.get(code) or apsw.mapping_result_codes.get(code)  # type: ignore[assignment]
    return translated
