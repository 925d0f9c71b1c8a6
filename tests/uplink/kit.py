"""What the uplink tests share: an uplink with short times, a desk that answers, records to send."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.model.clock import SystemClock
from gateway.model.indicator import Indicator
from gateway.model.measure import Kind, Quality, Signal
from gateway.model.ports import IncomingCommand, Outbox
from gateway.uplink.encode import catalogue, record
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.sender import Limits
from gateway.uplink.settings import UplinkSettings

GW = "38-test-01"
POWER = Signal(
    id="meter/power", point="meter/power", indicator="light.power", unit="kW", kind=Kind.MEAN, every_s=1,
    name_en="Power", name_vi="Công suất",
)  # fmt: skip
PLACE = {"province": "38", "commune": "14797", "lat": 19.8075, "lon": 105.7764}
CATALOGUE = catalogue(GW, "Điểm thử", PLACE, [POWER])
SHORT = Limits(
    nobody_wait_s=0.05, retry_first_s=0.02, retry_last_s=0.05, stable_s=60, taken_over_s=0.2, trial_every_s=0.02
)


def reading(value: float = 1.5, at_ms: int = 1_795_322_220_000) -> bytes:
    return record(Indicator(POWER, None, at_ms, value, Quality.GOOD))


def readings(count: int) -> list[bytes]:
    return [reading(float(n)) for n in range(count)]


@dataclass
class Desk:
    """Answers every command after `takes_s`, and remembers what it was asked."""

    takes_s: float = 0.0
    asked: list[IncomingCommand] = field(default_factory=list)
    busy: int = 0
    most_busy: int = 0

    async def handle(self, incoming: IncomingCommand) -> bytes | None:
        self.asked.append(incoming)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await asyncio.sleep(self.takes_s)
        self.busy -= 1
        request = json.loads(incoming.payload)
        outcome = {"s": "out/1", "id": request["id"], "st": "applied", "at": 1_795_322_228_963, "res": []}
        return json.dumps(outcome).encode()


def uplink(port: int, outbox: Outbox, desk: Desk | None = None, **changes: Any) -> MqttUplink:
    limits = changes.pop("limits", SHORT)
    settings = {"host": "127.0.0.1", "port": port, "flush_every_s": 0, "ack_timeout_s": 1, **changes}
    return MqttUplink(
        UplinkSettings(**settings), GW, outbox, desk or Desk(), CATALOGUE, SystemClock(trusted=True),
        secret=lambda name: f"secret of {name}", health=lambda: {"up_s": 1}, limits=limits,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def running(link: MqttUplink) -> AsyncIterator[MqttUplink]:
    task = asyncio.create_task(link.run())
    try:
        yield link
        assert not task.done() or task.exception() is None
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(met: Callable[[], bool], bound_s: float = 10.0) -> None:
    """Polls, because what is waited for has no event of its own."""
    async with asyncio.timeout(bound_s):
        while not met():  # see above
            await asyncio.sleep(0.002)


def rids(payloads: list[bytes]) -> list[int]:
    return [record["rid"] for payload in payloads for record in json.loads(payload)["m"]]
