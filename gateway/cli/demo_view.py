"""The demo's picture: what is read, what was counted, what waits, what the broker got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from gateway.cli.demo_stage import Truth
    from gateway.ioc.ledger import Ledger

MARK = {"good": "[green]●[/]", "uncertain": "[yellow]●[/]", "bad": "[red]●[/]", "missing": "[red]○[/]"}
SHOWN = 6
CAMERA, POINT = "junction", "junction/l1"


@dataclass
class Show:
    """What the demo saw so far: the gateway's own status, the centre's books, and the commands it sent."""

    status: dict[str, Any] = field(default_factory=dict)
    sent: int = 0
    applied: int = 0
    unverified: int = 0
    happened: list[dict[str, Any]] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    lamps: dict[str, bool] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=lambda: {"down": 0, "up": 0})
    ended_ms: int = 0
    _rids: set[int] = field(default_factory=set)

    def watched_s(self, now_ms: int) -> float:
        """How long the camera's clip has been playing."""
        source = self.status.get("sources", {}).get(CAMERA, {})
        return max(0.0, (now_ms - source["since_ms"]) / 1000) if source.get("up") else 0.0

    def listen(self, topic: str, message: Mapping[str, Any]) -> None:
        """Adds up what the centre receives of the camera, each record once."""
        del topic
        for record in message.get("m", ()):
            if record["pt"] == POINT and record["rid"] not in self._rids and record["v"] is not None:
                self._rids.add(record["rid"])
                self.counted[record["tg"]["dir"]] += int(record["v"])


def received(ledger: Ledger) -> int:
    return sum(book.records for book in ledger.gateways.values())


def duplicates(ledger: Ledger) -> int:
    return sum(book.duplicates for book in ledger.gateways.values())


def picture(show: Show, ledger: Ledger, truth: Truth | None, left_s: float) -> RenderableType:
    """One frame of the live view."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.panel import Panel

    status = show.status
    if not status:
        return Panel("starting the gateway / đang khởi động gateway ...")
    head = f"[bold]{status['gateway']}[/] {status['site']}   {left_s:.0f} s left / còn lại   Ctrl-C stops / dừng"
    right = Group(_camera(show, truth, status["now_ms"]), _store(status), _broker(status, ledger), _commands(show))
    return Group(Panel(head + _happens(show)), Columns([_points(status["points"]), right], padding=(0, 1)))


def _happens(show: Show) -> str:
    """The newest of what the scenario did to the devices."""
    from rich.markup import escape

    if not show.happened:
        return ""
    event = show.happened[-1]
    over = "over / hết: " if event["event"] == "ends" else ""
    return "\n[yellow]" + escape(f"{over}{event['en']} / {event['vi']}") + "[/]"


def _points(points: dict[str, Any]) -> Table:
    """The first points of every device, so that each wire is seen."""
    from rich.table import Table

    table = Table("", "point", "value", title="Read / Số đo", title_justify="left", box=None, pad_edge=False)
    devices: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for name, point in points.items():
        devices.setdefault(name.partition("/")[0], []).append((name, point))
    for device, its in devices.items():
        if device == CAMERA:
            continue
        for name, point in its[:SHOWN]:
            value = point["v"]
            text = "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
            table.add_row(MARK[point["q"]], name, text)
        if len(its) > SHOWN:
            table.add_row("", f"[dim]{device}: {len(its) - SHOWN} more[/]", "")
    return table


def _camera(show: Show, truth: Truth | None, now_ms: int) -> RenderableType:
    from rich.panel import Panel
    from rich.table import Table

    if truth is None:
        return Panel("no camera: install the extra `vision`", title="Counted / Đếm xe", title_align="left")
    so_far = truth.until(show.watched_s(now_ms))
    table = Table("way / hướng", "counted", "truth so far", box=None)
    for way, counted in show.counted.items():
        table.add_row(way, str(counted), str(so_far.get(way, 0)))
    return Panel(table, title="Counted / Đếm xe", title_align="left")


def _store(status: dict[str, Any]) -> RenderableType:
    from rich.panel import Panel

    waiting = status["store"]["waiting"]
    lines = (
        f"stored / đã lưu {status['store']['rid_hi']} records, {status['store']['commits']} commits\n"
        f"waiting / đang chờ: urgent {waiting['urgent']}, live {waiting['live']}, back {waiting['back']}"
    )
    return Panel(lines, title="Store / Kho", title_align="left")


def _broker(status: dict[str, Any], ledger: Ledger) -> RenderableType:
    from rich.markup import escape
    from rich.panel import Panel

    uplink = status["uplink"]
    link = (
        f"[green]connected, MQTT {uplink['protocol']}[/]"
        if uplink["connected"]
        else f"[red]{escape(uplink['last_error'])}[/]"
    )
    broken = [how for book in ledger.gateways.values() for how in book.journal.broken]
    alarms = [record["al"]["text"] for book in ledger.gateways.values() for record in book.open_alarms()]
    gaps = sum(hi - lo + 1 for book in ledger.gateways.values() for lo, hi in book.gaps())
    lines = (
        f"{uplink['broker']} {link}\n"
        f"received / IOC đã nhận {received(ledger)}, twice / trùng {duplicates(ledger)}, on the way / đang gửi {gaps}"
        + "".join(f"\n[red]{escape(text['vi'])}\n{escape(text['en'])}[/]" for text in alarms[-2:])
        + (f"\n[red]journal broken / nhật ký bị sửa: {escape(broken[-1])}[/]" if broken else "")
    )
    return Panel(lines, title="Broker", title_align="left")


def _commands(show: Show) -> RenderableType:
    from rich.panel import Panel

    late = f", last {1000 * show.late_s[-1]:.0f} ms" if show.late_s else ""
    lamps = "  ".join(
        f"{name.removeprefix('lamps/')} {'[yellow]on[/]' if on else 'off'}" for name, on in show.lamps.items()
    )
    failed = f", [red]{show.unverified} did not follow / không tác động[/]" if show.unverified else ""
    lines = f"{show.applied} applied of {show.sent} sent{late}{failed}\n{lamps}"
    return Panel(lines, title="Light commands / Lệnh đèn", title_align="left")
