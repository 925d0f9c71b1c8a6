"""Who looks for a record finds it, whatever else goes on, and is told what cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from buffer import walk
from buffer.inspect import read_only
from buffer.lanes import FRESH_MS
from buffer.search import Records, Wanted, Windows, points, set_aside
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.ports import Lane
from tests.kit.clock import ManualClock
from tests.kit.filled import START_MS, everything, filled, harm

LATER_MS = START_MS + 86_400_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("filled") / "s.sqlite3", sent=20)


@pytest.mark.parametrize("newest_first", [True, False])
def test_every_record_comes_once_in_order(store: Path, newest_first: bool) -> None:
    with read_only(store) as connection:
        found = Records(connection, Wanted(), LATER_MS, newest_first=newest_first)
        rids = [row["rid"] for row in everything(found)]
    assert rids == (list(range(240, 0, -1)) if newest_first else list(range(1, 241)))
    assert (found.share, found.damaged, found.unread) == (1.0, False, [])


@pytest.mark.parametrize(
    ("wanted", "records"),
    [
        (Wanted(points=("level/*",)), 120),
        (Wanted(points=("LEVEL/1",)), 60),
        (Wanted(points=("level/1", "meter/power")), 120),
        (Wanted(points=("junction/l1/car/*",)), 60),
        (Wanted(points=("junction/l1",)), 60),
        (Wanted(points=("level",)), 0),
        (Wanted(indicators=("flood.*",), qualities=frozenset({"missing"})), 6),
        (Wanted(reasons=frozenset({"no_answer", "stale"})), 6),
        (Wanted(from_ms=START_MS + 60_000, to_ms=START_MS + 120_000), 8),
        (Wanted(waiting=True), 218),
        (Wanted(lane="back"), 218),
        (Wanted(lane="urgent"), 0),
    ],
)
def test_a_search_finds_what_it_names(store: Path, wanted: Wanted, records: int) -> None:
    with read_only(store) as connection:
        assert len(everything(Records(connection, wanted, LATER_MS))) == records


def test_a_record_has_its_unit_and_its_lane(store: Path) -> None:
    with read_only(store) as connection:
        row = everything(Records(connection, Wanted(points=("meter/power",)), LATER_MS))[-1]
        fresh = everything(Records(connection, Wanted(points=("meter/power",)), row["at_ms"] + FRESH_MS - 1))[-1]
    assert (row["u"], row["lane"], row["waits"]) == ("W", "back", True)
    assert fresh["lane"] == "live"


def test_names_are_found_without_their_accents(tmp_path: Path) -> None:
    wanted = Wanted(points=("cau ham rong/*",))
    assert wanted.names("Cầu Hàm Rồng/mực nước", None)
    assert not wanted.names("Cầu Thị Nghè/mực nước", None)


@pytest.mark.parametrize("newest_first", [True, False])
def test_the_history_is_searched_in_the_same_way(store: Path, newest_first: bool) -> None:
    with read_only(store) as connection:
        wanted = Wanted(points=("level/2",), from_ms=START_MS + 10 * 60_000)
        rows = everything(Windows(connection, wanted, 60, newest_first=newest_first))
        missing = everything(Windows(connection, Wanted(qualities=frozenset({"missing"})), 60))
    ends = [row["t1"] for row in rows]
    assert ends == sorted(ends, reverse=newest_first)
    assert (len(rows), rows[0]["u"], len(missing)) == (51, "m", 6)
    assert missing[0]["v"] is None
    assert missing[0]["f"] == ["no_answer"]


def test_what_was_set_aside_is_shown_with_its_reason(store: Path) -> None:
    with read_only(store) as connection:
        rows = set_aside(connection, 10)
    assert [(row["rid"], row["reason"]) for row in rows] == [(22, "too_large"), (21, "too_large")]


def test_the_points_there_are_can_be_named(store: Path) -> None:
    with read_only(store) as connection:
        assert points(connection) == {"level/1", "level/2", "meter/power", "junction/l1", "gw"} - {"gw"}


async def test_a_paused_reader_does_not_let_the_wal_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read transaction that stayed open would keep the log from beginning anew: it would grow as long as it lasts."""
    path, random = tmp_path / "s.sqlite3", Random(1)
    clock = ManualClock(START_MS)
    wal = path.with_name(path.name + "-wal")
    async with Store(path, BufferSettings(), clock) as store:

        async def write(commits: int) -> None:
            for _ in range(commits):
                clock.advance(60)
                noise = random.randbytes(20_000).hex().encode()
                await store.append([b'"pt":"a/b","ind":"x.y","t1":1,"v":"%b","q":"good"}' % noise])
                await store.flush()

        await write(20)
        monkeypatch.setattr(walk, "STEP", 5)
        with read_only(path) as connection:
            steps = Records(connection, Wanted(), clock.now_ms()).steps()
            assert next(steps), "the reader is in the middle"
            await write(300)
            assert path.stat().st_size + wal.stat().st_size > 6_000_000
            assert wal.stat().st_size < 2500 * (1024 + 24), "wal_autocheckpoint is 2000 pages"
            assert sum(len(rows) for rows in steps) == 15


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("large") / "s.sqlite3", 400)


@pytest.mark.parametrize("seed", range(3))
def test_what_can_be_read_of_a_damaged_file_is_found(tmp_path: Path, large: Path, seed: int) -> None:
    path = harm(Path(shutil.copy(large, tmp_path)), pages=6, seed=seed)
    with read_only(path) as connection:
        found = Records(connection, Wanted(), LATER_MS)
        rids = [row["rid"] for row in everything(found)]
        backwards = Records(connection, Wanted(), LATER_MS, newest_first=True)
        assert [row["rid"] for row in everything(backwards)] == rids[::-1]
        assert len(everything(Windows(connection, Wanted(), 60))) <= 1600
    assert rids == sorted(set(rids))
    assert set(rids) <= set(range(1, 1601))
    lost = set(range(1, 1601)) - set(rids)
    named = {rid for lo, hi in found.unread for rid in range(lo, hi + 1)}
    assert lost <= named
    assert found.damaged == bool(lost)


def test_a_torn_tree_does_not_stop_a_search(tmp_path: Path, large: Path) -> None:
    path = Path(shutil.copy(large, tmp_path))
    pages = path.stat().st_size // 1024
    harm(path, zeros=slice(pages // 2, pages // 2 + pages // 10))
    with read_only(path) as connection:
        found = Records(connection, Wanted(), LATER_MS, newest_first=True)
        rows = everything(found)
    assert found.damaged
    assert 0 < len(rows) < 1600


def test_an_urgent_record_is_told_from_telemetry(tmp_path: Path) -> None:
    with read_only(Path(__file__).parent / "stores" / "v1.sqlite3") as connection:
        rows = everything(Records(connection, Wanted(lane="urgent"), LATER_MS))
    assert rows
    assert {row["lane"] for row in rows} == {Lane.URGENT.name.lower()}
