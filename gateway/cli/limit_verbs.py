"""gateway limits: what values are held against, and how certain each number is."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.output import print_json
from gateway.model.errors import BadArgument

if TYPE_CHECKING:
    from gateway.indicators.limit_profiles import LimitProfile, Row

_JSON = Annotated[bool, typer.Option("--json", help="One JSON object. / Xuất JSON.")]
MARKS = {
    "source": ("source", "có nguồn"),
    "computed": ("computed", "tính từ nguồn"),
    "memory": ("FROM MEMORY", "TỪ TRÍ NHỚ"),
    "proposal": ("our proposal", "đề xuất"),
    "unsure": ("UNSURE", "CHƯA CHẮC"),
}


def list_(*, as_json: _JSON = False) -> None:
    """List the limit profiles there are. / Liệt kê hồ sơ giới hạn."""
    from config.limits_of import profiles

    found = profiles(Path.cwd())
    if as_json:
        print_json({"profiles": [_head(profile) for profile in found.values()]})
        return
    for profile in found.values():
        idle = sum(not row.trusted for row in profile.each)
        unsure = f", {idle} unconfirmed / chưa xác nhận" if idle else ""
        print(f"{profile.profile}\n  {profile.title_en} / {profile.title_vi}")
        print(f"  {profile.document}{_dates(profile)}; {len(profile.each)} rows / dòng{unsure}")


def show(
    name: Annotated[str, typer.Argument(help="Name of a limit profile. / Tên hồ sơ.")], *, as_json: _JSON = False
) -> None:
    """Show a limit profile with the mark of each number. / Xem từng số và mức chắc chắn."""
    from config.limits_of import LimitShelf

    shelf = LimitShelf(Path.cwd())
    profile = shelf.profile(name)
    if profile is None:
        wrong = next(iter(shelf.findings()), None)
        what = f"there is no sound limit profile {name!r}" if wrong is None else str(wrong)
        raise BadArgument(what, where=name, hint=shelf.hint(name))
    if as_json:
        print_json({**_head(profile), "rows": [_row(row) for row in profile.each]})
        return
    print(f"{profile.profile} v{profile.version}: {profile.title_en} / {profile.title_vi}")
    print(_wrapped(f"{profile.document}{_dates(profile)}", ""))
    for text in (profile.source, profile.note_en, profile.note_vi):
        if text:
            print(_wrapped(text, "  "))
    for row in profile.each:
        print(f"{'●' if row.trusted else '○'} {row.key}: {_numbers(row)} {row.unit} [{_mark(row)}]{_until(row)}")
    print(_legend(profile))


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        text, 80, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def _mark(row: Row) -> str:
    """How certain the numbers of a row are; of several levels, the least certain one is not passed over."""
    levels = [level.mark or row.mark for level in row.levels] or [row.mark]
    unsure = [mark for mark in levels if not mark.trusted]
    en, vi = MARKS[str(unsure[0] if unsure else levels[0])]
    return f"partly {en} / một phần {vi}" if unsure and len(unsure) < len(levels) else f"{en} / {vi}"


def _legend(profile: LimitProfile) -> str:
    lines = ["● judges / có đánh giá   ○ only when confirmed / chỉ khi được xác nhận"]
    if any(row.scaled for row in profile.each):
        lines.append("x Kq x Kf: only with `factors:` / chỉ khi khai báo `factors:` {kq: 0.9, kf: 1.1}")
    if any(row.given for row in profile.each):
        lines.append("from the site / do điểm khai báo: `values:`, `permit:`")
    unsure = next((row for row in profile.each if not row.trusted), None)
    if unsure is not None:
        which = unsure.station or unsure.code
        lines += [
            "? from memory: compare with the official text, then in the site file:",
            "? lấy từ trí nhớ: đối chiếu với văn bản gốc, rồi ghi vào tệp cấu hình:",
            "  limits:",
            f"    - profile: {profile.profile}",
            *([f"      station: {unsure.station}"] if unsure.station else []),
            *([f"      class: {unsure.class_}"] if unsure.class_ else []),
            f'      confirmed: {{by: "...", on: 2026-01-31, document: "...", rows: ["{which}"]}}',
        ]
    return "\n".join(lines)


def _dates(profile: LimitProfile) -> str:
    parts = [
        f"from / từ {profile.from_}" if profile.from_ else "",
        f"to / đến {profile.to}" if profile.to else "",
        f"SUPERSEDED BY / THAY BẰNG {profile.superseded_by}" if profile.superseded_by else "",
    ]
    return "".join(f", {part}" for part in parts if part)


def _until(row: Row) -> str:
    return f" until / đến {row.to}" if row.to else ""


def _numbers(row: Row) -> str:
    if row.given:
        return f"{row.op} from the site / do điểm khai báo"
    marks = [level.mark or row.mark for level in row.levels] or [row.mark]
    levels = [f"{at:g}{'' if mark.trusted else '?'}" for at, mark in zip(row.numbers, marks, strict=True)]
    return f"{row.op} {' / '.join(levels)}{' x Kq x Kf' if row.scaled else ''}"


def _head(profile: LimitProfile) -> dict[str, Any]:
    head: dict[str, Any] = profile.model_dump(mode="json", by_alias=True, exclude={"rows"})
    return {**head, "row_count": len(profile.each), "unconfirmed": sum(not row.trusted for row in profile.each)}


def _row(row: Row) -> dict[str, Any]:
    content: dict[str, Any] = row.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"also"})
    return {"key": row.key, **content, "confirmed": row.trusted}
