"""How verbs speak: JSON on request, local time with its offset, errors with code and hint."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

from gateway.model.errors import GatewayError


def print_json(content: Any) -> None:
    json.dump(content, sys.stdout, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")


def fail(error: GatewayError) -> int:
    """Prints an error for a person on stderr; returns the exit code."""
    place = f"{error.where}: " if error.where else ""
    sys.stderr.write(f"error {error.code}: {place}{error.what}\n")
    if error.hint:
        sys.stderr.write(f"  hint: {error.hint}\n")
    sys.stderr.write(f"  more / xem thêm: gateway explain {error.code}\n")
    return 1


def local_time(at_ms: int | None) -> str:
    """A stamp as people on site read it: local time, with the offset."""
    return written_time(at_ms, "%Y-%m-%d %H:%M:%S%z") if at_ms else "-"


def short_time(at_ms: int) -> str:
    """Day and time for a table whose heading gives the offset."""
    return written_time(at_ms, "%d/%m %H:%M:%S")


def written_time(at_ms: int, shape: str) -> str:
    """Local time. What is damaged may hold any number: one that is no time is shown as it stands."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().strftime(shape)
    except (OverflowError, ValueError, OSError):
        return str(at_ms)


def printable(text: str) -> str:
    """What came from a device or a file, so that nothing in it moves a terminal's cursor."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def offset() -> str:
    """The local offset from UTC, as "+07:00"."""
    text = datetime.now(UTC).astimezone().strftime("%z")
    return f"{text[:3]}:{text[3:]}"


def age(now_ms: int, at_ms: int) -> str:
    """How long ago, in the largest unit that fits: "3 s", "12 min", "5 h", "2 d"."""
    seconds = max(0, now_ms - at_ms) / 1000
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
