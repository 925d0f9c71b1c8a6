"""A backup of a store, taken beside a running gateway: whole as of one moment, checked, and marked as a copy.

SQLite's online backup begins again whenever the source was written; beside a commit a second it never ends on a slow
stick. So it copies inside one read transaction. That blocks nobody; the write-ahead log only grows by what is committed
meanwhile, and is begun anew afterwards.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from buffer.check import sync_folder
from buffer.inspect import read_only
from buffer.writer import store_error
from gateway.model.errors import BadArgument, StoreDamaged, StoreError, StoreFull

STEP_BYTES = 1 << 20
FAT_BYTES = (1 << 32) - 1
"""The largest file a FAT32 stick takes."""

Progress = Callable[[int, int], None]
"""Bytes copied, bytes in all."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What was written and checked. `newest_rid`: 0 when the store was empty."""

    file: Path
    size: int
    epoch: str
    newest_rid: int


def target_of(dest: Path, name: str, now_ms: int) -> Path:
    """The file to write: `dest` itself, or a file in it named by the gateway and the time. Raises BadArgument."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.localtime(now_ms / 1000))
    target = dest / f"{name}-{stamp}.sqlite3" if dest.is_dir() else dest
    if target.exists():
        raise BadArgument("there is such a file already", where=str(target), hint="name another, or a folder")
    if not target.parent.is_dir():
        raise BadArgument("there is no such folder", where=str(target.parent), hint="is the stick mounted? lsblk")
    return target


def backup(source: Path, target: Path, progress: Progress) -> Backup:
    """Copies, checks, marks, and only then gives the file its name; what is unfinished is called `.part`.

    Durable on return. Raises StoreFull, StoreDamaged, StoreError; then there is no `target`.
    """
    part = target.with_name(target.name + ".part")
    with read_only(source) as connection, _own(part) as fd:
        connection.isolation_level = None
        connection.execute("BEGIN")
        size = _size(connection)  # from here on it is one moment
        _room_for(size, target)
        with _writing(part) as copy:
            _copy(connection, copy, fd, progress)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, that opens where nothing can be written
            copy.execute("INSERT OR REPLACE INTO meta VALUES ('copied', '1')")
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # so that what is checked is read from the stick
        epoch, newest = _checked(part, _facts(connection))
        part.rename(target)
        sync_folder(target.parent)
    return Backup(target, size, epoch, newest)


def _checked(part: Path, facts: tuple[str, int]) -> tuple[str, int]:
    with read_only(part) as copy:
        (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if found == "ok" and _facts(copy) == facts:
            return facts
    hint = "`gateway buffer verify` says whether the store itself is sound; if it is, try another stick"
    raise StoreDamaged(f"the copy is not sound: {found}", where=str(part), hint=hint)


@contextlib.contextmanager
def _own(part: Path) -> Iterator[int]:
    """An empty file that no other backup writes to; gone on leaving, unless it was renamed."""
    try:
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        hint = "is it mounted, and writable for you?"
        raise StoreError(f"the backup cannot be written: {error.strerror}", where=str(part), hint=hint) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise BadArgument("another backup is being written there", where=str(part), hint="wait for it") from error
    try:
        os.ftruncate(fd, 0)
        yield fd
    except OSError as error:
        part.unlink(missing_ok=True)
        hint = "is the stick still there? dmesg"
        raise StoreError(f"the backup cannot be written: {error.strerror}", where=str(part), hint=hint) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


@contextlib.contextmanager
def _writing(part: Path) -> Iterator[sqlite3.Connection]:
    """Neither journal nor syncs: an unfinished copy is worth nothing, and a finished one is synced whole."""
    connection = sqlite3.connect(part, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        yield connection
    except sqlite3.Error as error:
        raise store_error(error, part) from error
    finally:
        connection.close()


def _copy(connection: sqlite3.Connection, copy: sqlite3.Connection, fd: int, progress: Progress) -> None:
    (page,) = connection.execute("PRAGMA page_size").fetchone()

    def tell(_: int, remaining: int, total: int) -> None:
        os.fsync(fd)  # what it counts is on the stick, not in memory
        progress((total - remaining) * page, total * page)

    connection.backup(copy, pages=max(1, STEP_BYTES // page), progress=tell, sleep=0)


def _facts(connection: sqlite3.Connection) -> tuple[str, int]:
    """Epoch and newest rid."""
    (epoch,) = connection.execute("SELECT max(value) FROM meta WHERE key = 'epoch'").fetchone()
    newest = connection.execute("SELECT lo + n - 1 FROM bundle ORDER BY lo DESC LIMIT 1").fetchone()
    return epoch or "", newest[0] if newest else 0


def _size(connection: sqlite3.Connection) -> int:
    (page,), (pages,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "page_count"))
    return int(page * pages)


def _room_for(size: int, target: Path) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < size:
        raise StoreFull(
            f"the backup needs {size / 1e6:.0f} MB, there are {free / 1e6:.0f} free",
            where=str(target.parent),
            hint="another stick, or `gateway buffer compact` first",
        )
    kind, _ = mounted(target.parent)
    if size > FAT_BYTES and kind in {"vfat", "msdos"}:
        hint = "format the stick as exFAT or ext4, or `gateway buffer compact` first"
        raise StoreFull("this stick is FAT32, which takes no file above 4 GB", where=str(target.parent), hint=hint)


def mounted(folder: Path, table: Path = Path("/proc/mounts")) -> tuple[str, Path]:
    """(kind of file system, where it is mounted) of a folder; ("", /) when the kernel does not say."""
    found = ("", Path("/"))
    with contextlib.suppress(OSError):
        here = folder.resolve()
        for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
            _, at, kind, *_ = line.split(" ")
            place = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), at))
            if here.is_relative_to(place) and len(place.parts) >= len(found[1].parts):
                found = (kind, place)
    return found
