"""Keeps sources alive: restart with backoff, one log line on going down and one on coming back, health, watchdog.

One of the three places that may catch everything: a bug in one driver must not take the others with it. What
happened is logged with its traceback, the source is restarted, and its signals say that nothing was measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.model.clock import Clock
from gateway.model.errors import GatewayError
from gateway.model.measure import Reading, Reason
from gateway.model.ports import Driver

log = logging.getLogger("gateway.supervise")

BACKOFF_S = (0.5, 1.0, 2.0, 5.0)
# A session that lasted this long was a good one: the next failure is retried quickly again.
STEADY_S = 60.0
# A source reports at least once a period, if only absence. One that is this much later is stuck: the watchdog is
# not fed for it.
STUCK_S = 60.0

Sink = Callable[[Sequence[Reading]], Awaitable[None]]


@dataclass(slots=True)
class SourceHealth:
    """The state of one wire or camera. `turned_at`: monotonic seconds of its last sign of life. `quiet_s`: how long
    it may be silent before it counts as stuck. `storing`: it waits for the store, which a full disk makes it do."""

    up: bool = False
    since_ms: int = 0
    why: str = "starting"
    restarts: int = 0
    turned_at: float = 0.0
    quiet_s: float = STUCK_S
    storing: bool = False

    def snapshot(self) -> dict[str, Any]:
        return {"up": self.up, "since_ms": self.since_ms, "why": self.why, "restarts": self.restarts}


class Supervisor:
    """Runs one driver for ever; cancel `run` to stop it."""

    def __init__(self, driver: Driver, sink: Sink, clock: Clock) -> None:
        self.driver = driver
        period_s = min((signal.every_s for signal in driver.signals), default=0.0)
        self.health = SourceHealth(since_ms=clock.now_ms(), turned_at=clock.monotonic(), quiet_s=2 * period_s + STUCK_S)
        self._sink = sink
        self._clock = clock

    async def run(self) -> None:
        failures = 0
        while True:
            began = self._clock.monotonic()
            try:
                await self._session()
                self._went_down("the driver ended by itself")
            except GatewayError as error:
                self._went_down(str(error))
            except Exception as error:  # noqa: BLE001  # the supervisor: named in ARCHITECTURE.md
                self._went_down(f"{type(error).__name__}: {error}", bug=error)
            steady = self._clock.monotonic() - began > STEADY_S
            failures = 1 if steady else failures + 1
            self.health.restarts += 1
            await self._say_missing()
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])

    async def _session(self) -> None:
        async with self.driver, contextlib.aclosing(self.driver.batches()) as batches:
            async for batch in batches:
                if not self.health.up:
                    self._came_back()
                await self._hand_over(batch)

    async def _say_missing(self) -> None:
        now_ms = self._clock.now_ms()
        await self._hand_over([Reading.missing(s.id, now_ms, Reason.LINK_DOWN) for s in self.driver.signals])

    async def _hand_over(self, batch: Sequence[Reading]) -> None:
        health = self.health
        health.turned_at, health.storing = self._clock.monotonic(), True
        try:
            await self._sink(batch)
        finally:
            health.turned_at, health.storing = self._clock.monotonic(), False

    def _went_down(self, why: str, bug: Exception | None = None) -> None:
        """Logs the change, not every attempt; a bug with its traceback, and again when it is another one."""
        health = self.health
        changed = health.up or health.why == "starting"
        if changed:
            health.since_ms = self._clock.now_ms()
        if bug is not None and (changed or why != health.why):
            log.error("%s failed and is restarted", self.driver.name, exc_info=bug)
        elif changed:
            log.warning("%s is down: %s", self.driver.name, why)
        health.up, health.why = False, why

    def _came_back(self) -> None:
        if self.health.restarts:
            log.info("%s is back", self.driver.name)
        self.health.up, self.health.why, self.health.since_ms = True, "", self._clock.now_ms()


async def watchdog(
    every_s: float, sources: Iterable[SourceHealth], store_turns: Callable[[], Awaitable[None]], clock: Clock
) -> None:
    """Feeds systemd's watchdog while there is real progress: the loop turns, the store's thread answers, and no
    source is stuck. A silent uplink is not a reason to restart: nothing would be won by it. Nor is a disk that takes
    nothing, for which sources wait: what waits in memory would be lost."""
    sources = list(sources)
    while True:
        await asyncio.sleep(every_s)
        await store_turns()
        stuck = [s for s in sources if not s.storing and clock.monotonic() - s.turned_at > s.quiet_s]
        if stuck:
            log.error("the watchdog is not fed: %d source(s) stuck", len(stuck))
        else:
            notify("WATCHDOG=1")


def watchdog_interval_s() -> float:
    """Half of what systemd allows between two feeds; 10 s when nobody watches."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    return int(usec) / 2_000_000 if usec.isdigit() else 10.0


def notify(state: str) -> None:
    """sd_notify(3): tells systemd our state, if it asked for it. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)  # a manager that does not listen must not stop us
        sock.sendto(state.encode(), address)
