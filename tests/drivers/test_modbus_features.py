"""What a profile and a wire may ask for, through the whole driver and the simulator."""

from __future__ import annotations

import asyncio
import itertools
import struct
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.profiles import ModbusProfile
from drivers.settings import AnyWire, DeviceSettings, ModbusRtuWire, ModbusTcpWire
from drivers.simulate import SimulatedUnit, simulated
from gateway.model.errors import DeviceRefused
from gateway.model.measure import Reason
from tests.drivers.kinds.modbus import modbus_profile
from tests.drivers.kit import Site, free_port, point, site, take
from tests.kit.warp import WarpClock, WarpLoop

BOTH = ["modbus_tcp", "modbus_rtu"]


def constant(value: Any, **more: Any) -> dict[str, Any]:
    return point(**{"table": "holding", "simulate": {"shape": "constant", "value": value}, **more})


ODD = {
    "name": constant("PUMP-7", table="input", at=0, type="text", length=4, kind="last"),
    "flow": constant(12345.678901234, at=0, type="f64"),
    "total": constant(123456.7, at=4, type="bcd32", scale=0.1, order="cdab"),
    "set": constant(1234, at=6, type="bcd16", write={}),
    "mode": constant("auto", at=8, type="u16", bits=[0, 2], values={0: "off", 1: "hand", 2: "auto"}, kind="last"),
    "stage": constant(9, at=8, type="u16", bits=[3, 7], kind="last"),
    "alarm": constant(True, at=8, type="bool", bit=15, kind="last"),
    "status": point(table="holding", at=8, type="u16", kind="last"),
    "pump": point(table="coil", at=2, type="bool", kind="last", write={}),
}
SAYS = {
    "name": "PUMP-7", "flow": 12345.678901234, "total": 123456.7, "set": 1234,
    "mode": "auto", "stage": 9, "alarm": True, "status": 0x804A, "pump": False,
}  # fmt: skip


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("first", [0, 1])
async def test_every_kind_of_value_arrives_wherever_the_map_begins_to_count(
    tmp_path: Path, kind: str, first: int
) -> None:
    points = {name: {**how, "at": how["at"] + first} for name, how in ODD.items()}
    profile = modbus_profile(points).model_copy(update={"first_address": first})
    async with site(kind, tmp_path, {"it": profile}) as made, made.driver:
        batches = await take(made.driver, 3, lambda newest: newest == {f"it/{n}": v for n, v in SAYS.items()})
        assert {r.signal: r.value for batch in batches for r in batch} == {f"it/{n}": v for n, v in SAYS.items()}
        heard: list[bytes] = []
        plain = made.far.units["it"].answer
        made.far.units["it"].answer = lambda pdu: heard.append(pdu) or plain(pdu)  # type: ignore[method-assign, func-returns-value]
        assert (await made.driver.apply("it/set", 9999)).verified
        assert (await made.driver.apply("it/pump", True)).verified
        assert {pdu[:3] for pdu in heard if pdu[0] in {5, 6}} == {b"\x06\x00\x06", b"\x05\x00\x02"}
        assert made.far.units["it"].writes == [("holding", 6 + first, [0x9999]), ("coil", 2 + first, [1])]
        with pytest.raises(DeviceRefused, match="does not fit"):
            await made.driver.apply("it/set", 10_000)


async def test_points_that_share_registers_share_a_request(tmp_path: Path) -> None:
    async with site("modbus_tcp", tmp_path, {"it": modbus_profile(ODD, gap=4)}) as made, made.driver:
        before = made.far.units["it"].requests
        await made.driver.read_once("it")
        assert made.far.units["it"].requests - before == 3  # coil, input, holding 0 to 8


