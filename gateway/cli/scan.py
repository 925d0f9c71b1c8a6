"""gateway scan: what hangs on this port, on this pair, on this subnet, before there is a site file. Only reads."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.output import print_json
from gateway.cli.words import choices, lasting, whole_numbers

if TYPE_CHECKING:
    from drivers.profiles import ModbusProfile
    from drivers.scan import Event, Tell
    from drivers.scan.bus import BusPlan
    from drivers.scan.net import NetPlan

Scan = Callable[["Tell"], Awaitable[None]]

_STOP = "Ctrl-C stops and shows what was found / dừng và in kết quả"
_JSON = typer.Option("--json", help="One JSON object. / Xuất JSON.")
_PROFILES = typer.Option(
    "--profile", "-p", help="Try only these profiles (may be repeated). / Chỉ thử các hồ sơ thiết bị này."
)


def ports(as_json: Annotated[bool, _JSON] = False) -> None:
    """List serial ports by their lasting names, and who holds them. / Liệt kê cổng nối tiếp."""
    from drivers.scan.ports import serial_ports
    from gateway.cli.scan_view import port_json, print_ports

    found = serial_ports()
    if as_json:
        print_json({"ports": [port_json(port, number) for number, port in enumerate(found, 1)]})
    else:
        print_ports(found)
    raise typer.Exit(0 if found else 1)


def bus(
    port: Annotated[str, typer.Argument(help="Serial port, see `gateway scan ports`. / Cổng nối tiếp.")],
    *,
    baud: Annotated[str | None, typer.Option(help="Speeds to try, as 9600,19200. / Tốc độ.")] = None,
    parity: Annotated[str | None, typer.Option(help="none,even,odd. / Chẵn lẻ.")] = None,
    units: Annotated[str, typer.Option(help="Unit numbers to ask. / Địa chỉ thiết bị.")] = "1-247",
    timeout: Annotated[
        float, typer.Option(min=0.02, max=5, help="Seconds to wait for an answer. / Thời gian chờ.")
    ] = 0.2,
    pause: Annotated[
        float, typer.Option(min=0.0, max=5, help="Seconds of silence between requests. / Nghỉ giữa hai lần hỏi.")
    ] = 0.02,
    everything: Annotated[
        bool, typer.Option("--all", help="Go on after units were found. / Quét tiếp dù đã tìm thấy.")
    ] = False,
    profile: Annotated[list[str] | None, _PROFILES] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Find Modbus units on an RS-485 pair whose speed nobody knows. / Dò thiết bị trên đường RS-485.

    Reads one register of each unit, writes nothing. Likely settings and units 1 to 32 come first. Ctrl-C stops and
    shows what was found. Exit code 1 if nothing was found.
    """
    from drivers.scan.bus import BAUDS, PARITIES, BusPlan

    plan = BusPlan(
        port=port,
        bauds=whole_numbers(baud, "--baud", 300, 4_000_000) if baud else BAUDS,
        parities=choices(parity, "--parity", PARITIES) if parity else PARITIES,  # type: ignore[arg-type]  # of these
        units=whole_numbers(units, "--units", 1, 247),
        timeout_s=timeout,
        pause_s=pause,
        everything=everything,
    )
    profiles = _profiles(profile)
    sys.stderr.write(f"{_bus_estimate(plan)}\n")

    async def run(tell: Tell) -> None:
        from drivers.scan.bus import BusScan
        from gateway.model.clock import SystemClock

        await BusScan(plan, Path.cwd(), profiles, SystemClock(), tell).run()

    _scan(run, wired=True, as_json=as_json)


