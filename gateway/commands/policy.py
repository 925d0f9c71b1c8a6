"""May this command act? Pure: a command, the rules and the time in, a refusal or nothing out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, get_args

from gateway.commands.settings import AllowSettings, CommandSettings, Op
from gateway.model.command import Command, CommandState
from gateway.model.ports import IncomingCommand

MAX_TTL_S = 300
MAX_BYTES = 64 * 1024
MAX_MS = 1 << 53
# What the clocks of the centre and the gateway may differ by.
SLACK_S = 5
# Ops of the gateway itself: they read, repeat or note, and act on nothing in the street.
SERVICE_OPS = frozenset({"gw.ping", "gw.rebirth", "tele.replay", "alarm.ack"})
KNOWN_OPS = frozenset(get_args(Op)) | SERVICE_OPS
WRITES = frozenset({"light.set", "point.set"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not: the state to answer, and words for the person who sent it."""

    state: CommandState
    why: str


class NotACommand(ValueError):
    """The bytes are not a command at all; there is nobody to answer."""


def parse(payload: bytes) -> tuple[Command, Mapping[str, Any]]:
    """The command in a `cmd/1` message and the message itself. Raises NotACommand with what is wrong."""
    message = _json(payload)
    if not isinstance(message, dict) or message.get("s") != "cmd/1":
        raise NotACommand("not a cmd/1 message")
    wanted: tuple[tuple[str, type | tuple[type, ...]], ...] = (
        ("id", str), ("iss", str), ("op", str), ("iat", int), ("ttl", int),
    )  # fmt: skip
    for key, kind in wanted:
        if not isinstance(message.get(key), kind) or isinstance(message.get(key), bool):
            raise NotACommand(f"`{key}` is missing or of the wrong type")
    if not 8 <= len(message["id"]) <= 64:
        raise NotACommand("`id` must have 8 to 64 characters")
    if not 0 <= message["iat"] < MAX_MS:
        raise NotACommand("`iat` is not a time in ms")
    to, arg = message.get("to", []), message.get("arg", {})
    if not isinstance(to, list) or not all(isinstance(name, str) for name in to) or not isinstance(arg, dict):
        raise NotACommand("`to` must be a list of names and `arg` an object")
    command = Command(
        id=message["id"],
        issuer=message["iss"],
        op=message["op"],
        targets=tuple(to),
        issued_ms=message["iat"],
        ttl_s=message["ttl"],
        args=arg,
        by=str(message.get("by", "")),
        why=str(message.get("why", "")),
    )
    return command, message


def _json(payload: bytes) -> Any:
    """What can be written again as JSON, in a record and in the journal: no NaN, no half of a character."""
    if len(payload) > MAX_BYTES:
        raise NotACommand(f"{len(payload)} bytes, but at most {MAX_BYTES} are read")
    try:
        message = json.loads(payload)
        json.dumps(message, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise NotACommand(f"not JSON: {error}") from error
    return message


@dataclass(frozen=True, slots=True)
class Situation:
    """What the policy has to know beside the command. `recent`: commands accepted in the last minute."""

    gateway_id: str
    now_ms: int
    synced: bool
    recent: int


def authorise(
    command: Command,
    message: Mapping[str, Any],
    incoming: IncomingCommand,
    rules: CommandSettings,
    situation: Situation,
) -> Refusal | None:
    """None: it may act. Expiry comes first, so that an old command is never half way considered."""
    return (
        _not_for_us(command, message, incoming, situation)
        or _too_late(command, incoming, situation)
        or _not_allowed(command, rules, situation)
    )


def _not_for_us(
    command: Command, message: Mapping[str, Any], incoming: IncomingCommand, situation: Situation
) -> Refusal | None:
    if incoming.retained:
        return _no("a retained command is never acted on; send it without the retain flag")
    if message.get("gw", situation.gateway_id) != situation.gateway_id:
        return _no(f"this gateway is {situation.gateway_id}")
    if not 0 < command.ttl_s <= MAX_TTL_S:
        return _no(f"ttl must be 1 to {MAX_TTL_S} s")
    return None


def _not_allowed(command: Command, rules: CommandSettings, situation: Situation) -> Refusal | None:
    if command.op not in KNOWN_OPS:
        return _no(f"unknown op {command.op!r}")
    if command.op in SERVICE_OPS:
        return None
    if not command.targets:
        return _no("`to` names nothing")
    if situation.recent >= rules.max_per_minute:
        return _no(f"more than {rules.max_per_minute} commands in a minute")
    for target in command.targets:
        if not any(_allows(rule, command, target) for rule in rules.allow):
            return _no(f"{command.issuer} may not {command.op} {target}")
    return None


def _too_late(command: Command, incoming: IncomingCommand, situation: Situation) -> Refusal | None:
    if incoming.expires_in_s is not None and incoming.expires_in_s <= 0:
        return Refusal(CommandState.EXPIRED, "the broker's expiry has passed")
    if situation.synced:
        age_s = (situation.now_ms - command.issued_ms) / 1000
        if age_s > command.ttl_s + SLACK_S:
            return Refusal(CommandState.EXPIRED, f"issued {age_s:.0f} s ago, valid for {command.ttl_s} s")
        if age_s < -SLACK_S - command.ttl_s:
            return _no(f"issued {-age_s:.0f} s in the future; check the sender's clock")
        return None
    # Without a clock nobody can say how old it is: only what cannot put out a light may pass.
    if command.op in WRITES and not _only_brighter(command):
        return _no("the gateway's clock is not set; only commands that make light are taken until it is")
    return None


def _only_brighter(command: Command) -> bool:
    level = command.args.get("level")
    return command.op == "light.set" and isinstance(level, int | float) and level >= 100


def _allows(rule: AllowSettings, command: Command, target: str) -> bool:
    return (
        rule.issuer == command.issuer
        and command.op in rule.ops
        and any(fnmatchcase(target, pattern) for pattern in rule.to)
    )


def _no(why: str) -> Refusal:
    return Refusal(CommandState.REFUSED, why)
