"""What the values of a running gateway come to: indicators as they fall due, alarms at once, violations in the journal.

Between the pipeline and the store: everything that follows from one turn is committed together with how far it came.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from config.plan import Plan
from gateway.alarm_desk import AlarmDesk
from gateway.indicators.engine import Engine
from gateway.indicators.evaluation import Evaluation, Said
from gateway.indicators.reader import Reader
from gateway.model.alarm import Alarm
from gateway.model.clock import Clock
from gateway.model.errors import BadArgument, StoreDamaged, StoreError
from gateway.model.indicator import Indicator
from gateway.model.measure import Reading
from gateway.model.ports import Keepsakes, Lane, RecordSink
from gateway.uplink.encode import record

log = logging.getLogger("indicators")

LOOK_EVERY_S = 5.0
KEEP_EVERY_S = 60.0
"""How long a value has been beyond a threshold is kept so often; an alarm itself is kept when it is said."""
AT_ONCE = 500
"""So many records are written before others on the loop get their turn."""
FRESH_MS = 600_000
"""What ended longer ago than this queues behind what happens now."""


class Meaning:
    """`sink` takes what is said, `reader` gives the windows it is made of. `settle_s`: so long after its end a window
    is committed."""

    def __init__(self, site: str, plan: Plan, sink: RecordSink, reader: Reader, clock: Clock, settle_s: float) -> None:
        engine = Engine(plan.derived, reader, clock, settle_s)
        self._evaluation = Evaluation(engine, plan.signals, plan.single, site, clock)
        self.desk = AlarmDesk(self._evaluation.alarms, sink, clock)
        self._sink = sink
        self._clock = clock
        self._order = asyncio.Lock()  # an older state must not replace a newer one
        self._failing = False

    async def open(self, keepsakes: Keepsakes) -> None:
        """Before the first value: goes on where the last start ended."""
        await self._say(await self._evaluation.restore(keepsakes))
        await self.desk.open(keepsakes)

    @property
    def watched(self) -> frozenset[str]:
        """Ids of signals whose single readings `look` wants to see."""
        return self._evaluation.watched

    @property
    def hot(self) -> frozenset[str]:
        """Ids of measured signals that an alarm is about: these report faster."""
        return self._evaluation.hot

    async def look(self, readings: Sequence[Reading]) -> None:
        """Judged readings, as they came. Returns when the alarms they raise are committed."""
        await self.desk.say(self._evaluation.look(readings))

    async def store(self, records: Sequence[bytes], windows: Sequence[Indicator]) -> None:
        """Live records and windows go into the store, in one commit with the time that late ones lie in."""
        async with self._order:
            await self._sink.append(records, windows=windows, keep=self._evaluation.take(windows))

    async def run(self) -> None:
        """Until cancelled: computes what is due, a few seconds after its time."""
        kept_at = self._clock.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.turn()
            if self._clock.monotonic() - kept_at >= KEEP_EVERY_S:
                kept_at = self._clock.monotonic()
                await self.desk.keep()

    async def turn(self) -> None:
        """Everything that is due now, from windows that are committed. What follows from it is one commit; where the
        disk takes nothing it may be several: then alarms go first. What is said twice does no harm, what is kept as
        said and was not would. A history that cannot be read now is read at the next turn. Raises StoreDamaged."""
        async with self._order:
            if ended := self._evaluation.after_events():
                await self._say(ended)
        if not self._evaluation.engine.has_work():
            return
        await self._sink.flush()
        try:
            computed = await self._evaluation.engine.advance()
        except StoreDamaged:
            raise
        except StoreError as error:
            if not self._failing:
                log.error("indicators wait for the store: %s", error)
            self._failing = True
            return
        self._failing = False
        async with self._order:
            await self._say(self._evaluation.say(computed))

    async def _say(self, said: Said) -> None:
        """Nothing may be awaited between `Evaluation.say` and this. Of late values there may be thousands."""
        await self.desk.join(said.alarms)
        fresh_ms = self._clock.now_ms() - FRESH_MS
        live = [record(one) for one in said.indicators if one.end_ms >= fresh_ms]
        back: list[bytes] = []
        for number, one in enumerate(chain((one for one in said.indicators if one.end_ms < fresh_ms), said.again), 1):
            back.append(record(one))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        notes = [("violation", violation.body()) for violation in said.violations]
        await self._sink.append(back, Lane.BACK)
        await self._sink.append(live, notes=notes, keep=said.keep)

    async def perform(self, do: str, args: Mapping[str, Any], who: str) -> dict[str, Any]:
        """For the local socket: `alarm.ack`, see `AlarmDesk`; `violation.ack {"id", "by"?, "remarks"?}`. Committed when
        it returns. Raises BadArgument, or NoSuchViolation."""
        if do != "violation.ack":
            return await self.desk.perform(do, args, who)
        name, by, remarks = args.get("id"), args.get("by") or who, args.get("remarks", "")
        if not all(isinstance(text, str) for text in (name, by, remarks)):
            raise BadArgument(
                "a violation has an id, a person has a name", where=do, hint="gateway violation list FILE"
            )
        async with self._order:
            said = self._evaluation.acknowledge(str(name), str(by)[:100], str(remarks)[:2000])
            notes = [("violation", {**violation.body(), "via": who}) for violation in said.violations]
            await self._sink.append((), notes=notes, keep=said.keep)
        await self._sink.flush()
        return {"id": name, "by": by}

    def alarms_open(self) -> list[Alarm]:
        return self.desk.alarms.open()

    def violations(self) -> tuple[int, int]:
        """How many are open, and how many there were in 30 days."""
        found = self._evaluation.violations
        return len(found.open), found.count_30d(self._clock.now_ms())

    def status(self) -> dict[str, Any]:
        """For people on site."""
        return {
            "alarms": self.desk.status(),
            "violations": {"open": self._evaluation.violations.open, "days_30": self.violations()[1]},
        }
