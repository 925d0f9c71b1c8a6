"""The verbs that act on a store nobody has open: what they choose, what they ask first, what they say."""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from buffer.chosen import set_aside
from buffer.inspect import read_only
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.cli import app
from gateway.cli.buffer_target import confirmed
from gateway.model.clock import SystemClock
from gateway.model.errors import BadArgument, GatewayError, StoreBusy
from gateway.model.ports import Lane
from gateway.model.spans import Spans

SETTINGS = BufferSettings(commit_every_s=0.01, ballast_mb=0)


async def filled(path: Path) -> None:
    """Sixty records: 1..20 and 21..40 set aside for two reasons, 41..60 sent."""
    async with Store(path, SETTINGS, SystemClock()) as store:
        for number in range(3):
            point = b"a/b" if number else b"c/d"
            await store.append([b'"pt":"%b","ind":"x.y","t1":1,"v":%d,"q":"good"}' % (point, i) for i in range(20)])
            await store.flush()
        for reason in ("record-rejected: too large", "not authorised", ""):
            batch = await store.outbox.take(Lane.LIVE, 20, 65536)
            assert batch is not None
            if reason:
                await store.outbox.refuse(batch, reason)
            else:
                store.outbox.settle(batch)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    asyncio.run(filled(tmp_path / "s.sqlite3"))
    return tmp_path / "s.sqlite3"


def typed(*words: str | Path, fails: type[GatewayError] | None = None) -> Result:
    result = CliRunner().invoke(app, ["buffer", *map(str, words)])
    if fails is None:
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    else:
        assert isinstance(result.exception, fails), result.output
    return result


def answered(*words: str | Path) -> Any:
    return json.loads(typed(*words, "--json").stdout)


def aside(db: Path) -> list[tuple[int, int]]:
    with read_only(db) as connection:
        return list(Spans((row.lo, row.hi) for row in set_aside(connection)))


def waiting(db: Path) -> int:
    from buffer.inspect import summary

    with read_only(db) as connection:
        return int(summary(connection)["waiting"])


def test_without_a_choice_what_was_refused_is_listed_and_nothing_is_done(db: Path) -> None:
    listed = answered("retry", "--db", db)["set_aside"]
    assert [(row["lo"], row["hi"], row["n"], row["reason"]) for row in listed] == [
        (1, 20, 20, "record-rejected: too large"),
        (21, 40, 20, "not authorised"),
    ]
    out = typed("discard", "--db", db).stdout
    assert "1..20" in out
    assert "not authorised" in out
    assert "--reason" in out
    assert (aside(db), waiting(db)) == ([(1, 40)], 0)


def test_retry_takes_what_was_refused_for_a_reason(db: Path) -> None:
    out = typed("retry", "--db", db, "--reason", "Too Large").stdout
    assert "20 record(s)" in out
    assert "bản ghi chờ gửi lại" in out
    assert (aside(db), waiting(db)) == ([(21, 40)], 20)
    assert answered("retry", "--db", db, "--ids", "30-31,40") == {"records": 3}
    assert answered("retry", "--db", db, "--all") == {"records": 17}
    assert typed("retry", "--db", db).stdout.startswith("nothing is set aside / không có")


def test_discard_asks_first_and_saves_what_it_takes_away(db: Path, tmp_path: Path) -> None:
    refused = typed("discard", "--db", db, "--ids", "1-5", fails=BadArgument)
    assert "--yes" in str(refused.exception)
    saved = tmp_path / "saved.jsonl"
    result = answered("discard", "--db", db, "--ids", "1-5", "--yes", "--export", saved)
    assert result == {"records": 5, "export": str(saved)}
    lines = [json.loads(line) for line in saved.read_text(encoding="utf-8").splitlines()]
    assert [(line["record"]["rid"], line["reason"]) for line in lines] == [
        (rid, "record-rejected: too large") for rid in range(1, 6)
    ]
    assert (aside(db), waiting(db)) == ([(6, 40)], 1)
    typed("discard", "--db", db, "--all", "--yes", "--export", saved, fails=BadArgument)
    assert aside(db) == [(6, 40)], "what could not be saved is still there"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "done"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_at_a_terminal_the_question_is_asked(monkeypatch: pytest.MonkeyPatch, answer: str, done: bool) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    if done:
        confirmed("Discard? / Bỏ?", yes=False)
        return
    with pytest.raises(typer.Exit) as left:
        confirmed("Discard? / Bỏ?", yes=False)
    assert left.value.exit_code == 1


def test_replay_says_what_is_sent_again_and_what_is_not_held(db: Path) -> None:
    result = answered("replay", "--db", db, "--ids", "31-50,58-70")
    assert (result["records"], result["set_aside"], result["not_held"]) == (13, 10, [[61, 70]])
    assert waiting(db) == 13
    out = typed("replay", "--db", db, "--from", "-1h").stdout
    assert "7 record(s) are sent again" in out
    assert "13 wait" in out
    assert "40 are set aside" in out
    assert "không còn giữ: before" in out


