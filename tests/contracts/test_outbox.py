"""What every outbox promises: the store's, and the one in memory that other tests stand on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.clock import SystemClock
from gateway.model.ports import Batch, Lane
from tests.kit.outbox import MemoryOutbox


class Shop:
    """An outbox and the way in."""

    def __init__(self, outbox: Any, store: Store | None) -> None:
        self.box = outbox
        self._store = store

    async def put(self, count: int, lane: Lane = Lane.LIVE) -> None:
        records = [b'"pt":"a","ind":"b","t1":1,"v":%d,"q":"good"}' % n for n in range(count)]
        if self._store is None:
            self.box.put(records, lane)
        else:
            await self._store.append(records, lane)
            await self._store.flush()

    async def send(self, lane: Lane, most: int = 200) -> list[Batch]:
        sent: list[Batch] = []
        while batch := await self.box.take(lane, most, 65_536):
            self.box.settle(batch)
            sent.append(batch)
        return sent

    def waiting(self) -> list[int]:
        return [self.box.waiting(lane).records for lane in Lane]


@pytest.fixture(params=["memory", "sqlite"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    if request.param == "memory":
        yield Shop(MemoryOutbox(), None)
        return
    settings = BufferSettings(commit_every_s=0.01)
    async with Store(tmp_path / "store.sqlite3", settings, SystemClock(trusted=True)) as store:
        yield Shop(store.outbox, store)


def rids(*batches: Batch) -> Iterator[int]:
    for batch in batches:
        found = [record["rid"] for record in json.loads(b"[" + batch.body + b"]")]
        assert found == list(range(batch.lo, batch.hi + 1))
        assert len(found) == batch.n
        yield from found


async def test_what_is_asked_for_comes_again_as_backlog_with_the_same_ids(shop: Shop) -> None:
    await shop.put(30)
    await shop.send(Lane.LIVE)
    again = await shop.box.again([(5, 9), (20, 22)])
    assert (again.records, list(again.not_held)) == (8, [])
    assert shop.waiting() == [0, 0, 8]
    assert list(rids(*await shop.send(Lane.BACK))) == [5, 6, 7, 8, 9, 20, 21, 22]


async def test_what_is_due_or_on_its_way_is_not_sent_twice_for_being_asked_for(shop: Shop) -> None:
    await shop.put(30)
    first = await shop.box.take(Lane.LIVE, 10, 65_536)
    assert first is not None
    assert (await shop.box.again([(1, 30)])).records == 0
    assert shop.waiting() == [0, 20, 0]
    shop.box.settle(first)
    assert (await shop.box.again([(1, 30)])).records == 10
    assert shop.waiting() == [0, 20, 10]


async def test_what_does_not_exist_is_said_and_makes_nothing_due(shop: Shop) -> None:
    await shop.put(3)
    await shop.send(Lane.LIVE)
    again = await shop.box.again([(2, 3), (7, 9)])
    assert (again.records, list(again.not_held)) == (2, [(7, 9)])


async def test_outcomes_that_are_asked_for_do_not_come_before_fresh_ones(shop: Shop) -> None:
    await shop.put(3, Lane.URGENT)
    await shop.send(Lane.URGENT)
    await shop.box.again([(1, 3)])
    await shop.put(1, Lane.URGENT)
    assert shop.waiting() == [1, 0, 3]


async def test_what_is_confirmed_never_goes_back_and_never_ahead_of_what_exists(shop: Shop) -> None:
    await shop.put(10)
    seen = []
    for upto in (5, 3, 0, 10, 7):
        await shop.box.confirmed(upto)
        seen.append(shop.box.upto)
    assert seen == [5, 5, 5, 10, 10]


@pytest.mark.parametrize("lane", Lane)
async def test_a_batch_is_split_into_two_that_are_settled_each_for_itself(shop: Shop, lane: Lane) -> None:
    await shop.put(7, lane)
    batch = await shop.box.take(lane, 200, 65_536)
    assert batch is not None
    first, second = shop.box.split(batch)
    assert (first.lane, second.lane) == (lane, lane)
    assert (list(rids(first)), list(rids(second))) == ([1, 2, 3], [4, 5, 6, 7])
    shop.box.settle(second)
    assert shop.waiting() == [0, 0, 0]
    shop.box.give_back()
    assert sum(shop.waiting()) == 3
    assert list(rids(*await shop.send(lane))) == [1, 2, 3]


async def test_what_is_held_apart_stays_taken_when_the_rest_is_given_back(shop: Shop) -> None:
    await shop.put(20)
    batches = [await shop.box.take(Lane.LIVE, 5, 65_536) for _ in range(4)]
    held = batches[1]
    assert held is not None
    shop.box.give_back(but=[held])
    assert [list(rids(batch)) for batch in await shop.send(Lane.LIVE, 5)] == [
        [1, 2, 3, 4, 5],
        [11, 12, 13, 14, 15],
        [16, 17, 18, 19, 20],
    ]
    await shop.box.refuse(held, "no")
    shop.box.give_back()
    assert shop.waiting() == [0, 0, 0]
