"""gateway read FILE DEVICE [POINT]: ask a device once, from the desk or the ladder."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.output import print_json

if TYPE_CHECKING:
    from config.site import LoadedSite
    from gateway.cli.read_view import Answers


def read(
    file: Annotated[Path, typer.Argument(help="The site file. / Tệp cấu hình điểm.")],
    device: Annotated[str, typer.Argument(help="Name of the device in the site file. / Tên thiết bị.")],
    point: Annotated[str | None, typer.Argument(help="One point only. / Chỉ một điểm đo.")] = None,
    *,
    raw: Annotated[
        bool, typer.Option("--raw", help="Addresses, registers, each step to the value. / Xem cả thanh ghi.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object. / Xuất JSON.")] = False,
) -> None:
    """Read a device once: values, quality, how long it took. / Đọc thử một thiết bị.

    The quality is what a running gateway would say of the value. Exit code 1 if no value came.
    """
    from config.site import load_site
    from gateway.cli.read_view import as_dict, print_answers

    answers = asyncio.run(_read(load_site(file), device, point))
    if as_json:
        print_json(as_dict(answers, raw=raw))
    else:
        print_answers(answers, raw=raw)
    if not any(answer.reading.value is not None for answer in answers.reads):
        raise typer.Exit(1)


async def _read(site: LoadedSite, device: str, point: str | None) -> Answers:
    import drivers
    from gateway.model.clock import SystemClock
    from gateway.model.errors import BadArgument, LinkDown

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
    try:
        return await judged(driver, (device, point), profile, site.document.points)
    except LinkDown as error:
        raise await busy(error, site, wire) from error


async def judged(driver: Any, wanted: tuple[str, str | None], profile: Any, points: Any) -> Answers:
    """Reads once and judges each value by its signal's rule, with what the site changes of it (`points`).

    Raises LinkDown and Unsupported.
    """
    from gateway.cli.read_view import Answers
    from gateway.pipeline.judge import Memory, judge
    from gateway.pipeline.overrides import override

    device, point = wanted
    async with driver:
        found = await driver.read_once(device, point)
    signals = {signal.id: signal for signal in override(driver.signals, points)}
    reads = [replace(one, reading=judge(one.reading, signals[one.reading.signal].rule, Memory())) for one in found]
    return Answers(device, profile, reads, signals)


async def busy(error: Any, site: LoadedSite, wire: Any) -> Any:
    """The same LinkDown, or PortBusy when the running gateway or another program has the wire."""
    from drivers.scan.ports import blamed
    from drivers.settings import SERIAL
    from gateway.api import SOCKET_NAME, ask
    from gateway.model.errors import NotRunning, PortBusy

    try:
        await ask(site.state_dir / SOCKET_NAME, 1.0)
    except NotRunning:
        return blamed(error, site.base / wire.port) if isinstance(wire, SERIAL) else error
    return PortBusy(
        "the running gateway has this wire / gateway đang chạy giữ đường dây này",
        where=error.where,
        hint=f"gateway watch {site.file} shows its values; to read yourself: sudo systemctl stop gateway",
    )
