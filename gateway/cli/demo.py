"""gateway demo: the main job on a desk, with nothing else installed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.demo_view import CAMERA, Show, duplicates, received
from gateway.cli.output import print_json
from gateway.cli.words import seconds
from gateway.model.clock import SystemClock
from gateway.model.errors import BadArgument, GatewayError

if TYPE_CHECKING:
    from gateway.cli.demo_stage import Stage
    from gateway.ioc.ledger import Ledger
    from gateway.ioc.receiver import Receiver

COMMAND_EVERY_S = 2.5
# The clip's road is empty for its last seconds, so that every vehicle is through when the demo ends. A longer demo
# plays the clip over again: making it takes a second for each twenty.
QUIET_S = 4.0
LONGEST_CLIP_S = 120.0
# The scenario is stretched over this share of the demo, so that its end is seen too.
SHOWN = 0.9


def demo(
    duration: Annotated[str, typer.Option("--for", help="How long, as 20s or 2m. / Thời gian chạy.")] = "60s",
    broker: Annotated[str | None, typer.Option(help="HOST:PORT of a real broker. / Broker thật.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Only the summary, as JSON. / Chỉ xuất tóm tắt JSON.")
    ] = False,
    folder: Annotated[Path | None, typer.Option(help="Where the run is kept. / Thư mục lưu.")] = None,
    scenario: Annotated[
        str, typer.Option(help="What happens to the devices; `none` for nothing. / Kịch bản diễn ra.")
    ] = "demo",
) -> None:
    """Show the main job: simulated devices, a camera, a broker, the real gateway. / Trình diễn toàn bộ công việc.

    Ends with a summary that names loss, duplicates and count error. Exit code 1 if anything was lost.
    """
    from gateway.cli.demo_stage import make_folder

    length_s = parse_duration(duration)
    played = _played(scenario, length_s)
    place = (folder or make_folder()).absolute()
    place.mkdir(parents=True, exist_ok=True)
    summary = asyncio.run(_run(place, length_s, parse_broker(broker), played, quiet=as_json))
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary, place)
    if summary["lost"]:
        raise typer.Exit(1)


def _played(name: str, length_s: float) -> tuple[str, float] | None:
    """The scenario and the speed at which it fills the demo."""
    from config.scenarios import load_scenario

    if name == "none":
        return None
    lasts_s = load_scenario(name, Path()).lasts_s
    file = Path(name)
    return str(file.absolute()) if file.is_file() else name, max(0.01, lasts_s / (SHOWN * length_s))


async def _run(
    folder: Path, length_s: float, broker: tuple[str, int] | None, played: tuple[str, float] | None, *, quiet: bool
) -> dict[str, Any]:
    from gateway.cli.demo_stage import Stage
    from gateway.ioc.receiver import Receiver

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if not quiet:
        sys.stderr.write(f"setting the stage in {folder} / đang chuẩn bị ...\n")
    shown_s = min(length_s, LONGEST_CLIP_S)
    clip_s = length_s + 30 if length_s <= LONGEST_CLIP_S else LONGEST_CLIP_S
    async with Stage(folder, broker, traffic_s=max(4.0, shown_s - QUIET_S), clip_s=clip_s, scenario=played) as stage:
        if stage.broker is None:
            raise GatewayError("the stage has no broker")
        host, port = stage.broker
        async with Receiver(host=host, port=port, repair_after_s=5) as receiver:
            show = Show()
            receiver.listener = show.listen
            await stage.start_gateway()
            tasks = [
                asyncio.create_task(work)
                for work in (_follow(stage, show), _happens(stage, show), _command(receiver, show))
            ]
            try:
                await _watch(stage, receiver, show, (length_s, stop), quiet=quiet)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            show.ended_ms = SystemClock().now_ms()
            await stage.stop_gateway()
            stored = _stored(stage)
            with contextlib.suppress(TimeoutError):
                await receiver.until(lambda ledger: received(ledger) >= stored, 10)
            return _summary(stage, receiver.ledger, show, stored)


async def _follow(stage: Stage, show: Show) -> None:
    """Asks the gateway for its status, as `gateway status` does."""
    from gateway.api import SOCKET_NAME, ask

    while True:
        with contextlib.suppress(GatewayError):
            show.status = await ask(stage.state_dir / SOCKET_NAME, 2)
        await asyncio.sleep(0.5)


async def _happens(stage: Stage, show: Show) -> None:
    """Keeps what the scenario says of itself."""
    async for event in stage.happenings():
        if event["event"] in {"begins", "ends"}:
            show.happened.append(event)


async def _command(receiver: Receiver, show: Show) -> None:
    """Switches lamps as an operator would, and believes only the read-back."""
    number = 0
    while True:
        await asyncio.sleep(COMMAND_EVERY_S)
        gateway = show.status.get("gateway")
        lamps = [point for point in show.status.get("points", {}) if point.startswith("lamps/circuit_")]
        if not gateway or not lamps or not show.status["uplink"]["connected"]:
            continue
        lamp = sorted(lamps)[number % len(lamps)]
        on = not show.lamps.get(lamp, False)
        number += 1
        show.sent += 1
        began = time.monotonic()
        with contextlib.suppress(TimeoutError, GatewayError):
            outcome = await receiver.send(gateway, "light.set", [lamp], {"level": 100 if on else 0}, timeout_s=8)
            show.late_s.append(time.monotonic() - began)
            if outcome["st"] == "applied":
                show.applied += 1
                show.lamps[lamp] = on
            elif outcome["st"] == "unverified":
                show.unverified += 1


async def _watch(
    stage: Stage, receiver: Receiver, show: Show, until: tuple[float, asyncio.Event], *, quiet: bool
) -> None:
    """Until the time is over, Ctrl-C, or the gateway's death."""
    from gateway.cli.demo_view import picture

    length_s, stop = until
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        live: Any = None
        if not quiet:
            from rich.live import Live

            live = stack.enter_context(Live(refresh_per_second=4, screen=sys.stdout.isatty(), transient=True))
        while (left := length_s - (time.monotonic() - began)) > 0 and not stop.is_set():
            if stage.gateway_died() is not None:
                raise GatewayError("the gateway ended by itself", where=str(stage.folder / "demo.log"))
            if live is not None:
                live.update(picture(show, receiver.ledger, stage.truth, left))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(0.5, left))


