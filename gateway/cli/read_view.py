"""What one reading of a device looks like: a table of values, or each step from the registers to the value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from drivers import PointRead, decoded
from drivers.profiles import AnyProfile, FramePoint, JsonPoint, LinePoint, ModbusPoint, ModbusProfile, Tt10Point
from gateway.model.codes import catalogue
from gateway.model.errors import GatewayError
from gateway.model.measure import Reading, Signal, Value

_FIRST = {"coil": 0, "discrete": 1, "input": 3, "holding": 4}
_QUALITY_VI = {"good": "tốt", "uncertain": "nghi ngờ", "bad": "xấu", "missing": "không có số liệu"}


@dataclass(frozen=True, slots=True)
class Answers:
    """What a device said once, judged. signals: by id."""

    device: str
    profile: AnyProfile
    reads: Sequence[PointRead]
    signals: Mapping[str, Signal]


def as_dict(answers: Answers, *, raw: bool) -> dict[str, Any]:
    rows = []
    for read in answers.reads:
        row = read.as_json()
        if raw:
            rule = answers.signals[read.reading.signal].rule
            row |= {"where": place(answers.profile, read.point), "decoded": unscaled(answers.profile, read)}
            row |= {"low": rule.low, "high": rule.high}
        rows.append(row)
    return {"device": answers.device, "profile": answers.profile.profile, "points": rows}


def print_answers(answers: Answers, *, raw: bool) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{answers.device}[/] {answers.profile.profile}: {escape(answers.profile.title_vi)}")
    console.print(_steps(answers) if raw else _values(answers))
    for read in answers.reads:
        if read.reading.reasons and read.reading.value is not None:
            console.print(f"[yellow]{read.point}[/]: {in_words(read.reading)}")
    for problem in dict.fromkeys(read.error for read in answers.reads if read.error):
        console.print(f"[red]{escape(problem)}[/]")


def _values(answers: Answers) -> Table:
    table = Table(
        "point\nđiểm đo", "raw\ndữ liệu thô", "value\ngiá trị", "unit\nđơn vị", "quality\nchất lượng", "ms",
        box=SIMPLE_HEAD, pad_edge=False,
    )  # fmt: skip
    for read in answers.reads:
        why = f" ({', '.join(read.reading.reasons)})" if read.reading.reasons else ""
        table.add_row(
            read.point, escape(raw_text(read)), value_text(read.reading.value), unit_text(read.unit),
            f"{coloured(read.reading.quality)}{why}", f"{read.answer_ms:.1f}",
        )  # fmt: skip
    return table


def _steps(answers: Answers) -> Table:
    """One point takes two lines: what came, and what became of it."""
    table = Table(
        "point, place\nđiểm đo, vị trí", "raw → decoded\nthô → giải mã", "value, range\ngiá trị, dải đo",
        "quality, ms\nchất lượng", box=SIMPLE_HEAD, pad_edge=False, expand=False,
    )  # fmt: skip
    for read in answers.reads:
        rule = answers.signals[read.reading.signal].rule
        number = unscaled(answers.profile, read)
        value = f"{value_text(read.reading.value)} {unit_text(read.unit)}".strip()
        why = f"\n{', '.join(read.reading.reasons)}" if read.reading.reasons else ""
        table.add_row(
            f"{read.point}\n[dim]{escape(place(answers.profile, read.point))}[/]",
            escape(raw_text(read)) + ("" if number is None else f"\n→ {escape(value_text(number))}"),
            f"[bold]{value}[/]\n[dim]{range_text(rule.low, rule.high)}[/]",
            f"{coloured(read.reading.quality)} {read.answer_ms:.1f}{why}",
        )
    return table


def place(profile: AnyProfile, name: str) -> str:
    """Where the value stands, in the words of the manual: "holding 12 (4x0013) u16 ×0.1"."""
    point = profile.points_by_name()[name]
    if isinstance(point, ModbusPoint) and isinstance(profile, ModbusProfile):
        wire_at = point.at - profile.first_address
        order = "" if point.order == "abcd" or point.words < 2 else f" {point.order}"
        bit = "" if point.bit is None else f".{point.bit}"
        bits = "" if point.bits is None else f" bits {point.bits[0]}-{point.bits[1]}"
        number = f"{_FIRST[point.table]}x{wire_at + 1:04d}"
        return f"{point.table} {point.at}{bit} ({number}) {point.type}{order}{bits}{_scaling(point)}"
    if isinstance(point, LinePoint):
        return f"line {point.line}, field {point.field}{_scaling(point)}"
    if isinstance(point, FramePoint):
        return f"frame {point.frame}, byte {point.at} {point.type} {point.order}{_scaling(point)}"
    if isinstance(point, JsonPoint):
        return f"{point.source} {point.pointer or '(all)'}{_scaling(point)}"
    return f"symbol {point.symbol}{_scaling(point)}" if isinstance(point, Tt10Point) else ""


def _scaling(point: Any) -> str:
    text = "" if point.scale == 1 else f" ×{point.scale:g}"
    return text if point.offset == 0 else f"{text} {point.offset:+g}"


def unscaled(profile: AnyProfile, read: PointRead) -> Value | None:
    """The number in the registers before scale, offset and marks of "no reading"; None where that is not a step."""
    point = profile.points_by_name()[read.point]
    if not (isinstance(point, ModbusPoint) and isinstance(profile, ModbusProfile)) or not read.raw:
        return None
    if point.type in {"bool", "text"} or isinstance(read.raw, str):
        return None
    plain = point.model_copy(update={"scale": 1.0, "offset": 0.0, "not_available": (), "values": {}})
    alone = profile.model_copy(update={"points": {read.point: plain}})
    try:
        return decoded(alone, {point.table: {point.at: list(read.raw)}}).get(read.point)
    except GatewayError:
        return None


def raw_text(read: PointRead) -> str:
    """Registers as hex words, texts as they came."""
    return read.raw if isinstance(read.raw, str) else " ".join(f"{word:04x}" for word in read.raw)


def value_text(value: Value | None) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return "-" if value is None else escape(str(value))


def unit_text(unit: str) -> str:
    return "" if unit == "1" else unit


def range_text(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f"{'' if low is None else f'{low:g}'} .. {'' if high is None else f'{high:g}'}"


def coloured(quality: str) -> str:
    colour = {"good": "green", "uncertain": "yellow"}.get(quality, "red")
    return f"[{colour}]{quality}[/] {_QUALITY_VI.get(quality, '')}".rstrip()


def in_words(reading: Reading) -> str:
    """Its reasons for a person, in both languages."""
    entries = [catalogue()[reason] for reason in reading.reasons if reason in catalogue()]
    return "; ".join(f"{entry.title_en} / {entry.title_vi}" for entry in entries)
