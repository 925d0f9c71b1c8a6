"""Files of Thông tư 10/2021/TT-BTNMT: their names and lines. Pure; nothing else in the house knows the format.

A station writes a file every five minutes, one line a parameter, fields separated by TAB:

    HN_ABCD_NUO001_20260101120000.txt        TINH_COSO_TRAM_yyyyMMddHHmmss.txt
    pH     7.12    -       20260101120000  00    symbol, value, unit, time, status

Times are GMT+7 wherever the machine stands. The shape is that of several independent programs that feed provincial
servers; they differ in line ends (CRLF, LF) and in the decimal mark, so both are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Final, Literal

ZONE: Final = timezone(timedelta(hours=7))
LineEnd = Literal["crlf", "lf"]
NO_VALUE: Final = "-9999"
"""What stands in the column of values where there is none: a number for every program that wants one, and no
parameter of the circular can have it. Zero or the last value would look like a measurement."""

_NAME = re.compile(r"(?P<station>.+)_(?P<stamp>[0-9]{14})\.txt", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")
_FIELDS = 5


class Status(StrEnum):
    """đang đo, hiệu chuẩn, báo lỗi thiết bị."""

    MEASURING = "00"
    CALIBRATING = "01"
    FAULT = "02"


@dataclass(frozen=True, slots=True)
class Line:
    """One parameter. `text` is its value as it stands in the file; `value` is None when that says that there is none,
    which only a line that is not MEASURING may. `at_ms`: ms UTC."""

    symbol: str
    value: float | None
    unit: str
    at_ms: int
    status: Status = Status.MEASURING
    text: str = ""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be understood. `number` counts from 1; `symbol` is empty when not even that can be told."""

    number: int
    symbol: str
    why: str


def stamp(at_ms: int) -> str:
    """yyyyMMddHHmmss of a moment, GMT+7; parts of a second are cut off."""
    return datetime.fromtimestamp(at_ms // 1000, ZONE).strftime("%Y%m%d%H%M%S")


def moment(text: str) -> int:
    """The ms UTC of a stamp. Raises ValueError when it is none."""
    if len(text) != 14 or not (text.isascii() and text.isdigit()):
        raise ValueError(f"time {text!r} is not yyyyMMddHHmmss")
    month, day, hour, minute, second = (int(text[at : at + 2]) for at in range(4, 14, 2))
    try:
        at = datetime(int(text[:4]), month, day, hour, minute, second, tzinfo=ZONE)
    except ValueError as error:
        raise ValueError(f"time {text!r}: {error}") from error
    return (at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def file_name(station: str, at_ms: int) -> str:
    return f"{station}_{stamp(at_ms)}.txt"


def parse_name(name: str) -> tuple[str, int] | None:
    """(station, ms UTC) of a file name, or None when it is not the name of such a file."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        return found["station"], moment(found["stamp"])
    except ValueError:
        return None


def parse(data: bytes) -> tuple[list[Line], list[BadLine]]:
    """The lines of a file. A bad one never costs a good one; a symbol that stands twice counts once."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    good: dict[str, Line] = {}
    bad: list[BadLine] = []
    for number, row in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if not row.strip():
            continue
        fields = [field.strip() for field in row.split("\t")]
        while len(fields) > _FIELDS and not fields[-1]:
            fields.pop()
        symbol = fields[0] if len(fields) > 1 else ""
        try:
            line = _line(fields)
        except ValueError as error:
            bad.append(BadLine(number, symbol, str(error)))
            continue
        if line.symbol in good:
            bad.append(BadLine(number, "", f"{line.symbol} stands twice"))
        else:
            good[line.symbol] = line
    return list(good.values()), bad


def _line(fields: list[str]) -> Line:
    if len(fields) != _FIELDS:
        raise ValueError(f"{len(fields)} fields separated by TAB instead of {_FIELDS}")
    symbol, text, unit, time, status_text = fields
    if not symbol:
        raise ValueError("there is no symbol")
    try:
        status = Status(status_text.zfill(2))
    except ValueError:
        raise ValueError(f"status {status_text!r} is not 00, 01 or 02") from None
    at_ms = moment(time)
    value = _number(text)
    if status is Status.MEASURING and value is None:
        raise ValueError(f"value {text!r} is no number")
    if status is not Status.MEASURING and text == NO_VALUE:
        value = None
    return Line(symbol, value, unit, at_ms, status, text)


def _number(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text.replace(",", "."))
    return number if math.isfinite(number) else None


def formatted(lines: Iterable[Line], line_end: LineEnd = "crlf") -> bytes:
    """The bytes of a file: UTF-8 without a mark, `text` as the value, every line with its end."""
    end = "\r\n" if line_end == "crlf" else "\n"
    rows = ("\t".join((i.symbol, i.text, i.unit, stamp(i.at_ms), i.status)) for i in lines)
    return "".join(row + end for row in rows).encode("utf-8")
