"""The centre's word on what it has stored, and what it misses: `ack/1`, a message that anybody at the broker can send.

Whatever is wrong with it, it is ignored and said in the log once a minute; it never ends anything.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field

from gateway.model.clock import Clock
from gateway.model.errors import StoreDamaged, StoreError
from gateway.model.ports import Outbox
from gateway.model.spans import Spans, asked_for

log = logging.getLogger("gateway.uplink")

MOST_BYTES = 64 * 1024
MOST_RANGES = 1000
MOST_RECORDS = 100_000  # of one message; the rest is for the next one
AGAIN_EVERY_S = 1.0
SAY_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Ack:
    """`upto`: everything up to this rid is stored at the centre. `miss`: what it asks for."""

    upto: int
    miss: Spans = field(default_factory=Spans)


def read_ack(payload: bytes, epoch: str, newest: int) -> Ack:
    """Raises ValueError, with the reason, for what is not an `ack/1` of this epoch about records up to `newest`."""
    if len(payload) > MOST_BYTES:
        raise ValueError(f"{len(payload)} bytes, but at most {MOST_BYTES} are read")
    try:
        message = json.loads(payload)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(message, dict) or message.get("s") != "ack/1":
        raise ValueError("not an ack/1 message")
    if message.get("ep") != epoch:
        raise ValueError(f"it is about another store; the epoch of this one is {epoch}")
    upto = message.get("upto", 0)
    if type(upto) is not int or not 0 <= upto <= newest:
        raise ValueError(f"upto must be a whole number from 0 to {newest}")
    return Ack(upto, asked_for(message.get("miss", []), newest=newest, most=MOST_RANGES))


class Acks:
    """Tells the outbox. `confirms`: what was sent is kept until it is confirmed; otherwise only `miss` counts."""

    def __init__(self, outbox: Outbox, clock: Clock, *, confirms: bool) -> None:
        self._outbox = outbox
        self._clock = clock
        self._confirms = confirms
        self._looking = False
        self._again_from = float("-inf")
        self._say_from = float("-inf")
        self._ignored = 0

    async def handle(self, payload: bytes, *, retained: bool) -> None:
        """Raises nothing but StoreDamaged."""
        if retained:
            self._ignore("it is retained, so nobody knows how old it is")
            return
        try:
            ack = read_ack(payload, self._outbox.epoch, self._outbox.span()[1])
            if self._confirms:
                await self._outbox.confirmed(ack.upto)
            if ack.miss:
                await self._again(ack.miss)
        except StoreDamaged:
            raise
        except (ValueError, StoreError) as error:
            self._ignore(str(error))

    async def _again(self, miss: Spans) -> None:
        """One at a time and not too often: finding rows keeps the store's thread from other work. Who is turned away
        will ask again."""
        now = self._clock.monotonic()
        if self._looking or now < self._again_from:
            return
        self._looking, self._again_from = True, now + AGAIN_EVERY_S
        try:
            again = await self._outbox.again(miss.head(MOST_RECORDS))
        finally:
            self._looking = False
        log.info("the centre misses %d records: %d are sent again", len(miss), again.records)

    def _ignore(self, why: str) -> None:
        self._ignored += 1
        now = self._clock.monotonic()
        if now >= self._say_from:
            log.warning("an ack of the centre was ignored (%d so far): %s", self._ignored, why)
            self._say_from = now + SAY_EVERY_S
