"""By hand: python tests/bench/bench_plan.py. What the planner saves on each Modbus profile that ships, and the real
driver beside a bare pymodbus client that reads one register a request, both on loopback TCP in one run (20 s)."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pymodbus.client import AsyncModbusTcpClient

import drivers
from drivers.modbus.plan import blocks, make_block
from drivers.profiles import ModbusProfile
from drivers.settings import DeviceSettings, ModbusTcpWire
from drivers.simulate import simulated
from gateway.model.clock import SystemClock
from tests.drivers.kit import free_port, shipped_profiles

PROFILES = {name: p for name, p in shipped_profiles().items() if isinstance(p, ModbusProfile)}
CHARACTER_S = 10 / 9600  # 8N1
THINKING_S = 0.005  # of a quick unit before its answer begins
MEASURED_S = 15.0  # for all profiles together


def one_per_point(profile):
    return [make_block([named]) for named in profile.on_the_wire().points.items()]


def one_per_register(profile):
    seen = set()
    for point in profile.on_the_wire().points.values():
        for at in range(point.at, point.at + point.words):
            if (point.table, at) not in seen:
                seen.add((point.table, at))
                alone = {"at": at, "type": "bool" if point.type == "bool" else "u16", "length": None, "bits": None}
                yield make_block([("", point.model_copy(update=alone))])


def cost(requests, profile):
    """(requests, bytes on the wire, seconds at 9600 8N1): both frames, 3.5 characters of silence after the request,
    and after the answer that or the rest the device needs."""
    requests = list(requests)
    size = sum(1 + len(b.request.pdu) + 2 + 1 + b.request.length + 2 for b in requests)
    silence_s = 3.5 * CHARACTER_S
    each_s = silence_s + THINKING_S + max(silence_s, profile.limits.quiet_ms / 1000)
    return len(requests), size, size * CHARACTER_S + each_s * len(requests)


def print_planned():
    print("a read of every point once; seconds at 9600 8N1 with units that think 5 ms\n")
    print(f"{'':34} {'planned':^24} {'one per point':^24} {'one per register':^24} {'s ratio':>13}")
    print(f"{'profile':28} {'points':>5} " + f"{'requests':>9} {'bytes':>6} {'s':>7} " * 3 + "  point  reg.")
    total = [Counter(), Counter(), Counter()]
    for name, profile in PROFILES.items():
        planned = blocks(profile.on_the_wire().points, profile.limits)
        rows = [cost(way, profile) for way in (planned, one_per_point(profile), one_per_register(profile))]
        for counter, (requests, size, seconds) in zip(total, rows, strict=True):
            counter.update(requests=requests, size=size, seconds=seconds)
        line(name, len(profile.points), rows)
    line("all", sum(len(p.points) for p in PROFILES.values()), [tuple(c.values()) for c in total])


def line(name, points, rows):
    cells = " ".join(f"{requests:9} {size:6} {seconds:7.3f}" for requests, size, seconds in rows)
    ratios = " ".join(f"{row[2] / rows[0][2]:6.1f}" for row in rows[1:])
    print(f"{name:28} {points:5} {cells} {ratios}")


async def ours(driver, device, until):
    cycles = 0
    while time.perf_counter() < until:
        rows = await driver.read_once(device)
        assert not any(row.error for row in rows), [row.error for row in rows if row.error]
        cycles += 1
    return cycles


async def bare(client, requests, until):
    reads = {
        "coil": client.read_coils, "discrete": client.read_discrete_inputs,
        "input": client.read_input_registers, "holding": client.read_holding_registers,
    }  # fmt: skip
    cycles = 0
    while time.perf_counter() < until:
        for block in requests:
            answer = await reads[block.table](block.start, count=1, device_id=1)
            assert not answer.isError()
        cycles += 1
    return cycles


async def measured(name, profile, seconds, base):
    """(requests, ms) a cycle of the driver, and of the bare client; without the rests that the device would need."""
    limits = profile.limits.model_copy(update={"quiet_ms": 0})
    profile = profile.model_copy(update={"limits": limits})
    wire = ModbusTcpWire(kind="modbus_tcp", host="127.0.0.1", port=free_port())
    devices = {"it": (DeviceSettings(profile=name, wire="w", unit=1, every_s=1), profile)}
    requests, rows = list(one_per_register(profile)), []
    async with simulated({"w": wire}, devices, base) as far:
        heard = far.units["it"]
        async with drivers.build("w", wire, devices, drivers.Surroundings(SystemClock(), base)) as driver:
            began = time.perf_counter()
            cycles = await ours(driver, "it", began + seconds)
            rows.append((heard.requests / cycles, (time.perf_counter() - began) / cycles * 1000))
        async with AsyncModbusTcpClient("127.0.0.1", port=wire.port) as client:
            heard.requests, began = 0, time.perf_counter()
            cycles = await bare(client, requests, began + seconds)
            rows.append((heard.requests / cycles, (time.perf_counter() - began) / cycles * 1000))
    return rows


async def main():
    print_planned()
    print("\nmeasured over loopback TCP, simulator in the same process, no rests\n")
    print(f"{'profile':28} {'driver':^21} {'pymodbus, one register':^23} {'ratio':>14}")
    print(f"{'':28} " + f"{'requests':>9} {'ms':>9}   " * 2 + f"{'requests':>9} {'ms':>5}")
    with tempfile.TemporaryDirectory() as folder:
        for name, profile in PROFILES.items():
            mine, theirs = await measured(name, profile, MEASURED_S / len(PROFILES) / 2, Path(folder))
            cells = "   ".join(f"{requests:9.0f} {ms:9.2f}" for requests, ms in (mine, theirs))
            print(f"{name:28} {cells}   {theirs[0] / mine[0]:9.1f} {theirs[1] / mine[1]:5.1f}")


if __name__ == "__main__":
    asyncio.run(main())
