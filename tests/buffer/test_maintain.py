"""What a person has done to a store is done whole, said in the journal, and loses nothing that was not meant."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buffer import maintain
from buffer.chosen import committed_between, set_aside
from buffer.inspect import read_only
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.errors import BadArgument, StoreBusy, StoreFull
from gateway.model.ports import Lane
from gateway.model.spans import Spans
from gateway.uplink.encode import Letterhead, envelope
from tests.kit import schemas
from tests.kit.clock import ManualClock

SETTINGS = BufferSettings(commit_every_s=0.01, ballast_mb=0)
HEAD = Letterhead("38-test-01", "7c41f00d", 1, "9f3a12cd")


def tail(value: int, point: str = "a/b") -> bytes:
    return b'"pt":"%b","ind":"x.y","t1":1,"v":%d,"q":"good"}' % (point.encode(), value)


@asynccontextmanager
async def opened(path: Path, **more: Any) -> AsyncIterator[Store]:
    async with Store(path, SETTINGS, ManualClock(), **more) as store:
        yield store


async def fill(store: Store, commits: int = 10, each: int = 10) -> None:
    for commit in range(commits):
        await store.append([tail(commit * each + i + 1) for i in range(each)])
        await store.flush()


async def sent(store: Store, *lanes: Lane) -> dict[int, int]:
    """Takes and settles all telemetry that is due: rid -> value."""
    found: dict[int, int] = {}
    for lane in lanes or (Lane.LIVE, Lane.BACK):  # what is fresh is live again after a restart
        while (batch := await store.outbox.take(lane, 1000, 65536)) is not None:
            found |= {record["rid"]: record["v"] for record in json.loads(b"[" + batch.body + b"]")}
            store.outbox.settle(batch)
    return found


async def refused(store: Store, commits: int = 3) -> None:
    """Records 1..commits*10, set aside in batches of ten."""
    await fill(store, commits)
    for number in range(commits):
        batch = await store.outbox.take(Lane.LIVE, 10, 65536)
        assert batch is not None
        await store.outbox.refuse(batch, f"too large {number}")
    await store.flush()


def aside_ids(path: Path) -> list[tuple[int, int]]:
    with read_only(path) as connection:
        return list(Spans((row.lo, row.hi) for row in set_aside(connection)))


def noted(path: Path) -> list[dict[str, Any]]:
    with read_only(path) as connection:
        rows = connection.execute("SELECT body FROM journal WHERE kind = 'maintenance' ORDER BY seq")
        return [json.loads(body) for (body,) in rows]


# --- replay -----------------------------------------------------------------------------------------------------------


async def test_what_was_sent_is_sent_again_with_the_same_ids_behind_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    async with opened(path) as store:
        await fill(store)
        before = await sent(store)
        result = await store.maintenance.perform("replay", {"spans": [[21, 40], [95, 120]]}, "an")
        assert result == {"records": 26, "not_held": [[101, 120]], "set_aside": 0}
        assert store.outbox.waiting(Lane.LIVE).records == 0
        assert store.outbox.waiting(Lane.BACK).records == 26
    async with opened(path) as store:  # a restart changes nothing
        again = await sent(store)
    assert again == {rid: before[rid] for rid in [*range(21, 41), *range(95, 101)]}
    assert noted(path) == [{"who": "an", "do": "replay", "args": {"spans": [[21, 40], [95, 120]]}, "result": result}]


async def test_what_waits_already_and_what_is_set_aside_stays_as_it_is(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.sqlite3") as store:
        await refused(store)
        await fill(store, 1)
        result = await store.maintenance.perform("replay", {"spans": [[1, 40]]}, "an")
        assert result == {"records": 0, "not_held": [], "set_aside": 30}
        assert store.outbox.waiting(Lane.LIVE).records == 10


async def test_a_time_and_a_point_choose_whole_commits(tmp_path: Path) -> None:
    path, clock = tmp_path / "s.sqlite3", ManualClock()
    began = clock.now_ms()
    async with Store(path, SETTINGS, clock) as store:
        for number in range(6):
            await store.append([tail(1, "a/b"), tail(2, "c/d" if number % 2 else "a/bc")])
            await store.flush()
            clock.advance(60)
    with read_only(path) as connection:
        minute = committed_between(connection, began + 60_000, began + 180_000)
        assert (list(minute.spans), minute.oldest_ms) == ([(3, 8)], began)
        assert list(committed_between(connection, 0, began + 600_000, "c/d").spans) == [(3, 4), (7, 8), (11, 12)]
        assert list(committed_between(connection, 0, began + 600_000, "a/b").spans) == [(1, 12)]
        assert not committed_between(connection, 0, began - 1).spans


# --- retry and discard ------------------------------------------------------------------------------------------------


async def test_a_refused_record_can_be_tried_again_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    async with opened(path) as store:
        await refused(store)
        assert await store.maintenance.perform("retry", {"spans": [[13, 14]]}, "an") == {"records": 2}
        assert store.outbox.set_aside == 28
    async with opened(path) as store:
        assert store.outbox.set_aside == 28
        assert await sent(store) == {13: 13, 14: 14}
    assert aside_ids(path) == [(1, 12), (15, 30)]


async def test_a_refused_record_that_only_the_set_aside_table_holds_is_put_back(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    async with opened(path) as store:
        await refused(store)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DELETE FROM bundle WHERE lo IN (1, 21)")
    connection.close()
    async with opened(path) as store:
        assert await store.maintenance.perform("retry", {"spans": [[5, 26]]}, "an") == {"records": 22}
        assert await sent(store, Lane.BACK) == {rid: rid for rid in range(5, 27)}
    assert aside_ids(path) == [(1, 4), (27, 30)]


async def test_the_centre_is_told_of_what_is_discarded(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    async with opened(path) as store:
        await refused(store)
        assert await store.maintenance.perform("discard", {"spans": [[1, 10], [21, 25]]}, "an") == {"records": 15}
        batch = await store.outbox.take(Lane.URGENT, 10, 65536)
        assert batch is not None
        schemas.check("ioc/v1/38-test-01/tele/live", envelope(HEAD, batch, 1, synced=True))
        told = [(r["ind"], r["v"], r["f"], r["p"]) for r in json.loads(b"[" + batch.body + b"]")]
        assert told == [
            ("gw.lost", 10, ["discarded"], {"lo": 1, "hi": 10}),
            ("gw.lost", 5, ["discarded"], {"lo": 21, "hi": 25}),
        ]
        assert (store.outbox.set_aside, batch.lo) == (15, 31)
    assert aside_ids(path) == [(11, 20), (26, 30)]


async def test_two_at_the_same_time_do_not_act_on_the_same_record(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    async with opened(path) as store:
        await refused(store)
        perform = store.maintenance.perform
        retrying = asyncio.create_task(perform("retry", {"spans": [[1, 30]]}, "an"))
        with pytest.raises(BadArgument, match="none of these"):
            await asyncio.gather(retrying, perform("discard", {"spans": [[1, 30]]}, "bình"))
        assert await retrying == {"records": 30}
        assert len(await sent(store, Lane.BACK)) == 30
    assert [(entry["who"], entry["do"]) for entry in noted(path)] == [("an", "retry")]


class Photographed(sqlite3.Connection):
    """Copies the files before and after every commit: what a power cut would leave."""

    shoot: Callable[[], None] | None = None

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if sql == "COMMIT" and self.shoot is not None:
            self.shoot()
            cursor = super().execute(sql, *args)
            self.shoot()
            return cursor
        return super().execute(sql, *args)


@pytest.mark.parametrize("do", ["retry", "discard"])
async def test_a_power_cut_at_any_commit_leaves_every_record_set_aside_or_dealt_with(tmp_path: Path, do: str) -> None:
    path = tmp_path / "s.sqlite3"
    pictures: list[Path] = []

    def connect(file: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, factory=Photographed)
        cameras.append(connection)
        return connection

    def shoot() -> None:
        pictures.append(tmp_path / f"picture-{len(pictures)}.sqlite3")
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{pictures[-1]}{suffix}")

    cameras: list[Photographed] = []
    async with opened(path, connect=connect) as store:
        await refused(store)
        await store.maintenance.perform("replay", {"spans": [[31, 31]]}, "an")  # a commit of its own comes first
        cameras[-1].shoot = shoot
        await store.maintenance.perform(do, {"spans": [[5, 26]]}, "an")
        cameras[-1].shoot = None
    outcomes = set()
    for picture in pictures:
        async with opened(picture) as store:
            aside = Spans(aside_ids(picture))
            if do == "retry":
                done = Spans((rid, rid) for rid in await sent(store))
            else:
                batch = await store.outbox.take(Lane.URGENT, 10, 65536)
                records = json.loads(b"[" + batch.body + b"]") if batch else []
                done = Spans((record["p"]["lo"], record["p"]["hi"]) for record in records)
        assert Spans([*aside, *done]) == Spans([(1, 30)])
        assert len([entry for entry in noted(picture) if entry["do"] == do]) == (list(aside) != [(1, 30)])
        outcomes.add(len(aside))
    assert outcomes == {30, 8}, "cut before it, and cut after it"


# --- compact ----------------------------------------------------------------------------------------------------------


async def test_compacting_gives_the_free_room_back_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    async with opened(path) as store:
        noise = bytes(range(256)) * 4000

        def fatten(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE noise (body BLOB)")
            connection.execute("INSERT INTO noise VALUES (?)", (noise,))

        await store._writer.run(fatten)
        await store._writer.run(lambda connection: connection.execute("DROP TABLE noise").rowcount)
        await fill(store)
        result = await store.maintenance.perform("compact", {}, "an")
        assert result["before_bytes"] > len(noise) > 5 * result["after_bytes"]
        assert path.stat().st_size == result["after_bytes"]
        await fill(store, 1)
        assert len(await sent(store)) == 110
    assert noted(path)[0]["do"] == "compact"


async def test_a_large_store_is_compacted_beside_its_gateway_only_when_asked_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "SHORT_BYTES", 0)
    async with opened(tmp_path / "s.sqlite3") as store:
        await fill(store)
        with pytest.raises(StoreBusy, match="stand still"):
            await store.maintenance.perform("compact", {}, "an")
        assert "after_bytes" in await store.maintenance.perform("compact", {"long": True}, "an")


async def test_compacting_that_takes_too_long_is_given_up_and_changes_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "s.sqlite3") as store:
        await fill(store, 200)
        store.maintenance.patience_s = -1
        with pytest.raises(StoreBusy, match="nothing was changed"):
            await store.maintenance.perform("compact", {}, "an")
        (limit,) = await store._writer.read(lambda c: c.execute("PRAGMA wal_autocheckpoint").fetchone())
        assert limit > 0, "the connection is as it was"
        await fill(store, 1)
        assert len(await sent(store)) == 2010


async def test_a_gateway_that_stops_does_not_wait_for_the_compacting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(_: sqlite3.Connection, enough: Callable[[], bool]) -> None:
        began.set()
        while not enough():
            time.sleep(0.005)

    began = threading.Event()
    monkeypatch.setattr(maintain, "_vacuum", endless)
    async with opened(tmp_path / "s.sqlite3") as store:
        compacting = asyncio.create_task(store.maintenance.perform("compact", {}, "an"))
        await asyncio.to_thread(began.wait, 10)
        compacting.cancel()
        async with asyncio.timeout(10):
            await fill(store, 1)
        assert compacting.cancelled()


async def test_compacting_without_room_for_it_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path / "s.sqlite3") as store:
        await fill(store)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
        with pytest.raises(StoreFull, match="MB free here"):
            await store.maintenance.perform("compact", {}, "an")


# --- questions nobody should ask --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "args"),
    [
        ("drop", {}),
        ("retry", {}),
        ("retry", {"spans": []}),
        ("retry", {"spans": "all"}),
        ("retry", {"spans": [[1]]}),
        ("retry", {"spans": [[True, 2]]}),
        ("discard", {"spans": [[5, 4]]}),
        ("discard", {"spans": [[0, 4]]}),
        ("replay", {"spans": [[1, 2**63]]}),
        ("replay", {"spans": [[n, n] for n in range(1, 3000, 2)]}),
        ("retry", {"spans": [[900, 901]]}),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_and_nothing_is_done(
    tmp_path: Path, do: str, args: dict[str, Any]
) -> None:
    path = tmp_path / "s.sqlite3"
    async with opened(path) as store:
        await refused(store)
        with pytest.raises(BadArgument):
            await store.maintenance.perform(do, args, "an")
    assert (aside_ids(path), noted(path)) == ([(1, 30)], [])
