"""The journal's promises: what was written can be proved, whatever was done to the file afterwards."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import struct
import tracemalloc
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buffer import journal
from buffer.chain import Entry, canonical, link
from buffer.group import Note
from buffer.journal import Broken, Choice, Fault, Verdict, verify
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.command import CommandState, How, Outcome, TargetResult
from gateway.model.errors import StoreError
from tests.kit.clock import ManualClock

NOW = 1_795_322_220_000
ENTRIES = 12
_names = count()


def body(number: int) -> dict[str, Any]:
    return {"id": f"cmd-{number:04}", "by": "Nguyễn Văn Á", "v": number / 7, "list": [1, None, True, {"b": 2, "a": ""}]}


async def written(path: Path, entries: int = ENTRIES, cut_to: int = 0) -> None:
    clock = ManualClock(NOW)
    async with Store(path, BufferSettings(), clock) as store:
        for number in range(1, entries + 1):
            store.journal.note("command" if number % 3 else "config", body(number))
            clock.advance(1)
        await store.flush()
        if cut_to:
            await store.journal.cut(cut_to)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import asyncio

    path = tmp_path_factory.mktemp("journal") / "store.sqlite3"
    asyncio.run(written(path))
    return path


def copied(path: Path) -> Path:
    return Path(shutil.copy(path, path.with_name(f"copy-{next(_names)}.sqlite3")))


def judged(path: Path, heads: dict[int, set[str]] | None = None) -> Verdict:
    with journal.opened(path) as connection:
        return verify(connection, heads)


def rows(path: Path) -> list[journal.Row]:
    with journal.opened(path) as connection:
        return list(journal.entries(connection, Choice()))


def after(path: Path, *statements: tuple[str, tuple[Any, ...]]) -> Path:
    """A copy of the store to which this was done."""
    changed = copied(path)
    connection = sqlite3.connect(changed)
    with connection:
        for sql, values in statements:
            connection.execute(sql, values)
    connection.close()
    return changed


def forged(entries: list[Entry]) -> list[tuple[str, tuple[Any, ...]]]:
    """Statements that leave these entries and no others."""
    inserts = [("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", tuple(entry)) for entry in entries]
    return [("DELETE FROM journal", ()), *inserts]


# --- canonical JSON -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "text"),
    [  # RFC 8785, appendix B
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("ffefffffffffffff", "-1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555554", "333333333.33333325"),
        ("41b3de4355555555", "333333333.3333333"),
        ("41b3de4355555556", "333333333.3333334"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_numbers_are_those_of_the_rfc(bits: str, text: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(number) == text


def test_texts_are_those_of_the_rfc() -> None:
    """Section 3.2.2."""
    given_ = r"""{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"""
    numbers = "[333333333.3333333,1e+30,4.5,0.002,1e-27]"
    string = r"""€$\u000f\nA'B\"\\\\\"/"""
    wanted = f'{{"literals":[null,true,false],"numbers":{numbers},"string":"{string}"}}'
    assert canonical(json.loads(given_)) == wanted


def test_the_order_of_keys_is_that_of_the_rfc() -> None:
    """Section 3.2.3."""
    order = ["\r", "1", "\u0080", "ö", "€", "😀", "\ufb33"]
    assert list(json.loads(canonical(dict.fromkeys(sorted(order))))) == order


LETTERS = st.characters()
ENCODABLE = st.characters(codec="utf-8")  # all but half a surrogate pair, which JSON on a wire cannot carry


def values(numbers: st.SearchStrategy[Any], letters: st.SearchStrategy[str] = LETTERS) -> st.SearchStrategy[Any]:
    texts = st.text(letters, max_size=6)
    return st.recursive(
        st.none() | st.booleans() | numbers | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    )


@given(values(st.integers(-(2**53), 2**53) | st.floats(-(2.0**53), 2.0**53), ENCODABLE))
def test_a_value_has_one_canonical_text(value: Any) -> None:
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text


@given(values(st.integers() | st.floats()))
def test_no_value_is_refused(value: Any) -> None:
    json.loads(canonical(value).encode())


# --- whatever is done to it is found --------------------------------------------------------------------------------


def test_an_untouched_journal_holds(untouched: Path) -> None:
    verdict = judged(untouched)
    assert (verdict.holds, verdict.entries, verdict.first, verdict.head[0]) == (True, ENTRIES, 1, ENTRIES)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, ENTRIES), st.sampled_from(["kind", "body", "hash"]), st.integers(0, 10**6), st.integers(1, 255))
