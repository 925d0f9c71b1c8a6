"""A serial line with a slave that misbehaves: no value may ever reach the wrong register."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import threading
import time
from collections.abc import AsyncIterator

import pytest

from drivers.modbus.messages import Refused, read
from drivers.modbus.rtu import RtuLine
from drivers.settings import ModbusRtuWire
from gateway.model.errors import BadFrame, DriverError, LinkDown, NoAnswer
from tests.drivers.slave import Slave

TIMEOUT_S = 0.06


@pytest.fixture
async def slave() -> AsyncIterator[Slave]:
    made = Slave()
    yield made
    made.close()


@contextlib.asynccontextmanager
async def line_to(slave: Slave, *, echo: bool = False) -> AsyncIterator[RtuLine]:
    wire = ModbusRtuWire(kind="modbus_rtu", port=str(slave.path), baud=115200, timeout_s=TIMEOUT_S, echo=echo)
    line = RtuLine("w", wire, slave.path, {})
    await line.open()
    try:
        yield line
    finally:
        await line.close()


async def ask(line: RtuLine, start: int, count: int = 3, unit: int = 1, wait_s: float = TIMEOUT_S) -> list[int]:
    body = await line.exchange(unit, read("holding", start, count), wait_s)
    return [word for (word,) in struct.iter_unpack(">H", body[1:])]


def addresses(start: int, count: int = 3) -> list[int]:
    return list(range(start, start + count))


@pytest.mark.parametrize("way", ["ok", "noise", "split", "echo", "trailing", "twice"])
async def test_a_good_answer_is_found_whatever_is_around_it(slave: Slave, way: str) -> None:
    slave.script.extend([way, "ok"])
    async with line_to(slave) as line:
        assert await ask(line, 100) == addresses(100)
        assert await ask(line, 200) == addresses(200)


@pytest.mark.parametrize("way", ["short", "fewer", "bad_crc", "wrong_unit", "wrong_function"])
async def test_what_is_no_good_answer_is_a_bad_frame(slave: Slave, way: str) -> None:
    slave.script.append(way)
    async with line_to(slave) as line:
        with pytest.raises(BadFrame):
            await ask(line, 100)
        assert await ask(line, 200) == addresses(200)


async def test_an_exception_answer_is_a_refusal_with_its_code(slave: Slave) -> None:
    slave.script.extend(["exception:2", "exception:6", "exception:11"])
    async with line_to(slave) as line:
        with pytest.raises(Refused) as refused:
            await ask(line, 100)
        assert refused.value.is_about_the_range
        with pytest.raises(Refused, match="busy"):
            await ask(line, 100)
        with pytest.raises(NoAnswer):
            await ask(line, 100)


@pytest.mark.parametrize("delay", [1.02, 1.3, 1.9, 2.05, 2.5, 3.2])
@pytest.mark.parametrize("count", [1, 3])
async def test_a_late_answer_never_reaches_the_next_register(slave: Slave, delay: float, count: int) -> None:
    slave.script.append(f"late:{delay * TIMEOUT_S}")
    async with line_to(slave) as line:
        with pytest.raises(NoAnswer):
            await ask(line, 100, count)
        for start in (200, 300, 400):
            with contextlib.suppress(NoAnswer, BadFrame):
                assert await ask(line, start, count) == addresses(start, count)
        assert await ask(line, 500, count) == addresses(500, count)


async def test_a_unit_that_is_always_late_never_answers_for_another_register(slave: Slave) -> None:
    async with line_to(slave) as line:
        slave.script.extend([f"late:{2.2 * TIMEOUT_S}"] * 6)
        for start in range(100, 700, 100):
            with contextlib.suppress(NoAnswer, BadFrame):
                assert await ask(line, start) == addresses(start)
        await asyncio.sleep(3 * TIMEOUT_S)
        assert await ask(line, 900) == addresses(900)


async def test_a_unit_that_owes_an_answer_is_left_alone_and_its_neighbour_is_not(slave: Slave) -> None:
    slave.script.append("dead")
    async with line_to(slave) as line:
        with pytest.raises(NoAnswer):
            await ask(line, 100)
        assert line.ready_in_s(1) > 0.5 * TIMEOUT_S
        assert line.ready_in_s(2) == 0
        began = time.monotonic()
        assert await ask(line, 100, unit=2) == addresses(100)
        assert time.monotonic() - began < 0.9 * TIMEOUT_S


async def test_an_answer_of_a_neighbour_is_not_ours(slave: Slave) -> None:
    slave.script.extend([f"late:{1.6 * TIMEOUT_S}", "dead"])
    async with line_to(slave) as line:
        with pytest.raises(NoAnswer):
            await ask(line, 100, unit=2)
        with pytest.raises((NoAnswer, BadFrame)):
            await ask(line, 100, unit=1)


async def test_cancelling_a_request_does_not_shift_the_answers(slave: Slave) -> None:
    slave.script.append(f"late:{0.5 * TIMEOUT_S}")
    async with line_to(slave) as line:
        task = asyncio.create_task(ask(line, 100))
        await asyncio.sleep(0.2 * TIMEOUT_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await ask(line, 200) == addresses(200)


async def test_an_adapter_that_echoes_is_understood(slave: Slave) -> None:
    slave.script.extend(["echo"] * 2)
    async with line_to(slave, echo=True) as line:
        assert await ask(line, 100) == addresses(100)
        assert await ask(line, 200) == addresses(200)


async def test_an_unplugged_adapter_is_link_down_at_once(slave: Slave) -> None:
    slave.script.append("dead")
    async with line_to(slave) as line:
        asyncio.get_running_loop().call_later(0.01, slave.close)
        with pytest.raises(LinkDown):
            await ask(line, 100, wait_s=5)
        with pytest.raises(LinkDown):
            await ask(line, 100)


async def test_a_line_that_is_never_silent_is_a_bad_frame(slave: Slave) -> None:
    stop = threading.Event()
    pauses: list[float] = []

    def babble() -> None:
        before = time.monotonic()
        while not stop.wait(0.002):
            slave.send(b"\x00\x55")
            pauses.append(-before + (before := time.monotonic()))

    async with line_to(slave) as line:
        babbling = asyncio.create_task(asyncio.to_thread(babble))
        try:
            for _ in range(10):
                await asyncio.sleep(0.02)
                pauses.clear()
                try:
                    await ask(line, 100)
                except BadFrame as error:
                    heard = str(error)
                    break
                assert max(pauses) > line._quiet_s, "it was not silent, and nobody noticed"
            else:
                pytest.fail("this machine stalls all the time: it cannot keep a line noisy")
            assert "never silent" in heard
        finally:
            stop.set()
            await babbling


WAYS = ["ok", "ok", "ok", "short", "fewer", "noise", "split", "bad_crc", "exception", "wrong_unit", "twice", "dead"]


@pytest.mark.parametrize("seed", range(5))
async def test_no_value_is_ever_taken_for_another_register(slave: Slave, seed: int) -> None:
    dice = random.Random(seed)
    slave.script.extend(dice.choice([*WAYS, f"late:{dice.uniform(0.3, 3) * TIMEOUT_S:.3f}"]) for _ in range(30))
    good = 0
    async with line_to(slave) as line:
        for _ in range(25):
            start, count, unit = dice.randrange(1000), dice.choice([1, 2, 2, 10]), dice.choice([1, 2])
            try:
                assert await ask(line, start, count, unit) == addresses(start, count)
                good += 1
            except DriverError:
                continue
    assert good >= 3
