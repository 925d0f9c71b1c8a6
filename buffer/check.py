"""Is the file sound? What is asked before SQLite opens it, after an unclean stop, and what is remembered of a doubt.

Every start unpacks the newest bundles, which is a matter of milliseconds. An orderly close leaves meta `clean` at 1;
after any other stop SQLite looks at every page, for as long as the settings allow.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sqlite3
import struct
import threading
import time
import zlib
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from buffer.bundle import Bundle, inflate, sound
from gateway.model.errors import StoreDamaged

log = logging.getLogger("buffer")

NEWEST_BUNDLES = 400
_WAL_HEADER, _FRAME_HEADER = 32, 24
_WAL_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}


# --- the mark of a doubt ------------------------------------------------------------------------------------------


def mark_of(path: Path) -> Path:
    return path.with_name(path.name + ".suspect")


def suspect(path: Path, why: str, **more: Any) -> None:
    """Remembers, for the next start, that the store must be salvaged. Durable on return, if the disk takes it: the
    disk that is failing may not, and then the next start finds out by itself."""
    mark = mark_of(path)
    try:
        with mark.open("w", encoding="utf-8") as file:
            json.dump({"why": why, **more}, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        log.error("%s cannot be written: %s", mark, error)


def suspicion(path: Path) -> dict[str, Any] | None:
    """What `suspect` wrote; {} when a mark is there that cannot be read."""
    try:
        mark = json.loads(mark_of(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return mark if isinstance(mark, dict) else {}


def sync_folder(folder: Path) -> None:
    """Makes what was created, renamed or deleted in it survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# --- before SQLite opens it ---------------------------------------------------------------------------------------


def look(path: Path) -> None:
    """What SQLite would pass over in silence: it drops the log of an emptied file, and everything after the first
    damaged frame of a log. Raises StoreDamaged."""
    mark = suspicion(path)
    if mark is not None:
        raise _damaged(path, str(mark.get("why", "marked as damaged")))
    wal = path.with_name(path.name + "-wal")
    length = path.stat().st_size if path.exists() else None
    if length == 0:
        raise _damaged(path, "the file is empty")
    if wal.exists():
        if length is None and wal.stat().st_size:
            raise _damaged(path, "the file is gone and its log is there")
        try:
            with wal.open("rb") as log_file:
                why = _log_damage(log_file)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            why = "its log cannot be read"
        if why:
            raise _damaged(path, why)


def _damaged(path: Path, why: str) -> StoreDamaged:
    return StoreDamaged(why, where=str(path), hint="the file is set aside, and what can be read is taken over")


def _log_damage(wal: BinaryIO) -> str:
    """Why committed data in this write-ahead log cannot be read, "" if all can. Only the last transaction may be
    incomplete: everything before it was synced. Read frame by frame: beside a reader that did not end a log can be
    larger than memory. https://www.sqlite.org/fileformat2.html#the_write_ahead_log"""
    start = wal.read(_WAL_HEADER)
    if len(start) < _WAL_HEADER or not any(start):
        return ""
    magic, _, page_size = struct.unpack(">III", start[:12])
    order = _WAL_MAGIC.get(magic)
    if order is None or not 512 <= page_size <= 65536:
        return "its log has no valid beginning"
    sums = _sums(start[:24], (0, 0), order)
    if sums != struct.unpack(">II", start[24:]):
        return "its log has no valid beginning"
    salt, sound_so_far, commits_after = start[16:24], True, 0
    while len(frame := wal.read(_FRAME_HEADER + page_size)) == _FRAME_HEADER + page_size:
        head = frame[:_FRAME_HEADER]
        if sound_so_far:
            sums = _sums(frame[_FRAME_HEADER:], _sums(head[:8], sums, order), order)
            sound_so_far = head[8:16] == salt and sums == struct.unpack(">II", head[16:])
        if not sound_so_far and head[8:16] == salt and any(head[4:8]):
            commits_after += 1
    return "commits in its log are damaged" if commits_after > 1 else ""


def _sums(block: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    a, b = sums
    words = struct.unpack(f"{order}{len(block) // 4}I", block)
    for x, y in zip(words[::2], words[1::2], strict=True):
        a = (a + x + b) & 0xFFFFFFFF
        b = (b + y + a) & 0xFFFFFFFF
    return a, b


# --- after an unclean stop ----------------------------------------------------------------------------------------


def checked(connection: sqlite3.Connection, path: Path, within_s: float) -> str:
    """Returns "clean" after a clean stop, "whole" if every page was looked at, "part" if the time was over before that,
    which is no failure. Raises StoreDamaged, sqlite3.Error."""
    began = time.monotonic()
    _unpack_newest(connection, path)
    row = connection.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone()
    held = connection.execute("SELECT 1 FROM bundle LIMIT 1").fetchone()
    if row == ("1",) or (row is None and held is None):
        return "clean"
    result = "whole" if within_s > 0 and _pages_sound(connection, path, within_s) else "part"
    log.info(
        "the last stop was unclean: the store was checked %s in %.1f s, nothing wrong",
        "whole" if result == "whole" else "in part", time.monotonic() - began,
    )  # fmt: skip
    return result


def _unpack_newest(connection: sqlite3.Connection, path: Path) -> None:
    rows = connection.execute("SELECT lo, n, lane, body FROM bundle ORDER BY lo DESC")
    for lo, n, lane, blob in islice(rows, NEWEST_BUNDLES):
        try:
            if sound(Bundle(lo, n, lane, inflate(blob))):
                continue
        except zlib.error:
            pass
        raise _damaged(path, f"the records from {lo} on cannot be unpacked")


def _pages_sound(connection: sqlite3.Connection, path: Path, within_s: float) -> bool:
    """True when every page was looked at. The timer interrupts from outside: within one table SQLite calls no progress
    handler before its version 3.41."""
    over = threading.Event()

    def stop() -> None:
        over.set()
        connection.interrupt()

    timer = threading.Timer(within_s, stop)
    timer.start()
    try:
        (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if over.is_set() and error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return False
        raise
    finally:
        timer.cancel()
        timer.join()
    if answer != "ok" and not over.is_set():  # what an interrupted check says is not to be believed
        raise _damaged(path, str(answer))
    return not over.is_set()
