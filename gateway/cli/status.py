"""gateway status: is it alive, what does it read, what waits to be sent and why."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import age, offset, print_json, short_time


def status(
    file: Annotated[Path, typer.Argument(help="The site file of the gateway. / Tệp cấu hình điểm.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object. / Xuất JSON.")] = False,
) -> None:
    """Show a running gateway: sources, points, what waits for the broker. / Xem tình trạng gateway đang chạy."""
    from config.site import load_site
    from gateway.api import SOCKET_NAME, ask

    site = load_site(file)
    answer = asyncio.run(ask(site.state_dir / SOCKET_NAME))
    if as_json:
        print_json(answer)
        return
    _print(answer)


def _print(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    now_ms = answer["now_ms"]
    uplink, store = answer["uplink"], answer["store"]
    console.print(f"[bold]{answer['gateway']}[/] {escape(answer['site'])}, {answer['version']}, "
                  f"up {age(now_ms, answer['started_ms'])}")  # fmt: skip
    if not answer["clock_synced"]:
        console.print("[yellow]the clock is not set: values say clock_unsynced / đồng hồ chưa đồng bộ[/]")
    state = (
        "[green]connected / đã kết nối[/]"
        if uplink["connected"]
        else f"[red]down / mất kết nối[/]: {escape(uplink['last_error'])}"
    )
    console.print(f"broker: {state}")
    if alarms := answer.get("alarms"):
        console.print(f"[red]open alarms / cảnh báo đang mở: {len(alarms)}[/] (gateway alarm list)")
    waiting = ", ".join(f"{lane} {records}" for lane, records in store["waiting"].items())
    console.print(f"waiting / đang chờ gửi: {waiting}; set aside / để riêng: {store['set_aside']}; "
                  f"stored / đã lưu: {store['rid_hi']}")  # fmt: skip
    console.print(_sources(answer["sources"], now_ms))
    console.print(_points(answer["points"]))


def _sources(sources: dict[str, Any], now_ms: int) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        "source",
        "device",
        "state",
        "last seen",
        "polls",
        "failures",
        "answer ms",
        title="Sources / Nguồn dữ liệu",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for name, source in sources.items():
        state = "[green]up[/]" if source["up"] else f"[red]down[/] {escape(source['why'])}"
        devices = source["devices"] or {"-": None}
        for device, health in devices.items():
            if health is None:
                table.add_row(name, device, state)
                continue
            seen = age(now_ms, health["last_seen_ms"]) + " ago" if health["last_seen_ms"] else "never"
            mark = state if health["online"] or not source["up"] else f"[red]silent[/] {escape(health['why'])}"
            table.add_row(
                name, device, mark, seen, str(health["polls"]), str(health["failures"]), f"{health['answer_ms']:.1f}"
            )
    return table


def _points(points: dict[str, Any]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from gateway.cli.read_view import value_text

    table = Table(
        "point",
        "value",
        "quality",
        f"at {offset()}",
        title="Latest readings / Số đo mới nhất",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for name, point in points.items():
        why = f" ({', '.join(point['f'])})" if point["f"] else ""
        unit = point.get("u", "1")
        unit = "" if unit == "1" else f" {unit}"
        value = "-" if point["v"] is None else f"{value_text(point['v'])}{unit}"
        table.add_row(name, value, f"{point['q']}{why}", short_time(point["at_ms"]))
    return table
