"""Drivers: how to talk to the things in the field. `build` makes the driver of one wire."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, cast

from drivers.once import PointRead
from drivers.profiles import Profile
from drivers.settings import DeviceSettings, WireSettings
from gateway.model.clock import Clock
from gateway.model.ports import Actuator

__all__ = ["KINDS", "FieldDriver", "PointRead", "build"]

KINDS: Final[Mapping[str, str]] = {
    "modbus_tcp": "drivers.modbus.driver:ModbusDriver",
    "modbus_rtu": "drivers.modbus.driver:ModbusDriver",
    "text_lines": "drivers.serial_lines.driver:LinesDriver",
}
"""Kind of a wire -> where its driver is, as text: what no wire needs is never imported."""


class FieldDriver(Actuator, Protocol):
    """What every driver of this room can do. A wire that cannot be written raises Unsupported from `apply`."""

    async def read_once(self, device: str, point: str | None = None) -> list[PointRead]:
        """Reads a device, or one point of it, once. The driver must have been entered. Raises LinkDown, and
        Unsupported for names that are not on this wire; what went wrong at a point is part of its PointRead."""


def build(
    name: str,
    wire: WireSettings,
    devices: Mapping[str, tuple[DeviceSettings, Profile]],
    clock: Clock,
    base: Path,
) -> FieldDriver:
    """The driver of one wire with the devices that hang on it. Connects to nothing yet.

    base: the site file's folder; serial ports are relative to it. Raises ConfigError when a device does not
    fit the wire.
    """
    module, _, kind = KINDS[wire.kind].partition(":")
    return cast("FieldDriver", getattr(import_module(module), kind)(name, wire, devices, clock, base))
