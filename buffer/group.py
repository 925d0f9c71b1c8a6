"""Group commit: what joins within an interval is committed together. One commit at a time, none forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.model.indicator import Indicator

log = logging.getLogger("buffer")

RETRY_S = 1.0

Statement = tuple[str, tuple[Any, ...]]


class Note(NamedTuple):
    """A journal entry to be: `body` is its canonical JSON."""

    at_ms: int
    kind: str
    body: str


@dataclass(slots=True)
class Bag:
    """What one transaction brings: (lane, record) pairs, closed windows, journal notes, keepsakes by name, and
    statements, which run first."""

    records: list[tuple[int, bytes]] = field(default_factory=list)
    windows: list[Indicator] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    keepsakes: dict[str, str] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.records or self.windows or self.notes or self.keepsakes or self.statements)


Write = Callable[[Bag, bool], Awaitable[bool]]


class Group:
    """`write(bag, first_try)` commits in one transaction; it returns False, having said why on the first try, while the
    disk takes nothing. Then the same bag is tried again each second."""

    def __init__(self, write: Write, every_s: float) -> None:
        self._write = write
        self.every_s = every_s
        self._bag = Bag()
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None
        self._committer: asyncio.Task[None] | None = None
        self._number = 1
        self._committed = 0
        self._next_within = every_s

    def __len__(self) -> int:
        """Records in the open group."""
        return len(self._bag.records)

    def join(
        self,
        records: Iterable[tuple[int, bytes]] = (),
        *,
        windows: Iterable[Indicator] = (),
        notes: Iterable[Note] = (),
        keepsakes: Mapping[str, str] | None = None,
        statements: Iterable[Statement] = (),
    ) -> None:
        """Puts things into the open group. `within` or `flush` gets them committed."""
        self._bag.records.extend(records)
        self._bag.windows.extend(windows)
        self._bag.notes.extend(notes)
        self._bag.keepsakes.update(keepsakes or {})
        self._bag.statements.extend(statements)

    def within(self, delay_s: float) -> None:
        """The open group is committed after at most `delay_s`, also if there is nothing in it."""
        self._asked = True
        if self._committer is not None:
            self._next_within = min(self._next_within, delay_s)
            return
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + delay_s:
                return
            self._timer.cancel()
        self._timer = loop.call_later(delay_s, self._commit_now)

    async def flush(self) -> None:
        """Returns after everything that joined, or was asked for, so far is committed."""
        wanted = self._number if self._bag or self._asked else self._number - 1
        while self._committed < wanted:
            self._commit_now()
            assert self._committer is not None  # noqa: S101  # running, or just made
            await asyncio.shield(self._committer)

    async def close(self, timeout_s: float) -> None:
        """The last commit. What the disk does not take in time is lost, and said."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.flush()
        except TimeoutError:
            log.error("the disk takes nothing: the records of the last %.0f s are lost", timeout_s)
        if self._timer is not None:
            self._timer.cancel()
        if self._committer is not None:
            self._committer.cancel()
            await asyncio.wait([self._committer])

    def _commit_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit(), name="commit")

    async def _commit(self) -> None:
        bag, self._bag = self._bag, Bag()
        number = self._number
        self._number += 1
        self._asked = False
        self._next_within = self.every_s
        refused = False
        try:
            while not await self._write(bag, not refused):
                refused = True
                await asyncio.sleep(RETRY_S)
        finally:
            self._committer = None
        self._committed = number
        if refused:
            log.warning("the store takes records again")
        if self._bag or self._asked:
            self.within(self._next_within)
