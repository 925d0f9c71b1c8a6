"""The other end of every wire of a site, from the same profiles: a whole site can be rehearsed on a desk.

The bytes are those of the real protocols; nothing in the drivers knows that it is a simulation.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Final, cast

from drivers.profiles import AnyProfile, ModbusProfile
from drivers.settings import AnyWire, DeviceSettings
from drivers.simulate.far_end import LOOK_S, FarEnd, Fault, SimulatedDevice, Stage
from drivers.simulate.modbus import SimulatedUnit
from gateway.model.clock import Clock, SystemClock

__all__ = ["FAR_ENDS", "FarEnd", "Fault", "SimulatedDevice", "SimulatedUnit", "Simulation", "Stage", "simulated"]

FAR_ENDS: Final[Mapping[str, str]] = {
    "modbus_tcp": "drivers.simulate.modbus_wires",
    "modbus_rtu": "drivers.simulate.modbus_wires",
    "text_lines": "drivers.simulate.lines",
    "binary_frames": "drivers.simulate.frames",
    "tt10_files": "drivers.simulate.tt10",
    "mqtt_in": "drivers.simulate.mqtt_in",
    "http_poll": "drivers.simulate.http_poll",
    "gpio": "drivers.simulate.gpio",
}
"""Kind of a wire -> the module whose `make(wire, devices, stage)` gives its far end."""


@dataclass(slots=True)
class Simulation:
    """Handle of a running simulation. Faults are set on `devices[device].fault`, or for a whole wire on
    `wires[wire].fault`; `wires[wire].unplug()` and `.plug()` pull and put back the plug; `devices[device].world`
    holds the values. `kinds`: the kind of each wire. `drivers.simulate.performance` plays scenarios on it.
    """

    wires: dict[str, FarEnd] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    devices: dict[str, SimulatedDevice] = field(default_factory=dict)

    @property
    def units(self) -> dict[str, SimulatedUnit]:
        """The Modbus devices by name, with what they heard (`requests`) and took (`writes`)."""
        return {name: device for name, device in self.devices.items() if isinstance(device, SimulatedUnit)}


@contextlib.asynccontextmanager
async def simulated(
    wires: Mapping[str, AnyWire],
    devices: Mapping[str, tuple[DeviceSettings, AnyProfile]],
    base: Path,
    *,
    clock: Clock | None = None,
    paced: bool = False,
    look_s: float = LOOK_S,
) -> AsyncIterator[Simulation]:
    """Brings up the far end of every wire that has devices, and takes all down again.

    base: the site file's folder; pty links are made at the wires' port paths, relative to it. paced: Modbus RTU
    answers take the time their bytes need on the wire, so that a rehearsal has a real bus's capacity. look_s: how often
    contacts look whether they must move. Raises LinkDown when an address or path cannot be had.
    """
    stage = Stage(clock or SystemClock(), base, paced=paced, look_s=look_s)
    simulation = Simulation()
    async with contextlib.AsyncExitStack() as stack:
        for name, wire in wires.items():
            there = {device: _device(device, *its, stage) for device, its in devices.items() if its[0].wire == name}
            if not there:
                continue
            end = cast("FarEnd", import_module(FAR_ENDS[wire.kind]).make(wire, there, stage))
            simulation.wires[name] = end
            simulation.kinds[name] = wire.kind
            simulation.devices.update(there)
            stack.push_async_callback(end.unplug)
            await end.plug()
        yield simulation


def _device(name: str, settings: DeviceSettings, profile: AnyProfile, stage: Stage) -> SimulatedDevice:
    if isinstance(profile, ModbusProfile):
        return SimulatedUnit(name, settings, profile, stage)
    return SimulatedDevice(name, settings, profile, stage)
