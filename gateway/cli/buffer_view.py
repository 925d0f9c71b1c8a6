"""What the store's verbs have in common: which file, how a record looks on a line, what to say of damage."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.buffer_target import target
from gateway.cli.output import offset, printable, short_time, written_time
from gateway.model.errors import BadArgument, StoreDamaged

if TYPE_CHECKING:
    from buffer.search import Records, Wanted, Windows
    from buffer.settings import BufferSettings

SITE = Annotated[Path | None, typer.Argument(help="The site file. / Tệp cấu hình điểm.", show_default=False)]
DB = Annotated[Path | None, typer.Option("--db", help="A store file, also a copy. / Tệp kho dữ liệu.")]
JSON = Annotated[bool, typer.Option("--json", help="JSON instead of a table. / Xuất JSON.")]
POINT = Annotated[list[str] | None, typer.Option("--point", help="Points, as 'level/*'. / Điểm đo.")]
INDICATOR = Annotated[list[str] | None, typer.Option("--indicator", help="Indicators, as 'flood.*'. / Chỉ số.")]
FROM = Annotated[str | None, typer.Option("--from", help="2026-01-31, 2026-01-31T08:00, or -2h. / Từ lúc.")]
TO = Annotated[str | None, typer.Option("--to", help="In the same way; a day is meant whole. / Đến lúc.")]
QUALITY = Annotated[str | None, typer.Option("--quality", help="good,uncertain,bad,missing. / Chất lượng.")]
REASON = Annotated[str | None, typer.Option("--reason", help="As stale or no_answer,spike. / Lý do.")]
HISTORY = Annotated[str | None, typer.Option("--history", help="Windows kept: 1min, 5min, 1h. / Lịch sử.")]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is. Without a site file its settings are not known."""

    path: Path
    socket: Path
    settings: BufferSettings | None = None


def place_of(site_file: Path | None, db: Path | None, verb: str) -> Place:
    """Raises BadArgument when neither is named, ConfigError for a site file with mistakes."""
    from gateway.api import SOCKET_NAME

    found = target(site_file, db, verb)
    socket = found.socket or found.store.parent / SOCKET_NAME
    return Place(found.store, socket, found.settings if db is None else None)


def wanted_of(
    point: list[str] | None, indicator: list[str] | None, from_: str | None, to: str | None,
    quality: str | None, reason: str | None,
) -> Wanted:  # fmt: skip
    """The filters as they were typed. Raises BadArgument."""
    from buffer.search import Wanted
    from gateway.cli.words import choices, moment
    from gateway.model.measure import Quality, Reason

    from_ms = moment(from_, "--from") if from_ else 0
    to_ms = moment(to, "--to", last=True) if to else None
    if to_ms is not None and to_ms < from_ms:
        raise BadArgument("--to is before --from", where="--to", hint="swap the two")
    return Wanted(
        points=tuple(point or ()),
        indicators=tuple(indicator or ()),
        from_ms=from_ms,
        to_ms=to_ms,
        qualities=frozenset(choices(quality, "--quality", Quality)) if quality else frozenset(),
        reasons=frozenset(choices(reason, "--reason", Reason)) if reason else frozenset(),
    )


def search_of(
    connection: sqlite3.Connection, wanted: Wanted, history: str | None, *, newest_first: bool
) -> Records | Windows:
    """In the records, or in the windows of this length."""
    from buffer.search import Records, Windows

    if history is None:
        return Records(connection, wanted, int(time.time() * 1000), newest_first=newest_first)
    return Windows(connection, wanted, span_of(history, connection), newest_first=newest_first)


def span_of(text: str, connection: sqlite3.Connection) -> int:
    """The length of windows that is asked for, s. Raises BadArgument when none of it is kept."""
    from buffer.damage import is_damage
    from buffer.history import lengths
    from gateway.cli.words import seconds

    span_s = int(seconds(text, "--history"))
    try:
        kept = lengths(connection)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return span_s  # what there is will show
    if span_s not in kept:
        there = ", ".join(map(span_text, kept)) or "none / không có"
        raise BadArgument(f"no windows of {text.strip()} are kept", where="--history", hint=f"kept: {there}")
    return span_s


def span_text(span_s: int) -> str:
    """ "10 s", "5 min", "1 h"."""
    for size, unit in ((3600, "h"), (60, "min")):
        if span_s % size == 0:
            return f"{span_s // size} {unit}"
    return f"{span_s} s"


