"""One frame of bytes to values, by the profile's description: header, length, tail, checksum."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from functools import reduce
from operator import xor
from typing import Final

from pymodbus.framer import FramerRTU

from drivers.profiles import FramePoint, FramesProfile
from drivers.profiles.lines import Checksum, FrameShape
from drivers.turns import Spoilt
from gateway.model.errors import BadFrame

_SUMS: Final[Mapping[str, Callable[[bytes], int]]] = {
    "sum8": lambda data: sum(data) & 0xFF,
    "sum16": lambda data: sum(data) & 0xFFFF,
    "neg8": lambda data: -sum(data) & 0xFF,
    "xor8": lambda data: reduce(xor, data, 0),
    # Modbus sends it low byte first: `order: little`.
    "crc16": lambda data: int.from_bytes(FramerRTU.compute_CRC(data).to_bytes(2, "big"), "little"),
}
_CODES: Final = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f"}


def checksum(rule: Checksum, frame: bytes) -> bytes:
    """The checksum of a frame as it belongs into it."""
    return _SUMS[rule.kind](frame[slice(*rule.over)]).to_bytes(rule.width, rule.order)


def fits(shape: FrameShape, data: bytes) -> bool:
    """Whether this is a whole frame of that shape."""
    rule = shape.checksum
    return (
        len(data) == shape.length
        and data.startswith(bytes.fromhex(shape.header))
        and data.endswith(bytes.fromhex(shape.tail or ""))
        and (rule is None or checksum(rule, data) == data[rule.at : rule.at + rule.width])
    )


def parse(profile: FramesProfile, data: bytes) -> tuple[str, Mapping[str, tuple[str, float | None]]] | None:
    """Name of the frame, and for each of its points the bytes in hex and the value they mean (None: no reading).

    Returns None for bytes that do not begin like a frame of the profile. Raises Spoilt for those that do and are none.
    """
    begun = [name for name, shape in profile.frames.items() if data.startswith(bytes.fromhex(shape.header))]
    for name in begun:
        if fits(profile.frames[name], data):
            return name, {key: _field(point, data) for key, point in profile.points.items() if point.frame == name}
    if not begun:
        return None
    points = tuple(key for key, point in profile.points.items() if point.frame in begun)
    hint = "check baud and parity, the cable and its shield, or the profile's `frames`"
    raise Spoilt(points, "wrong length, end or checksum", where=begun[0], hint=hint)


def codec(point: FramePoint) -> struct.Struct:
    return struct.Struct((">" if point.order == "big" else "<") + _CODES[point.type])


def _field(point: FramePoint, frame: bytes) -> tuple[str, float | None]:
    raw = frame[point.at : point.at + point.width]
    (number,) = codec(point).unpack(raw)
    value = number if point.scale == 1 and point.offset == 0 else number * point.scale + point.offset
    missing = number in point.not_available or not math.isfinite(value)
    return raw.hex(" "), None if missing else value


def decoded(profile: FramesProfile, given: str) -> Mapping[str, float | None]:
    """What an example frame, in hex, means by point. Raises BadFrame, also for one the profile does not know."""
    found = parse(profile, bytes.fromhex(given))
    if found is None:
        raise BadFrame("no frame of the profile begins so", where=profile.profile, hint="check `frames.*.header`")
    return {name: value for name, (_, value) in found[1].items()}
