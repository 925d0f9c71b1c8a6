"""Whatever is wrong in a store is found and named; what is right, also beside a gateway at work, is not accused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from buffer.bundle import deflate
from buffer.inspect import read_only
from buffer.settings import BufferSettings
from buffer.store import Store
from buffer.verify import Fault, Verdict, verify
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Forward, Kind, Quality, Signal
from gateway.model.ports import Lane
from tests.kit.clock import ManualClock

SETTINGS = BufferSettings(commit_every_s=0.01, ballast_mb=0)
SIGNAL = Signal(id="a/b", point="a/b", indicator="x.y", unit="m", kind=Kind.MEAN, every_s=1, window_s=60,
                forward=Forward.BOTH)  # fmt: skip


def tail(value: int) -> bytes:
    return b'"pt":"a/b","ind":"x.y","t1":1,"v":%d,"q":"good"}' % value


async def fill(store: Store, clock: ManualClock) -> None:
    """Forty records in four bundles, the first ten set aside, the next ten sent; four windows; some journal."""
    for commit in range(4):
        end_ms = clock.now_ms() // 60_000 * 60_000
        window = Indicator(
            SIGNAL, end_ms - 60_000, end_ms, 1.5, Quality.GOOD, (), Parts(60, 60, 90.0, 1.0, 2.0, 1.0, 2.0)
        )
        await store.append(
            [tail(commit * 10 + i) for i in range(10)], windows=[window], keep={"air.hour": {"n": commit}}
        )
        await store.flush()
        clock.advance(60)
    first, second = [await store.outbox.take(Lane.BACK, 10, 65536) for _ in range(2)]
    assert first is not None
    assert second is not None
    await store.outbox.refuse(first, "too large")
    store.outbox.settle(second)
    for number in range(3):
        store.journal.note("test", {"n": number})
    await store.flush()


def looked_at(path: Path) -> Verdict:
    with read_only(path) as connection:
        return verify(connection, lambda _, share: None if 0 <= share <= 1 else pytest.fail("no share"))


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    clock = ManualClock()
    async with Store(tmp_path / "s.sqlite3", SETTINGS, clock) as store:
        await fill(store, clock)
    return tmp_path / "s.sqlite3"


async def test_a_sound_store_is_sound_also_while_it_is_open(tmp_path: Path) -> None:
    clock = ManualClock()
    async with Store(tmp_path / "s.sqlite3", SETTINGS, clock) as store:
        await fill(store, clock)
        verdict = looked_at(tmp_path / "s.sqlite3")
    assert (verdict.faults, verdict.findings) == (0, [])
    assert (verdict.records, verdict.newest, verdict.gone, verdict.set_aside) == (40, 40, 0, 10)
    assert (verdict.windows, verdict.signals, verdict.entries) == (4, 1, 3)


async def test_what_was_deleted_after_its_time_is_not_missing(tmp_path: Path) -> None:
    path, clock = tmp_path / "s.sqlite3", ManualClock()
    async with Store(path, BufferSettings(commit_every_s=0.01, ballast_mb=0, keep_days=1), clock) as store:
        await fill(store, clock)
        clock.advance(86_400 * 3)
        for _ in range(2):  # a clock that jumped is believed after an hour
            await store.keeper.tend()
            clock.advance(7200)
    verdict = looked_at(path)
    assert (verdict.findings, verdict.records, verdict.gone) == ([], 20, 20)


async def test_what_the_centre_was_told_of_is_not_missing(path: Path) -> None:
    async with Store(path, SETTINGS, ManualClock()) as store:
        await store.maintenance.perform("discard", {"spans": [[1, 10]]}, "an")
    edited(path, "DELETE FROM bundle WHERE lo = 1")
    verdict = looked_at(path)
    assert (verdict.findings, verdict.records, verdict.gone) == ([], 31, 10)


def edited(path: Path, sql: str, *values: object) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        assert connection.execute(sql, values).rowcount == 1, "the edit edits something"
    finally:
        connection.close()


ELEVEN = deflate(b",".join(b'{"rid":%d,"pt":"a/b","ind":"x.y","t1":1,"v":1,"q":"good"}' % rid for rid in range(31, 42)))
EDITS = {
    "a blob that is none": ("UPDATE bundle SET body = x'00' WHERE lo = 31", Fault.UNREADABLE, "31..40"),
    "no JSON": ("UPDATE bundle SET body = ?1 WHERE lo = 31", Fault.UNREADABLE, "31..40", deflate(b'{"rid":31,')),
    "more than promised": ("UPDATE bundle SET body = ?1 WHERE lo = 31", Fault.WRONG_IDS, "31..40", ELEVEN),
    "fewer promised": ("UPDATE bundle SET n = 9 WHERE lo = 31", Fault.WRONG_IDS, "31..39"),
    "an id twice": ("UPDATE bundle SET n = 11 WHERE lo = 21", Fault.TWICE, "31..31"),
    "a row taken out": ("DELETE FROM bundle WHERE lo = 21", Fault.MISSING, "21..30"),
    "the newest taken out": ("DELETE FROM bundle WHERE lo = 31", Fault.MISSING, "31..40"),
    "unsent taken out": ("DELETE FROM bundle WHERE lo = 31", Fault.UNSENT_GONE, "31..40"),
    "set aside and broken": ("UPDATE set_aside SET body = x'00'", Fault.SET_ASIDE, "1..10"),
    "set aside, too few": ("UPDATE set_aside SET n = 9", Fault.SET_ASIDE, "1..9"),
    "a window broken": ("UPDATE history SET body = x'00' WHERE rowid_is", Fault.HISTORY, "60 s"),
    "a window too few": ("UPDATE history SET n = 2 WHERE rowid_is", Fault.HISTORY, "60 s"),
    "a signal gone": ("DELETE FROM signal", Fault.HISTORY, "60 s"),
    "a signal broken": ("UPDATE signal SET about = '{}'", Fault.SIGNAL, "1"),
    "a keepsake cut": ("UPDATE keepsake SET body = '{'", Fault.KEEPSAKE, "air.hour"),
    "an entry changed": ("UPDATE journal SET body = '{\"n\":7}' WHERE seq = 2", Fault.JOURNAL, "2 changed"),
    "an entry taken out": ("DELETE FROM journal WHERE seq = 2", Fault.JOURNAL, "2 missing"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
async def test_everything_that_is_wrong_is_named(path: Path, edit: tuple[object, ...]) -> None:
    sql, fault, at, *values = edit
    first = "t1_ms = (SELECT min(t1_ms) FROM history) AND span_s = 60 AND part = 1"
    edited(path, str(sql).replace("rowid_is", first), *values)
    verdict = looked_at(path)
    assert verdict.faults == len(verdict.findings) > 0
    assert any(found.fault is fault and found.at.startswith(str(at)) for found in verdict.findings), verdict.findings


async def test_damaged_pages_are_findings_and_what_lies_behind_them_is_still_looked_at(path: Path) -> None:
    edited(path, "UPDATE journal SET body = '{\"n\":7}' WHERE seq = 2")
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'bundle'").fetchone()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 1024)
        file.write(b"\xff" * 1024)
    faults = {finding.fault for finding in looked_at(path).findings}
    assert {Fault.FILE, Fault.JOURNAL} <= faults


def test_a_store_of_an_older_gateway_is_sound_too() -> None:
    verdict = looked_at(Path(__file__).parent / "stores/v1.sqlite3")
    assert verdict.findings == []
    assert verdict.records > 0
