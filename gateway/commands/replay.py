"""`tele.replay {"ep": .., "ranges": [[a, b], ..]}`: the centre asks for records again. They come with the same ids."""

from __future__ import annotations

from gateway.commands.desk import Served
from gateway.model.clock import Clock
from gateway.model.command import Command, CommandState
from gateway.model.ports import Outbox
from gateway.model.spans import asked_for

MOST_RANGES = 200
MOST_RECORDS = 100_000
EVERY_S = 5.0


class Replay:
    """A service of the desk. Nothing in the street depends on it, so whoever may send commands may ask; but finding
    rows keeps the store's thread busy, so not too much at a time, and not too often."""

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox = outbox
        self._clock = clock
        self._next_from = float("-inf")

    async def __call__(self, command: Command) -> Served:
        if command.args.get("ep") != self._outbox.epoch:
            return _no(f"the store's epoch is {self._outbox.epoch}; ids of another mean other records")
        try:
            wanted = asked_for(command.args.get("ranges"), newest=self._outbox.span()[1], most=MOST_RANGES)
        except ValueError as error:
            return _no(str(error))
        if len(wanted) > MOST_RECORDS:
            return _no(f"{len(wanted)} records, but at most {MOST_RECORDS} at a time")
        now = self._clock.monotonic()
        if now < self._next_from:
            return _no(f"ask again in {self._next_from - now:.0f} s")
        self._next_from = now + EVERY_S
        again = await self._outbox.again(wanted)
        gone = sum(hi - lo + 1 for lo, hi in again.not_held)
        not_held = [list(span) for span in again.not_held[:MOST_RANGES]]
        return Served(info={"records": again.records, "not_held": not_held, "gone": gone})


def _no(why: str) -> Served:
    return Served(CommandState.REFUSED, why)
