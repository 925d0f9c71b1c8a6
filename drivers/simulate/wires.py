"""The far ends of the wires: a TCP server, a slave on a pty, an instrument on a pty."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import tty
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from drivers.modbus.rtu import crc
from drivers.profiles import LinesProfile
from drivers.serial_lines.parse import nmea_checksum
from drivers.settings import ModbusTcpWire
from drivers.simulate.modbus import Fault, SimulatedUnit, respond
from drivers.simulate.values import World
from gateway.model.clock import Clock
from gateway.model.errors import LinkDown

_HEADER: Final = struct.Struct(">HHHB")
_GARBAGE: Final = b"\xa5" * 40
_NO_UNIT: Final = 0x0B
_LONGEST_REQUEST: Final = 256


class FarEnd(ABC):
    """One wire's other end. `fault` counts for all its devices."""

    def __init__(self) -> None:
        self.fault = Fault()

    @abstractmethod
    async def plug(self) -> None:
        """Brings the far end up. Raises LinkDown when the port cannot be had."""

    @abstractmethod
    async def unplug(self) -> None:
        """Pulls the plug: connections break, ports vanish."""


class TcpEnd(FarEnd):
    """A Modbus TCP server on the wire's host and port. Units it does not have are answered for as a TCP gateway
    does, with exception 11."""

    def __init__(self, wire: ModbusTcpWire, units: Mapping[int, SimulatedUnit]) -> None:
        super().__init__()
        self._wire = wire
        self._units = units
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Transport] = set()
        self.connections = 0

    async def plug(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _TcpPeer(self), self._wire.host, self._wire.port)
        except OSError as error:
            raise LinkDown(
                f"{self._wire.host}:{self._wire.port} cannot be served: {error.strerror or error}",
                where="simulate",
                hint="for a rehearsal use 127.0.0.1 and a port above 1023 that is free",
            ) from error

    async def unplug(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for transport in tuple(self._open):
            transport.abort()
        if server is not None:
            await server.wait_closed()

    def opened(self, transport: asyncio.Transport) -> None:
        self._open.add(transport)
        self.connections += 1

    def closed(self, transport: asyncio.Transport) -> None:
        self._open.discard(transport)

    def request(self, transport: asyncio.Transport, number: int, unit: int, pdu: bytes) -> None:
        def send(answer: bytes) -> None:
            if not transport.is_closing():
                framed = _HEADER.pack(number, 0, len(answer) + 1, unit) + answer
                transport.write(_GARBAGE if answer == _GARBAGE else framed)

        if unit in self._units:
            respond(self._units[unit], self.fault, pdu, send)
        else:
            send(bytes((pdu[0] | 0x80, _NO_UNIT)))


class _TcpPeer(asyncio.Protocol):
    def __init__(self, end: TcpEnd) -> None:
        self._end = end
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server makes
        self._transport = transport
        self._end.opened(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._end.closed(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 8:
            number, _, length, unit = _HEADER.unpack_from(self._buffer)
            if len(self._buffer) < 6 + length:
                return
            pdu, self._buffer = self._buffer[7 : 6 + length], self._buffer[6 + length :]
            self._end.request(self._transport, number, unit, pdu)


class PtyEnd(FarEnd):
    """A pty whose other side stands at the wire's port path, as a symbolic link."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._fds: tuple[int, ...] = ()

    async def plug(self) -> None:
        near, far = os.openpty()
        tty.setraw(far)
        os.set_blocking(near, False)
        # The far side stays open here too: without any user the near side would read an error.
        self._fds = (near, far)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_symlink():
                self._path.unlink()
            self._path.symlink_to(os.ttyname(far))
        except OSError as error:
            await self.unplug()
            raise LinkDown(
                f"{self._path} cannot be made: {error.strerror}",
                where="simulate",
                hint="for a rehearsal let `port` name a path that does not exist yet, such as ./run/tty-field",
            ) from error
        asyncio.get_running_loop().add_reader(near, self._readable)

    async def unplug(self) -> None:
        fds, self._fds = self._fds, ()
        if fds:
            asyncio.get_running_loop().remove_reader(fds[0])
            if self._path.is_symlink():
                self._path.unlink()
        for fd in fds:
            os.close(fd)

    def send(self, data: bytes) -> None:
        """What nobody reads is lost, as on a line."""
        if self._fds:
            with contextlib.suppress(BlockingIOError):
                os.write(self._fds[0], data)

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.received(os.read(self._fds[0], 4096))

    def received(self, data: bytes) -> None:
        """What the gateway sent."""


class RtuEnd(PtyEnd):
    """The units of one serial line. Units that are not there say nothing."""

    def __init__(self, path: Path, units: Mapping[int, SimulatedUnit]) -> None:
        super().__init__(path)
        self._units = units
        self._buffer = b""

    def received(self, data: bytes) -> None:
        self._buffer = (self._buffer + data)[-_LONGEST_REQUEST:]
        while len(self._buffer) >= 8:
            size = 9 + self._buffer[6] if self._buffer[1] in {15, 16} else 8
            frame, rest = self._buffer[:size], self._buffer[size:]
            if len(frame) < size:
                return
            if crc(frame[:-2]) != frame[-2:]:
                self._buffer = self._buffer[1:]
                continue
            self._buffer = rest
            self._request(frame[0], frame[1:-2])

    def _request(self, unit: int, pdu: bytes) -> None:
        def send(answer: bytes) -> None:
            frame = bytes((unit,)) + answer
            self.send(_GARBAGE if answer == _GARBAGE else frame + crc(frame))

        if unit in self._units:
            respond(self._units[unit], self.fault, pdu, send)


class LinesEnd(PtyEnd):
    """An instrument that sends each of its profile's lines once a period."""

    def __init__(self, path: Path, name: str, profile: LinesProfile, every_s: float, clock: Clock, seed: int) -> None:
        super().__init__(path)
        self.world = World(name, profile.points, clock, seed)
        self.sent = 0
        self._profile = profile
        self._every_s = every_s
        self._next: asyncio.TimerHandle | None = None

    async def plug(self) -> None:
        await super().plug()
        self._next = asyncio.get_running_loop().call_later(0, self._speak)

    async def unplug(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        await super().unplug()

    def _speak(self) -> None:
        self._next = asyncio.get_running_loop().call_later(self._every_s, self._speak)
        if self.fault.silent:
            return
        for line in self._profile.lines:
            self.say(_GARBAGE if self.fault.garbage else self.line(line))

    def say(self, line: bytes) -> None:
        self.sent += 1
        self.send(line + b"\r\n")

    def line(self, name: str) -> bytes:
        """One line as the instrument would send it now."""
        shape = self._profile.lines[name]
        fields = ["0"] * shape.fields
        for key, point in self._profile.points.items():
            if point.line == name:
                value = self.world.value(key)
                if isinstance(value, str) or point.type == "text":
                    fields[point.field] = str(value)
                else:
                    fields[point.field] = f"{(value - point.offset) / point.scale:.6g}"
        text = shape.prefix + shape.separator.join(fields)
        return (f"{text}*{nmea_checksum(text)}" if shape.checksum == "nmea" else text).encode("ascii", errors="replace")
