"""A site in a folder, its devices, and the gateway as a real process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from buffer.inspect import newest, read_only, summary
from config.site import load_site
from drivers.simulate import Simulation, simulated
from gateway.api import SOCKET_NAME, ask
from gateway.ioc.receiver import Receiver
from gateway.model.errors import GatewayError
from tests.kit import schemas
from tests.kit.brokers import free_port

GATEWAY = (sys.executable, "-P", "-c", "from gateway.cli import main; main()")
BOUND_S = 20.0


def register_profile(registers: int = 4, *, window_s: int = 1, forward: str = "every") -> dict[str, Any]:
    """A device of plain holding registers, each writable, whose first one counts up."""
    points = {
        f"r{n}": {
            "name_en": f"Register {n}",
            "name_vi": f"Thanh ghi {n}",
            "indicator": "test.register",
            "unit": "1",
            "table": "holding",
            "at": n,
            "type": "u16",
            "kind": "last",
            "window_s": window_s,
            "forward": forward,
            "write": {"within_s": 0.5},
        }
        for n in range(registers)
    }
    points["r0"]["simulate"] = {"shape": "counter", "per_s": 100}
    return {
        "profile": "registers",
        "title_en": "Registers",
        "title_vi": "Các thanh ghi",
        "driver": "modbus",
        "source": "made for tests",
        "confirmed": True,
        "url": "https://example.invalid/map",
        "points": points,
        "examples": [{"given": {"holding": {"0": [1]}}, "expect": {"r0": 1}}],
    }


class TestSite:
    """Writes the site's files, runs the gateway on them, follows it. `site` may be changed before `write`."""

    __test__ = False

    def __init__(self, folder: Path, broker_port: int) -> None:
        self.folder = folder
        self.child: asyncio.subprocess.Process | None = None
        self.profile = register_profile()
        self.site: dict[str, Any] = {
            "gateway": "38-test-01",
            "site": "Điểm thử",
            "place": {"province": "38", "commune": "14797", "lat": 19.8, "lon": 105.77},
            "state_dir": "state",
            "clock": "trusted",
            "uplink": {"host": "127.0.0.1", "port": broker_port, "flush_every_s": 0.1, "ack_timeout_s": 2,
                       "heartbeat_s": 1, "keepalive_s": 5},
            "buffer": {"commit_every_s": 0.05},
            "wires": {"bus": {"kind": "modbus_tcp", "host": "127.0.0.1", "port": free_port(), "timeout_s": 0.3}},
            "devices": {f"d{n}": {"profile": "registers", "wire": "bus", "unit": n, "every_s": 0.2} for n in (1, 2)},
            "commands": {"allow": [{"from": "ioc-demo", "ops": ["point.set", "point.read"], "to": ["d*/r*"]}]},
        }  # fmt: skip

    @property
    def file(self) -> Path:
        return self.folder / "site.yaml"

    @property
    def store(self) -> Path:
        return self.folder / "state" / "store.sqlite3"

    @property
    def log(self) -> str:
        return (self.folder / "gateway.log").read_text(encoding="utf-8")

    def write(self) -> None:
        (self.folder / "devices").mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.profile, ensure_ascii=False, indent=1).replace('"0": [', "0: [")
        (self.folder / "devices" / "registers.yaml").write_text(text, encoding="utf-8")
        self.file.write_text(json.dumps(self.site, ensure_ascii=False, indent=1), encoding="utf-8")

    @contextlib.asynccontextmanager
    async def devices(self) -> AsyncIterator[Simulation]:
        """The far end of every wire of the site, in this process."""
        site = load_site(self.file)
        devices = {name: (settings, site.profiles[name]) for name, settings in site.document.devices.items()}
        async with simulated(site.document.wires, devices, site.base) as simulation:
            yield simulation

    # --- the process --------------------------------------------------------------------------------------

    async def start(self, environment: Mapping[str, str] | None = None) -> None:
        log = os.open(self.folder / "gateway.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            self.child = await asyncio.create_subprocess_exec(
                *GATEWAY, "run", str(self.file), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env={**os.environ, **(environment or {})},
            )  # fmt: skip
        finally:
            os.close(log)

    async def kill(self) -> None:
        """kill -9, of the whole process group: nothing of it runs on."""
        if self.child is not None and self.child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            await self.child.wait()

    async def terminate(self) -> int:
        """SIGTERM; its exit code."""
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(BOUND_S):
            return await self.child.wait()

    async def status(self) -> dict[str, Any]:
        return await ask(self.folder / "state" / SOCKET_NAME)

    async def until_status(self, met: Any, bound_s: float = BOUND_S) -> dict[str, Any]:
        """The first status that is as wished. Fails with the gateway's log if none comes."""
        status: dict[str, Any] = {}
        try:
            async with asyncio.timeout(bound_s):
                while True:
                    with contextlib.suppress(GatewayError):
                        status = await self.status()
                        if met(status):
                            return status
                    assert self.child is not None
                    assert self.child.returncode is None, self.log
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"never as wished; the last status was {status}\n{self.log}") from None

    # --- what is on disk ----------------------------------------------------------------------------------

    def stored(self) -> dict[int, dict[str, Any]]:
        """Every record in the store, by its id."""
        with read_only(self.store) as connection:
            return {record["rid"]: record for record in newest(connection, 1_000_000)}

    def summary(self) -> dict[str, Any]:
        with read_only(self.store) as connection:
            return summary(connection)


@contextlib.contextmanager
def every_message_checked(receiver: Receiver) -> Iterator[list[tuple[str, Mapping[str, Any]]]]:
    """All messages the receiver gets are held against their schemas; yields them as they come."""
    seen: list[tuple[str, Mapping[str, Any]]] = []

    def listen(topic: str, message: Mapping[str, Any]) -> None:
        schemas.check(topic, json.dumps(message).encode())
        seen.append((topic, message))

    receiver.listener = listen
    yield seen
    receiver.listener = None


def records_of(seen: list[tuple[str, Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    return [record for topic, message in seen if "/tele/" in topic for record in message["m"]]
