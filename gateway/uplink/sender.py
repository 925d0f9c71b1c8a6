"""Moves records from the store to one connection: lanes in order, a bounded number on the way, nothing forgotten.

No queue of its own: the store's outbox is the queue. A batch is taken, posted, and settled when the broker said
yes; everything else ends in `refuse` (never to be sent again by itself) or `give_back` (due again).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.model.clock import Clock
from gateway.model.errors import Rejected, UplinkError
from gateway.model.ports import Batch, Lane, Outbox
from gateway.uplink.client import Client, Sealed
from gateway.uplink.encode import GZIP_FROM, packed
from gateway.uplink.link import NO_SUBSCRIBERS, TOO_LARGE, refusal
from gateway.uplink.suspects import TRIALS_OF_ONE, Suspects

NEVER = (0x87, 0x90, 0x99)  # not authorised, topic name, payload format: sending again changes nothing
PLAIN = Sealed(PacketTypes.PUBLISH, ContentType="application/json", UserProperty=("schema", "tele/1"))
ZIPPED = Sealed(
    PacketTypes.PUBLISH, ContentType="application/json", UserProperty=[("schema", "tele/1"), ("enc", "gzip")]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Numbers of the contract (9.4), but for `retry_last_s`: 60 s there. A broker that was away for a minute should
    not cost another one, and 5 000 gateways that come back within 20 s are 250 connections a second. Tests use
    shorter times."""

    batch_records: int = 200
    batch_bytes: int = 64 * 1024
    message_bytes: int = 120 * 1024
    reserve_bytes: int = 1024  # envelope, topic and properties
    nobody_wait_s: float = 30
    retry_first_s: float = 1
    retry_last_s: float = 20
    quota_last_s: float = 60
    stable_s: float = 60
    taken_over_s: float = 300
    trial_every_s: float = 5


@dataclass(slots=True)
class Lasting:
    """What outlives a connection: what was done since the process started, and what was learned of the broker.

    `largest_bytes`: a limit the broker did not announce but enforced, None if it did not.
    """

    batches: int = 0
    records: int = 0
    refused: int = 0
    connects: int = 0
    largest_bytes: int | None = None
    suspects: Suspects = field(default_factory=Suspects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where batches go and how they are wrapped. `report` is told once of each kind of trouble."""

    live: str
    back: str
    wrap: Callable[[Batch], bytes]
    gzip: bool
    mqtt5: bool
    flush_every_s: float
    report: Callable[[UplinkError], None]


class Sender:
    """One connection's sending half. `run` ends only by cancellation or when the line is down."""

    def __init__(
        self, line: Client, outbox: Outbox, route: Route, clock: Clock, limits: Limits, lasting: Lasting
    ) -> None:
        self._line = line
        self._outbox = outbox
        self._route = route
        self._clock = clock
        self._limits = limits
        self._lasting = lasting
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._in_flight = dict.fromkeys(Lane, 0)
        self._unanswered: dict[int, Batch] = {}  # in the order they were posted
        self._proven = False  # this connection has had a batch acknowledged
        self._live_due_at: float | None = None
        self._refused: list[tuple[Batch, UplinkError]] = []
        self._pause_until: float | None = None
        self._pause_s = limits.retry_first_s
        self._hurry = False
        message = min(line.max_packet_bytes or limits.message_bytes, limits.message_bytes)
        self._room = min(limits.batch_bytes, message - limits.reserve_bytes, lasting.largest_bytes or message)

    async def run(self) -> None:
        watch = asyncio.create_task(self._watch_outbox())
        try:
            while True:
                self._wake.clear()
                await self.set_aside_refused()
                if self._line.busy:
                    await self._line.room()
                elif self._pause_until is not None:
                    await self._sit_out(self._pause_until)
                elif (suspect := self._trial(self._proven)) is not None:
                    await self._try(suspect)
                elif (lane := self._due()) is not None:
                    await self._send(lane)
                elif not self._unanswered and (suspect := self._trial(True)) is not None:
                    await self._try(suspect)
                else:
                    await self._sleep(self._next_look())
        finally:
            watch.cancel()

    async def flushed(self) -> None:
        """From now on nothing waits for company; returns when the store has nothing to send and all is answered."""
        self._hurry = True
        self._idle.clear()
        self._wake.set()
        await self._idle.wait()

    async def set_aside_refused(self) -> None:
        """What the broker refused for good, also in the last moment of the connection."""
        while self._refused:
            await self._set_aside(*self._refused.pop())

    async def line_ended(self) -> None:
        """The connection ended by itself: notes what was on its way then, and judges by what is known of it."""
        oldest = next(iter(self._unanswered.values()), None)
        if oldest is None:
            return
        suspects = self._lasting.suspects
        for batch in suspects.line_ended(oldest, self._loop.time(), proven=self._proven):
            if batch.n > 1:
                suspects.halved(batch, self._outbox.split(batch))
            else:
                hint = "it takes all others: look into its log, and at what the record holds"
                what = f"the broker hung up {TRIALS_OF_ONE} times on it"
                await self._set_aside(batch, Rejected(what, where=self._line.link.place, hint=hint))

    async def _watch_outbox(self) -> None:
        while True:
            await self._outbox.changed()
            self._wake.set()

    # -- what is next

    def _due(self) -> Lane | None:
        if self._outbox.waiting(Lane.URGENT).records:
            return Lane.URGENT
        if self._live_is_due():
            return Lane.LIVE
        # Half the window stays free, so that a long backlog never delays what happens now.
        if self._in_flight[Lane.BACK] < max(1, self._line.window // 2) and self._outbox.waiting(Lane.BACK).records:
            return Lane.BACK
        if not any(self._in_flight.values()):
            self._idle.set()
        return None

    def _live_is_due(self) -> bool:
        waiting = self._outbox.waiting(Lane.LIVE)
        if not waiting.records:
            self._live_due_at = None
            return False
        full = waiting.records >= self._limits.batch_records or waiting.size >= self._room
        if full or self._hurry:
            return True
        if self._live_due_at is None:
            # The wall clock may have stepped since the commit; it must not hold records back for longer than agreed.
            age_s = (self._clock.now_ms() - waiting.oldest_ms) / 1000 if waiting.oldest_ms else 0.0
            self._live_due_at = self._loop.time() + self._route.flush_every_s - max(0.0, age_s)
        return self._loop.time() >= self._live_due_at

    def _next_look(self) -> float | None:
        """When something may be due without anybody saying so."""
        trial_at = self._lasting.suspects.trial_at()
        times = [self._live_due_at, trial_at if trial_at is not None and trial_at > self._loop.time() else None]
        return min((at for at in times if at is not None), default=None)

    async def _sleep(self, until: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._wake.wait()

    # -- sending

    async def _send(self, lane: Lane) -> None:
        # A broker with a tiny limit gets its records one by one; each is then weighed exactly by the client.
        most = self._limits.batch_records if self._room > 0 else 1
        batch = await self._outbox.take(lane, most, max(1, self._room))
        if lane is Lane.LIVE:
            self._live_due_at = None
        if batch is not None:
            await self._post(batch)

    async def _post(self, batch: Batch) -> None:
        payload = self._route.wrap(batch)
        if len(payload) > self._limits.message_bytes:
            error = Rejected(f"{len(payload)} bytes in one message", hint="a record is too large: see what it holds")
            await self._set_aside(batch, error)
            return
        zipped = self._route.gzip and len(payload) > GZIP_FROM
        try:
            answer = await self._line.post(
                self._topic(batch),
                packed(payload) if zipped else payload,
                properties=self._properties(zipped=zipped),
            )
        except Rejected as error:
            await self._set_aside(batch, error)
            return
        self._in_flight[batch.lane] += 1
        self._unanswered[batch.lo] = batch
        answer.add_done_callback(partial(self._answered, batch))

    def _topic(self, batch: Batch) -> str:
        return self._route.back if batch.lane is Lane.BACK else self._route.live

    def _properties(self, *, zipped: bool) -> Properties | None:
        if not self._route.mqtt5:
            return None
        return ZIPPED if zipped else PLAIN

    def _answered(self, batch: Batch, answer: asyncio.Future[int]) -> None:
        self._in_flight[batch.lane] -= 1
        self._wake.set()
        if answer.cancelled() or answer.exception() is not None:
            return  # the line is down: the session ends and gives everything back
        del self._unanswered[batch.lo]
        self._lasting.suspects.answered(batch)
        code = answer.result()
        if code == 0:
            self._proven = True
            self._outbox.settle(batch)
            self._lasting.batches += 1
            self._lasting.records += batch.n
            self._pause_s = self._limits.retry_first_s
            return
        error = refusal(code, self._topic(batch), self._line.link.place)
        if code in NEVER or (code == TOO_LARGE and batch.n == 1):
            self._refused.append((batch, error))
            return
        self._route.report(error)
        if code == TOO_LARGE:
            # Kept for the next connection too: mosquitto hangs up after this answer.
            self._room = self._lasting.largest_bytes = max(1, min(self._room, len(batch.body)) // 2)
            self._pause(0)
        elif code == NO_SUBSCRIBERS:
            self._pause(self._limits.nobody_wait_s)
        else:  # 0x97 quota exceeded, and whatever else a broker may think of
            self._pause(self._pause_s)

    # -- a batch that may be what ends connections: see `suspects`

    def _trial(self, proven: bool) -> Batch | None:
        return None if self._hurry else self._lasting.suspects.next_trial(self._loop.time(), proven=proven)

    async def _try(self, suspect: Batch) -> None:
        """Alone on its way: nothing before it is unanswered, and nothing follows before its answer."""
        if not self._unanswered:
            await self._post(suspect)
        while self._unanswered:
            self._wake.clear()
            await self._wake.wait()

    async def _set_aside(self, batch: Batch, error: UplinkError) -> None:
        self._lasting.refused += batch.n
        self._lasting.suspects.answered(batch)
        self._route.report(error)
        await self._outbox.refuse(batch, error.what)

    def _pause(self, seconds: float) -> None:
        if self._pause_until is None:
            self._pause_until = self._loop.time() + seconds
            self._pause_s = min(self._pause_s * 2, self._limits.quota_last_s)

    async def _sit_out(self, until: float) -> None:
        """Lets what is on its way arrive, makes the rest due again, and waits."""
        if any(self._in_flight.values()):
            await self._sleep(None)
            return
        if self._refused:
            return
        self._outbox.give_back(but=self._lasting.suspects.batches)
        await asyncio.sleep(until - self._loop.time())
        self._pause_until = None
