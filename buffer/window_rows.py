"""How windows lie in a history row. Pure.

A row's body is a JSON array, deflated, with one array a window, because `gateway buffer sql` unfolds it with SQLite's
own functions:

    [signal, t0, value, quality, [reasons], n, expected, sum, min, max, first, last]

Each window has a line of its own, which begins with its signal's number: one signal is picked out of a row without
decoding the others. Inside a JSON string there is no line end, so nothing else can begin like that.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import inf
from typing import Any

from buffer.bundle import inflate
from buffer.chain import canonical
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Forward, Kind, Quality, Reason, Signal

FEW = 16
"""Up to so many signals are picked out; for more of them the whole row is decoded."""

LEVEL = 6
"""A tenth smaller than what records get, for a quarter of a millisecond more: there is a row a minute, not a second."""
VALUE, REASONS, READINGS, LAST = 2, 4, 5, 11
"""Where these stand in a window's array."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def described(signal: Signal) -> str:
    """What has to be known of a signal to read its windows later, as canonical JSON."""
    return canonical(
        {
            "id": signal.id,
            "pt": signal.point,
            "ind": signal.indicator,
            "u": signal.unit,
            "k": signal.kind,
            "every_s": signal.every_s,
            "window_s": signal.window_s,
            "fwd": signal.forward,
            "tg": dict(signal.tags),
        }
    )


def signal_of(about: Mapping[str, Any]) -> Signal:
    """The signal again, without what only judging needs."""
    return Signal(
        id=about["id"],
        point=about["pt"],
        indicator=about["ind"],
        unit=about["u"],
        kind=Kind(about["k"]),
        every_s=about["every_s"],
        window_s=about["window_s"],
        forward=Forward(about["fwd"]),
        tags=about["tg"],
    )


def signal_in(about: str) -> Signal | None:
    """The signal of a row of the table; None where the row is damaged."""
    try:
        return signal_of(json.loads(about))
    except (ValueError, KeyError, TypeError):
        return None


def encoded(number: int, window: Indicator) -> list[Any]:
    parts = window.parts or Parts(0, 0)
    return [
        number, window.start_ms, window.value, window.quality, list(window.reasons), parts.n, parts.expected,
        parts.total, parts.low, parts.high, parts.first, parts.last,
    ]  # fmt: skip


def decoded(row: Sequence[Any], end_ms: int, signals: Mapping[int, Signal]) -> Indicator:
    number, start_ms, value, quality, reasons, *parts = row
    why = tuple(Reason(reason) for reason in reasons)
    return Indicator(signals[number], start_ms, end_ms, value, Quality(quality), why, Parts(*parts))


def _line(row: Sequence[Any]) -> str:
    """By hand what nearly every window is: this is the store's hot path, and `json` takes twice as long."""
    number, t0, value, quality, reasons, n, expected, total, low, high, first, last = row
    try:
        # One comparison for all: what is missing raises, and what JSON has no word for is not between.
        plain = not reasons and type(value) is float and -inf < t0 + value + total + low + high + first + last < inf
    except TypeError:
        plain = False
    if not plain:
        return _encode(row)
    return f'[{number},{t0},{value!r},"{quality}",[],{n},{expected},{total!r},{low!r},{high!r},{first!r},{last!r}]'


def packed(rows: Iterable[Sequence[Any]]) -> bytes:
    lines = ",\n".join(map(_line, rows))
    return zlib.compress(f"[\n{lines}\n]".encode("utf-8", "replace"), LEVEL)


def unpacked(body: bytes, wanted: Collection[int] | None = None) -> list[Sequence[Any]]:
    """The windows of these signals, by their numbers, or of all."""
    text = inflate(body)
    if wanted is None:
        return list(json.loads(text))
    if len(wanted) > FEW:
        return [row for row in json.loads(text) if row[0] in wanted]
    return [row for number in sorted(wanted) for row in _lines(text, b"\n[%d," % number)]


def _lines(text: bytes, beginning: bytes) -> Iterable[Sequence[Any]]:
    at = text.find(beginning)
    while at >= 0:
        end = text.index(b"\n", at + 1)
        yield json.loads(text[at + 1 : end].rstrip(b","))
        at = text.find(beginning, end)
