"""Which files were read, across restarts, where files are kept: a list of names in a file of its own. Blocking.

    since 20251231120000
    HN_ABCD_NUO001_20260101120000.txt

A name is appended when its values were handed on. Files from before `since` are never read: that bounds the list. It
begins a day before the first start, so that an old archive is not sent to the centre as news, and follows 90 days
behind.
"""

from __future__ import annotations

import os
from pathlib import Path

from drivers.tt10.folder import Arrival
from gateway.model import tt10

FIRST_LOOK_MS = 86_400_000
KEEP_MS = 90 * 86_400_000
_REWRITE_AFTER = 10_000


class Memory:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._since_ms = 0
        self._names: set[str] = set()
        self._added = 0

    def load(self, now_ms: int, *, synced: bool) -> None:
        """Raises OSError when the list can be neither read nor made. While the clock is not set, nothing is old."""
        try:
            first, _, rest = self.path.read_text(encoding="utf-8").partition("\n")
            self._since_ms = tt10.moment(first.removeprefix("since "))
            self._names = set(rest.split("\n")) - {""}
        except FileNotFoundError:
            self._since_ms = now_ms - FIRST_LOOK_MS if synced else 0
        except ValueError:  # a torn first line: better to read a day twice than to miss one
            self._since_ms = now_ms - FIRST_LOOK_MS if synced else 0
        if synced:
            self._since_ms = max(self._since_ms, now_ms - KEEP_MS)
        self._rewrite()

    def is_new(self, arrival: Arrival) -> bool:
        return arrival.at_ms >= self._since_ms and arrival.name not in self._names

    def add(self, names: list[str], now_ms: int, *, synced: bool) -> None:
        """Raises OSError; nothing is remembered then."""
        with self.path.open("a", encoding="utf-8") as stream:
            stream.writelines(f"{name}\n" for name in names)
        self._names.update(names)
        self._added += len(names)
        if self._added >= _REWRITE_AFTER and synced:
            self._since_ms = max(self._since_ms, now_ms - KEEP_MS)
            self._rewrite()

    def _rewrite(self) -> None:
        self._names = {name for name in self._names if (p := tt10.parse_name(name)) and p[1] >= self._since_ms}
        rows = [f"since {tt10.stamp(max(0, self._since_ms))}", *sorted(self._names)]
        draft = self.path.with_name(self.path.name + ".new")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as stream:
            stream.write("\n".join(rows) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(self.path)
        self._added = 0