def test_a_single_changed_byte_of_an_entry_is_found(
    untouched: Path, seq: int, column: str, place: int, change: int
) -> None:
    changed = copied(untouched)
    connection = sqlite3.connect(changed)
    sql = f"SELECT CAST({column} AS BLOB) FROM journal WHERE seq = ?"  # noqa: S608  # one of three names
    text = bytearray(connection.execute(sql, (seq,)).fetchone()[0])
    text[place % len(text)] ^= change
    with connection:
        sql = f"UPDATE journal SET {column} = CAST(? AS TEXT) WHERE seq = ?"  # noqa: S608  # one of three names
        connection.execute(sql, (bytes(text), seq))
    connection.close()
    verdict = judged(changed)
    assert verdict.broken[0] == Broken(seq, Fault.CHANGED)
    with journal.opened(changed) as reader:  # and it can still be shown
        assert len(list(journal.entries(reader, Choice()))) == ENTRIES
    changed.unlink()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, ENTRIES), st.integers(0, 10**6), st.integers(1, 255))
def test_a_byte_changed_in_the_file_itself_is_found(untouched: Path, seq: int, place: int, change: int) -> None:
    file = bytearray(untouched.read_bytes())
    text = rows(untouched)[seq - 1].body.encode()
    # SQLite leaves older copies of a row in unused parts of a page.
    for found in re.finditer(re.escape(text), bytes(file)):
        file[found.start() + place % len(text)] ^= change
    changed = copied(untouched)
    changed.write_bytes(file)
    assert judged(changed).broken[0] == Broken(seq, Fault.CHANGED)
    changed.unlink()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, ENTRIES), st.integers(-(2**62), 2**62).filter(bool))
def test_a_changed_time_is_found(untouched: Path, seq: int, by: int) -> None:
    changed = after(untouched, ("UPDATE journal SET at_ms = at_ms + ? WHERE seq = ?", (by, seq)))
    assert judged(changed).broken[0] == Broken(seq, Fault.CHANGED)
    changed.unlink()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, ENTRIES), st.one_of(st.integers(-(2**63), 0), st.integers(ENTRIES + 2, 2**63 - 1)))
def test_a_changed_number_is_found(untouched: Path, seq: int, to: int) -> None:
    changed = after(untouched, ("UPDATE journal SET seq = ? WHERE seq = ?", (to, seq)))
    assert not judged(changed).holds
    changed.unlink()


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_entries_that_change_places_are_found(untouched: Path, data: st.DataObject) -> None:
    one, other = data.draw(st.lists(st.integers(1, ENTRIES), min_size=2, max_size=2, unique=True).map(sorted))
    changed = after(
        untouched,
        ("UPDATE journal SET seq = -1 WHERE seq = ?", (one,)),
        ("UPDATE journal SET seq = ? WHERE seq = ?", (one, other)),
        ("UPDATE journal SET seq = ? WHERE seq = -1", (other,)),
    )
    assert judged(changed).broken[0].seq == one
    changed.unlink()


@pytest.mark.parametrize("seq", range(1, ENTRIES))
def test_a_removed_entry_is_named(untouched: Path, seq: int) -> None:
    verdict = judged(after(untouched, ("DELETE FROM journal WHERE seq = ?", (seq,))))
    assert (verdict.broken, verdict.faults) == ([Broken(seq, Fault.MISSING, seq)], 1)


