"""What a scan looks like: a bar while it runs, then what was found and the lines to paste into a site file."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from drivers.scan import Asking, Event, FoundUnit, Noise, OpenPort, Overheard, Recognising
from drivers.scan.fit import LIKELY, SURE, Fit
from drivers.scan.ports import SerialPortFound
from drivers.settings import ModbusRtuWire

_LEAST_TEXT: Final = 6
"""Characters from which on bytes are not text by chance."""


class ScanView:
    """A bar on stderr, and a line for each find as it comes. Without a terminal: the lines only."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("...", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        if isinstance(event, Asking):
            where = event.at if event.unit is None else f"{event.at} unit {event.unit}"
            self._progress.update(self._task, completed=event.done, total=event.total, description=f"{where:<20}")
        elif isinstance(event, Recognising):
            self._progress.update(self._task, description=f"{event.at} unit {event.unit}: which profile?")
        else:
            self._console.print(_line(event), soft_wrap=True)


def _line(event: FoundUnit | Noise | Overheard | OpenPort) -> str:
    if isinstance(event, FoundUnit):
        took = "after its time" if event.answer_ms is None else f"in {event.answer_ms:.0f} ms"
        return f"[green]{event.at} unit {event.unit}[/]: {event.said} {took}"
    if isinstance(event, Noise):
        units = f" (units {_listed(event.units)})" if event.units else ""
        if text := _as_text(event.sample):
            return (
                f"[yellow]{event.at}[/]: this is text, not Modbus: {escape(text)}: a wire of kind text_lines? "
                "/ thiết bị gửi dòng văn bản, không phải Modbus"
            )
        return (
            f"[yellow]{event.at}[/]: something talks here, other settings, or two units with one number{units}: "
            f"{event.sample.hex(' ')} / có tín hiệu nhưng sai thông số"
        )
    if isinstance(event, Overheard):
        return (
            f"[red]{event.at}[/]: another master asks unit {_listed(event.units)} on this pair; nothing was sent. "
            "Stop it first / một thiết bị chủ khác đang hỏi trên đường dây này, hãy dừng nó trước"
        )
    return f"[yellow]{event.at}[/]: the port is open, no unit answered: {escape(event.why)}"


def _as_text(sample: bytes) -> str:
    """The sample as text if it can only be that: an instrument that sends lines."""
    text = sample.decode("ascii", errors="replace").strip()
    return text if len(text) >= _LEAST_TEXT and text.isprintable() and "\ufffd" not in text else ""


def document(events: Sequence[Event], *, stopped: bool) -> dict[str, Any]:
    """What was found, for programs; `site` is what a site file wants."""
    found = [event for event in events if isinstance(event, FoundUnit)]
    return {
        "found": [_unit_json(unit) for unit in found],
        "noise": [
            {"at": e.at, "units": list(e.units), "sample": e.sample.hex()} for e in events if isinstance(e, Noise)
        ],
        "overheard": [{"at": e.at, "units": list(e.units)} for e in events if isinstance(e, Overheard)],
        "open": [{"at": e.at, "why": e.why} for e in events if isinstance(e, OpenPort)],
        "stopped": stopped,
        "site": site_lines(found),
    }


def _unit_json(unit: FoundUnit) -> dict[str, Any]:
    return {
        "at": unit.at,
        "unit": unit.unit,
        "said": unit.said,
        "answer_ms": None if unit.answer_ms is None else round(unit.answer_ms, 1),
        "identity": dict(unit.identity),
        "profiles": [
            {"profile": f.profile, "score": f.score, "confirmed": f.confirmed, "reasons": list(f.reasons)}
            for f in unit.fits
        ],
        "untried": unit.untried,
    }


def print_found(events: Sequence[Event], content: Mapping[str, Any], *, wired: bool) -> None:
    console = Console(highlight=False)
    found = [event for event in events if isinstance(event, FoundUnit)]
    if content["stopped"]:
        console.print("[yellow]stopped before the end / đã dừng giữa chừng[/]")
    if not found:
        console.print("no unit answered / không thiết bị nào trả lời")
        where = "A/B, the unit's own settings" if wired else "network cable, address, --port, --units"
        console.print(f"check power, {where}; try more --timeout", style="dim")
        return
    console.print(f"[bold]found / tìm thấy: {len(found)}[/]")
    for unit in found:
        console.print(f"[bold]{unit.at}[/] unit [bold]{unit.unit}[/]: {unit.said}")
        for name, text in unit.identity.items():
            console.print(Padding(f"{name}: {escape(text)}", (0, 0, 0, 2), expand=False))
        for fit in unit.fits:
            console.print(Padding(_fit_text(fit), (0, 0, 0, 2), expand=False))
        if not unit.fits:
            console.print("  no profile fits / không có hồ sơ phù hợp: gateway profile new TABLE.csv", style="dim")
        if unit.untried:
            console.print(f"  {unit.untried} profiles were not tried: it answers slowly", style="dim")
    console.print()
    console.print("[bold]for the site file / dán vào tệp cấu hình[/] (compare every value with the device's display)")
    sys.stdout.write(content["site"])


