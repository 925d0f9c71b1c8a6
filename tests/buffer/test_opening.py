"""Opening a store: after any stop, beside another process, and on a disk that does not let us write."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from buffer import check
from buffer.check import suspicion
from buffer.settings import BufferSettings
from buffer.store import Store
from buffer.writer import store_error
from gateway.model.errors import StoreBusy, StoreDamaged, StoreDiskFailed, StoreError, StoreFull, StoreReadOnly
from gateway.model.ports import Lane
from tests.kit.clock import ManualClock
from tests.kit.old_stores import record

SETTINGS = BufferSettings(commit_every_s=0.01, ballast_mb=0)
CHILD = """
import asyncio, sys
from pathlib import Path
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.clock import SystemClock
from gateway.model.errors import StoreError
from tests.kit.old_stores import record

async def main():
    async with Store(Path(sys.argv[1]), BufferSettings(commit_every_s=0.01, ballast_mb=0), SystemClock()) as store:
        await store.append([record(i) for i in range(10)])
        await store.flush()
        print("open", store.checked, *store.outbox.span(), flush=True)
        await asyncio.to_thread(sys.stdin.read)

try:
    asyncio.run(main())
except StoreError as error:
    print(error.code, error, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


class Child:
    """A gateway's store in a process of its own, until its input ends."""

    def __init__(self, path: Path, *before: str) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", CHILD, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> None:
        self.process.communicate(timeout=20)


async def filled(path: Path, clock: ManualClock, *, bundles: int = 50) -> None:
    async with Store(path, SETTINGS, clock) as store:
        for i in range(bundles):
            await store.append([record(f"{i}/{j} {'x' * 200}") for j in range(5)])
            await store.flush()


async def everything(store: Store) -> None:
    while batch := await store.outbox.take(Lane.LIVE, 200, 65536):
        assert batch.n > 0


def crashed(path: Path, to: Path) -> Path:
    """What a power cut leaves of an open store: the file and its log as they are."""
    to.mkdir()
    for file in (path, path.with_name(path.name + "-wal")):
        shutil.copy(file, to / file.name)
    return to / path.name


# --- the clean flag, and the check without it ---------------------------------------------------------------------


async def test_an_orderly_stop_needs_no_check(path: Path, clock: ManualClock) -> None:
    await filled(path, clock)
    async with Store(path, SETTINGS, clock) as store:
        assert store.checked == "clean"


async def test_an_unclean_stop_is_checked_and_said(
    path: Path, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await filled(path, clock)
    async with Store(path, SETTINGS, clock) as store:
        left = crashed(path, tmp_path / "cut")
        span = store.outbox.span()
    async with Store(left, SETTINGS, clock) as store:
        assert store.checked == "whole"
        assert store.outbox.span() == span
    assert "unclean: the store was checked whole" in caplog.text
    async with Store(left, SETTINGS, clock) as store:
        assert store.checked == "clean"


async def test_a_check_that_runs_out_of_time_is_no_failure(
    path: Path, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    await filled(path, clock, bundles=300)
    async with Store(path, SETTINGS, clock):
        left = crashed(path, tmp_path / "cut")
    monkeypatch.setattr("threading.Timer", _AtOnce)
    async with Store(left, SETTINGS, clock) as store:
        assert store.checked == "part"
        assert store.outbox.span() == (1, 1500)
    assert "checked in part" in caplog.text


class _AtOnce:
    """A timer that is over as soon as SQLite begins."""

    def __init__(self, _: float, over: object) -> None:
        assert callable(over)
        self._over = over

    def start(self) -> None:
        self._over()

    def cancel(self) -> None: ...

    def join(self) -> None: ...


async def test_a_page_that_went_bad_is_found_by_the_check(path: Path, clock: ManualClock, tmp_path: Path) -> None:
    await filled(path, clock, bundles=450)
    async with Store(path, SETTINGS, clock) as store:
        left = crashed(path, tmp_path / "cut")
        epoch = store.outbox.epoch
    with closing(sqlite3.connect(left)) as connection:
        connection.execute("PRAGMA wal_checkpoint")
        left.with_name(left.name + "-wal").unlink()
        (old,) = connection.execute(
            "SELECT min(pageno) FROM dbstat WHERE name = 'bundle' AND pagetype = 'leaf'"
        ).fetchone()
    with left.open("r+b") as file:
        file.seek((old - 1) * 1024)
        file.write(b"\x55" * 1024)
    async with Store(left, SETTINGS, clock) as store:
        assert store.checked == "salvaged"
        assert store.outbox.epoch != epoch


# --- damage while it runs -----------------------------------------------------------------------------------------


async def test_damage_at_run_time_ends_the_store_and_the_next_start_salvages(
    path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await filled(path, clock, bundles=450)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE bundle SET body = x'789c00' WHERE lo = 51")
    async with Store(path, SETTINGS, clock) as store:
        failing = asyncio.create_task(store.failing())
        with pytest.raises(StoreDamaged):
            await everything(store)
        with pytest.raises(StoreDamaged):
            async with asyncio.timeout(5):
                await failing
        before = path.read_bytes()
        await store.append([record("too late")])
    assert suspicion(path) is not None
    assert path.read_bytes() == before, "nothing more is written into it"
    async with Store(path, SETTINGS, clock) as store:
        assert store.checked == "salvaged"
        assert store.outbox.waiting(Lane.LIVE).records + store.outbox.waiting(Lane.BACK).records == 450 * 5 - 5
        assert store.outbox.waiting(Lane.URGENT).records == 1, "the record that says what is lost"
    assert suspicion(path) is None
    async with Store(path, SETTINGS, clock) as store:
        assert store.checked == "clean"


# --- two processes ------------------------------------------------------------------------------------------------


def test_of_two_processes_the_second_is_turned_away_and_a_kill_frees_the_store(path: Path) -> None:
    first = Child(path)
    assert first.says() == "open clean 1 10"
    second = Child(path)
    assert second.says().startswith("store-busy")
    second.end()
    assert first.process.poll() is None, "the first is undisturbed"
    first.kill()
    third = Child(path)
    assert third.says() == "open whole 1 20"
    third.end()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT sum(n) FROM bundle").fetchone() == (20,)


async def test_a_turned_away_process_says_what_to_do(path: Path, clock: ManualClock) -> None:
    async with Store(path, SETTINGS, clock):
        with pytest.raises(StoreBusy) as caught:
            async with Store(path, SETTINGS, clock):
                pytest.fail("opened twice")
    assert "systemctl stop gateway" in caught.value.hint


# --- a disk that cannot be written --------------------------------------------------------------------------------


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root can mount, where mounting is allowed")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


async def test_a_read_only_disk_is_named_at_the_start(mounted: Path, clock: ManualClock) -> None:
    path = mounted / "store.sqlite3"
    await filled(path, clock)
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    with pytest.raises(StoreReadOnly) as caught:
        async with Store(path, SETTINGS, clock):
            pytest.fail("opened")
    assert "mount" in caught.value.hint
    subprocess.run(["mount", "-o", "remount,rw", mounted], check=True)
    async with Store(path, SETTINGS, clock) as store:
        assert store.outbox.span() == (1, 250)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become somebody else")
async def test_a_store_of_somebody_else_is_named_at_the_start(clock: ManualClock) -> None:
    folder = Path("/var/tmp") / f"store-{os.getpid()}"  # noqa: S108  # nobody cannot reach pytest's folder
    folder.mkdir(mode=0o777)
    try:
        folder.chmod(0o777)
        await filled(folder / "store.sqlite3", clock)
        child = Child(folder / "store.sqlite3", "setpriv", "--reuid=65534", "--clear-groups")
        said = child.says()
        child.end()
        assert said.startswith("store-read-only")
        assert "belong to the gateway's user" in said
    finally:
        shutil.rmtree(folder)


async def test_a_disk_that_becomes_read_only_is_waited_for(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("buffer.group.RETRY_S", 0.01)
    async with Store(path, SETTINGS, clock) as store:
        await store.append([record("before")])
        await store.flush()
        await store._writer.read(lambda connection: connection.execute("PRAGMA query_only=ON").fetchone())
        for i in range(20):
            await store.append([record(i)])
            await asyncio.sleep(0.001)
        assert await store.keeper.tend() == 0
        await asyncio.sleep(0.1)
        assert store.outbox.span() == (1, 1)
        assert caplog.text.count("records wait in memory") == 1
        await store._writer.read(lambda connection: connection.execute("PRAGMA query_only=OFF").fetchone())
        async with asyncio.timeout(5):
            await store.flush()
        assert store.outbox.span() == (1, 21)
    assert suspicion(path) is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, StoreFull),
        (sqlite3.SQLITE_CORRUPT_VTAB, StoreDamaged),
        (sqlite3.SQLITE_NOTADB, StoreDamaged),
        (sqlite3.SQLITE_IOERR_READ, StoreDamaged),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreDiskFailed),
        (sqlite3.SQLITE_IOERR_WRITE, StoreDiskFailed),
        (sqlite3.SQLITE_READONLY, StoreReadOnly),
        (sqlite3.SQLITE_READONLY_DIRECTORY, StoreReadOnly),
        (sqlite3.SQLITE_CANTOPEN, StoreReadOnly),
        (sqlite3.SQLITE_BUSY, StoreBusy),
        (sqlite3.SQLITE_MISUSE, StoreError),
    ],
)
def test_every_answer_of_the_disk_has_a_name_and_a_hint(code: int, kind: type[StoreError]) -> None:
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = code
    found = store_error(error, Path("store.sqlite3"))
    assert type(found) is kind
    assert found.hint
    assert found.where == "store.sqlite3"


# --- what SQLite would not say ------------------------------------------------------------------------------------


async def test_a_log_with_damaged_commits_is_not_passed_over(path: Path, clock: ManualClock, tmp_path: Path) -> None:
    """SQLite would drop what follows the damage, and the ids of the lost records would be given once more."""
    async with Store(path, SETTINGS, clock) as store:
        for i in range(10):
            await store.append([record(i)])
            await store.flush()
        left = crashed(path, tmp_path / "cut")
        epoch = store.outbox.epoch
    log = left.with_name(left.name + "-wal")
    content = bytearray(log.read_bytes())
    content[32 + 24 * 4 + 1024 * 3 + 500] ^= 0xFF
    log.write_bytes(content)
    async with Store(left, SETTINGS, clock) as store:
        assert store.checked == "salvaged"
        assert store.outbox.epoch != epoch


async def test_a_last_commit_that_was_cut_off_is_no_damage(path: Path, clock: ManualClock, tmp_path: Path) -> None:
    async with Store(path, SETTINGS, clock) as store:
        for i in range(10):
            await store.append([record(i)])
            await store.flush()
        left = crashed(path, tmp_path / "cut")
        epoch = store.outbox.epoch
    log = left.with_name(left.name + "-wal")
    log.write_bytes(log.read_bytes()[:-300])
    async with Store(left, SETTINGS, clock) as store:
        assert store.checked == "whole"
        assert (store.outbox.epoch, store.outbox.span()) == (epoch, (1, 9))


async def test_a_log_that_cannot_be_read_does_not_keep_the_gateway_dark(path: Path, clock: ManualClock) -> None:
    await filled(path, clock)
    # The kernel answers EIO to whoever reads the first page of a process.
    path.with_name(path.name + "-wal").symlink_to("/proc/self/mem")
    async with Store(path, BufferSettings(ballast_mb=0), clock) as store:
        assert store.checked == "salvaged"
        await everything(store)


def test_a_mark_is_read_back_and_a_broken_one_counts_too(path: Path) -> None:
    assert suspicion(path) is None
    check.suspect(path, "a bad page", tries=2)
    assert suspicion(path) == {"why": "a bad page", "tries": 2}
    check.mark_of(path).write_text(json.dumps(["no", "mark"]))
    assert suspicion(path) == {}
    check.mark_of(path).write_bytes(b"\xff\x00")
    assert suspicion(path) == {}
