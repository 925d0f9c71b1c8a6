"""When the partition is full, by others; and when the disk takes nothing at all. On real file systems."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from buffer import group
from buffer.ballast import SCANT, Ballast, free_bytes
from buffer.check import suspect
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.command import CommandState, Outcome
from gateway.model.errors import StoreError, StoreFull
from gateway.model.ports import Lane
from tests.kit.clock import ManualClock
from tests.kit.ids import Ids

MIB = 1024 * 1024
SETTINGS = BufferSettings(commit_every_s=0.005, max_mb=6, ballast_mb=2)
random = Random(11)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(autouse=True)
def retries_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "RETRY_S", 0.02)


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own."""
    place = tmp_path / "partition"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


class Stranger:
    """Somebody else's file, that takes all there is."""

    def __init__(self, partition: Path) -> None:
        self.path = partition / "syslog"

    def fill(self) -> None:
        with self.path.open("ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"x" * size)

    async def fill_on_and_on(self) -> None:
        """A few megabytes a second: a log that went wild."""
        with self.path.open("ab", buffering=0) as file:
            while True:
                with suppress(OSError):
                    file.write(b"x" * 16384)
                await asyncio.sleep(0.003)

    def go(self) -> None:
        self.path.unlink()


def record(point: str = "a/b", size: int = 800) -> bytes:
    return b'"pt":"%b","ind":"test","t1":1795322220000,"v":"%b","q":"good"}' % (
        point.encode(),
        random.randbytes(size // 2).hex().encode(),
    )


async def fill(store: Store, megabytes: float, clock: ManualClock) -> None:
    for _ in range(int(megabytes * 1e6 / 10_000)):
        await store.append([record() for _ in range(20)])
        async with asyncio.timeout(20):
            await store.flush()
        clock.advance(1)


async def alarm(store: Store, name: str) -> None:
    await store.append([record(name, 60)], Lane.URGENT)
    async with asyncio.timeout(20):
        await store.flush()


async def command(store: Store, name: str, clock: ManualClock) -> None:
    async with asyncio.timeout(20):
        assert await store.claims.claim(name, b"{}", clock.now_ms()) is None
        outcome = Outcome(id=name, state=CommandState.APPLIED, at_ms=clock.now_ms())
        await store.claims.finish(outcome, b'{"id":"%b"}' % name.encode(), [record(name, 60)])


def points(ids: Ids) -> set[str]:
    return {found["pt"] for found in ids.held.values()}


# --- somebody else fills the partition --------------------------------------------------------------------------------


async def test_alarms_commands_and_the_newest_telemetry_are_stored_while_the_partition_is_full(
    partition: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    path, stranger, ids = partition / "store.sqlite3", Stranger(partition), Ids()
    async with Store(path, SETTINGS, clock) as store:
        await store.keeper.tend()
        assert (partition / "store.sqlite3.ballast").stat().st_blocks * 512 >= MIB
        await fill(store, 2, clock)
        await alarm(store, "alarm/before")
        stranger.fill()
        size = path.stat().st_size
        for number in range(6):
            await fill(store, 0.4, clock)
            await alarm(store, f"alarm/{number}")
            await command(store, f"command/{number}", clock)
            await store.keeper.tend()
            stranger.fill()
        newest = store.outbox.span()[1]
        ids.look(path).account(newest)
        assert points(ids) >= {"alarm/before", *(f"alarm/{n}" for n in range(6)), *(f"command/{n}" for n in range(6))}
        assert set(range(newest - 500, newest + 1)) <= ids.held.keys()
        assert store.keeper.lost == len(ids.lost) > 1000
        assert ids.lost.first()[0] == 1
        assert path.stat().st_size <= size + 2 * MIB, "only what was in the log already"
        assert caplog.text.count("the partition is full") == 1
        assert await store.outbox.next_session() == 1

        stranger.go()
        before = store.keeper.lost
        await store.keeper.tend()
        assert (partition / "store.sqlite3.ballast").stat().st_blocks * 512 >= MIB
        await fill(store, 1, clock)
        assert store.keeper.lost == before, "it grows again"
        ids.look(path).account(store.outbox.span()[1])


async def test_a_stranger_that_takes_whatever_is_freed_stops_nothing(partition: Path, clock: ManualClock) -> None:
    path, stranger, ids = partition / "store.sqlite3", Stranger(partition), Ids()
    async with Store(path, SETTINGS, clock) as store:
        await store.keeper.tend()
        await fill(store, 2, clock)
        task = asyncio.create_task(stranger.fill_on_and_on())
        for number in range(4):
            await fill(store, 0.4, clock)
            await alarm(store, f"alarm/{number}")
            await command(store, f"command/{number}", clock)
            await store.keeper.tend()
        task.cancel()
        await asyncio.wait([task])
        ids.look(path).account(store.outbox.span()[1])
        assert points(ids) >= {f"{what}/{n}" for n in range(4) for what in ("alarm", "command")}


async def test_a_start_on_a_full_partition_works(partition: Path, clock: ManualClock) -> None:
    path, stranger, ids = partition / "store.sqlite3", Stranger(partition), Ids()
    async with Store(path, SETTINGS, clock) as store:
        await store.keeper.tend()
        await fill(store, 1, clock)
    stranger.fill()
    async with Store(path, SETTINGS, clock) as store:
        await store.keeper.tend()
        await fill(store, 1.5, clock)
        await alarm(store, "alarm")
        await command(store, "command", clock)
        ids.look(path).account(store.outbox.span()[1])
        assert points(ids) >= {"alarm", "command"}


async def test_a_stop_on_a_full_partition_keeps_room_for_the_next_start(partition: Path, clock: ManualClock) -> None:
    path, stranger, ids = partition / "store.sqlite3", Stranger(partition), Ids()
    async with Store(path, SETTINGS, clock) as store:
        await store.keeper.tend()
        await fill(store, 1, clock)
        stranger.fill()
        await fill(store, 1.5, clock)
        assert not (partition / "store.sqlite3.ballast").exists(), "it is given up"
    stranger.fill()
    for number in range(2):
        async with Store(path, SETTINGS, clock) as store:
            await fill(store, 0.5, clock)
            await alarm(store, f"alarm/{number}")
            ids.look(path).account(store.outbox.span()[1])
        stranger.fill()
    assert points(ids) >= {"alarm/0", "alarm/1"}


async def test_a_damaged_store_on_a_full_partition_is_salvaged_as_far_as_there_is_room(
    partition: Path, clock: ManualClock
) -> None:
    path, stranger = partition / "store.sqlite3", Stranger(partition)
    settings = SETTINGS.model_copy(update={"ballast_mb": 1})
    async with Store(path, settings, clock) as store:
        await store.keeper.tend()
        for number in range(1000):
            assert await store.claims.claim(f"command/{number}", random.randbytes(2000), clock.now_ms()) is None
        await fill(store, 1, clock)
    suspect(path, "a test")
    stranger.fill()
    async with Store(path, settings, clock) as store:
        known = set(await store.claims.interrupted())
        assert 100 < len(known) < 1000, "as many as there was room for"
        assert "command/999" in known, "the newest first"
        await alarm(store, "alarm")
        kind, body = await store.journal.last("store") or ("", {})
        assert (kind, body["salvaged"]["left"]) == ("store", True)


async def test_a_start_without_room_for_anything_says_that_it_is_full(partition: Path, clock: ManualClock) -> None:
    path, stranger = partition / "store.sqlite3", Stranger(partition)
    settings = SETTINGS.model_copy(update={"ballast_mb": 0})
    async with Store(path, settings, clock) as store:
        await fill(store, 0.1, clock)
    stranger.fill()
    with pytest.raises(StoreFull) as caught:
        await Store(path, settings, clock).__aenter__()
    assert "replace" not in caught.value.hint, "the card is not to blame"
    stranger.go()
    async with Store(path, settings, clock) as store:
        assert store.outbox.span()[1] == 200


async def test_without_ballast_everything_waits_in_memory_until_there_is_room(
    partition: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    path, stranger, ids = partition / "store.sqlite3", Stranger(partition), Ids()
    settings = SETTINGS.model_copy(update={"ballast_mb": 0})
    async with Store(path, settings, clock) as store:
        await fill(store, 0.5, clock)
        stranger.fill()
        for _ in range(300):
            await store.append([record() for _ in range(10)])
        await asyncio.sleep(0.3)
        await store.keeper.tend()
        assert store.outbox.span()[1] < 3000
        stranger.go()
        async with asyncio.timeout(10):
            await store.flush()
        newest = store.outbox.span()[1]
        ids.look(path).account(newest)
        assert newest - len(ids.lost) >= 3000
    assert caplog.text.count("wait in memory") == 1
    assert "takes records again" in caplog.text


# --- a disk that fails ------------------------------------------------------------------------------------------------


@contextmanager
def no_file_grows() -> Iterator[None]:
    """Every write beyond the first 8 KiB of a file fails, for this whole process: an I/O error as real as there is."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_disk_that_fails_is_waited_for_and_said_once(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    path, ids = tmp_path / "store.sqlite3", Ids()
    async with Store(path, SETTINGS, clock) as store:
        await fill(store, 0.1, clock)
        with no_file_grows():
            for _ in range(20):
                await store.append([record() for _ in range(10)])
            await store.append([record("alarm")], Lane.URGENT)
            with pytest.raises(StoreError):
                await store.claims.claim("c", b"{}", clock.now_ms())
            session = asyncio.create_task(store.outbox.next_session())
            for _ in range(5):
                clock.advance(86_400 * 10)
                await store.keeper.tend()
                await asyncio.sleep(0.05)
            assert not session.done()
        async with asyncio.timeout(10):
            await store.flush()
            assert await store.claims.claim("c", b"{}", clock.now_ms()) is None
            assert await session == 1
        ids.look(path).account(store.outbox.span()[1])
        assert not ids.lost
        assert len(ids.held) == 200 + 201
    assert caplog.text.count("wait in memory") == 1


async def test_a_full_memory_makes_the_sources_wait(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buffer.store.GROUP_LIMIT", 100)
    async with Store(tmp_path / "store.sqlite3", SETTINGS, clock) as store:
        await fill(store, 0.1, clock)
        with no_file_grows():
            source = asyncio.create_task(_append_forever(store))
            await asyncio.sleep(0.2)
            waiting = len(store._group)
            assert waiting <= 101
            await asyncio.sleep(0.1)
            assert len(store._group) == waiting
        async with asyncio.timeout(10):
            while store.outbox.span()[1] < 500:
                await asyncio.sleep(0.01)
        source.cancel()
        await asyncio.wait([source])


async def _append_forever(store: Store) -> None:
    while True:
        await store.append([record()])
        await asyncio.sleep(0)


# --- the ballast ------------------------------------------------------------------------------------------------------


def test_ballast_takes_real_room_and_gives_it_back(partition: Path) -> None:
    ballast = Ballast(partition / "b", 2 * MIB)
    before = free_bytes(partition)
    assert [ballast.held, ballast.build(), ballast.held] == [False, True, True]
    assert free_bytes(partition) <= before - 2 * MIB
    assert [ballast.release(), ballast.release()] == [True, False]
    assert free_bytes(partition) == before


def test_ballast_that_does_not_fit_leaves_nothing_behind(partition: Path, caplog: pytest.LogCaptureFixture) -> None:
    ballast = Ballast(partition / "b", 9 * MIB)
    assert not ballast.build()
    assert not (partition / "b").exists()
    assert os.strerror(errno.ENOSPC) in caplog.text


def test_a_file_full_of_holes_is_no_ballast(tmp_path: Path) -> None:
    with (tmp_path / "b").open("wb") as file:
        file.truncate(MIB)
    ballast = Ballast(tmp_path / "b", MIB)
    assert [ballast.held, ballast.build(), ballast.held] == [False, True, True]


async def test_on_a_small_partition_the_ballast_is_smaller_too(partition: Path, clock: ManualClock) -> None:
    settings = SETTINGS.model_copy(update={"ballast_mb": 100})
    async with Store(partition / "store.sqlite3", settings, clock) as store:
        await store.keeper.tend()
        assert (partition / "store.sqlite3.ballast").stat().st_size == MIB
        assert 4 < store.keeper.health()["store_max_mb"] < 7
    assert free_bytes(partition) > SCANT


async def test_a_ballast_that_is_not_wanted_any_more_is_taken_away(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "store.sqlite3"
    async with Store(path, SETTINGS, clock) as store:
        await store.keeper.tend()
        assert path.with_name("store.sqlite3.ballast").exists()
    async with Store(path, SETTINGS.model_copy(update={"ballast_mb": 0}), clock) as store:
        await store.keeper.tend()
        assert not path.with_name("store.sqlite3.ballast").exists()
