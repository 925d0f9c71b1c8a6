"""A register table, as makers print it and people save it from a spreadsheet, to a device profile."""

from __future__ import annotations

import csv
import io
import math
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, get_args

from pydantic import ValidationError

from config import cells, profile_text
from config.findings import Code, Finding, Severity, in_order
from drivers import decoded
from drivers.profiles import ModbusPoint, ModbusProfile, Order, Table

T = TypeVar("T")
_HEADING_ROWS: Final = 20
_MAX_BYTES: Final = 1 << 20
_SAVE_AGAIN: Final = "save it from the spreadsheet as CSV UTF-8"
_ENERGY: Final = frozenset({"W.h", "kW.h", "MW.h", "var.h", "kvar.h", "kV.A.h"})
_UNUSED: Final = re.compile(r"reserved?|spare|unused|not used|du phong|khong dung")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the table does not say. base: see `config.cells.place`; table: where no column says it."""

    name: str
    base: int | None = None
    table: Table = "holding"
    order: Order = "abcd"


@dataclass(frozen=True, slots=True)
class Converted:
    """text: the profile as YAML, empty if no row was understood. left_out: rows that are not in it."""

    text: str
    points: int
    left_out: int
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Row:
    """One register of the table. raw, value: the table's own example. hexadecimal: its address is written so.
    assumed: nothing in the row says which table it is in."""

    line: int
    point: ModbusPoint
    raw: list[int] | None
    value: str = ""
    hexadecimal: bool = False
    assumed: bool = False


class _BadCell(ValueError):
    def __init__(self, column: str, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.column, self.hint = column, hint


@dataclass(slots=True)
class _Sheet:
    """The table as cells: where which column stands, and what was found wrong so far."""

    file: str
    wanted: Wanted
    columns: dict[str, int] = field(default_factory=dict)
    hexadecimal: frozenset[str] = frozenset()
    findings: list[Finding] = field(default_factory=list)

    def say(self, code: Code, line: int, column: str, what: str, hint: str = "", severity: Severity = "error") -> None:
        """`column` of the finding is the number of the cell."""
        at = self.columns.get(column, 0) + 1
        self.findings.append(
            Finding(file=self.file, line=line, column=at, code=code, path=column, message=what, hint=hint,
                    severity=severity)
        )  # fmt: skip


def convert(file: pathlib.Path, wanted: Wanted) -> Converted:
    """Never raises for what stands in the file: each row that is not understood is a finding, and left out."""
    sheet = _Sheet(str(file), wanted)
    rows = _table(sheet, file)
    points: dict[str, Row] = {}
    left_out = 0
    for line, row in rows:
        before = len(sheet.findings)
        found = _row(sheet, line, row)
        if found is not None:
            points[_unused_key(found.point.name_en, points)] = found
        left_out += found is None and any(f.severity == "error" for f in sheet.findings[before:])
    if not points:
        return Converted("", 0, left_out, in_order(sheet.findings))
    _say_assumptions(sheet, points)
    profile = _profile(wanted, points)
    shown, made_up = _examples(sheet, profile, points)
    hexadecimal = frozenset(key for key, row in points.items() if row.hexadecimal)
    text = profile_text.write(profile, file.name, shown, made_up, hexadecimal)
    return Converted(text, len(points), left_out, in_order(sheet.findings))


def _table(sheet: _Sheet, file: pathlib.Path) -> list[tuple[int, list[str]]]:
    """The rows under the heading, with their line numbers; empty ones and repeated headings left out."""
    text = _text(sheet, file)
    try:
        rows = list(_csv_rows(text)) if text else []
    except csv.Error as error:
        sheet.say(Code.NOT_READABLE, 1, "", f"this is no CSV: {error}", "look for a quote that is not closed")
        return []
    for number, (_, row) in enumerate(rows[:_HEADING_ROWS]):
        columns = _columns(row)
        if "address" in columns and len(columns) >= 2:
            sheet.columns = columns
            sheet.hexadecimal = frozenset(c for c, at in columns.items() if "hex" in row[at].lower())
            under = [(line, r) for line, r in rows[number + 1 :] if any(r) and r != row]
            if not under:
                sheet.say(Code.BAD_ROW, rows[number][0], "", "no register stands under the heading", _SAVE_AGAIN)
            return under
    if text:
        sheet.say(
            Code.BAD_ROW, 1, "", "no heading with an address column was found",
            "the heading needs words such as address, name, type, unit, scale (địa chỉ, tên, kiểu, đơn vị, hệ số)",
        )  # fmt: skip
    return []


def _text(sheet: _Sheet, file: pathlib.Path) -> str:
    try:
        raw = file.read_bytes()[: _MAX_BYTES + 1]
        wide = raw.startswith((b"\xff\xfe", b"\xfe\xff"))  # what spreadsheets call "Unicode text"
        text = raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        sheet.say(Code.NOT_READABLE, 1, "", "this is not UTF-8 text", _SAVE_AGAIN)
        return ""
    except OSError as error:
        sheet.say(Code.NOT_READABLE, 1, "", f"cannot be read: {error.strerror}", "check the name of the file")
        return ""
    if not raw:
        sheet.say(Code.NOT_READABLE, 1, "", "this file is empty", _SAVE_AGAIN)
    if len(raw) > _MAX_BYTES or "\0" in text:
        sheet.say(Code.NOT_READABLE, 1, "", "this is no table of registers", _SAVE_AGAIN)
        return ""
    return text


def _csv_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells). The separator is the one that most lines have most of; a first line `sep=;` names it."""
    named = re.match(r"sep=(.)\r?\n", text)
    counts = {mark: sum(line.count(mark) for line in text.splitlines()[:50]) for mark in ";\t,"}
    mark = named[1] if named else max(counts, key=lambda m: counts[m])
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=mark)  # any end of line, also a lone \r
    line = 1
    for row in reader:
        if not (named and line == 1):
            yield line, [" ".join(cell.split()) for cell in row]
        line = reader.line_num + 1


