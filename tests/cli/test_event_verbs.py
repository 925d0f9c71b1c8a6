"""`gateway event` as people type it, on what a gateway made of a small fair."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import shutil
import sqlite3
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from typer.testing import CliRunner

from buffer.settings import BufferSettings
from buffer.store import Store
from config.site import LoadedSite, load_site
from gateway import __version__
from gateway.api import SOCKET_NAME, local_api
from gateway.cli import app
from gateway.cli.event_archive import Job, pack
from gateway.indicators.evaluation import AFTER_MS
from gateway.indicators.reader import Reader
from gateway.meaning import Meaning
from gateway.model.alarm import AlarmState
from gateway.model.errors import BadArgument, StoreDamaged
from gateway.model.measure import Signal
from tests.cli.test_verbs import type_in
from tests.indicators.tracks import window
from tests.kit.clock import ManualClock

GOLDEN = Path(__file__).parent / "golden/event/summary.html"
DAY_MS = 86_400_000
FOUR = 1_738_357_200_000  # 2025-02-01 04:00 +07:00
MINUTE = 60_000
BEGIN, END = FOUR + 180 * MINUTE, FOUR + 360 * MINUTE  # 07:00 and 10:00
SITE = """
gateway: 38-dinh-01
site: Đình làng <A & B>
place: {province: "38", commune: "14797", lat: 19.8, lon: 105.77}
state_dir: ./run
uplink: {host: 127.0.0.1}
wires:
  lora: {kind: mqtt_in, host: 127.0.0.1, port: 1883}
devices:
  gate: {profile: milesight-vs135, wire: lora, address: 24e124713d000001, every_s: 60}
indicators:
  - {code: crowd.in, of: "gate/[cl]*", with: {inward: ["*/came"], outward: ["*/left"]}}
events: [events/hoi-lang.yaml, events/cho-que.yaml]
"""
EVENT = """
event: hoi-lang
title_vi: Hội làng
title_en: Village fair
from: "2025-02-01 07:00"
to: "2025-02-01 10:00"
hours: "07:00-09:30"
zones:
  yard: {name: Sân đình, kind: event, polygon: [[105.770, 19.800], [105.772, 19.800], [105.772, 19.801]],
         area_m2: 9000, capacity: 900}
points:
  "gate/*": {zone: yard}
indicators:
  - {code: crowd.in, of: "gate/came", point: yard, with: &ways {inward: ["*/came"], outward: ["*/left"]}}
  - {code: crowd.capacity_rate, of: "gate/[cl]*", point: yard, with: *ways}
limits:
  - {profile: crowd-proposal, violations: true}
"""
LATER = (
    EVENT.replace("hoi-lang", "cho-que").replace("2025", "2098").replace("Hội làng", "Chợ quê")
    .replace("Village fair", "Country market")
)  # fmt: skip


@cache
def fair(folder: Path) -> LoadedSite:
    return load_site(folder / "site.yaml")


def meaning_of(site: LoadedSite, store: Store, clock: ManualClock) -> Meaning:
    return Meaning(site.document.site, site.plan, store, Reader(store.history, clock, 26, 90), clock, 15.0)


async def hold(site: LoadedSite, store: Store, clock: ManualClock, until_ms: int) -> None:
    """From now on, minute by minute: from 06:00 ten people come in a minute, and none leaves."""
    meaning = meaning_of(site, store, clock)
    await meaning.open(store.keepsakes)
    signals = {signal.id: signal for signal in site.plan.signals}
    while clock.now_ms() < until_ms:
        windows = []
        for _ in range(5):
            at_ms = clock.now_ms()
            clock.advance(60)
            came = 10 if at_ms >= FOUR + 120 * MINUTE else 0
            windows += [window(of_a_minute(signals["gate/came"]), at_ms, came)]
            windows += [window(of_a_minute(signals["gate/left"]), at_ms, 0)]
        await meaning.store((), windows)
        await store.flush()
        clock.advance(20)
        await meaning.turn()
        clock.advance(-20)


def of_a_minute(signal: Signal) -> Signal:
    assert (signal.every_s, signal.window_s) == (60, 60)
    return signal


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site whose fair took place."""
    folder = tmp_path_factory.mktemp("fair")
    (folder / "events").mkdir()
    (folder / "run").mkdir()
    (folder / "site.yaml").write_text(SITE, encoding="utf-8")
    (folder / "events/hoi-lang.yaml").write_text(EVENT, encoding="utf-8")
    (folder / "events/cho-que.yaml").write_text(LATER, encoding="utf-8")

    async def fill() -> None:
        site, clock = fair(folder), ManualClock(FOUR)
        async with Store(folder / "run/store.sqlite3", BufferSettings(), clock) as store:
            store.journal.note("start", {"version": "0.4.0", "config": "ab" * 32, "after": "clean"})
            store.journal.note("login", {"who": "somebody", "from": "here", "how": "key", "result": "refused"})
            await hold(site, store, clock, END + 30 * MINUTE)

    asyncio.run(fill())
    assert fair(folder).document.buffer.file == "store.sqlite3"
    return folder