@pytest.mark.parametrize("seq", range(1, ENTRIES))
def test_a_removed_entry_is_found_also_if_the_rest_is_renumbered(untouched: Path, seq: int) -> None:
    changed = after(
        untouched,
        ("DELETE FROM journal WHERE seq = ?", (seq,)),
        ("UPDATE journal SET seq = -seq WHERE seq > ?", (seq,)),
        ("UPDATE journal SET seq = -seq - 1 WHERE seq < 0", ()),
    )
    assert judged(changed).broken[0] == Broken(seq, Fault.CHANGED)


@pytest.mark.parametrize("well_made", [True, False])
@pytest.mark.parametrize("seq", range(2, ENTRIES + 1))
def test_an_entry_put_in_between_is_named(untouched: Path, seq: int, well_made: bool) -> None:
    """Its hash may even be right for its place."""
    entry = link(seq, Note(NOW, "command", '{"id":"never-asked"}'), rows(untouched)[seq - 2].hash)
    entry = entry if well_made else entry._replace(hash="0" * 64)
    changed = after(
        untouched,
        ("UPDATE journal SET seq = -seq WHERE seq >= ?", (seq,)),
        ("UPDATE journal SET seq = -seq + 1 WHERE seq < 0", ()),
        ("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", tuple(entry)),
    )
    assert judged(changed).broken[0] == Broken(seq, Fault.PUT_IN)


def test_columns_cannot_be_moved_against_each_other(untouched: Path) -> None:
    """The same bytes under the hash, but another body: what stands in the columns is what counts."""
    inner = '{"a":{"b":1,"kind":"x"}}'
    true = link(1, Note(NOW, "command", inner), "")
    moved = true._replace(body='{"a":{"b":1', kind='x"}},"kind":"command')
    assert judged(after(untouched, *forged([true]))).holds
    assert judged(after(untouched, *forged([moved]))).broken == [Broken(1, Fault.CHANGED)]


# --- what only the centre can see -----------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0, 1, ENTRIES - 1])
def test_an_end_that_was_taken_off_shows_against_the_heads(untouched: Path, left: int) -> None:
    told = {row.seq: {row.hash} for row in rows(untouched)}
    shorter = after(untouched, ("DELETE FROM journal WHERE seq > ?", (left,)))
    assert judged(shorter).holds, "nobody can see it from inside"
    verdict = judged(shorter, told)
    assert verdict.broken == [Broken(seq, Fault.ENDS_BEFORE) for seq in range(left + 1, ENTRIES + 1)]
    assert verdict.heads_met == left


def test_a_journal_that_was_rewritten_whole_shows_against_the_heads(untouched: Path) -> None:
    told = {row.seq: {row.hash} for row in rows(untouched)[::4]}
    entries: list[Entry] = []
    for row in rows(untouched):
        text = row.body.replace("cmd-0006", "cmd-9999")
        entries.append(link(row.seq, Note(row.at_ms, row.kind, text), entries[-1].hash if entries else ""))
    rewritten = after(untouched, *forged(entries))
    assert judged(rewritten).holds, "nobody can see it from inside"
    verdict = judged(rewritten, told)
    assert (verdict.broken, verdict.heads_met) == ([Broken(9, Fault.ANOTHER)], 2)


def test_all_heads_of_an_honest_journal_are_met(untouched: Path) -> None:
    verdict = judged(untouched, {row.seq: {row.hash} for row in rows(untouched)})
    assert (verdict.holds, verdict.heads_met, verdict.heads_cut) == (True, ENTRIES, 0)


# --- cutting --------------------------------------------------------------------------------------------------------


