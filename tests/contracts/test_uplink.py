"""What every uplink promises, whatever it sends to and whatever store it sends from."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.ioc.ledger import Ledger
from gateway.ioc.receiver import Receiver
from gateway.model.clock import SystemClock
from gateway.model.ports import Lane, Outbox
from gateway.uplink.file import FileUplink
from tests.kit import schemas
from tests.kit.brokers import mosquitto
from tests.kit.outbox import MemoryOutbox
from tests.uplink.kit import CATALOGUE, GW, reading, readings, running, until, uplink

CLOCK = SystemClock(trusted=True)


class Uplink(Protocol):
    async def run(self) -> None: ...
    async def drain(self, timeout_s: float) -> None: ...
    async def rebirth(self) -> None: ...
    def status(self) -> dict[str, Any]: ...


class FarSide(Protocol):
    """Where records arrive."""

    def uplink(self, outbox: Outbox) -> Uplink: ...
    async def ledger(self, met: Callable[[Ledger], bool]) -> Ledger: ...


class OverMqtt:
    def __init__(self, port: int, centre: Receiver) -> None:
        self._port = port
        self._centre = centre

    def uplink(self, outbox: Outbox) -> Uplink:
        return uplink(self._port, outbox)

    async def ledger(self, met: Callable[[Ledger], bool]) -> Ledger:
        await self._centre.until(met, 10)
        return self._centre.ledger


class IntoFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def uplink(self, outbox: Outbox) -> Uplink:
        return FileUplink(self._path, GW, outbox, CATALOGUE, CLOCK)

    async def ledger(self, met: Callable[[Ledger], bool]) -> Ledger:
        async with asyncio.timeout(10):
            while not met(ledger := self._read()):
                await asyncio.sleep(0.01)
        return ledger

    def _read(self) -> Ledger:
        ledger = Ledger()
        kinds = {"tele/1": "tele/live", "state/1": "state", "cat/1": "cat"}
        for line in self._path.read_bytes().splitlines() if self._path.exists() else ():
            topic = f"ioc/v1/{GW}/{kinds[json.loads(line)['s']]}"
            schemas.check(topic, line)
            ledger.take(topic, line)
        return ledger


@pytest.fixture(params=["mqtt", "file"])
async def far(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FarSide]:
    if request.param == "file":
        yield IntoFile(tmp_path / "out.jsonl")
        return
    async with mosquitto(tmp_path / "broker") as broker, Receiver(host="127.0.0.1", port=broker.port) as centre:
        yield OverMqtt(broker.port, centre)


@asynccontextmanager
async def memory(_: Path) -> AsyncIterator[MemoryOutbox]:
    yield MemoryOutbox()


@asynccontextmanager
async def sqlite(path: Path) -> AsyncIterator[StoredOutbox]:
    async with Store(path / "store.sqlite3", BufferSettings(commit_every_s=0.02), CLOCK) as store:
        yield StoredOutbox(store)


class StoredOutbox:
    """A store's outbox that also takes records in, as `MemoryOutbox` does."""

    def __init__(self, store: Store) -> None:
        self.append = store.append
        self._outbox = store.outbox

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outbox, name)


@pytest.fixture(params=[memory, sqlite])
async def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Outbox]:
    async with request.param(tmp_path) as store:
        yield store


async def put(outbox: Any, records: Sequence[bytes], lane: Lane = Lane.LIVE) -> None:
    await outbox.append(records, lane)


def waiting(outbox: Outbox) -> int:
    return sum(outbox.waiting(lane).records for lane in Lane)


async def test_every_committed_record_arrives_exactly_once_in_good_times(far: FarSide, outbox: Outbox) -> None:
    await put(outbox, readings(300))
    async with running(far.uplink(outbox)) as link:
        await far.ledger(lambda ledger: ledger.book(GW).records == 300)
        await put(outbox, readings(300))
        ledger = await far.ledger(lambda ledger: ledger.book(GW).records == 600)
        await until(lambda: link.status()["sent_records"] == 600)
    assert ledger.book(GW).duplicates == 0
    assert ledger.book(GW).stores[outbox.epoch].have.missing(1, 600) == []
    assert waiting(outbox) == 0


async def test_a_new_uplink_goes_on_where_the_last_one_was_cut(far: FarSide, outbox: Outbox) -> None:
    for part in range(4):
        await put(outbox, readings(100))
        async with running(far.uplink(outbox)) as link:
            if part % 2:
                await until(lambda link=link: link.status()["sent_records"] > 0)
    async with running(far.uplink(outbox)):
        ledger = await far.ledger(lambda ledger: ledger.book(GW).records == 400)
    assert ledger.book(GW).stores[outbox.epoch].have.missing(1, 400) == []


async def test_the_far_side_knows_the_names_before_the_records(far: FarSide, outbox: Outbox) -> None:
    async with running(far.uplink(outbox)):
        await put(outbox, [reading()])
        ledger = await far.ledger(lambda ledger: ledger.book(GW).records == 1)
    book = ledger.book(GW)
    assert book.catalogue["cat"] == CATALOGUE.hash
    assert book.state["online"] is True
    assert next(iter(book.latest))[:2] == ("meter/power", "light.power")


async def test_urgent_records_arrive_at_once(far: FarSide, outbox: Outbox) -> None:
    async with running(far.uplink(outbox)):
        await put(outbox, [reading()], Lane.URGENT)
        await far.ledger(lambda ledger: ledger.book(GW).records == 1)


async def test_drain_sends_what_waits_and_says_goodbye(far: FarSide, outbox: Outbox) -> None:
    async with running(far.uplink(outbox)) as link:
        await until(lambda: bool(link.status()["connected"]))
        await put(outbox, readings(50))
        await until(lambda: outbox.span()[1] == 50)
        await link.drain(5)
        ledger = await far.ledger(lambda ledger: ledger.book(GW).online is False)
        assert ledger.book(GW).records == 50
        await put(outbox, readings(1))
        await asyncio.sleep(0.05)
        assert (await far.ledger(lambda _: True)).book(GW).records == 50


async def test_rebirth_and_status_can_be_asked_for_at_any_time(far: FarSide, outbox: Outbox) -> None:
    link = far.uplink(outbox)
    await link.rebirth()
    json.dumps(link.status())
    async with running(link):
        await until(lambda: bool(link.status()["connected"]))
        await link.rebirth()
        json.dumps(link.status())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            await link.drain(1)
