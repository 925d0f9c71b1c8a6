"""Values in JSON texts, by the profile's points: a pointer, what its texts mean, scale and offset. Pure.

For devices that publish JSON on a broker and for those that are asked over HTTP.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from drivers.profiles import HttpProfile, JsonPoint, MqttProfile
from gateway.model.errors import BadFrame
from gateway.model.measure import Value

LARGEST: Final = 256 * 1024
"""Bytes of a JSON text. A device's state is far smaller; more is not worth this machine's time."""
LONGEST_TEXT: Final = 255
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,4}")
_ABSENT: Final = object()


def values(points: Mapping[str, JsonPoint], source: str, text: bytes | str) -> Mapping[str, Value | None]:
    """What the text of this topic or request means, by point of this source.

    A point whose pointer leads nowhere is left out. One whose place holds null, one of `not_available`, or anything
    but what its type takes is None. Raises BadFrame for what is no JSON.
    """
    return {name: value for name, (_, value) in fields(points, source, text).items()}


def fields(points: Mapping[str, JsonPoint], source: str, text: bytes | str) -> Mapping[str, tuple[str, Value | None]]:
    """As `values`, each with the JSON found at its place."""
    tree = parse(text, source)
    found = {name: at(tree, point.pointer) for name, point in points.items() if point.source == source}
    return {
        name: (json.dumps(there, ensure_ascii=False)[:LONGEST_TEXT], meant(points[name], there))
        for name, there in found.items()
        if there is not _ABSENT
    }


def parse(text: bytes | str, where: str) -> Any:
    """The tree of a JSON text. Raises BadFrame, also for NaN and Infinity, which are no JSON."""
    if len(text) > LARGEST:
        raise BadFrame(f"{len(text)} bytes are too many", where=where, hint="choose a smaller topic or request")
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        hint = "look at what the device sends: the profile expects JSON"
        raise BadFrame(f"this is no JSON: {str(error)[:80]}", where=where, hint=hint) from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def at(tree: Any, pointer: str) -> Any:
    """What stands at a JSON pointer (RFC 6901); a mark of its own, which is no JSON, if nothing does."""
    for key in _keys(pointer):
        if isinstance(tree, dict):
            tree = tree.get(key, _ABSENT)
        elif isinstance(tree, list) and _INDEX.fullmatch(key) and int(key) < len(tree):
            tree = tree[int(key)]
        else:
            return _ABSENT
    return tree


def _keys(pointer: str) -> Sequence[str]:
    return [key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:]]


def meant(point: JsonPoint, found: Any) -> Value | None:
    """What the JSON at a point's place means; None for no reading."""
    if isinstance(found, float | int | str) and not isinstance(found, bool) and found in point.not_available:
        return None
    if point.values and (key := _key(found)) in point.values:
        return point.values[key]
    if point.type == "bool":
        return bool(found) if isinstance(found, bool | int | float) and found in {0, 1} else None
    if point.type == "text":
        return found if isinstance(found, str) and _can_be_sent(found) else None
    return _number(point, found)


def _key(found: Any) -> str:
    """How `values` names it: texts as they are, numbers and true/false as JSON writes them."""
    return found if isinstance(found, str) else json.dumps(found) if isinstance(found, int | float) else ""


def _number(point: JsonPoint, found: Any) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        number = float(found)
    except OverflowError:
        return None
    if point.scale != 1 or point.offset != 0:
        number = number * point.scale + point.offset
    return number if math.isfinite(number) else None


def _can_be_sent(text: str) -> bool:
    # JSON may spell half a character ("\ud800"), which no UTF-8 text can hold.
    return len(text) <= LONGEST_TEXT and not any("\ud800" <= letter <= "\udfff" for letter in text)


def decoded(profile: MqttProfile | HttpProfile, given: Mapping[str, Any]) -> Mapping[str, Value | None]:
    """What an example's texts or trees mean, by point. Raises BadFrame."""
    found: dict[str, Value | None] = {}
    for source, tree in given.items():
        found.update(values(profile.points, source, as_text(tree)))
    return found


def as_text(given: Any) -> str:
    """The JSON text of an example: text stands for itself, anything else is a tree."""
    return given if isinstance(given, str) else json.dumps(given)


def told(points: Mapping[str, JsonPoint], source: str, said: Callable[[str], Value]) -> Any:
    """The tree in which a device tells what its points `said`: what `values` reads back."""
    places = [(_keys(p.pointer), _spelt(p, said(name))) for name, p in points.items() if p.source == source]
    return _grown(places)


def _grown(places: Iterable[tuple[Sequence[str], Any]]) -> Any:
    branches: dict[str, list[tuple[Sequence[str], Any]]] = {}
    for keys, leaf in places:
        if not keys:
            return leaf
        branches.setdefault(keys[0], []).append((keys[1:], leaf))
    tree = {key: _grown(inner) for key, inner in branches.items()}
    if tree and all(_INDEX.fullmatch(key) for key in tree):
        return [tree.get(str(n)) for n in range(max(map(int, tree)) + 1)]
    return tree


def _spelt(point: JsonPoint, value: Value) -> Any:
    for text, meaning in point.values.items():
        if meaning == value:
            return text
    if point.type == "bool":
        return bool(value)
    if point.type == "text" or isinstance(value, str):
        return str(value)
    return float(f"{(value - point.offset) / point.scale:.12g}")