async def test_a_cut_journal_is_bounded_says_so_and_still_holds(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    await written(path, 200)
    told = {row.seq: {row.hash} for row in rows(path)}
    async with Store(path, BufferSettings(), ManualClock(NOW)) as store:
        assert await store.journal.cut(10**6) == 0
        gone = await store.journal.cut(20_000)
        assert gone > 50
        assert await store.journal.cut(20_000) == 0, "one cut is enough for a while"
        for number in range(5):
            store.journal.note("command", body(number))
        await store.flush()
        head = store.journal.head()
    verdict = judged(path, told)
    assert (verdict.holds, verdict.anchor[0], verdict.first) == (True, gone, gone + 1)
    assert (verdict.head, verdict.heads_cut, verdict.heads_met) == (head, gone - 1, 200 - gone + 1)
    cut = next(row for row in rows(path) if row.kind == "cut")
    assert (cut.content["from"], cut.content["to"], {cut.content["head"]}) == (1, gone, told[gone])
    assert sum(len(row.body.encode()) + 120 for row in rows(path)) < 20_000


async def test_a_journal_is_cut_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    async with Store(path, BufferSettings(), ManualClock(NOW)) as store:
        for turn in range(20):
            for number in range(40):
                store.journal.note("command", body(turn * 40 + number))
            await store.flush()
            await store.journal.cut(8000)
            assert judged(path).holds
    assert [row.kind for row in rows(path)].count("cut") <= 3


async def test_even_a_journal_of_one_huge_entry_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    async with Store(path, BufferSettings(), ManualClock(NOW)) as store:
        store.journal.note("store", {"what": "x" * 5000})
        await store.flush()
        assert await store.journal.cut(1000) == 1
        store.journal.note("store", {"what": "next"})
        await store.flush()
    assert [(row.seq, row.kind) for row in rows(path)] == [(2, "cut"), (3, "store")]
    assert judged(path).holds


async def test_a_cut_that_no_entry_speaks_of_is_found(tmp_path: Path, untouched: Path) -> None:
    last = rows(untouched)[4]
    anchor = canonical({"seq": 5, "hash": last.hash})
    removed = after(
        untouched,
        ("DELETE FROM journal WHERE seq <= 5", ()),
        ("INSERT OR REPLACE INTO meta VALUES ('journal_cut', ?)", (anchor,)),
    )
    assert judged(removed).broken == [Broken(5, Fault.CUT)]
    path = tmp_path / "store.sqlite3"
    await written(path, 200, cut_to=20_000)  # there was an honest one, for fewer
    first = rows(path)[0]
    anchor = canonical({"seq": first.seq, "hash": first.hash})
    more = after(
        path,
        ("DELETE FROM journal WHERE seq = ?", (first.seq,)),
        ("UPDATE meta SET value = ? WHERE key = 'journal_cut'", (anchor,)),
    )
    assert judged(path).holds
    assert judged(more).broken == [Broken(first.seq, Fault.CUT)]


async def test_an_entry_put_in_before_the_cut_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    await written(path, 200, cut_to=20_000)
    entry = link(3, Note(NOW, "command", "{}"), "")
    more = after(path, ("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", tuple(entry)))
    assert judged(more).broken == [Broken(3, Fault.PUT_IN)]


@pytest.mark.parametrize("anchor", ["", "null", "{}", '{"seq": "x", "hash": 5}', "not json"])
async def test_an_unreadable_anchor_is_no_anchor(tmp_path: Path, anchor: str) -> None:
    path = tmp_path / "store.sqlite3"
    await written(path, 200, cut_to=20_000)
    verdict = judged(after(path, ("UPDATE meta SET value = ? WHERE key = 'journal_cut'", (anchor,))))
    assert verdict.broken[0].fault is Fault.MISSING


async def test_a_cut_while_it_is_read_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.sqlite3"
    await written(path, 300)
    monkeypatch.setattr(journal, "STEP", 10)
    original, steps = journal.cut_at, count()

    def cut_at(connection: sqlite3.Connection) -> tuple[int, str]:
        found = original(connection)
        if next(steps) == 3:  # the daemon cuts while the fourth step is read; the fifth sees it
            _cut_by_another(path, 250)
        return found

    monkeypatch.setattr(journal, "cut_at", cut_at)
    verdict = judged(path)
    assert (verdict.holds, verdict.anchor[0], verdict.head[0]) == (True, 250, 301)


def _cut_by_another(path: Path, upto: int) -> None:
    """As `Chain.cut` does it, from another connection."""
    connection = sqlite3.connect(path)
    newest = "SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1"
    with connection:
        (hash_,) = connection.execute("SELECT hash FROM journal WHERE seq = ?", (upto,)).fetchone()
        seq, head = connection.execute(newest).fetchone()
        entry = link(seq + 1, Note(NOW, "cut", canonical({"from": 1, "to": upto, "head": hash_})), head)
        connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", tuple(entry))
        connection.execute("DELETE FROM journal WHERE seq <= ?", (upto,))
        anchor = canonical({"seq": upto, "hash": hash_})
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('journal_cut', ?)", (anchor,))
    connection.close()


# --- reading --------------------------------------------------------------------------------------------------------


def test_entries_are_chosen_by_kind_and_time(untouched: Path) -> None:
    with journal.opened(untouched) as connection:
        choice = Choice(kinds={"config"}, from_ms=NOW + 2000, to_ms=NOW + 8000)
        assert [row.seq for row in journal.entries(connection, choice)] == [3, 6, 9]
        assert [row.seq for row in journal.entries(connection, choice, newest_first=True)] == [9, 6, 3]
        found = list(journal.entries(connection, Choice()))
    assert [row.prev for row in found] == ["", *(row.hash for row in found[:-1])]


def test_a_store_of_an_old_gateway_says_that_it_kept_no_journal() -> None:
    old = Path(__file__).parent / "stores" / "v1.sqlite3"
    with pytest.raises(StoreError, match="no journal"), journal.opened(old):
        pass


def test_verifying_needs_little_memory_for_much(tmp_path: Path, untouched: Path) -> None:
    """20 MB of journal, 2 MB at a time."""
    big = copied(untouched)
    connection = sqlite3.connect(big)

    def entries() -> Iterator[Entry]:
        entry = link(1, Note(NOW, "command", canonical({"pad": "x" * 1000})), "")
        for seq in range(2, 20_001):
            yield entry
            entry = link(seq, Note(NOW, "command", entry.body), entry.hash)

    with connection:
        connection.execute("DELETE FROM journal")
        connection.executemany("INSERT INTO journal VALUES (?, ?, ?, ?, ?)", entries())
    connection.close()
    tracemalloc.start()
    try:
        verdict = judged(big)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    big.unlink()
    assert (verdict.holds, verdict.entries) == (True, 19_999)
    assert peak < 8 * 2**20


# --- commands -------------------------------------------------------------------------------------------------------


def request(**more: Any) -> bytes:
    asked = {"id": "0197a3c2", "op": "light.set", "iss": "ioc-th", "by": "nguyen.van.a", "why": "lễ hội",
             "to": ["lamps/1", "lamps/2"], "arg": {"level": 60}}  # fmt: skip
    return json.dumps({**asked, **more}).encode()


async def finished(store: Store, outcome: Outcome, asked: bytes) -> None:
    await store.claims.claim(outcome.id, asked, NOW)
    await store.claims.finish(outcome, b"{}", [])


async def test_a_command_is_an_entry_with_who_what_and_what_became_of_it(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    result = TargetResult(target="lamps/1", want=60.0, got=58.5, how=How.READBACK, error="")
    outcome = Outcome(id="0197a3c2", state=CommandState.UNVERIFIED, at_ms=NOW, results=(result,), late_ms=840)
    async with Store(path, BufferSettings(), ManualClock(NOW)) as store:
        await finished(store, outcome, request())
    assert [(row.kind, row.content) for row in rows(path)] == [
        (
            "command",
            {"id": "0197a3c2", "op": "light.set", "iss": "ioc-th", "by": "nguyen.van.a", "asked": "lễ hội",
             "arg": {"level": 60}, "state": "unverified", "late_ms": 840, "why": "",
             "res": [{"to": "lamps/1", "want": 60, "got": 58.5, "how": "readback"}]},
        )
    ]  # fmt: skip


async def test_an_interrupted_command_still_says_who_asked_for_what(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    async with Store(path, BufferSettings(), ManualClock(NOW)) as store:
        await store.claims.claim("0197a3c2", request(), NOW)
    async with Store(path, BufferSettings(), ManualClock(NOW)) as store:
        (command_id,) = await store.claims.interrupted()
        await store.claims.finish(Outcome(id=command_id, state=CommandState.INTERRUPTED, at_ms=NOW), b"{}", [])
    content = rows(path)[0].content
    assert (content["state"], content["by"], content["op"]) == ("interrupted", "nguyen.van.a", "light.set")
    assert content["res"] == [{"to": "lamps/1"}, {"to": "lamps/2"}]


async def test_a_flood_of_refused_commands_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    minute = NOW - NOW % 60_000
    async with Store(path, BufferSettings(), ManualClock(NOW)) as store:
        for number in range(100):
            outcome = Outcome(id=f"bad-{number:05}", state=CommandState.REFUSED, at_ms=minute + number)
            await finished(store, outcome, request(id=f"bad-{number:05}"))
        await finished(store, Outcome(id="good-0001", state=CommandState.APPLIED, at_ms=minute + 200), request())
        later = Outcome(id="bad-later", state=CommandState.EXPIRED, at_ms=minute + 60_000)
        await finished(store, later, request(id="bad-later"))
    found = [row.content for row in rows(path)]
    assert [content.get("state") for content in found] == ["refused"] * 20 + ["applied", "refused", "expired"]
    assert found[21] == {"state": "refused", "count": 80, "since": minute + 20, "until": minute + 99, "iss": ["ioc-th"]}


async def test_what_was_only_counted_is_noted_before_the_store_closes(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    async with Store(path, BufferSettings(), ManualClock(NOW)) as store:
        for number in range(25):
            outcome = Outcome(id=f"bad-{number:05}", state=CommandState.REFUSED, at_ms=NOW)
            await finished(store, outcome, request(id=f"bad-{number:05}"))
    assert rows(path)[-1].content["count"] == 5


@pytest.mark.parametrize(
    "hostile",
    [
        {"by": "x" * 100_000, "why": "y" * 100_000},
        {"arg": {"level": float("inf"), "n": 10**300, "deep": [[[[1]]]], "k" * 9999: "v" * 9999}},
        {"to": [f"lamps/{n}" for n in range(10_000)]},
        {"by": {"a": 1}, "arg": {}},
    ],
    ids=["long", "numbers", "many", "shapes"],
)
async def test_a_hostile_command_takes_little_of_the_journal(tmp_path: Path, hostile: dict[str, Any]) -> None:
    path = tmp_path / "store.sqlite3"
    async with Store(path, BufferSettings(), ManualClock(NOW)) as store:
        await finished(store, Outcome(id="0197a3c2", state=CommandState.REFUSED, at_ms=NOW), request(**hostile))
    (row,) = rows(path)
    assert len(row.body) < 5000
    assert judged(path).holds


# --- the daemon's end -----------------------------------------------------------------------------------------------


async def test_the_head_is_the_newest_committed_entry_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    async with Store(path, BufferSettings(), ManualClock(NOW)) as store:
        assert store.journal.head() == (0, "")
        store.journal.note("store", {"what": "begun"})
        assert store.journal.head() == (0, ""), "not before the commit"
        await store.flush()
        head = store.journal.head()
    assert head == (1, rows(path)[0].hash)
    async with Store(path, BufferSettings(), ManualClock(NOW)) as store:
        assert store.journal.head() == head
        assert await store.journal.last("start", "store") == ("store", {"what": "begun"})
        assert await store.journal.last("start") is None


async def test_a_kind_is_a_plain_word(tmp_path: Path) -> None:
    async with Store(tmp_path / "store.sqlite3", BufferSettings(), ManualClock(NOW)) as store:
        with pytest.raises(ValueError, match="no kind"):
            store.journal.note('x","prev":"', {})


class OutOfOrder:
    """A table whose tree is damaged so that what is asked for after an entry comes before it."""

    def execute(self, *_: object) -> OutOfOrder:
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [(5, 0, "stop", "{}", None, "")]

    def fetchone(self) -> None:
        return None


@pytest.mark.parametrize("newest_first", [True, False])
def test_entries_out_of_order_are_damage_and_not_without_end(newest_first: bool) -> None:
    with pytest.raises(sqlite3.DatabaseError, match="out of order"):
        list(journal.entries(OutOfOrder(), Choice(), newest_first=newest_first))  # type: ignore[arg-type]  # a stand-in
