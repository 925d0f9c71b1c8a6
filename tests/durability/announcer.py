"""A process with a real store that says on stdout what it has promised, until it is killed.

    python -m tests.durability.announcer < order     # one line of JSON, see `Order`

It imports everything first and waits for its order, so that a test can have the next one ready. Facts are lines of
JSON (promises.py). The pipe is never waited for: what does not fit is said later, and a fact that is not said is
no promise.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from buffer.settings import BufferSettings
from buffer.store import Store
from buffer.writer import sqlite_connection
from gateway.commands.desk import Desk
from gateway.commands.settings import CommandSettings
from gateway.model.clock import SystemClock
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Quality, Reading, Signal, Value
from gateway.model.ports import DeviceHealth, IncomingCommand, Lane, Readback
from gateway.uplink.encode import catalogue
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.sender import Limits
from gateway.uplink.settings import UplinkSettings
from tests.durability.promises import SPAN_S, record

GW = "38-test-01"
LAMP = "lamps/1"
ALLOWED = {"allow": [{"from": "ioc-demo", "ops": ["light.set"], "to": ["lamps/*"]}], "max_per_minute": 6000}
SIGNALS = [
    Signal(id=f"w{n}", point=f"w{n}", indicator="test.window", unit="1", kind=Kind.MEAN, every_s=1, window_s=SPAN_S)
    for n in range(10)
]
DRAIN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`run` names this life of the process. `broker`: the port of one to send to, 0: an uplink is played. `repeat`:
    ids of commands that are sent again. `records`: how many are appended at most, 0 no end; then it drains and ends.
    `careless`: a store that leaves the syncs out, to see that a test notices.
    """

    path: str
    run: str
    broker: int = 0
    repeat: Sequence[str] = ()
    records: int = 0
    pause_s: float = 0.0
    careless: bool = False


