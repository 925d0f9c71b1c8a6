"""What every record sink promises, and the keepsakes with it: the store's, and the one in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.clock import SystemClock
from gateway.model.ports import Keepsakes, Lane, RecordSink
from tests.kit.outbox import MemoryOutbox

RECORD = b'"pt":"a","ind":"b","t1":1,"v":1,"q":"good"}'


class Shop:
    """A sink, what is recalled from it, and how many journal entries it has."""

    def __init__(self, sink: RecordSink, kept: Keepsakes, noted: Callable[[], int], stored: Callable[[], int]) -> None:
        self.sink = sink
        self.kept = kept
        self.noted = noted
        self.stored = stored

    async def put(self, *records: bytes, **more: Any) -> None:
        await self.sink.append(records, **more)
        await self.sink.flush()


@pytest.fixture(params=["memory", "sqlite"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    if request.param == "memory":
        box = MemoryOutbox()
        yield Shop(box, box, lambda: len(box.notes), lambda: box.span()[1])
        return
    settings = BufferSettings(commit_every_s=0.01)
    async with Store(tmp_path / "store.sqlite3", settings, SystemClock(trusted=True)) as store:
        yield Shop(store, store.keepsakes, lambda: store.journal.head()[0], lambda: store.outbox.span()[1])


async def test_what_was_never_kept_is_none(shop: Shop) -> None:
    assert await shop.kept.recall("air.hour") is None


async def test_a_keepsake_comes_back_as_it_was_last_kept(shop: Shop) -> None:
    kept = {"upto_ms": 1_795_322_220_000, "open": [{"vi": "ngập úng", "level": 0.75}], "none": None, "yes": True}
    await shop.put(RECORD, keep={"alarms": {"upto_ms": 1}, "air.hour": kept})
    await shop.put(RECORD, keep={"alarms": {"upto_ms": 2}})
    assert await shop.kept.recall("alarms") == {"upto_ms": 2}
    assert await shop.kept.recall("air.hour") == kept


@pytest.mark.parametrize(
    ("more", "noted", "kept"),
    [({"notes": [("violation", {"n": 1})]}, 1, None), ({"keep": {"x": {}}}, 0, {}), ({}, 0, None)],
)
async def test_notes_or_a_keepsake_alone_are_committed(
    shop: Shop, more: dict[str, Any], noted: int, kept: dict[str, Any] | None
) -> None:
    await shop.put(**more)
    assert (shop.stored(), shop.noted(), await shop.kept.recall("x")) == (0, noted, kept)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"keep": {"x": {"a": object()}}}, TypeError),
        ({"keep": {"x": [1]}}, TypeError),
        ({"keep": {"": {}}}, ValueError),
        ({"keep": {"nước": {}}}, ValueError),
        ({"keep": {"x": {}}, "notes": [("note", {"a": b"1"})]}, TypeError),
        ({"keep": {"x": {}}, "notes": [("No Kind", {})]}, ValueError),
    ],
)
async def test_of_what_is_no_plain_json_nothing_joins(shop: Shop, more: dict[str, Any], why: type[Exception]) -> None:
    with pytest.raises(why):
        await shop.put(RECORD, **more)
    await shop.sink.flush()
    assert (shop.stored(), shop.noted(), await shop.kept.recall("x")) == (0, 0, None)


# --- the store's ----------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


def opened(path: Path) -> Store:
    return Store(path, BufferSettings(commit_every_s=60), SystemClock(trusted=True))


def held(path: Path) -> tuple[int, ...]:
    """How many commits' records, journal entries and keepsakes, as another process sees them."""
    tables = "(SELECT count(*) FROM bundle), (SELECT count(*) FROM journal), (SELECT count(*) FROM keepsake)"
    with closing(sqlite3.connect(path)) as other:
        found: tuple[int, ...] = other.execute(f"SELECT {tables}").fetchone()
    return found


async def test_records_windows_notes_and_keepsakes_are_one_transaction(path: Path) -> None:
    async with opened(path) as store:
        await store.flush()
        before = store.commits
        await store.append([RECORD], Lane.BACK, notes=[("violation", {"n": 1})], keep={"air.hour": {"upto_ms": 1}})
        await store.append([RECORD], notes=[("violation", {"n": 2})], keep={"air.hour": {"upto_ms": 2}})
        await store.flush()
        assert store.commits == before + 1
    async with opened(path) as store:
        assert store.outbox.span() == (1, 2)
        assert store.journal.head()[0] == 2
        assert await store.keepsakes.recall("air.hour") == {"upto_ms": 2}


async def test_a_transaction_that_fails_brings_neither_record_nor_note_nor_keepsake(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as store:
        run: Callable[..., Awaitable[Any]] = store._writer.run

        async def failing(work: Callable[[sqlite3.Connection], Any], size: int = 0) -> Any:
            def fails(connection: sqlite3.Connection) -> Any:
                work(connection)
                connection.execute("INSERT INTO meta VALUES ('epoch', 'a second one')")

            return await run(fails, size)

        await store.append([RECORD], notes=[("violation", {"n": 1})], keep={"x": {}})
        monkeypatch.setattr(store._writer, "run", failing)
        monkeypatch.setattr("buffer.group.RETRY_S", 0.01)
        store._group.within(0)
        while store._group._bag:
            await store.turn()
        await store.turn()
        assert held(path) == (0, 0, 0)
        monkeypatch.setattr(store._writer, "run", run)
        await store.flush()
        assert held(path) == (1, 1, 1)


@pytest.mark.parametrize("body", ["{", "[1]", "null", b'{"a":"\xff\xfe"}', "[" * 100_000])
async def test_a_damaged_keepsake_stops_no_start(
    path: Path, body: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(path) as store:
        await store.append([], keep={"air.hour": {"upto_ms": 1}, "alarms": {"n": 1}})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE keepsake SET body = CAST(? AS TEXT) WHERE name = 'air.hour'", (body,))
    async with opened(path) as store:
        assert await store.keepsakes.recall("air.hour") is None
        assert await store.keepsakes.recall("alarms") == {"n": 1}
        assert "air.hour" in caplog.text
        await store.append([], keep={"air.hour": {"upto_ms": 2}})
        await store.flush()
        assert await store.keepsakes.recall("air.hour") == {"upto_ms": 2}
