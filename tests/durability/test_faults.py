"""T3: a disk that fails at the Nth write or sync, and one that loses its power between two of them.

Every place, not a sample: GATEWAY_TEST_FAULTS=all (a minute).
"""

from __future__ import annotations

import copy
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Literal, TypeVar

import pytest

from buffer import group
from buffer.writer import sqlite_connection
from tests.durability.day import two_days
from tests.durability.promises import Promises
from tests.kit.clock import ManualClock
from tests.kit.faulty_disk import Fault, FaultyDisk

T = TypeVar("T")

PAGES = 24  # a checkpoint every so often, in a workload of a few hundred pages
SAMPLE = 60
FILES: tuple[Literal["", "-wal", ".sqlite3"], ...] = ("", "", "-wal", ".sqlite3")


@pytest.fixture(autouse=True)
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "RETRY_S", 0.001)


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    with FaultyDisk(checkpoint_pages=PAGES) as disk:
        yield disk


def sampled(places: list[T], random: Random) -> list[T]:
    return places if os.environ.get("GATEWAY_TEST_FAULTS") == "all" else random.sample(places, SAMPLE)


# --- the disk itself -----------------------------------------------------------------------------------------------


def dump(path: Path) -> list[str]:
    connection = sqlite_connection(path)
    try:
        # The epoch is random, and how much was written is measured; nothing else may differ.
        own = ("'epoch'", "'written'", 'INTO "tally"')
        return [line for line in connection.iterdump() if not any(name in line for name in own)]
    finally:
        connection.close()


async def test_a_disk_that_never_fails_is_like_the_real_one(tmp_path: Path, disk: FaultyDisk) -> None:
    ours, theirs = Promises(), Promises()
    for name, promises, connect in (("a", ours, disk.connect), ("b", theirs, None)):
        day = await two_days(tmp_path / f"{name}.sqlite3", promises, connect)
        assert day.errors == []
    assert dump(tmp_path / "a.sqlite3") == dump(tmp_path / "b.sqlite3")
    assert vars(ours) == {**vars(theirs), "epoch": ours.epoch}
    assert disk.operations > 100
    assert not disk.failed


async def test_an_error_of_the_disk_looks_like_sqlites_own(tmp_path: Path, disk: FaultyDisk) -> None:
    connection = disk.connect(tmp_path / "x.sqlite3")
    connection.execute("CREATE TABLE t (a PRIMARY KEY)")
    connection.execute("INSERT INTO t VALUES (1)")
    full, bad = Fault("full", "write"), Fault("io", "sync")
    for disk.fault, code in ((full, sqlite3.SQLITE_FULL), (bad, sqlite3.SQLITE_IOERR_FSYNC)):
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("INSERT INTO t VALUES (2)")
        assert caught.value.sqlite_errorcode == code
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO t VALUES (1)")
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
    connection.close()


# --- the sweep -----------------------------------------------------------------------------------------------------


async def faults(path: Path, disk: FaultyDisk) -> list[Fault]:
    """Every kind of fault at every place where two days touch the disk; of these, a sample."""
    places: Counter[str] = Counter()
    disk.on_operation = lambda op: places.update([op])
    await two_days(path, Promises(), disk.connect)
    disk.on_operation = None
    random = Random(22_11)
    ops: tuple[Literal["write", "sync"], ...] = ("write", "sync")
    errors: tuple[Literal["full", "io"], ...] = ("full", "io")
    every = [
        Fault(error, op, first, random.choice((1, 1, 2, 7)), random.choice(FILES), random.random() < 0.5)
        for error in errors
        for op in ops
        for first in range(1, places[op] + 1)
    ]
    return sampled(every, random)


async def test_a_fault_of_the_disk_loses_nothing_that_was_acknowledged(tmp_path: Path, disk: FaultyDisk) -> None:
    struck = 0
    for number, fault in enumerate(await faults(tmp_path / "whole.sqlite3", disk)):
        path, promises = tmp_path / f"{number}.sqlite3", Promises()
        disk.fault, disk.failed = fault, 0
        try:
            await two_days(path, promises, disk.connect)
            disk.fault = None
            await promises.kept(path, ManualClock())
        except BaseException as error:
            error.add_note(f"{fault}, {disk.failed} times")
            raise
        struck += bool(disk.failed)
        for file in tmp_path.glob(f"{number}.*"):
            file.unlink()
    assert struck > SAMPLE // 3, f"the places are wrong: only {struck} faults were met"


async def test_any_part_of_what_was_not_synced_may_survive_a_power_cut(tmp_path: Path, disk: FaultyDisk) -> None:
    """Harder than a real disk: each sector that was not synced got there or not, in any order."""
    random = Random(22_11)
    promises, path = Promises(), tmp_path / "store.sqlite3"
    await two_days(tmp_path / "whole.sqlite3", Promises(), disk.connect)
    wanted = set(sampled(list(range(1, disk.operations + 1)), random))
    disk.operations = 0
    cuts: list[tuple[Path, Promises]] = []

    def cut(op: str) -> None:
        if disk.operations in wanted:
            folder = tmp_path / f"cut{disk.operations}"
            folder.mkdir()
            disk.cut(path, folder / path.name, random)
            cuts.append((folder / path.name, copy.deepcopy(promises)))

    disk.on_operation = cut
    await two_days(path, promises, disk.connect)
    assert len(cuts) == len(wanted)
    for left, promised in cuts:
        try:
            await promised.kept(left, ManualClock())
        except BaseException as error:
            error.add_note(left.parent.name)
            raise
