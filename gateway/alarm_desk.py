"""Alarms in a running gateway: what is said goes into the first lane, with what has to be known again at the next
start; and people acknowledge, here or from the centre."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.commands.desk import Served
from gateway.indicators.alarms import Alarms
from gateway.model.alarm import Alarm
from gateway.model.clock import Clock
from gateway.model.command import Command
from gateway.model.errors import BadArgument
from gateway.model.ports import Keepsakes, Lane, RecordSink
from gateway.uplink import encode

log = logging.getLogger("alarms")

KEEPSAKE = "alarms"
MOST_SIGNS = 100  # of a name


class AlarmDesk:
    """Around the rules of a site. `alarms.look` is for whoever has the values; what it returns is for `say`."""

    def __init__(self, alarms: Alarms, sink: RecordSink, clock: Clock) -> None:
        self.alarms = alarms
        self._sink = sink
        self._clock = clock
        self._kept: Mapping[str, Any] = {}
        self._turn = asyncio.Lock()  # an older state must not replace a newer one

    async def open(self, keepsakes: Keepsakes) -> None:
        """Before the first value: goes on where the last start ended."""
        await self.say(self.alarms.restore(await keepsakes.recall(KEEPSAKE) or {}, self._clock.now_ms()))

    async def say(self, messages: Sequence[Alarm], notes: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> None:
        """Returns when they are committed, together with the state they come from: nothing may be awaited between
        `look` and this."""
        if messages:
            await self.join(messages, notes)
            await self._sink.flush()

    async def join(self, messages: Sequence[Alarm], notes: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> None:
        """The same, for whoever brings more into the same commit: they are in the open group when it returns."""
        if not messages:
            return
        for message in messages:
            log.warning("alarm %s %s: %s", message.id, message.state, message.text_en)
        records, state = [encode.alarm(message) for message in messages], self.alarms.state()
        async with self._turn:
            self._kept = state
            await self._sink.append(records, Lane.URGENT, notes=notes, keep={KEEPSAKE: state})

    async def keep(self) -> None:
        """How long values have been beyond, with the next commit: now and then, and at a stop. Without it a restart
        begins the holds anew; no alarm is lost."""
        state = self.alarms.state()
        if state == self._kept:
            return
        async with self._turn:
            self._kept = state
            await self._sink.append((), keep={KEEPSAKE: state})

    def status(self) -> list[dict[str, Any]]:
        """The open alarms, oldest first, plain JSON: `Alarm.body`."""
        return [alarm.body() for alarm in self.alarms.open()]

    async def perform(self, do: str, args: Mapping[str, Any], who: str) -> dict[str, Any]:
        """For the local socket: `alarm.ack {"id", "by"?}`; `who` asks. Returns {"id", "by", "done"}, `done` False where
        somebody had acknowledged it before. Raises BadArgument."""
        if do != "alarm.ack":
            raise BadArgument(f"alarms cannot do {do!r}", hint="they can do alarm.ack")
        return await self._acknowledge(args.get("id"), args.get("by") or who, who)

    async def serve(self, command: Command) -> Served:
        """For the centre: op `alarm.ack`, args {"id"}; by whom is in the command. Raises BadArgument."""
        by = command.by or command.issuer
        return Served(info=await self._acknowledge(command.args.get("id"), by, command.issuer))

    async def _acknowledge(self, alarm_id: Any, by: Any, via: str) -> dict[str, Any]:
        if not isinstance(alarm_id, str) or not isinstance(by, str):
            raise BadArgument("an alarm has an id, a person has a name", where="alarm.ack", hint="gateway alarm list")
        by = by[:MOST_SIGNS].encode("utf-8", "replace").decode()  # no half of a character
        messages = self.alarms.acknowledge(alarm_id, by, self._clock.now_ms())
        await self.say(messages, [("alarm", _entry(message, via)) for message in messages])
        known = next((alarm.by for alarm in self.alarms.open() if alarm.id == alarm_id), by)
        return {"id": alarm_id, "by": known, "done": bool(messages)}


def _entry(alarm: Alarm, via: str) -> dict[str, Any]:
    """What the journal is told."""
    return {
        "id": alarm.id,
        "state": alarm.state,
        "rule": alarm.rule,
        "point": alarm.point,
        "indicator": alarm.indicator,
        "level": alarm.level,
        "by": alarm.by,
        "via": via,
    }
