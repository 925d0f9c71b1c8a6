"""The far end of input pins: contacts and pulse outputs behind a Unix socket that stands at the chip's path."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from drivers.profiles import ContactPoint, ContactProfile
from drivers.settings import GpioWire
from drivers.simulate.far_end import LOOK_S, SimulatedDevice, Stage, for_a_desk
from drivers.simulate.served import Peer, ServedEnd
from gateway.model.clock import Clock, SystemClock

_BOUNCES_NS: Final = (0, 300_000, 900_000)
"""A contact closes, opens and closes again within a millisecond."""


def make(wire: GpioWire, devices: Mapping[str, SimulatedDevice], stage: Stage) -> GpioEnd:
    return GpioEnd(stage.base / wire.chip, devices, stage.clock, stage.look_s)


@dataclass(slots=True)
class SimulatedPin:
    """level: 0 is ground. number: edges since the pin was taken. busy_until: a pulse or pause under way, on the
    monotonic clock. played: levels of an example, told to each gateway that comes."""

    device: SimulatedDevice
    name: str
    point: ContactPoint
    level: int
    number: int = 0
    owner: asyncio.Transport | None = None
    busy_until: float = 0.0
    counted: int = 0
    played: Sequence[int] = ()
    waiting: list[int] = field(default_factory=list)

    @property
    def active(self) -> int:
        return 0 if self.point.active_low else 1

    @property
    def hold_s(self) -> float:
        """Long enough to be believed."""
        return 2 * self.point.debounce_ms / 1000 + 0.01

    def next_level(self) -> int:
        """What the contact does now if it may move: follows an example, the world's state, or the world's counter,
        one pulse after the other."""
        if self.played:
            return self.waiting.pop(0) if self.waiting else self.level
        says = self.device.world.value(self.name)
        if self.point.mode == "contact":
            return self.active if says else 1 - self.active
        if self.level == self.active:
            return 1 - self.active
        behind = self._total(says) > self.counted
        self.counted += behind
        return self.active if behind else self.level

    def _total(self, says: object) -> int:
        return math.floor(float(says) / self.point.per_pulse + 1e-9) if isinstance(says, int | float) else 0

    def begin(self, now_s: float) -> None:
        """A gateway has come."""
        self.number = 0
        self.waiting = list(self.played[1:])
        if self.played:
            self.level = self.played[0]
        elif self.point.mode == "contact":
            self.level = self.next_level()
        else:
            self.level, self.counted = 1 - self.active, self._total(self.device.world.value(self.name))
        self.busy_until = now_s + self.hold_s


class GpioEnd(ServedEnd):
    """`pins` by number. `set` moves one by hand; `lose` lets edges fall out of the queue."""

    def __init__(
        self, path: Path, devices: Mapping[str, SimulatedDevice], clock: Clock | None = None, look_s: float = LOOK_S
    ) -> None:
        super().__init__()
        self._path = path
        self._clock = clock or SystemClock()
        self._look_s = look_s
        self.pins: dict[int, SimulatedPin] = {}
        for device in devices.values():
            assert isinstance(device.profile, ContactProfile)  # noqa: S101 - config checks that profiles fit their wires
            [(name, point)] = device.profile.points.items()
            self.pins[device.settings.pin or 0] = SimulatedPin(device, name, point, 1 if point.active_low else 0)
        self._tick: asyncio.TimerHandle | None = None

    @property
    def at(self) -> str:
        return str(self._path)

    async def serve(self) -> asyncio.Server:
        for_a_desk(self._path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.is_socket():
            self._path.unlink()
        elif self._path.exists():
            raise FileExistsError(0, "something else stands there")
        return await asyncio.get_running_loop().create_unix_server(lambda: _Peer(self), str(self._path))

    async def plug(self) -> None:
        await super().plug()
        self._tick = asyncio.get_running_loop().call_soon(self._move)  # type: ignore[assignment]  # a Handle is cancelled alike

    async def unplug(self) -> None:
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        if self._server is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
        await super().unplug()

    def play(self, device: str, given: Any) -> None:
        for pin in self.pins.values():
            if pin.device.name == device:
                pin.played = tuple(given)

    def set(self, pin: int, level: int, at_ns: int | None = None) -> None:
        """One clean edge, as the chip would tell it. From now on the pin moves by hand only."""
        self.pins[pin].played = (level,)
        self._tell(pin, level, at_ns or self._now_ns())

    def _tell(self, pin: int, level: int, at_ns: int) -> None:
        moved = self.pins[pin]
        moved.level = level
        moved.number += 1
        if moved.owner is not None and not moved.owner.is_closing():
            edge = {"pin": pin, "at_ns": at_ns, "level": level, "number": moved.number}
            moved.owner.write(json.dumps(edge).encode() + b"\n")

    def _now_ns(self) -> int:
        return round(self._clock.monotonic() * 1e9)

    def lose(self, pin: int, edges: int) -> None:
        """So many edges of this pin are never told."""
        self.pins[pin].number += edges

    def _move(self) -> None:
        self._tick = asyncio.get_running_loop().call_later(self._look_s, self._move)
        now = self._clock.monotonic()
        for number, pin in self.pins.items():
            if pin.owner is None or now < pin.busy_until:
                continue
            level = pin.next_level()
            if level != pin.level:
                pin.busy_until = now + pin.hold_s
                self._bounce(number, level)

    def _bounce(self, pin: int, level: int) -> None:
        bounces = _BOUNCES_NS if self.pins[pin].point.debounce_ms > 1 else _BOUNCES_NS[:1]
        now_ns = self._now_ns()
        for nth, later_ns in enumerate(bounces):
            self._tell(pin, level if nth % 2 == 0 else 1 - level, now_ns + later_ns)

    # What a gateway does.

    def closed(self, transport: asyncio.Transport) -> None:
        super().closed(transport)
        for pin in self.pins.values():
            if pin.owner is transport:
                pin.owner = None

    def taken(self, transport: asyncio.Transport, wanted: Sequence[int]) -> None:
        answer: dict[str, Any] = {"levels": {}}
        for number in wanted:
            pin = self.pins.get(number)
            if pin is None or pin.owner is not None:
                why = "does not exist" if pin is None else "is unavailable, another program has it"
                answer = {"error": f"pin {number} of {self._path} {why}"}
                break
        else:
            for number in wanted:
                pin = self.pins[number]
                pin.begin(self._clock.monotonic())
                pin.owner = transport
                answer["levels"][str(number)] = pin.level
        transport.write(json.dumps(answer).encode() + b"\n")


class _Peer(Peer[GpioEnd]):
    def data_received(self, data: bytes) -> None:
        self.buffer += data
        line, newline, rest = self.buffer.partition(b"\n")
        if newline:
            self.buffer = rest
            self.end.taken(self.transport, [int(pin) for pin in json.loads(line)["pins"]])
