"""Turns on one wire: one owner at a time, and a command goes before the next poll."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType


class Link:
    """Hands out turns in order of arrival; urgent ones before all others. Nobody is interrupted in a turn.

    Use: `async with link.turn(urgent=True): ...`
    """

    def __init__(self) -> None:
        self._taken = False
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._ordinary: deque[asyncio.Future[None]] = deque()

    @property
    def taken(self) -> bool:
        return self._taken

    def turn(self, *, urgent: bool = False) -> Turn:
        return Turn(self, urgent)

    async def _take(self, urgent: bool) -> None:
        if not self._taken:
            self._taken = True
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._ordinary).append(waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            # The turn may have been handed over in the moment of the cancellation: pass it on.
            if waiting.done() and not waiting.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        for queue in (self._urgent, self._ordinary):
            while queue:
                waiting = queue.popleft()
                if not waiting.done():
                    waiting.set_result(None)
                    return
        self._taken = False


class Turn:
    """One turn; made by `Link.turn`."""

    __slots__ = ("_link", "_urgent")

    def __init__(self, link: Link, urgent: bool) -> None:
        self._link = link
        self._urgent = urgent

    async def __aenter__(self) -> None:
        await self._link._take(self._urgent)  # noqa: SLF001 - the other half of Link

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._link._pass_on()  # noqa: SLF001 - the other half of Link