def packed(held: Path, out: Path, now_ms: int = END + 2 * DAY_MS) -> dict[str, bytes]:
    site = fair(held)
    pack(Job(site, site.events["hoi-lang"], held / "run/store.sqlite3", now_ms), out)
    with ZipFile(out) as archive:
        assert archive.testzip() is None
        return {name.removeprefix("hoi-lang/"): archive.read(name) for name in archive.namelist()}


def typed(*words: str | Path) -> str:
    """What a verb prints. Raises what it would be told for."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None:
        raise done.exception
    return done.output


def lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.decode().splitlines()]


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def test_an_archive_holds_what_came_of_the_event_and_nothing_else(held: Path, tmp_path: Path) -> None:
    found = packed(held, tmp_path / "fair.zip")
    assert found["hoi-lang.yaml"] == (held / "events/hoi-lang.yaml").read_bytes()

    records = lines(found["records.jsonl"])
    assert {row["pt"] for row in records} == {"hoi-lang/yard"}
    came = [row for row in records if row["ind"] == "crowd.in"]
    assert [row["t1"] for row in came] == list(range(BEGIN + 5 * MINUTE, END + 1, 5 * MINUTE))
    assert sum(row["v"] for row in came) == 1800
    rates = [row["v"] for row in records if row["ind"] == "crowd.capacity_rate"]
    assert rates[0] == pytest.approx(100 * 650 / 900)

    alarms = [row["al"] for row in lines(found["alarms.jsonl"])]
    assert [(one["st"], one["lvl"]) for one in alarms] == [
        ("raised", 1), ("level", 2), ("level", 3), ("cleared", 3)
    ]  # fmt: skip
    assert alarms[-1]["cleared"] == END, "what an event judges ends with it"

    windows = lines(found["windows.jsonl"])
    assert {row["pt"] for row in windows} == {"gate/came", "gate/left"}
    assert {row["span_s"] for row in windows} == {60, 300, 3600}
    assert sum(row["v"] for row in windows if row["span_s"] == 60 and row["pt"] == "gate/came") == 1800
    assert all(row["t0"] >= BEGIN and row["t1"] <= END for row in windows)

    journal = lines(found["journal.jsonl"])
    assert {row["kind"] for row in journal} == {"violation"}
    assert [row["body"]["state"] for row in (journal[0], journal[-1])] == ["opened", "closed"]
    assert {row["body"]["place"] for row in journal} == {"hoi-lang/yard"}


def test_a_spreadsheet_sees_the_same_as_a_program(held: Path, tmp_path: Path) -> None:
    found = packed(held, tmp_path / "fair.zip")
    for name in ("records", "alarms", "windows"):
        rows, cells = lines(found[f"{name}.jsonl"]), table(found[f"{name}.csv"])
        assert [int(row["time_ms"]) for row in cells] == [row["t1"] for row in rows]
    assert [row["kind"] for row in table(found["journal.csv"])] == [
        row["kind"] for row in lines(found["journal.jsonl"])
    ]


def test_the_manifest_has_the_hash_and_the_rows_of_each_file(held: Path, tmp_path: Path) -> None:
    found = packed(held, tmp_path / "fair.zip")
    manifest = json.loads(found.pop("manifest.json"))
    assert {name: about["sha256"] for name, about in manifest["files"].items()} == {
        name: sha256(content).hexdigest() for name, content in found.items()
    }
    assert manifest["files"]["records.csv"]["rows"] == len(table(found["records.csv"])) == 72
    assert (manifest["from_ms"], manifest["to_ms"]) == (BEGIN, END)
    assert manifest["complete"]
    assert not manifest["damaged"]
    early = json.loads(packed(held, tmp_path / "early.zip", now_ms=END + 1)["manifest.json"])
    assert not early["complete"], "its last values may still come"


def test_the_summary_is_what_people_read(held: Path, tmp_path: Path) -> None:
    said = packed(held, tmp_path / "fair.zip")["summary.html"].decode().replace(__version__, "VERSION")
    if os.environ.get("REWRITE_CASES"):
        GOLDEN.write_text(said, encoding="utf-8")
    assert said == GOLDEN.read_text(encoding="utf-8")
    assert "Đình làng &lt;A &amp; B&gt;" in said


async def test_an_archive_is_made_of_a_copied_store_and_leaves_nothing_beside_it(held: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy/store.sqlite3"
    copy.parent.mkdir()
    shutil.copyfile(held / "run/store.sqlite3", copy)
    before = copy.read_bytes()
    verb = ("event", "archive", held / "site.yaml", "hoi-lang", "--db", copy, "--to", tmp_path, "--json")
    code, out, _ = await type_in(*verb, folder=tmp_path)
    assert code == 0
    file = tmp_path / "hoi-lang.zip"
    said = json.loads(out)
    assert said["sha256"] == sha256(file.read_bytes()).hexdigest()
    assert said["files"]["records.csv"]["rows"] == 72
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "hoi-lang.zip"]
    assert copy.read_bytes() == before
    assert list(copy.parent.iterdir()) == [copy]

    code, _, err = await type_in(*verb, folder=tmp_path)
    assert (code, "there already" in err) == (1, True)
    assert said["sha256"] == sha256(file.read_bytes()).hexdigest()


async def test_a_running_gateway_notes_in_its_journal_what_was_archived(held: Path, tmp_path: Path) -> None:
    asked: list[tuple[str, Mapping[str, Any]]] = []

    async def perform(do: str, args: Mapping[str, Any], _: str) -> dict[str, Any]:
        asked.append((do, args))
        return {}

    async with local_api(held / "run" / SOCKET_NAME, lambda: {"gateway": "38-dinh-01"}, perform):
        code, out, _ = await type_in(
            "event", "archive", held / "site.yaml", "hoi-lang", "--to", tmp_path, folder=tmp_path
        )
    assert code == 0
    assert "hoi-lang.zip" in out
    assert [do for do, _ in asked] == ["archive"]
    async with Store(tmp_path / "s.sqlite3", BufferSettings(), ManualClock()) as store:
        await store.maintenance.perform(*asked[0], "operator")
        kind, noted = await store.journal.last("maintenance") or ("", {})
    assert (kind, noted["who"], noted["do"], noted["args"]["event"]) == (
        "maintenance",
        "operator",
        "archive",
        "hoi-lang",
    )
    assert noted["args"]["sha256"] == sha256((tmp_path / "hoi-lang.zip").read_bytes()).hexdigest()


@pytest.mark.parametrize(("event", "why"), [("cho-que", "is not over"), ("hoi-lan", "has no event")])
def test_an_event_that_is_not_over_is_not_archived(held: Path, tmp_path: Path, event: str, why: str) -> None:
    with pytest.raises(BadArgument, match=why):
        typed("event", "archive", held / "site.yaml", event, "--to", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_cannot_be_written_leaves_no_half_of_it(held: Path, tmp_path: Path) -> None:
    site = fair(held)
    job = Job(site, site.events["hoi-lang"], held / "run/store.sqlite3", END)
    with pytest.raises(BadArgument, match="cannot be written"):
        pack(job, tmp_path / "nowhere/fair.zip")
    (tmp_path / "fair.zip").write_text("an older one")
    with pytest.raises(BadArgument, match="there already"):
        pack(job, tmp_path / "fair.zip")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["an older one"]


def test_what_of_a_damaged_store_can_be_read_is_archived_and_said(held: Path, tmp_path: Path) -> None:
    shutil.copyfile(held / "run/store.sqlite3", tmp_path / "store.sqlite3")
    with sqlite3.connect(tmp_path / "store.sqlite3") as connection:
        (lo,) = connection.execute("SELECT lo FROM bundle ORDER BY lo LIMIT 1 OFFSET 40").fetchone()
        connection.execute("UPDATE bundle SET body = x'00' WHERE lo = ?", (lo,))
    connection.close()
    site = fair(held)
    done = pack(Job(site, site.events["hoi-lang"], tmp_path / "store.sqlite3", END), tmp_path / "fair.zip")
    assert isinstance(done.damage, StoreDamaged)
    assert done.manifest["damaged"]
    assert 0 < done.manifest["files"]["records.csv"]["rows"] < 73


def test_events_are_listed_and_shown_in_both_languages(held: Path) -> None:
    out = typed("event", "list", held / "site.yaml")
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [
        "hoi-lang: over / đã kết thúc", "cho-que: coming / sắp diễn ra"
    ]  # fmt: skip
    out = typed("event", "show", held / "site.yaml", "cho-que")
    assert all(len(line) <= 80 for line in out.splitlines())
    said = ("Chợ quê / Country market", "07:00-09:30", "Sân đình (event), 9000 m², capacity / sức chứa 900",
            "crowd.in: Lượt người vào\n      People in, 5m\n", "< 80 / 90 / 100, crowd-proposal v1")  # fmt: skip
    assert [text for text in said if text not in out] == []
    out = typed("event", "show", held / "site.yaml", "cho-que", "--json")
    shown = json.loads(out)
    assert (shown["state"], shown["measured"][1]["with"]["capacity"]) == ("coming", 900)
    assert shown["limits"][0]["levels"] == [80, 90, 100]


async def test_an_alarm_of_an_event_ends_after_it_even_if_the_gateway_was_off(held: Path, tmp_path: Path) -> None:
    site, clock = fair(held), ManualClock(FOUR)
    async with Store(tmp_path / "s.sqlite3", BufferSettings(), clock) as store:
        await hold(site, store, clock, END - 30 * MINUTE)
        clock.advance(10 * DAY_MS / 1000)
        meaning = meaning_of(site, store, clock)
        await meaning.open(store.keepsakes)
        assert [alarm.point for alarm in meaning.alarms_open()] == ["hoi-lang/yard"]
        assert meaning.violations()[0] == 1
        await meaning.turn()
        assert meaning.violations()[0] == 0
        assert clock.now_ms() > END + AFTER_MS
        assert meaning.alarms_open() == []
    last = packed_alarms(site, tmp_path)[-1]
    assert last["st"] == AlarmState.CLEARED


def packed_alarms(site: LoadedSite, folder: Path) -> list[dict[str, Any]]:
    from buffer.inspect import newest, read_only

    with read_only(folder / "s.sqlite3") as connection:
        return [row["al"] for row in reversed(newest(connection, 500)) if "al" in row]
