"""Brings a station's files to the server, oldest first: it gets every file in the order of its time, as if there had
been no outage. A file has a few hundred bytes, so a day of them (288) is through in a minute or two, and the newest
does not wait long for them.
"""

from __future__ import annotations

import asyncio
import posixpath
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

from gateway.model.clock import Clock
from gateway.model.errors import GatewayError, Rejected
from gateway.uplink.tt10.door import Dial, Door
from gateway.uplink.tt10.errors import NotWritten
from gateway.uplink.tt10.settings import SendSettings
from gateway.uplink.tt10.shelf import Shelf
from gateway.uplink.tt10.state import Progress, Trouble

LOOK_S = 30.0
"""How often `outgoing` is looked at without a reason, for what a person put there."""
RETRY_FIRST_S, RETRY_LAST_S = 5.0, 60.0
REFUSALS = 3
"""A file is set aside when the server refused it so often and took others each time."""


class Carrier:
    """`run` until cancelled. `news`: there is a new file. `handing_over`: held while a file is on its way."""

    def __init__(
        self, settings: SendSettings, call: Dial, shelf: Shelf, progress: Progress, trouble: Trouble, clock: Clock
    ) -> None:
        self._settings = settings
        self._call = call
        self._shelf = shelf
        self._progress = progress
        self._trouble = trouble
        self._clock = clock
        self._refusals: Counter[str] = Counter()
        self.news = asyncio.Event()
        self.handing_over = asyncio.Lock()

    async def run(self) -> None:
        failures = 0
        while True:
            self.news.clear()
            try:
                await self._deliver()
            except GatewayError as error:
                self._trouble.broke("sending", error)
                span_s = min(RETRY_FIRST_S * 2**failures, RETRY_LAST_S)
                failures = min(failures + 1, 10)
                # Spread, so that the stations of a province do not come back in step.
                await asyncio.sleep(span_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                continue
            failures = 0
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self.news.wait()

    async def _deliver(self) -> None:
        """Sends everything that waits. Raises GatewayError when something is left."""
        waiting = await asyncio.to_thread(self._shelf.waiting)
        self._progress.waiting = len(waiting)
        if not waiting:
            return
        refused: dict[Path, Rejected] = {}
        taken = 0
        async with self._call() as door:
            for file in waiting:
                try:
                    async with self.handing_over:
                        taken += await self._hand_over(door, file)
                    self._trouble.mended("sending")
                except Rejected as error:
                    refused[file] = error
                    if not taken and len(refused) == REFUSALS:
                        break  # it is not the files
        if taken:
            await self._blame(refused)
        if refused:
            raise next(iter(refused.values()))

    async def _hand_over(self, door: Door, file: Path) -> bool:
        settings = self._settings
        try:
            data = await asyncio.to_thread(file.read_bytes)
        except OSError as error:
            raise NotWritten(str(error), where=str(file), hint="check the disk") from error
        folder = posixpath.join(settings.folder, *self._day_of(file)) if settings.day_folders else settings.folder
        await door.put(folder, file.name, data)
        await asyncio.to_thread(self._shelf.sent, file)
        self._progress.sent += 1
        self._progress.waiting = max(0, self._progress.waiting - 1)
        self._progress.last_sent, self._progress.last_sent_ms = file.name, self._clock.now_ms()
        return True

    def _day_of(self, file: Path) -> tuple[str, ...]:
        return self._shelf.place(file.name).parts[-4:-1]

    async def _blame(self, refused: dict[Path, Rejected]) -> None:
        """The server took others: it is the file. After some tries it stands aside and blocks nothing."""
        for file, error in list(refused.items()):
            self._refusals[file.name] += 1
            if self._refusals[file.name] >= REFUSALS:
                await asyncio.to_thread(self._shelf.refuse, file)
                del self._refusals[file.name], refused[file]
                self._progress.refused += 1
                self._progress.waiting = max(0, self._progress.waiting - 1)
                self._trouble.say("%s is set aside in outgoing/refused: %s", file.name, error)
