"""What watching looks like: a table that lives, lines as something changes, or JSON lines for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from gateway.cli.output import age, short_time
from gateway.cli.read_view import coloured, unit_text, value_text
from gateway.model.codes import catalogue

_SCREEN = 16
Status = Mapping[str, Any]


def make_view(*, as_json: bool) -> Lines | Live_:
    console = Console()
    return Live_(console) if console.is_terminal and not as_json else Lines(as_json=as_json)


def changes(before: Status, now: Status) -> Iterator[dict[str, Any]]:
    """Points whose value, quality or reasons are others than before, and devices that came or went. A value that
    was read again and is the same is no change."""
    for name, source in now["sources"].items():
        earlier = before.get("sources", {}).get(name, {"up": False, "why": "starting", "devices": {}})
        if _wire_state(source) != _wire_state(earlier):
            yield {"source": name, "up": source["up"], "why": source["why"], "at_ms": now["now_ms"]}
        for device, health in source["devices"].items():
            if _state(health) not in {"", _state(earlier["devices"].get(device, {}))}:
                yield {"device": device, "source": name, **health, "at_ms": now["now_ms"]}
    for name, point in now["points"].items():
        was = before.get("points", {}).get(name, {})
        if [point[key] for key in ("v", "q", "f")] != [was.get(key) for key in ("v", "q", "f")]:
            yield {"point": name, **point}


def _wire_state(source: Mapping[str, Any]) -> str:
    return "" if source["up"] else str(source["why"])


def _state(health: Mapping[str, Any]) -> str:
    """Empty as long as nobody knows."""
    return "up" if health.get("online") else "silent" if health.get("failures") else ""


class Lines:
    """A line for each change, flushed, so that it can be piped."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._before: Status = {}
        self.seen = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        pass

    def show(self, status: Status) -> None:
        self.seen = self.seen or _has_values(status)
        for change in changes(self._before, status):
            sys.stdout.write((json.dumps(change, ensure_ascii=False) if self._as_json else _line(change)) + "\n")
        sys.stdout.flush()
        self._before = status


def _line(change: Mapping[str, Any]) -> str:
    at = short_time(change["at_ms"])
    if "point" in change:
        value = "-" if change["v"] is None else str(change["v"])
        why = f" ({reasons_text(change['f'])})" if change["f"] else ""
        return f"{at}  {change['point']} = {value} {unit_text(change['u'])}".rstrip() + f"  {change['q']}{why}"
    if "device" in change:
        if change["online"]:
            took = f" in {change['answer_ms']:.1f} ms" if change["answer_ms"] else ""
            return f"{at}  {change['device']}: answers{took} / có trả lời"
        return f"{at}  {change['device']}: silent / im lặng {change['why']}".rstrip()
    return f"{at}  {change['source']}: " + ("up / hoạt động" if change["up"] else f"down / mất: {change['why']}")


class Live_:  # noqa: N801 - rich has the name
    """A table that is drawn again in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False, vertical_overflow="ellipsis")
        self.seen = False

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._live.stop()

    def show(self, status: Status) -> None:
        self.seen = self.seen or _has_values(status)
        self._live.update(picture(status), refresh=True)


def picture(status: Status) -> Group:
    name = status["from"]
    origin = f"gateway {escape(name)}" if name else "the wires themselves, nothing is stored / đọc trực tiếp, không lưu"
    return Group(
        Text.from_markup(f"[dim]from / nguồn:[/] {origin}   [dim]Ctrl-C: end / kết thúc[/]"),
        _devices(status),
        _points(status),
    )


def _devices(status: Status) -> Table:
    table = Table("device\nthiết bị", "state\ntình trạng", "seen\nlần cuối", "ms", "failed\nlỗi",
                  box=SIMPLE_HEAD, pad_edge=False)  # fmt: skip
    for name, source in status["sources"].items():
        for device, health in (source["devices"] or {name: None}).items():
            if source["why"] == "starting":
                state = "[dim]starting / đang mở[/]"
            elif not source["up"]:
                state = f"[red]wire down / mất dây[/] {escape(source['why'])}"
            elif health is None or health["online"]:
                state = "[green]up / tốt[/]"
            else:
                state = f"[red]silent / im lặng[/] {escape(health['why'])}"
            if health is None:
                table.add_row(device, state)
                continue
            seen = age(status["now_ms"], health["last_seen_ms"]) if health["last_seen_ms"] else "-"
            counts = f"{health['failures']}/{health['polls']}"
            table.add_row(device, state, seen, f"{health['answer_ms']:.1f}", counts)
    return table


def _points(status: Status) -> Table:
    table = Table("point\nđiểm đo", "value\ngiá trị", "quality\nchất lượng", "age\ntuổi",
                  box=SIMPLE_HEAD, pad_edge=False)  # fmt: skip
    points = status["points"]
    # More than a screen holds: what needs a look comes first.
    names = sorted(points, key=lambda name: points[name]["q"] == "good") if len(points) > _SCREEN else points
    for name in names:
        point = points[name]
        why = f" {escape(reasons_text(point['f']))}" if point["f"] else ""
        value = f"{value_text(point['v'])} {unit_text(point['u'])}".strip()
        table.add_row(name, value, f"{coloured(point['q'])}{why}", age(status["now_ms"], point["at_ms"]))
    return table


def reasons_text(reasons: list[str]) -> str:
    """In words, in both languages: "No answer / Không trả lời"."""
    entries = [catalogue().get(reason) for reason in reasons]
    words = [f"{e.title_en} / {e.title_vi}" if e else code for e, code in zip(entries, reasons, strict=True)]
    return ", ".join(words)


def _has_values(status: Status) -> bool:
    return any(point["v"] is not None for point in status["points"].values())
