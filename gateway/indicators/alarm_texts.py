"""What an alarm says to people, in English and Vietnamese, 160 characters at most: the length of a short message."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from gateway.model.limit import Threshold
from gateway.model.measure import Signal

MOST_SIGNS = 160
_NAME, _BASIS = 60, 40
_SIGNS = {"<=": "≤", "<": "<", ">=": "≥", ">": ">"}
_ROMAN = ("0", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")


class Text(NamedTuple):
    en: str
    vi: str

    def short(self) -> Text:
        return Text(_cut(self.en, MOST_SIGNS), _cut(self.vi, MOST_SIGNS))


class Ending(Enum):
    """Why an alarm is over."""

    VALUE = Text("Over", "Đã hết")
    EXPIRED = Text("Ended, its limit is not in force", "Kết thúc, giới hạn không còn hiệu lực")
    UNCONFIRMED = Text("Ended, its limit is not confirmed", "Kết thúc, giới hạn chưa được xác nhận")
    REMOVED = Text("Ended, its rule is not there any more", "Kết thúc, quy tắc không còn nữa")


def said(threshold: Threshold, signal: Signal, level: int, value: float | None) -> Text:
    """What is wrong. The threshold's own text with {level}, {roman}, {name}, {point}, {value} and {limit} filled in
    (other braces stay); else composed of the same."""
    limit = threshold.levels[level - 1]
    return Text(
        _fill(threshold.text_en or _composed(threshold, "Level {level}", "Alarm", "limit"),
              _words(signal, signal.name_en, level, value, limit, ".")),
        _fill(threshold.text_vi or _composed(threshold, "Cấp {level}", "Cảnh báo", "giới hạn"),
              _words(signal, signal.name_vi or signal.name_en, level, value, limit, ",")),
    ).short()  # fmt: skip


def over(ending: Ending, text: Text) -> Text:
    """That what was said is over, and why."""
    return Text(f"{ending.value.en}: {text.en}", f"{ending.value.vi}: {text.vi}").short()


def number(value: float) -> str:
    """As short as people want it: 61.5, 12345, 0.0032."""
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"


def _composed(threshold: Threshold, leveled: str, single: str, limit: str) -> str:
    head = leveled if len(threshold.levels) > 1 else single
    basis = _cut(threshold.limit.basis, _BASIS).replace("{", "(").replace("}", ")")
    why = f" ({basis})" if basis else ""
    return f"{head}: {{name}} {{value}}, {limit} {_SIGNS[threshold.limit.op]} {{limit}}{why}"


def _words(signal: Signal, name: str, level: int, value: float | None, limit: float, point: str) -> dict[str, str]:
    unit = "" if signal.unit in ("", "1") else f" {signal.unit}"
    name = f"{name} ({signal.point})" if name else signal.point
    return {
        "level": str(level),
        "roman": _ROMAN[level] if level < len(_ROMAN) else str(level),
        "name": _cut(name, _NAME),
        "point": signal.point,
        "value": "?" if value is None else number(value).replace(".", point) + unit,
        "limit": number(limit).replace(".", point) + unit,
    }


def _fill(text: str, words: dict[str, str]) -> str:
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
    return text


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
