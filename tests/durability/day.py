"""A short day of a store's life, for disks that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from buffer.settings import BufferSettings, HistorySettings
from buffer.store import Store
from buffer.writer import Connect
from gateway.model.command import CommandState, Outcome
from gateway.model.errors import StoreDamaged, StoreError
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Quality, Signal
from gateway.model.ports import Lane
from tests.durability.promises import SPAN_S, Promises, record
from tests.kit.clock import ManualClock

T = TypeVar("T")

SETTINGS = BufferSettings(commit_every_s=0.005, keep_days=0.5, history=HistorySettings(base_hours=48))
DAY_S = 86_400
SIGNALS = [
    Signal(id=f"s{n}", point=f"s{n}", indicator="test.window", unit="1", kind=Kind.MEAN, every_s=1, window_s=SPAN_S)
    for n in range(8)
]


async def two_days(path: Path, promises: Promises, connect: Connect | None = None) -> Day:
    day = Day(path, ManualClock(), promises, connect)
    async with asyncio.timeout(30):
        await day.live("one")
        await day.live("two")
    return day


class Day:
    """A short day of a store's life, in which every operation of the ports is called. What fails is tried again, as
    the daemon or its supervisor would."""

    def __init__(self, path: Path, clock: ManualClock, promises: Promises, connect: Connect | None = None) -> None:
        self.path, self.clock, self.promises, self.connect = path, clock, promises, connect
        self.errors: list[StoreError] = []
        self.run = ""
        self._number = 0

    async def live(self, run: str) -> None:
        self.run, self._number = run, 0
        store = await self.patiently(self._opened)
        try:
            self.promises.hear({"fact": "opened", "epoch": store.outbox.epoch, "session": await self._session(store)})
            await self._morning(store)
            await self._noon(store)
            await self._evening(store)
        finally:
            await store.__aexit__(None, None, None)

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        for _ in range(30):
            try:
                return await work()
            except StoreDamaged:
                raise  # a disk that fails is no damaged file
            except StoreError as error:
                self.errors.append(error)
        raise AssertionError(f"the disk is well again, the store is not: {self.errors[-1]}")

    async def _opened(self) -> Store:
        return await Store(self.path, SETTINGS, self.clock, self.connect).__aenter__()

    async def _session(self, store: Store) -> int:
        return await self.patiently(store.outbox.next_session)

    async def _append(self, store: Store, n: int, lane: Lane = Lane.LIVE, end_ms: int = 0) -> None:
        first, self._number = self._number + 1, self._number + n
        windows = [_window(signal, end_ms, float(at)) for at, signal in enumerate(SIGNALS)] if end_ms else []
        records = [record(self.run, number) for number in range(first, first + n)]
        await store.append(records, lane, windows=windows, keep={self.run: {"upto": self._number}})
        await store.flush()
        self.promises.hear(
            {"fact": "stored", "run": self.run, "upto": self._number, "top": store.outbox.span()[1]}
        )  # fmt: skip
        if end_ms:
            self.promises.hear({"fact": "windows", "end_ms": end_ms, "total": float(sum(range(len(SIGNALS))))})

    def _head(self, store: Store) -> None:
        seq, digest = store.journal.head()
        if seq:
            self.promises.hear({"fact": "head", "seq": seq, "hash": digest})

    async def _morning(self, store: Store) -> None:
        await self._append(store, 30)
        await self._append(store, 3, Lane.URGENT)
        await self._append(store, 20, end_ms=self.clock.now_ms())
        store.journal.note("start", {"run": self.run, "what": "một ngày"})
        await store.flush()
        self._head(store)

    async def _noon(self, store: Store) -> None:
        await self._command(store, f"{self.run}-done")
        await self.patiently(lambda: store.claims.claim(f"{self.run}-open", b"{}", self.clock.now_ms()))
        self.promises.hear({"fact": "acted", "command": f"{self.run}-open"})
        await self._send(store)
        await self.patiently(lambda: store.outbox.again([(1, 5)]))
        await store.outbox.confirmed(store.outbox.span()[1] - 10)
        await store.flush()

    async def _evening(self, store: Store) -> None:
        self.clock.advance(0.6 * DAY_S)  # sent records may go, commands of the day before not yet
        await self.patiently(store.keeper.tend)
        for _ in range(4):
            await self._append(store, 60, end_ms=self.clock.now_ms())
            self.clock.advance(SPAN_S)
        self._head(store)
        await self._session(store)

    async def _command(self, store: Store, command: str) -> None:
        if await self.patiently(lambda: store.claims.claim(command, b"{}", self.clock.now_ms())) is not None:
            return  # the claim was committed, though we were told it failed
        self.promises.hear({"fact": "acted", "command": command})
        message = b'{"s":"out/1","id":"%b"}' % command.encode()
        outcome = Outcome(id=command, state=CommandState.APPLIED, at_ms=self.clock.now_ms())
        self._number += 1
        await store.claims.finish(outcome, message, [record(self.run, self._number)])
        self.promises.hear({"fact": "outcome", "command": command, "message": message.decode()})
        self._head(store)

    async def _send(self, store: Store) -> None:
        while batch := await self.patiently(lambda: store.outbox.take(Lane.URGENT, 2, 4096)):
            self._offer(batch.lo, batch.hi)
            store.outbox.settle(batch)
        for fate in ("settle", "refuse", "give back"):
            batch = await self.patiently(lambda: store.outbox.take(Lane.LIVE, 12, 4096))
            assert batch is not None
            if fate == "give back":
                store.outbox.give_back()
                continue
            self._offer(batch.lo, batch.hi)
            if fate == "settle":
                store.outbox.settle(batch)
            else:
                await store.outbox.refuse(batch, "test")
        await store.flush()

    def _offer(self, lo: int, hi: int) -> None:
        self.promises.hear({"fact": "offered", "lo": lo, "hi": hi})


def _window(signal: Signal, end_ms: int, value: float) -> Indicator:
    parts = Parts(60, 60, value * 60, value, value, value, value)
    return Indicator(signal, end_ms - SPAN_S * 1000, end_ms, value, Quality.GOOD, (), parts)
