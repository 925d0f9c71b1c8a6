"""Commands and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.model.measure import Value


class CommandState(StrEnum):
    """The life of a command. Everything but ACCEPTED is final."""

    ACCEPTED = "accepted"
    APPLIED = "applied"
    UNVERIFIED = "unverified"
    REFUSED = "refused"
    EXPIRED = "expired"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    INTERRUPTED = "interrupted"


class How(StrEnum):
    """How the outcome at a target is known."""

    READBACK = "readback"
    POWER_INFERRED = "power_inferred"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request from the operations centre or a local sender, as understood. Times in ms UTC."""

    id: str
    issuer: str
    op: str
    targets: tuple[str, ...]
    issued_ms: int
    ttl_s: int
    args: Mapping[str, Any] = field(default_factory=dict)
    by: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResult:
    """What one target was asked for and what it now says."""

    target: str
    want: Value | None
    got: Value | None
    how: How
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a command. `late_ms` counts from issue to outcome by the gateway's clock. `info`: what an op of the
    gateway itself found out, plain JSON."""

    id: str
    state: CommandState
    at_ms: int
    results: tuple[TargetResult, ...] = ()
    late_ms: int = 0
    why: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