def test_ids_beyond_all_that_is_held_are_named_and_cost_nothing(db: Path) -> None:
    result = answered("replay", "--db", db, "--ids", "1-999999999999999", "--yes")
    assert (result["records"], result["set_aside"], result["not_held"]) == (20, 40, [[61, 999999999999999]])


def test_a_time_to_come_is_called_that(db: Path) -> None:
    error = typed("replay", "--db", db, "--from", "2999-01-01", fails=BadArgument).exception
    assert "future" in str(error)


def test_rows_that_follow_one_another_for_one_reason_are_one_line(db: Path) -> None:
    typed("discard", "--db", db, "--ids", "5", "--yes")
    lines = typed("retry", "--db", db).stdout.splitlines()
    assert [line.split()[:2] for line in lines if ".." in line] == [["1..4", "4"], ["6..20", "15"], ["21..40", "20"]]
    typed("retry", "--db", db, "--ids", "6-8")
    typed("discard", "--db", db, "--ids", "9-10", "--yes")
    assert "11..20" in typed("retry", "--db", db).stdout


def test_replay_of_a_point_takes_the_commits_that_brought_it(db: Path) -> None:
    typed("retry", "--db", db, "--all")
    assert answered("replay", "--db", db, "--from", "-1h", "--point", "c/d")["asked"] == 20
    typed("replay", "--db", db, "--from", "-1h", "--point", "e/f", fails=BadArgument)


def test_much_is_sent_again_only_after_a_question(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.buffer_act.ASK_FROM", 10)
    typed("replay", "--db", db, "--ids", "41-60", fails=BadArgument)
    assert waiting(db) == 0
    assert answered("replay", "--db", db, "--ids", "41-60", "--yes")["records"] == 20


@pytest.mark.parametrize(
    "words",
    [
        ("replay",),
        ("replay", "--ids", "5", "--from", "-1h"),
        ("replay", "--ids", "9-3"),
        ("replay", "--ids", "all"),
        ("replay", "--from", "yesterday"),
        ("replay", "--from", "2026-01-02", "--to", "2026-01-01"),
        ("replay", "--from", "2001-01-01", "--to", "2001-01-02"),
        ("retry", "--ids", "900"),
        ("retry", "--reason", "no such"),
        ("discard", "--ids", "0"),
    ],
)
def test_a_choice_that_chooses_nothing_is_a_mistake(db: Path, words: tuple[str, ...]) -> None:
    typed(words[0], "--db", db, *words[1:], fails=BadArgument)
    assert (aside(db), waiting(db)) == ([(1, 40)], 0)


def test_a_store_that_something_has_open_is_left_alone(db: Path) -> None:
    lock = os.open(f"{db}.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = typed("retry", "--db", db, "--all", fails=StoreBusy)
        assert "site file" in str(refused.exception)
    finally:
        os.close(lock)
    assert aside(db) == [(1, 40)]


def test_compact_says_before_and_after(db: Path) -> None:
    result = answered("compact", "--db", db)
    assert 0 < result["after_bytes"] <= result["before_bytes"]
    assert "dung lượng" in typed("compact", "--db", db).stdout


def test_verify_is_silent_about_a_sound_store_and_ends_with_1_for_another(db: Path) -> None:
    sound = typed("verify", "--db", db)
    assert (sound.exit_code, "all sound / không có lỗi" in sound.stdout) == (0, True)
    asyncio.run(_without_a_row(db))
    broken = typed("verify", "--db", db)
    assert (broken.exit_code, "missing 21..40" in broken.stdout) == (1, True)
    found = CliRunner().invoke(app, ["buffer", "verify", "--db", str(db), "--json"])
    assert (found.exit_code, json.loads(found.stdout)["findings"]) == (1, [["missing", "21..40"]])


async def _without_a_row(db: Path) -> None:
    async with Store(db, SETTINGS, SystemClock()) as store:
        await store._writer.run(lambda connection: connection.execute("DELETE FROM bundle WHERE lo = 21").rowcount)


def test_backup_names_the_copy_by_store_and_time_and_it_can_be_acted_on(db: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    result = answered("backup", stick, "--db", db)
    copy = Path(result["file"])
    assert (copy.parent, copy.name.startswith("s-20"), result["newest_rid"]) == (stick, True, 60)
    assert typed("verify", "--db", copy).exit_code == 0
    assert answered("retry", "--db", copy, "--all") == {"records": 40}
    typed("backup", copy, "--db", db, fails=BadArgument)
    typed("backup", tmp_path / "nowhere" / "x.sqlite3", "--db", db, fails=BadArgument)
    typed("backup", stick, fails=BadArgument)


def test_a_file_copied_from_a_dead_box_with_its_log_can_be_acted_on(db: Path, tmp_path: Path) -> None:
    copy = tmp_path / "dead" / "box.sqlite3"
    copy.parent.mkdir()
    shutil.copy(db, copy)
    assert answered("retry", "--db", copy, "--all") == {"records": 40}
    assert aside(db) == [(1, 40)]


def test_what_is_no_store_is_not_made_one(tmp_path: Path) -> None:
    for verb in ("retry", "compact", "verify"):
        typed(verb, "--db", tmp_path / "none.sqlite3", fails=GatewayError)
    assert list(tmp_path.iterdir()) == []
