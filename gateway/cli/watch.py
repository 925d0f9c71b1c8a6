"""gateway watch FILE [DEVICE]: values as they come, from the running gateway or, without one, from the wires."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.words import seconds
from gateway.model.errors import BadArgument, NotRunning

if TYPE_CHECKING:
    from config.site import LoadedSite

ASK_EVERY_S = 0.5
Look = Callable[[], Awaitable[dict[str, Any]]]


def watch(
    file: Annotated[Path, typer.Argument(help="The site file. / Tệp cấu hình điểm.")],
    device: Annotated[str | None, typer.Argument(help="One device only. / Chỉ một thiết bị.")] = None,
    *,
    duration: Annotated[str | None, typer.Option("--for", help="How long, as 10s or 2m. / Thời gian xem.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each change. / Mỗi thay đổi một dòng JSON.")
    ] = False,
) -> None:
    """Watch values, their quality and the devices' health until Ctrl-C. / Xem số đo trực tiếp.

    Asks the running gateway; where none runs, it opens the wires itself (cameras not). Without a terminal it prints
    a line for each change. Exit code 1 if no value was seen.
    """
    from config.site import load_site
    from gateway.cli.watch_view import make_view

    limit_s = seconds(duration, "--for") if duration else None
    site = load_site(file)
    _check(site, device)
    with make_view(as_json=as_json) as view, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(site, device, limit_s, view.show))
    raise typer.Exit(0 if view.seen else 1)


def _check(site: LoadedSite, device: str | None) -> None:
    known = [*site.document.devices, *site.document.cameras]
    if device is not None and device not in known:
        raise BadArgument(
            f"no device {device!r} in this site", where=str(site.file), hint=f"devices: {', '.join(known) or 'none'}"
        )
    if not known:
        raise BadArgument("this site has no devices", where=str(site.file), hint="add some under `devices:`")


async def _watch(
    site: LoadedSite, device: str | None, limit_s: float | None, show: Callable[[Mapping[str, Any]], None]
) -> None:
    """Shows a status again and again until the time is over."""
    async with _source(site, device) as look:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while True:
                    show(only(await look(), device))
                    await asyncio.sleep(ASK_EVERY_S)


@contextlib.asynccontextmanager
async def _source(site: LoadedSite, device: str | None) -> AsyncIterator[Look]:
    """How to get a status: from the running gateway, or from drivers of our own."""
    from gateway.api import SOCKET_NAME, ask

    socket = site.state_dir / SOCKET_NAME
    try:
        first = await ask(socket, 2.0)
    except NotRunning:
        async with _own(site, device) as look:
            yield look
        return

    async def look_there() -> dict[str, Any]:
        return {**await ask(socket), "from": first["gateway"]}

    yield look_there


@contextlib.asynccontextmanager
async def _own(site: LoadedSite, device: str | None) -> AsyncIterator[Look]:
    """Our own drivers, watched over as the gateway does it; what they say is judged, and stored nowhere."""
    from gateway.cli.watch_own import OwnWires

    wires = OwnWires(site, device)
    # No TaskGroup: it would wrap what the view raises, and a supervisor ends only when it is cancelled.
    tasks = [asyncio.create_task(source.run()) for source in wires.sources]
    try:
        with _silenced("gateway.supervise", "drivers"):  # what they log stands in the table already
            yield wires.status
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@contextlib.contextmanager
def _silenced(*names: str) -> Iterator[None]:
    loggers = {name: logging.getLogger(name) for name in names}
    before = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, logger in loggers.items():
            logger.setLevel(before[name])


def only(status: dict[str, Any], device: str | None) -> dict[str, Any]:
    """A status with the points and sources of one device."""
    if device is None:
        return status
    points = {name: point for name, point in status["points"].items() if name.partition("/")[0] == device}
    sources = {
        name: {**source, "devices": {d: health for d, health in source["devices"].items() if d == device}}
        for name, source in status["sources"].items()
        if device in source["devices"] or name == device
    }
    return {**status, "points": points, "sources": sources}