def _fit_text(fit: Fit) -> str:
    word = "likely" if fit.score >= SURE else "possible" if fit.score >= LIKELY else "weak"
    mark = "confirmed" if fit.confirmed else "unconfirmed"
    reasons = escape("; ".join(fit.reasons))
    return f"[cyan]{fit.profile}[/] {word} ({fit.score}/100), {mark}: {escape(fit.title_en)}\n  {reasons}"


def site_lines(found: Sequence[FoundUnit]) -> str:
    """YAML of the wires and devices; a unit that no profile fits well is a comment."""
    if not found:
        return ""
    wires: dict[str, str] = {}
    devices: list[str] = []
    for unit in found:
        name = wires.setdefault(_wire_text(unit), f"wire{len(wires) + 1}")
        best = unit.fits[0] if unit.fits else None
        sure = best is not None and best.score >= LIKELY
        profile = best.profile if best else "?"
        device = f"{name}-unit{unit.unit}: {{profile: {profile}, wire: {name}, unit: {unit.unit}, every_s: 10}}"
        if best is None:
            note = "no profile fits"
        else:
            others = [fit.profile for fit in unit.fits[1:] if fit.score >= LIKELY]
            note = f"{best.score}/100" + ("" if best.confirmed else ", unconfirmed")
            note += f"; or {', '.join(others)}" if others else ""
        devices.append(f"  {'' if sure else '# '}{device}  # {note}")
    lines = ["wires:", *(f"  {name}: {text}" for text, name in wires.items()), "devices:", *devices]
    return "".join(f"{line}\n" for line in lines)


def _wire_text(unit: FoundUnit) -> str:
    wire = unit.wire
    if not isinstance(wire, ModbusRtuWire):
        return f"{{kind: modbus_tcp, host: {plain(wire.host)}, port: {wire.port}}}"
    parts = [f"kind: modbus_rtu, port: {plain(wire.port)}, baud: {wire.baud}, parity: {wire.parity}"]
    if wire.echo:
        parts.append("echo: true")
    if unit.answer_ms is None:
        parts.append("timeout_s: 1.0")
    return f"{{{', '.join(parts)}}}"


def plain(text: str) -> str:
    """A text as YAML takes it inside braces."""
    return (
        text if re.fullmatch(r"[A-Za-z0-9_./-]+", text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def port_line(port: SerialPortFound, number: int) -> str:
    return f"bus{number}: {{kind: modbus_rtu, port: {plain(port.path)}, baud: 9600}}"


def port_json(port: SerialPortFound, number: int) -> dict[str, Any]:
    return {
        "path": port.path,
        "device": port.device,
        "maker": port.maker,
        "product": port.product,
        "serial": port.serial,
        "usb": port.usb,
        "stable": port.stable,
        "held_by": [{"pid": holder.pid, "command": holder.command} for holder in port.holders],
        "site": port_line(port, number),
    }


def print_ports(found: Sequence[SerialPortFound]) -> None:
    console = Console(highlight=False)
    if not found:
        console.print("no serial port / không có cổng nối tiếp")
        console.print("plug the adapter in and look again; `dmesg | tail` says what the kernel saw", style="dim")
        return
    for port in found:
        console.print(f"[bold]{escape(port.path)}[/]", soft_wrap=True)
        about = ", ".join(escape(text) for text in (port.maker, port.product, port.serial) if text)
        console.print(f"  {port.device}{': ' + about if about else ''}")
        for holder in port.holders:
            console.print(f"  [yellow]in use by / đang bị giữ bởi: {escape(holder.command)} (pid {holder.pid})[/]")
        if not port.stable:
            console.print("  [yellow]the name may change / tên có thể đổi[/]: no serial number and no by-path name")
    console.print()
    console.print("[bold]for the site file / dán vào tệp cấu hình[/]")
    lines = ["wires:", *(f"  {port_line(port, number)}" for number, port in enumerate(found, 1))]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
