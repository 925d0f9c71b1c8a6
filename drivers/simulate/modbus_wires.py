"""The far ends of Modbus wires: a TCP server, and slaves on a pty."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from typing import Any, Final

from drivers.modbus.rtu import crc
from drivers.profiles import Table
from drivers.serial_port import SerialSettings
from drivers.settings import ModbusRtuWire, ModbusTcpWire
from drivers.simulate.far_end import GARBAGE, FarEnd, Fault, PtyEnd, SimulatedDevice, Stage
from drivers.simulate.modbus import SimulatedUnit, respond
from drivers.simulate.served import Peer, ServedEnd

_HEADER: Final = struct.Struct(">HHHB")
_SILENCE_CHARACTERS: Final = 3.5
_NO_UNIT: Final = 0x0B
_LONGEST_REQUEST: Final = 256


def make(wire: ModbusTcpWire | ModbusRtuWire, devices: Mapping[str, SimulatedDevice], stage: Stage) -> FarEnd:
    units = {d.settings.unit or 0: d for d in devices.values() if isinstance(d, SimulatedUnit)}
    if isinstance(wire, ModbusTcpWire):
        return TcpEnd(wire, units)
    return RtuEnd(wire, stage, units)


def _play(units: Mapping[int, SimulatedUnit], device: str, given: Mapping[Table, Mapping[int, list[int]]]) -> None:
    (unit,) = (unit for unit in units.values() if unit.name == device)
    for table, runs in given.items():
        for at, words in runs.items():
            unit.load(table, at, words)


class TcpEnd(ServedEnd):
    """A Modbus TCP server on the wire's host and port. Units it does not have are answered for as a TCP gateway
    does, with exception 11."""

    def __init__(self, wire: ModbusTcpWire, units: Mapping[int, SimulatedUnit]) -> None:
        super().__init__()
        self._wire = wire
        self._units = units

    @property
    def at(self) -> str:
        return f"{self._wire.host}:{self._wire.port}"

    async def serve(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _TcpPeer(self), self._wire.host, self._wire.port)

    def play(self, device: str, given: Any) -> None:
        _play(self._units, device, given)

    def request(self, transport: asyncio.Transport, number: int, unit: int, pdu: bytes) -> None:
        def send(answer: bytes) -> None:
            if not transport.is_closing():
                # TCP itself lets no flipped bit through; a broken gateway's are seen where they hit the header.
                header = _disturbed(_HEADER.pack(number, 0, len(answer) + 1, unit), self._units.get(unit), self.fault)
                transport.write(GARBAGE if answer == GARBAGE else header + answer)

        if unit in self._units:
            respond(self._units[unit], self.fault, pdu, send)
        else:
            send(bytes((pdu[0] | 0x80, _NO_UNIT)))


class _TcpPeer(Peer[TcpEnd]):
    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 8:
            number, _, length, unit = _HEADER.unpack_from(self.buffer)
            if len(self.buffer) < 6 + length:
                return
            pdu, self.buffer = self.buffer[7 : 6 + length], self.buffer[6 + length :]
            self.end.request(self.transport, number, unit, pdu)


class RtuEnd(PtyEnd):
    """The units of one serial line. Units that are not there say nothing. `paced`: an answer comes when a real one
    would be through: after the request's characters, the silence that ends it, and its own."""

    def __init__(self, wire: ModbusRtuWire, stage: Stage, units: Mapping[int, SimulatedUnit]) -> None:
        super().__init__(stage.base / wire.port)
        self._units = units
        self._buffer = b""
        self._character_s = SerialSettings(self._path, wire.baud, wire.parity, wire.stop_bits).character_s
        self.paced = stage.paced

    def play(self, device: str, given: Any) -> None:
        _play(self._units, device, given)

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
            frame = GARBAGE if answer == GARBAGE else _disturbed(frame + crc(frame), self._units[unit], self.fault)
            if self.paced:
                characters = len(pdu) + 3 + _SILENCE_CHARACTERS + len(frame)
                asyncio.get_running_loop().call_later(characters * self._character_s, self.send, frame)
            else:
                self.send(frame)

        if unit in self._units:
            respond(self._units[unit], self.fault, pdu, send)


def _disturbed(data: bytes, unit: SimulatedUnit | None, wire: Fault) -> bytes:
    """These bytes as they arrive: with one bit flipped if the noise hits this answer."""
    flipped = unit.flipped_bit(max(unit.fault.noise, wire.noise)) if unit is not None else None
    if flipped is None:
        return data
    byte, bit = divmod(flipped % (8 * len(data)), 8)
    return data[:byte] + bytes((data[byte] ^ 1 << bit,)) + data[byte + 1 :]