@pytest.mark.parametrize("kind", BOTH)
async def test_a_device_that_takes_no_single_writes_gets_functions_15_and_16(tmp_path: Path, kind: str) -> None:
    points = {"set": point(table="holding", at=6, type="u16", write={}), "pump": ODD["pump"]}
    for write_one, functions in ((False, {15, 16}), (True, {5, 6})):
        profile = modbus_profile(points, write_one=write_one)
        async with site(kind, tmp_path, {"it": profile}) as made, made.driver:
            heard: list[int] = []
            plain = made.far.units["it"].answer
            made.far.units["it"].answer = lambda pdu: heard.append(pdu[0]) or plain(pdu)  # type: ignore[method-assign, func-returns-value]  # noqa: B023
            for value in (7, 8):
                assert (await made.driver.apply("it/set", value)).verified
            for on in (True, False):
                assert (await made.driver.apply("it/pump", on)).verified
            assert {function for function in heard if function > 4} == functions


async def test_a_simulated_device_stands_no_more_than_its_profile_says(tmp_path: Path) -> None:
    async with site("modbus_tcp", tmp_path, {"it": modbus_profile(ODD, max_registers=8, write_one=False)}) as made:
        answer = made.far.units["it"].answer
        assert answer(struct.pack(">BHH", 3, 0, 8))[0] == 3
        assert answer(struct.pack(">BHH", 3, 0, 9)) == b"\x83\x03"
        assert answer(struct.pack(">BHH", 6, 6, 1)) == b"\x86\x01"
        assert answer(struct.pack(">BHHB", 16, 6, 1, 2)) == b"\x90\x03"  # no values in it


async def test_a_write_that_takes_longer_than_an_answer_may_is_proved_by_its_effect(tmp_path: Path) -> None:
    async with site("modbus_tcp", tmp_path) as made, made.driver:
        unit = made.far.units["left"]
        plain = unit.answer

        def slow(pdu: bytes) -> bytes:
            answer = plain(pdu)
            return b"\x85\x05" if pdu[0] == 5 else answer

        unit.answer = slow  # type: ignore[method-assign]  # "acknowledged, it takes longer"
        assert (await made.driver.apply("left/lamp", True)).verified
        unit.load("discrete", 3, [0])
        assert not (await made.driver.apply("left/lamp", True)).verified
        unit.answer = lambda pdu: b"\x85\x04" if pdu[0] == 5 else plain(pdu)  # type: ignore[method-assign]
        with pytest.raises(DeviceRefused, match="failed inside"):
            await made.driver.apply("left/lamp", True)


async def test_a_value_between_two_steps_is_proved_by_the_step_the_device_can_take(tmp_path: Path) -> None:
    profile = modbus_profile(
        {
            "level": point(table="holding", at=0, type="u16", scale=0.1, write={"within_s": 0.1}),
            "rate": point(table="holding", at=2, type="f32", write={"within_s": 0.1}),
        }
    )
    async with site("modbus_tcp", tmp_path, {"it": profile}) as made, made.driver:
        said = await made.driver.apply("it/level", 12.34)
        assert (said.reading.value, said.verified) == (12.3, True)
        said = await made.driver.apply("it/rate", 0.123456789)
        assert (said.reading.value, said.verified) == (0.1234568, True)
        made.far.units["it"].answer = lambda pdu: pdu[:5] if pdu[0] == 6 else b"\x03\x02\0\x7a"  # type: ignore[method-assign]
        said = await made.driver.apply("it/level", 12.34)
        assert (said.reading.value, said.verified) == (12.2, False)


async def test_a_wire_that_breaks_after_the_write_leaves_it_unproved_and_not_failed(tmp_path: Path) -> None:
    async with site("modbus_tcp", tmp_path) as made, made.driver:
        unit, end = made.far.units["left"], made.far.wires["w"]
        plain = unit.answer

        def last(pdu: bytes) -> bytes:
            if pdu[0] == 2:
                breaking.append(asyncio.ensure_future(end.unplug()))
            return plain(pdu)

        breaking: list[asyncio.Future[None]] = []
        unit.fault.delay_s = 0.01
        unit.answer = last  # type: ignore[method-assign]
        said = await made.driver.apply("left/lamp", True)
        await breaking[0]
        assert (said.reading.signal, said.reading.value, said.verified) == ("left/lit", None, False)
        assert said.reading.reasons == (Reason.LINK_DOWN,)
        assert unit.writes == [("coil", 3, [1])]


