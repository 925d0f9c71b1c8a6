"""Group commit: what joins within an interval is committed together. One commit at a time, none forgotten."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

log = logging.getLogger("buffer")

RETRY_S = 1.0

Statement = tuple[str, tuple[Any, ...]]
Write = Callable[[Sequence[tuple[int, bytes]], Sequence[Statement], bool], Awaitable[bool]]


class Group:
    """`write(records, statements, first_try)` commits in one transaction; it returns False, having said why on the
    first try, while the disk takes nothing. Then the same group is tried again each second."""

    def __init__(self, write: Write, every_s: float) -> None:
        self._write = write
        self._every_s = every_s
        self._records: list[tuple[int, bytes]] = []
        self._statements: list[Statement] = []
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None
        self._committer: asyncio.Task[None] | None = None
        self._number = 1
        self._committed = 0
        self._next_within = every_s

    def __len__(self) -> int:
        """Records in the open group."""
        return len(self._records)

    def join(self, records: Sequence[tuple[int, bytes]], statements: Sequence[Statement] = ()) -> None:
        """Puts (lane, record) pairs and statements into the open group. `within` or `flush` gets them committed."""
        self._records.extend(records)
        self._statements.extend(statements)

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
        open_has_something = self._records or self._statements or self._asked
        wanted = self._number if open_has_something else self._number - 1
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
        records, self._records = self._records, []
        statements, self._statements = self._statements, []
        number = self._number
        self._number += 1
        self._asked = False
        self._next_within = self._every_s
        refused = False
        try:
            while not await self._write(records, statements, not refused):
                refused = True
                await asyncio.sleep(RETRY_S)
        finally:
            self._committer = None
        self._committed = number
        if refused:
            log.warning("the store takes records again")
        if self._records or self._statements or self._asked:
            self.within(self._next_within)
