"""The driver of a chip's input pins: states of contacts, counts of pulses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from drivers.gpio.chip import Edge, Pin, Pins, pins_at
from drivers.gpio.debounce import Contact
from drivers.once import PointRead, nothing_there
from drivers.profiles import AnyProfile, ContactPoint, ContactProfile
from drivers.schedule import Schedule
from drivers.settings import DeviceSettings, GpioWire
from drivers.surroundings import Surroundings
from gateway.model.errors import ConfigError, LinkDown, Unsupported
from gateway.model.measure import Quality, Reading, Reason, Signal, Value
from gateway.model.ports import DeviceHealth, Readback

_MOST_CHANGES: Final = 1000
"""Changes of contacts that nobody took yet. Older ones are dropped; a chattering contact is no use to anybody."""


@dataclass(slots=True)
class _Watched:
    """One device: a pin and what it means. told: how many of its lost edges a reading has told of."""

    signal: str
    pin: int
    point: ContactPoint
    contact: Contact
    health: DeviceHealth = field(default_factory=DeviceHealth)
    told: int = 0
    dropped: int = 0


class GpioDriver:
    """One chip and the contacts on its pins. May be entered again after it was left; counters then go on."""

    def __init__(
        self,
        name: str,
        wire: GpioWire,
        devices: Mapping[str, tuple[DeviceSettings, AnyProfile]],
        around: Surroundings,
    ) -> None:
        self._name = name
        self._clock = around.clock
        self._path = around.base / wire.chip
        self._log = logging.getLogger(f"drivers.{name}")
        self._signals: list[Signal] = []
        self._every_s = {device: settings.every_s for device, (settings, _) in devices.items()}
        self._devices: dict[str, _Watched] = {}
        for device, (settings, profile) in devices.items():
            self._devices[device] = watched = _watched(device, settings, profile)
            if any(watched.pin == other.pin for key, other in self._devices.items() if key != device):
                raise ConfigError(f"pin {watched.pin} is already taken", where=device, hint="one pin, one device")
            self._signals += profile.signals(device, settings.every_s)
        self._by_pin = {watched.pin: watched for watched in self._devices.values()}
        self._pins: Pins | None = None
        self._gone: LinkDown | None = None
        self._changes: deque[Reading] = deque()
        self._woken = asyncio.Event()

    @property
    def name(self) -> str:
        return self._name

    @property
    def signals(self) -> Sequence[Signal]:
        return self._signals

    async def __aenter__(self) -> Self:
        wanted = {w.pin: Pin(w.point.pull, w.point.debounce_ms) for w in self._devices.values()}
        pins = pins_at(self._name, self._path, wanted, self._clock)
        self._gone = None
        self._changes.clear()
        levels = await pins.open(self._heard, self._went)
        self._pins = pins
        for watched in self._devices.values():
            watched.contact.begin(levels[watched.pin])
            watched.told = watched.dropped = 0
            watched.health.online, watched.health.why = True, ""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        pins, self._pins = self._pins, None
        if pins is not None:
            pins.close()

    def health(self) -> dict[str, DeviceHealth]:
        return {device: watched.health for device, watched in self._devices.items()}

    async def apply(self, signal: str, value: Value) -> Readback:  # noqa: ARG002 - the port's signature
        raise Unsupported("input pins are only read", where=signal, hint="it takes no commands")

    async def read(self, signal: str) -> Reading:
        """See gateway.model.ports.Actuator."""
        device, _, point = signal.rpartition("/")
        (row,) = await self.read_once(device, point)
        return row.reading

    async def read_once(self, device: str, point: str | None = None) -> list[PointRead]:
        """What a pin says now: its level beside the value; for pulses those since the driver was made. Raises
        LinkDown, and Unsupported for names that are not on this wire."""
        watched = self._devices.get(device)
        if watched is None or point not in {None, watched.signal.rpartition("/")[2]}:
            raise nothing_there(device, point)
        self._check()
        name = watched.signal.rpartition("/")[2]
        reading = Reading(watched.signal, self._clock.now_ms(), watched.contact.value)
        raw = "high" if watched.contact.level else "low"
        return [PointRead(name, raw, reading, watched.point.unit, 0.0)]

    async def batches(self) -> AsyncGenerator[Sequence[Reading], None]:
        """Each contact's state and each counter once a period; a contact also when it changes, at the time of
        the change."""
        schedule = Schedule(self._name, self._every_s, self._clock.monotonic())
        while True:
            due, device = schedule.next()
            await self._wait(due)
            while self._changes:
                yield [self._changes.popleft()]
            self._check()
            now = self._clock.monotonic()
            if now >= due:
                schedule.done(now)
                yield [self._reading(self._devices[device], self._clock.now_ms())]

    async def _wait(self, until: float) -> None:
        """Until then, or until something happens."""
        self._woken.clear()
        left_s = until - self._clock.monotonic()
        if left_s > 0 and not self._changes and self._gone is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._woken.wait()

    def _check(self) -> None:
        if self._gone is not None:
            raise self._gone
        if self._pins is None:
            raise LinkDown("not connected", where=self._name)

    # What the pins tell, called by the event loop.

    def _heard(self, edge: Edge) -> None:
        watched = self._by_pin[edge.pin]
        watched.contact.take(edge.level)
        if watched.point.mode == "pulses":
            return
        if len(self._changes) >= _MOST_CHANGES:
            oldest = self._changes.popleft()
            self._devices[oldest.signal.rpartition("/")[0]].dropped += 1
        ago_ms = max(0, round(self._clock.monotonic() * 1000 - edge.at_ns / 1e6))
        self._changes.append(self._reading(watched, self._clock.now_ms() - ago_ms))
        self._woken.set()

    def _went(self, gone: LinkDown) -> None:
        self._gone = gone
        for watched in self._devices.values():
            watched.health.online, watched.health.why = False, gone.code
        self._woken.set()

    def _reading(self, watched: _Watched, at_ms: int) -> Reading:
        """Uncertain, once, when edges were lost since the last one."""
        health = watched.health
        health.polls += 1
        health.last_seen_ms = at_ms
        lost = watched.dropped + (self._pins.lost[watched.pin] if self._pins is not None else 0)
        if lost == watched.told:
            return Reading(watched.signal, at_ms, watched.contact.value)
        watched.told = lost
        health.failures += 1
        return Reading(watched.signal, at_ms, watched.contact.value, Quality.UNCERTAIN, (Reason.PARTIAL,))


def _watched(device: str, settings: DeviceSettings, profile: AnyProfile) -> _Watched:
    if not isinstance(profile, ContactProfile):
        raise ConfigError(
            f"profile {profile.profile!r} is not of a contact", where=device, hint="choose another wire or profile"
        )
    if settings.pin is None:
        raise ConfigError("a contact needs the number of its pin", where=device, hint="add `pin: 17`; see gpioinfo")
    [(name, point)] = profile.points.items()
    return _Watched(f"{device}/{name}", settings.pin, point, Contact(point))