def _columns(row: Sequence[str]) -> dict[str, int]:
    """Two columns of names are the English and the Vietnamese one."""
    found: dict[str, int] = {}
    for at, heading in enumerate(row):
        column = cells.column_of(heading)
        if column == "name" and "name" in found:
            column = "name_vi"
        if column is not None:
            found.setdefault(column, at)
    return found


def _row(sheet: _Sheet, line: int, row: list[str]) -> Row | None:
    """None if it is left out: unused registers without a word, others with a finding."""

    def text(column: str) -> str:
        at = sheet.columns.get(column, len(row))
        return row[at] if at < len(row) else ""

    if sum(map(bool, row)) == 1 or not text("address"):
        what = f"{next(filter(None, row))!r}: this row names no register"
        sheet.say(Code.BAD_ROW, line, "address", what, "left out; is it a heading?", "warning")
        return None
    if _UNUSED.search(cells.plain(text("name"))):
        return None
    try:
        return _understood(sheet, line, text)
    except _BadCell as bad:
        sheet.say(Code.BAD_ROW, line, bad.column, str(bad), bad.hint or "this row is left out")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        sheet.say(Code.BAD_ROW, line, "", first["msg"].removeprefix("Value error, "), "this row is left out")
    return None


def _understood(sheet: _Sheet, line: int, text: Callable[[str], str]) -> Row:
    def cell(column: str, parse: Callable[[str], T], default: T) -> T:
        try:
            return parse(text(column)) if text(column) else default
        except ValueError as error:
            raise _BadCell(column, str(error)) from error

    sixteen = "address" in sheet.hexadecimal
    where = cell("address", lambda t: cells.place(t, base=sheet.wanted.base, hexadecimal=sixteen), cells.Place(0))
    table = cell("table", cells.table, where.table or sheet.wanted.table)
    length = cell("length", lambda t: int(cells.number(t)), where.length)
    bit = cell("bit", lambda t: int(cells.number(t)), where.bit)
    kind = _type(sheet, line, text, (table, length, bit))
    about = _names(text)
    unit, known = cells.unit(text("unit"))
    if not known:
        sheet.say(
            Code.BAD_ROW, line, "unit", f"{unit!r} is no unit known here; it is kept", "use UCUM codes", "warning"
        )
    scale = cell("scale", cells.scale, 1.0) / cell("divisor", cells.scale, 1.0)
    fields: dict[str, Any] = {
        **about,
        "indicator": text("indicator") or f"device.{_indicator(about['name_en'])}",
        "unit": unit,
        "kind": "delta" if unit in _ENERGY else "last" if kind in {"bool", "text"} else "mean",
        "range": _range(sheet, line, text),
        "table": table,
        "at": where.at,
        "type": kind,
        "order": cells.order(f"{text('order')} {text('type')}") or sheet.wanted.order,
        "bit": bit if kind == "bool" and table in {"input", "holding"} else None,
        "length": length if kind == "text" else None,
        "scale": 1.0 if kind in {"bool", "text"} else float(f"{scale:.12g}"),
        "offset": cell("offset", cells.number, 0.0),
    }
    point = ModbusPoint.model_validate(fields)
    raw = cell(
        "raw", lambda t: cells.registers(t, point.words, hexadecimal="raw" in sheet.hexadecimal or _looks_hex(t)), None
    )
    hexadecimal = sixteen or text("address").lower().startswith("0x")
    return Row(line, point, raw, text("value"), hexadecimal, where.table is None and not text("table"))


