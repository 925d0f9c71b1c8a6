"""gateway read FILE DEVICE [POINT]: ask a device once, from the desk or the ladder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.output import print_json

if TYPE_CHECKING:
    from config.site import LoadedSite
    from drivers import PointRead


def read(
    file: Annotated[Path, typer.Argument(help="The site file. / Tệp cấu hình điểm.")],
    device: Annotated[str, typer.Argument(help="Name of the device in the site file. / Tên thiết bị.")],
    point: Annotated[str | None, typer.Argument(help="One point only. / Chỉ một điểm đo.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object. / Xuất JSON.")] = False,
) -> None:
    """Read a device once: raw registers, values, quality, how long it took. / Đọc thử một thiết bị."""
    from config.site import load_site

    answers = asyncio.run(_read(load_site(file), device, point))
    if as_json:
        print_json({"device": device, "points": [answer.as_json() for answer in answers]})
    else:
        _print(device, answers)
    if not any(answer.reading.value is not None for answer in answers):
        raise typer.Exit(1)


async def _read(site: LoadedSite, device: str, point: str | None) -> list[PointRead]:
    import drivers
    from gateway.model.clock import SystemClock
    from gateway.model.errors import BadArgument

    settings = site.document.devices.get(device)
    if settings is None:
        known = ", ".join(site.document.devices) or "none"
        raise BadArgument(f"no device {device!r} in this site", where=str(site.file), hint=f"devices: {known}")
    profile = site.profiles[device]
    points = profile.points_by_name()
    if point is not None and point not in points:
        known = ", ".join(points)
        raise BadArgument(f"{device} has no point {point!r}", where=settings.profile, hint=f"points: {known}")
    wire = site.document.wires[settings.wire]
    around = drivers.Surroundings(SystemClock(), site.base, site.secret)
    driver = drivers.build(settings.wire, wire, {device: (settings, profile)}, around)
    async with driver:
        return await driver.read_once(device, point)


def _print(device: str, answers: list[PointRead]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("point", "raw", "value", "unit", "quality", "ms", title=device)
    for answer in answers:
        reading = answer.reading
        value = "-" if reading.value is None else escape(str(reading.value))
        why = f" ({', '.join(reading.reasons)})" if reading.reasons else ""
        raw = answer.raw if isinstance(answer.raw, str) else " ".join(f"{word:04x}" for word in answer.raw)
        table.add_row(
            answer.point, escape(raw), value, answer.unit, f"{reading.quality}{why}", f"{answer.answer_ms:.1f}"
        )
    console = Console()
    console.print(table)
    for problem in dict.fromkeys(answer.error for answer in answers if answer.error):
        console.print(f"[red]{escape(problem)}[/]")
