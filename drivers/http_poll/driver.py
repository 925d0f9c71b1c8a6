"""The driver of a host that answers GET with JSON: asks its devices in turn."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx

from drivers.http_poll.device import HttpDevice, Wire
from drivers.http_poll.host import Host
from drivers.http_poll.paths import target
from drivers.link import Link
from drivers.once import PointRead, nothing_there
from drivers.polling import poll_all
from drivers.profiles import AnyProfile, HttpProfile
from drivers.settings import DeviceSettings, HttpPollWire
from drivers.surroundings import Surroundings
from drivers.watch import Silence, Watch
from gateway.model.errors import ConfigError, Unsupported
from gateway.model.measure import Reading, Signal, Value
from gateway.model.ports import DeviceHealth, Readback


class HttpDriver:
    """One host and the devices behind it. May be entered again after it was left."""

    def __init__(
        self,
        name: str,
        wire: HttpPollWire,
        devices: Mapping[str, tuple[DeviceSettings, AnyProfile]],
        around: Surroundings,
    ) -> None:
        self._name = name
        self._clock = around.clock
        self._host = Host(name, wire, around.secret)
        log = logging.getLogger(f"drivers.{name}")
        shared = Wire(self._host, Link(), around.clock, wire.timeout_s, log)
        silence = Silence()
        self._signals: list[Signal] = []
        self._devices: dict[str, HttpDevice] = {}
        for device, (settings, profile) in devices.items():
            asked = _http(device, settings, profile)
            urls = _urls(device, wire, settings, asked)
            watch = Watch(device, timeout_s=wire.timeout_s, every_s=settings.every_s, silence=silence, log=log)
            self._devices[device] = HttpDevice(device, asked.points, urls, shared, watch)
            self._signals += asked.signals(device, settings.every_s)

    @property
    def name(self) -> str:
        return self._name

    @property
    def signals(self) -> Sequence[Signal]:
        return self._signals

    async def __aenter__(self) -> Self:
        await self._host.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._host.close()

    def batches(self) -> AsyncGenerator[Sequence[Reading], None]:
        return poll_all(self._name, self._devices, self._clock, _still_there)

    def health(self) -> dict[str, DeviceHealth]:
        return {name: device.watch.health for name, device in self._devices.items()}

    async def apply(self, signal: str, value: Value) -> Readback:  # noqa: ARG002 - the port's signature
        raise Unsupported("devices on this wire are only read", where=signal, hint="it takes no commands")

    async def read(self, signal: str) -> Reading:
        """See gateway.model.ports.Actuator."""
        device, _, point = signal.rpartition("/")
        (row,) = await self.read_once(device, point)
        return row.reading

    async def read_once(self, device: str, point: str | None = None) -> list[PointRead]:
        """Reads a device, or one point of it, once: the JSON beside the values. Raises LinkDown, and Unsupported
        for names that are not on this wire."""
        known = [s.id.rpartition("/")[2] for s in self._signals if s.id.rpartition("/")[0] == device]
        names = [name for name in known if point in {None, name}]
        if not names:
            raise nothing_there(device, point)
        return await self._devices[device].look(names)


def _still_there() -> None:
    """Between two requests nothing tells whether the host is there; the next request does."""


def _http(device: str, settings: DeviceSettings, profile: AnyProfile) -> HttpProfile:
    if not isinstance(profile, HttpProfile):
        raise ConfigError(
            f"profile {profile.profile!r} is not of a device that is asked over HTTP",
            where=device,
            hint="choose another wire or profile",
        )
    if settings.address is None and not profile.alone:
        raise ConfigError("its requests name its address", where=device, hint="add `address: ...`")
    return profile


def _urls(device: str, wire: HttpPollWire, settings: DeviceSettings, profile: HttpProfile) -> dict[str, str]:
    urls = {source: target(wire.url, path, settings.address) for source, path in profile.requests.items()}
    try:
        for url in urls.values():
            httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigError(
            str(error), where=device, hint="check `url` of its wire and `requests` of its profile"
        ) from error
    return urls
