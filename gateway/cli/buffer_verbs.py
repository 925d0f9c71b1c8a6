"""gateway buffer show: the newest records in the store, what waits and what was set aside."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.buffer_view import DB, JSON, SITE, Lines, count_text, damage_of, place_of, rids
from gateway.cli.output import local_time, print_json
from gateway.model.errors import BadArgument

if TYPE_CHECKING:
    from buffer.inspect import ReadOnly
    from buffer.search import Records, Row


def room() -> None:
    """Look into the store. / Xem kho dữ liệu tại chỗ."""


def show(
    file: SITE = None,
    db: DB = None,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Newest records to show. / Số bản ghi.")] = 30,
    lane: Annotated[str | None, typer.Option("--lane", help="urgent, live or back. / Làn gửi.")] = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only what is still to be sent. / Đang chờ gửi.")] = False,
    aside: Annotated[
        bool, typer.Option("--set-aside", help="What the centre will never take. / Bản ghi để riêng.")
    ] = False,
    as_json: JSON = False,
) -> None:
    """Show what is stored and what waits. Reads only. / Xem dữ liệu đã lưu và đang chờ gửi."""
    from buffer.inspect import read_only
    from buffer.search import Records, Wanted, set_aside
    from gateway.cli.words import choices
    from gateway.model.ports import Lane

    lanes = choices(lane, "--lane", [known.name.lower() for known in Lane]) if lane is not None else [None]
    if len(lanes) > 1:
        raise BadArgument("one lane at a time", where="--lane", hint=f"--lane {lanes[0]}")
    place = place_of(file, db, "show")
    with read_only(place.path) as connection:
        wanted = Wanted(lane=lanes[0], waiting=waiting)
        records = Records(connection, wanted, int(time.time() * 1000), newest_first=True)
        newest = set_aside(connection, limit) if aside else _first(records, limit)
        content = {"file": str(place.path), **_summary(connection, records), "note": connection.note}
    damage = damage_of(place.path, records, rids)
    if as_json:
        print_json({**content, "unread": records.unread, "newest": newest})
    else:
        _print(content, newest)
    if damage:
        raise damage


def _first(records: Records, limit: int) -> list[Row]:
    found: list[Row] = []
    for rows in records.steps():
        found += rows
        if len(found) >= limit:
            break
    return found[:limit]


def _summary(connection: ReadOnly, records: Records) -> dict[str, Any]:
    """Nothing where the file is damaged: then the records that can be read still are shown."""
    from buffer.damage import is_damage
    from buffer.inspect import meta, summary

    for look in (summary, meta):
        try:
            return look(connection) if look is summary else {"epoch": meta(connection).get("epoch", "?")}
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            records.damaged_elsewhere()
    return {}


def _print(content: dict[str, Any], newest: list[Row]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    console.print(f"{escape(content['file'])}, epoch {content.get('epoch', '?')}", soft_wrap=True)
    if content["note"]:
        console.print(f"[yellow]{escape(content['note'])}[/]", soft_wrap=True)
    if content.get("records"):
        console.print(
            f"{count_text(content['records'])} records / bản ghi ({content['rid_lo']}..{content['rid_hi']}), "
            f"waiting / đang chờ gửi: {count_text(content['waiting'])}"
        )
        console.print(f"stored / lưu lúc: {local_time(content['oldest_ms'])} .. {local_time(content['newest_ms'])}")
    for reason, records in content.get("set_aside", {}).items():
        console.print(f"[yellow]set aside / để riêng: {records}[/] ({escape(reason)})")
    lines = Lines()
    lines.show(newest)
    lines.close()
    if not newest:
        console.print("nothing to show / không có bản ghi nào")
