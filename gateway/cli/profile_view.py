"""What device profiles look like in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from config.profiles import Head
from drivers.profiles import AnyProfile
from gateway.cli.read_view import place, range_text, unit_text


def head_json(head: Head) -> dict[str, Any]:
    return {
        "profile": head.name,
        "title_en": head.title_en,
        "title_vi": head.title_vi,
        "maker": head.maker,
        "wires": head.wires,
        "confirmed": head.confirmed,
        "file": str(head.file),
    }


def print_heads(heads: Sequence[Head]) -> None:
    console = Console(highlight=False)
    table = Table("profile\nhồ sơ", "device\nthiết bị", "wires\nđường dây", box=SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        mark = "[green]●[/]" if head.confirmed else "[dim]○[/]"
        what = escape(head.title_en) if not head.maker else f"{escape(head.title_en)} [dim]({escape(head.maker)})[/]"
        table.add_row(f"{mark} {head.name}", f"{what}\n[dim]{escape(head.title_vi)}[/]", "\n".join(head.wires))
    if not heads:
        console.print("no profile has this / không tìm thấy: gateway profile list")
        return
    console.print(table)
    console.print(
        f"{len(heads)} profiles; [green]●[/] map confirmed / có tài liệu công khai, [dim]○[/] assumed / giả định"
    )


def print_profile(profile: AnyProfile) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{profile.profile}[/]: {escape(profile.title_en)} / {escape(profile.title_vi)}")
    confirmed = "confirmed / đã xác nhận" if profile.confirmed else "unconfirmed / chưa xác nhận"
    facts = {
        "maker": profile.maker,
        "wires": ", ".join(sorted(profile.WIRES)),
        "factory settings": getattr(profile, "serial", ""),
        "source": f"{profile.source} ({confirmed})",
        "url": profile.url,
    }
    for name, text in facts.items():
        if text:
            console.print(f"[dim]{name}:[/] {escape(text)}", soft_wrap=name == "url")
    table = Table("point\nđiểm đo", "place\nvị trí", "unit\nđơn vị", "range\ndải đo", box=SIMPLE_HEAD, pad_edge=False)
    for name, point in profile.points_by_name().items():
        low, high = point.range or (None, None)
        mark = " [yellow]w[/]" if point.writable else ""
        table.add_row(
            f"{name}{mark}\n[dim]{escape(point.name_vi)}[/]", escape(place(profile, name)),
            escape(unit_text(point.unit)), range_text(low, high),
        )  # fmt: skip
    console.print(table)
    if any(point.writable for point in profile.points_by_name().values()):
        console.print("[yellow]w[/]: can be written / ghi được")
