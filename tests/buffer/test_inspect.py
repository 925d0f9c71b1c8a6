"""Maintenance staff may look into a store at any time, also into a copy, and never change it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from buffer.inspect import every_rid, newest, read_only, summary
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.errors import StoreDamaged, StoreError
from gateway.model.ports import Lane
from tests.kit.clock import ManualClock


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


def test_a_file_that_is_no_store_is_named_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store here"), read_only(tmp_path / "nothing.sqlite3"):
        pytest.fail("opened")
    (tmp_path / "text.sqlite3").write_text("hello" * 1000)
    with pytest.raises(StoreDamaged), read_only(tmp_path / "text.sqlite3"):
        pytest.fail("opened")
