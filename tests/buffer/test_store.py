"""What the store promises, on real files."""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.command import CommandState, Outcome
from gateway.model.errors import StoreBusy, StoreError
from gateway.model.ports import Batch, Lane
from tests.kit.clock import ManualClock
from tests.kit.faulty_disk import Fault, FaultyDisk


def tail(value: object, point: str = "a/b") -> bytes:
    return b'"pt":"%b","v":%b}' % (point.encode(), json.dumps(value).encode())


def values(batch: Batch | None) -> list[object]:
    return [] if batch is None else [record["v"] for record in json.loads(b"[" + batch.body + b"]")]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.sqlite3"


@asynccontextmanager
async def opened(path: Path, clock: ManualClock, every_s: float = 0.01) -> AsyncIterator[Store]:
    async with Store(path, BufferSettings(commit_every_s=every_s), clock) as store:
        yield store


async def take_all(store: Store, lane: Lane, max_records: int = 200, max_bytes: int = 65536) -> list[object]:
    got: list[object] = []
    while batch := await store.outbox.take(lane, max_records, max_bytes):
        got += values(batch)
        store.outbox.settle(batch)
    return got


async def test_records_come_out_in_order_with_consecutive_ids(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        for i in range(5):
            await store.append([tail(10 * i + j) for j in range(3)])
            await store.flush()
        batch = await store.outbox.take(Lane.LIVE, 200, 65536)
        assert batch is not None
        assert (batch.lo, batch.hi, batch.n) == (1, 15, 15)
        assert values(batch) == [10 * i + j for i in range(5) for j in range(3)]
        assert store.outbox.span() == (1, 15)


async def test_append_commits_within_the_interval_without_being_told(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock, every_s=0.02) as store:
        await store.append([tail(1)])
        assert await store.outbox.take(Lane.LIVE, 10, 1000) is None
        async with asyncio.timeout(5):
            await store.outbox.changed()
        assert values(await store.outbox.take(Lane.LIVE, 10, 1000)) == [1]


async def test_an_urgent_record_does_not_wait_for_the_interval(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock, every_s=60) as store:
        await store.append([tail("slow")])
        await store.append([tail("alarm")], Lane.URGENT)
        async with asyncio.timeout(5):
            await store.outbox.changed()
        assert values(await store.outbox.take(Lane.URGENT, 10, 1000)) == ["alarm"]


async def test_what_is_settled_is_not_sent_again_after_a_restart(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await store.append([tail(i) for i in range(10)])
        await store.flush()
        first = await store.outbox.take(Lane.LIVE, 4, 65536)
        second = await store.outbox.take(Lane.LIVE, 4, 65536)
        assert first is not None
        assert values(second) == [4, 5, 6, 7]
        store.outbox.settle(first)
    async with opened(path, clock) as store:
        assert await take_all(store, Lane.LIVE) == [4, 5, 6, 7, 8, 9]
        assert await take_all(store, Lane.BACK) == []


async def test_an_id_is_never_given_twice_even_when_everything_was_deleted(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await store.append([tail(i) for i in range(10)])
        await store.flush()
        await take_all(store, Lane.LIVE)
        clock.advance(30 * 86400)
        assert await store.keeper.tend() == 10
        assert store.outbox.span() == (11, 10)
    async with opened(path, clock) as store:
        await store.append([tail("new")])
        await store.flush()
        batch = await store.outbox.take(Lane.LIVE, 10, 1000)
        assert batch is not None
        assert batch.lo == 11


async def test_pruning_never_touches_what_still_has_to_be_sent(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await store.append([tail(i) for i in range(10)])
        await store.flush()
        taken = await store.outbox.take(Lane.LIVE, 3, 65536)
        clock.advance(365 * 86400)
        assert await store.keeper.tend() == 0
        store.outbox.give_back()
        assert taken is not None
        assert await take_all(store, Lane.BACK) == list(range(10))


async def test_given_back_batches_are_due_again_in_their_old_order(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await store.append([tail(i) for i in range(9)])
        await store.flush()
        batches = [await store.outbox.take(Lane.LIVE, 3, 65536) for _ in range(3)]
        assert batches[1] is not None
        store.outbox.settle(batches[1])
        store.outbox.give_back()
        assert await take_all(store, Lane.LIVE) == [0, 1, 2, 6, 7, 8]


async def test_what_waited_too_long_becomes_backlog_and_fresh_records_overtake_it(
    path: Path, clock: ManualClock
) -> None:
    async with opened(path, clock) as store:
        await store.append([tail("old")])
        await store.flush()
        clock.advance(3600)
        await store.append([tail("fresh")])
        await store.flush()
        assert store.outbox.waiting(Lane.LIVE).records == 1
        assert store.outbox.waiting(Lane.BACK).records == 1
        assert values(await store.outbox.take(Lane.LIVE, 10, 1000)) == ["fresh"]
        assert values(await store.outbox.take(Lane.BACK, 10, 1000)) == ["old"]


async def test_after_a_long_outage_and_a_restart_everything_is_backlog_but_the_last_minutes(
    path: Path, clock: ManualClock
) -> None:
    async with opened(path, clock) as store:
        for i in range(20):
            await store.append([tail(i)])
            await store.flush()
            clock.advance(31)
    clock.advance(-31)
    async with opened(path, clock) as store:
        live, back = await take_all(store, Lane.LIVE), await take_all(store, Lane.BACK)
        assert live == [16, 17, 18, 19]
        assert back == list(range(16))


async def test_batches_respect_both_limits_and_break_where_ids_do(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await store.append([tail(i) for i in range(6)])
        await store.append([tail("urgent")], Lane.URGENT)
        await store.flush()
        await store.append([tail(i) for i in range(6, 9)])
        await store.flush()
        small = await store.outbox.take(Lane.LIVE, 200, 70)
        assert small is not None
        assert len(small.body) <= 70
        rest = await store.outbox.take(Lane.LIVE, 200, 65536)
        assert rest is not None
        assert rest.n == rest.hi - rest.lo + 1
        assert values(small) + values(rest) + await take_all(store, Lane.LIVE) == list(range(9))


async def test_a_record_larger_than_the_limit_still_comes_out_alone(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await store.append([tail("x" * 5000), tail(1)])
        await store.flush()
        assert values(await store.outbox.take(Lane.LIVE, 200, 100)) == ["x" * 5000]
        assert values(await store.outbox.take(Lane.LIVE, 200, 100)) == [1]


async def test_a_refused_batch_is_set_aside_with_its_reason_and_blocks_nothing(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        await store.append([tail("poison"), tail("good")])
        await store.flush()
        poison = await store.outbox.take(Lane.LIVE, 1, 1000)
        assert poison is not None
        await store.outbox.refuse(poison, "packet too large")
        assert await take_all(store, Lane.LIVE) == ["good"]
        assert store.outbox.set_aside == 1
    async with opened(path, clock) as store:
        assert await take_all(store, Lane.LIVE) == []
        assert store.outbox.set_aside == 1
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT lo, n, reason FROM set_aside").fetchall() == [(1, 1, "packet too large")]
    connection.close()


async def test_session_numbers_and_epoch_survive_and_only_grow(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock) as store:
        epoch, first = store.outbox.epoch, await store.outbox.next_session()
    async with opened(path, clock) as store:
        assert store.outbox.epoch == epoch
        assert await store.outbox.next_session() == first + 1
    assert len(epoch) == 8


async def test_a_second_process_is_turned_away_with_a_hint(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock):
        with pytest.raises(StoreBusy, match="another gateway process"):
            async with opened(path, clock):
                pytest.fail("opened twice")


async def test_a_damaged_file_is_set_aside_and_a_new_epoch_begins(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is not a database, it is a memory card after a bad winter" * 100)
    async with opened(path, clock) as store:
        await store.append([tail(1)])
        await store.flush()
        assert await take_all(store, Lane.LIVE) == [1]
    kept = list(path.parent.glob("*damaged*"))
    assert len(kept) == 1
    assert kept[0].read_bytes().startswith(b"this is not")
    assert kept[0].name in caplog.text


async def test_a_store_of_a_newer_gateway_is_left_alone(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreError, match="newer gateway"):
        async with opened(path, clock):
            pytest.fail("opened")


async def test_a_full_disk_stops_nothing_and_loses_nothing(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("buffer.group.RETRY_S", 0.01)
    with FaultyDisk() as disk:
        async with Store(path, BufferSettings(commit_every_s=0.01), clock, disk.connect) as store:
            disk.fault = Fault("full", "write", times=math.inf)
            await store.append([tail(Random(i).randbytes(700).hex()) for i in range(40)])
            for i in range(3):
                await store.append([tail(i)])
            await asyncio.sleep(0.05)
            assert "wait in memory" in caplog.text
            disk.fault = None
            async with asyncio.timeout(5):
                await store.flush()
            assert (await take_all(store, Lane.LIVE))[-3:] == [0, 1, 2]
    assert caplog.text.count("wait in memory") == 1
    assert "takes records again" in caplog.text


async def test_concurrent_flushes_each_wait_for_their_own_records(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock, every_s=60) as store:

        async def one(i: int) -> int:
            await store.append([tail(i)])
            await store.flush()
            return store.outbox.span()[1]

        heads = await asyncio.gather(*(one(i) for i in range(50)))
        assert max(heads) == 50
        assert min(heads) >= 1
        assert sorted(await take_all(store, Lane.LIVE)) == list(range(50))  # type: ignore[type-var]


async def test_a_command_is_claimed_once_and_its_outcome_is_remembered(path: Path, clock: ManualClock) -> None:
    outcome = Outcome(id="c1", state=CommandState.APPLIED, at_ms=clock.now_ms())
    async with opened(path, clock) as store:
        assert await store.claims.claim("c1", b"{}", clock.now_ms()) is None
        assert await store.claims.claim("c1", b"{}", clock.now_ms()) == b""
        assert list(await store.claims.interrupted()) == ["c1"]
        await store.claims.finish(outcome, b'{"st":"applied"}', [tail("applied")])
        assert list(await store.claims.interrupted()) == []
        assert values(await store.outbox.take(Lane.URGENT, 10, 1000)) == ["applied"]
    async with opened(path, clock) as store:
        assert await store.claims.claim("c1", b"{}", clock.now_ms()) == b'{"st":"applied"}'


async def test_leaving_commits_the_open_group(path: Path, clock: ManualClock) -> None:
    async with opened(path, clock, every_s=60) as store:
        await store.append([tail("last words")])
    async with opened(path, clock) as store:
        assert await take_all(store, Lane.LIVE) == ["last words"]


async def test_a_folder_that_cannot_be_used_is_named_with_a_hint(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        async with opened(tmp_path / "file" / "store.sqlite3", clock):
            pytest.fail("opened")
    assert "belong to the gateway's user" in caught.value.hint
