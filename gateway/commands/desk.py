"""The one desk every command passes: claim, authorise, apply, compare, record.

A repeated id never acts twice. A command that was claimed before a restart and has no outcome is reported
`interrupted` and never repeated: a lamp order from an hour ago may be wrong now.

When the disk takes nothing, nothing acts: a command that cannot be claimed fails, and says why. One that acted before
the disk refused is answered after `finish_s` without waiting for its record, which follows when the disk takes it; so
a few cannot hold up all others. If the gateway stops before that, it is `interrupted` after the restart.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.commands.policy import WRITES, NotACommand, Situation, authorise, parse
from gateway.commands.settings import CommandSettings
from gateway.model.clock import Clock
from gateway.model.command import Command, CommandState, How, Outcome, TargetResult
from gateway.model.errors import DriverError, GatewayError, StoreDamaged, StoreError
from gateway.model.measure import Signal, Value
from gateway.model.ports import Actuator, Claims, IncomingCommand

log = logging.getLogger("commands")

ANSWERS = 256
"""So many of the last outcomes are known without asking the store, which may not be able to say."""
MAX_NUMBER = 1 << 64
_BADNESS = (CommandState.APPLIED, CommandState.UNVERIFIED, CommandState.FAILED)


@dataclass(frozen=True, slots=True)
class Served:
    """How an op of the gateway itself ended. `info`: what it found out, plain JSON, for the outcome."""

    state: CommandState = CommandState.APPLIED
    why: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)


Service = Callable[[Command], Awaitable[Served | None]]


class Desk:
    """`actuators`: the driver of each writable signal. `services`: what the gateway's own ops do, by op; None as an
    answer means that it was done."""

    def __init__(
        self,
        gateway_id: str,
        settings: CommandSettings,
        claims: Claims,
        actuators: Mapping[str, tuple[Actuator, Signal]],
        clock: Clock,
        finish_s: float = 5.0,
    ) -> None:
        self._gateway_id = gateway_id
        self._settings = settings
        self._claims = claims
        self._actuators = actuators
        self._clock = clock
        self._finish_s = finish_s
        self._accepted_at: deque[float] = deque()
        self._answers: OrderedDict[str, bytes] = OrderedDict()  # b"" while it is being worked on
        self.services: dict[str, Service] = {}
        self.counts: dict[str, int] = {}

    async def report_interrupted(self) -> int:
        """At the start, before anything is taken in: gives every claim without an outcome its end."""
        ids = await self._claims.interrupted()
        why = "the gateway restarted while the command was under way; it was not repeated"
        now_ms = self._clock.now_ms()
        outcomes = [Outcome(id=each, state=CommandState.INTERRUPTED, at_ms=now_ms, why=why) for each in ids]
        await asyncio.gather(*(self._record(outcome, None) for outcome in outcomes))  # in one commit
        return len(ids)

    async def handle(self, incoming: IncomingCommand) -> bytes | None:
        try:
            command, message = parse(incoming.payload)
        except NotACommand as error:
            log.warning("a message on the command topic was ignored: %s", error)
            return None
        if command.id in self._answers:
            return self._answers[command.id] or None
        self._remember(command.id, b"")
        try:
            earlier = await self._claims.claim(command.id, incoming.payload, self._clock.now_ms())
        except StoreDamaged:
            raise
        except StoreError as error:
            return self._cannot_record(command, error)
        if earlier is not None:
            self._remember(command.id, earlier)
            return earlier or None
        return await self._carry_out(command, message, incoming)

    async def _carry_out(self, command: Command, message: Mapping[str, Any], incoming: IncomingCommand) -> bytes:
        """What is claimed is decided here, once."""
        situation = Situation(self._gateway_id, self._clock.now_ms(), self._clock.synced(), self._recent())
        refusal = authorise(command, message, incoming, self._settings, situation)
        if refusal is not None:
            return await self._finish(command, (), Served(refusal.state, refusal.why))
        if command.op in self.services:
            return await self._finish(command, (), await self._serve(command))
        self._accepted_at.append(self._clock.monotonic())
        acted = [await self._act(command, target) for target in command.targets]
        # The worst of its targets: one lamp that failed makes the command fail.
        worst = max((state for state, _ in acted), key=_BADNESS.index)
        return await self._finish(command, [result for _, result in acted], Served(worst))

    async def _serve(self, command: Command) -> Served:
        try:
            return await self.services[command.op](command) or Served()
        except StoreDamaged:
            raise
        except GatewayError as error:
            return Served(CommandState.FAILED, str(error))

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

    async def _finish(self, command: Command, results: Sequence[TargetResult], end: Served) -> bytes:
        return await self._record(self._outcome(command, results, end), command)

    def _outcome(self, command: Command, results: Sequence[TargetResult], end: Served) -> Outcome:
        now_ms = self._clock.now_ms()
        return Outcome(
            id=command.id,
            state=end.state,
            at_ms=now_ms,
            results=tuple(results),
            late_ms=max(0, now_ms - command.issued_ms) if self._clock.synced() else 0,
            why=end.why,
            info=end.info,
        )

    async def _record(self, outcome: Outcome, command: Command | None) -> bytes:
        message = outcome_message(outcome)
        try:
            async with asyncio.timeout(self._finish_s):
                await self._claims.finish(outcome, message, [outcome_record(outcome, command)])
        except TimeoutError:
            log.error("the disk takes nothing: the outcome of command %s is recorded when it does", outcome.id)
            why = "; ".join(filter(None, (outcome.why, "not recorded yet: the disk takes nothing")))
            message = outcome_message(replace(outcome, why=why))
        return self._answer(outcome, message)

    def _cannot_record(self, command: Command, error: StoreError) -> bytes:
        """Nothing acts that is not claimed. The answer is not durable, but remembered: the same id again must not
        act after its sender was told that it failed."""
        end = Served(CommandState.FAILED, f"the gateway cannot record commands: {error}")
        outcome = self._outcome(command, (), end)
        return self._answer(outcome, outcome_message(outcome))

    def _answer(self, outcome: Outcome, message: bytes) -> bytes:
        self._remember(outcome.id, message)
        self.counts[outcome.state] = self.counts.get(outcome.state, 0) + 1
        log.info("command %s: %s %s", outcome.id, outcome.state, outcome.why)
        return message

    def _remember(self, command_id: str, answer: bytes) -> None:
        self._answers[command_id] = answer
        if len(self._answers) > ANSWERS:
            self._answers.popitem(last=False)


def wanted(command: Command, signal: Signal) -> Value | None:
    """The value a command asks of a point: a level 0..100 becomes on/off where the point is a switch."""
    if command.op == "light.set":
        level = command.args.get("level")
        if isinstance(level, bool) or not isinstance(level, int | float) or not 0 <= level <= 100:
            return None
        return level > 0 if signal.unit == "1" else float(level)
    if command.op == "point.set":
        value = command.args.get("value")
        if isinstance(value, int) and abs(value) >= MAX_NUMBER:
            return None  # no register holds it, and no float either
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
    if outcome.info:
        body["info"] = dict(outcome.info)
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
    if outcome.info:
        body["p"]["info"] = dict(outcome.info)
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()[1:]
