"""gateway journal: what was done here, and whether it still is what was written. Reads only, also beside a running
gateway and in a copied file."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from gateway.cli.output import offset, print_json
from gateway.cli.words import moment, seconds
from gateway.model.errors import BadArgument

if TYPE_CHECKING:
    import sqlite3

    from buffer.journal import Choice, Row, Verdict

PROGRESS_FROM = 20_000

_SITE = Annotated[Path | None, typer.Argument(help="The site file. / Tệp cấu hình điểm.")]
_DB = Annotated[Path | None, typer.Option("--db", help="A store file, also a copy. / Tệp kho dữ liệu.")]
_KIND = Annotated[
    list[str] | None, typer.Option("--kind", help="command, violation, config … (again for more). / Loại mục.")
]
_FROM = Annotated[str | None, typer.Option("--from", help="2026-01-31, 2026-01-31T08:00 or -2h. / Từ lúc.")]
_TO = Annotated[str | None, typer.Option("--to", help="In the same way; a day is meant whole. / Đến lúc.")]
_JSON = Annotated[bool, typer.Option("--json", help="One JSON object. / Xuất JSON.")]


class Form(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    HTML = "html"


def room() -> None:
    """The journal: what was done here. / Nhật ký: những gì đã xảy ra tại đây."""


def verify(
    file: _SITE = None,
    db: _DB = None,
    heads: Annotated[
        Path | None, typer.Option("--heads", help="Heads the centre has: JSON lines. / Các mốc trung tâm đã nhận.")
    ] = None,
    as_json: _JSON = False,
) -> None:
    """Follow every link of the chain; exit code 1 if one is broken. / Kiểm tra chuỗi, mã thoát 1 nếu bị hỏng."""
    from buffer import journal

    path = _store(file, db, "verify")
    told = _heads(heads) if heads else {}
    with journal.opened(path) as connection:
        began = time.perf_counter()
        verdict = journal.verify(connection, told)
        took_s = time.perf_counter() - began
    if as_json:
        print_json(_verdict_json(path, verdict, took_s))
    else:
        _print_verdict(path, verdict, took_s, with_heads=heads is not None)
    if not verdict.holds:
        raise typer.Exit(1)


def show(
    file: _SITE = None,
    db: _DB = None,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first. / Số mục.")] = 30,
    kind: _KIND = None,
    from_: _FROM = None,
    to: _TO = None,
    since: Annotated[str | None, typer.Option("--since", help="The last 2h, 7d … / Trong khoảng vừa qua.")] = None,
    as_json: _JSON = False,
) -> None:
    """Show entries, newest first. / Xem các mục, mới nhất trước."""
    from buffer import journal

    choice = _choice(kind, from_, to, since)
    with journal.opened(_store(file, db)) as connection:
        rows = list(islice(journal.entries(connection, choice, newest_first=True), limit))
    if as_json:
        print_json([_row_json(row) for row in rows])
    else:
        _print_rows(rows)


def export(
    file: _SITE = None,
    db: _DB = None,
    *,
    form: Annotated[Form, typer.Option("--as", help="html: violations, to print. / Bản in vi phạm.")] = Form.JSONL,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write. / Tệp kết quả.")] = None,
    kind: _KIND = None,
    from_: _FROM = None,
    to: _TO = None,
    violation: Annotated[str | None, typer.Option("--violation", help="html: this one. / Một vi phạm.")] = None,
) -> None:
    """Write entries to a file, or to standard output. / Xuất các mục ra tệp."""
    from buffer import journal
    from gateway.cli.journal_lines import write_csv, write_jsonl

    choice = _choice(kind, from_, to, None)
    if violation is not None and form is not Form.HTML:
        raise BadArgument("one violation is for html alone", where="--violation", hint="--as html, or leave it out")
    if form is Form.HTML and set(choice.kinds) - {"violation"}:
        raise BadArgument("html is for violations alone", where="--kind", hint="use --as csv or --as jsonl")
    path = _store(file, db, "export")
    if violation is not None:
        _known(path, violation)
    with journal.opened(path) as connection, _output(out) as target:
        if form is Form.HTML:
            from gateway.cli.journal_report import write_report

            written = write_report(connection, choice, violation, target, int(time.time() * 1000))
        else:
            write = write_csv if form is Form.CSV else write_jsonl
            written = write(_watched(connection, journal.entries(connection, choice)), target)
    name = "violation(s) / vi phạm" if form is Form.HTML else "entries / mục"
    sys.stderr.write(f"{written} {name}{f' -> {out}' if out else ''}\n")


# --- what was asked for ---------------------------------------------------------------------------------------------


def _store(file: Path | None, db: Path | None, verb: str = "show") -> Path:
    if db is not None:
        return db
    if file is None:
        raise BadArgument("name a site file, or a store with --db", hint=f"gateway journal {verb} --db store.sqlite3")
    from config.site import load_site

    site = load_site(file)
    return site.state_dir / site.document.buffer.file


def _choice(kinds: list[str] | None, from_: str | None, to: str | None, since: str | None) -> Choice:
    from buffer.journal import Choice
    from gateway.cli.journal_lines import KINDS

    for kind in kinds or ():
        if kind not in KINDS:
            raise BadArgument(f"{kind!r} is no kind of entry", where="--kind", hint=f"one of {', '.join(KINDS)}")
    named: dict[str, int] = {}
    if since is not None:
        named["from_ms"] = int((time.time() - seconds(since, "--since")) * 1000)
    if from_ is not None:
        named["from_ms"] = moment(from_, "--from")
    if to is not None:
        named["to_ms"] = moment(to, "--to", last=True)
    choice = Choice(kinds=frozenset(kinds or ()), **named)
    if choice.to_ms < choice.from_ms:
        raise BadArgument("--to is before --from", where="--to", hint="swap the two")
    return choice


def _known(path: Path, violation: str) -> None:
    """Raises BadArgument when there is no such violation."""
    from buffer import journal

    with journal.opened(path) as connection:
        rows = journal.entries(connection, journal.Choice(kinds=frozenset({"violation"})))
        ids = list(dict.fromkeys(str(row.content.get("id")) for row in rows))
    if violation not in ids:
        hint = f"there are {', '.join(ids[-8:])}" if ids else "there is none in this journal"
        raise BadArgument(f"no violation {violation!r}", where="--violation", hint=hint)


def _heads(file: Path) -> dict[int, set[str]]:
    """Lines of {"seq", "head"}, or whole heartbeats as the centre got them."""
    told: dict[int, set[str]] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgument(f"cannot be read: {error}", where=str(file), hint="a file of JSON lines") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            head = json.loads(line)
            head = head.get("journal", head)
            told.setdefault(int(head["seq"]), set()).add(str(head["head"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            hint = 'a line is {"seq": 812, "head": "64 hex digits"}'
            raise BadArgument("this line is no head", where=f"{file}:{number}", hint=hint) from error
    return told


@contextmanager
def _output(out: Path | None) -> Iterator[TextIO]:
    """A file gets its name when it is whole."""
    if out is None:
        target = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="", write_through=True)
        try:
            yield target
        finally:
            target.detach()
        return
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as target:
            yield target
        part.replace(out)
    except OSError as error:
        raise BadArgument(f"cannot be written: {error.strerror}", where=str(out), hint="name another file") from error
    finally:
        part.unlink(missing_ok=True)


def _watched(connection: sqlite3.Connection, rows: Iterator[Row]) -> Iterator[Row]:
    """The same rows; a long way is shown on a terminal."""
    first, last = connection.execute("SELECT min(seq), max(seq) FROM journal").fetchone()
    if not sys.stderr.isatty() or first is None or last - first < PROGRESS_FROM:
        yield from rows
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("entries / mục", total=last - first)
        for row in rows:
            if row.seq % 1000 == 0:
                progress.update(task, completed=row.seq - first)
            yield row


# --- what is said ---------------------------------------------------------------------------------------------------


def _verdict_json(path: Path, verdict: Verdict, took_s: float) -> dict[str, Any]:
    from gateway.cli.journal_lines import fault

    return {
        "file": str(path),
        "holds": verdict.holds,
        "entries": verdict.entries,
        "first": verdict.first,
        "head": {"seq": verdict.head[0], "hash": verdict.head[1]},
        "cut_at": verdict.anchor[0],
        "broken": [
            {"seq": one.seq, "upto": max(one.seq, one.upto), "fault": one.fault, "en": en, "vi": vi}
            for one in verdict.broken
            for en, vi in [fault(one)]
        ],
        "faults": verdict.faults,
        "heads_met": verdict.heads_met,
        "heads_cut": verdict.heads_cut,
        "took_s": round(took_s, 3),
    }


def _print_verdict(path: Path, verdict: Verdict, took_s: float, *, with_heads: bool) -> None:
    from rich.console import Console
    from rich.markup import escape

    from gateway.cli.journal_lines import fault

    console = Console(soft_wrap=True, highlight=False)
    console.print(escape(str(path)))
    seq, head = verdict.head
    console.print(f"entries / số mục: {verdict.entries} ({verdict.first}..{seq}), {took_s:.1f} s")
    if verdict.anchor[0]:
        console.print(f"cut, and said so / đã cắt bớt, có ghi lại: 1..{verdict.anchor[0]}")
    for broken in verdict.broken:
        english, vietnamese = fault(broken)
        console.print(f"[red]{english}[/]\n  [red]{vietnamese}[/]")
    if verdict.faults > len(verdict.broken):
        console.print(f"[red]and {verdict.faults - len(verdict.broken)} more / và còn nữa[/]")
    if with_heads:
        console.print(f"heads of the centre / mốc của trung tâm: {verdict.heads_met} found / khớp, "
                      f"{verdict.heads_cut} older than the journal / cũ hơn nhật ký")  # fmt: skip
    if verdict.holds:
        console.print("[green]every link holds / chuỗi nguyên vẹn[/]")
        if not with_heads:
            console.print("an end that was taken off shows only with --heads\nphần cuối bị bỏ chỉ lộ ra với --heads")
    else:
        console.print("[red bold]BROKEN / ĐÃ BỊ SỬA HOẶC HỎNG[/]")
    if head:
        console.print(f"head / mục cuối: {seq}\n{escape(head)}")


def _row_json(row: Row) -> dict[str, Any]:
    from gateway.cli.journal_lines import stamp, what

    return {
        "seq": row.seq,
        "at": stamp(row.at_ms),
        "at_ms": row.at_ms,
        "kind": row.kind,
        "what": what(row),
        "body": row.content,
        "prev": row.prev,
        "hash": row.hash,
    }


def _print_rows(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.text import Text

    from gateway.cli.journal_lines import KINDS, stamp, what

    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{'no./số':>7}  {f'time / giờ {offset()}':<19}  {'kind / loại':<26}what / nội dung", style="bold")
    for row in rows:
        name = " / ".join(KINDS.get(row.kind, (row.kind,)))
        time_ = stamp(row.at_ms, "seconds")[:19].replace("T", " ")
        style = "red" if row.kind in {"violation", "lost"} else ""
        line = f"{row.seq:>7}  {time_:<19}  {name:<26}{what(row)}"
        # One line an entry for other programs; what a terminal would break anywhere is continued below.
        lines = wrap(line, console.width, subsequent_indent=" " * 9) if console.is_terminal else [line]
        console.print(Text("\n".join(lines), style=style))
    if not rows:
        console.print("no entries / chưa có mục nào")
