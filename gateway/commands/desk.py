"""The one desk every command passes: claim, authorise, apply, compare, record.

A repeated id never acts twice. A command that was claimed before a restart and has no outcome is reported
`interrupted` and never repeated: a lamp order from an hour ago may be wrong now.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from gateway.commands.policy import WRITES, NotACommand, Situation, authorise, parse
from gateway.commands.settings import CommandSettings
from gateway.model.clock import Clock
from gateway.model.command import Command, CommandState, How, Outcome, TargetResult
from gateway.model.errors import DriverError
from gateway.model.measure import Signal, Value
from gateway.model.ports import Actuator, Claims, IncomingCommand

log = logging.getLogger("commands")

Service = Callable[[], Awaitable[None]]
_BADNESS = (CommandState.APPLIED, CommandState.UNVERIFIED, CommandState.FAILED)


class Desk:
    """`actuators`: the driver of each writable signal. `services`: what the gateway's own ops do, by op."""

    def __init__(
        self,
        gateway_id: str,
        settings: CommandSettings,
        claims: Claims,
        actuators: Mapping[str, tuple[Actuator, Signal]],
        clock: Clock,
    ) -> None:
        self._gateway_id = gateway_id
        self._settings = settings
        self._claims = claims
        self._actuators = actuators
        self._clock = clock
        self._accepted_at: deque[float] = deque()
        self.services: dict[str, Service] = {}
        self.counts: dict[str, int] = {}

    async def report_interrupted(self) -> int:
        """At the start, before anything is taken in: gives every claim without an outcome its end."""
        ids = await self._claims.interrupted()
        for command_id in ids:
            outcome = Outcome(
                id=command_id,
                state=CommandState.INTERRUPTED,
                at_ms=self._clock.now_ms(),
                why="the gateway restarted while the command was under way; it was not repeated",
            )
            await self._record(outcome, None)
        return len(ids)

    async def handle(self, incoming: IncomingCommand) -> bytes | None:
        try:
            command, message = parse(incoming.payload)
        except NotACommand as error:
            log.warning("a message on the command topic was ignored: %s", error)
            return None
        earlier = await self._claims.claim(command.id, incoming.payload, self._clock.now_ms())
        if earlier is not None:
            return earlier or None
        situation = Situation(self._gateway_id, self._clock.now_ms(), self._clock.synced(), self._recent())
        refusal = authorise(command, message, incoming, self._settings, situation)
        if refusal is not None:
            return await self._finish(command, refusal.state, (), refusal.why)
        self._accepted_at.append(self._clock.monotonic())
        if command.op in self.services:
            await self.services[command.op]()
            return await self._finish(command, CommandState.APPLIED, (), "")
        acted = [await self._act(command, target) for target in command.targets]
        # The worst of its targets: one lamp that failed makes the command fail.
        worst = max((state for state, _ in acted), key=_BADNESS.index)
        return await self._finish(command, worst, [result for _, result in acted], "")

    def _recent(self) -> int:
        minute_ago = self._clock.monotonic() - 60
        while self._accepted_at and self._accepted_at[0] < minute_ago:
            self._accepted_at.popleft()
        return len(self._accepted_at)

    async def _act(self, command: Command, target: str) -> tuple[CommandState, TargetResult]:
        entry = self._actuators.get(target)
        if entry is None:
            return _failed(target, None, "unknown-target: no writable point has this name")
        actuator, signal = entry
        want = wanted(command, signal)
        if want is None and command.op in WRITES:
            return _failed(target, None, f"{command.op} needs a value this point understands: see arg")
        try:
            if want is None:
                reading = await actuator.read(target)
                state = CommandState.FAILED if reading.value is None else CommandState.APPLIED
            else:
                readback = await actuator.apply(target, want)
                reading = readback.reading
                state = CommandState.APPLIED if readback.verified else CommandState.UNVERIFIED
        except DriverError as error:
            log.warning("%s %s: %s", command.op, target, error)
            return _failed(target, want, str(error))
        how = How.READBACK if reading.value is not None else How.NONE
        why = ", ".join(reading.reasons)
        return state, TargetResult(target=target, want=want, got=reading.value, how=how, error=why)

    async def _finish(self, command: Command, state: CommandState, results: Sequence[TargetResult], why: str) -> bytes:
        now_ms = self._clock.now_ms()
        late_ms = max(0, now_ms - command.issued_ms) if self._clock.synced() else 0
        outcome = Outcome(id=command.id, state=state, at_ms=now_ms, results=tuple(results), late_ms=late_ms, why=why)
        return await self._record(outcome, command)

    async def _record(self, outcome: Outcome, command: Command | None) -> bytes:
        message = outcome_message(outcome)
        await self._claims.finish(outcome, message, [outcome_record(outcome, command)])
        self.counts[outcome.state] = self.counts.get(outcome.state, 0) + 1
        log.info("command %s: %s %s", outcome.id, outcome.state, outcome.why)
        return message


def wanted(command: Command, signal: Signal) -> Value | None:
    """The value a command asks of a point: a level 0..100 becomes on/off where the point is a switch."""
    if command.op == "light.set":
        level = command.args.get("level")
        if isinstance(level, bool) or not isinstance(level, int | float) or not 0 <= level <= 100:
            return None
        return level > 0 if signal.unit == "1" else float(level)
    if command.op == "point.set":
        value = command.args.get("value")
        return value if isinstance(value, bool | int | float | str) else None
    return None


def _failed(target: str, want: Value | None, error: str) -> tuple[CommandState, TargetResult]:
    result = TargetResult(target=target, want=want, got=None, how=How.NONE, error=error)
    return CommandState.FAILED, result


def outcome_message(outcome: Outcome) -> bytes:
    """`out/1`, as it goes to the response topic."""
    body: dict[str, Any] = {
        "s": "out/1",
        "id": outcome.id,
        "st": outcome.state,
        "at": outcome.at_ms,
        "res": [
            {"to": r.target, "want": r.want, "got": r.got, "how": r.how, **({"err": r.error} if r.error else {})}
            for r in outcome.results
        ],
        "late_ms": outcome.late_ms,
    }
    if outcome.why:
        body["why"] = outcome.why
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def outcome_record(outcome: Outcome, command: Command | None) -> bytes:
    """The durable copy: a record without its opening rid, for the urgent lane."""
    body: dict[str, Any] = {
        "pt": "gw",
        "ind": "gw.command",
        "k": "event",
        "t1": outcome.at_ms,
        "v": outcome.state,
        "q": "good",
        "p": {
            "id": outcome.id,
            "op": command.op if command else "",
            "by": command.by if command else "",
            "iss": command.issuer if command else "",
            "res": json.loads(outcome_message(outcome))["res"],
            "late_ms": outcome.late_ms,
        },
    }
    if outcome.why:
        body["p"]["why"] = outcome.why
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()[1:]
