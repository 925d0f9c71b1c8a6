"""One station's files: a slot after the other is written, kept, and sent when the server can be reached.

Sent oldest first: the server gets every file in the order of its time, as if there had been no outage. A file has a few
hundred bytes, so a day of them (288) is through in a minute or two, and the newest does not wait long for them.
"""

from __future__ import annotations

import asyncio
import logging
import posixpath
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.model import tt10
from gateway.model.clock import Clock
from gateway.model.errors import GatewayError, Rejected
from gateway.model.indicator import Indicator
from gateway.model.measure import Signal
from gateway.uplink.tt10.door import Dial, Door, dial
from gateway.uplink.tt10.errors import NotWritten
from gateway.uplink.tt10.settings import Tt10Export
from gateway.uplink.tt10.shelf import Shelf
from gateway.uplink.tt10.slots import Slots

SETTLE_MS = 10_000
"""A slot is written so long after its end, or a fifth of a short one: the windows that end with it are closed then."""
TICK_S = 1.0
LOOK_S = 30.0
"""How often `outgoing` is looked at without a reason, for what a person put there."""
RETRY_FIRST_S, RETRY_LAST_S = 5.0, 60.0
REFUSALS = 3
"""A file is set aside when the server refused it so often and took others each time."""
LOOK_BACK_MS = 86_400_000
NEVER_MS = 1 << 62
_PRUNE_MS = 3_600_000
_HELD_BACK = 288


@dataclass(slots=True)
class Progress:
    """What a person wants to know. Times in ms UTC, 0 = never."""

    written: int = 0
    newest_ms: int = 0
    waiting: int = 0
    sent: int = 0
    last_sent: str = ""
    last_sent_ms: int = 0
    refused: int = 0


def shelf_of(settings: Tt10Export, base: Path) -> Shelf:
    """base: the site file's folder."""
    return Shelf(base / settings.folder, settings.station, sending=settings.send is not None)


