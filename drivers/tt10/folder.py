"""A folder in which files appear: which are new, and which are whole. Blocking; called in a thread.

No notification service is used: folders of loggers are often shares of another machine, which send none. A folder
whose time did not change is not listed again (but once a minute: not every share keeps that time), so that sixty
days of files cost a look next to nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.model import tt10

_RELIST_S = 60.0
_COARSE_S = 3.0
"""Some file systems tell times only to two seconds: a folder that changed is listed for so long afterwards."""
MAX_BYTES = 1 << 18
"""A real file has a few hundred bytes. What is larger is read to here."""


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """One file. `at_ms`: the time in its name."""

    at_ms: int
    station: str
    path: Path

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(slots=True)
class _Listing:
    mtime_ns: int
    changed_at: float
    listed_at: float
    folders: list[Path]
    files: list[Arrival]


@dataclass(slots=True)
class _Unsure:
    arrival: Arrival
    size: int = -1
    mtime_ns: int = -1
    since: float = 0.0


class Folder:
    """`still_s`: how long a file must keep its size and time before it counts as whole."""

    def __init__(self, root: Path, stations: Collection[str], still_s: float) -> None:
        self._root = root
        self._stations = stations
        self._still_s = still_s
        self._listings: dict[Path, _Listing] = {}
        self._unsure: dict[str, _Unsure] = {}
        self._given: set[str] = set()

    def look(self, now: float, wanted: Callable[[Arrival], bool]) -> list[Arrival]:
        """Whole files that were not given before and are wanted, oldest first. `now`: monotonic seconds. Raises
        OSError when the folder cannot be read."""
        for arrival in self._files(self._root, now, fresh=True):
            if arrival.name not in self._unsure and arrival.name not in self._given and wanted(arrival):
                self._unsure[arrival.name] = _Unsure(arrival)
        whole = sorted(unsure.arrival for unsure in list(self._unsure.values()) if self._is_whole(unsure, now))
        for arrival in whole:
            del self._unsure[arrival.name]
            self._given.add(arrival.name)
        return whole

    def forget(self, names: Collection[str]) -> None:
        """These are remembered elsewhere from now on, or are gone."""
        self._given.difference_update(names)

    def newest(self, station: str, now: float) -> Arrival | None:
        files = [arrival for arrival in self._files(self._root, now) if arrival.station == station]
        return max(files, default=None)

    def _is_whole(self, unsure: _Unsure, now: float) -> bool:
        try:
            found = unsure.arrival.path.stat()
        except OSError:  # deleted, or a link to nowhere
            del self._unsure[unsure.arrival.name]
            return False
        if (found.st_size, found.st_mtime_ns) != (unsure.size, unsure.mtime_ns):
            unsure.size, unsure.mtime_ns, unsure.since = found.st_size, found.st_mtime_ns, now
            return False
        return found.st_size > 0 and now - unsure.since >= self._still_s

    def _files(self, folder: Path, now: float, *, fresh: bool = False) -> Iterator[Arrival]:
        """fresh: only of folders that were listed just now; the others hold nothing new."""
        listing = self._listing(folder, now)
        if listing is None:
            return
        if not fresh or listing.listed_at == now:
            yield from listing.files
        for inner in listing.folders:
            yield from self._files(inner, now, fresh=fresh)

    def _listing(self, folder: Path, now: float) -> _Listing | None:
        try:
            mtime_ns = folder.stat().st_mtime_ns
            known = self._listings.get(folder)
            if known is None:
                known = self._listings[folder] = _Listing(mtime_ns, now, now, *self._list(folder))
            elif known.mtime_ns != mtime_ns:
                self._relist(folder, known, now)
                known.mtime_ns, known.changed_at = mtime_ns, now
            elif now - known.changed_at < _COARSE_S or now - known.listed_at >= _RELIST_S:
                self._relist(folder, known, now)
        except OSError:
            # A sub-folder that is gone or closed to us (lost+found) must not hide the others.
            if folder == self._root:
                raise
            self._drop({folder})
            return None
        return known

    def _relist(self, folder: Path, known: _Listing, now: float) -> None:
        before = known.folders
        known.folders, known.files = self._list(folder)
        known.listed_at = now
        self._drop(set(before).difference(known.folders))

    def _drop(self, gone: set[Path]) -> None:
        """Forgets folders and what is below them: years of day folders would fill the memory."""
        if gone:
            self._listings = {
                path: listing for path, listing in self._listings.items() if gone.isdisjoint({path, *path.parents})
            }

    def _list(self, folder: Path) -> tuple[list[Path], list[Arrival]]:
        folders: list[Path] = []
        files: list[Arrival] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif (parsed := tt10.parse_name(entry.name)) is not None and parsed[0] in self._stations:
                    files.append(Arrival(parsed[1], parsed[0], Path(entry.path)))
        return folders, files


def content(path: Path) -> bytes | None:
    """What stands in the file; None when it is gone."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES)
    except FileNotFoundError:
        return None
