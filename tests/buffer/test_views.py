"""What can be asked in SQL is what the documents say, and asking changes nothing."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from buffer.inspect import ReadOnly, read_only
from buffer.views import Guard, local, prepare, views
from tests.buffer.test_figures import tally
from tests.kit.filled import START_MS, filled

ROOM = Path(__file__).parents[2] / "buffer"
V1 = Path(__file__).parent / "stores" / "v1.sqlite3"
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = filled(tmp_path_factory.mktemp("filled") / "s.sqlite3", sent=20)
    rows = [(START_MS + n * DAY_MS // 2, n * 100, n * 10, n, n * 1_000_000, "why" * (n % 2)) for n in range(5)]
    return tally(path, *rows)


@pytest.fixture
def asked(store: Path) -> Iterator[ReadOnly]:
    with read_only(store) as connection:
        prepare(connection, lambda _: START_MS)
        Guard(connection)
        yield connection


def documented() -> list[str]:
    page = (ROOM / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```sql\n(.+?)^```$", page, re.MULTILINE | re.DOTALL)


EXAMPLES = [*(view.example for view in views()), *documented()]


@pytest.mark.parametrize("query", EXAMPLES)
def test_every_documented_example_works(asked: ReadOnly, query: str) -> None:
    cursor = asked.execute(query)
    cursor.fetchall()
    assert cursor.description


@pytest.mark.parametrize("query", EXAMPLES)
def test_every_example_works_on_a_store_of_an_older_gateway(query: str) -> None:
    with read_only(V1) as connection:
        prepare(connection, lambda _: START_MS)
        connection.execute(query).fetchall()


def test_the_page_names_every_view() -> None:
    page = (ROOM / "README.md").read_text(encoding="utf-8")
    assert documented()
    assert {view.name for view in views() if f"`{view.name}`" not in page} == set()


def test_views_tell_what_the_store_holds(asked: ReadOnly) -> None:
    def one(query: str) -> tuple[object, ...]:
        return tuple(asked.execute(query).fetchone())

    assert one("SELECT count(*), sum(waits), min(rid), max(rid) FROM records") == (240, 218, 1, 240)
    assert one("SELECT count(*), min(rid), max(rid) FROM waiting") == (218, 23, 240)
    assert one("SELECT value, unit FROM latest WHERE point = 'meter/power'") == (59, "W")
    assert one("SELECT count(*), count(DISTINCT point) FROM history WHERE span_s = 60") == (240, 4)
    missing = "SELECT value, quality, reasons_json FROM history WHERE point = 'level/2' AND quality <> 'good' LIMIT 1"
    assert one(missing) == (None, "missing", '["no_answer"]')
    assert one("SELECT count(*), min(reason) FROM set_aside_records") == (2, "too_large")
    assert one("SELECT operation, by_whom, state FROM commands") == ("light.set", "lan", "accepted")
    assert one("SELECT records, rid_lo, rid_hi, why FROM losses") == (7, 1, 7, "quota")
    stored, sent, lost = one("SELECT sum(records_stored), sum(records_sent), sum(records_lost) FROM tally_per_day")
    assert (stored, sent, lost) == (400, 356, 4)


def test_a_time_is_local_with_its_offset(asked: ReadOnly) -> None:
    assert local(None) is None
    text, at_ms = asked.execute("SELECT time, time_ms FROM records WHERE rid = 1").fetchone()
    assert text == local(at_ms)
    assert re.fullmatch(r"2026-11-2\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", text)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM bundle",
        "INSERT INTO meta VALUES ('epoch', '0')",
        "UPDATE tally SET lost = 0",
        "DROP VIEW records",
        "CREATE TABLE x (a)",
        "CREATE TEMP TABLE x (a)",
        "ATTACH ':memory:' AS other",
        "PRAGMA user_version = 7",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "VACUUM INTO 'elsewhere.sqlite3'",
        "SELECT load_extension('x')",
        "BEGIN IMMEDIATE",
        "REINDEX",
    ],
)
def test_nothing_but_reading_is_allowed(store: Path, statement: str) -> None:
    before = store.read_bytes()
    with read_only(store) as connection:
        prepare(connection, lambda _: START_MS)
        guard = Guard(connection)
        with pytest.raises(sqlite3.Error):
            connection.execute(statement)
        assert guard.denied
    assert store.read_bytes() == before


def test_a_query_cannot_take_all_memory(asked: ReadOnly) -> None:
    with pytest.raises(sqlite3.Error, match="too big"):
        asked.execute("SELECT length(zeroblob(1000000000))").fetchone()
