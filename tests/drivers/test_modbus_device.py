"""What a Modbus device may do wrong, through the whole driver: readings with reasons, and the wire goes on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import drivers
from drivers.settings import DeviceSettings, ModbusRtuWire
from gateway.model.clock import SystemClock
from gateway.model.measure import Reading, Reason
from tests.drivers.kinds.modbus import modbus_profile
from tests.drivers.kit import by_signal, point, site, take
from tests.drivers.slave import Slave

TIMEOUT_S = 0.08
BOTH = ["modbus_tcp", "modbus_rtu"]
TWO_BLOCKS = {
    "first": point(table="holding", at=100, type="u16"),
    "second": point(table="holding", at=101, type="u16"),
    "far": point(table="holding", at=300, type="u16"),
}


async def first_batch(driver: drivers.FieldDriver) -> Sequence[Reading]:
    async with contextlib.aclosing(driver.batches()) as stream, asyncio.timeout(5):
        return await anext(stream)


@contextlib.asynccontextmanager
async def on_a_slave(units: int) -> AsyncIterator[tuple[Slave, drivers.FieldDriver]]:
    """Devices d1, d2 … of two blocks each on a scripted slave whose registers say their own address."""
    slave = Slave()
    wire = ModbusRtuWire(kind="modbus_rtu", port=str(slave.path), baud=115200, timeout_s=TIMEOUT_S)
    devices = {
        f"d{n}": (DeviceSettings(profile="box", wire="w", unit=n, every_s=0.15), modbus_profile(TWO_BLOCKS))
        for n in range(1, units + 1)
    }
    driver = drivers.build("w", wire, devices, drivers.Surroundings(SystemClock(), Path("/")))
    try:
        async with driver:
            yield slave, driver
    finally:
        slave.close()


SLAVES_WAYS = {
    "short": Reason.BAD_FRAME,
    "fewer": Reason.BAD_FRAME,
    "bad_crc": Reason.BAD_FRAME,
    "wrong_unit": Reason.BAD_FRAME,
    "wrong_function": Reason.BAD_FRAME,
    "dead": Reason.NO_ANSWER,
    "exception:1": Reason.DEVICE_REFUSED,
    "exception:4": Reason.DEVICE_REFUSED,
    "exception:6": Reason.DEVICE_REFUSED,
    "exception:11": Reason.NO_ANSWER,
}


@pytest.mark.parametrize("way", SLAVES_WAYS)
async def test_a_bad_answer_is_readings_with_its_reason_and_the_wire_goes_on(way: str) -> None:
    async with on_a_slave(2) as (slave, driver):
        slave.script.append(way)
        batch = {reading.signal: reading for reading in await first_batch(driver)}
        hit = next(iter(batch)).partition("/")[0]
        assert {batch[f"{hit}/{name}"].reasons for name in ("first", "second")} == {(SLAVES_WAYS[way],)}
        if SLAVES_WAYS[way] is Reason.DEVICE_REFUSED:
            assert batch[f"{hit}/far"].value == 300
        else:
            assert batch[f"{hit}/far"].reasons == (SLAVES_WAYS[way],)
        good = {f"d{n}/{name}": at for n in (1, 2) for name, at in (("first", 100), ("second", 101), ("far", 300))}
        batches = await take(driver, 3, lambda newest: newest == good)
        assert {r.signal: r.value for batch in batches for r in batch} == good
        assert all(health.online for health in driver.health().values())


@pytest.mark.parametrize("way", ["short", "bad_crc", "dead", "exception:2"])
async def test_of_an_answer_in_part_the_good_part_is_read(way: str) -> None:
    async with on_a_slave(1) as (slave, driver):
        slave.script.extend(["ok", way])
        batch = {reading.signal: reading for reading in await first_batch(driver)}
        assert (batch["d1/first"].value, batch["d1/second"].value) == (100, 101)
        reason = SLAVES_WAYS.get(way, Reason.DEVICE_REFUSED)
        assert (batch["d1/far"].value, batch["d1/far"].reasons) == (None, (reason,))
        assert driver.health()["d1"].online


async def test_a_refused_block_whose_half_falls_silent_keeps_its_other_half() -> None:
    async with on_a_slave(1) as (slave, driver):
        slave.script.extend(["exception:2", "ok", "dead"])
        batch = {reading.signal: reading for reading in await first_batch(driver)}
    assert batch["d1/first"].value == 100
    assert batch["d1/second"].reasons == (Reason.NO_ANSWER,)
    assert len(batch) == 3


@pytest.mark.parametrize("what", ["unit", "function", "short", "header"])
async def test_a_tcp_host_that_answers_wrongly_costs_one_reading_and_its_neighbour_none(
    tmp_path: Path, what: str
) -> None:
    async with site("modbus_tcp", tmp_path) as made:
        end: Any = made.far.wires["w"]
        plain, unit = end.request, made.far.units["left"]
        wrong = [True]

        def request(transport: asyncio.Transport, number: int, to: int, pdu: bytes) -> None:
            if to != 1 or not wrong:
                plain(transport, number, to, pdu)
                return
            wrong.clear()
            answer = unit.answer(pdu)
            answer = {"function": bytes((answer[0] ^ 7,)) + answer[1:], "short": answer[:-1]}.get(what, answer)
            to = 7 if what == "unit" else to
            number += what == "header"
            transport.write(struct.pack(">HHHB", number, 0, len(answer) + 1, to) + answer)

        end.request = request
        reason = Reason.NO_ANSWER if what == "header" else Reason.BAD_FRAME
        async with made.driver:
            batches = await take(made.driver, 3, lambda newest: newest == made.good)
        readings = by_signal(batches)
    assert {r.signal: r.value for batch in batches for r in batch} == made.good
    hit = {r.reasons for signal in readings for r in readings[signal] if r.value is None}
    assert hit == {(reason,)}
    assert all(r.value is not None for signal in readings for r in readings[signal] if signal.startswith("right"))


@pytest.mark.parametrize("kind", BOTH)
async def test_a_unit_number_that_nobody_has_is_no_answer(tmp_path: Path, kind: str) -> None:
    async with site(kind, tmp_path) as made:
        settings, profile = made.devices["left"]
        devices = {**made.devices, "left": (settings.model_copy(update={"unit": 77}), profile)}
        driver = drivers.build("w", made.wire, devices, drivers.Surroundings(SystemClock(), tmp_path))
        async with driver:
            readings = by_signal(await take(driver, 0.6))
    assert {r.reasons for s, rows in readings.items() if s.startswith("left/") for r in rows} == {(Reason.NO_ANSWER,)}
    for signal, rows in readings.items():
        if signal.startswith("right/"):
            assert [r.value for r in rows] == [made.good[signal]] * len(rows)
            assert len(rows) >= 4


async def test_a_table_the_device_refuses_costs_the_other_tables_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with site("modbus_tcp", tmp_path) as made:
        unit = made.far.units["left"]
        plain = unit.answer
        unit.answer = lambda pdu: b"\x84\x01" if pdu[0] == 4 else plain(pdu)  # type: ignore[method-assign]
        async with made.driver:
            readings = by_signal(await take(made.driver, 0.55))
            unit.answer = plain  # type: ignore[method-assign]
            await take(made.driver, 1, lambda newest: newest == made.good)
    assert {r.reasons for r in readings["left/c"]} == {(Reason.DEVICE_REFUSED,)}
    assert {r.value for r in readings["left/a"]} == {1000}
    said = [message.partition(":")[0] for message in caplog.messages]
    assert said == ["left/c cannot be read", "left/c is read again"]


async def test_one_refused_answer_is_no_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with site("modbus_tcp", tmp_path) as made, made.driver:
        assert await take(made.driver, 1, lambda newest: newest == made.good)
        for _ in range(3):
            made.far.units["left"].fault.refuse = 6
            await take(made.driver, 1, lambda newest: newest.get("left/a", 0) is None)
            made.far.units["left"].fault.refuse = 0
            await take(made.driver, 1, lambda newest: newest.get("left/a") is not None)
    assert [message for message in caplog.messages if message.startswith("left")] == []


async def test_reading_once_gives_the_good_points_of_a_block_that_is_refused(tmp_path: Path) -> None:
    profile = modbus_profile(
        {
            f"r{at}": point(table="holding", at=at, type="u16", simulate={"shape": "constant", "value": at})
            for at in range(4)
        }
    )
    async with site("modbus_tcp", tmp_path, {"it": profile}) as made, made.driver:
        plain = made.far.units["it"].answer

        def picky(pdu: bytes) -> bytes:
            start, count = struct.unpack(">HH", pdu[1:5])
            return b"\x83\x02" if start <= 2 < start + count else plain(pdu)

        made.far.units["it"].answer = picky  # type: ignore[method-assign]  # it has no register 2
        rows = await made.driver.read_once("it")
    assert [row.reading.value for row in rows] == [0, 1, None, 3]
    assert "no such address" in rows[2].error
    assert rows[2].reading.reasons == (Reason.DEVICE_REFUSED,)
