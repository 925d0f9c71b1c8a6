"""A simulated Modbus device: requests in, answers out, registers made from the profile's points."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from drivers.modbus.codec import decode
from drivers.modbus.encode import encode
from drivers.profiles import ModbusPoint, ModbusProfile, Table
from drivers.settings import DeviceSettings
from drivers.simulate.far_end import GARBAGE, Fault, SimulatedDevice, Stage
from gateway.model.errors import DeviceRefused

_PAIR: Final = struct.Struct(">HH")
_READS: Final[Mapping[int, Table]] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_WRITES_OF_MANY: Final = frozenset({15, 16})
_WRITES: Final = _WRITES_OF_MANY | {5, 6}
_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3


class SimulatedUnit(SimulatedDevice):
    """One unit: `answer` is what it says to a request. `writes`: what it took. Addresses are those of its map.

    It stands no more than its profile's limits say: longer requests and, without `write_one`, writes of a single
    value are refused."""

    def __init__(self, name: str, settings: DeviceSettings, profile: ModbusProfile, stage: Stage) -> None:
        super().__init__(name, settings, profile, stage)
        self.writes: list[tuple[Table, int, list[int]]] = []
        self._first = profile.first_address
        self._limits = profile.limits
        self._points = profile.points
        self._seed = stage.seed
        self._fixed: dict[tuple[Table, int], int] = {}
        self._said: dict[str, list[int]] = {}
        self._ends = {t: _extent(profile.points, t) for t in _READS.values()}
        for sign in profile.fingerprint:
            self.load(sign.table, sign.at, sign.equals)

    def load(self, table: Table, at: int, words: Sequence[int]) -> None:
        """From now on these addresses say exactly this, whatever the profile says."""
        self._fixed.update({(table, at + n): word for n, word in enumerate(words)})
        low, high = self._ends[table]
        self._ends[table] = (min(low, at), max(high, at + len(words)))

    def answer(self, pdu: bytes) -> bytes:
        """The answer to a request, both without unit number and checksum."""
        self.requests += 1
        function = pdu[0]
        if self.fault.refuse:
            return bytes((function | 0x80, self.fault.refuse))
        if function in _READS and len(pdu) == 5:
            start, count = _PAIR.unpack_from(pdu, 1)
            return self._read(function, start + self._first, count)
        if function in (_WRITES if self._limits.write_one else _WRITES_OF_MANY) and len(pdu) >= 5:
            return self._write(function, pdu)
        return bytes((function | 0x80, _ILLEGAL_FUNCTION))

    def flipped_bit(self, share: float) -> int | None:
        """Which bit of its answer the noise on the wire turns over, to be taken modulo the bits that there are; None
        for this time none. Always the same for the same seed and number of requests."""
        dice = zlib.crc32(f"{self._seed}/{self.name}/{self.requests}".encode())
        return zlib.crc32(dice.to_bytes(4)) if dice < share * 2**32 else None

    def _read(self, function: int, start: int, count: int) -> bytes:
        table = _READS[function]
        if not 1 <= count <= (self._limits.max_bits if function < 3 else self._limits.max_registers):
            return bytes((function | 0x80, _ILLEGAL_VALUE))
        low, high = self._ends[table]
        if start < low or start + count > high:
            return bytes((function | 0x80, _ILLEGAL_ADDRESS))
        words = self._words(table, start, count)
        if function >= 3:
            return bytes((function, 2 * count)) + struct.pack(f">{count}H", *words)
        bits = sum(word << n for n, word in enumerate(words))
        return bytes((function, (count + 7) // 8)) + bits.to_bytes((count + 7) // 8, "little")

    def _words(self, table: Table, start: int, count: int) -> list[int]:
        words = [0] * count
        for name, point in self._points.items():
            if point.table != table or point.at >= start + count or point.at + point.words <= start:
                continue
            for n, word in enumerate(self._encoded(name, point)):
                if 0 <= point.at + n - start < count:
                    words[point.at + n - start] |= word
        for n in range(count):
            words[n] = self._fixed.get((table, start + n), words[n])
        return words

    def _encoded(self, name: str, point: ModbusPoint) -> list[int]:
        """What registers cannot say, a device does not say: it stays at what it said last."""
        with contextlib.suppress(DeviceRefused):
            self._said[name] = encode(point, self.world.value(name), name)
        return self._said.get(name, [0] * point.words)

    def _write(self, function: int, pdu: bytes) -> bytes:
        at, second = _PAIR.unpack_from(pdu, 1)
        at += self._first
        table: Table = "coil" if function in {5, 15} else "holding"
        if function == 5:
            words = [int(second == 0xFF00)]
        elif function == 6:
            words = [second]
        elif len(pdu) != 6 + ((second + 7) // 8 if function == 15 else 2 * second) or not second:
            return bytes((function | 0x80, _ILLEGAL_VALUE))
        elif function == 15:
            words = [pdu[6 + n // 8] >> n % 8 & 1 for n in range(second)]
        else:
            words = list(struct.unpack(f">{second}H", pdu[6:]))
        low, high = self._ends[table]
        if at < low or at + len(words) > high:
            return bytes((function | 0x80, _ILLEGAL_ADDRESS))
        self.writes.append((table, at, words))
        for name, point in self._points.items():
            if point.table == table and at <= point.at and point.at + point.words <= at + len(words):
                self._take(name, point, words[point.at - at : point.at - at + point.words])
        return pdu[:5]

    def _take(self, name: str, point: ModbusPoint, words: Sequence[int]) -> None:
        for n in range(point.words):
            self._fixed.pop((point.table, point.at + n), None)
        value = decode(point, words)
        if value is not None:
            self.world.write(name, value)


def _extent(points: Mapping[str, ModbusPoint], table: Table) -> tuple[int, int]:
    """First address of a table and the one behind its last; holes between are answered with zeros."""
    chosen = [point for point in points.values() if point.table == table]
    if not chosen:
        return 0x10000, 0
    return min(point.at for point in chosen), max(point.at + point.words for point in chosen)


def respond(unit: SimulatedUnit, wire: Fault, pdu: bytes, send: Callable[[bytes], None]) -> None:
    """Answers a request as the faults of unit and wire let it; `send` takes the answer or garbage."""
    if unit.fault.silent or wire.silent:
        unit.requests += 1
        return
    answer = unit.answer(pdu)
    if unit.fault.garbage or wire.garbage:
        answer = GARBAGE
    delay_s = unit.fault.delay_s + wire.delay_s
    if delay_s > 0:
        asyncio.get_running_loop().call_later(delay_s, send, answer)
    else:
        send(answer)
