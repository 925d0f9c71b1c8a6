"""Where the files of one station stand on this machine. Blocking; called in a thread.

    folder/2026/01/01/HN_ABCD_NUO001_20260101120000.txt   kept for `keep_days`
    folder/outgoing/HN_ABCD_NUO001_20260101120000.txt     the same file (a hard link): still to be sent
    folder/outgoing/refused/                              what the server would not take, for a person to look at

A file that is there is whole: it is written under another name, forced to the disk and renamed. It appears in
`outgoing` first, so that a power cut between the two cannot leave a kept file that is never sent.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.model import tt10
from gateway.uplink.tt10.errors import NotWritten

_DRAFT = ".new"


class Shelf:
    """Methods raise NotWritten unless they say otherwise."""

    def __init__(self, root: Path, station: str, *, sending: bool) -> None:
        self.root = root
        self.outgoing = root / "outgoing"
        self.refused = self.outgoing / "refused"
        self._station = station
        self._sending = sending

    def open(self) -> None:
        """Makes the folders and mends what a power cut left."""
        with self._told():
            _make(self.outgoing if self._sending else self.root)
            for draft in self.root.glob(f"*{_DRAFT}"):
                draft.unlink()
            for file in self.waiting():
                kept = self.place(file.name)
                if not kept.exists():
                    _make(kept.parent)
                    _twin(file, kept)

    def place(self, name: str) -> Path:
        """Where a file is kept: by the day in its name."""
        time = name.rpartition("_")[2]
        return self.root / time[:4] / time[4:6] / time[6:8] / name

    def write(self, end_ms: int, data: bytes) -> bool:
        """False when that file is there already: the first one stands, it may have been sent."""
        name = tt10.file_name(self._station, end_ms)
        kept = self.place(name)
        draft = self.root / f"{name}{_DRAFT}"
        with self._told():
            if kept.exists():
                return False
            try:
                _make(self.root)
                _put(draft, data)
                if self._sending:
                    _make(self.outgoing)
                    _twin(draft, self.outgoing / name)
                _make(kept.parent)
                draft.replace(kept)
                _sync(kept.parent)
            except OSError:
                with contextlib.suppress(OSError):
                    draft.unlink()
                raise
        return True

    def rewrite(self, end_ms: int, data: bytes) -> bool:
        """Other content for a file that is still to be sent; False when there is none any more."""
        name = tt10.file_name(self._station, end_ms)
        waiting, kept = self.outgoing / name, self.place(name)
        draft = self.root / f"{name}{_DRAFT}"
        with self._told():
            if not waiting.exists():
                return False
            _put(draft, data)
            kept.unlink(missing_ok=True)  # what is kept is what is sent: `open` makes it anew from `outgoing`
            draft.replace(waiting)
            _sync(self.outgoing)
            _make(kept.parent)
            _twin(waiting, kept)
        return True

    def waiting(self) -> list[Path]:
        """What is still to be sent, oldest first."""
        with self._told(), contextlib.suppress(FileNotFoundError):
            return sorted(file for file in self.outgoing.iterdir() if self._mine(file.name))
        return []

    def sent(self, file: Path) -> None:
        """The server has it."""
        with self._told():
            file.unlink(missing_ok=True)
            _sync(self.outgoing)

    def refuse(self, file: Path) -> None:
        with self._told():
            _make(self.refused)
            file.replace(self.refused / file.name)

    def newest_ms(self) -> int | None:
        """The time of the newest kept file."""
        return max((found[1] for file in self.kept() if (found := tt10.parse_name(file.name))), default=None)

    def kept(self) -> Iterator[Path]:
        """All kept files, oldest day first."""
        with self._told():
            for _, folder in self._days():
                yield from sorted(file for file in folder.iterdir() if self._mine(file.name))

    def summary(self) -> dict[str, Any]:
        """What stands here, for a person: also beside a running gateway."""
        kept = [file.name for file in self.kept()]
        waiting = [file.name for file in self.waiting()]
        with self._told():
            refused = sum(1 for _ in self.refused.iterdir()) if self.refused.is_dir() else 0
        ends = {"oldest": kept[0] if kept else "", "newest": kept[-1] if kept else ""}
        return {"folder": str(self.root), "kept": len(kept), **ends, "waiting": len(waiting), "refused": refused,
                "oldest_waiting": waiting[0] if waiting else ""}  # fmt: skip

    def resend(self, from_ms: int, to_ms: int) -> int:
        """Puts kept files of [from, to] to be sent once more; how many."""
        with self._told():
            _make(self.outgoing)
            chosen = [file for file in self.kept() if from_ms <= self._time(file) <= to_ms]
            for file in chosen:
                _twin(file, self.outgoing / file.name)
        return len(chosen)

    def prune(self, now_ms: int, keep_days: int) -> int:
        """Deletes days that are older; how many. What still waits in `outgoing` stays there."""
        today = datetime.fromtimestamp(now_ms / 1000, tt10.ZONE).date()
        old = [(day, folder) for day, folder in self._days() if day < today - timedelta(days=keep_days)]
        with self._told():
            for _, folder in old:
                for file in folder.iterdir():
                    if self._mine(file.name):
                        file.unlink()
                for empty in (folder, folder.parent, folder.parent.parent):
                    with contextlib.suppress(OSError):  # not empty
                        empty.rmdir()
        return len(old)

    def _days(self) -> list[tuple[date, Path]]:
        found = []
        for folder in self.root.glob("[0-9]*/[0-9]*/[0-9]*"):
            with contextlib.suppress(ValueError):
                found.append((date(*(int(part) for part in folder.parts[-3:])), folder))
        return sorted(found)

    def _mine(self, name: str) -> bool:
        found = tt10.parse_name(name)
        return found is not None and found[0] == self._station

    @staticmethod
    def _time(file: Path) -> int:
        found = tt10.parse_name(file.name)
        return found[1] if found else 0

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise NotWritten(
                f"{error.strerror or error}",
                where=str(error.filename or self.root),
                hint="check free space (df) and the rights of the folder",
            ) from error


def _put(file: Path, data: bytes) -> None:
    with file.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _twin(file: Path, other: Path) -> None:
    """The same file at two places; a copy where the file system has no links."""
    try:
        other.hardlink_to(file)
    except FileExistsError:
        return
    except OSError:
        draft = other.with_name(other.name + _DRAFT)
        _put(draft, file.read_bytes())
        draft.replace(other)
    _sync(other.parent)


def _make(folder: Path) -> None:
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Forces the names in a folder to the disk, where the file system can."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some shares know no such thing
            os.fsync(handle)
    finally:
        os.close(handle)
