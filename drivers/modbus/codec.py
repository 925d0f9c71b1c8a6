"""Registers to values and back. Decoders are made once a block of registers; decoding is one struct call."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from drivers.profiles import ModbusPoint, Order
from gateway.model.errors import DeviceRefused
from gateway.model.measure import Reading, Reason, Value

_CODES: Final[Mapping[str, str]] = {
    "bool": "H",
    "u16": "H",
    "i16": "h",
    "u32": "I",
    "i32": "i",
    "f32": "f",
    "u64": "Q",
    "i64": "q",
}
_LIMITS: Final[Mapping[str, tuple[int, int]]] = {
    f"{sign}{bits}": (0, 2**bits - 1) if sign == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in "ui"
    for bits in (16, 32, 64)
}
_F32_DIGITS: Final = 7

Convert = Callable[[Any], Value | None]


class RegisterDecoder:
    """Decodes the register bytes of one answer. The points are sorted by address and do not overlap, except that
    several bits may share one register."""

    def __init__(self, points: Sequence[tuple[str, ModbusPoint]], start: int) -> None:
        layout, cursor, index = [">"], start, -1
        self._outputs: list[tuple[str, int, Convert | None]] = []
        for signal, point in points:
            if point.at >= cursor:
                layout.append(f"{2 * (point.at - cursor)}x{_code(point)}")
                cursor = point.at + point.words
                index += 1
            self._outputs.append((signal, index, converter(point)))
        self._layout = struct.Struct("".join(layout))

    def readings(self, body: bytes, at_ms: int) -> list[Reading]:
        """`body` begins with its byte count, as in the answer."""
        raws = self._layout.unpack_from(body, 1)
        readings = []
        for signal, index, convert in self._outputs:
            value = raws[index] if convert is None else convert(raws[index])
            if value is None:
                readings.append(Reading.missing(signal, at_ms, Reason.DEVICE_FAULT))
            else:
                readings.append(Reading(signal, at_ms, value))
        return readings


class BitDecoder:
    """Decodes the bits of one answer: the first address is the lowest bit of the first byte."""

    def __init__(self, points: Sequence[tuple[str, ModbusPoint]], start: int) -> None:
        self._outputs = [(signal, 1 + (point.at - start) // 8, (point.at - start) % 8) for signal, point in points]

    def readings(self, body: bytes, at_ms: int) -> list[Reading]:
        return [Reading(signal, at_ms, bool(body[index] >> bit & 1)) for signal, index, bit in self._outputs]


def converter(point: ModbusPoint) -> Convert | None:
    """From what struct gives to the value in the point's unit; None where that is the same. The converter gives
    None for a value that is marked as not available, and for a float that is not a number."""
    if point.type == "bool":
        bit = point.bit
        return bool if bit is None else lambda raw: bool(raw >> bit & 1)
    steps = [step for step in (_reorder(point), _available(point), _scale(point)) if step is not None]
    if not steps:
        return None
    if len(steps) == 1:
        return steps[0]

    def all_steps(raw: Any) -> Value | None:
        for step in steps:
            raw = step(raw)
            if raw is None:
                return None
        return cast("Value", raw)

    return all_steps


def encode(point: ModbusPoint, value: Value, where: str) -> list[int]:
    """The registers of a value; for a bit, 0 or 1. Raises DeviceRefused when it does not fit the point."""
    if point.type == "bool":
        if value not in {0, 1}:
            raise _unfit(point, value, where, "it is switched with true or false")
        return [int(value)]
    if isinstance(value, bool | str) or not math.isfinite(value):
        raise _unfit(point, value, where, "it takes a number")
    raw = (value - point.offset) / point.scale
    if point.type == "f32":
        return _words(point.order, _pack_f32(point, raw, where))
    low, high = _LIMITS[point.type]
    whole = round(raw)
    if not low <= whole <= high:
        ends = sorted((low * point.scale + point.offset, high * point.scale + point.offset))
        raise _unfit(point, value, where, f"it takes {ends[0]:g} to {ends[1]:g} {point.unit}")
    return _words(point.order, struct.pack(f">{_CODES[point.type]}", whole))


def _pack_f32(point: ModbusPoint, raw: float, where: str) -> bytes:
    try:
        return struct.pack(">f", raw)
    except OverflowError as error:
        raise _unfit(point, raw, where, "it takes a 32 bit float") from error


def _unfit(point: ModbusPoint, value: Value, where: str, hint: str) -> DeviceRefused:
    return DeviceRefused(f"{value!r} does not fit a {point.type} {point.table}", where=where, hint=hint)


def _code(point: ModbusPoint) -> str:
    """Values in another order than the wire's come as plain bytes and are turned round first."""
    return _CODES[point.type] if point.order == "abcd" or point.type == "bool" else f"{2 * point.words}s"


def reorder(order: Order, data: bytes) -> bytes:
    """Between wire order and big-endian; its own inverse."""
    if order in {"dcba", "cdab"}:
        data = data[::-1]
    if order in {"badc", "cdab"}:
        data = b"".join(data[at + 1 : at + 2] + data[at : at + 1] for at in range(0, len(data), 2))
    return data


def _words(order: Order, data: bytes) -> list[int]:
    return [int(word) for (word,) in struct.iter_unpack(">H", reorder(order, data))]


def _reorder(point: ModbusPoint) -> Convert | None:
    if point.order == "abcd":
        return None
    order, unpack = point.order, struct.Struct(f">{_CODES[point.type]}").unpack
    return lambda data: unpack(reorder(order, data))[0]


def _available(point: ModbusPoint) -> Convert | None:
    marks = frozenset(point.not_available)
    if point.type == "f32":
        return lambda raw: raw if math.isfinite(raw) and raw not in marks else None
    return (lambda raw: None if raw in marks else raw) if marks else None


def _scale(point: ModbusPoint) -> Convert | None:
    """Divides where the scale is one over a whole number: 3 / 10 is 0.3, 3 * 0.1 is not."""
    scale, offset = point.scale, point.offset
    if point.type == "f32":
        # More digits than a 32 bit float has would only be noise: 230.39999389648438.
        return lambda raw: float(f"{raw * scale + offset:.{_F32_DIGITS}g}")
    if scale == 1 and offset == 0:
        return None
    if scale.is_integer() and offset.is_integer():
        factor, whole = int(scale), int(offset)
        return lambda raw: raw * factor + whole
    per, shift = round(1 / scale), round(offset / scale)
    if per and math.isclose(per * scale, 1, rel_tol=1e-12) and math.isclose(shift * scale, offset, abs_tol=1e-12):
        return lambda raw: (raw + shift) / per
    return lambda raw: raw * scale + offset