class Exporter:
    """`take` is called with everything that is stored; `run` until cancelled. Neither raises what a disk or a server
    can cause: it is logged once, shown in `status`, and tried again."""

    def __init__(
        self, settings: Tt10Export, signals: Iterable[Signal], base: Path, clock: Clock, secret: Callable[[str], str]
    ) -> None:
        self.station = settings.station
        self.progress = Progress()
        self._settings = settings
        self._clock = clock
        self._log = logging.getLogger(f"gateway.tt10.{settings.station}")
        self._slots = Slots(settings, signals)
        self._every_ms = settings.every_s * 1000
        self._settle_ms = min(SETTLE_MS, self._every_ms // 5)
        self._shelf = shelf_of(settings, base)
        self._dial: Dial | None = None if settings.send is None else dial(settings.send, base, secret)
        self._held_back: deque[tuple[int, bytes]] = deque(maxlen=_HELD_BACK)
        self._next_ms = self._first_ms = self._slots.end_of(clock.now_ms())
        self._trusted = False
        self._pruned_ms = 0
        self._news = asyncio.Event()
        self._refusals: Counter[str] = Counter()
        self._broken: dict[str, str] = {}

    # --- what it is told ----------------------------------------------------------------------------------------------

    def take(self, indicators: Sequence[Indicator]) -> None:
        if not self._clock_is_set():
            return  # their times are wrong
        for indicator in indicators:
            self._slots.add(indicator)

    async def open(self) -> int:
        """Prepares the folders. Returns since when stored records matter: the end of the newest file, or the
        beginning of the open slot if there is none."""
        now_ms = self._clock.now_ms()
        self._begin(now_ms)
        since_ms = self._first_ms - self._every_ms
        try:
            await asyncio.to_thread(self._shelf.open)
            newest_ms = await asyncio.to_thread(self._shelf.newest_ms)
        except NotWritten as error:
            self._broke("writing", error)
            newest_ms = None
        if newest_ms is not None:
            self.progress.newest_ms = newest_ms
            since_ms = max(min(newest_ms, since_ms), now_ms - LOOK_BACK_MS)
        if not self._clock.synced():
            # A machine without a battery wakes up in the past, where "since" would mean everything that is stored.
            return newest_ms if newest_ms is not None else NEVER_MS
        return since_ms

    def _begin(self, now_ms: int) -> None:
        """The open slot is the first one that is written whatever is known of it."""
        self._next_ms = self._first_ms = self._slots.end_of(now_ms)

    def recall(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Stored records from before this start: the open slot goes on, and slots that ended while nobody was there
        are written from what they have."""
        for record in records:
            self._slots.add_record(record)
        self._catch_up()

    def _catch_up(self) -> None:
        known = [end for end in self._slots.ends() if end > self.progress.newest_ms]
        if known:
            self._next_ms = min(self._next_ms, known[0])

    def status(self) -> dict[str, Any]:
        progress = {name: getattr(self.progress, name) for name in Progress.__slots__}
        return {**progress, "folder": str(self._shelf.root), "error": "; ".join(self._broken.values())}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_slots())
            if self._dial is not None:
                group.create_task(self._send(self._dial))

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _write_slots(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)  # short, so that a stepped clock is noticed
            await self.turn()

    async def turn(self) -> None:
        """Writes the slots whose time has come."""
        now_ms = self._clock.now_ms()
        last_ms = (now_ms - self._settle_ms) // self._every_ms * self._every_ms
        if not self._clock_is_set():
            return
        for end_ms in self._due(now_ms, last_ms):
            self._held_back.append((end_ms, tt10.formatted(self._slots.close(end_ms), self._settings.line_end)))
        while self._held_back:
            if not await self._write(*self._held_back[0]):
                return
            self._held_back.popleft()
        if abs(now_ms - self._pruned_ms) >= _PRUNE_MS:  # abs: the clock may be set back
            self._pruned_ms = now_ms
            await self._prune(now_ms)

    def _clock_is_set(self) -> bool:
        """A file with a wrong time is worse than none. A clock that was set once is believed from then on."""
        if not self._trusted and self._clock.synced():
            self._trusted = True
            if "clock" in self._broken:
                self._mended("clock")
                self._begin(self._clock.now_ms())
                self._catch_up()
        elif not self._trusted:
            self._broke("clock", "the clock is not set: no files are written (hint: NTP, or clock: trusted)")
        return self._trusted

    def _due(self, now_ms: int, last_ms: int) -> list[int]:
        """Ends of the slots to write: those of which something is known, and the one that just ended in any case. Of a
        time in which nobody was there, nothing is claimed."""
        if self._next_ms - self._slots.end_of(now_ms) > self._every_ms:
            self._begin(now_ms)  # the clock was set back
        if last_ms < self._next_ms:
            return []
        due = {end for end in self._slots.ends() if self._next_ms <= end <= last_ms}
        if last_ms == self._next_ms and last_ms >= self._first_ms:
            due.add(last_ms)
        self._next_ms = last_ms + self._every_ms
        return sorted(due)

    async def _write(self, end_ms: int, data: bytes) -> bool:
        try:
            new = await asyncio.to_thread(self._shelf.write, end_ms, data)
        except NotWritten as error:
            self._broke("writing", error)
            return False
        self._mended("writing")
        if new:
            self.progress.written += 1
            self.progress.newest_ms = max(self.progress.newest_ms, end_ms)
            self._news.set()
        return True

    async def _prune(self, now_ms: int) -> None:
        try:
            await asyncio.to_thread(self._shelf.prune, now_ms, self._settings.keep_days)
        except NotWritten as error:
            self._log.error("old files stay: %s", error)

    # --- sending ------------------------------------------------------------------------------------------------------

    async def _send(self, call: Dial) -> None:
        failures = 0
        while True:
            self._news.clear()
            try:
                await self._deliver(call)
            except GatewayError as error:
                self._broke("sending", error)
                span_s = min(RETRY_FIRST_S * 2**failures, RETRY_LAST_S)
                failures = min(failures + 1, 10)
                # Spread, so that the stations of a province do not come back in step.
                await asyncio.sleep(span_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                continue
            failures = 0
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()

    async def _deliver(self, call: Dial) -> None:
        """Sends everything that waits. Raises GatewayError when something is left."""
        waiting = await asyncio.to_thread(self._shelf.waiting)
        self.progress.waiting = len(waiting)
        if not waiting:
            return
        refused: dict[Path, Rejected] = {}
        taken = 0
        async with call() as door:
            for file in waiting:
                try:
                    taken += await self._hand_over(door, file)
                    self._mended("sending")
                except Rejected as error:
                    refused[file] = error
                    if not taken and len(refused) == REFUSALS:
                        break  # it is not the files
        if taken:
            await self._blame(refused)
        if refused:
            raise next(iter(refused.values()))

    async def _hand_over(self, door: Door, file: Path) -> bool:
        settings = self._settings.send
        assert settings is not None  # noqa: S101 - there is a door
        try:
            data = await asyncio.to_thread(file.read_bytes)
        except OSError as error:
            raise NotWritten(str(error), where=str(file), hint="check the disk") from error
        folder = posixpath.join(settings.folder, *self._day_of(file)) if settings.day_folders else settings.folder
        await door.put(folder, file.name, data)
        await asyncio.to_thread(self._shelf.sent, file)
        self.progress.sent += 1
        self.progress.waiting = max(0, self.progress.waiting - 1)
        self.progress.last_sent, self.progress.last_sent_ms = file.name, self._clock.now_ms()
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
                self.progress.refused += 1
                self.progress.waiting = max(0, self.progress.waiting - 1)
                self._log.error("%s is set aside in outgoing/refused: %s", file.name, error)

    # --- one line when it breaks, one when it is well again -----------------------------------------------------------

    def _broke(self, what: str, error: object) -> None:
        if what not in self._broken:
            self._log.warning("%s", error)
        self._broken[what] = str(error)

    def _mended(self, what: str) -> None:
        if self._broken.pop(what, None) is not None:
            self._log.warning("%s goes on", what)