def _type(sheet: _Sheet, line: int, text: Callable[[str], str], known: tuple[Table, int | None, int | None]) -> str:
    table, length, bit = known
    if table in {"coil", "discrete"} or (bit is not None and not text("type")):
        return "bool"
    if text("type"):
        try:
            found = cells.type_of(text("type"), length)
        except ValueError as error:
            raise _BadCell("type", str(error), "write u16, i16, u32, i32, f32, f64, bool or text") from error
        if found == "text" and length is None:
            raise _BadCell("length", "a text needs its number of registers", "add a column `length`")
        return found
    if length not in {None, 1}:
        raise _BadCell("type", f"no type for {length} registers", "write u32, i32, f32, u64, f64 or text")
    sheet.say(Code.BAD_ROW, line, "type", "no type; u16 is assumed", "write it into the table", "warning")
    return "u16"


def _names(text: Callable[[str], str]) -> dict[str, str]:
    english, vietnamese = text("name"), text("name_vi")
    if not english and not vietnamese:
        raise _BadCell("name", "this register has no name", "give it one, or leave the row out")
    english, vietnamese = english or vietnamese, vietnamese or english
    if not english.isascii() and vietnamese.isascii():
        english, vietnamese = vietnamese, english
    if not english.isascii():
        english = cells.bare(english)
    return {"name_en": english, "name_vi": vietnamese}


def _range(sheet: _Sheet, line: int, text: Callable[[str], str]) -> tuple[float, float] | None:
    """A range that is not understood is a warning: without it nothing is judged wrongly."""
    try:
        if text("low") and text("high"):
            return cells.span(f"{text('low')}..{text('high')}")
        return cells.span(text("range")) if text("range") else None
    except ValueError as error:
        sheet.say(Code.BAD_ROW, line, "range", str(error), "the point has no range now; write 0..100", "warning")
        return None


def _indicator(name: str) -> str:
    key = cells.key_of(name) or "value"
    return key if key[0].isalpha() else f"p_{key}"


def _looks_hex(text: str) -> bool:
    """Several words of exactly four digits are registers as a Modbus tool shows them."""
    words = text.split()
    return bool(re.search("[a-fA-F]", text)) or (len(words) > 1 and all(len(word) == 4 for word in words))


def _unused_key(name: str, taken: Mapping[str, Row]) -> str:
    key = cells.key_of(name) or "point"
    number = 2
    unique = key
    while unique in taken:
        unique, number = f"{key}_{number}", number + 1
    return unique


