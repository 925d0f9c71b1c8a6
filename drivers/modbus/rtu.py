"""Modbus RTU: frames on a shared serial line that say neither which request they answer nor where they begin."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pymodbus.framer.rtu import FramerRTU

from drivers.modbus.line import Line
from drivers.modbus.messages import Request, check, read
from drivers.serial_port import SerialPort, SerialSettings
from drivers.settings import ModbusRtuWire
from gateway.model.errors import BadFrame, DeviceRefused, LinkDown, NoAnswer

_QUIET_AFTER_FAULT_S: Final = 0.02
_SHORTEST_QUIET_S: Final = 0.00175
"""From 19200 baud on the 3.5 characters of silence are a fixed time (Modbus over serial line V1.02, 2.5.1.1)."""
_LEAST_DEBT_S: Final = 0.05
_FORGIVEN_S: Final = 30.0
_MOST_STRAY: Final = 512


def crc(frame: bytes) -> bytes:
    """The two bytes behind a frame."""
    return FramerRTU.compute_CRC(frame).to_bytes(2, "big")


@dataclass(slots=True)
class Debt:
    """Answers a unit may still give to requests that were given up.

    until: before this no request goes to the unit. shapes: (function, byte count) of the possible answers,
    and until when each may come.
    """

    until: float = 0.0
    shapes: dict[tuple[int, int], float] = field(default_factory=dict)


class RtuLine(Line):
    """Takes a frame for an answer only if unit, function, length and checksum are those of the request.

    A late answer of the same shape would still pass, so a unit that gave none is first left alone for as long
    as its timeout, then asked for a number of registers that none of its late answers can have. Units answer in
    order: when that answer comes, no older one can follow.
    """

    def __init__(self, name: str, wire: ModbusRtuWire, path: Path, rests: Mapping[int, float]) -> None:
        super().__init__(name, rests)
        settings = SerialSettings(path, wire.baud, wire.parity, wire.stop_bits)
        self._port = SerialPort(settings, name, self._receive, self._lose)
        self._echo = wire.echo
        self._character_s = settings.character_s
        self._quiet_s = max(3.5 * settings.character_s, _SHORTEST_QUIET_S, wire.pause_s)
        self._timeout_s = wire.timeout_s
        self._quiet_until = 0.0
        self._buffer = bytearray()
        self._sent = b""
        self._giving_up: asyncio.TimerHandle | None = None
        self._debts: dict[int, Debt] = {}

    async def open(self) -> None:
        await self._port.open()
        self._lost = None
        self._quiet_until = asyncio.get_running_loop().time() + _QUIET_AFTER_FAULT_S

    async def close(self) -> None:
        self._lose(LinkDown("not open", where=self.where))
        self._port.close()

    def ready_in_s(self, unit: int) -> float:
        debt = self._debts.get(unit)
        return max(0.0, debt.until - asyncio.get_running_loop().time()) if debt else 0.0

    async def exchange(self, unit: int, request: Request, wait_s: float) -> bytes:
        if unit in self._debts:
            await self._settle(unit, request, wait_s)
        return await self._once(unit, request, wait_s)

    async def _settle(self, unit: int, request: Request, wait_s: float) -> None:
        """Proves that no late answer of this unit is left, by an answer that can only be a new one."""
        await asyncio.sleep(self.ready_in_s(unit))
        debt = self._debts[unit]
        now = asyncio.get_running_loop().time()
        debt.shapes = {shape: end for shape, end in debt.shapes.items() if end > now}
        with contextlib.suppress(DeviceRefused):  # a refusal is an answer
            await self._once(unit, _probe(request, debt), wait_s)
        del self._debts[unit]

    async def _once(self, unit: int, request: Request, wait_s: float) -> bytes:
        self.check()
        await self._silence()
        self.check()
        frame = bytes((unit,)) + request.pdu
        self._buffer.clear()
        self._sent = frame + crc(frame)
        self._port.write(self._sent)
        on_the_line_s = (len(self._sent) * (1 + self._echo) + request.length + 3) * self._character_s
        loop = asyncio.get_running_loop()
        quiet_s = max(self._quiet_s, self._rests.get(unit, 0.0))
        try:
            return (await self._answer(unit, request, wait_s + on_the_line_s))[1:]
        except (NoAnswer, BadFrame):
            quiet_s = max(quiet_s, _QUIET_AFTER_FAULT_S)
            self._owe(unit, request, loop.time())
            raise
        except asyncio.CancelledError:
            quiet_s = max(quiet_s, _QUIET_AFTER_FAULT_S)
            raise
        finally:
            if self._giving_up is not None:
                self._giving_up.cancel()
                self._giving_up = None
            self._quiet_until = loop.time() + quiet_s

    async def _ended(self) -> bool:
        """A cancelled request that ended without its answer is owed like any other."""
        unit, request = self._unit, self._request
        answered = await super()._ended()
        if request is not None and not answered:
            self._owe(unit, request, asyncio.get_running_loop().time())
        return answered

    def _owe(self, unit: int, request: Request, now: float) -> None:
        debt = self._debts.setdefault(unit, Debt())
        debt.until = now + max(self._timeout_s, _LEAST_DEBT_S)
        debt.shapes[_shape(request)] = now + _FORGIVEN_S

    async def _silence(self) -> None:
        """Waits until the line has been silent for its quiet time; a late answer runs out meanwhile."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + 2 * self._timeout_s + 1
        while (left_s := self._quiet_until - loop.time()) > 0:
            if loop.time() > give_up:
                raise BadFrame(
                    "the line is never silent",
                    where=self.where,
                    hint="look for a second master, swapped wires A and B, or missing bias resistors",
                )
            await asyncio.sleep(left_s)

    def _receive(self, data: bytes) -> None:
        request = self._request
        if request is None:
            self._stray(data)
            return
        self._buffer += data
        received = bytes(self._buffer)
        if self._echo:
            if len(received) < len(self._sent):
                return
            received = received.removeprefix(self._sent)
        pdu = find(received, self._unit, request)
        if pdu is None:
            self._wait_for_more(received, request)
        elif (error := check(request, pdu, f"{self.where} unit {self._unit}")) is None:
            self._succeed(pdu)
        else:
            self._fail(error)

    def _wait_for_more(self, received: bytes, request: Request) -> None:
        """A whole answer's worth of bytes without an answer in it, then silence: it will not come any more."""
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        if len(received) >= request.length + 3:
            loop = asyncio.get_running_loop()
            self._giving_up = loop.call_later(max(self._quiet_s, _QUIET_AFTER_FAULT_S), self._expire)

    def _expire(self) -> None:
        if self._request is not None and self._buffer:
            self._fail(
                BadFrame(
                    f"{len(self._buffer)} bytes came that are no valid answer",
                    where=f"{self.where} unit {self._unit}",
                    hint="check baud, parity, termination, and that no two devices have the same unit number",
                )
            )
        else:
            super()._expire()

    def _stray(self, data: bytes) -> None:
        """Bytes nobody asked for: too late, or noise. They are only listened to, never used."""
        self._quiet_until = asyncio.get_running_loop().time() + max(self._quiet_s, _QUIET_AFTER_FAULT_S)
        self._buffer += data
        del self._buffer[:-_MOST_STRAY]
        frame = bytes(self._buffer)
        if len(frame) >= 5 and frame[0] in self._debts and crc(frame[:-2]) == frame[-2:]:
            self._heard_late.add(frame[0])
            self._buffer.clear()


def find(received: bytes, unit: int, request: Request) -> bytes | None:
    """The first frame in `received` that answers `request`, as function code and body; noise around it is
    skipped. An exception answer counts. None if there is none."""
    for begin, length in (
        (bytes((unit,)) + request.expect, request.length),
        (bytes((unit, request.pdu[0] | 0x80)), 2),
    ):
        at = received.find(begin)
        while at >= 0:
            end = at + 1 + length
            if len(received) >= end + 2 and crc(received[at:end]) == received[end : end + 2]:
                return received[at + 1 : end]
            at = received.find(begin, at + 1)
    return None


def _shape(request: Request) -> tuple[int, int]:
    return request.expect[0], request.expect[1]


def _probe(request: Request, debt: Debt) -> Request:
    """A read near `request` whose answer has a length that no answer still owed has."""
    bits = request.table in {"coil", "discrete"}
    step = 8 if bits else 1
    for number in range(125):
        probe = read(request.table, request.start, 1 + number * step)
        if _shape(probe) not in debt.shapes and _shape(probe) != _shape(request):
            return probe
    return request
