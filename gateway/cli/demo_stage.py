"""What the demo runs: a folder, a broker, a site's devices, a camera's clip, and the real gateway, each a process.

Everything is started by its own command line, as a person could, and ended by its own process id.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.cli.demo_view import CAMERA
from gateway.model.errors import GatewayError, Unsupported

GATEWAY = ("-P", "-c", "from gateway.cli import main; main()")
READY_S = 60.0
STOP_S = 12.0


@dataclass(slots=True)
class Truth:
    """What really crosses the line of the generated clip: (video time in s, direction). The clip starts again
    after `period_s`."""

    crossings: list[tuple[float, str]]
    period_s: float

    def until(self, video_s: float) -> dict[str, int]:
        rounds, rest_s = divmod(video_s, self.period_s)
        counts = {"down": 0, "up": 0}
        for at_s, way in self.crossings:
            counts[way] += int(rounds) + (at_s <= rest_s)
        return counts


@dataclass
class Stage:
    """`broker`: (host, port) of a real one, or None for the embedded one. The camera's clip has traffic for
    `traffic_s` seconds and an empty road until `clip_s`. `scenario`: what happens to the devices, and how many of its
    seconds pass in one."""

    folder: Path
    broker: tuple[str, int] | None
    traffic_s: float
    clip_s: float
    scenario: tuple[str, float] | None = None
    truth: Truth | None = None
    _children: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    _log: Any = None

    @property
    def site_file(self) -> Path:
        return self.folder / "rehearsal.yaml"

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    async def __aenter__(self) -> Self:
        self._log = (self.folder / "demo.log").open("ab")
        try:
            await self._set_up()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    async def _set_up(self) -> None:
        embedded = self.broker is None
        if embedded and importlib.util.find_spec("amqtt") is None:
            raise Unsupported(
                "the embedded broker is not installed",
                where="demo",
                hint='pip install "ioc-edge-gateway[demo]", or name a real one: --broker HOST:PORT',
            )
        host, port = self.broker or ("127.0.0.1", free_port())
        self.broker = (host, port)
        (self.folder / "run").mkdir(exist_ok=True)
        cameras = importlib.util.find_spec("cv2") is not None
        self._write_site((host, port), cameras=cameras)
        async with asyncio.TaskGroup() as group:
            if embedded:
                group.create_task(self._start("broker", "-P", "-m", "gateway.ioc.demo_broker", str(port)))
            if cameras:
                group.create_task(self._make_clip())
        played = () if self.scenario is None else ("--scenario", self.scenario[0], "--speed", f"{self.scenario[1]:g}")
        await self._start("devices", *GATEWAY, "simulate", str(self.site_file), "--json", *played)

    def _write_site(self, broker: tuple[str, int], *, cameras: bool) -> None:
        from config.rehearsal import rehearsal
        from config.site import load_site

        with as_file(files("config").joinpath("sites/demo.yaml")) as original:
            rehearsal(load_site(original), self.folder, broker=broker, without=() if cameras else ("cameras",))

    async def _make_clip(self) -> None:
        clip = self.folder / "run" / f"{CAMERA}.mp4"
        line = "0.05,0.55,0.95,0.55"
        maker = await self._spawn(
            "-P",
            "-m",
            "vision.simulate",
            str(clip),
            "--seconds",
            str(self.clip_s),
            "--traffic-seconds",
            str(self.traffic_s),
            "--line",
            line,
        )
        if await maker.wait() != 0:
            raise GatewayError("the clip could not be made", where=str(self.folder / "demo.log"))
        truth = json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))
        crossings = [(event["t_s"], event["direction"]) for event in truth["crossings"]]
        self.truth = Truth(crossings, truth["seconds"])

    # --- processes ----------------------------------------------------------------------------------------

    async def start_gateway(self) -> None:
        self._children["gateway"] = await self._spawn(*GATEWAY, "run", str(self.site_file))

    async def happenings(self) -> AsyncIterator[dict[str, Any]]:
        """What the scenario does to the devices, as `gateway simulate --json` says it."""
        said = self._children["devices"].stdout
        while said is not None and (line := await said.readline()):
            yield json.loads(line)

    async def stop_gateway(self) -> int:
        """SIGTERM, and its exit code: it closes its windows, commits and drains."""
        return await self._end("gateway")

    def gateway_died(self) -> int | None:
        child = self._children.get("gateway")
        return None if child is None else child.returncode

    async def stop(self) -> None:
        """Ends everything, the gateway first, and waits until it is gone."""
        for name in list(self._children)[::-1]:
            await self._end(name)
        self._log.close()

    async def _start(self, name: str, *arguments: str) -> None:
        child = await self._spawn(*arguments, stdout=asyncio.subprocess.PIPE)
        self._children[name] = child
        assert child.stdout is not None  # noqa: S101  # asked for above
        try:
            async with asyncio.timeout(READY_S):
                line = await child.stdout.readline()
        except TimeoutError:
            line = b""
        if b"ready" not in line:  # the devices say it in JSON
            raise GatewayError(f"{name} did not start", where=str(self.folder / "demo.log"))

    async def _spawn(self, *arguments: str, stdout: Any = None) -> asyncio.subprocess.Process:
        # Sessions of their own: Ctrl-C is for us alone, we tell them in order.
        return await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=self.folder, stdin=asyncio.subprocess.DEVNULL,
            stdout=self._log if stdout is None else stdout, stderr=self._log, start_new_session=True,
        )  # fmt: skip

    async def _end(self, name: str) -> int:
        child = self._children.pop(name, None)
        if child is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                return await child.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            return await child.wait()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def make_folder() -> Path:
    """A new folder for this run, under ./run when this is a writable place, else in the temporary folder."""
    import tempfile

    home = Path("run") if os.access(".", os.W_OK) else Path(tempfile.gettempdir())
    folder = home.absolute() / time.strftime("demo-%Y%m%d-%H%M%S", time.localtime())
    folder.mkdir(parents=True, exist_ok=True)
    return folder
