"""A Modbus TCP host that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable

import pytest

from drivers.modbus.messages import read
from drivers.modbus.tcp import TcpLine
from drivers.settings import ModbusTcpWire
from gateway.model.errors import BadFrame, LinkDown, NoAnswer
from tests.drivers.kit import free_port

TIMEOUT_S = 0.1
HEADER = struct.Struct(">HHHB")
Answer = Callable[[int, int, bytes], bytes]


def good(number: int, unit: int, pdu: bytes) -> bytes:
    start, count = struct.unpack(">HH", pdu[1:5])
    body = bytes((pdu[0], 2 * count)) + struct.pack(f">{count}H", *range(start, start + count))
    return HEADER.pack(number, 0, len(body) + 1, unit) + body


class Host:
    """Answers each request by the next of `script`, in good manner when that is empty. `delays` as well."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.delays: list[float] = []
        self.now_open = 0
        self.most_open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.now_open += 1
        self.most_open = max(self.most_open, self.now_open)
        loop = asyncio.get_running_loop()
        try:
            while True:
                number, _, length, unit = HEADER.unpack(await reader.readexactly(7))
                pdu = await reader.readexactly(length - 1)
                answer = (self.script.pop(0) if self.script else good)(number, unit, pdu)
                if answer == b"close":
                    return
                loop.call_later(self.delays.pop(0) if self.delays else 0, self.send, writer, answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.now_open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    @staticmethod
    def send(writer: asyncio.StreamWriter, data: bytes) -> None:
        if not writer.is_closing():
            writer.write(data)


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[Host, TcpLine]]:
    host, port = Host(), free_port()
    server = await asyncio.start_server(host.serve, "127.0.0.1", port)
    line = TcpLine("w", ModbusTcpWire(kind="modbus_tcp", host="127.0.0.1", port=port, timeout_s=TIMEOUT_S), {})
    await line.open()
    try:
        yield host, line
    finally:
        await line.close()
        server.close()
        async with asyncio.timeout(2):
            while host.now_open:
                await asyncio.sleep(0.005)


async def ask(line: TcpLine, start: int, unit: int = 1) -> list[int]:
    body = await line.exchange(unit, read("holding", start, 2), TIMEOUT_S)
    return [word for (word,) in struct.iter_unpack(">H", body[1:])]


async def test_a_late_answer_is_known_by_its_number_and_dropped() -> None:
    async with connected() as (host, line):
        host.delays = [1.5 * TIMEOUT_S, 0.8 * TIMEOUT_S]
        with pytest.raises(NoAnswer):
            await ask(line, 100, unit=7)
        assert await ask(line, 200) == [200, 201]
        assert line.heard_late(7)
        assert not line.heard_late(7)
        assert not line.heard_late(1)


@pytest.mark.parametrize(
    "bad",
    [
        lambda n, u, p: good(n, u + 1, p),
        lambda n, u, p: good(n, u, bytes((4,)) + p[1:]),
        lambda n, u, p: good(n, u, p[:3] + b"\x00\x01"),
        lambda n, u, p: HEADER.pack(n, 0, 7, u) + bytes((p[0], 4, 0, 100, 0, 101))[:6],
    ],
    ids=["unit", "function", "fewer", "byte_count"],
)
async def test_an_answer_that_does_not_fit_is_a_bad_frame(bad: Answer) -> None:
    async with connected() as (host, line):
        host.script = [bad]
        try:
            assert await ask(line, 100) == [100, 101]
            assert bad(1, 1, read("holding", 100, 2).pdu) == good(1, 1, read("holding", 100, 2).pdu)
        except BadFrame:
            assert await ask(line, 200) == [200, 201]


async def test_a_stream_out_of_step_is_closed_and_not_guessed_at() -> None:
    async with connected() as (host, line):
        host.script = [lambda *_: b"HTTP/1.1 400 Bad Request\r\n\r\n"]
        with pytest.raises(BadFrame):
            await ask(line, 100)
        with pytest.raises(LinkDown):
            await ask(line, 100)


async def test_half_an_answer_ends_the_connection() -> None:
    async with connected() as (host, line):
        host.script = [lambda n, u, p: good(n, u, p)[:-2]]
        with pytest.raises(BadFrame):
            await ask(line, 100)
        with pytest.raises(LinkDown):
            await ask(line, 100)


async def test_an_answer_in_pieces_is_one_answer() -> None:
    async with connected() as (host, line):
        held: list[bytes] = []

        def halves(number: int, unit: int, pdu: bytes) -> bytes:
            held.append(good(number, unit, pdu))
            return held[0][:5]

        host.script = [halves]
        asking = asyncio.create_task(ask(line, 100))
        await asyncio.sleep(0.02)
        assert held
        # The second half comes with the transport's next write: nothing in between.
        line.data_received(held[0][5:])
        assert await asking == [100, 101]


async def test_a_host_that_closes_is_link_down_at_once() -> None:
    async with connected() as (host, line):
        host.script = [lambda *_: b"close"]
        with pytest.raises(LinkDown, match="closed"):
            await ask(line, 100)


async def test_there_is_never_more_than_one_connection() -> None:
    async with connected() as (host, line):
        for _ in range(5):
            assert await ask(line, 5) == [5, 6]
            await line.close()
            await line.open()
        assert host.most_open <= 2  # the host may hear of the end a moment after we begin anew
        async with asyncio.timeout(2):
            while host.now_open != 1:
                await asyncio.sleep(0.005)


async def test_an_address_that_does_not_answer_is_link_down_in_time() -> None:
    line = TcpLine("w", ModbusTcpWire(kind="modbus_tcp", host="127.0.0.1", port=free_port()), {})
    for _ in range(2):
        with pytest.raises(LinkDown, match=r"127\.0\.0\.1"):
            await line.open()
    await line.close()
