"""Maintenance staff may look into a store at any time, also into a copy, and never change it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from buffer.inspect import every_rid, newest, read_only, summary
from buffer.search import Records, Wanted
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.errors import StoreDamaged, StoreError
from gateway.model.ports import Lane
from tests.kit.clock import ManualClock
from tests.kit.filled import everything, filled

V1 = Path(__file__).parent / "stores" / "v1.sqlite3"
NOBODY = 65534


def tail(value: int) -> bytes:
    return b'"pt":"a/b","ind":"x.y","t1":1,"v":%d,"q":"good"}' % value


async def test_a_store_can_be_read_beside_a_running_gateway(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    async with Store(path, BufferSettings(commit_every_s=0.01), ManualClock()) as store:
        await store.append([tail(i) for i in range(5)])
        await store.append([tail(99)], Lane.URGENT)
        await store.flush()
        batch = await store.outbox.take(Lane.LIVE, 3, 65536)
        assert batch is not None
        store.outbox.settle(batch)
        await store.flush()
        with read_only(path) as connection:
            records = newest(connection, 100)
            content = summary(connection)
        assert [r["v"] for r in records] == [4, 3, 2, 1, 0, 99]
        assert [r["waits"] for r in records] == [True, True, False, False, False, True]
        assert [r["lane"] for r in records] == ["live"] * 5 + ["urgent"]
        assert (content["records"], content["waiting"], content["rid_hi"]) == (6, 3, 6)
        assert content["epoch"] == store.outbox.epoch


async def test_looking_changes_nothing_even_in_a_copy_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    async with Store(path, BufferSettings(commit_every_s=0.01), ManualClock()) as store:
        await store.append([tail(1)])
    copy = tmp_path / "copy" / "dead-box.sqlite3"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    before = hashlib.sha256(copy.read_bytes()).hexdigest()
    copy.chmod(0o444)
    with read_only(copy) as connection:
        assert list(every_rid(connection)) == [(1, 1)]
        with pytest.raises(Exception, match="readonly"):
            connection.execute("DELETE FROM bundle")
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == before
    assert [file.name for file in copy.parent.iterdir()] == [copy.name], "nothing is left beside it"


@contextlib.contextmanager
def foreign_folder() -> Iterator[Path]:
    """A folder where this process, no longer root, can read and not write."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


def test_a_copy_without_its_wal_is_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    with foreign_folder() as folder:
        copy = folder / "s.sqlite3"
        shutil.copy(filled(tmp_path / "s.sqlite3", 3), copy)
        copy.chmod(0o444)
        os.seteuid(NOBODY)
        with read_only(copy) as connection:
            assert summary(connection)["records"] == 12
            assert connection.note == ""


async def test_a_wal_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    with foreign_folder() as folder:
        async with Store(tmp_path / "s.sqlite3", BufferSettings(), ManualClock()):
            pass  # the tables are in the file, and not only in its WAL
        async with Store(tmp_path / "s.sqlite3", BufferSettings(), ManualClock()) as store:
            await store.append([tail(1)])
            await store.flush()
            for name in ("s.sqlite3", "s.sqlite3-wal"):
                shutil.copy(tmp_path / name, folder / name)
        for file in folder.iterdir():
            file.chmod(0o444)
        os.seteuid(NOBODY)
        with read_only(folder / "s.sqlite3") as connection:
            assert "s.sqlite3-wal" in connection.note


def test_a_store_of_an_older_gateway_is_read_as_it_is() -> None:
    before = V1.read_bytes()
    with read_only(V1) as connection:
        assert summary(connection)["records"] == 122
        assert len(everything(Records(connection, Wanted(), 0))) == 122
        empty = "SELECT * FROM signal, history, journal, tally"
        assert connection.execute(empty).fetchall() == []
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert V1.read_bytes() == before
    assert {file.name for file in V1.parent.glob("v1.sqlite3*")} == {"v1.sqlite3"}


def test_a_file_that_is_no_store_is_named_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store here"), read_only(tmp_path / "nothing.sqlite3"):
        pytest.fail("opened")
    (tmp_path / "text.sqlite3").write_text("hello" * 1000)
    with pytest.raises(StoreDamaged), read_only(tmp_path / "text.sqlite3"):
        pytest.fail("opened")
    with contextlib.closing(sqlite3.connect(tmp_path / "other.sqlite3")) as other:
        other.execute("CREATE TABLE bookmarks (url)")
    with pytest.raises(StoreError, match="no store of a gateway"), read_only(tmp_path / "other.sqlite3"):
        pytest.fail("opened")
