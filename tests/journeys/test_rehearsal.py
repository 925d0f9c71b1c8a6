"""A real site's file on a desk, rehearsed as a technician would: real processes, real time, and every device delivers.

Only example sites that bring a kind of wire no other of them has: what each site means is played in tests/sites, in
warped time, and what a kind of wire promises is held in tests/contracts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from config.site import load_site
from gateway.api import SOCKET_NAME, ask
from gateway.model.errors import GatewayError
from tests.kit.brokers import free_port

GATEWAY = (sys.executable, "-P", "-c", "from gateway.cli import main; main()")
SITES = Path(__file__).parents[2] / "config" / "sites"
BOUND_S = 40.0


@contextlib.asynccontextmanager
async def started(folder: Path, *words: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A verb as a process of its own; told to stop at the end, and it does."""
    log = os.open(folder / f"{words[0]}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        child = await asyncio.create_subprocess_exec(
            *GATEWAY, *map(str, words), cwd=folder, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(log)
    try:
        yield child
        assert child.returncode is None, (folder / f"{words[0]}.log").read_text(encoding="utf-8")
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            await child.communicate()
        assert child.returncode == 0, (folder / f"{words[0]}.log").read_text(encoding="utf-8")
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            await child.wait()


async def line_of(child: asyncio.subprocess.Process) -> dict[str, Any]:
    assert child.stdout is not None
    async with asyncio.timeout(BOUND_S):
        said: dict[str, Any] = json.loads(await child.stdout.readline())
    return said


async def until(desk: Path, met: Any) -> dict[str, Any]:
    """The first status that is as wished."""
    status: dict[str, Any] = {}
    try:
        async with asyncio.timeout(BOUND_S):
            while True:
                with contextlib.suppress(GatewayError):
                    status = await ask(desk / "state" / SOCKET_NAME)
                    if met(status):
                        return status
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never as wished; the last status was {json.dumps(status, indent=1)}") from None


def missing(points: Mapping[str, Any], wanted: set[str]) -> set[str]:
    return {name for name in wanted if points.get(name, {"v": None})["v"] is None}


def with_kinds_of_their_own() -> list[str]:
    """Sites that together have every kind of wire there is among the examples: those with most kinds first."""
    yaml = YAML(typ="safe")
    kinds = {
        file.stem: {wire["kind"] for wire in yaml.load(file.read_text(encoding="utf-8")).get("wires", {}).values()}
        for file in sorted(SITES.glob("*.yaml"))
    }
    chosen: list[str] = []
    seen: set[str] = set()
    for name in sorted(kinds, key=lambda name: -len(kinds[name])):
        if not kinds[name] <= seen:
            chosen.append(name)
            seen |= kinds[name]
    return chosen


@pytest.mark.parametrize("name", with_kinds_of_their_own())
async def test_every_device_of_an_example_site_delivers_in_a_rehearsal(name: str, tmp_path: Path) -> None:
    original = SITES / f"{name}.yaml"
    before = original.read_bytes()
    site, desk = load_site(original), tmp_path / "desk"
    wanted = {f"{device}/{point}" for device, profile in site.profiles.items() for point in profile.points_by_name()}
    copy = ("--loopback", desk, "--broker", f"127.0.0.1:{free_port()}", "--every", "2s")
    async with started(tmp_path, "simulate", original, *copy, "--json") as far:
        ready = await line_of(far)
        assert ready["event"] == "ready"
        assert {device for wire in ready["wires"] for device in wire["devices"]} == set(site.document.devices)
        assert ready["run"] == f"gateway run {desk / 'rehearsal.yaml'}"
        async with started(tmp_path, "run", desk / "rehearsal.yaml"):
            status = await until(desk, lambda status: not missing(status["points"], wanted))
    wires = {name: source["devices"] for name, source in status["sources"].items() if name in site.document.wires}
    assert {device for devices in wires.values() for device, its in devices.items() if its["online"]} == set(
        site.document.devices
    )
    assert original.read_bytes() == before
    assert not (SITES / "run").exists()
