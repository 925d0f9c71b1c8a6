"""The consumer's books: tables of what comes in and what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.ioc.ledger import GatewayBook, Ledger
from gateway.uplink.encode import packed

GW, EP = "38-test-01", "7c41f00d"


def batch(*rids: int, ep: str = EP, **extra: Any) -> bytes:
    records = [{"rid": rid, "pt": "a", "ind": "b", "t1": rid, "v": rid, "q": "good", **extra} for rid in rids]
    return json.dumps({"s": "tele/1", "gw": GW, "ep": ep, "m": records}).encode()


def state(online: bool, sid: int, lo: int = 1, hi: int = 0) -> bytes:
    born = {"ep": EP, "rid_lo": lo, "rid_hi": hi} if online else {}
    return json.dumps({"s": "state/1", "online": online, "sid": sid, **born}).encode()


def fed(*messages: tuple[str, bytes]) -> GatewayBook:
    ledger = Ledger()
    for kind, payload in messages:
        ledger.take(f"ioc/v1/{GW}/{kind}", payload)
    return ledger.book(GW)


@pytest.mark.parametrize(
    ("batches", "span", "gaps", "duplicates"),
    [
        ([(1, 2, 3)], (1, 3), [], 0),
        ([(1, 2, 3)], (1, 5), [(4, 5)], 0),
        ([(1, 2), (5, 6), (2, 5)], (1, 6), [(3, 4)], 2),
        ([(3, 4), (1, 2)], (1, 4), [], 0),
        ([(8, 9)], (5, 9), [(5, 7)], 0),
        ([], (1, 0), [], 0),
        ([], (4, 6), [(4, 6)], 0),
        ([(1, 2)], (1, 1), [], 0),
    ],
)
def test_gaps_and_duplicates(
    batches: list[tuple[int, ...]], span: tuple[int, int], gaps: list[tuple[int, int]], duplicates: int
) -> None:
    book = fed(*[("tele/live", batch(*rids)) for rids in batches], ("state", state(True, 1, *span)))
    assert (book.gaps(), book.duplicates) == (gaps, duplicates)


def test_a_new_store_starts_new_books() -> None:
    book = fed(("tele/live", batch(1, 2)), ("tele/live", batch(1, 2, ep="ffffffff")))
    assert (book.records, book.duplicates) == (4, 0)


def test_a_historical_or_older_record_never_becomes_the_current_value() -> None:
    book = fed(("tele/live", batch(5)), ("tele/back", batch(9, h=True)), ("tele/live", batch(3)))
    assert [record["v"] for record in book.latest.values()] == [5]
    assert (book.records, book.historical) == (3, 1)


def test_tags_make_their_own_series() -> None:
    book = fed(("tele/live", batch(1, tg={"cls": "bus"})), ("tele/live", batch(2, tg={"cls": "car"})))
    assert {key[2]: record["v"] for key, record in book.latest.items()} == {(("cls", "bus"),): 1, (("cls", "car"),): 2}


def test_the_late_will_of_an_old_connection_is_ignored() -> None:
    assert fed(("state", state(True, 7)), ("state", state(False, 6))).online is True
    assert fed(("state", state(True, 7)), ("state", state(False, 7))).online is False
    assert fed().online is None


def test_a_heartbeat_moves_the_span() -> None:
    beat = json.dumps({"s": "hb/1", "ep": EP, "sid": 1, "rid_lo": 2, "rid_hi": 4}).encode()
    assert fed(("state", state(True, 1)), ("tele/live", batch(2, 3)), ("hb", beat)).gaps() == [(4, 4)]


def test_compressed_batches_are_read_and_garbage_is_counted_not_raised() -> None:
    ledger = Ledger()
    ledger.take(f"ioc/v1/{GW}/tele/live", packed(batch(*range(1, 50))))
    for garbage in (b"", b"\xff", b"[]", b"\x1f\x8b1", b"{"):
        assert ledger.take(f"ioc/v1/{GW}/tele/live", garbage) is None
    assert ledger.take("other/topic", b"{}") is None
    assert (ledger.book(GW).records, ledger.unreadable) == (49, 5)


def test_an_outcome_counts_whichever_copy_comes() -> None:
    ledger = Ledger()
    durable = {"rid": 1, "pt": "gw", "ind": "gw.command", "t1": 5, "v": "applied", "q": "good",
               "p": {"id": "a", "res": [], "late_ms": 4}}  # fmt: skip
    ledger.take(f"ioc/v1/{GW}/tele/live", json.dumps({"s": "tele/1", "ep": EP, "m": [durable]}).encode())
    ledger.take(f"ioc/v1/{GW}/cmd/res", b'{"s":"out/1","id":"b","st":"failed","at":6}')
    assert {key: outcome["st"] for key, outcome in ledger.outcomes.items()} == {"a": "applied", "b": "failed"}
    assert ledger.outcomes["a"]["late_ms"] == 4


def head(kind: str, seq: int, digit: str, sid: int = 1, ep: str = EP) -> tuple[str, bytes]:
    said = {"sid": sid, "ep": ep, "rid_lo": 1, "rid_hi": 0, "journal": {"seq": seq, "head": digit * 64}}
    return kind, json.dumps({"s": f"{kind}/1", **({"online": True} if kind == "state" else {}), **said}).encode()


@pytest.mark.parametrize(
    ("messages", "broken"),
    [
        ([head("hb", 1, "a"), head("hb", 1, "a"), head("hb", 5, "b")], []),
        ([head("hb", 5, "b"), head("hb", 3, "a")], ["it went back from entry 5 to 3"]),
        ([head("hb", 5, "b"), head("hb", 5, "c")], [f"entry 5 was {'b' * 16} and is {'c' * 16}"]),
        # A new store, or an old one put back: the journal is one, whatever store it lies in.
        ([head("hb", 5, "b"), head("state", 2, "a", sid=1, ep="ffffffff"), head("hb", 2, "a", ep="ffffffff")],
         ["it went back from entry 5 to 2"]),
        ([head("hb", 5, "b", sid=4), head("state", 2, "a", sid=5)], ["it went back from entry 5 to 2"]),
        # What the broker retained may be older than what was heard since.
        ([head("state", 2, "a"), head("hb", 5, "b"), head("state", 2, "a")], []),
        ([head("state", 2, "a"), head("hb", 5, "b"), head("state", 2, "c")],
         [f"entry 2 was {'a' * 16} and is {'c' * 16}"]),
    ],
)  # fmt: skip
def test_a_journal_that_contradicts_itself_is_noticed(messages: list[tuple[str, bytes]], broken: list[str]) -> None:
    assert fed(*messages).journal.broken == broken


def test_the_heads_of_a_journal_are_kept_to_verify_it_with() -> None:
    assert fed(head("state", 1, "a"), head("hb", 4, "b")).journal.heads == {1: "a" * 64, 4: "b" * 64}


def alarm(rid: int, state: str, at_ms: int, alarm_id: str = "a-1", **extra: Any) -> tuple[str, bytes]:
    said = {"id": alarm_id, "st": state, "lvl": 1, "opened": 1, "text": {"vi": "", "en": ""}}
    record = {"rid": rid, "pt": "a", "ind": "gw.alarm", "t1": at_ms, "v": 1, "q": "good", "al": said, **extra}
    return "tele/live", json.dumps({"s": "tele/1", "gw": GW, "ep": EP, "m": [record]}).encode()


@pytest.mark.parametrize(
    ("messages", "still"),
    [
        ([alarm(1, "raised", 5)], ["raised"]),
        ([alarm(1, "raised", 5), alarm(2, "acknowledged", 6)], ["acknowledged"]),
        ([alarm(2, "acknowledged", 6), alarm(1, "raised", 5)], ["acknowledged"]),
        ([alarm(1, "raised", 5), alarm(2, "cleared", 6)], []),
        ([alarm(2, "cleared", 6), alarm(1, "raised", 5, h=True)], []),
        ([alarm(1, "raised", 5, h=True)], ["raised"]),
        ([alarm(1, "raised", 5), alarm(2, "raised", 5, "a-2")], ["raised", "raised"]),
        ([alarm(1, "raised", 5, al={})], []),
    ],
)
def test_an_alarm_is_what_its_newest_message_says_in_whatever_order_they_come(
    messages: list[tuple[str, bytes]], still: list[str]
) -> None:
    assert [record["al"]["st"] for record in fed(*messages).open_alarms()] == still
