"""What a file says of a station's points. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drivers.profiles import AnyProfile, Tt10Point, Tt10Profile
from gateway.model import tt10
from gateway.model.errors import BadFrame
from gateway.model.measure import Quality, Reading, Reason
from gateway.model.tt10 import Line, Status

_WHY = {Status.CALIBRATING: Reason.CALIBRATING, Status.FAULT: Reason.DEVICE_FAULT}


@dataclass(frozen=True, slots=True)
class Found:
    """The good lines of a file by point, why other points have none, and everything that is wrong with the file."""

    lines: Mapping[str, Line]
    bad: Mapping[str, str]
    wrong: tuple[str, ...]


def understood(profile: Tt10Profile, data: bytes) -> Found:
    """Symbols are compared without regard to capitals and to the decimal mark ("PM2,5" is "PM2.5")."""
    good, bad = tt10.parse(data)
    names = {_key(point.symbol): name for name, point in profile.points.items()}
    lines: dict[str, Line] = {}
    why = {names[_key(line.symbol)]: line.why for line in bad if _key(line.symbol) in names}
    wrong = [f"line {line.number}: {line.why}" for line in bad]
    for line in good:
        name = names.get(_key(line.symbol))
        if name is None:
            continue
        unit = profile.points[name].file_unit
        if unit is not None and unit.casefold() != line.unit.casefold():
            why[name] = f"{line.symbol} is in {line.unit!r} instead of {unit!r}"
            wrong.append(why[name])
        else:
            lines[name] = line
    return Found(lines, {name: text for name, text in why.items() if name not in lines}, tuple(wrong))


def _key(symbol: str) -> str:
    return symbol.casefold().replace(",", ".")


def reading(signal: str, point: Tt10Point, line: Line) -> Reading:
    """A value measured while calibrating or in a fault is kept, and is bad."""
    value = None if line.value is None else line.value * point.scale + point.offset
    why = _WHY.get(line.status)
    if value is None:
        return Reading.missing(signal, line.at_ms, why or Reason.BAD_FRAME)
    if why is None:
        return Reading(signal, line.at_ms, value)
    return Reading(signal, line.at_ms, value, Quality.BAD, (why,))


def decoded(profile: AnyProfile, given: Any) -> dict[str, float | bool | str | None]:
    """An example's `given`: the text of a file. See `drivers.decoded`."""
    assert isinstance(profile, Tt10Profile)  # noqa: S101 - the table of decoders goes by the profile's kind
    found = understood(profile, str(given).encode())
    if not found.lines:
        raise BadFrame("; ".join(found.wrong) or "the file has no line of this station", where=profile.profile)
    values = {name: reading(name, profile.points[name], line).value for name, line in found.lines.items()}
    return {**dict.fromkeys(found.bad), **values}
