"""Violations on paper: a record each, Vietnamese first, with its place in the chain and whether the chain holds.

Whatever comes out of the journal is escaped; the page holds no script and loads nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from importlib.resources import files
from string import Template
from typing import TextIO

from buffer import journal
from buffer.journal import Choice, Row, Verdict
from gateway.cli.journal_lines import fault
from gateway.indicators.periods import LOCAL
from gateway.model.violation import Violation, ViolationState

STATES: Mapping[str, tuple[str, str]] = {
    ViolationState.OPENED: ("đã mở", "opened"),
    ViolationState.EXTENDED: ("đang tiếp diễn", "extended"),
    ViolationState.CLOSED: ("đã kết thúc", "closed"),
    ViolationState.ACKNOWLEDGED: ("đã xác nhận", "acknowledged"),
    ViolationState.CORRECTED: ("đã đính chính", "corrected"),
}
# Thông tư 10/2021/TT-BTNMT.
STATUSES = {
    "00": ("đang đo", "measuring"),
    "01": ("hiệu chuẩn", "calibrating"),
    "02": ("báo lỗi thiết bị", "device fault"),
}
QUALITIES = {
    "good": ("tốt", "good"),
    "uncertain": ("nghi ngờ", "uncertain"),
    "bad": ("xấu", "bad"),
    "missing": ("thiếu", "missing"),
}
SIGNS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥"}
SIGNATURES = (
    ("Người lập", "Prepared by"),
    ("Phụ trách trạm", "In charge of the station"),
    ("Đơn vị xác nhận", "Confirmed by"),
)
_READINGS = (("Từ", "from"), ("Đến", "to"), ("Giá trị", "value"), ("Chất lượng", "quality"))
_CHAIN = (
    ("Mục", "entry"),
    ("Lúc ghi", "written"),
    ("Trạng thái", "state"),
    ("Mã mục trước", "hash before"),
    ("Mã mục", "hash"),
)


def write_report(connection: sqlite3.Connection, choice: Choice, only: str | None, out: TextIO, now_ms: int) -> int:
    """A page for every violation that has an entry in the chosen time, with all its entries; `only`: for this id.
    Returns how many."""
    groups: dict[str, list[Row]] = {}
    chosen: set[str] = set()
    for row in journal.entries(connection, Choice(kinds={"violation"})):
        id_ = str(row.content.get("id", f"? {row.seq}"))
        groups.setdefault(id_, []).append(row)
        if choice.takes(row.kind, row.at_ms) and only in {None, id_}:
            chosen.add(id_)
    checked = _checked(journal.verify(connection), now_ms)
    pages = [_page(id_, rows, checked) for id_, rows in groups.items() if id_ in chosen]
    template = Template(files("gateway.cli").joinpath("journal_report.html").read_text(encoding="utf-8"))
    title = "Phiếu ghi nhận vượt giới hạn / Records of exceedance"
    none = "<p>Không có vi phạm nào trong khoảng thời gian này. / <i>No violation in this time.</i></p>"
    out.write(template.substitute(title=title, sections="\n".join(pages) or none))
    return len(pages)


def _page(id_: str, rows: Sequence[Row], checked: str) -> str:
    try:
        body = _record([Violation.of(row.content) for row in rows])
    except (ValueError, TypeError, AttributeError) as error:  # changed, or of another version: shown as it stands
        body = f"<p class='broken'>{escape(str(error))}</p>" + "".join(f"<pre>{escape(row.body)}</pre>" for row in rows)
    return (
        "<section>\n<h1>Phiếu ghi nhận vượt giới hạn</h1>\n"
        f"<p><i>Record of an exceedance</i><br>Số / <i>No.</i> <b>{escape(id_)}</b></p>\n"
        f"{body}{_entries(rows)}<div class='close'>\n{checked}{_signatures()}</div>\n</section>"
    )


# --- the record -----------------------------------------------------------------------------------------------------

_Fact = tuple[str, str, str]  # Vietnamese, English, value


def _record(records: Sequence[Violation]) -> str:
    last = records[-1]
    where: list[_Fact] = [
        ("Điểm quan trắc", "Site", last.site),
        ("Vị trí, cửa xả", "Place, outfall", last.place),
        ("Thông số", "Parameter", f"{last.name_vi} / {last.name_en} ({last.indicator})"),
    ]
    parts = [
        _facts("Nơi đo và thông số", "Where and what", where),
        _facts("Giới hạn", "Limit", _limit(last)),
        _facts("Diễn biến", "Course", _course(last)),
        _facts("Chất lượng số liệu", "Data quality", _quality(last)),
        _facts("Mẫu, ghi hình, xác nhận", "Sample, recording, acknowledgement", _handling(records)),
        _readings(records),
        _statuses(records),
    ]
    return "\n".join(parts)


def _limit(last: Violation) -> list[_Fact]:
    limit = last.limit
    return [
        ("Không vượt", "To be kept", f"{SIGNS[limit.op]} {_figure(limit.value)} {last.unit}"),
        ("Tính trên", "Taken over", _span(limit.over_s) if limit.over_s else "từng giá trị / single readings"),
        ("Căn cứ", "Legal basis", limit.basis),
        ("Điều khoản", "Clause", limit.clause),
        ("Giấy phép môi trường", "Permit", limit.permit),
        ("Bộ giới hạn, phiên bản", "Profile, version", limit.profile),
    ]


def _course(last: Violation) -> list[_Fact]:
    unit = last.unit
    duration = last.duration_s
    return [
        ("Bắt đầu", "Start", _when(last.start_ms)),
        ("Kết thúc", "End", "chưa kết thúc / still open" if last.end_ms is None else _when(last.end_ms)),
        ("Thời gian vượt", "Duration", "" if duration is None else _span(duration)),
        ("Giá trị cao nhất", "Peak", f"{_figure(last.peak)} {unit} ({_when(last.peak_ms)})"),
        ("Giá trị trung bình", "Mean", "" if last.mean is None else f"{_figure(last.mean)} {unit}"),
    ]


def _quality(last: Violation) -> list[_Fact]:
    share = f"{last.n} / {last.expected} ({100 * last.completeness:.1f} %)"
    return [("Số giá trị hợp lệ / phải có", "Valid / expected readings", share)]


def _handling(records: Sequence[Violation]) -> list[_Fact]:
    last = records[-1]
    by = last.acknowledged_by
    if by and last.acknowledged_ms is not None:
        by += f" ({_when(last.acknowledged_ms)})"
    return [
        ("Chai lấy mẫu tự động", "Sampler bottle", last.bottle),
        ("Đoạn ghi hình (lưu tại chỗ)", "Recording (kept on site)", last.clip),
        ("Người xác nhận", "Acknowledged by", by),
        ("Ghi chú", "Remarks", last.remarks),
    ]


def _readings(records: Sequence[Violation]) -> str:
    """Of all entries together; a later one knows better."""
    found = {(one.start_ms, one.end_ms): one for record in records for one in record.readings}
    last = records[-1]
    rows = []
    for one in (found[key] for key in sorted(found)):
        over = one.value is not None and not _kept(one.value, last.limit.op, last.limit.value)
        value = "–" if one.value is None else f"{_figure(one.value)}{' ▲' if over else ''}"
        cells = (
            _td(_when(one.start_ms)),
            _td(_when(one.end_ms)),
            _td(value, "number"),
            _td(_both(QUALITIES, one.quality)),
        )
        rows.append(f"<tr{' class=over' if over else ''}>{''.join(cells)}</tr>")
    heading = (*_READINGS[:2], (f"{_READINGS[2][0]}, {last.unit}", _READINGS[2][1]), _READINGS[3])
    return _table("Các giá trị đo (▲: ngoài giới hạn)", "Readings (▲: beyond the limit)", heading, rows)


def _statuses(records: Sequence[Violation]) -> str:
    found = sorted({one for record in records for one in record.statuses})
    rows = [f"<tr>{_td(_when(one.at_ms))}{_td(f'{one.code}: {_both(STATUSES, one.code)}')}</tr>" for one in found]
    return _table("Trạng thái thiết bị", "Instrument status", (("Lúc", "at"), ("Trạng thái", "status")), rows)


# --- its place in the chain -----------------------------------------------------------------------------------------


def _entries(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        state = _both(STATES, str(row.content.get("state", "")))
        cells = (
            _td(str(row.seq), "number"),
            _td(_when(row.at_ms)),
            _td(state),
            _td(row.prev, "hash"),
            _td(row.hash, "hash"),
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return _table("Các mục trong nhật ký (SHA-256)", "Entries of the journal", _CHAIN, lines)


def _checked(verdict: Verdict, now_ms: int) -> str:
    seq, head = verdict.head
    if verdict.holds:
        start = verdict.anchor[0] + 1
        said = (
            f"<b>Chuỗi nhật ký nguyên vẹn</b> từ mục {start} đến mục {seq}, kiểm tra lúc {_when(now_ms)}."
            f"<br><i>The chain of the journal holds from entry {start} to {seq}.</i>"
        )
    else:
        faults = "<br>".join(f"{escape(vi)}.<br><i>{escape(en)}.</i>" for en, vi in map(fault, verdict.broken))
        said = f"<b>CHUỖI NHẬT KÝ ĐÃ BỊ SỬA HOẶC HỎNG / THE CHAIN IS BROKEN</b>, {_when(now_ms)}<br>{faults}"
    last = f"Mã mục cuối / <i>newest hash</i>: <span class='hash'>{escape(head)}</span>"
    return f"<p class='{'holds' if verdict.holds else 'broken'}'>{said}<br>{last}</p>\n"


def _signatures() -> str:
    boxes = "".join(
        f"<div><b>{vi}</b><br><i>{en}</i><br><i>Ngày ..... / ..... / .........<br>(ký, ghi rõ họ tên)</i></div>"
        for vi, en in SIGNATURES
    )
    return f"<div class='signatures'>{boxes}</div>\n"


# --- pieces ---------------------------------------------------------------------------------------------------------


def _facts(vietnamese: str, english: str, facts: Iterable[_Fact]) -> str:
    rows = "".join(
        f"<tr><th>{escape(vi)} / <i>{escape(en)}</i></th><td>{escape(value) or '–'}</td></tr>\n"
        for vi, en, value in facts
    )
    return f"{_heading(vietnamese, english)}<table class='facts'>\n{rows}</table>\n"


def _table(vietnamese: str, english: str, columns: Iterable[tuple[str, str]], rows: Sequence[str]) -> str:
    names = "".join(f"<th>{escape(vi)}<br><i>{escape(en)}</i></th>" for vi, en in columns)
    body = "\n".join(rows) or "<tr><td colspan='9'>–</td></tr>"
    table = f"<table>\n<thead><tr>{names}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"
    return _heading(vietnamese, english) + table


def _heading(vietnamese: str, english: str) -> str:
    return f"<h2>{escape(vietnamese)} / <span class='en'>{escape(english)}</span></h2>\n"


def _td(text: str, kind: str = "") -> str:
    return f"<td{f' class={kind}' if kind else ''}>{escape(text)}</td>"


def _both(words: Mapping[str, tuple[str, str]], code: str) -> str:
    return " / ".join(words[code]) if code in words else code


def _when(at_ms: int) -> str:
    """22/11/2026 08:00:05 +07:00: what is signed is in local time, whatever the gateway's own clock shows. A damaged
    entry may hold any number."""
    try:
        at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)
        return f"{at.astimezone(LOCAL):%d/%m/%Y %H:%M:%S} +07:00"
    except (OverflowError, ValueError):
        return str(at_ms)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    shown = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in shown if number) or "0 s"


def _figure(value: float) -> str:
    """With a decimal point, and so many digits that no excess is rounded away; means have more, which say nothing."""
    return min(repr(value).removesuffix(".0"), f"{value:.10g}", key=len)


def _kept(value: float, op: str, limit: float) -> bool:
    return {"<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit}[op]
