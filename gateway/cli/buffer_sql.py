"""gateway buffer sql: questions in SQL to a store that nobody can change by them."""

from __future__ import annotations

import contextlib
import csv
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.buffer_view import DB, JSON, place_of
from gateway.cli.output import print_json, printable
from gateway.cli.words import moment, seconds
from gateway.model.errors import BadArgument

if TYPE_CHECKING:
    from rich.console import Console

    from buffer.inspect import ReadOnly
    from buffer.views import Guard

_STEPS = 20_000  # of SQLite's machine between two looks at the clock: well below 10 ms
Answer = list[dict[str, Any]]


def sql(
    first: Annotated[
        str | None, typer.Argument(metavar="[SITE]", help="The site file. / Tệp cấu hình.", show_default=False)
    ] = None,
    second: Annotated[
        str | None, typer.Argument(metavar="[QUERY]", help="One SELECT; none: what can be asked. / Câu truy vấn.")
    ] = None,
    *,
    db: DB = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Most rows, 0: all. / Số dòng.")] = 1000,
    timeout: Annotated[str, typer.Option("--timeout", help="Longest, as 30s or 5m. / Thời gian tối đa.")] = "60s",
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of a table. / Xuất CSV.")] = False,
    as_json: JSON = False,
) -> None:
    """Ask the store in SQL. It can only read. / Truy vấn kho dữ liệu bằng SQL, chỉ đọc.

    Without QUERY it says what can be asked, with an example each.
    """
    site, query = (None, first) if db is not None and second is None else (first and Path(first), second)
    timeout_s = seconds(timeout, "--timeout")
    place = place_of(site or None, db, "sql")
    from buffer.inspect import read_only
    from buffer.views import Guard, prepare

    with read_only(place.path) as connection:
        if connection.note:
            sys.stderr.write(f"{connection.note}\n")
        asked = _Moments()
        prepare(connection, asked)
        if not query:
            _print_views(connection, as_json=as_json)
            return
        from sqlite_utils import Database

        database = Database(connection, execute_plugins=False)
        guard = Guard(connection)
        rows: Answer = []
        try:
            with _stoppable(connection, timeout_s) as stopped, _in_words(guard, asked, stopped, timeout):
                # All of them before the first is shown: who reads slowly must not hold a transaction.
                for row in islice(database.query(query), limit + 1 if limit else None):
                    rows.append(row)
        finally:
            if rows:
                _print(rows[: limit or None], as_csv=as_csv, as_json=as_json)
    if limit and len(rows) > limit:
        sys.stderr.write(f"only the first {limit} rows / chỉ {limit} dòng đầu: --limit 0\n")
    elif not rows:
        _print_nothing(as_json=as_json)


class _Moments:
    """`ms('-2h')` in a query; remembers what was wrong with it, since SQLite does not."""

    def __init__(self) -> None:
        self.wrong: BadArgument | None = None

    def __call__(self, text: str) -> int:
        try:
            return moment(str(text), "ms(...)")
        except BadArgument as error:
            self.wrong = error
            raise


class _Stopped:
    """Why a query ended before its time: "", "time" or "person"."""

    why = ""


@contextlib.contextmanager
def _stoppable(connection: sqlite3.Connection, timeout_s: float) -> Iterator[_Stopped]:
    """By Ctrl-C, and by the clock: SQLite asks every so many steps whether to go on."""
    stopped = _Stopped()
    until = time.monotonic() + timeout_s

    def over() -> bool:
        if time.monotonic() > until:
            stopped.why = stopped.why or "time"
        return bool(stopped.why)

    def person(*_: Any) -> None:
        stopped.why = "person"

    before = signal.signal(signal.SIGINT, person)
    connection.set_progress_handler(over, _STEPS)
    try:
        yield stopped
    finally:
        connection.set_progress_handler(None, 0)
        signal.signal(signal.SIGINT, before)
    if stopped.why == "person":
        raise KeyboardInterrupt


@contextlib.contextmanager
def _in_words(guard: Guard, asked: _Moments, stopped: _Stopped, timeout: str) -> Iterator[None]:
    """SQLite's errors as one line with a hint."""
    from buffer.damage import is_damage

    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        if stopped.why == "person":
            raise KeyboardInterrupt from None
        if stopped.why == "time":
            hint = "--timeout 5m, or ask for less: WHERE stored_ms > ms('-1d')"
            raise BadArgument(f"not done after {timeout}", where="query", hint=hint) from error
        if asked.wrong is not None:
            raise asked.wrong from error
        if guard.denied or isinstance(error, ValueError):
            what = guard.denied or "this statement"
            hint = "one SELECT; without a query the verb lists what can be asked"
            raise BadArgument(f"{what} is refused: a store is only read", where="query", hint=hint) from error
        if isinstance(error, sqlite3.Error) and is_damage(error):
            raise
        raise BadArgument(str(error), where="query", hint=_hint(str(error))) from error


def _hint(error: str) -> str:
    if "no such column" in error or "no such table" in error:
        return "without a query the verb lists all views and their columns"
    if "one statement" in error:
        return "one SELECT at a time, without a ; in it"
    return "text stands in single quotes: WHERE point = 'level/1'"


def _print(rows: Answer, *, as_csv: bool, as_json: bool) -> None:
    plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
    if as_json:
        print_json(plain)
    elif as_csv:
        from gateway.cli.buffer_files import safe

        writer = csv.writer(sys.stdout)
        writer.writerow(plain[0])
        writer.writerows([safe(value) for value in row.values()] for row in plain)
    else:
        _table(plain)


def _print_nothing(*, as_json: bool) -> None:
    if as_json:
        print_json([])
    sys.stderr.write("no rows / không có dòng nào\n")


def _plain(value: Any) -> Any:
    """As JSON can say it."""
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value.hex() if isinstance(value, bytes) else value


def _table(rows: Answer) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    widths = [max(len(name), *(len(_text(row[name])) for row in rows)) for name in rows[0]]
    if len(widths) > 4 and sum(widths) + 3 * len(widths) - 1 > console.width:
        _one_below_the_other(console, rows)
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        numbers = all(isinstance(row[name], int | float | None) for row in rows)
        table.add_column(Text(name), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row.values()))
    console.print(table)


def _one_below_the_other(console: Console, rows: Answer) -> None:
    """What is too wide for a table."""
    from rich.text import Text

    width = max(map(len, rows[0]))
    for row in rows:
        for name, value in row.items():
            console.print(Text.assemble((f"{name:>{width}}  ", "dim"), _text(value)), soft_wrap=True)
        console.print()


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.15g}"
    return "" if value is None else "\n".join(map(printable, str(value).expandtabs().split("\n")))


def _print_views(connection: ReadOnly, *, as_json: bool) -> None:
    from buffer.views import views

    columns = {
        view.name: [row[1] for row in connection.execute(f"PRAGMA temp.table_info({view.name})")] for view in views()
    }
    if as_json:
        print_json([
            {"view": v.name, "en": v.en, "vi": v.vi, "columns": columns[v.name], "example": v.example}
            for v in views()
        ])  # fmt: skip
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    for view in views():
        console.print(Text.assemble((view.name, "bold"), f": {view.en} / {view.vi}"))
        console.print(Padding(Text(", ".join(columns[view.name]), style="dim"), (0, 0, 0, 2)))
        console.print(Padding(Text(view.example, style="cyan"), (0, 0, 1, 2)))
    console.print("Times ending in _ms are ms UTC; ms('2026-01-31 08:00') and ms('-2h') make one.")
    console.print("Cột _ms là mili giây UTC; ms('2026-01-31 08:00') và ms('-2h') đổi giờ ra ms.")
