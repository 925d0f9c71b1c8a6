"""A web server whose every byte the test decides, and drivers that ask it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import drivers
from drivers import FieldDriver
from drivers.profiles import AnyProfile
from drivers.settings import DeviceSettings, HttpPollWire
from gateway.model.clock import SystemClock
from gateway.model.measure import Reason
from tests.drivers.kinds.http_poll import http_profile
from tests.drivers.kit import point, secret

ONE = http_profile({"now": "/now"}, {"t": point(source="now", pointer="/t")})
"""A device with one point and no address."""

KEY = "key"
"""Name of a secret; what it hides is "secret of key"."""

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Whatever answers as the test says. heads: what was asked."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.heads: list[str] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                await self._answer(head, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if not writer.is_closing():
                writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    made = Server(answer)
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        task = asyncio.get_running_loop().create_task(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await asyncio.sleep(0.01)  # what was accepted in this moment
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:  # a task that was cancelled before it began closes nothing
            writer.transport.abort()
        await server.wait_closed()


def reply(body: bytes = b'{"t": 1.5}', status: int = 200, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def says(*answers: bytes) -> Answer:
    """These answers in turn, the last one again and again."""
    waiting = list(answers)

    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return answer


def driver_of(port: int, profile: AnyProfile = ONE, every_s: float = 0.05, **wire: Any) -> FieldDriver:
    made = HttpPollWire(kind="http_poll", **{"url": f"http://127.0.0.1:{port}", "timeout_s": 0.3, **wire})
    devices = {"it": (DeviceSettings(profile=profile.profile, wire="w", every_s=every_s), profile)}
    return drivers.build("w", made, devices, drivers.Surroundings(SystemClock(), Path(), secret))


async def asked(answer: Answer, **wire: Any) -> tuple[Any, tuple[Reason, ...], str]:
    """Value, reasons and error of one reading."""
    async with serving(answer) as server, driver_of(server.port, **wire) as driver:
        (row,) = await driver.read_once("it")
    return row.reading.value, row.reading.reasons, row.error
