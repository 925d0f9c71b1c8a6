"""gateway buffer show: what is in the store, safe while the gateway runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import local_time, offset, print_json, short_time
from gateway.model.errors import BadArgument


def room() -> None:
    """Look into the store. / Xem kho dữ liệu tại chỗ."""


def show(
    file: Annotated[Path | None, typer.Argument(help="The site file. / Tệp cấu hình điểm.")] = None,
    db: Annotated[Path | None, typer.Option("--db", help="A store file, also a copy. / Tệp kho dữ liệu.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Newest records to show. / Số bản ghi.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object. / Xuất JSON.")] = False,
) -> None:
    """Show what is stored and what waits. Reads only. / Xem dữ liệu đã lưu và đang chờ gửi."""
    from buffer.inspect import newest, read_only, summary

    path = db or _store_of(file)
    with read_only(path) as connection:
        content = {"file": str(path), **summary(connection), "newest": newest(connection, limit)}
    if as_json:
        print_json(content)
    else:
        _print(content)


def _store_of(file: Path | None) -> Path:
    if file is None:
        raise BadArgument("name a site file, or a store with --db", hint="gateway buffer show --db store.sqlite3")
    from config.site import load_site

    site = load_site(file)
    return site.state_dir / site.document.buffer.file


def _print(content: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(f"{escape(content['file'])}, epoch {content['epoch']}", soft_wrap=True)
    console.print(
        f"{content['records']} records / bản ghi ({content['rid_lo']}..{content['rid_hi']}), "
        f"waiting / đang chờ gửi: {content['waiting']}, "
        f"{local_time(content['oldest_ms'])} .. {local_time(content['newest_ms'])}"
    )
    for reason, records in content["set_aside"].items():
        console.print(f"[yellow]set aside / để riêng: {records}[/] ({escape(reason)})")
    table = Table("rid", "point", "value", "quality", f"until {offset()}", "state", box=SIMPLE_HEAD, pad_edge=False)
    for record in content["newest"]:
        value = "-" if record["v"] is None else escape(str(record["v"]))
        why = f" ({', '.join(record['f'])})" if record.get("f") else ""
        state = f"[yellow]waits, {record['lane']}[/]" if record["waits"] else "sent"
        table.add_row(
            str(record["rid"]), record["pt"], value, f"{record['q']}{why}",
            short_time(record["t1"]), state,
        )  # fmt: skip
    console.print(table)
    console.print("waits: still to be sent / chờ gửi; sent: the broker has it / đã gửi")
