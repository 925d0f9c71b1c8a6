"""One station's files: a slot after the other is written and kept. Who brings them to the server is the carrier."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from gateway.model import tt10
from gateway.model.clock import Clock
from gateway.model.indicator import Indicator
from gateway.model.measure import Reason, Signal
from gateway.model.ports import History
from gateway.uplink.tt10.carrier import Carrier
from gateway.uplink.tt10.door import dial
from gateway.uplink.tt10.errors import NotWritten
from gateway.uplink.tt10.settings import Tt10Export
from gateway.uplink.tt10.shelf import Shelf
from gateway.uplink.tt10.slots import Slots
from gateway.uplink.tt10.state import Progress, Trouble

SETTLE_MS = 10_000
"""A slot is written so long after its end, or a fifth of a short one: the windows that end with it are closed then."""
TICK_S = 1.0
LATE_S = 60.0
"""Windows that come after their slot's file was written are in the history so long after they came, at the latest."""
LOOK_BACK_MS = 86_400_000
NEVER_MS = 1 << 62
_PRUNE_MS = 3_600_000
_HELD_BACK = 288


def shelf_of(settings: Tt10Export, base: Path) -> Shelf:
    """base: the site file's folder."""
    return Shelf(base / settings.folder, settings.station, sending=settings.send is not None)


class Exporter:
    """`open` once, then `take` is called with everything that is stored, and `run` until cancelled. None raises what a
    full disk or a server can cause: it is logged once, shown in `status`, and tried again."""

    def __init__(
        self,
        settings: Tt10Export,
        signals: Iterable[Signal],
        history: History,
        base: Path,
        clock: Clock,
        secret: Callable[[str], str],
    ) -> None:
        self.station = settings.station
        self.progress = Progress()
        self._settings = settings
        self._clock = clock
        self._log = logging.getLogger(f"gateway.tt10.{settings.station}")
        self._slots = Slots(settings, signals)
        self._history = history
        self._every_ms = settings.every_s * 1000
        self._settle_ms = min(SETTLE_MS, self._every_ms // 5)
        self._shelf = shelf_of(settings, base)
        self._trouble = Trouble(self._log)
        self._carrier: Carrier | None = None
        if settings.send is not None:
            around = (self._shelf, self.progress, self._trouble, clock)
            self._carrier = Carrier(settings.send, dial(settings.send, base, secret), *around)
        self._held_back: deque[tuple[int, bytes]] = deque(maxlen=_HELD_BACK)
        self._late: dict[int, float] = {}
        self._next_ms = self._first_ms = self._slots.end_of(clock.now_ms())
        self._trusted = False
        self._pruned_ms = 0

    # --- what it is told ----------------------------------------------------------------------------------------------

    def take(self, indicators: Sequence[Indicator]) -> None:
        if not self._clock_is_set():
            return  # their times are wrong
        for indicator in indicators:
            end_ms = self._slots.end_of(indicator.end_ms)
            if end_ms >= self._next_ms:
                self._slots.add(indicator)
            elif self._carrier is not None and indicator.start_ms is not None and self._slots.shows(indicator.signal):
                self._late[end_ms] = self._clock.monotonic() + LATE_S

    async def open(self) -> None:
        """Prepares the folders, and recalls what was stored before this start: the open slot goes on, and slots that
        ended while nobody was there are written from what they have. Raises StoreError."""
        since_ms = await self._since()
        for window in await self._stored(since_ms, NEVER_MS):
            self._slots.add(window)
        self._catch_up()

    async def _since(self) -> int:
        """Since when stored windows matter: the end of the newest file, or the beginning of the slot before the open
        one if there is none: a station may have stopped in its first slot."""
        now_ms = self._clock.now_ms()
        self._begin(now_ms)
        open_ms = self._first_ms - self._every_ms
        since_ms = open_ms - self._every_ms
        try:
            await asyncio.to_thread(self._shelf.open)
            newest_ms = await asyncio.to_thread(self._shelf.newest_ms)
        except NotWritten as error:
            self._trouble.broke("writing", error)
            newest_ms = None
        if newest_ms is not None:
            self.progress.newest_ms = newest_ms
            since_ms = max(min(newest_ms, open_ms), now_ms - LOOK_BACK_MS)
        if not self._clock.synced():
            # A machine without a battery wakes up in the past, where "since" would mean everything that is stored.
            return newest_ms if newest_ms is not None else NEVER_MS
        return since_ms

    def _begin(self, now_ms: int) -> None:
        """The open slot is the first one that is written whatever is known of it."""
        self._next_ms = self._first_ms = self._slots.end_of(now_ms)

    async def _stored(self, since_ms: int, to_ms: int) -> list[Indicator]:
        """Windows that ended in (since, to], but those of which nobody knows when that was."""
        found = [
            await self._history.windows(since_ms, to_ms, span_s=window_s, signals=signals)
            for window_s, signals in self._slots.lengths().items()
        ]
        return [window for windows in found for window in windows if Reason.CLOCK_UNSYNCED not in window.reasons]

    def _catch_up(self) -> None:
        known = [end for end in self._slots.ends() if end > self.progress.newest_ms]
        if known:
            self._next_ms = min(self._next_ms, known[0])

    def status(self) -> dict[str, Any]:
        progress = {name: getattr(self.progress, name) for name in Progress.__slots__}
        return {**progress, "folder": str(self._shelf.root), "error": self._trouble.text()}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_slots())
            if self._carrier is not None:
                group.create_task(self._carrier.run())

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
        await self._mend_late(now_ms)
        if abs(now_ms - self._pruned_ms) >= _PRUNE_MS:  # abs: the clock may be set back
            self._pruned_ms = now_ms
            await self._prune(now_ms)

    def _clock_is_set(self) -> bool:
        """A file with a wrong time is worse than none. A clock that was set once is believed from then on."""
        if not self._trusted and self._clock.synced():
            self._trusted = True
            if "clock" in self._trouble:
                self._trouble.mended("clock")
                self._begin(self._clock.now_ms())
                self._catch_up()
        elif not self._trusted:
            self._trouble.broke("clock", "the clock is not set: no files are written (hint: NTP, or clock: trusted)")
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
            self._trouble.broke("writing", error)
            return False
        self._trouble.mended("writing")
        if new:
            self.progress.written += 1
            self.progress.newest_ms = max(self.progress.newest_ms, end_ms)
            if self._carrier is not None:
                self._carrier.news.set()
        return True

    async def _mend_late(self, now_ms: int) -> None:
        """Files whose windows came late are written again from the history, unless they are handed over already."""
        if self._carrier is None:
            return  # a file that is only kept stays as it was first written
        ready = [end_ms for end_ms, from_s in self._late.items() if from_s <= self._clock.monotonic()]
        for end_ms in ready:
            if self._carrier.handing_over.locked():
                return  # it may be this one; a second later is soon enough
            del self._late[end_ms]
            if end_ms <= now_ms - LOOK_BACK_MS:
                continue
            async with self._carrier.handing_over:
                lines = self._slots.of(await self._stored(end_ms - self._every_ms, end_ms), end_ms)
                data = tt10.formatted(lines, self._settings.line_end)
                try:
                    await asyncio.to_thread(self._shelf.rewrite, end_ms, data)
                except NotWritten as error:
                    self._log.error("%s stays without its late values: %s", tt10.file_name(self.station, end_ms), error)

    async def _prune(self, now_ms: int) -> None:
        try:
            await asyncio.to_thread(self._shelf.prune, now_ms, self._settings.keep_days)
        except NotWritten as error:
            self._log.error("old files stay: %s", error)