def tcp(
    subnet: Annotated[str, typer.Argument(help="As 192.168.1.0/24, or one address. / Mạng con.")],
    *,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="TCP port. / Cổng TCP.")] = 502,
    units: Annotated[
        str | None, typer.Option(help="Ask all of these units; else 1, 0, 255 until one answers. / Địa chỉ thiết bị.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.02, max=10, help="Seconds to wait. / Thời gian chờ.")] = 0.5,
    yes: Annotated[bool, typer.Option("--yes", help="Also where it is not private. / Cả mạng công cộng.")] = False,
    profile: Annotated[list[str] | None, _PROFILES] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Find Modbus TCP devices on a subnet. / Dò thiết bị Modbus TCP trong mạng con.

    Connects, reads one register, asks what the device is. Writes nothing. Exit code 1 if nothing was found.
    """
    from drivers.scan.net import UNITS, NetPlan, hosts_of

    plan = NetPlan(
        hosts=hosts_of(subnet, public=yes),
        port=port,
        units=whole_numbers(units, "--units", 0, 255) if units else UNITS,
        first_only=units is None,
        connect_s=timeout,
        timeout_s=timeout,
    )
    profiles = _profiles(profile)
    sys.stderr.write(f"{_net_estimate(plan)}\n")

    async def run(tell: Tell) -> None:
        from drivers.scan.net import NetScan
        from gateway.model.clock import SystemClock

        await NetScan(plan, profiles, SystemClock(), tell).run()

    _scan(run, wired=False, as_json=as_json)


def _scan(run: Scan, *, wired: bool, as_json: bool) -> None:
    """Runs until its end or Ctrl-C, then shows what was found. wired: on a pair, A and B."""
    from drivers.scan import FoundUnit
    from gateway.cli.scan_view import ScanView, document, print_found
    from gateway.model.errors import GatewayError

    events: list[Event] = []
    stopped = False
    failed: GatewayError | None = None
    with ScanView() as view:

        def tell(event: Event) -> None:
            view.show(event)
            events.append(event)

        try:
            asyncio.run(run(tell))  # type: ignore[arg-type]  # it is a coroutine function
        except KeyboardInterrupt:
            stopped = True
        except GatewayError as error:  # an adapter that is pulled out does not take along what was found
            if not any(isinstance(event, FoundUnit) for event in events):
                raise
            stopped, failed = True, error
    content = document(events, stopped=stopped)
    if as_json:
        print_json(content)
    else:
        print_found(events, content, wired=wired)
    if failed is not None:
        raise failed
    raise typer.Exit(0 if content["found"] else 1)


def _bus_estimate(plan: BusPlan) -> str:
    steps = plan.steps()
    first = steps[0]
    return (
        f"at most {plan.requests} requests, {lasting(plan.seconds())} if nobody answers; "
        f"{first.combination}, units {first.units[0]}-{first.units[-1]} first: {lasting(plan.seconds(steps[:1]))}\n"
        f"tối đa {plan.requests} lần hỏi; chỉ đọc, không ghi. {_STOP}"
    )


def _net_estimate(plan: NetPlan) -> str:
    return (
        f"{len(plan.hosts)} address(es), port {plan.port}, {lasting(plan.seconds)} if nobody is there; only reads\n"
        f"{len(plan.hosts)} địa chỉ; chỉ đọc, không ghi. {_STOP}"
    )


def _profiles(names: list[str] | None) -> dict[str, ModbusProfile]:
    """The Modbus profiles there are, here and among our own. One with errors is left out: `gateway profile check`
    says why."""
    from config.profiles import Shelf
    from drivers.profiles import ModbusProfile
    from gateway.model.errors import BadArgument

    shelf = Shelf(Path.cwd())
    for name in names or ():
        if not shelf.knows(name):
            raise BadArgument(
                f"there is no profile {name!r}", where="--profile", hint=shelf.hint(name) or "gateway profile list"
            )
    chosen = names or [head.name for head in shelf.heads() if head.driver == "modbus"]
    found: dict[str, Any] = {name: shelf.profile(name) for name in chosen}
    return {name: profile for name, profile in found.items() if isinstance(profile, ModbusProfile)}
