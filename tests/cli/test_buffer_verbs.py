"""The verbs that read the store, as people type them: beside a gateway, on a copy, on what is broken."""

from __future__ import annotations

import asyncio
import codecs
import csv
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from gateway.cli import main
from gateway.cli.buffer_status import _why
from gateway.cli.output import local_time, short_time
from tests.cli.test_verbs import GATEWAY, type_in
from tests.kit.brokers import free_port
from tests.kit.filled import START_MS, filled, harm
from tests.kit.site import TestSite

V1 = Path(__file__).parents[1] / "buffer" / "stores" / "v1.sqlite3"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("filled") / "s.sqlite3", sent=20)


def buffer(*words: str | Path, store: Path) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a verb, in this process: many words, little time."""
    out, err = TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["gateway", "buffer", *map(str, words), "--db", str(store)])
        patch.chdir(store.parent)
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
    out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    return code, out.buffer.getvalue().decode(), err.getvalue()


def test_status_says_what_waits_and_why(store: Path) -> None:
    code, out, _ = buffer("status", "--json", store=store)
    said = json.loads(out)
    assert code == 0
    assert said["waiting"]["back"]["records"] == 218
    assert "does not run" in said["why"]
    assert (said["set_aside"], said["records"], said["lost"]) == ({"too_large": 2}, 240, 0)
    code, out, _ = buffer("status", store=store)
    assert code == 0
    assert "gateway không chạy" in out
    assert max(map(len, out.splitlines()[1:])) <= 80


def test_a_store_of_an_older_gateway_can_be_asked_everything() -> None:
    for words in (["status"], ["show"], ["find", "--point", "*"], ["export", "-"], ["sql", "SELECT * FROM history"]):
        code, _, err = buffer(*words, store=V1)
        assert code == 0, err


def test_show_shows_what_waits_and_what_was_set_aside(store: Path) -> None:
    code, out, _ = buffer("show", "--set-aside", store=store)
    assert code == 0
    assert "too_large" in out
    code, out, _ = buffer("show", "--waiting", "--lane", "back", "-n", "2", "--json", store=store)
    assert [record["rid"] for record in json.loads(out)["newest"]] == [240, 239]
    code, out, _ = buffer("show", "-n", "3", store=store)
    assert "240*" in out
    assert "điểm đo" in out


def test_find_speaks_json_lines_newest_first(store: Path) -> None:
    code, out, _ = buffer("find", "--point", "LEVEL/*", "--quality", "missing", "--json", store=store)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["pt"] for row in rows] == ["level/2"] * 6
    assert [row["t1"] for row in rows] == sorted((row["t1"] for row in rows), reverse=True)


def test_find_says_when_there_is_more_and_when_there_is_nothing(store: Path) -> None:
    code, out, err = buffer("find", "-n", "2", store=store)
    assert (code, len(out.splitlines())) == (0, 5)
    assert "--limit 0" in err
    code, out, err = buffer("find", "--point", "levle", store=store)
    assert (code, out) == (0, "")
    assert "level/1" in err
    code, out, err = buffer("find", "--history", "7min", store=store)
    assert code == 1
    assert "1 min" in err


def test_csv_is_for_spreadsheets(store: Path, tmp_path: Path) -> None:
    target = tmp_path / "records.csv"
    assert (buffer("export", target, store=store))[0] == 0
    content = target.read_bytes()
    assert content.startswith(codecs.BOM_UTF8)
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert len(rows) == 240
    assert [int(row["rid"]) for row in rows] == list(range(1, 241))
    assert (rows[2]["point"], rows[2]["unit"], rows[2]["value"]) == ("meter/power", "W", "0.0")
    assert rows[2]["time_ms"] == str(START_MS + 60_000)
    assert rows[2]["time"][-6] in "+-", "the offset"
    assert rows[3]["tags"] == "cls=car;dir=up"
    code, _, err = buffer("export", target, store=store)
    assert code == 1
    assert "--force" in err
    assert target.read_bytes() == content
    assert (buffer("export", target, "--force", "--decimal-comma", "--point", "meter/*", store=store))[0] == 0
    assert ";3,0;W;good;" in target.read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["records.csv"], "nothing half-written is left"


def test_a_name_never_becomes_a_formula() -> None:
    from gateway.cli.buffer_files import RECORD, CsvSheet

    stream = io.BytesIO()
    sheet = CsvSheet(stream, RECORD)
    sheet.write([{"rid": 1, "t1": 0, "pt": "=HYPERLINK(1)", "ind": "@x", "tg": {"+a": "b"}, "v": "-1+2", "u": "m"}])
    sheet.write([{"rid": 2, "t1": 0, "pt": "level", "v": -1.5}])
    sheet.close()
    first, second = csv.DictReader(io.StringIO(stream.getvalue().decode("utf-8-sig")))
    assert [first[name] for name in ("point", "indicator", "tags", "value")] == [
        "'=HYPERLINK(1)", "'@x", "'+a=b", "'-1+2",
    ]  # fmt: skip
    assert second["value"] == "-1.5", "a number is one"


def test_what_came_of_a_limit_and_what_an_alarm_says_is_exported_too() -> None:
    from gateway.cli.buffer_files import RECORD, CsvSheet, ParquetSheet

    judged = {"rid": 1, "t1": 0, "pt": "a", "v": 81, "rv": 2, "d": {"dominant": "=pm25"},
              "lm": {"st": "unmet", "op": "<=", "lim": 75, "over": 0, "pf": "permit v1"}}  # fmt: skip
    alarm = {"rid": 2, "t1": 0, "pt": "a", "v": 2, "al": {"st": "raised", "id": "x-1", "text": {"vi": "=Nóng"}}}
    stream = io.BytesIO()
    sheet = CsvSheet(stream, RECORD)
    sheet.write([judged, alarm])
    sheet.close()
    first, second = csv.DictReader(io.StringIO(stream.getvalue().decode("utf-8-sig")))
    said = [first[name] for name in ("limit_status", "limit_op", "limit", "limit_profile", "revision", "detail")]
    assert said == ["unmet", "<=", "75", "permit v1", "2", '{"dominant": "=pm25"}']
    assert [second[name] for name in ("alarm", "alarm_id", "alarm_text", "limit")] == ["raised", "x-1", "'=Nóng", ""]
    whole = io.BytesIO()
    table = ParquetSheet(whole, RECORD)
    table.write([judged, alarm])
    table.close()
    assert pyarrow.parquet.read_table(whole).column("limit").to_pylist() == [75.0, None]


def test_history_goes_to_parquet_and_json_lines(store: Path, tmp_path: Path) -> None:
    assert (buffer("export", tmp_path / "h.parquet", "--history", "1min", store=store))[0] == 0
    table = pyarrow.parquet.read_table(tmp_path / "h.parquet")
    assert table.num_rows == 240
    assert table.column("value").null_count == 6
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"
    code, out, err = buffer("export", "-", "--as", "jsonl", "--reason", "no_answer", store=store)
    assert code == 0
    assert [json.loads(line)["v"] for line in out.splitlines()] == [None] * 6
    assert "6 rows" in err


def test_an_export_that_cannot_be_is_said(store: Path, tmp_path: Path) -> None:
    for words, hint in (
        (["out.xlsx"], ".parquet"),
        ([tmp_path / "no" / "folder.csv"], "must exist"),
        (["out.csv", "--quality", "great"], "good"),
        (["out.csv", "--from", "2026-11-23", "--to", "2026-11-20"], "swap"),
    ):
        code, _, err = buffer("export", *words, store=store)
        assert code == 1
        assert hint in err
    assert list(tmp_path.iterdir()) == []


def test_sql_answers_as_a_table_as_json_and_as_csv(store: Path) -> None:
    query = "SELECT point, count(*) AS n FROM records GROUP BY point ORDER BY point"
    code, out, _ = buffer("sql", query, "--json", store=store)
    assert (code, json.loads(out)[1]) == (0, {"point": "level/1", "n": 60})
    code, out, _ = buffer("sql", query, "--csv", store=store)
    assert out.splitlines()[:2] == ["point,n", "junction/l1,60"]
    code, out, err = buffer("sql", query, "-n", "2", store=store)
    assert "level/1" in out
    assert "only the first 2 rows" in err
    code, out, _ = buffer("sql", store=store)
    assert "bản ghi còn chờ gửi" in out


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT colour FROM records", "views and their columns"),
        ("SELEC 1", "syntax error"),
        ("DELETE FROM bundle", "writing is refused"),
        ("ATTACH 'x' AS y", "is refused"),
        ("SELECT 1; SELECT 2", "one SELECT"),
        ("SELECT ms('noon')", "is no time"),
    ],
)
def test_a_bad_query_is_one_line_and_a_hint(store: Path, query: str, said: str) -> None:
    code, out, err = buffer("sql", query, store=store)
    assert (code, out) == (1, "")
    assert said in err
    assert "hint:" in err


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"


def test_a_query_that_runs_away_is_stopped(store: Path) -> None:
    code, _, err = buffer("sql", ENDLESS, "--timeout", "0.2s", store=store)
    assert code == 1
    assert "--timeout" in err


async def test_a_query_can_be_stopped_by_hand(store: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *GATEWAY, "buffer", "sql", ENDLESS, "--db", str(store),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        while child.returncode is None:
            child.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(asyncio.shield(child.wait()), 0.5)
            except TimeoutError:
                continue
        _, err_bytes = await child.communicate()
    assert child.returncode != 0
    assert b"not done" not in err_bytes


def test_a_damaged_store_shows_what_it_can_and_says_the_rest(tmp_path: Path) -> None:
    path = filled(tmp_path / "s.sqlite3", 200, sent=20)
    harm(path, pages=path.stat().st_size // 1024 // 4)
    for words in (["status"], ["show"], ["find", "-n", "0", "--json"], ["export", "-"]):
        code, out, err = buffer(*words, store=path)
        assert code == 1
        assert "store-damaged" in err
        assert out


def spoilt(store: Path, folder: Path, statement: str) -> Path:
    copy = folder / "spoilt.sqlite3"
    copy.write_bytes(store.read_bytes())
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute(statement)
    return copy


READING = [
    ("status",), ("show",), ("show", "--waiting"), ("find", "-n", "0"), ("find", "--history", "1min"), ("retry",),
    ("export", "-"), ("export", "-", "--as", "jsonl"), ("sql", "SELECT * FROM records"), ("verify",),
]  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE signal SET about = CAST(CAST(about AS BLOB) || x'ff' AS TEXT) WHERE id = 1",
        "UPDATE signal SET about = replace(about, '{', '[') WHERE id = 2",
        "UPDATE signal SET about = replace(about, 'ind', 'inx') WHERE id = 2",
        "UPDATE meta SET value = replace(value, '[', ';') WHERE key = 'unsettled'",
        "UPDATE bundle SET lane = 9 WHERE lo = 1",
        "UPDATE bundle SET at_ms = 9000000000000000000 WHERE lo = 1",
    ],
)
def test_damage_that_sqlite_does_not_see_ends_no_verb_in_a_traceback(
    store: Path, tmp_path: Path, statement: str
) -> None:
    copy = spoilt(store, tmp_path, statement)
    for words in READING:
        code, _, err = buffer(*words, store=copy)
        assert code in (0, 1), words
        assert code == 0 or "store-damaged" in err or words == ("verify",), (words, err)


def test_a_signal_nobody_can_describe_costs_its_own_windows_alone(store: Path, tmp_path: Path) -> None:
    copy = spoilt(store, tmp_path, "UPDATE signal SET about = '{' WHERE about LIKE '%level/2%'")
    code, out, err = buffer("find", "--history", "1min", "-n", "0", "--json", store=copy)
    assert (code, len(out.splitlines())) == (1, 180)
    assert "store-damaged" in err
    assert buffer("find", "-n", "0", "--json", store=copy)[0] == 0


def test_numbers_that_are_no_times_are_shown_as_they_stand() -> None:
    assert local_time(9 * 10**18) == short_time(9 * 10**18) == "9000000000000000000"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("find", "--to", "9999-12-31"), "is no time"),
        (("show", "--lane", "live,back"), "one lane at a time"),
        (("find", "--history", "0.5s"), "no windows of 0.5s"),
        (("export",), "name the file to write"),
    ],
)
def test_what_cannot_be_meant_is_said(store: Path, words: tuple[str, ...], said: str) -> None:
    code, _, err = buffer(*words, store=store)
    assert code == 1
    assert said in err


def test_a_time_before_all_times_finds_everything(store: Path) -> None:
    code, out, _ = buffer("find", "--from", "-999999999999999999d", "-n", "0", "--json", store=store)
    assert (code, len(out.splitlines())) == (0, 240)


def test_sql_speaks_json_whatever_the_number_and_moves_no_cursor(store: Path) -> None:
    _, out, _ = buffer("sql", "SELECT 1e999 AS high, -1e999 AS low", "--json", store=store)
    assert json.loads(out, parse_constant=pytest.fail) == [{"high": "inf", "low": "-inf"}]
    _, out, _ = buffer("sql", "SELECT char(27) || '[2J' AS text, 46.23999999999999 AS value", store=store)
    assert "\x1b[2J" not in out
    assert "46.24 " in out


@pytest.mark.parametrize("verb", ["status", "find", "verify"])
def test_a_terminal_that_is_not_set_to_utf_8_gets_what_it_can_show(store: Path, verb: str) -> None:
    words = [*GATEWAY, "buffer", verb, "--db", str(store)]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(words, env=environment, capture_output=True, check=False, timeout=60)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert b"?" in done.stdout


async def test_status_asks_the_running_gateway_twice(tmp_path: Path) -> None:
    site = TestSite(tmp_path, free_port())
    site.write()
    async with site.devices():
        await site.start()
        try:
            await site.until_status(lambda s: s["store"]["rid_hi"] >= 8 and s["uplink"]["last_error"])
            code, out, _ = await type_in("buffer", "status", site.file, "--look", "1s", "--json", folder=tmp_path)
            said: dict[str, Any] = json.loads(out)
            assert code == 0
            assert said["running"] is True
            assert "broker-unreachable" in said["why"]
            assert said["rates"]["now"]["in_per_s"] > 0
            assert said["rates"]["now"]["empty_s"] is None
            assert said["quota_bytes"] == 512_000_000
            copy = tmp_path / "copy.sqlite3"
            for end in ("", "-wal"):
                shutil.copy(f"{site.store}{end}", f"{copy}{end}")
            code, out, _ = await type_in("buffer", "status", "--db", copy, "--json", folder=tmp_path)
            assert json.loads(out)["running"] is False, "a copy is nobody's"
        finally:
            await site.kill()


def test_the_last_reason_is_remembered_when_nobody_answers() -> None:
    waiting = {"back": {"records": 5}}
    assert "broker-not-allowed" in _why(waiting, [], [{"why": "broker-not-allowed"}])
    assert _why({"back": {"records": 0}}, [], [{"why": "broker-not-allowed"}]) == ""


async def test_parquet_without_its_library_says_what_to_install(store: Path) -> None:
    program = "import sys; sys.modules['pyarrow'] = None; from gateway.cli import main; main()"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", program, "buffer", "export", "x.parquet", "--db", str(store), cwd=store.parent,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        _, err = await child.communicate()
    assert child.returncode == 1
    assert b"ioc-edge-gateway[parquet]" in err
    assert not (store.parent / "x.parquet").exists()
