"""A Modbus profile as text that people like to read: one point two lines, as the profiles that come with us."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from drivers.profiles import ModbusPoint, ModbusProfile

_PLAIN = re.compile(r"[^\W\d_][\w /.()+-]*[\w).]|[^\W\d_]")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "~"}
Example = tuple[Mapping[str, Mapping[int, list[int]]], Mapping[str, Any]]


def write(profile: ModbusProfile, table: str, shown: Example, made_up: Example, hexadecimal: frozenset[str]) -> str:
    """YAML. table: name of the file it was made from. hexadecimal: points whose address is written so."""
    lines = [
        f"# Begun by `gateway profile new` from {table}. Nothing in it was tried on a device.",
        "# To do: titles, maker, source and url; indicator codes; ranges; examples from the device itself. Then:",
        "#   gateway profile check THIS.yaml    gateway profile try THIS.yaml --port ... --unit 1",
        f"profile: {profile.profile}",
        f"title_en: {text(profile.profile)}  # what it is, in English",
        f"title_vi: {text(profile.profile)}  # what it is, in Vietnamese",
        "driver: modbus",
        f"source: {text(table + '; name the document, its revision and its maker here')}",
        "confirmed: false",
    ]
    if profile.first_address:
        lines.append("first_address: 1")
    lines += [f"limits: {{max_registers: {profile.limits.max_registers}}}", "", "points:"]
    for key, point in profile.points.items():
        lines += [f"  {key}:", *_point(point, key in hexadecimal)]
    lines += ["", "examples:"]
    if shown[1]:
        lines += ["  # From the table.", *_example(shown)]
    if made_up[1]:
        lines += [
            "  # Made up: all registers 0. Replace by what the device sent and its display showed.",
            *_example(made_up),
        ]
    return "".join(f"{line}\n" for line in lines)


def _point(point: ModbusPoint, hexadecimal: bool) -> list[str]:
    about = {"name_en": text(point.name_en), "name_vi": text(point.name_vi), "indicator": point.indicator}
    about["unit"] = text(point.unit)
    if point.kind != "mean":
        about["kind"] = point.kind
    if point.range is not None:
        about["range"] = f"[{number(point.range[0])}, {number(point.range[1])}]"
    where: dict[str, str] = {"table": point.table, "at": f"0x{point.at:04X}" if hexadecimal else str(point.at)}
    where["type"] = point.type
    for key in ("bit", "length"):
        if getattr(point, key) is not None:
            where[key] = str(getattr(point, key))
    if point.order != "abcd" and point.words > 1:
        where["order"] = point.order
    if point.scale != 1:
        where["scale"] = number(point.scale)
    if point.offset != 0:
        where["offset"] = number(point.offset)
    return [f"    {{{_pairs(about)},", f"     {_pairs(where)}}}"]


def _example(example: Example) -> list[str]:
    given, expect = example
    lines = ["  - given:"]
    for table, runs in given.items():
        lines.append(f"      {table}:")
        lines += [f"        {at}: [{', '.join(map(str, words))}]" for at, words in runs.items()]
    lines.append("    expect:")
    return [*lines, *(f"      {key}: {json_value(value)}" for key, value in expect.items())]


def _pairs(pairs: Mapping[str, str]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in pairs.items())


def text(value: str) -> str:
    """A text as YAML takes it inside braces."""
    plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return value if plain else json.dumps(value, ensure_ascii=False)


def number(value: float) -> str:
    return f"{value:.12g}" if value != int(value) or abs(value) > 1e12 else str(int(value))


def json_value(value: Any) -> str:
    return number(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
