"""What `gateway buffer status` looks like on a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.cli.buffer_view import bytes_text, count_text, span_text
from gateway.cli.output import age, offset, short_time
from gateway.cli.words import lasting

if TYPE_CHECKING:
    from rich.table import Table

Content = Mapping[str, Any]
_LANES = {"urgent": "khẩn", "live": "mới", "back": "tồn đọng"}
_UNREADABLE = "[red]cannot be read / không đọc được[/]"


def print_status(content: Content) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    console.print(f"[bold]{escape(content['path'])}[/]", soft_wrap=True)
    if content["note"]:
        console.print(f"[yellow]{escape(content['note'])}[/]", soft_wrap=True)
    console.print(_lanes(content) if content["waiting"] else f"waiting / đang chờ: {_UNREADABLE}")
    grid = _grid()
    for label, text in (*_flow(content), *_kept(content), *_ground(content)):
        grid.add_row(label, text)
    console.print(grid)


def _grid() -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _lanes(content: Content) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, justify in (
        ("lane\nlàn gửi", "left"), ("waiting\nđang chờ", "right"), ("size\ndung lượng", "right"),
        ("oldest\ncũ nhất", "right"),
    ):  # fmt: skip
        table.add_column(name, justify=justify)  # type: ignore[arg-type]  # two of the words it takes
    for lane, vi in _LANES.items():
        row = content["waiting"][lane]
        oldest = age(content["now_ms"], row["oldest_ms"]) if row["oldest_ms"] else "-"
        size = bytes_text(row["bytes"]) if row["bytes"] else "-"
        colour = "yellow" if row["records"] and lane != "live" else ""
        records = count_text(row["records"])
        table.add_row(f"{lane} / {vi}", f"[{colour}]{records}[/]" if colour else records, size, oldest)
    return table


def _flow(content: Content) -> list[tuple[str, str]]:
    from rich.markup import escape

    rows = []
    if content["why"]:
        rows.append(("why / vì sao", f"[yellow]{escape(content['why'])}[/]"))
    for reason, records in (content["set_aside"] or {}).items():
        rows.append(("set aside / để riêng", f"[yellow]{count_text(records)}[/] {escape(reason)}"))
    for name, label in (("now", "now / hiện tại"), ("tally", "counted / đã đếm")):
        if rate := content["rates"][name]:
            rows.append((label, _rate(rate, content)))
    lost = content["lost"]
    rows.append(("lost so far / đã mất", f"[red]{count_text(lost)}[/]" if lost else "0"))
    return rows


def _rate(rate: Content, content: Content) -> str:
    text = (
        f"in / vào {rate['in_per_s']:.3g}/s, out / ra {rate['out_per_s']:.3g}/s "
        f"(over / trong {lasting(rate['over_s'])})"
    )
    waiting = content["waiting"]
    # What is only on its way, as live records are for some seconds, is no backlog.
    if not (content["why"] or any(waiting.get(lane, {}).get("records") for lane in ("urgent", "back"))):
        return text
    if rate["empty_s"] is None:
        return f"{text}\n[yellow]empty: never at this rate / không bao giờ hết[/]"
    return f"{text}\nempty in / gửi hết sau {lasting(rate['empty_s'])}"


def _kept(content: Content) -> list[tuple[str, str]]:
    held, journal, records = content["held"], content["journal"], content["records"]
    rows = [("records / bản ghi", _UNREADABLE if records is None else count_text(records))]
    if held and held["rid_hi"]:
        between = _between(held["oldest_ms"], held["newest_ms"])
        rows.append(("", f"rid {held['rid_lo']}..{held['rid_hi']}, {between}"))
    if content["history"] is None:
        rows.append(("history / lịch sử", _UNREADABLE))
    for kept in content["history"] or []:
        between = _between(kept["oldest_ms"], kept["newest_ms"])
        windows = f"{span_text(kept['span_s'])}: {count_text(kept['windows'])} windows / cửa sổ"
        rows.append(("history / lịch sử", f"{windows}, {bytes_text(kept['bytes'])}\n{between}"))
    if journal is None:
        rows.append(("journal / nhật ký", _UNREADABLE))
    elif journal["seq"]:
        head = f"head {journal['seq']} {journal['hash'][:12]}"
        rows.append(("journal / nhật ký", f"{count_text(journal['entries'])} entries / mục, {head}"))
    return rows


def _between(oldest_ms: int, newest_ms: int) -> str:
    return f"{short_time(oldest_ms)} .. {short_time(newest_ms)} {offset()}"


def _ground(content: Content) -> list[tuple[str, str]]:
    file, disk = content["file"], content["disk"]
    of = f" of {bytes_text(content['quota_bytes'])} allowed / cho phép" if content["quota_bytes"] else ""
    size = f"{bytes_text(file['bytes'])}{of}"
    if file["wal_bytes"]:
        size += f", -wal {bytes_text(file['wal_bytes'])}"
    if file["free_inside"]:
        size += f", free inside / trống bên trong {bytes_text(file['free_inside'])}"
    free = f"{bytes_text(disk['free_bytes'])} free / trống of {bytes_text(disk['total_bytes'])}"
    rows = [
        ("file / tệp", size),
        ("partition / phân vùng", free),
    ]
    if content["wear"]:
        rows.append(("card / thẻ nhớ", _wear(content["wear"])))
    meta = content["meta"] or {}
    rows.append(("epoch, session / phiên", f"{meta.get('epoch', '?')}, {meta.get('session', '-')}"))
    rows.append(("gateway", _gateway(content, meta)))
    return rows


def _wear(wear: Content) -> str:
    text = f"{bytes_text(wear['bytes_per_day'])} a day / ngày (over / trong {lasting(wear['over_s'])})"
    if wear["years_left"] is None:
        return text
    years = "> 100" if wear["years_left"] > 100 else f"{wear['years_left']:.1f}"
    text += f"\n{years} years left / năm còn lại, of {bytes_text(wear['endurance_bytes'])}"
    if wear["assumed"]:
        text += "\n[yellow]assumed: partition x 500 writes; set buffer.card_tb / giả định[/]"
    return text


def _gateway(content: Content, meta: Mapping[str, str]) -> str:
    if content["running"]:
        return "[green]runs / đang chạy[/]"
    stop = {
        "1": "last stop in order / dừng đúng cách",
        "0": "[yellow]last stop not in order / dừng đột ngột[/]",
    }.get(meta.get("clean", ""), "how it stopped is not known / không rõ đã dừng thế nào")
    why = f"; {content['gateway']}" if content["gateway"] else ""
    return f"does not run / không chạy; {stop}{why}"
