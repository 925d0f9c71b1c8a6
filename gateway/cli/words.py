"""What people type on the command line, as values: durations, times, lists of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo

from gateway.model.errors import BadArgument

_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_DAY, _MINUTE, _SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)
# How a time may be written, and how much of it one such word names.
_SHAPES = (
    ("%Y-%m-%d", _DAY),
    ("%d/%m/%Y", _DAY),
    ("%Y-%m-%dT%H:%M", _MINUTE),
    ("%Y-%m-%d %H:%M", _MINUTE),
    ("%d/%m/%Y %H:%M", _MINUTE),
    ("%Y-%m-%dT%H:%M:%S", _SECOND),
    ("%Y-%m-%d %H:%M:%S", _SECOND),
)


def seconds(text: str, option: str) -> float:
    """ "20s", "2m", "1.5h", "7d" or "30". Raises BadArgument."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(|s|m|min|h|d)", text.strip())
    if match is None or float(match[1]) <= 0:
        raise BadArgument(f"{text!r} is no duration", where=option, hint="write it as 20s or 2m")
    return float(match[1]) * _UNITS[match[2]]


def moment(text: str, option: str, *, last: bool = False, zone: tzinfo | None = None) -> int:
    """ "2026-11-22", "22/11/2026" or "2026-11-22T08:00" in `zone` (this machine's if not given), or "-2h" from now, as
    ms UTC. `last`: the end of what is named, so that a day is meant whole. Raises BadArgument."""
    text = text.strip()
    if text.startswith("-"):
        return max(0, int((datetime.now(UTC).timestamp() - seconds(text[1:], option)) * 1000))
    for shape, size in _SHAPES:
        with suppress(ValueError, OverflowError):  # the latter: the last day there is
            begins = datetime.strptime(text, shape).replace(tzinfo=zone).astimezone(zone)
            ends = begins + size - timedelta(milliseconds=1)
            return round((ends if last else begins).timestamp() * 1000)
    raise BadArgument(f"{text!r} is no time", where=option, hint="2026-01-31, 2026-01-31T08:00, or -2h for 2 h ago")


def whole_numbers(text: str, option: str, low: int, high: int) -> list[int]:
    """ "1-32,247" as numbers in that order, each once. Raises BadArgument."""
    found: list[int] = []
    for part in _parts(text):
        match = re.fullmatch(r"([0-9]{1,7})(?:\s*-\s*([0-9]{1,7}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not low <= first <= last <= high:
            hint = f"numbers from {low} to {high}, as {low},{low + 1}" + (f" or {low}-{high}" if high < 1000 else "")
            raise BadArgument(f"{part!r} cannot be used", where=option, hint=hint)
        found += range(first, last + 1)
    if not found:
        raise BadArgument("nothing is named", where=option, hint=f"numbers from {low} to {high}")
    return list(dict.fromkeys(found))


def choices(text: str, option: str, known: Iterable[str]) -> list[str]:
    """ "none,even" as words of `known`. Raises BadArgument."""
    words = [word.lower() for word in _parts(text)]
    known = list(known)
    for word in words or [""]:
        if word not in known:
            raise BadArgument(f"{word!r} is not one of {', '.join(known)}", where=option, hint=f"as {known[0]}")
    return list(dict.fromkeys(words))


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def lasting(seconds_: float) -> str:
    """ "8 s", "23 min", "1 h 5 min", for people: rounded, never more exact than it is."""
    if seconds_ < 90:
        return f"{max(1, round(seconds_))} s"
    minutes = round(seconds_ / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
