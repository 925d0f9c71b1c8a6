"""Modbus TCP: one connection, one request at a time, answers known by their transaction number."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Mapping
from typing import Final

from drivers.modbus.line import Line
from drivers.modbus.messages import Request, check
from drivers.settings import ModbusTcpWire
from gateway.model.errors import BadFrame, LinkDown

_HEADER: Final = struct.Struct(">HHHB")
_LONGEST: Final = 254
"""Unit number and the longest message (Modbus messaging on TCP/IP V1.0b, 4.1)."""
_DEAD_HOST_MS: Final = 5000
"""A host that does not even acknowledge our bytes for so long is gone; without this the kernel tries for minutes."""


class TcpLine(Line, asyncio.Protocol):
    """Late answers are recognised by their number and dropped. A stream that is out of step is closed: there is no
    way to find the next header for certain."""

    def __init__(self, name: str, wire: ModbusTcpWire, rests: Mapping[int, float]) -> None:
        super().__init__(name, rests)
        self._wire = wire
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Event = asyncio.Event()
        self._buffer = b""
        self._number = 0
        self._recent: dict[int, int] = {}
        self._rest_until = 0.0

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        wire = self._wire
        try:
            async with asyncio.timeout(max(wire.timeout_s, 1.0)):
                await loop.create_connection(lambda: self, wire.host, wire.port)
        except TimeoutError as error:
            raise self._unreachable("no reply to the connection") from error
        except OSError as error:
            raise self._unreachable(error.strerror or str(error)) from error
        await asyncio.sleep(wire.settle_s)

    def _unreachable(self, what: str) -> LinkDown:
        return LinkDown(
            f"{self._wire.host}:{self._wire.port}: {what}",
            where=self.where,
            hint="check the cable, the address, and that no other program holds the device's only connection",
        )

    async def close(self) -> None:
        self._lose(LinkDown("not connected", where=self.where))
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
            # Hosts with a single connection refuse the next one until this one is really gone.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._closed.wait()

    # The protocol's side, called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection makes
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_HOST_MS)
        self._transport, self._buffer, self._lost = transport, b"", None
        self._closed.clear()
        self._recent.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._closed.set()
        if self._lost is None:
            self._lose(self._unreachable(f"connection lost: {exc}" if exc else "the device closed the connection"))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        while len(buffer) >= 7:
            number, protocol, length, unit = _HEADER.unpack_from(buffer)
            if protocol != 0 or not 3 <= length <= _LONGEST:
                self._out_of_step()
                return
            end = 6 + length
            if len(buffer) < end:
                break
            self._message(number, unit, buffer[7:end])
            buffer = buffer[end:]
        self._buffer = buffer

    def _message(self, number: int, unit: int, pdu: bytes) -> None:
        request = self._request
        if request is None or number != self._number:
            if (late := self._recent.pop(number, None)) is not None:
                self._heard_late.add(late)
            return
        if unit != self._unit:
            where = f"{self.where} unit {self._unit}"
            self._fail(BadFrame(f"unit {unit} answered instead", where=where, hint="check the TCP gateway's set-up"))
        elif request.is_answered_by(pdu):
            self._succeed(pdu)
        elif (error := check(request, pdu, f"{self.where} unit {self._unit}")) is not None:
            self._fail(error)

    def _out_of_step(self) -> None:
        self._buffer = b""
        if self._request is not None:
            self._fail(
                BadFrame("bytes that are not Modbus TCP", where=self.where, hint="is this the device's Modbus port?")
            )
        self._lose(self._unreachable("the stream was out of step and was closed"))
        if self._transport is not None:
            self._transport.abort()

    def _expire(self) -> None:
        if len(self._recent) > 64:
            self._recent.clear()
        self._recent[self._number] = self._unit
        if self._buffer:
            self._out_of_step()
        else:
            super()._expire()

    # The driver's side.

    async def exchange(self, unit: int, request: Request, wait_s: float) -> bytes:
        loop = asyncio.get_running_loop()
        if (rest_s := self._rest_until - loop.time()) > 0:
            await asyncio.sleep(rest_s)
        transport = self._transport
        if self._lost is not None or transport is None:
            raise self._lost or LinkDown("not connected", where=self.where)
        self._number = self._number % 0xFFFF + 1
        pdu = request.pdu
        transport.write(_HEADER.pack(self._number, 0, len(pdu) + 1, unit) + pdu)
        try:
            return (await self._answer(unit, request, wait_s))[1:]
        finally:
            rest_s = max(self._wire.pause_s, self._rests.get(unit, 0.0))
            self._rest_until = loop.time() + rest_s if rest_s else 0.0
