"""gateway buffer find: records, or windows of the history, by what they say; the newest first."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.buffer_view import (
    DB,
    FROM,
    HISTORY,
    INDICATOR,
    JSON,
    POINT,
    QUALITY,
    REASON,
    SITE,
    TO,
    Lines,
    Searching,
    damage_of,
    place_of,
    rids,
    search_of,
    some_of,
    times,
    wanted_of,
)

if TYPE_CHECKING:
    from buffer.search import Records, Row, Windows


def find(
    file: SITE = None,
    db: DB = None,
    *,
    point: POINT = None,
    indicator: INDICATOR = None,
    from_: FROM = None,
    to: TO = None,
    quality: QUALITY = None,
    reason: REASON = None,
    history: HISTORY = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Most to show, 0: all. / Số dòng.")] = 100,
    as_json: JSON = False,
) -> None:
    """Find records, newest first, also in the history. Reads only. / Tìm bản ghi, mới nhất trước.

    With --json one record a line.
    """
    from buffer.inspect import read_only
    from buffer.search import points

    wanted = wanted_of(point, indicator, from_, to, quality, reason)
    place = place_of(file, db, "find")
    with read_only(place.path) as connection:
        if connection.note:
            sys.stderr.write(f"{connection.note}\n")
        found = search_of(connection, wanted, history, newest_first=True)
        lines = None if as_json else Lines(windows=history is not None)
        shown, more = _stream(found, limit, lines)
        if not shown:
            _nothing(some_of(points(connection)))
        elif more and not as_json:
            sys.stderr.write(f"the newest {shown} are shown / chỉ hiện {shown} dòng mới nhất: --limit 0\n")
    damage = damage_of(place.path, found, rids if history is None else times)
    if damage:
        raise damage


def _stream(found: Records | Windows, limit: int, lines: Lines | None) -> tuple[int, bool]:
    """How many were shown, and whether there are more."""
    searching, shown, more = Searching(), 0, False
    for rows in found.steps():
        searching.at(found.share, found.at_ms)
        if rows:
            searching.clear()
            more = bool(limit) and shown + len(rows) > limit
            some = rows[: limit - shown] if more else rows
            shown += len(some)
            _show(some, lines)
        if more:
            break
    searching.clear()
    if lines is not None:
        lines.close()
    return shown, more


def _show(rows: list[Row], lines: Lines | None) -> None:
    if lines is not None:
        lines.show(rows)
        return
    sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    sys.stdout.flush()


def _nothing(known: str) -> None:
    there = f"; points / điểm đo: {known}" if known else ""
    sys.stderr.write(f"nothing found / không tìm thấy{there}\n")
