"""Values to registers: for writes, and for the simulator."""

from __future__ import annotations

import math
import struct
from typing import Final

from drivers.modbus.codec import BIT_TABLES, CODES, decode, reorder
from drivers.profiles import ModbusPoint
from gateway.model.errors import DeviceRefused
from gateway.model.measure import Value

_FLOATS: Final = frozenset({"f32", "f64"})
_BCD: Final = frozenset({"bcd16", "bcd32"})


def encode(point: ModbusPoint, value: Value, where: str) -> list[int]:
    """The registers of a value, with zeros where other points have their bits; 0 or 1 for a coil.

    Raises DeviceRefused when it does not fit the point.
    """
    if point.type == "bool":
        if value not in {0, 1}:
            raise _unfit(point, value, where, "it is switched with true or false")
        if point.table in BIT_TABLES:
            return [int(value)]
        data = struct.pack(">H", int(value) << (point.bit or 0))
    elif point.type == "text":
        data = _text(point, value, where)
    elif point.type in _FLOATS:
        data = _float(point, value, where)
    else:
        data = _whole(point, value, where)
    return [int(word) for (word,) in struct.iter_unpack(">H", reorder(point.order, data))]


def _text(point: ModbusPoint, value: Value, where: str) -> bytes:
    size = 2 * point.words
    data = str(value).encode("latin-1", errors="replace").ljust(size, b"\0")
    if not isinstance(value, str) or len(data) > size:
        raise _unfit(point, value, where, f"it takes a text of {size} characters at most")
    if decode(point.model_copy(update={"order": "abcd"}), struct.unpack(f">{point.words}H", data)) != value:
        raise _unfit(point, value, where, "it takes Latin letters without blanks around them")
    return data


def _float(point: ModbusPoint, value: Value, where: str) -> bytes:
    try:
        return struct.pack(f">{CODES[point.type]}", _raw(point, value, where))
    except OverflowError as error:
        raise _unfit(point, value, where, "it takes a 32 bit float") from error


def _whole(point: ModbusPoint, value: Value, where: str) -> bytes:
    raw = round(_code_of(point, value, where) if point.values else _raw(point, value, where))
    low, high = _limits(point)
    if not low <= raw <= high:
        ends = sorted((low * point.scale + point.offset, high * point.scale + point.offset))
        raise _unfit(point, value, where, f"it takes {ends[0]:g} to {ends[1]:g} {point.unit}")
    if point.type in _BCD:
        raw = int(str(raw), 16)
    if point.bits is not None:
        raw <<= point.bits[0]
    return struct.pack(f">{CODES[point.type]}", raw)


def _limits(point: ModbusPoint) -> tuple[int, int]:
    """The smallest and largest number that the point's registers or bits can hold."""
    if point.bits is not None:
        return 0, (1 << point.bits[1] - point.bits[0] + 1) - 1
    if point.type in _BCD:
        return 0, 10 ** (4 * point.words) - 1
    bits = 16 * point.words
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if point.type.startswith("i") else (0, (1 << bits) - 1)


def _raw(point: ModbusPoint, value: Value, where: str) -> float:
    """The number in the registers. Whole numbers stay whole where nothing is scaled: floats hold only 53 bits."""
    if not isinstance(value, bool | str):
        try:
            raw = value if point.scale == 1 and point.offset == 0 else (value - point.offset) / point.scale
            if math.isfinite(raw):
                return raw
        except OverflowError as error:
            raise _unfit(point, value, where, "it takes a smaller number") from error
    raise _unfit(point, value, where, "it takes a number")


def _code_of(point: ModbusPoint, value: Value, where: str) -> float:
    """The code of a name; a number, also as text, is a code itself."""
    for code, name in point.values.items():
        if name == value:
            return code
    if not isinstance(value, str):
        return _raw(point, value, where)
    try:
        return int(value)
    except ValueError as error:
        raise _unfit(point, value, where, f"it knows {', '.join(point.values.values())}") from error


def _unfit(point: ModbusPoint, value: Value, where: str, hint: str) -> DeviceRefused:
    return DeviceRefused(f"{value!r} does not fit a {point.type} {point.table}", where=where, hint=hint)
