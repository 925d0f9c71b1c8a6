"""Finding devices that nobody has described yet: serial ports, Modbus units on a pair, Modbus TCP hosts on a subnet,
and the profiles that fit them. Only ever reads.

Every scan takes `tell`, a function that is called with an event for each thing that happened, so that what was found
so far is known when the scan is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from drivers.scan.fit import Fit
from drivers.settings import ModbusRtuWire, ModbusTcpWire

__all__ = [
    "Asking", "Event", "Fit", "FoundUnit", "Noise", "OpenPort", "Overheard", "Recognising", "Tell",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asking:
    """Progress: `done` of at most `total` requests (or hosts); `at` says where, as "9600 8N1"."""

    done: int
    total: int
    at: str
    unit: int | None = None


@dataclass(frozen=True, slots=True)
class Recognising:
    """A unit was found; now its registers are read to see which profile fits."""

    at: str
    unit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundUnit:
    """A unit that answered, if only with a refusal. `at`: "9600 8N1" or "192.168.1.40:502". answer_ms: None for an
    answer that came after its time. identity: what it says of itself (Modbus function 43/14). untried: profiles for
    which the time did not suffice."""

    at: str
    wire: ModbusRtuWire | ModbusTcpWire
    unit: int
    said: str
    answer_ms: float | None
    identity: Mapping[str, str] = field(default_factory=dict)
    fits: tuple[Fit, ...] = ()
    untried: int = 0


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes came that are no Modbus answer at these settings: something talks here with other ones, or two units
    have one number. units: those that were asked when it came. sample: the first bytes."""

    at: str
    units: tuple[int, ...]
    sample: bytes


@dataclass(frozen=True, slots=True)
class Overheard:
    """Whole Modbus frames that nobody here asked for: another master uses this pair. units: whom it speaks with."""

    at: str
    units: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OpenPort:
    """A host whose port takes connections, but no unit of it answered. why: what came instead."""

    at: str
    why: str


Event = Asking | Recognising | FoundUnit | Noise | Overheard | OpenPort
Tell = Callable[[Event], None]
