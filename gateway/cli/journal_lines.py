"""Entries of the journal as lines: for a person, for another program, for a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

from buffer.journal import Broken, Fault, Row
from gateway.cli.output import printable

KINDS = {
    "command": ("command", "lệnh"),
    "violation": ("violation", "vi phạm"),
    "alarm": ("alarm", "cảnh báo"),
    "config": ("configuration", "cấu hình"),
    "start": ("start", "khởi động"),
    "stop": ("stop", "dừng"),
    "lost": ("lost", "mất dữ liệu"),
    "store": ("store", "kho dữ liệu"),
    "maintenance": ("maintenance", "bảo trì"),
    "login": ("login", "đăng nhập"),
    "cut": ("cut", "cắt bớt"),
}
FAULTS = {
    Fault.CHANGED: (
        "it is not what was written: it, or one before it, was changed or taken out",
        "mục này không còn như lúc ghi: nó hoặc mục trước nó bị sửa hay bị bỏ",
    ),
    Fault.MISSING: ("entries are missing", "thiếu các mục"),
    Fault.PUT_IN: ("it was put in afterwards", "mục này bị chèn thêm sau"),
    Fault.CUT: ("older entries were removed, and none says so", "các mục cũ bị xóa mà không có mục nào ghi lại"),
    Fault.ANOTHER: (
        "the centre was told another hash: the journal was rewritten",
        "trung tâm đã nhận một mã khác: nhật ký đã bị viết lại",
    ),
    Fault.ENDS_BEFORE: (
        "the centre knows this entry, and the journal ends before it",
        "trung tâm biết mục này, nhưng nhật ký kết thúc trước đó",
    ),
}
# A spreadsheet takes a cell that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
SHOWN_TARGETS = 3


def stamp(at_ms: int, timespec: str = "milliseconds") -> str:
    """Local time with its offset. A damaged entry may hold any number: one that is no time is shown as it stands."""
    try:
        at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)
        return at.astimezone().isoformat(timespec=timespec)
    except (OverflowError, ValueError, OSError):
        return str(at_ms)


def fault(broken: Broken) -> tuple[str, str]:
    """What is wrong, in English and Vietnamese, with the numbers of the entries."""
    english, vietnamese = FAULTS[broken.fault]
    numbers = f"{broken.seq}..{broken.upto}" if broken.upto > broken.seq else str(broken.seq)
    return f"entry {numbers}: {english}", f"mục {numbers}: {vietnamese}"


# --- for a person ---------------------------------------------------------------------------------------------------


def what(row: Row) -> str:
    """The entry in one line. Nothing in it moves a terminal's cursor."""
    content = row.content
    try:
        text = _WORDS.get(row.kind, _plain)(content)
    except (KeyError, TypeError, AttributeError, ValueError):  # changed, or written by another version
        text = _plain(content)
    return printable(text)


def _plain(content: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
                     for key, value in content.items())  # fmt: skip


def _command(content: Mapping[str, Any]) -> str:
    if "count" in content:
        return f"{content['count']} more {content['state']}, only counted ({', '.join(content['iss'])})"
    targets = [_target(result) for result in content["res"]]
    more = f" +{len(targets) - SHOWN_TARGETS}" if len(targets) > SHOWN_TARGETS else ""
    by = f"{content['by']} @ {content['iss']}" if content["by"] else content["iss"]
    said = f", “{content['asked']}”" if content["asked"] else ""
    why = f": {content['why']}" if content["why"] else ""
    about = " ".join((content["op"], *([", ".join(targets[:SHOWN_TARGETS])] if targets else [])))
    return f"{content['state']}: {about}{more}, by {by}{said}{why}"


def _target(result: Mapping[str, Any]) -> str:
    if "how" not in result:
        return str(result["to"])
    error = f" ({result['err']})" if result.get("err") else ""
    return f"{result['to']} {_value(result['want'])}→{_value(result['got'])}{error}"


def _value(value: Any) -> str:
    return "?" if value is None else value if isinstance(value, str) else json.dumps(value)


def _violation(content: Mapping[str, Any]) -> str:
    limit = content["limit"]
    return (
        f"{content['id']} {content['state']}: {content['place']} {content['indicator']} "
        f"{content['peak']:.6g} {content['unit']}, limit {limit['op']} {limit['value']:.6g} ({limit['profile']})"
    )


def _config(content: Mapping[str, Any]) -> str:
    before = f", was {content['before'][:12]}" if content["before"] else ""
    return f"{content['file']} {content['config'][:12]}{before}, gateway {content['version']}"


def _start(content: Mapping[str, Any]) -> str:
    after = {"unclean": "after a stop that was not orderly", "clean": "after an orderly stop", "first": "the first"}
    return f"gateway {content['version']}, {after[content['after']]}"


def _maintenance(content: Mapping[str, Any]) -> str:
    who = content["who"]
    by = _plain(who) if isinstance(who, dict) else who
    result = _plain(content["result"])
    return f"{content['do']} ({_plain(content['args'])}) by {by}{f': {result}' if result else ''}"


def _alarm(content: Mapping[str, Any]) -> str:
    about = f"{content['point']} {content['indicator']} level {content['level']} ({content['rule']})"
    by = f"{content['by']} @ {content['via']}" if content["via"] != content["by"] else content["by"]
    return f"{content['id']} {content['state']}: {about}, by {by}"


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "command": _command,
    "violation": _violation,
    "alarm": _alarm,
    "config": _config,
    "start": _start,
    "stop": lambda content: f"gateway {content['version']}",
    "maintenance": _maintenance,
    "cut": lambda content: f"entries {content['from']}..{content['to']} removed, the journal was full",
}


# --- for programs ---------------------------------------------------------------------------------------------------


def write_jsonl(rows: Iterable[Row], out: TextIO) -> int:
    """A line an entry; `body` stands in it byte by byte as it was hashed. Returns how many."""
    written = 0
    for row in rows:
        written += 1
        body = row.body if "unreadable" not in row.content and "\n" not in row.body else json.dumps(row.body)
        out.write(
            f'{{"seq":{row.seq},"at":"{stamp(row.at_ms)}","at_ms":{row.at_ms},"kind":{json.dumps(row.kind)},'
            f'"body":{body},"prev":{json.dumps(row.prev)},"hash":{json.dumps(row.hash)}}}\n'
        )
    return written


def write_csv(rows: Iterable[Row], out: TextIO) -> int:
    """With the mark Excel needs to read Vietnamese letters, and no cell that it could take for a formula."""
    out.write("\ufeff")
    table = csv.writer(out)
    table.writerow(("seq", "at", "at_ms", "kind", "what", "body", "prev", "hash"))
    written = 0
    for row in rows:
        written += 1
        texts = (stamp(row.at_ms), str(row.at_ms), row.kind, what(row), row.body, row.prev, row.hash)
        table.writerow([row.seq, *map(cell, texts)])
    return written


def cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
