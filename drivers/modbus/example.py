"""Examples of profiles through the same plan and decoders that read a device."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from drivers.modbus.codec import BitDecoder
from drivers.modbus.plan import make_block
from drivers.profiles import ModbusPoint, ModbusProfile, Table
from gateway.model.measure import Value

Given = Mapping[Table, Mapping[int, list[int]]]


def decoded(profile: ModbusProfile, given: Given) -> Mapping[str, Value | None]:
    """What these registers mean, by point; points that are not wholly given are left out."""
    found: dict[str, Value | None] = {}
    for name, point in profile.points.items():
        words = _words(given, point)
        if words is not None:
            block = make_block([(name, point)])
            bits = isinstance(block.decoder, BitDecoder)
            body = bytes((1, words[0])) if bits else bytes((2 * len(words),)) + struct.pack(f">{len(words)}H", *words)
            found[name] = block.decoder.readings(body, 0)[0].value
    return found


def _words(given: Given, point: ModbusPoint) -> list[int] | None:
    for start, run in given.get(point.table, {}).items():
        if start <= point.at and point.at + point.words <= start + len(run):
            return run[point.at - start : point.at - start + point.words]
    return None
