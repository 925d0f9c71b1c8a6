"""The driver of a Modbus wire, TCP or serial: opens it, asks its devices in turn, takes commands in between."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from drivers.link import Link
from drivers.modbus.device import ModbusDevice, Wire
from drivers.modbus.line import Line
from drivers.once import PointRead, nothing_there
from drivers.polling import poll_all
from drivers.profiles import AnyProfile, ModbusProfile
from drivers.settings import DeviceSettings, ModbusRtuWire, ModbusTcpWire
from drivers.surroundings import Surroundings
from drivers.watch import Silence, Watch
from gateway.model.errors import ConfigError, Unsupported
from gateway.model.measure import Reading, Signal, Value
from gateway.model.ports import DeviceHealth, Readback


class ModbusDriver:
    """One wire and the units on it. May be entered again after it was left."""

    def __init__(
        self,
        name: str,
        wire: ModbusTcpWire | ModbusRtuWire,
        devices: Mapping[str, tuple[DeviceSettings, AnyProfile]],
        around: Surroundings,
    ) -> None:
        self._name = name
        self._clock = clock = around.clock
        units = {device: _unit(device, wire, *its) for device, its in devices.items()}
        rests = {unit: profile.limits.quiet_ms / 1000 for unit, profile in units.values()}
        self._line = _line(name, wire, around.base, rests)
        log = logging.getLogger(f"drivers.{name}")
        shared = Wire(self._line, Link(), clock, wire.timeout_s, log)
        silence = Silence()
        self._signals: list[Signal] = []
        self._devices: dict[str, ModbusDevice] = {}
        for device, (unit, profile) in units.items():
            every_s = devices[device][0].every_s
            watch = Watch(
                f"{device} (unit {unit})", timeout_s=wire.timeout_s, every_s=every_s, silence=silence, log=log
            )
            points = {f"{device}/{point_name}": p for point_name, p in profile.on_the_wire().points.items()}
            self._devices[device] = ModbusDevice(unit, points, profile.limits, shared, watch)
            self._signals += profile.signals(device, every_s)

    @property
    def name(self) -> str:
        return self._name

    @property
    def signals(self) -> Sequence[Signal]:
        return self._signals

    async def __aenter__(self) -> Self:
        try:
            await self._line.open()
        except BaseException:
            await self._line.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._line.close()

    def batches(self) -> AsyncGenerator[Sequence[Reading], None]:
        return poll_all(self._name, self._devices, self._clock, self._line.check)

    def health(self) -> dict[str, DeviceHealth]:
        return {name: device.watch.health for name, device in self._devices.items()}

    async def apply(self, signal: str, value: Value) -> Readback:
        """See gateway.model.ports.Actuator. A command goes before the next poll."""
        return await self._device_of(signal).apply(signal, value)

    async def read(self, signal: str) -> Reading:
        """See gateway.model.ports.Actuator."""
        (row,) = await self._device_of(signal).look([signal])
        return row.reading

    def _device_of(self, signal: str) -> ModbusDevice:
        device, _, point = signal.rpartition("/")
        if device not in self._devices or signal not in {known.id for known in self._signals}:
            raise Unsupported("there is no such point on this wire", where=signal, hint=f"no {point!r} in its profile")
        return self._devices[device]

    async def read_once(self, device: str, point: str | None = None) -> list[PointRead]:
        """Reads a device, or one point of it, once: raw registers beside values. Raises LinkDown, and Unsupported
        for names that are not on this wire."""
        signals = [s.id for s in self._signals if s.id.rpartition("/")[0] == device]
        if point is not None:
            signals = [signal for signal in signals if signal == f"{device}/{point}"]
        if not signals:
            raise nothing_there(device, point)
        return await self._devices[device].look(signals)


def _unit(
    device: str, wire: ModbusTcpWire | ModbusRtuWire, settings: DeviceSettings, profile: AnyProfile
) -> tuple[int, ModbusProfile]:
    if not isinstance(profile, ModbusProfile):
        raise ConfigError(
            f"profile {profile.profile!r} is not of a Modbus device",
            where=device,
            hint="choose another wire or profile",
        )
    if settings.unit is None:
        raise ConfigError("a Modbus device needs its unit number", where=device, hint="add `unit: 1`")
    if settings.unit == 0 and wire.kind == "modbus_rtu":
        raise ConfigError("unit 0 means all units and never answers", where=device, hint="give its own unit number")
    return settings.unit, profile


def _line(name: str, wire: ModbusTcpWire | ModbusRtuWire, base: Path, rests: Mapping[int, float]) -> Line:
    # pyserial is not loaded where there is no serial line.
    if isinstance(wire, ModbusRtuWire):
        from drivers.modbus.rtu import RtuLine

        return RtuLine(name, wire, base / wire.port, rests)
    from drivers.modbus.tcp import TcpLine

    return TcpLine(name, wire, rests)
