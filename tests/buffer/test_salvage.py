"""What a damaged store still gives, and that it never gives anything else."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from buffer import salvage
from buffer.check import mark_of, suspect, suspicion
from buffer.journal import verify
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.command import CommandState, Outcome
from gateway.model.errors import StoreDamaged
from gateway.model.ports import Lane
from tests.kit import schemas
from tests.kit.clock import ManualClock
from tests.kit.old_stores import record, window

SETTINGS = BufferSettings(commit_every_s=0.005, ballast_mb=0)
SEEDS = int(os.environ.get("SALVAGE_SEEDS", "12"))
PAGE = 1024


@dataclass(slots=True)
class Truth:
    """What was put into a store, and its files after an orderly stop and in the middle of work."""

    folder: Path
    now_ms: int = 0
    epoch: str = ""
    session: int = 0
    sent: set[str] = field(default_factory=set)
    unsent: set[str] = field(default_factory=set)
    urgent: set[str] = field(default_factory=set)
    commands: set[str] = field(default_factory=set)
    aside: set[str] = field(default_factory=set)
    journal: set[tuple[Any, ...]] = field(default_factory=set)
    windows: set[str] = field(default_factory=set)


def texts(body: bytes) -> list[str]:
    return [record["v"] for record in json.loads(b"[" + body + b"]") if record["ind"] != "gw.lost"]


async def grown(truth: Truth, path: Path) -> None:
    clock = ManualClock()
    random = Random(1)
    async with Store(path, SETTINGS, clock) as store:
        truth.epoch, truth.session = store.outbox.epoch, await store.outbox.next_session()
        for i in range(200):
            values = [f"{i}/{j}/{random.randbytes(8).hex()}" for j in range(15)]
            truth.unsent.update(values)
            windows = [window(clock, i)] if i % 4 == 0 else ()
            await store.append([record(value) for value in values], windows=windows, keep={f"kept/{i % 7}": {"i": i}})
            if i % 10 == 0:
                await command(store, truth, i, clock, open_=i == 190)
            await store.flush()
            clock.advance(15)
            if i == 120:
                await send(store, truth)
        await store.keeper.tend()
        await store.flush()
        truth.windows = set(map(repr, await store.history.windows(0, clock.now_ms(), span_s=60)))
        truth.now_ms = clock.now_ms()
        for suffix in ("", "-wal"):
            shutil.copy(path.with_name(path.name + suffix), truth.folder / f"cut{suffix}")
    shutil.copy(path, truth.folder / "whole")
    with closing(sqlite3.connect(path)) as connection:
        truth.journal = set(connection.execute("SELECT * FROM journal"))


async def command(store: Store, truth: Truth, i: int, clock: ManualClock, *, open_: bool) -> None:
    name, said = f"command-{i}", f"applied/{i}"
    truth.commands.add(name)
    assert await store.claims.claim(name, json.dumps({"id": name}).encode(), clock.now_ms()) is None
    if not open_:
        truth.urgent.add(said)
        outcome = Outcome(id=name, state=CommandState.APPLIED, at_ms=clock.now_ms())
        await store.claims.finish(outcome, json.dumps({"id": name}).encode(), [record(said, "gw")])


async def send(store: Store, truth: Truth) -> None:
    """All but the newest of the backlog, and one batch that is refused; nothing urgent."""
    for turn in range(6):
        batch = await store.outbox.take(Lane.BACK, 200, 65536)
        assert batch is not None
        truth.unsent.difference_update(texts(batch.body))
        if turn == 3:
            await store.outbox.refuse(batch, "too large")
            truth.aside.update(texts(batch.body))
        else:
            store.outbox.settle(batch)
            truth.sent.update(texts(batch.body))


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    folder = tmp_path_factory.mktemp("truth")
    found = Truth(folder)
    asyncio.run(grown(found, folder / "store.sqlite3"))
    return found


def copy_of(truth: Truth, tmp_path: Path, *, cut: bool = False) -> Path:
    path = tmp_path / "store.sqlite3"
    shutil.copy(truth.folder / ("cut" if cut else "whole"), path)
    if cut:
        shutil.copy(truth.folder / "cut-wal", tmp_path / "store.sqlite3-wal")
    return path


@dataclass(slots=True)
class Found:
    """What a store gave after it was opened, as often as it had to be."""

    epoch: str
    span: tuple[int, int]
    checked: str
    sent: list[str] = field(default_factory=list)
    rids: list[int] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)


async def found_in(path: Path, truth: Truth) -> Found:
    """Opens it, takes everything that waits, and asks for every command."""
    for _ in range(3):  # damage may show only at the first batch: then the process ends, and is started again
        try:
            async with Store(path, SETTINGS, ManualClock(truth.now_ms)) as store:
                found = Found(store.outbox.epoch, store.outbox.span(), store.checked)
                for lane in Lane:
                    while batch := await store.outbox.take(lane, 200, 65536):
                        records = json.loads(b"[" + batch.body + b"]")
                        found.sent += texts(batch.body)
                        found.rids += [r["rid"] for r in records]
                        found.lost += [r for r in records if r["ind"] == "gw.lost"]
                found.claimed = {
                    name for name in truth.commands if await store.claims.claim(name, b"{}", 1) is not None
                }
                assert await store.outbox.next_session() > truth.session
                windows = await store.history.windows(0, truth.now_ms, span_s=60)
                assert set(map(repr, windows)) <= truth.windows
                return found
        except StoreDamaged:
            continue
    pytest.fail("it never came back")


def prove(path: Path, truth: Truth, found: Found) -> None:
    """Nothing was invented, altered or doubled, whatever the damage was."""
    everything = truth.sent | truth.unsent | truth.urgent | truth.aside
    assert set(found.sent) <= everything
    assert len(found.sent) == len(set(found.sent))
    assert len(found.rids) == len(set(found.rids))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT * FROM journal ORDER BY seq").fetchall()
    if found.checked != "salvaged":
        return
    assert found.epoch != truth.epoch
    offered = [rid for rid in found.rids if rid <= found.span[1]]
    assert sorted(offered) == list(range(found.span[0], found.span[1] + 1)), "nothing in the span is missing"
    assert rows[-1][2] == "store"
    told = json.loads(rows[-1][3])["salvaged"]
    assert {row for row in rows[:-1] if row[0] not in told["journal_unproved"]} <= truth.journal
    for lost in found.lost:
        assert lost["f"] == ["damaged"]
        schemas.check("ioc/v1/38-ns-01/tele/live", json.dumps(envelope([lost])).encode())


def envelope(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    rids = [record["rid"] for record in records]
    return {
        "s": "tele/1", "gw": "38-ns-01", "ep": "7c41f00d", "sid": 1, "sent": 1, "clk": "sync", "cat": "9f3a12cd",
        "lane": "live", "lo": min(rids), "hi": max(rids), "n": len(rids), "m": list(records),
    }  # fmt: skip


# --- what is certain ----------------------------------------------------------------------------------------------


async def test_of_a_sound_file_everything_comes_over_and_only_what_waited_is_sent(truth: Truth, tmp_path: Path) -> None:
    path = copy_of(truth, tmp_path)
    suspect(path, "a test")
    found = await found_in(path, truth)
    prove(path, truth, found)
    assert found.checked == "salvaged"
    assert set(found.sent) == truth.unsent | truth.urgent
    assert found.lost == []
    assert found.claimed == truth.commands
    with closing(sqlite3.connect(path)) as connection:
        (held,) = connection.execute("SELECT sum(n) FROM bundle").fetchone()
        assert held == len(truth.sent | truth.unsent | truth.urgent | truth.aside)
        assert connection.execute("SELECT sum(n) FROM set_aside").fetchone() == (len(truth.aside),)
        kept = dict(connection.execute("SELECT name, body FROM keepsake"))
        assert kept == {f"kept/{i % 7}": f'{{"i":{i}}}' for i in range(193, 200)}
        verdict = verify(connection)
        entries = connection.execute("SELECT * FROM journal ORDER BY seq").fetchall()
    assert set(entries) > truth.journal
    assert verdict.broken == []
    told = json.loads(entries[-1][3])
    assert told["epoch"] == {"old": truth.epoch, "new": found.epoch}
    assert told["why"] == "a test"
    assert told["salvaged"]["to_send"] == len(truth.unsent | truth.urgent)


async def test_what_the_centre_has_is_kept_and_never_offered(truth: Truth, tmp_path: Path) -> None:
    path = copy_of(truth, tmp_path)
    suspect(path, "a test")
    async with Store(path, SETTINGS, ManualClock(truth.now_ms)) as store:
        low, high = store.outbox.span()
        assert high - low + 1 == len(truth.unsent | truth.urgent)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT min(lo) FROM bundle").fetchone()[0] < low
    async with Store(path, SETTINGS, ManualClock(truth.now_ms)) as store:
        assert store.outbox.span() == (low, high)


async def test_an_open_command_is_still_open_and_a_finished_one_keeps_its_outcome(truth: Truth, tmp_path: Path) -> None:
    path = copy_of(truth, tmp_path)
    suspect(path, "a test")
    async with Store(path, SETTINGS, ManualClock(truth.now_ms)) as store:
        assert list(await store.claims.interrupted()) == ["command-190"]
        assert await store.claims.claim("command-50", b"{}", 1) == b'{"id": "command-50"}'


async def test_of_a_power_cut_with_a_log_everything_comes_over(truth: Truth, tmp_path: Path) -> None:
    path = copy_of(truth, tmp_path, cut=True)
    suspect(path, "a test")
    found = await found_in(path, truth)
    assert set(found.sent) >= truth.unsent | truth.urgent
    assert found.claimed == truth.commands


@pytest.mark.parametrize("damage", [bytes(100), bytes(PAGE), Random(7).randbytes(PAGE)], ids=["head", "zeros", "noise"])
async def test_without_its_first_page_a_store_is_read_all_the_same(truth: Truth, tmp_path: Path, damage: bytes) -> None:
    path = copy_of(truth, tmp_path)
    with path.open("r+b") as file:
        file.write(damage)
    found = await found_in(path, truth)
    prove(path, truth, found)
    assert (found.checked, found.lost) == ("salvaged", [])
    assert set(found.sent) == truth.unsent | truth.urgent
    assert found.claimed == truth.commands


async def test_where_it_cannot_be_known_what_was_sent_everything_is(truth: Truth, tmp_path: Path) -> None:
    path = copy_of(truth, tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = '{\"seen\":' WHERE key = 'unsettled'")
    suspect(path, "a test")
    found = await found_in(path, truth)
    prove(path, truth, found)
    assert set(found.sent) == truth.sent | truth.unsent | truth.urgent | truth.aside


async def test_what_cannot_be_read_is_told_to_the_centre_and_to_the_journal(truth: Truth, tmp_path: Path) -> None:
    path = copy_of(truth, tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = connection.execute("SELECT lo, n FROM bundle ORDER BY lo DESC LIMIT 3").fetchall()
        connection.execute("UPDATE bundle SET body = x'00' WHERE lo = ?", (rows[1][0],))
        connection.execute("DELETE FROM journal WHERE seq = 5")
        connection.execute("UPDATE journal SET body = '{}' WHERE seq = 9")
    found = await found_in(path, truth)
    prove(path, truth, found)
    lo, n = rows[1]
    assert [(r["v"], r["p"]) for r in found.lost] == [(n, {"ep": truth.epoch, "lo": lo, "hi": lo + n - 1})]
    with closing(sqlite3.connect(path)) as connection:
        (body,) = connection.execute("SELECT body FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    told = json.loads(body)["salvaged"]
    assert told["lost"] == n
    assert told["journal_gaps"] == [[5, 5], [9, 9]]


# --- what is left of everything, for many kinds of damage ----------------------------------------------------------


def pages(file: bytearray, random: Random) -> None:
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(file) // PAGE) * PAGE
        other = random.randrange(len(file) // PAGE) * PAGE
        file[at : at + PAGE] = random.choice([bytes(PAGE), random.randbytes(PAGE), bytes(file[other : other + PAGE])])


def flips(file: bytearray, random: Random) -> None:
    for _ in range(random.randint(1, 60)):
        file[random.randrange(len(file))] ^= 1 << random.randrange(8)


def short(file: bytearray, random: Random) -> None:
    del file[random.randrange(len(file)) :]


def sectors(file: bytearray, random: Random) -> None:
    for _ in range(random.randint(1, 8)):
        at = random.randrange(len(file) // 512) * 512
        file[at : at + 512] = random.choice([bytes(512), b"\xff" * 512])


@pytest.mark.parametrize("damage", [pages, flips, short, sectors])
@pytest.mark.parametrize("seed", range(SEEDS // 4))
async def test_nothing_is_invented_whatever_the_damage(
    truth: Truth, tmp_path: Path, seed: int, damage: Callable[[bytearray, Random], None]
) -> None:
    random = Random(seed)
    path = copy_of(truth, tmp_path, cut=random.random() < 0.3)
    content = bytearray(path.read_bytes())
    damage(content, random)
    path.write_bytes(content)
    suspect(path, "a test")
    found = await found_in(path, truth)
    prove(path, truth, found)
    aside = [file for file in tmp_path.glob("*.damaged-*") if not file.name.endswith(("-wal", "-shm"))]
    assert [file.read_bytes() for file in aside] == [bytes(content)], "the damaged file is as it was"


@pytest.mark.parametrize("log", [b"", b"garbage" * 5000, None], ids=["emptied", "garbage", "missing"])
async def test_a_lost_log_takes_only_what_was_in_it(truth: Truth, tmp_path: Path, log: bytes | None) -> None:
    path = copy_of(truth, tmp_path, cut=True)
    wal = path.with_name(path.name + "-wal")
    wal.unlink()
    if log is not None:
        wal.write_bytes(log)
    suspect(path, "a test")
    prove(path, truth, await found_in(path, truth))


async def test_an_emptied_file_begins_anew_and_its_log_is_kept(truth: Truth, tmp_path: Path) -> None:
    path = copy_of(truth, tmp_path, cut=True)
    log = (tmp_path / "store.sqlite3-wal").read_bytes()
    path.write_bytes(b"")
    found = await found_in(path, truth)
    prove(path, truth, found)
    assert found.checked == "salvaged"
    assert [file.read_bytes() for file in tmp_path.glob("*.damaged-*-wal")] == [log]


# --- on the way ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["rename", "unlink"])
async def test_a_power_cut_while_salvaging_is_made_good_by_the_next_start(
    truth: Truth, tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy_of(truth, tmp_path)
    suspect(path, "a test")

    def cut(*_: object, **__: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(salvage, "_built" if at == "rename" else "log", cut if at == "rename" else _Cut())
        with pytest.raises(RuntimeError, match="power cut"):
            async with Store(path, SETTINGS, ManualClock(truth.now_ms)):
                pytest.fail("opened")
    assert suspicion(path) is not None or at == "unlink"
    found = await found_in(path, truth)
    assert set(found.sent) == truth.unsent | truth.urgent
    assert suspicion(path) is None
    assert not list(tmp_path.glob("*.salvaging*"))
    assert not list(tmp_path.glob("*.reading*"))


class _Cut:
    def error(self, *_: object) -> None: ...

    def warning(self, *_: object) -> None:
        raise RuntimeError("power cut")


async def test_a_salvage_that_never_ends_is_given_up_and_the_gateway_starts(truth: Truth, tmp_path: Path) -> None:
    path = copy_of(truth, tmp_path)
    suspect(path, "a test", tries=salvage.TRIES)
    found = await found_in(path, truth)
    assert (found.checked, found.sent) == ("salvaged", [])
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


async def test_when_the_time_is_up_what_waits_came_first(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy_of(truth, tmp_path)
    suspect(path, "a test")
    monkeypatch.setattr(salvage, "SALVAGE_S", 900)

    class Slow(ManualClock):
        """A second a row."""

        def monotonic(self) -> float:
            self.advance(0.0)
            self._monotonic += 4.0
            return self._monotonic

    async with Store(path, SETTINGS, Slow(truth.now_ms)) as store:
        waits = sum(store.outbox.waiting(lane).records for lane in Lane)
        assert waits > 0
    with closing(sqlite3.connect(path)) as connection:
        (body,) = connection.execute(
            "SELECT body FROM journal WHERE kind = 'store' ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        commands = connection.execute("SELECT count(*) FROM command").fetchone()[0]
    assert json.loads(body)["salvaged"]["left"] is True
    assert commands == len(truth.commands)
    assert mark_of(path).exists() is False
