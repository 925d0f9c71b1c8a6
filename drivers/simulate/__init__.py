"""The other end of every wire of a site, from the same profiles: a whole site can be rehearsed on a desk.

The bytes are those of the real protocols; nothing in the drivers knows that it is a simulation.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drivers.profiles import LinesProfile, ModbusProfile, Profile
from drivers.settings import DeviceSettings, ModbusRtuWire, ModbusTcpWire, WireSettings
from drivers.simulate.modbus import Fault, SimulatedUnit
from drivers.simulate.wires import FarEnd, LinesEnd, RtuEnd, TcpEnd
from gateway.model.clock import Clock, SystemClock

__all__ = ["Fault", "LinesEnd", "RtuEnd", "SimulatedUnit", "Simulation", "TcpEnd", "simulated"]

Devices = Mapping[str, tuple[DeviceSettings, Profile]]


@dataclass(slots=True)
class Simulation:
    """Handle of a running simulation. Faults are set on `units[device].fault`, or for a whole wire on
    `wires[wire].fault`; `wires[wire].unplug()` and `.plug()` pull and put back the plug.

    units: the Modbus devices by name, with what they heard (`requests`) and took (`writes`).
    """

    wires: dict[str, FarEnd] = field(default_factory=dict)
    units: dict[str, SimulatedUnit] = field(default_factory=dict)

    def instrument(self, wire: str) -> LinesEnd:
        """The text line instrument at the end of a wire."""
        end = self.wires[wire]
        if not isinstance(end, LinesEnd):
            raise KeyError(wire)
        return end


@contextlib.asynccontextmanager
async def simulated(
    wires: Mapping[str, WireSettings], devices: Devices, base: Path, *, clock: Clock | None = None, seed: int = 0
) -> AsyncIterator[Simulation]:
    """Brings up the far end of every wire that has devices, and takes all down again.

    base: the site file's folder; pty links are made at the wires' port paths, relative to it. Raises LinkDown
    when an address or path cannot be had.
    """
    simulation = Simulation()
    time = clock or SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        for name, wire in wires.items():
            there = {device: its for device, its in devices.items() if its[0].wire == name}
            end = _far_end(wire, there, base, simulation, (time, seed))
            if end is not None:
                simulation.wires[name] = end
                stack.push_async_callback(end.unplug)
                await end.plug()
        yield simulation


def _far_end(
    wire: WireSettings, devices: Devices, base: Path, simulation: Simulation, world: tuple[Clock, int]
) -> FarEnd | None:
    units: dict[int, SimulatedUnit] = {}
    for device, (settings, profile) in devices.items():
        if isinstance(profile, ModbusProfile) and settings.unit is not None:
            units[settings.unit] = simulation.units[device] = SimulatedUnit(device, profile, *world)
    if isinstance(wire, ModbusTcpWire):
        return TcpEnd(wire, units)
    if isinstance(wire, ModbusRtuWire):
        return RtuEnd(base / wire.port, units)
    for device, (settings, profile) in devices.items():
        if isinstance(profile, LinesProfile):
            return LinesEnd(base / wire.port, device, profile, settings.every_s, *world)
    return None
