"""Examples of profiles through the same decoders that read a device."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.modbus.codec import decode
from drivers.profiles import ModbusPoint, ModbusProfile, Table
from gateway.model.measure import Value

Given = Mapping[Table, Mapping[int, list[int]]]


def decoded(profile: ModbusProfile, given: Given) -> Mapping[str, Value | None]:
    """What these registers mean, by point; points that are not wholly given are left out. Addresses are those of
    the profile's map."""
    found: dict[str, Value | None] = {}
    for name, point in profile.points.items():
        words = _words(given, point)
        if words is not None:
            found[name] = decode(point, words)
    return found


def _words(given: Given, point: ModbusPoint) -> list[int] | None:
    for start, run in given.get(point.table, {}).items():
        if start <= point.at and point.at + point.words <= start + len(run):
            return run[point.at - start : point.at - start + point.words]
    return None
