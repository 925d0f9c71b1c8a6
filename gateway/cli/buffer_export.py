"""gateway buffer export: records, or the history, as a file for spreadsheets and programs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from gateway.cli.buffer_files import RECORD, WINDOW, CsvSheet, JsonLines, ParquetSheet, Sheet
from gateway.cli.buffer_view import (
    DB,
    FROM,
    HISTORY,
    INDICATOR,
    POINT,
    QUALITY,
    REASON,
    TO,
    count_text,
    damage_of,
    place_of,
    rids,
    search_of,
    times,
    wanted_of,
)  # fmt: skip
from gateway.cli.output import print_json
from gateway.cli.words import choices
from gateway.model.errors import BadArgument

if TYPE_CHECKING:
    from buffer.search import Records, Windows

_FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def export(
    first: Annotated[
        str | None, typer.Argument(metavar="SITE", help="The site file. / Tệp cấu hình.", show_default=False)
    ] = None,
    second: Annotated[
        str | None, typer.Argument(metavar="OUT", help="The file to write, - for stdout. / Tệp xuất.")
    ] = None,
    *,
    db: DB = None,
    as_: Annotated[str | None, typer.Option("--as", help="csv, jsonl or parquet. / Định dạng.")] = None,
    point: POINT = None,
    indicator: INDICATOR = None,
    from_: FROM = None,
    to: TO = None,
    quality: QUALITY = None,
    reason: REASON = None,
    history: HISTORY = None,
    comma: Annotated[
        bool, typer.Option("--decimal-comma", help="CSV with 1,5 and ';'. / CSV cho Excel tiếng Việt.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT. / Ghi đè.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was written, as JSON. / Tóm tắt JSON.")] = False,
) -> None:
    """Write records or windows to a file, oldest first. / Xuất dữ liệu ra CSV, JSON Lines, Parquet.

    Safe beside a running gateway. The format follows the name of OUT unless --as says it.
    """
    site, out = (None, first) if db is not None and second is None else (first and Path(first), second)
    if out is None:
        raise BadArgument("name the file to write", hint="gateway buffer export SITE records.csv, or - for stdout")
    shape = _shape(out, as_)
    wanted = wanted_of(point, indicator, from_, to, quality, reason)
    place = place_of(site or None, db, "export")
    from buffer.inspect import read_only

    with read_only(place.path) as connection, whole_file(out, force=force) as stream:
        if connection.note:
            sys.stderr.write(f"{connection.note}\n")
        found = search_of(connection, wanted, history, newest_first=False)
        columns = RECORD if history is None else WINDOW
        sheet: Sheet
        if shape == "csv":
            sheet = CsvSheet(stream, columns, comma=comma, bom=out != "-")
        else:
            sheet = JsonLines(stream) if shape == "jsonl" else ParquetSheet(stream, columns)
        rows = _pour(found, sheet)
    _say(out, rows, as_json=as_json)
    damage = damage_of(place.path, found, rids if history is None else times)
    if damage:
        raise damage


def _shape(out: str, as_: str | None) -> str:
    if as_ is not None:
        return choices(as_, "--as", ("csv", "jsonl", "parquet"))[0]
    if out == "-":
        return "csv"
    suffix = Path(out).suffix.lower()
    if suffix not in _FORMATS:
        raise BadArgument(f"{suffix or out!r} names no format", where=out, hint=".csv, .jsonl, .parquet, or --as csv")
    return _FORMATS[suffix]


@contextlib.contextmanager
def whole_file(out: str, *, force: bool) -> Iterator[IO[bytes]]:
    """Under another name until it is complete, so that nobody takes half a file for a whole one."""
    if out == "-":
        yield sys.stdout.buffer
        return
    target = Path(out)
    if target.exists() and not force:
        raise BadArgument("this file is there already", where=out, hint="another name, or --force to overwrite it")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    except OSError as error:
        hint = "the folder must exist, be writable and have room"
        raise BadArgument(f"cannot be written: {error.strerror}", where=out, hint=hint) from error
    finally:
        part.unlink(missing_ok=True)


def _pour(found: Records | Windows, sheet: Sheet) -> int:
    """How many rows were written."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    written = 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("writing / đang ghi", total=1.0)
        for rows in found.steps():
            sheet.write(rows)
            written += len(rows)
            progress.update(task, completed=found.share)
        sheet.close()
    return written


def _say(out: str, rows: int, *, as_json: bool) -> None:
    if as_json and out != "-":
        print_json({"file": out, "rows": rows, "bytes": Path(out).stat().st_size})
    else:
        where = "" if out == "-" else f" in {out}"
        sys.stderr.write(f"{count_text(rows)} rows / dòng{where}\n")
