"""From a damaged store to a new one: the file is set aside, and everything in it that can be read begins a new epoch.

The set-aside file is never written. The new store is built beside it and takes its place in one rename, so a power cut
on the way leaves the file that was set aside and the mark (`buffer/check.py`), and the next start begins again.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from buffer.carry import Carried, Carrier
from buffer.check import mark_of, suspect, suspicion, sync_folder
from buffer.wreck import Reader, laid_open
from buffer.writer import prepared, sqlite_connection
from gateway.model.clock import Clock

log = logging.getLogger("buffer")

SALVAGE_S = 300.0
"""So long a start may take to bring over what can be read. What was not reached stays in the set-aside file."""
TRIES = 3
"""A salvage that ended without an answer so often is given up, and an empty store begun."""
_SUFFIXES = ("-wal", "-shm", "")  # the file itself last: while it is there, the move is not done


def recover(path: Path, why: str, clock: Clock) -> None:
    """Sets the store aside and puts in its place a new one with what could be salvaged. Raises OSError, sqlite3.Error
    when the disk does not even take that."""
    mark = suspicion(path) or {}
    aside = path.with_name(mark["aside"]) if isinstance(mark.get("aside"), str) else _free_name(path, clock.now_ms())
    tries = mark["tries"] + 1 if isinstance(mark.get("tries"), int) else 1
    if aside.exists() and path.exists() and path.stat().st_size:
        mark_of(path).unlink()  # the new store had taken its place, and only the mark was still there
        return
    why = str(mark.get("why") or why)
    suspect(path, why, aside=aside.name, tries=tries)
    log.error("%s is damaged: %s; set aside as %s", path, why, aside)
    for suffix in _SUFFIXES:
        old = path.with_name(path.name + suffix)
        if old.exists() and not aside.with_name(aside.name + suffix).exists():
            old.rename(aside.with_name(aside.name + suffix))
    sync_folder(path.parent)
    carried = _built(path, aside, why, clock, with_content=tries <= TRIES)
    mark_of(path).unlink(missing_ok=True)
    sync_folder(path.parent)
    log.warning("a new store begins: %s", carried)


def _free_name(path: Path, now_ms: int) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ms / 1000))
    names = (path.with_name(f"{path.name}.damaged-{stamp}{more}") for more in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(name for name in names if not name.exists())


def _built(path: Path, aside: Path, why: str, clock: Clock, *, with_content: bool) -> Carried:
    new = path.with_name(path.name + ".salvaging")
    for suffix in _SUFFIXES:
        new.with_name(new.name + suffix).unlink(missing_ok=True)
    with closing(prepared(sqlite_connection(new))) as store:
        # A crash throws the file away anyway: only its end must be durable.
        store.execute("PRAGMA journal_mode=MEMORY")
        store.execute("PRAGMA synchronous=OFF")
        story: dict[str, Any] = {"from": aside.name, "why": why}
        with laid_open(aside) as wreck:
            reader = Reader(wreck if with_content and wreck else _nothing(), _deadline(clock))
            carried = Carrier(reader, store, new.parent, clock.now_ms()).run(story)
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    fd = os.open(new, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    new.rename(path)
    sync_folder(path.parent)
    return carried


def _deadline(clock: Clock) -> Callable[[], bool]:
    began = clock.monotonic()
    return lambda: clock.monotonic() - began > SALVAGE_S


def _nothing() -> sqlite3.Connection:
    """Where no table can be read."""
    return sqlite3.connect(":memory:")