# --- the books ------------------------------------------------------------------------------------------------


def _stored(stage: Stage) -> int:
    from buffer.inspect import every_rid, read_only

    with read_only(stage.state_dir / "store.sqlite3") as connection:
        return sum(n for _, n in every_rid(connection))


def _summary(stage: Stage, ledger: Ledger, show: Show, stored: int) -> dict[str, Any]:
    cameras: dict[str, Any] = {}
    if stage.truth is not None:
        cameras[CAMERA] = {"counted": dict(show.counted), "truth": stage.truth.until(show.watched_s(show.ended_ms))}
    return {
        "readings": show.status.get("readings", 0),
        "records_stored": stored,
        "records_received": received(ledger),
        "lost": max(0, stored - received(ledger)),
        "duplicates": duplicates(ledger),
        "commands": {"sent": show.sent, "applied": show.applied, "unverified": show.unverified},
        "cameras": cameras,
        "set_aside": show.status.get("store", {}).get("set_aside", 0),
    }


def _print_summary(summary: dict[str, Any], folder: Path) -> None:
    from rich.console import Console

    console = Console()
    verdict = "[green]nothing lost / không mất dữ liệu[/]" if not summary["lost"] else f"[red]LOST {summary['lost']}[/]"
    console.print(f"[bold]Summary / Tóm tắt[/]: {verdict}")
    console.print(f"  readings / số lần đo            {summary['readings']}")
    console.print(f"  records stored / đã lưu         {summary['records_stored']}")
    console.print(f"  records received / IOC đã nhận  {summary['records_received']}")
    console.print(f"  duplicates / trùng lặp          {summary['duplicates']}")
    console.print(f"  set aside / để riêng            {summary['set_aside']}")
    commands = summary["commands"]
    console.print(f"  light commands / lệnh đèn       {commands['applied']} applied of {commands['sent']} sent")
    if commands["unverified"]:
        console.print(f"  lamp did not follow / đèn không tác động  {commands['unverified']}")
    for camera, counts in summary["cameras"].items():
        for way, truth in counts["truth"].items():
            got = counts["counted"].get(way, 0)
            console.print(f"  {camera} {way:5} counted {got}, truth {truth}, error {got - truth:+d}")
    console.print(f"  kept in {folder}; try / thử: gateway buffer show {folder / 'rehearsal.yaml'}", soft_wrap=True)


def parse_duration(text: str) -> float:
    """Seconds in "20s", "2m" or "20", a day at most. Raises BadArgument."""
    length_s = seconds(text, "--for")
    if not 1 <= length_s <= 86_400:
        raise BadArgument(f"{text!r} is too short or too long", where="--for", hint="from 1s to 24h")
    return length_s


def parse_broker(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise BadArgument(f"--broker {text!r} is not HOST:PORT", hint="for example 127.0.0.1:1883")
    return host, int(port)