def _say_assumptions(sheet: _Sheet, points: Mapping[str, Row]) -> None:
    assumed = [row for row in points.values() if row.assumed]
    if assumed:
        sheet.say(
            Code.BAD_ROW, assumed[0].line, "address",
            f"nothing says which table {len(assumed)} register(s) are in; {sheet.wanted.table} is assumed",
            "add a column `function` (3 or 4), or use --table input", "warning",
        )  # fmt: skip


def _profile(wanted: Wanted, points: Mapping[str, Row]) -> ModbusProfile:
    return ModbusProfile.model_validate(
        {
            "profile": wanted.name,
            "title_en": wanted.name,
            "title_vi": wanted.name,
            "driver": "modbus",
            "source": "?",
            "confirmed": False,
            "first_address": 1 if wanted.base == 1 else 0,
            "limits": {"max_registers": 60},
            "points": {key: row.point for key, row in points.items()},
            "examples": [{"given": {}, "expect": {}}],
        }
    )


Example = tuple[dict[str, dict[int, list[int]]], dict[str, Any]]


def _examples(sheet: _Sheet, profile: ModbusProfile, points: Mapping[str, Row]) -> tuple[Example, Example]:
    """The example that the table's own columns give, and one of zeros for the points without."""
    shown = {key: row.raw for key, row in points.items() if row.raw is not None}
    found = decoded(profile, _given(profile, shown))
    wrong = {key for key in shown if not _agrees(sheet, points[key], found.get(key))}
    shown = {key: raw for key, raw in shown.items() if key not in wrong}
    zeros = {key: [0] * point.words for key, point in profile.points.items() if key not in shown}
    both = []
    for registers in (shown, zeros):
        given = _given(profile, registers)
        both.append((given, {key: value for key, value in decoded(profile, given).items() if key in registers}))
    return both[0], both[1]


def _given(profile: ModbusProfile, registers: Mapping[str, list[int]]) -> dict[str, dict[int, list[int]]]:
    """Registers by table, neighbours in one run."""
    words: dict[str, dict[int, int]] = {}
    for key, raw in registers.items():
        point = profile.points[key]
        for n, word in enumerate(raw):
            here = words.setdefault(point.table, {})
            here[point.at + n] = here.get(point.at + n, 0) | word if point.bit is not None else word
    return {table: _runs(here) for table, here in sorted(words.items())}


def _runs(words: Mapping[int, int]) -> dict[int, list[int]]:
    runs: dict[int, list[int]] = {}
    start = end = -1
    for at in sorted(words):
        if at != end:
            start = at
        runs.setdefault(start, []).append(words[at])
        end = at + 1
    return runs


def _agrees(sheet: _Sheet, row: Row, found: Any) -> bool:
    """Whether the table's raw registers mean the table's value; says which byte order would."""
    shown = re.match(r"[-+]?[0-9]+(?:[.,]([0-9]+))?", row.value)
    if shown is None:
        return not row.value or str(found).lower() == row.value.lower()
    wanted, step = cells.number(shown[0]), 10.0 ** -len(shown[1] or "")
    if _near(found, wanted, step):
        return True
    others = [o for o in get_args(Order) if o != row.point.order and _near(_as_order(row, o), wanted, step)]
    hint = f"byte order {others[0]} would give that" if others else "check type, scale and the registers"
    what = f"registers {' '.join(f'{w:04x}' for w in row.raw or ())} decode to {found}, the table says {row.value}"
    sheet.say(Code.EXAMPLE_DIFFERS, row.line, "value", what, hint)
    return False


def _as_order(row: Row, order: Order) -> Any:
    point = row.point.model_copy(update={"order": order})
    alone = _profile(Wanted(name="one"), {"it": Row(row.line, point, None)})
    return decoded(alone, {point.table: {point.at: row.raw}}).get("it")


def _near(found: Any, wanted: float, step: float) -> bool:
    """The same, as far as what is shown is rounded or cut off."""
    return isinstance(found, int | float) and math.isclose(found, wanted, rel_tol=1e-6, abs_tol=step)
