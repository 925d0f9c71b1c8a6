"""One line of text to values, by the profile's description: prefix, separator, number of fields, checksum."""

from __future__ import annotations

import math
from collections.abc import Mapping

from drivers.profiles import LinePoint, LineShape, LinesProfile
from drivers.turns import Spoilt
from gateway.model.errors import BadFrame

LineValue = float | str | None


def parse(profile: LinesProfile, data: bytes) -> tuple[str, Mapping[str, tuple[str, LineValue]]] | None:
    """Name of the line, and for each of its points the field's text and the value it means (None for an empty
    field: the instrument has no reading).

    Returns None for lines the profile does not speak of. Raises Spoilt.
    """
    text = data.decode("ascii", errors="replace").strip()
    for name, shape in profile.lines.items():
        if text.startswith(shape.prefix):
            points = {key: point for key, point in profile.points.items() if point.line == name}
            try:
                fields = _fields(shape, text)
                return name, {key: (fields[p.field], _value(p, fields[p.field])) for key, p in points.items()}
            except ValueError as error:
                hint = "check baud, parity and data bits, or the profile's `lines`"
                raise Spoilt(tuple(points), str(error), where=name, hint=hint) from error
    return None


def nmea_checksum(text: str) -> str:
    """Two hex digits: all characters between "$" and "*", xor-ed (NMEA 0183)."""
    total = 0
    for byte in text.removeprefix("$").encode("ascii", errors="replace"):
        total ^= byte
    return f"{total:02X}"


def _fields(shape: LineShape, text: str) -> list[str]:
    if shape.checksum == "nmea":
        text, star, given = text.rpartition("*")
        if not star or given.upper() != nmea_checksum(text):
            raise ValueError("wrong checksum")
    fields = text.removeprefix(shape.prefix).split(shape.separator)
    if len(fields) != shape.fields:
        raise ValueError(f"{len(fields)} fields where {shape.fields} belong")
    return [field.strip() for field in fields]


def _value(point: LinePoint, field: str) -> LineValue:
    if not field:
        return None
    if point.type == "text":
        return field
    number = float(field)
    if "_" in field or not math.isfinite(number):
        raise ValueError(f"{field!r} is not a number")
    number = number if point.scale == 1 and point.offset == 0 else number * point.scale + point.offset
    return number if math.isfinite(number) else None


def decoded(profile: LinesProfile, given: str) -> Mapping[str, LineValue]:
    """What an example line means, by point. Raises BadFrame, also for a line the profile does not know."""
    found = parse(profile, given.encode("utf-8"))
    if found is None:
        raise BadFrame("no line of the profile begins like this", where=profile.profile, hint="check `lines.*.prefix`")
    return {name: value for name, (_, value) in found[1].items()}
