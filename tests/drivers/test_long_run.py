"""An hour of a whole site: real drivers, ptys and sockets, serial lines at the pace of 9600 baud, and no waiting."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.profiles import AnyProfile
from drivers.settings import AnyWire, DeviceSettings, ModbusRtuWire, ModbusTcpWire
from drivers.simulate import Simulation, simulated
from gateway.model.errors import LinkDown
from gateway.model.measure import Reading, Reason
from tests.drivers.kinds.modbus import modbus_profile
from tests.drivers.kit import free_port, point, shipped_profiles
from tests.kit.warp import WarpClock, WarpLoop

EVERY_S = 10.0
SHIPPED = shipped_profiles()
PROFILES = [SHIPPED[name] for name in ("water-level-radar", "air-station-modbus", "energy-meter-3p")]


@dataclass
class Ledger:
    """What came, by signal. Times in seconds since the start."""

    good: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, list[tuple[float, Reason]]] = field(default_factory=dict)
    values: dict[str, set[Any]] = field(default_factory=dict)

    def add(self, reading: Reading, at_s: float) -> None:
        if reading.value is None:
            self.missing.setdefault(reading.signal, []).append((at_s, reading.reasons[0]))
        else:
            self.good.setdefault(reading.signal, []).append(at_s)
            self.values.setdefault(reading.signal, set()).add(reading.value)

    def of(self, device: str) -> dict[str, list[float]]:
        return {signal: times for signal, times in self.good.items() if signal.startswith(f"{device}/")}

    def reasons(self, device: str, since_s: float = 0, until_s: float = 1e9) -> list[tuple[str, float, Reason]]:
        return [
            (signal, at, reason)
            for signal, rows in self.missing.items()
            if signal.startswith(f"{device}/")
            for at, reason in rows
            if since_s <= at < until_s
        ]


Devices = dict[str, tuple[DeviceSettings, AnyProfile]]
Events = Callable[[Simulation], Awaitable[None]]


def unit(wire: str, number: int, profile: AnyProfile) -> tuple[DeviceSettings, AnyProfile]:
    return DeviceSettings(profile=profile.profile, wire=wire, unit=number, every_s=EVERY_S), profile


def run(wires: Mapping[str, AnyWire], devices: Devices, base: Path, seconds: float, events: Events) -> Ledger:
    """So many seconds of this site. A wire that is gone is entered again after a second, as the supervisor does."""
    ledger = Ledger()

    async def field_(loop: WarpLoop, clock: WarpClock, name: str) -> None:
        mine = {device: its for device, its in devices.items() if its[0].wire == name}
        driver = drivers.build(name, wires[name], mine, drivers.Surroundings(clock, base))
        began = loop.time()
        while True:
            with contextlib.suppress(LinkDown):
                async with driver, contextlib.aclosing(driver.batches()) as stream:
                    async for batch in stream:
                        for reading in batch:
                            ledger.add(reading, loop.time() - began)
            await asyncio.sleep(1)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WarpLoop)
        clock = WarpClock(loop)
        async with simulated(wires, devices, base, clock=clock, paced=True) as far:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                    for name in wires:
                        group.create_task(field_(loop, clock, name))
                    await events(far)

    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        runner.run(main())
    return ledger


def assert_on_pace(times: Mapping[str, list[float]], begin_s: float, end_s: float) -> None:
    """At least 99 % of the readings of these seconds came, and never more than two periods lie between two."""
    assert times
    for signal, seen in times.items():
        these = [begin_s, *[at for at in seen if begin_s <= at < end_s], end_s]
        assert len(these) - 2 >= 0.99 * (end_s - begin_s) / EVERY_S - 1, signal
        assert max(b - a for a, b in itertools.pairwise(these)) <= 2 * EVERY_S, signal


def assert_missing_each_period(ledger: Ledger, device: str, begin_s: float, end_s: float, reason: Reason) -> None:
    by_signal: dict[str, list[float]] = {}
    for signal, at, why in ledger.reasons(device, begin_s, end_s):
        assert why is reason, (signal, at)
        by_signal.setdefault(signal, []).append(at)
    assert_on_pace(by_signal, begin_s, end_s)


def rtu(**more: Any) -> ModbusRtuWire:
    return ModbusRtuWire(kind="modbus_rtu", baud=9600, **more)


def tcp() -> ModbusTcpWire:
    return ModbusTcpWire(kind="modbus_tcp", host="127.0.0.1", port=free_port())


def test_an_hour_of_forty_devices_loses_no_reading_but_those_of_the_dead(tmp_path: Path) -> None:
    """On one bus a unit that is there only from half time on, on the other one that falls silent until then."""
    wires: dict[str, AnyWire] = {
        "west": rtu(port="tty-west"),
        "east": rtu(port="tty-east"),
        "hall": tcp(),
        "yard": tcp(),
    }
    sizes = {"west": 13, "east": 13, "hall": 7, "yard": 7}
    devices = {
        f"{wire}{n}": unit(wire, n, PROFILES[n % len(PROFILES)])
        for wire, size in sizes.items()
        for n in range(1, size + 1)
    }
    assert len(devices) == 40
    fell_s, back_s, end_s = 600.0, 1800.0, 3600.0
    dead = {"west4": 0.0, "east8": fell_s}

    async def events(far: Simulation) -> None:
        far.units["west4"].fault.silent = True
        await asyncio.sleep(fell_s)
        far.units["east8"].fault.silent = True
        await asyncio.sleep(back_s - fell_s)
        for name in dead:
            far.units[name].fault.silent = False

    ledger = run(wires, devices, tmp_path, end_s, events)
    for name in devices.keys() - dead.keys():
        assert not ledger.reasons(name)
        assert_on_pace(ledger.of(name), 0, end_s)
        assert len(ledger.of(name)) == len(devices[name][1].points_by_name())
    for name, since_s in dead.items():
        assert_missing_each_period(ledger, name, since_s, back_s, Reason.NO_ANSWER)
        assert not ledger.reasons(name, back_s + 2 * EVERY_S)
        assert_on_pace(ledger.of(name), back_s, end_s)
    assert_on_pace(ledger.of("east8"), 0, fell_s)


def test_a_busy_unit_and_one_that_talks_nonsense_cost_their_neighbours_nothing(tmp_path: Path) -> None:
    devices = {f"d{n}": unit("pair", n, PROFILES[n % len(PROFILES)]) for n in range(1, 14)}
    begin_s, back_s, end_s = 60.0, 900.0, 1200.0

    async def events(far: Simulation) -> None:
        await asyncio.sleep(begin_s)
        far.units["d3"].fault.refuse = 6
        far.units["d9"].fault.garbage = True
        await asyncio.sleep(back_s - begin_s)
        far.units["d3"].fault.refuse = 0
        far.units["d9"].fault.garbage = False

    ledger = run({"pair": rtu(port="tty")}, devices, tmp_path, end_s, events)
    for name in devices.keys() - {"d3", "d9"}:
        assert not ledger.reasons(name)
        assert_on_pace(ledger.of(name), 0, end_s)
    for name, reason in {"d3": Reason.DEVICE_REFUSED, "d9": Reason.BAD_FRAME}.items():
        assert_missing_each_period(ledger, name, begin_s, back_s, reason)
        assert_on_pace(ledger.of(name), back_s, end_s)


@pytest.mark.parametrize(("kind", "share"), [("rtu", 0.05), ("tcp", 0.02)])
def test_noise_costs_readings_and_never_makes_a_value(tmp_path: Path, kind: str, share: float) -> None:
    """Flipped bits: the checksum finds them all on a serial line; on TCP they hit the header."""
    profile = modbus_profile(
        {
            f"r{at}": point(table="holding", at=at, type="u16", simulate={"shape": "constant", "value": 1000 + at})
            for at in range(4)
        }
    )
    devices = {f"d{n}": unit("w", n, profile) for n in range(1, 6)}
    seconds = 3600.0

    async def events(far: Simulation) -> None:
        far.wires["w"].fault.noise = share

    wire = rtu(port="tty") if kind == "rtu" else tcp()
    ledger = run({"w": wire}, devices, tmp_path, seconds, events)
    good = {name: len(ledger.of(name)[f"{name}/r0"]) for name in devices}
    hit = sum(len(ledger.reasons(name)) for name in devices)
    assert ledger.values == {f"{name}/r{at}": {1000 + at} for name in devices for at in range(4)}
    assert hit >= 0.2 * share * 4 * len(devices) * seconds / EVERY_S
    # A frame that was hit costs at most itself and, while the unit proves itself, the next.
    assert min(good.values()) >= (1 - 3 * share) * seconds / EVERY_S - 2
