"""Small sites with their far ends, for the tests of drivers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import drivers
from config import load
from drivers import FieldDriver
from drivers.profiles import LinesProfile, ModbusProfile, parse
from drivers.settings import DeviceSettings, ModbusRtuWire, ModbusTcpWire, TextLinesWire
from drivers.simulate import Simulation, simulated
from gateway.model.clock import SystemClock
from gateway.model.measure import Reading

EVERY_S = 0.1
TIMEOUT_S = 0.08
KINDS = ("modbus_tcp", "modbus_rtu", "text_lines")
AnyProfile = ModbusProfile | LinesProfile
Wire = ModbusTcpWire | ModbusRtuWire | TextLinesWire


def point(**more: Any) -> dict[str, Any]:
    return {"name_en": "p", "name_vi": "p", "indicator": "gw.test", "unit": "1", **more}


def modbus_profile(points: dict[str, Any] | None = None, **limits: Any) -> ModbusProfile:
    profile = parse(
        {
            "profile": "box",
            "title_en": "box",
            "title_vi": "hộp",
            "driver": "modbus",
            "source": "tests",
            "confirmed": True,
            "limits": limits,
            "points": points
            or {
                "a": point(table="holding", at=10, type="u16", simulate={"shape": "constant", "value": 1000}),
                "b": point(
                    table="holding", at=11, type="i32", scale=0.1, simulate={"shape": "constant", "value": -2.5}
                ),
                "c": point(table="input", at=10, type="f32", simulate={"shape": "constant", "value": 0.25}),
                "set": point(table="holding", at=20, type="u16", scale=0.5, range=[0, 100], write={}),
                "lamp": point(
                    table="coil", at=3, type="bool", kind="last", write={"read_back": "lit", "within_s": 0.4}
                ),
                "lit": point(table="discrete", at=3, type="bool", kind="last"),
            },
            "examples": [{"given": {}, "expect": {}}],
        }
    )
    assert isinstance(profile, ModbusProfile)
    return profile


def lines_profile() -> LinesProfile:
    profile = parse(
        {
            "profile": "mast",
            "title_en": "mast",
            "title_vi": "cột",
            "driver": "text_lines",
            "source": "tests",
            "confirmed": True,
            "lines": {"air": {"prefix": "$A,", "fields": 2, "checksum": "nmea"}},
            "points": {
                "t": point(line="air", field=0, simulate={"shape": "constant", "value": 28.5}),
                "rh": point(line="air", field=1, simulate={"shape": "constant", "value": 71.0}),
            },
            "examples": [{"given": "", "expect": {}}],
        }
    )
    assert isinstance(profile, LinesProfile)
    return profile


def shipped_profiles() -> dict[str, AnyProfile]:
    folder = Path(__file__).parents[2] / "config" / "devices"
    return {file.stem: parse(load.read(file).data) for file in sorted(folder.glob("*.yaml"))}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wire_of(kind: str, **more: Any) -> Wire:
    if kind == "modbus_tcp":
        return ModbusTcpWire(kind=kind, host="127.0.0.1", port=free_port(), **{"timeout_s": TIMEOUT_S, **more})
    if kind == "modbus_rtu":
        return ModbusRtuWire(kind=kind, port="run/tty", baud=115200, **{"timeout_s": TIMEOUT_S, **more})
    assert kind == "text_lines"
    return TextLinesWire(kind=kind, port="run/tty", baud=115200)


@dataclass
class Site:
    """One wire, its devices and their far end. The driver is not entered yet."""

    kind: str
    wire: Wire
    devices: dict[str, tuple[DeviceSettings, AnyProfile]]
    base: Path
    far: Simulation
    driver: FieldDriver

    def another_driver(self) -> FieldDriver:
        return drivers.build("w", self.wire, self.devices, SystemClock(), self.base)

    def break_(self, **fault: Any) -> None:
        """Sets faults of the whole wire: silent, garbage, delay_s."""
        for name, value in fault.items():
            setattr(self.far.wires["w"].fault, name, value)


@contextlib.asynccontextmanager
async def site(
    kind: str, base: Path, profiles: dict[str, AnyProfile] | None = None, every_s: float = EVERY_S, **more: Any
) -> AsyncIterator[Site]:
    wire = wire_of(kind, **more)
    if profiles is None:
        modbus = modbus_profile()
        profiles = {"mast": lines_profile()} if kind == "text_lines" else {"left": modbus, "right": modbus}
    devices = {
        name: (DeviceSettings(profile=p.profile, wire="w", unit=1 + n, every_s=every_s), p)
        for n, (name, p) in enumerate(profiles.items())
    }
    async with simulated({"w": wire}, devices, base) as far:
        yield Site(kind, wire, devices, base, far, drivers.build("w", wire, devices, SystemClock(), base))


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
