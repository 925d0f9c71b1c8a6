"""gateway alarm: what is wrong right now, and that somebody has seen it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any

import typer

from gateway.cli.output import age, offset, print_json, printable, short_time

WIDTH = 80

_SITE = Annotated[Path, typer.Argument(help="The site file. / Tệp cấu hình điểm.")]
_JSON = Annotated[bool, typer.Option("--json", help="One JSON object. / Xuất JSON.")]


def list_(file: _SITE, as_json: _JSON = False) -> None:
    """Show the open alarms of the running gateway. / Xem các cảnh báo đang mở.

    Exit code 0 whether there are any or not. Those that are over: gateway buffer find FILE --indicator gw.alarm
    """
    from gateway.api import ask

    answer = asyncio.run(ask(_socket(file)))
    alarms = answer.get("alarms", [])
    if as_json:
        print_json({"gateway": answer["gateway"], "now_ms": answer["now_ms"], "alarms": alarms})
    else:
        _print(alarms, answer["now_ms"])


def ack(
    file: _SITE,
    alarm_id: Annotated[str, typer.Argument(metavar="ID", help="As `gateway alarm list` shows it. / Mã cảnh báo.")],
    by: Annotated[str | None, typer.Option("--by", help="Who has seen it, if not this user. / Người xác nhận.")] = None,
    as_json: _JSON = False,
) -> None:
    """Say that somebody has seen it; it stays open until the value is back. / Xác nhận đã biết cảnh báo."""
    from gateway.api import tell

    result = asyncio.run(tell(_socket(file), "alarm.ack", {"id": alarm_id, **({"by": by} if by else {})}))
    if as_json:
        print_json(result)
        return
    name = printable(result["by"])
    if result["done"]:
        print(f"{alarm_id}: acknowledged by {name}; it stays open until the value is back")
        print(f"{alarm_id}: {name} đã xác nhận; cảnh báo vẫn mở đến khi giá trị trở lại mức cho phép")
    else:
        print(f"{alarm_id}: {name} had acknowledged it before / đã xác nhận trước đó")


def _socket(file: Path) -> Path:
    from config.site import load_site
    from gateway.api import SOCKET_NAME

    return load_site(file).state_dir / SOCKET_NAME


def _print(alarms: list[dict[str, Any]], now_ms: int) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    if not alarms:
        console.print("[green]no open alarm / không có cảnh báo nào đang mở[/]")
        return
    console.print(f"{len(alarms)} open / đang mở, {offset()}", style="bold")
    for alarm in alarms:
        for n, line in enumerate(lines_of(alarm, now_ms)):
            seen = "acknowledged_ms" in alarm
            console.print(Text(printable(line), style="" if n else "yellow" if seen else "red bold"))


def lines_of(alarm: dict[str, Any], now_ms: int) -> list[str]:
    """One alarm (`Alarm.body`) for a person, at most 80 columns wide."""
    level, since = alarm["level"], short_time(alarm["opened_ms"])
    head = f"{alarm['id']}  level / cấp {level}  {since}  ({age(now_ms, alarm['opened_ms'])})"
    about = f"{alarm['point']}  {alarm['indicator']}  ({alarm['rule']})"
    peak = f"worst / xấu nhất: {alarm['peak']:g}, {short_time(alarm['peak_ms'])}"
    said = [alarm.get("text_vi", ""), alarm.get("text_en", ""), about, peak]
    if "acknowledged_ms" in alarm:
        said.append(f"seen by / đã xác nhận: {alarm.get('by', '?')}, {short_time(alarm['acknowledged_ms'])}")
    lines = [head]
    for text in said:
        lines += wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines
