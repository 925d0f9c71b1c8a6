"""A backup is whole, checked, taken beside a gateway that writes, and never lends its ids to two stores."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from buffer import backup as room
from buffer.backup import Backup, backup, mounted, target_of
from buffer.inspect import newest, read_only
from buffer.settings import BufferSettings
from buffer.store import Store
from buffer.verify import verify
from gateway.model.errors import BadArgument, StoreDamaged, StoreError, StoreFull
from gateway.model.ports import Lane
from tests.kit.clock import ManualClock

SETTINGS = BufferSettings(commit_every_s=0.01, ballast_mb=0)

# Commits ten records at a time, all the time: every commit makes an online backup begin again.
WRITER = """
import asyncio, sys
from pathlib import Path
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.clock import SystemClock

async def main(path, before):
    async with Store(path, BufferSettings(commit_every_s=0.01, ballast_mb=0), SystemClock()) as store:
        for number in range(1_000_000):
            text = b'"pt":"a/b","ind":"x.y","t1":1,"v":%d,"q":"good"}' % number
            await store.append([text] * (1000 if number < before else 10))
            await store.flush()
            print(store.outbox.span()[1], flush=True)
            if number >= before:
                await asyncio.sleep(0.005)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""


def quiet(_: int, __: int) -> None:
    """No bar."""


def tail(value: int) -> bytes:
    return b'"pt":"a/b","ind":"x.y","t1":1,"v":%d,"q":"good"}' % value


@contextlib.contextmanager
def writing(path: Path, before: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that has stored `before` times a thousand records and goes on committing."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", WRITER, str(path), str(before)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        for _ in range(before + 5):
            assert child.stdout.readline(), "the writer runs"
        yield child
    finally:
        child.kill()
        child.wait(10)
        child.stdout.close()


async def small(path: Path, records: int = 30) -> str:
    """A store with so many records, the first ten of them sent; its epoch."""
    async with Store(path, SETTINGS, ManualClock()) as store:
        await store.append([tail(i) for i in range(records)])
        await store.flush()
        batch = await store.outbox.take(Lane.LIVE, 10, 65536)
        assert batch is not None
        store.outbox.settle(batch)
        return store.outbox.epoch


def test_a_backup_ends_beside_a_store_that_commits_all_the_time_and_is_of_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "STEP_BYTES", 16_384)
    source, target = tmp_path / "s.sqlite3", tmp_path / "copy.sqlite3"
    commits: list[int] = []

    def progress(done: int, total: int) -> None:
        assert 0 <= done <= total
        assert len(commits) < 5 * total / 16_384, "it begins again and again"
        assert child.stdout is not None
        commits.append(int(child.stdout.readline()))  # at least one commit between any two steps

    with writing(source, 30) as child:
        with read_only(source) as connection:
            (before,) = connection.execute("SELECT max(lo + n - 1) FROM bundle").fetchone()
        done = backup(source, target, progress)
        assert child.poll() is None
        assert commits[-1] > commits[0]
    assert before <= done.newest_rid
    with read_only(target) as connection:
        verdict = verify(connection, lambda _, __: None)
    assert (verdict.faults, verdict.newest, verdict.records) == (0, done.newest_rid, done.newest_rid)


async def test_a_backup_leaves_one_file_that_opens_where_nothing_can_be_written(tmp_path: Path) -> None:
    await small(tmp_path / "s.sqlite3")
    stick = tmp_path / "stick"
    stick.mkdir()
    done = backup(tmp_path / "s.sqlite3", target_of(stick, "38-test-01", 1_795_322_220_000), quiet)
    assert [file.name for file in stick.iterdir()] == [done.file.name]
    assert done.file.name.startswith("38-test-01-2026112")
    done.file.chmod(0o444)
    with read_only(done.file) as connection:
        assert len(newest(connection, 100)) == 30
    assert [file.name for file in stick.iterdir()] == [done.file.name]


async def test_a_backup_that_is_opened_as_a_store_begins_an_epoch_of_its_own(tmp_path: Path) -> None:
    path, copy = tmp_path / "s.sqlite3", tmp_path / "copy.sqlite3"
    original = await small(path)
    backup(path, copy, quiet)
    async with Store(copy, SETTINGS, ManualClock()) as store:
        epoch = store.outbox.epoch
        assert epoch != original
        assert store.outbox.span() == (11, 30), "what was sent before is not offered once more"
        assert store.outbox.waiting(Lane.LIVE).records == 20, "what was to be sent still is"
        await store.append([tail(99)])
    async with Store(copy, SETTINGS, ManualClock()) as store:
        assert (store.outbox.epoch, store.outbox.span()) == (epoch, (11, 31)), "once is enough"
    async with Store(path, SETTINGS, ManualClock()) as store:
        assert store.outbox.epoch == original, "the original is what it was"