class Teller:
    """Says facts on a pipe without ever waiting for it."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._rest = b""

    @property
    def behind(self) -> bool:
        return bool(self._rest)

    def __call__(self, **fact: Any) -> None:
        self._rest += json.dumps(fact, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self._fd, self._rest)
        except BlockingIOError:
            return
        self._rest = self._rest[written:]


class Lamp:
    """An actuator that says when it acts, which is after the claim was committed."""

    name = "lamps"
    signals: Sequence[Signal] = ()

    def __init__(self, tell: Teller, random: Random) -> None:
        self._tell = tell
        self._random = random

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...

    async def batches(self) -> AsyncGenerator[Sequence[Reading], None]:
        yield ()

    def health(self) -> dict[str, DeviceHealth]:
        return {}

    async def apply(self, signal: str, value: Value) -> Readback:
        # A command's number is its level: that is how an act is known by its command.
        self._tell(fact="acted", command=command_id(value))
        await asyncio.sleep(self._random.random() * 0.02)
        return Readback(Reading(signal, 1, value), verified=True)

    async def read(self, signal: str) -> Reading:
        return Reading(signal, 1, 0.0)


def command_id(level: Value) -> str:
    return f"command-{level}"


def command(level: float, issued_ms: int) -> bytes:
    """A `cmd/1` for the lamp, told apart by its level: 0 .. 100, any fraction."""
    return json.dumps(
        {"s": "cmd/1", "id": command_id(level), "gw": GW, "iss": "ioc-demo", "iat": issued_ms, "ttl": 60,
         "op": "light.set", "to": [LAMP], "arg": {"level": level}}
    ).encode()  # fmt: skip


class _Careless(sqlite3.Connection):
    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return super().execute(sql.replace("synchronous=FULL", "synchronous=OFF"), *values)


def careless(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=_Careless)


class Announcer:
    def __init__(self, order: Order, tell: Teller) -> None:
        self.order = order
        self.tell = tell
        self.random = Random(order.run)
        self.clock = SystemClock(trusted=True)
        connect = careless if order.careless else sqlite_connection
        self.store = Store(Path(order.path), BufferSettings(commit_every_s=0.02), self.clock, connect)
        lamp = Signal(id=LAMP, point=LAMP, indicator="light.level", unit="%", kind=Kind.LAST, every_s=1)
        rules = CommandSettings.model_validate(ALLOWED)
        actuators = {LAMP: (Lamp(tell, self.random), lamp)}
        self.desk = Desk(GW, rules, self.store.claims, actuators, self.clock)
        self.number = 0

    async def run(self) -> None:
        self.tell(fact="alive")
        async with self.store as store:
            self.tell(fact="opened", epoch=store.outbox.epoch, session=await store.outbox.next_session())
            self._head()
            await self.desk.report_interrupted()
            async with asyncio.TaskGroup() as group, self._sent() as uplink:
                background = [group.create_task(work) for work in (self._notes(), self._commands())]
                await self._records()
                await self.store.flush()
                if uplink is not None:
                    await self._until_all_is_taken()
                    await uplink.drain(DRAIN_S)
                for task in background:
                    task.cancel()
        self.tell(fact="ended")

    def _head(self) -> None:
        seq, digest = self.store.journal.head()
        if seq:
            self.tell(fact="head", seq=seq, hash=digest)

    async def _records(self) -> None:
        end_ms = 0
        while not self.order.records or self.number < self.order.records:
            first, self.number = self.number + 1, self.number + self.random.randint(1, 40)
            lane = Lane.URGENT if self.random.random() < 0.1 else Lane.LIVE
            end_ms = max(end_ms + 1, self.clock.now_ms())
            windows = [_window(signal, end_ms, float(self.number + at)) for at, signal in enumerate(SIGNALS)]
            await self.store.append(
                [record(self.order.run, n) for n in range(first, self.number + 1)],
                lane,
                windows=windows,
                keep={self.order.run: {"upto": self.number}},
            )
            if self.random.random() < 0.3:
                continue  # somebody else's flush, or the interval, commits it together with what follows
            await self.store.flush()
            self.tell(fact="stored", run=self.order.run, upto=self.number, top=self.store.outbox.span()[1])
            self.tell(fact="windows", end_ms=end_ms, total=sum(float(window.value or 0) for window in windows))
            await asyncio.sleep(self.order.pause_s)

    async def _notes(self) -> None:
        while True:
            self.store.journal.note("start", {"run": self.order.run, "n": self.random.randint(1, 99), "why": "thử"})
            await self.store.flush()
            self._head()
            await asyncio.sleep(self.random.random() * 0.01)

    async def _commands(self) -> None:
        for again in self.order.repeat:
            await self._handle(float(again.removeprefix("command-")))
        while not self.order.broker:
            await self._handle(self.random.random() * 100)

    async def _handle(self, level: float) -> None:
        message = await self.desk.handle(IncomingCommand(command(level, self.clock.now_ms())))
        if message is not None:
            self.tell(fact="outcome", command=command_id(level), message=message.decode())

    @asynccontextmanager
    async def _sent(self) -> AsyncIterator[MqttUplink | None]:
        """The real uplink while there is a broker, or else one that is played."""
        uplink = None if not self.order.broker else MqttUplink(
            UplinkSettings(host="127.0.0.1", port=self.order.broker, flush_every_s=0.05, ack_timeout_s=3),
            GW, self.store.outbox, self.desk, catalogue(GW, "Điểm thử", {}, SIGNALS), self.clock,
            secret=str, health=dict, limits=Limits(retry_first_s=0.02, retry_last_s=0.2, taken_over_s=0.2),
        )  # fmt: skip
        task = asyncio.create_task(self._played() if uplink is None else uplink.run())
        try:
            yield uplink
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _until_all_is_taken(self) -> None:
        """Also what the commands still bring that the broker kept for us."""
        async with asyncio.timeout(DRAIN_S):
            quiet = 0
            while quiet < 20:
                waits = any(self.store.outbox.waiting(lane).records for lane in Lane)
                quiet = 0 if waits else quiet + 1
                await asyncio.sleep(0.01)

    async def _played(self) -> None:
        """Takes, and lets every batch have one of its fates. `settled` is said when it is committed."""
        outbox = self.store.outbox
        while True:
            lane = self.random.choice((Lane.URGENT, Lane.LIVE, Lane.BACK))
            batch = await outbox.take(lane, self.random.randint(1, 60), 16384)
            fate = self.random.random()
            if batch is None or self.tell.behind:
                await outbox.changed()
            elif fate < 0.3:
                outbox.give_back()
            elif fate < 0.4:
                await outbox.refuse(batch, "test")
                await self.store.flush()
                self.tell(fact="settled", lo=batch.lo, hi=batch.hi)
            else:
                outbox.settle(batch)
                await self.store.flush()
                self.tell(fact="settled", lo=batch.lo, hi=batch.hi)
            await asyncio.sleep(0)


def _window(signal: Signal, end_ms: int, value: float) -> Indicator:
    parts = Parts(60, 60, value * 60, value, value, value, value)
    return Indicator(signal, end_ms - SPAN_S * 1000, end_ms, value, Quality.GOOD, (), parts)


if __name__ == "__main__":
    asyncio.run(Announcer(Order(**json.loads(sys.stdin.readline())), Teller(1)).run())
