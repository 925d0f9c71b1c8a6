"""Small sites with their far ends, for the tests of drivers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import drivers
from config import load
from drivers import FieldDriver
from drivers.profiles import AnyProfile, parse
from drivers.settings import AnyWire, DeviceSettings
from drivers.simulate import Simulation, simulated
from gateway.model.clock import SystemClock
from gateway.model.measure import Reading

TIMEOUT_S = 0.08
KINDS = [kind for kind in drivers.KINDS if find_spec(f"tests.drivers.kinds.{kind}")]


def point(**more: Any) -> dict[str, Any]:
    return {"name_en": "p", "name_vi": "p", "indicator": "gw.test", "unit": "1", **more}


def shipped_profiles() -> dict[str, AnyProfile]:
    folder = Path(__file__).parents[2] / "config" / "devices"
    return {file.stem: parse(load.read(file).data) for file in sorted(folder.glob("*.yaml"))}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kind_of(kind: str) -> Any:
    """The module of tests/drivers/kinds."""
    return import_module(f"tests.drivers.kinds.{kind}")


@dataclass
class Site:
    """One wire, its devices and their far end. The driver is not entered yet."""

    kind: str
    wire: AnyWire
    devices: dict[str, tuple[DeviceSettings, AnyProfile]]
    base: Path
    far: Simulation
    driver: FieldDriver

    @property
    def every_s(self) -> float:
        return max(settings.every_s for settings, _ in self.devices.values())

    @property
    def good(self) -> dict[str, Any]:
        """What every signal says in peace."""
        return dict(kind_of(self.kind).GOOD)

    def another_driver(self) -> FieldDriver:
        return drivers.build("w", self.wire, self.devices, drivers.Surroundings(SystemClock(), self.base, secret))

    def break_(self, **fault: Any) -> None:
        """Sets faults of the whole wire: silent, garbage, delay_s."""
        for name, value in fault.items():
            setattr(self.far.wires["w"].fault, name, value)


def secret(name: str) -> str:
    return f"secret of {name}"


@contextlib.asynccontextmanager
async def site(
    kind: str, base: Path, profiles: Mapping[str, AnyProfile] | None = None, every_s: float | None = None, **more: Any
) -> AsyncIterator[Site]:
    here = kind_of(kind)
    wire = here.wire(base, **more)
    every_s = every_s or here.EVERY_S
    chosen: Mapping[str, AnyProfile] = profiles or here.profiles()
    devices = {
        name: (DeviceSettings(profile=p.profile, wire="w", every_s=every_s, **here.apart(n)), p)
        for n, (name, p) in enumerate(chosen.items())
    }
    around = drivers.Surroundings(SystemClock(), base, secret)
    async with simulated({"w": wire}, devices, base) as far:
        yield Site(kind, wire, devices, base, far, drivers.build("w", wire, devices, around))


async def take(
    driver: FieldDriver, seconds: float, enough: Callable[[dict[str, Any]], bool] | None = None
) -> list[Sequence[Reading]]:
    """The batches of so many seconds, or until `enough` says so of the newest values by signal."""
    batches: list[Sequence[Reading]] = []
    newest: dict[str, Any] = {}
    async with contextlib.aclosing(driver.batches()) as stream:  # type: ignore[type-var]  # it is a generator
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for batch in stream:
                    batches += [batch]
                    newest.update({reading.signal: reading.value for reading in batch})
                    if enough is not None and enough(newest):
                        break
    return batches


def by_signal(batches: list[Sequence[Reading]]) -> dict[str, list[Reading]]:
    found: dict[str, list[Reading]] = {}
    for batch in batches:
        for reading in batch:
            found.setdefault(reading.signal, []).append(reading)
    return found