async def test_a_simulated_device_shows_its_fingerprint_where_the_map_says(tmp_path: Path) -> None:
    sign = {"table": "holding", "at": 41, "equals": [0x1234, 7]}
    tree = modbus_profile(ODD).model_dump() | {"first_address": 1, "fingerprint": [sign]}
    tree["points"] = {"flow": {**tree["points"]["flow"], "at": 1}}
    profile = ModbusProfile(**tree)
    (wired,) = profile.on_the_wire().fingerprint
    async with site("modbus_tcp", tmp_path, {"it": profile}) as made:
        answer = made.far.units["it"].answer(struct.pack(">BHH", 3, wired.at, 2))
    assert (wired.at, answer) == (40, b"\x03\x04\x12\x34\0\x07")


def in_no_time(wire: AnyWire, profile: ModbusProfile, base: Path, reads: int, *, paced: bool = False) -> list[float]:
    """Seconds that entering the wire took, and then each of these reads of a whole device."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, WarpLoop)
        clock = WarpClock(loop)
        devices = {"d": (DeviceSettings(profile="box", wire="w", unit=1, every_s=10), profile)}
        async with simulated({"w": wire}, devices, base, clock=clock, paced=paced):
            times, driver = [loop.time()], drivers.build("w", wire, devices, drivers.Surroundings(clock, base))
            async with driver:
                times.append(loop.time())
                for _ in range(reads):
                    assert all(not row.error for row in await driver.read_once("d"))
                    times.append(loop.time())
        return [b - a for a, b in itertools.pairwise(times)]

    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        return runner.run(main())


TEN = {f"r{n}": point(table="holding", at=n, type="u16") for n in range(10)}


def test_a_host_that_needs_rest_after_connecting_and_between_requests_gets_it(tmp_path: Path) -> None:
    wire = ModbusTcpWire(kind="modbus_tcp", host="127.0.0.1", port=free_port(), settle_s=2, pause_s=0.3)
    assert in_no_time(wire, modbus_profile(TEN), tmp_path, 3) == pytest.approx([2, 0, 0.3, 0.3])


def test_the_longer_of_the_wires_and_the_devices_rest_counts(tmp_path: Path) -> None:
    wire = ModbusTcpWire(kind="modbus_tcp", host="127.0.0.1", port=free_port(), pause_s=0.3)
    assert in_no_time(wire, modbus_profile(TEN, quiet_ms=500), tmp_path, 2) == pytest.approx([0, 0, 0.5])


@pytest.mark.parametrize(("baud", "parity"), [(9600, "none"), (19200, "even")])
def test_a_paced_bus_takes_the_time_of_its_bytes(tmp_path: Path, baud: int, parity: Any) -> None:
    wire = ModbusRtuWire(kind="modbus_rtu", port="tty", baud=baud, parity=parity)
    character_s = (10 if parity == "none" else 11) / baud
    request, answer, silence = 8, 5 + 20, 3.5
    *_, second, third = in_no_time(wire, modbus_profile(TEN), tmp_path, 3, paced=True)
    assert (second, third) == pytest.approx([(request + silence + answer + silence) * character_s] * 2, rel=0.01)
    *_, unpaced = in_no_time(wire, modbus_profile(TEN), tmp_path, 3)
    assert unpaced < second / 4


def disturbed(site_: Site, share: float) -> list[int]:
    unit: SimulatedUnit = site_.far.units["left"]
    found = []
    for unit.requests in range(1000):
        bit = unit.flipped_bit(share)
        if bit is not None:
            found.append(bit)
    return found


async def test_noise_hits_its_share_of_the_answers_and_always_the_same(tmp_path: Path) -> None:
    async with site("modbus_tcp", tmp_path) as one:
        hits = disturbed(one, 0.1)
        assert disturbed(one, 0.1) == hits
        assert 70 <= len(hits) <= 130
        assert len({bit % 56 for bit in hits}) > 30  # all over the frame
        assert disturbed(one, 0.0) == []