async def test_the_centre_believes_what_a_restored_backup_says_of_itself(tmp_path: Path) -> None:
    path, copy = tmp_path / "s.sqlite3", tmp_path / "copy.sqlite3"
    await small(path)
    backup(path, copy, quiet)
    async with Store(path, SETTINGS, ManualClock()) as store:
        before = [await store.outbox.next_session() for _ in range(50)]
    async with Store(copy, SETTINGS, ManualClock()) as store:
        after = [await store.outbox.next_session() for _ in range(2)]
    assert before[-1] < after[0] < after[1]


async def test_a_backup_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    await small(path)
    with pytest.raises(BadArgument, match="such a file"):
        target_of(path, "x", 0)
    with pytest.raises(BadArgument, match="no such folder"):
        target_of(tmp_path / "usb" / "copy.sqlite3", "x", 0)


async def test_two_backups_to_one_place_do_not_mix(tmp_path: Path) -> None:
    path, target = tmp_path / "s.sqlite3", tmp_path / "copy.sqlite3"
    await small(path)
    seen: list[str] = []

    def meanwhile(_: int, __: int) -> None:
        with pytest.raises(BadArgument, match="another backup") as refused:
            backup(path, target, quiet)
        seen.append(refused.value.what)

    backup(path, target, meanwhile)
    assert seen
    with read_only(target) as connection:
        assert verify(connection, lambda _, __: None).faults == 0


async def test_a_stick_without_room_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.sqlite3"
    await small(path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(StoreFull, match="there are 0 free"):
        backup(path, tmp_path / "copy.sqlite3", quiet)
    assert not list(tmp_path.glob("copy*"))


async def test_a_file_too_large_for_fat32_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.sqlite3"
    await small(path)
    monkeypatch.setattr(room, "FAT_BYTES", 1000)
    monkeypatch.setattr(room, "mounted", lambda _: ("vfat", tmp_path))
    with pytest.raises(StoreFull, match="4 GB"):
        backup(path, tmp_path / "copy.sqlite3", quiet)


def test_the_kernel_s_table_says_where_a_stick_is_mounted(tmp_path: Path) -> None:
    stick = tmp_path / "my stick"
    stick.mkdir()
    table = tmp_path / "mounts"
    table.write_text(
        f"/dev/sdb2 / ext4 rw 0 0\n/dev/sda1 {str(stick).replace(' ', chr(92) + '040')} vfat rw 0 0\n", encoding="utf-8"
    )
    assert mounted(stick, table) == ("vfat", stick)
    assert mounted(tmp_path, table) == ("ext4", Path("/"))
    assert mounted(tmp_path, tmp_path / "nothing") == ("", Path("/"))


async def test_a_copy_that_does_not_read_back_is_no_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, target = tmp_path / "s.sqlite3", tmp_path / "copy.sqlite3"
    await small(path, 3000)

    def bad_stick(fd: int, *_: int) -> None:
        size = os.fstat(fd).st_size
        os.pwrite(fd, b"\xaa" * (size - 2048), 2048)

    monkeypatch.setattr(os, "posix_fadvise", bad_stick)
    with pytest.raises((StoreDamaged, StoreError)):
        backup(path, target, quiet)
    assert not list(tmp_path.glob("copy*"))


def test_kill_9_in_the_middle_leaves_nothing_that_could_be_taken_for_a_backup(tmp_path: Path) -> None:
    source, target = tmp_path / "s.sqlite3", tmp_path / "copy.sqlite3"
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom buffer.backup import backup\n"
        "def die(done, total):\n    if done * 2 > total: os.kill(os.getpid(), signal.SIGKILL)\n"
        "backup(Path(sys.argv[1]), Path(sys.argv[2]), die)\n"
    )
    with writing(source, 20):
        child = subprocess.run([sys.executable, "-P", "-c", script, str(source), str(target)], timeout=30, check=False)
        assert child.returncode == -signal.SIGKILL
        assert [file.name for file in tmp_path.glob("copy*")] == ["copy.sqlite3.part"]
        done = backup(source, target, quiet)
    assert isinstance(done, Backup)
    assert [file.name for file in tmp_path.glob("copy*")] == ["copy.sqlite3"]


async def test_a_store_of_an_older_gateway_can_be_backed_up_and_opened(tmp_path: Path) -> None:
    old, copy = tmp_path / "v1.sqlite3", tmp_path / "copy.sqlite3"
    old.write_bytes((Path(__file__).parent / "stores/v1.sqlite3").read_bytes())
    facts = backup(old, copy, quiet)
    connection = sqlite3.connect(copy)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
    async with Store(copy, SETTINGS, ManualClock()) as store:
        assert store.outbox.epoch != facts.epoch
        assert store.outbox.span()[1] == facts.newest_rid
