"""gateway simulate FILE: the other end of every wire of a site, on this machine, and what may happen to it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.simulate_view import View, site_of
from gateway.cli.words import seconds
from gateway.model.errors import BadArgument, LinkDown

if TYPE_CHECKING:
    from config.site import LoadedSite
    from drivers.simulate.performance import Performance
    from drivers.simulate.scenario import Scenario

_HERE = "127.0.0.1:1883"
_OWN = "site"


def simulate(
    file: Annotated[Path, typer.Argument(help="The site file. / Tệp cấu hình điểm.")],
    *,
    scenario: Annotated[
        str | None, typer.Option(help="What happens: a name of --list, or a file. / Kịch bản diễn ra.")
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.01, max=10_000, help="Scenario seconds in one real second. / Tốc độ kịch bản.")
    ] = 1.0,
    show_list: Annotated[
        bool, typer.Option("--list", help="Only say which scenarios there are. / Liệt kê kịch bản.")
    ] = False,
    duration: Annotated[
        str | None, typer.Option("--for", help="How long, as 30s, 10min; default: until Ctrl-C. / Thời gian chạy.")
    ] = None,
    loopback: Annotated[
        Path | None,
        typer.Option(
            help="Rehearse a copy of the site in this folder, at addresses of this machine. / Thư mục diễn tập."
        ),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(
            help="With --loopback: HOST:PORT for the copy's records, 127.0.0.1:1883 unless given; `site` keeps the"
            " site's own. / Broker cho bản sao."
        ),
    ] = None,
    every: Annotated[
        str | None, typer.Option(help="With --loopback: no device's period is longer, as 5s. / Chu kỳ dài nhất.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line. / Mỗi dòng một JSON.")] = False,
) -> None:
    """Bring up every device of a site from its profile, to rehearse it on a desk. / Mô phỏng thiết bị của điểm.

    Wires are served at the site file's addresses and paths. A real site names addresses this machine does not have:
    --loopback makes a copy with addresses of this machine and rehearses that; the original is never touched.
    """
    from config.site import load_site

    site = load_site(file)
    view = View(as_json=as_json)
    if show_list:
        view.scenarios(site)
        return
    chosen = _chosen(site, scenario)
    for_s = None if duration is None else seconds(duration, "--for")
    with contextlib.ExitStack() as held:
        site = _on_this_desk(site, loopback, broker, every, held)
        asyncio.run(_rehearse(site, view, chosen, speed, for_s))


def _chosen(site: LoadedSite, name: str | None) -> Scenario | None:
    from config.scenarios import ScenarioInvalid, load_scenario
    from drivers.simulate.performance import targets

    if name is None:
        return None
    try:
        scenario = load_scenario(name, site.base)
    except ScenarioInvalid as error:
        for finding in error.findings:
            sys.stderr.write(f"{finding}\n")
        raise
    kinds, devices = site_of(site)
    if not any(targets(step, kinds, devices) for step in scenario.steps):
        raise BadArgument(
            f"nothing of this site is in scenario {scenario.scenario!r}",
            where="--scenario",
            hint=f"gateway simulate {site.file} --list",
        )
    return scenario


def _on_this_desk(
    site: LoadedSite, folder: Path | None, broker: str | None, every: str | None, held: contextlib.ExitStack
) -> LoadedSite:
    """The site to rehearse. `held` keeps the folder of a copy to this rehearsal alone."""
    from config.rehearsal import rehearsal
    from config.site import load_site
    from gateway.cli.demo import parse_broker

    if folder is not None:
        every_s = None if every is None else seconds(every, "--every")
        # Simulated values reach a real centre only if somebody asks for it.
        target = None if broker == _OWN else parse_broker(broker or _HERE)
        held.enter_context(_alone(folder))
        return load_site(rehearsal(site, folder, broker=target, every_s=every_s))
    for option, value in (("--broker", broker), ("--every", every)):
        if value is not None:
            raise BadArgument(f"{option} belongs to --loopback", where=option, hint="name a folder: --loopback ./desk")
    return site


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A second rehearsal in a folder would rewrite the first one's copy and take its serial ports."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield  # writing the copy says what is wrong with the folder
        return
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BadArgument(
            f"another rehearsal runs in {folder} / đang có diễn tập khác trong thư mục này",
            where="--loopback", hint="stop it first (Ctrl-C there), or name another folder",
        ) from error  # fmt: skip
    finally:
        os.close(place)


async def _rehearse(site: LoadedSite, view: View, scenario: Scenario | None, speed: float, for_s: float | None) -> None:
    from drivers.simulate import simulated
    from drivers.simulate.performance import Performance
    from gateway.model.clock import SystemClock

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        async with simulated(site.document.wires, site_of(site)[1], site.base, paced=True) as far:
            performance = None if scenario is None else Performance(scenario, far, SystemClock(), speed=speed)
            view.ready(site, performance)
            async with asyncio.TaskGroup() as group:
                tasks = [] if performance is None else [group.create_task(_perform(performance, view))]
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), for_s)
                for task in tasks:
                    task.cancel()
    except LinkDown as error:
        raise LinkDown(error.what, where=error.where, hint=f"{error.hint}; or --loopback FOLDER") from error


async def _perform(performance: Performance, view: View) -> None:
    await performance.run(view.cue)
    view.over(performance.scenario.scenario)
