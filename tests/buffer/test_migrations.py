"""Stores written by earlier gateways open with everything in them."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from buffer.migrations import SCHEMA_VERSION, migrate
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.errors import StoreError
from gateway.model.ports import Lane
from tests.kit import old_stores
from tests.kit.clock import ManualClock

STORES = Path(__file__).parent / "stores"
FACTS = sorted(STORES.glob("v*.json"))
OLDEST = STORES / "v1.sqlite3"


def opened(path: Path, now_ms: int) -> Store:
    # A moment before: what is exactly as old as a live record may be is backlog once it is loaded.
    return Store(path, BufferSettings(commit_every_s=0.01), ManualClock(now_ms - 1))


def schema(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {name: " ".join(re.findall(r"[^\s()]+|[()]", re.sub(r"--[^\n]*", "", sql))) for name, sql in rows}


@pytest.fixture(params=FACTS, ids=lambda file: file.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    facts_file: Path = request.param
    path = tmp_path / "store.sqlite3"
    shutil.copy(facts_file.with_suffix(".sqlite3"), path)
    return path, json.loads(facts_file.read_text(encoding="utf-8"))


def test_a_store_of_every_version_is_kept() -> None:
    assert [file.stem for file in FACTS] == [f"v{version}" for version in range(1, SCHEMA_VERSION + 1)]


async def test_an_old_store_opens_with_everything_in_it(old: tuple[Path, dict[str, Any]]) -> None:
    path, facts = old
    async with opened(path, facts["now_ms"]) as store:
        outbox = store.outbox
        assert outbox.epoch == facts["epoch"]
        assert list(outbox.span()) == facts["span"]
        assert {lane.name.lower(): outbox.waiting(lane).records for lane in Lane} == facts["waiting"]
        assert outbox.set_aside == facts["set_aside"]
        assert outbox.upto == facts.get("confirmed", 0)
        assert store.journal.head() == tuple(facts.get("journal", (0, "")))
        windows = await store.history.windows(0, facts["now_ms"], span_s=60)
        assert len(windows) == facts.get("windows", 0)
        assert await store.keepsakes.recall(old_stores.KEPT) == facts.get("kept")
        assert await outbox.next_session() > facts.get("session", 0)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM tally").fetchone()[0] == facts.get("tally", 0)


async def test_commands_of_an_old_store_never_act_again(old: tuple[Path, dict[str, Any]]) -> None:
    path, facts = old
    async with opened(path, facts["now_ms"]) as store:
        assert await store.claims.claim(facts["finished"], b"{}", 0), "its outcome is remembered"
        assert await store.claims.claim(facts["open"], b"{}", 0) == b""
        assert list(await store.claims.interrupted()) == [facts["open"]]


async def test_an_old_store_goes_on_sending_and_gives_no_id_again(old: tuple[Path, dict[str, Any]]) -> None:
    path, facts = old
    async with opened(path, facts["now_ms"]) as store:
        await store.append([old_stores.record("new")])
        await store.flush()
        assert store.outbox.span()[1] == facts["span"][1] + 1
        for lane in Lane:
            sent = 0
            while batch := await store.outbox.take(lane, 200, 65536):
                sent += batch.n
                store.outbox.settle(batch)
            assert sent == facts["waiting"][lane.name.lower()] + (lane is Lane.LIVE)
    async with opened(path, facts["now_ms"]) as store:
        assert [await store.outbox.take(lane, 200, 65536) for lane in Lane] == [None, None, None]


async def test_a_migrated_schema_is_the_same_as_a_new_one(old: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, facts = old
    async with opened(path, facts["now_ms"]), opened(tmp_path / "new.sqlite3", facts["now_ms"]):
        pass
    with closing(sqlite3.connect(path)) as migrated, closing(sqlite3.connect(tmp_path / "new.sqlite3")) as new:
        assert schema(migrated) == schema(new)
        assert migrated.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


async def test_a_power_cut_while_migrating_leaves_one_version_or_the_next(tmp_path: Path) -> None:
    whole = tmp_path / "whole.sqlite3"
    shutil.copy(OLDEST, whole)
    with closing(sqlite3.connect(whole, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        migrate(connection)
        log = whole.with_name("whole.sqlite3-wal").read_bytes()
        shutil.copy(whole, tmp_path / "cut.sqlite3")  # nothing is moved from the log into it before the close
    assert len(log) > 5000
    schemas: dict[int, dict[str, str]] = {}
    for version, file in enumerate(FACTS, 1):
        with closing(sqlite3.connect(file.with_suffix(".sqlite3"))) as connection:
            schemas[version] = schema(connection)
    seen: set[int] = set()
    for end in [*range(0, len(log), 509), len(log)]:
        cut = tmp_path / f"{end}.sqlite3"
        shutil.copy(tmp_path / "cut.sqlite3", cut)
        cut.with_name(f"{end}.sqlite3-wal").write_bytes(log[:end])
        with closing(sqlite3.connect(cut)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            assert schema(connection) == schemas[version]
        seen.add(version)
    assert seen == set(schemas)
    facts = json.loads(OLDEST.with_suffix(".json").read_text(encoding="utf-8"))
    for end in (0, len(log) // 2 // 509 * 509, len(log)):
        async with opened(tmp_path / f"{end}.sqlite3", facts["now_ms"]) as store:
            assert list(store.outbox.span()) == facts["span"]


async def test_a_store_of_a_newer_gateway_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    shutil.copy(OLDEST, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="newer gateway") as caught:
        async with opened(path, 1):
            pytest.fail("opened")
    assert "install the newer gateway" in caught.value.hint
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*damaged*"))


async def test_the_next_fixture_can_be_written(tmp_path: Path) -> None:
    """So that nobody finds out at the next change of the schema."""
    facts = await old_stores.write(tmp_path / "store.sqlite3")
    assert facts["waiting"] == {"urgent": 1, "live": 20, "back": 20}
    assert (facts["set_aside"], facts["windows"], facts["tally"]) == (20, 10, 1)
    assert facts["kept"]["minute"] == 9
