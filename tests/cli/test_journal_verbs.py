"""`gateway journal` as people type it, and what others make of its exports."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from buffer import journal
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.cli import app
from gateway.cli.journal_lines import cell
from gateway.cli.journal_report import write_report
from gateway.cli.words import moment
from gateway.model.errors import BadArgument, GatewayError
from gateway.model.limit import Limit
from gateway.model.violation import Measured, Status, Violation, ViolationState
from tests.cli.test_verbs import type_in
from tests.kit.clock import ManualClock

NOW = 1_795_309_200_000  # 2026-11-22 08:00 +07:00
MINUTE = 60_000
GOLDEN = Path(__file__).parent / "golden/journal/violation.html"
README = Path(__file__).parents[2] / "buffer/README.md"
NASTY = "<script>alert('x')</script> & \"quoted\" =1+1"


def violation(state: ViolationState, **more: Any) -> Violation:
    known: dict[str, Any] = {
        "id": "V-20261122-0001", "state": state, "site": "KCN Nghi Sơn, tỉnh Thanh Hóa", "place": "Cửa xả số 1",
        "indicator": "ww.cod", "name_en": "Chemical oxygen demand", "name_vi": "Nhu cầu oxy hóa học", "unit": "mg/L",
        "limit": Limit(op="<=", value=75.0, over_s=3600, basis="QCVN 40:2011/BTNMT", clause="Bảng 1, cột A",
                       profile="ww-A@2026-01", permit="GPMT 123/BTNMT"),
        "start_ms": NOW, "peak": 88.9, "peak_ms": NOW + 10 * MINUTE, "n": 3, "expected": 4,
        "readings": (Measured(NOW, NOW + 5 * MINUTE, 71.0, "good"),
                     Measured(NOW + 5 * MINUTE, NOW + 10 * MINUTE, 88.9, "good"),
                     Measured(NOW + 10 * MINUTE, NOW + 15 * MINUTE, None, "missing")),
        "statuses": (Status(NOW - MINUTE, "00"), Status(NOW + 10 * MINUTE, "01")),
    }  # fmt: skip
    return Violation(**{**known, **more})


async def fill(path: Path) -> None:
    clock = ManualClock(NOW)
    async with Store(path, BufferSettings(), clock) as store:

        def note(kind: str, body: dict[str, Any]) -> None:
            store.journal.note(kind, body)
            clock.advance(3600)

        note("start", {"version": "0.3.0", "config": "ab" * 32, "after": "unclean"})
        note("violation", violation(ViolationState.OPENED).body())
        note("command", {
            "id": "0197a3c2", "op": "light.set", "iss": "ioc-th", "by": "nguyen.van.a", "asked": "lễ hội",
            "arg": {"level": 60}, "state": "unverified", "late_ms": 840, "why": "",
            "res": [{"to": "lamps/1", "want": 60, "got": None, "how": "none", "err": "no answer"}],
        })  # fmt: skip
        note("login", {"who": "=cmd|' /C calc'!A0", "from": "\x1b[31mred\nline", "how": "key", "result": "refused"})
        closed = {"end_ms": NOW + 90 * MINUTE + 5000, "mean": 81.4, "bottle": "3",
                  "clip": "cam-1/08-25.mp4", "acknowledged_by": "Trần Thị Bích", "acknowledged_ms": NOW + 120 * MINUTE,
                  "remarks": NASTY}  # fmt: skip
        note("violation", violation(ViolationState.CLOSED, **closed).body())
        note("violation", {"id": "V-odd", "state": "opened", "limit": NASTY})  # of a version that nobody knows
        note("stop", {"version": "0.3.0", "config": "ab" * 32})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("journal") / "store.sqlite3"
    asyncio.run(fill(path))
    return path


@pytest.fixture(autouse=True)
def in_vietnam(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def typed(*words: object) -> tuple[int, bytes]:
    """Exit code and standard output."""
    result = CliRunner().invoke(app, ["journal", *map(str, words)])
    if isinstance(result.exception, GatewayError):
        raise result.exception
    return result.exit_code, result.stdout_bytes


def changed(store: Path, tmp_path: Path, sql: str) -> Path:
    import sqlite3

    copy = tmp_path / "copy.sqlite3"
    copy.write_bytes(store.read_bytes())
    connection = sqlite3.connect(copy)
    with connection:
        connection.execute(sql)
    connection.close()
    return copy


# --- verify ---------------------------------------------------------------------------------------------------------


async def test_verify_is_said_and_shown_in_the_exit_code(store: Path, tmp_path: Path) -> None:
    code, out, _ = await type_in("journal", "verify", "--db", store, folder=tmp_path)
    assert code == 0
    assert "every link holds / chuỗi nguyên vẹn" in out
    broken = changed(store, tmp_path, "UPDATE journal SET body = replace(body, '60', '90') WHERE seq = 3")
    code, out, _ = await type_in("journal", "verify", "--db", broken, folder=tmp_path)
    assert code == 1
    assert "entry 3: it is not what was written" in out
    assert "mục 3: mục này không còn như lúc ghi" in out


def test_verify_names_what_is_missing(store: Path, tmp_path: Path) -> None:
    code, out = typed("verify", "--json", "--db", changed(store, tmp_path, "DELETE FROM journal WHERE seq IN (2, 3)"))
    found = json.loads(out)
    assert (code, found["holds"], found["faults"]) == (1, False, 1)
    (broken,) = found["broken"]
    assert (broken["seq"], broken["upto"], broken["fault"]) == (2, 3, "missing")
    assert broken["vi"] == "mục 2..3: thiếu các mục"


def test_heads_the_centre_has_show_a_journal_that_lost_its_end(store: Path, tmp_path: Path) -> None:
    with journal.opened(store) as connection:
        rows = list(journal.entries(connection, journal.Choice()))
    lines = [json.dumps({"seq": row.seq, "head": row.hash}) for row in rows[::2]]
    heartbeat = json.dumps({"s": "hb/1", "journal": {"seq": 6, "head": rows[5].hash}})
    heads = tmp_path / "heads.jsonl"
    heads.write_text("\n".join([*lines, "", heartbeat]), encoding="utf-8")
    code, out = typed("verify", "--db", store, "--heads", heads)
    assert (code, "5 found / khớp" in out.decode()) == (0, True)
    shorter = changed(store, tmp_path, "DELETE FROM journal WHERE seq > 5")
    assert typed("verify", "--db", shorter)[0] == 0
    code, out = typed("verify", "--db", shorter, "--heads", heads)
    assert code == 1
    assert "the journal ends before it" in out.decode()


@pytest.mark.parametrize("line", ["not json", "{}", '{"seq": 1}', "[1, 2]", '{"seq": "x", "head": "y"}'])
def test_a_line_that_is_no_head_is_named(store: Path, tmp_path: Path, line: str) -> None:
    heads = tmp_path / "heads.jsonl"
    heads.write_text(f'{{"seq": 1, "head": "00"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(BadArgument) as caught:
        typed("verify", "--db", store, "--heads", heads)
    assert caught.value.where == f"{heads}:2"


# --- show -----------------------------------------------------------------------------------------------------------


def test_show_is_a_line_an_entry_newest_first(store: Path) -> None:
    _, out = typed("show", "--db", store)
    heading, *lines = out.decode().splitlines()
    assert "time / giờ +07:00" in heading
    assert [int(line.split()[0]) for line in lines] == [7, 6, 5, 4, 3, 2, 1]
    assert "2026-11-22 10:00:00  command / lệnh" in lines[4]
    assert "unverified: light.set lamps/1 60→? (no answer), by nguyen.van.a @ ioc-th, “lễ hội”" in lines[4]
    assert "\x1b[31m" not in out.decode(), "what a stranger wrote moves no cursor"


@pytest.mark.parametrize("verb", ["show", "verify"])
def test_on_a_terminal_no_line_is_broken_anywhere(store: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what makes it one
    monkeypatch.setenv("COLUMNS", "80")
    _, out = typed(verb, "--db", store)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out.decode()).splitlines()
    assert max(map(len, lines[1:])) <= 80  # the first of `verify` is the file's name


@pytest.mark.parametrize(
    ("words", "seqs"),
    [
        (["--kind", "violation"], [6, 5, 2]),
        (["--kind", "start", "--kind", "stop"], [7, 1]),
        (["-n", "2"], [7, 6]),
        (["--from", "2026-11-22T10:00", "--to", "2026-11-22T11:00"], [4, 3]),
        (["--to", "22/11/2026"], [7, 6, 5, 4, 3, 2, 1]),
        (["--to", "2026-11-21"], []),
    ],
    ids=str,
)
def test_entries_are_chosen(store: Path, words: list[str], seqs: list[int]) -> None:
    _, out = typed("show", "--db", store, "--json", *words)
    assert [row["seq"] for row in json.loads(out)] == seqs


@pytest.mark.parametrize(
    "words",
    [
        ["show", "--kind", "vilation"],
        ["show", "--from", "yesterday"],
        ["show", "--from", "2026-11-22", "--to", "2026-11-21"],
        ["export", "--as", "html", "--kind", "command"],
        ["export", "--as", "html", "--violation", "V-none"],
        ["export", "--as", "csv", "--violation", "V-odd"],
        ["show"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_asked_is_said(store: Path, words: list[str]) -> None:
    where = ["--db", store] if len(words) > 1 else []
    with pytest.raises(BadArgument) as caught:
        typed(*words, *where)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-11-22", NOW - 8 * 60 * MINUTE, NOW + 16 * 60 * MINUTE - 1),
        ("22/11/2026", NOW - 8 * 60 * MINUTE, NOW + 16 * 60 * MINUTE - 1),
        ("2026-11-22T08:00", NOW, NOW + MINUTE - 1),
        ("22/11/2026 08:00", NOW, NOW + MINUTE - 1),
        (" 2026-11-22 08:00:00 ", NOW, NOW + 999),
    ],
)
def test_a_time_is_local_and_meant_whole(text: str, first: int, last: int) -> None:
    assert (moment(text, "--from"), moment(text, "--to", last=True)) == (first, last)


def test_a_time_may_be_counted_back_from_now() -> None:
    now_ms = time.time() * 1000
    assert abs(now_ms - 2 * 60 * MINUTE - moment("-2h", "--from")) < MINUTE
    assert moment("2026-11-22", "--from", zone=UTC) == NOW - 60 * MINUTE


# --- export ---------------------------------------------------------------------------------------------------------


def third_party() -> str:
    (script,) = re.findall(r"```python\n(import hashlib.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return str(script)


def checked_by_another(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-W", "ignore", "-c", third_party(), str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_a_dozen_lines_of_python_verify_an_export(store: Path, tmp_path: Path) -> None:
    assert len(third_party().split("\n\n")[1].splitlines()) <= 12
    out = tmp_path / "journal.jsonl"
    typed("export", "--db", store, "--out", out)
    assert checked_by_another(out).stdout.startswith("holds up to 7 ")
    lines = out.read_text(encoding="utf-8").splitlines()
    for spoilt in (
        [*lines[:2], lines[2].replace("60", "90", 1), *lines[3:]],
        [*lines[:2], *lines[3:]],
        [*lines[:2], lines[3], lines[2], *lines[4:]],
        [*lines[:2], lines[2].replace('"command"', '"lost"', 1), *lines[3:]],
    ):
        out.write_text("\n".join(spoilt) + "\n", encoding="utf-8")
        assert "is not what was written" in checked_by_another(out).stderr


def test_an_export_of_a_damaged_journal_is_whole_and_convicts_itself(store: Path, tmp_path: Path) -> None:
    sql = "UPDATE journal SET body = CAST(x'ff7b0a22' AS TEXT) WHERE seq = 4"
    out = tmp_path / "journal.jsonl"
    typed("export", "--db", changed(store, tmp_path, sql), "--out", out)
    assert [json.loads(line)["seq"] for line in out.read_text(encoding="utf-8").splitlines()] == [1, 2, 3, 4, 5, 6, 7]
    assert "entry 4 is not" in checked_by_another(out).stderr


def test_jsonl_says_the_time_as_people_and_as_machines_read_it(store: Path) -> None:
    _, out = typed("export", "--db", store, "--kind", "stop")
    (line,) = out.decode().splitlines()
    entry = json.loads(line)
    assert (entry["at"], entry["at_ms"]) == ("2026-11-22T14:00:00.000+07:00", NOW + 6 * 3_600_000)
    assert list(entry) == ["seq", "at", "at_ms", "kind", "body", "prev", "hash"]


def test_a_spreadsheet_reads_vietnamese_and_runs_nothing(store: Path) -> None:
    _, out = typed("export", "--db", store, "--as", "csv")
    assert out.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(out.decode("utf-8-sig"), newline="")))
    assert [int(row["seq"]) for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert "lễ hội" in rows[2]["what"]
    assert json.loads(rows[2]["body"])["asked"] == "lễ hội"
    assert not [value for row in rows for value in row.values() if value.startswith(("=", "+", "-", "@"))]
    assert [cell(text) for text in ("=1+1", "+1", "-1", "@a", "\t=1", "1-1", "")] == [
        "'=1+1", "'+1", "'-1", "'@a", "'\t=1", "1-1", "",
    ]  # fmt: skip


def test_a_file_gets_its_name_when_it_is_whole(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "journal.csv"
    out.write_text("older", encoding="utf-8")
    copy = changed(store, tmp_path, "DROP TABLE journal")
    with pytest.raises(GatewayError):
        typed("export", "--db", copy, "--as", "csv", "--out", out)
    assert out.read_text(encoding="utf-8") == "older"
    assert [file.name for file in tmp_path.iterdir() if ".part" in file.name] == []
    with pytest.raises(BadArgument, match="cannot be written"):
        typed("export", "--db", store, "--out", tmp_path / "no" / "where.jsonl")


# --- the printed record ---------------------------------------------------------------------------------------------


def printed(store: Path, only: str | None = None, **choice: Any) -> str:
    out = io.StringIO()
    with journal.opened(store) as connection:
        write_report(connection, journal.Choice(**choice), only, out, NOW + 86_400_000)
    return out.getvalue()


def test_the_printed_record_is_as_agreed(store: Path) -> None:
    """To renew it after a change that is meant: gateway journal export --as html, and look at it in a browser."""
    assert printed(store, "V-20261122-0001") == GOLDEN.read_text(encoding="utf-8")


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data


def test_the_printed_record_runs_nothing_loads_nothing_and_says_everything(store: Path) -> None:
    page = Page(printed(store))
    assert page.open == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "a", "form"}
    assert not [name for name in page.attributes if name.startswith("on") or name in {"src", "href", "style"}]
    assert page.words.count(NASTY) == 1, "shown as it was written"
    for said in ("KCN Nghi Sơn", "≤ 75 mg/L", "QCVN 40:2011/BTNMT", "ww-A@2026-01", "GPMT 123/BTNMT", "1 h 30 min 5 s",
                 "22/11/2026 08:00:00 +07:00", "81.4 mg/L", "3 / 4 (75.0 %)", "88.9 ▲", "01: hiệu chuẩn / calibrating",
                 "cam-1/08-25.mp4", "Trần Thị Bích", "Chuỗi nhật ký nguyên vẹn", "Người lập", "V-odd"):  # fmt: skip
        assert said in page.words
    with journal.opened(store) as connection:
        hashes = [row.hash for row in journal.entries(connection, journal.Choice(kinds={"violation"}))]
    assert [hash_ for hash_ in hashes if hash_ not in page.words] == []


def test_a_broken_chain_is_printed_on_every_record(store: Path, tmp_path: Path) -> None:
    words = Page(printed(changed(store, tmp_path, "UPDATE journal SET at_ms = 1 WHERE seq = 3"))).words
    assert words.count("CHUỖI NHẬT KÝ ĐÃ BỊ SỬA HOẶC HỎNG") == 2
    assert "mục 3: mục này không còn như lúc ghi" in words


def test_a_violation_is_printed_whole_when_any_of_it_is_in_the_time(store: Path) -> None:
    words = Page(printed(store, from_ms=NOW + 4 * 3_600_000, to_ms=NOW + 4 * 3_600_000)).words
    assert "đã mở / opened" in words
    assert "đã kết thúc / closed" in words
    assert "V-odd" not in words
    assert "Không có vi phạm nào" in Page(printed(store, "V-none")).words


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"id": ""}, "has a id"),
        ({"state": ViolationState.CLOSED}, "without an end"),
        ({"state": ViolationState.ACKNOWLEDGED}, "by nobody"),
        ({"n": 9}, "more readings"),
        ({"end_ms": NOW - 1}, "before it starts"),
        ({"limit": Limit(op="=", value=1, over_s=0, basis="x", clause="", profile="x")}, "compares nothing"),
        ({"limit": Limit(op="<", value=1, over_s=0, basis="", clause="", profile="x")}, "where it comes from"),
        ({"readings": [Measured(0, 1, 1.0, "good")] * 501}, "500 readings"),
    ],
)
def test_a_violation_that_cannot_be_is_not_made(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        violation(**{"state": ViolationState.OPENED, **more})


def test_a_violation_comes_out_of_the_journal_as_it_went_in() -> None:
    made = violation(ViolationState.OPENED)
    body = json.loads(json.dumps(made.body()))
    assert Violation.of({**body, "of_the_future": 1}) == made
    assert (body["completeness"], body["duration_s"]) == (0.75, None)
    with pytest.raises(ValueError, match="no violation"):
        Violation.of({"id": "x"})