def bytes_text(size: float) -> str:
    """ "512 B", "8.4 kB", "37 MB", in steps of 1000 as data sheets count."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def count_text(number: int) -> str:
    """Thousands apart: "184 467"."""
    return f"{number:,}".replace(",", " ")


def damage_of(path: Path, found: Records | Windows, what: Callable[[int, int], str]) -> StoreDamaged | None:
    """What could not be read, as an error to end with; None when everything could."""
    if not found.damaged:
        return None
    parts = [what(lo, hi) for lo, hi in found.unread]
    some = ", ".join(parts[:3]) + (f" and {len(parts) - 3} more places" if len(parts) > 3 else "")
    return StoreDamaged(
        f"not everything could be read: {some or 'pages of the file'}",
        where=str(path),
        hint="the rest is shown; copy the file away with its -wal before anything else",
    )


def rids(lo: int, hi: int) -> str:
    return f"records {lo}..{hi}" if hi > lo else f"record {lo}"


def times(lo_ms: int, hi_ms: int) -> str:
    return f"windows {short_time(lo_ms)} .. {short_time(hi_ms)}"


class Lines:
    """Records, or windows, a line each. How wide the columns are is decided by the first ones."""

    _EN = ("rid", "time", "point", "value", "quality")
    _VI = ("mã", "giờ", "điểm đo", "giá trị", "chất lượng")

    def __init__(self, *, windows: bool = False) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)
        self._windows = windows
        self._widths: list[int] = []
        self._starred = False

    def show(self, rows: Sequence[dict[str, Any]]) -> None:
        cells = [self._cells(row) for row in rows]
        if cells and not self._widths:
            self._begin(cells)
        for row, line in zip(rows, cells, strict=True):
            self._starred |= bool(row.get("waits"))
            colour = {"good": "", "uncertain": "yellow"}.get(row.get("q", ""), "red")
            self._line(line, "yellow" if "reason" in row else colour)

    def close(self) -> None:
        if self._starred:
            self._console.print("* still to be sent / còn chờ gửi", style="dim")

    def _begin(self, cells: Sequence[Sequence[str]]) -> None:
        heads = [f"{self._EN[1]} {offset()}" if name == "time" else name for name in self._EN]
        columns = list(zip(heads, self._VI, *cells, strict=True))
        self._widths = [max(map(len, column)) for column in columns]
        if self._windows:
            self._widths[0] = 0
        too_wide = sum(self._widths) + 2 * (len(self._widths) - 1) - self._console.width
        if too_wide > 0:
            self._widths[2] = max(12, self._widths[2] - too_wide)
        self._line(heads, "bold")
        self._line(self._VI, "dim")

    def _line(self, cells: Sequence[str], style: str) -> None:
        from rich.text import Text

        shown = [f"{_cut(cell, width):<{width}}" for cell, width in zip(cells, self._widths, strict=True) if width]
        *front, last = shown
        text = Text("  ".join(front) + "  ")
        text.append(last.rstrip(), style=style)
        if style in ("bold", "dim"):
            text.stylize(style)
        self._console.print(text, no_wrap=True, overflow="ellipsis", crop=True)

    def _cells(self, row: dict[str, Any]) -> tuple[str, ...]:
        from buffer.search import labelled

        unit = row.get("u", "")
        value = "-" if row.get("v") is None else f"{_value(row['v'])} {'' if unit == '1' else unit}".rstrip()
        mark = "*" if row.get("waits") else ""
        why = [row["reason"]] if "reason" in row else row.get("f", ())
        quality = " ".join([row.get("q", ""), ",".join(why)]).rstrip()
        name = labelled(row.get("pt", ""), row.get("tg"))
        if "al" in row:  # its value is a level and no measured one
            name, value, quality = _alarm_cells(row)
        at = _window_time(row["t1"], row["span_s"]) if self._windows else short_time(row["t1"])
        cells = f"{row.get('rid', '')}{mark}", at, name, value, quality
        return tuple(map(printable, cells))


def _value(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _alarm_cells(row: dict[str, Any]) -> tuple[str, str, str]:
    said, of = row["al"], row.get("tg", {}).get("of", "")
    measured = f" ({_value(said['val'])})" if "val" in said else ""
    return f"{row.get('pt', '')} {of}".rstrip(), f"{said.get('st')} {said.get('lvl')}{measured}", "alarm"


def _window_time(at_ms: int, span_s: int) -> str:
    """With the year: history goes back for years."""
    return written_time(at_ms, "%Y-%m-%d %H:%M" if span_s % 60 == 0 else "%Y-%m-%d %H:%M:%S")


def _cut(text: str, width: int) -> str:
    """The end of a name says more than its middle."""
    if len(text) <= width:
        return text
    tail = (width - 1) * 2 // 3
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


class Searching:
    """One line on a terminal's stderr that says how far a search is, once it takes longer than a second."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._next = self._begun + 1.0
        self._shown = False

    def at(self, share: float, at_ms: int) -> None:
        now = time.monotonic()
        if now < self._next or not sys.stderr.isatty():
            return
        self._next = now + 0.2
        self._shown = True
        where = short_time(at_ms) if at_ms else ""
        sys.stderr.write(f"\r\x1b[2Ksearching / đang tìm: {share:.0%}  {where}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._shown = False


def some_of(names: Iterable[str], most: int = 8) -> str:
    """A few of many names: "a, b, c, ..."."""
    ordered = sorted(names)
    return ", ".join(ordered[:most]) + (", ..." if len(ordered) > most else "")
