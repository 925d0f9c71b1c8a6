"""Registers to values. Decoders are made once a block of registers; decoding is one struct call."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from drivers.profiles import ModbusPoint, Order
from gateway.model.errors import BadFrame
from gateway.model.measure import Reading, Reason, Value

CODES: Final[Mapping[str, str]] = {
    "bool": "H",
    "u16": "H",
    "i16": "h",
    "bcd16": "H",
    "u32": "I",
    "i32": "i",
    "f32": "f",
    "bcd32": "I",
    "u64": "Q",
    "i64": "q",
    "f64": "d",
}
"""Type of a point -> struct's letter for it."""
BIT_TABLES: Final = frozenset({"coil", "discrete"})
_DIGITS: Final[Mapping[str, int]] = {"f32": 7, "f64": 15}
_PADDING: Final = "\0 \t\r\n"
_ERASED: Final = "\xff"

Convert = Callable[[Any], Value | None]


class RegisterDecoder:
    """Decodes the register bytes of one answer. The points are sorted by address.

    Points that see the same registers as the same thing (bits of one status word) share one value of struct's;
    points that overlap otherwise are unpacked in one more layer.
    """

    def __init__(self, points: Sequence[tuple[str, ModbusPoint]], start: int) -> None:
        layers: list[_Layer] = []
        places = [_place(layers, point, start) for _, point in points]
        first_of = [sum(layer.fields for layer in layers[:n]) for n in range(len(layers))]
        self._first, *self._others = [struct.Struct(layer.format) for layer in layers]
        self._outputs = [
            (signal, first_of[layer] + field, converter(point))
            for (signal, point), (layer, field) in zip(points, places, strict=True)
        ]

    def readings(self, body: bytes, at_ms: int) -> list[Reading]:
        """`body` begins with its byte count, as in the answer. Raises BadFrame when it is too short."""
        try:
            raws = self._first.unpack_from(body, 1)
            for other in self._others:
                raws += other.unpack_from(body, 1)
        except struct.error as error:
            raise BadFrame(f"an answer of {len(body)} bytes is too short", hint="check unit numbers") from error
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
        """As RegisterDecoder's."""
        try:
            return [Reading(signal, at_ms, bool(body[index] >> bit & 1)) for signal, index, bit in self._outputs]
        except IndexError as error:
            raise BadFrame(f"an answer of {len(body)} bytes is too short", hint="check unit numbers") from error


def decode(point: ModbusPoint, words: Sequence[int]) -> Value | None:
    """The value of one point from its own registers, or its bit; None for no reading."""
    if point.table in BIT_TABLES:
        return bool(words[0])
    body = struct.pack(f">x{len(words)}H", *words)
    return RegisterDecoder([("", point)], point.at).readings(body, 0)[0].value


class _Layer:
    """Values that stand one after the other and do not overlap, as one struct format."""

    def __init__(self) -> None:
        self.format = ">"
        self.fields = 0
        self.end = 0  # words from the block's start
        self.last: tuple[int, str] | None = None

    def add(self, at: int, code: str, words: int) -> None:
        self.format += f"{2 * (at - self.end)}x{code}"
        self.fields += 1
        self.end = at + words
        self.last = at, code


def _place(layers: list[_Layer], point: ModbusPoint, start: int) -> tuple[int, int]:
    """Where the point's raw value will be found: number of the layer, number in it. Makes room for it."""
    at, code = point.at - start, _code(point)
    for number, layer in enumerate(layers):
        if layer.last == (at, code):
            return number, layer.fields - 1
    for number, layer in enumerate(layers):
        if at >= layer.end:
            layer.add(at, code, point.words)
            return number, layer.fields - 1
    layers.append(_Layer())
    layers[-1].add(at, code, point.words)
    return len(layers) - 1, 0


def _code(point: ModbusPoint) -> str:
    """Texts, and values in another order than the wire's, come as plain bytes."""
    plain = point.order == "abcd" and point.type != "text"
    return CODES[point.type] if plain else f"{2 * point.words}s"


def reorder(order: Order, data: bytes) -> bytes:
    """Between wire order and big-endian; its own inverse."""
    if order in {"dcba", "cdab"}:
        data = data[::-1]
    if order in {"badc", "cdab"}:
        data = b"".join(data[at + 1 : at + 2] + data[at : at + 1] for at in range(0, len(data), 2))
    return data


def converter(point: ModbusPoint) -> Convert | None:
    """From what struct gives to the value in the point's unit; None where that is the same. The converter gives
    None for what is no value: marked as not available, not a number, not a decimal digit, not a letter."""
    if point.type == "text":
        return _text(point.order)
    makers = (_turn, _bits, _available, _decimal, _named if point.values else _scale)
    steps = [step for step in (make(point) for make in makers) if step is not None]
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


def _text(order: Order) -> Convert:
    """Up to the first NUL, without what pads it. Erased memory and control characters are no text."""

    def convert(data: bytes) -> str | None:
        raw = reorder(order, data).decode("latin-1")
        text = raw.lstrip(_PADDING).partition("\0")[0].rstrip(_PADDING + _ERASED)
        return text if text.isprintable() and raw.strip(_ERASED) else None

    return convert


def _turn(point: ModbusPoint) -> Convert | None:
    if point.order == "abcd":
        return None
    order, unpack = point.order, struct.Struct(f">{CODES[point.type]}").unpack
    return lambda data: unpack(reorder(order, data))[0]


def _bits(point: ModbusPoint) -> Convert | None:
    if point.type == "bool":
        bit = point.bit
        return bool if bit is None else lambda raw: bool(raw >> bit & 1)
    if point.bits is None:
        return None
    low, high = point.bits
    mask = (1 << high - low + 1) - 1
    return lambda raw: raw >> low & mask


def _available(point: ModbusPoint) -> Convert | None:
    marks = frozenset(point.not_available)
    if point.type in _DIGITS:
        return lambda raw: raw if math.isfinite(raw) and raw not in marks else None
    return (lambda raw: None if raw in marks else raw) if marks else None


def _decimal(point: ModbusPoint) -> Convert | None:
    """Packed BCD: each four bits are a decimal digit. A device that has no value sends others."""
    if point.type not in {"bcd16", "bcd32"}:
        return None

    def convert(raw: int) -> int | None:
        try:
            return int(f"{raw:x}")
        except ValueError:
            return None

    return convert


def _named(point: ModbusPoint) -> Convert:
    names = point.values
    return lambda raw: names.get(raw) or str(raw)


def _scale(point: ModbusPoint) -> Convert | None:
    """Divides where the scale is one over a whole number: 3 / 10 is 0.3, 3 * 0.1 is not."""
    scale, offset = point.scale, point.offset
    plain = scale == 1 and offset == 0
    if point.type == "f32" or (point.type == "f64" and not plain):
        return _scale_float(scale, offset, _DIGITS[point.type])
    if plain:
        return None
    if scale.is_integer() and offset.is_integer():
        factor, whole = int(scale), int(offset)
        return lambda raw: raw * factor + whole
    per, shift = round(1 / scale), round(offset / scale)
    if per and math.isclose(per * scale, 1, rel_tol=1e-12) and math.isclose(shift * scale, offset, abs_tol=1e-12):
        return lambda raw: (raw + shift) / per
    return lambda raw: raw * scale + offset


def _scale_float(scale: float, offset: float, digits: int) -> Convert:
    """More digits than the float on the wire has would only be noise: 230.39999389648438."""

    def convert(raw: float) -> float | None:
        value = float(f"{raw * scale + offset:.{digits}g}")
        return value if math.isfinite(value) else None

    return convert
