"""Drivers: how to talk to the things in the field. `build` makes the driver of one wire."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Protocol, cast

from drivers.once import PointRead
from drivers.profiles import AnyProfile
from drivers.settings import AnyWire, DeviceSettings
from drivers.surroundings import Surroundings
from gateway.model.ports import Actuator

__all__ = ["DECODERS", "KINDS", "Devices", "FieldDriver", "PointRead", "Surroundings", "build", "decoded"]

KINDS: Final[Mapping[str, str]] = {
    "modbus_tcp": "drivers.modbus.driver:ModbusDriver",
    "modbus_rtu": "drivers.modbus.driver:ModbusDriver",
    "text_lines": "drivers.serial_lines.driver:LinesDriver",
    "binary_frames": "drivers.serial_frames.driver:FramesDriver",
    "tt10_files": "drivers.tt10.driver:Tt10Driver",
    "mqtt_in": "drivers.mqtt_in.driver:MqttInDriver",
    "http_poll": "drivers.http_poll.driver:HttpDriver",
    "gpio": "drivers.gpio.driver:GpioDriver",
}
"""Kind of a wire -> where its driver is, as text: what no wire needs is never imported."""

DECODERS: Final[Mapping[str, str]] = {
    "modbus": "drivers.modbus.example:decoded",
    "text_lines": "drivers.serial_lines.parse:decoded",
    "binary_frames": "drivers.serial_frames.parse:decoded",
    "tt10": "drivers.tt10.parse:decoded",
    "mqtt_json": "drivers.json_values:decoded",
    "http_json": "drivers.json_values:decoded",
    "contact": "drivers.gpio.debounce:decoded",
}
"""`driver` of a profile -> what decodes its examples."""

Devices = Mapping[str, tuple[DeviceSettings, AnyProfile]]
"""The devices of one wire by name."""


class FieldDriver(Actuator, Protocol):
    """What every driver of this room can do. A wire that cannot be written raises Unsupported from `apply`."""

    async def read_once(self, device: str, point: str | None = None) -> list[PointRead]:
        """Reads a device, or one point of it, once. The driver must have been entered. Raises LinkDown, and
        Unsupported for names that are not on this wire; what went wrong at a point is part of its PointRead."""


def build(name: str, wire: AnyWire, devices: Devices, around: Surroundings) -> FieldDriver:
    """The driver of one wire with the devices that hang on it. Connects to nothing yet.

    Raises ConfigError when a device does not fit the wire.
    """
    return cast("FieldDriver", _named(KINDS[wire.kind])(name, wire, devices, around))


def decoded(profile: AnyProfile, given: Any) -> Mapping[str, float | bool | str | None]:
    """What an example's `given` means by the profile, by point; None for no reading. Points that it does not
    speak of are left out. Raises BadFrame when it is no answer of this device."""
    return cast("Mapping[str, float | bool | str | None]", _named(DECODERS[profile.driver])(profile, given))


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
