"""Promises of the encoder: whatever comes in, valid JSON of the agreed shape goes out."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.alarm import Alarm, AlarmState
from gateway.model.indicator import Indicator, Parts
from gateway.model.limit import Limit, LimitStatus, Verdict
from gateway.model.measure import Kind, Quality, Reason, Signal
from gateway.model.ports import Batch, Lane, Waiting
from gateway.uplink import encode
from tests.kit import schemas
from tests.uplink.kit import CATALOGUE, GW, PLACE, POWER

HEAD = encode.Letterhead(GW, "7c41f00d", 812, CATALOGUE.hash)
NOW = 1_795_322_228_123


def parsed(indicator: Indicator, rid: int = 1) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(b'{"rid":%d,' % rid + encode.record(indicator))
    return message


def batch_of(*records: bytes, lane: Lane = Lane.LIVE) -> Batch:
    body = b",".join(b'{"rid":%d,' % rid + record for rid, record in enumerate(records, 1))
    return Batch(lane, 1, len(records), len(records), body)


def test_a_reading_is_an_instant_with_only_what_it_has() -> None:
    assert parsed(Indicator(POWER, None, NOW, 12.5, Quality.GOOD), 7) == {
        "rid": 7, "pt": "meter/power", "ind": "light.power", "t1": NOW, "v": 12.5, "q": "good",
    }  # fmt: skip


def test_a_window_carries_its_parts_and_its_completeness() -> None:
    signal = replace(POWER, tags={"dir": "in", "cls": "motorcycle"})
    parts = Parts(58, 60, 725.0, 12.1, 12.9, 12.3, 12.4)
    window = Indicator(signal, NOW - 60_000, NOW, 12.5, Quality.UNCERTAIN, (Reason.PARTIAL, Reason.SPIKE), parts)
    assert parsed(window) == {
        "rid": 1, "pt": "meter/power", "ind": "light.power", "tg": {"cls": "motorcycle", "dir": "in"},
        "t0": NOW - 60_000, "t1": NOW, "v": 12.5, "n": 58, "ne": 60, "q": "uncertain", "f": ["partial", "spike"],
        "p": {"sum": 725.0, "min": 12.1, "max": 12.9, "first": 12.3, "last": 12.4},
    }  # fmt: skip


def test_an_empty_window_is_null_and_missing_never_zero() -> None:
    empty = Indicator(POWER, NOW - 60_000, NOW, None, Quality.MISSING, (Reason.NO_ANSWER,), Parts(0, 60))
    record = parsed(empty)
    assert (record["v"], record["q"], record["f"], record["n"], record["ne"]) == (None, "missing", ["no_answer"], 0, 60)
    assert "p" not in record


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_carry_is_sent_as_missing_with_a_reason(value: float) -> None:
    record = parsed(Indicator(POWER, None, NOW, value, Quality.GOOD))
    assert (record["v"], record["q"], record["f"]) == (None, "missing", ["device_fault"])
    said = parsed(Indicator(POWER, None, NOW, value, Quality.BAD, (Reason.OUT_OF_RANGE,)))
    assert (said["v"], said["q"], said["f"]) == (None, "missing", ["out_of_range"])


def test_parts_that_json_cannot_carry_are_left_out() -> None:
    window = Indicator(POWER, 0, NOW, 1.0, Quality.GOOD, (), Parts(2, 2, math.inf, 1.0, 1e308, math.nan, None))
    assert parsed(window)["p"] == {"min": 1.0, "max": 1e308}


class OwnFloat(float):
    """Like the floats of numeric libraries, whose repr is not a number."""

    def __repr__(self) -> str:
        return "OwnFloat(1.5)"


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (False, "false"), (41, "41"), (2**70, str(2**70)), (OwnFloat(1.5), "1.5"), (-0.0, "-0.0")],
)
def test_every_kind_of_value_keeps_its_type(value: Any, text: str) -> None:
    assert f'"v":{text},'.encode() in encode.record(Indicator(POWER, None, NOW, value, Quality.GOOD))


def test_a_signal_that_changed_under_its_id_is_not_sent_with_its_old_name() -> None:
    encode.record(Indicator(POWER, None, NOW, 1.0, Quality.GOOD))
    moved = replace(POWER, point="meter/other")
    assert parsed(Indicator(moved, None, NOW, 1.0, Quality.GOOD))["pt"] == "meter/other"


finite = st.floats(allow_nan=True, allow_infinity=True) | st.none()
values = st.floats() | st.integers() | st.booleans() | st.text() | st.none()
tags = st.dictionaries(st.text(max_size=8) | st.just("rid"), st.text(max_size=20), max_size=3)


@st.composite
def indicators(draw: st.DrawFn) -> Indicator:
    signal = Signal(
        id=draw(st.text(min_size=1, max_size=5)), point=draw(st.text(min_size=1)), indicator="a.b", unit="1",
        kind=Kind.MEAN, every_s=1, tags=draw(tags),
    )  # fmt: skip
    parts = draw(st.none() | st.builds(Parts, st.integers(0, 99), st.integers(0, 99), *[finite] * 5))
    reasons = tuple(draw(st.lists(st.sampled_from(Reason), max_size=3)))
    start = draw(st.none() | st.just(NOW - 60_000))
    return Indicator(signal, start, NOW, draw(values), draw(st.sampled_from(Quality)), reasons, parts)


@given(st.lists(indicators(), min_size=1, max_size=5), st.sampled_from(Lane))
def test_any_batch_is_valid_json_of_the_agreed_shape(found: list[Indicator], lane: Lane) -> None:
    payload = encode.envelope(HEAD, batch_of(*map(encode.record, found), lane=lane), NOW, synced=True)
    schemas.check(f"ioc/v1/{GW}/tele/live", payload)
    message = json.loads(payload)
    assert [record["rid"] for record in message["m"]] == list(range(1, len(found) + 1))
    assert [record.get("h", False) for record in message["m"]] == [lane is Lane.BACK] * len(found)


tricky = st.sampled_from(['},{"rid":', '{"rid":', '"},{"rid":1', '\\"},{\\"rid\\":', "{", '},{"h":true,"rid":'])


@given(st.lists(tricky | st.text(), min_size=1, max_size=4))
def test_marking_a_batch_historical_never_changes_what_a_text_says(texts: list[str]) -> None:
    records = [
        encode.record(Indicator(replace(POWER, tags={"rid": text}), None, NOW, text, Quality.GOOD)) for text in texts
    ]
    before = json.loads(b"[" + batch_of(*records).body + b"]")
    after = json.loads(b"[" + encode.historical(batch_of(*records).body) + b"]")
    assert after == [{"h": True, **record} for record in before]


def test_the_envelope_says_who_when_and_what() -> None:
    record = encode.record(Indicator(POWER, None, NOW, 1.0, Quality.GOOD))
    message = json.loads(encode.envelope(HEAD, batch_of(record, lane=Lane.URGENT), NOW, synced=False))
    del message["m"]
    assert message == {
        "s": "tele/1", "gw": GW, "ep": "7c41f00d", "sid": 812, "sent": NOW, "clk": "unsync", "cat": CATALOGUE.hash,
        "lane": "live", "lo": 1, "hi": 1, "n": 1,
    }  # fmt: skip


def test_packed_is_gzip_and_always_the_same() -> None:
    assert gzip.decompress(encode.packed(b"x" * 5000)) == b"x" * 5000
    assert encode.packed(b"x" * 5000) == encode.packed(b"x" * 5000)


def test_the_catalogue_names_every_point_in_both_languages_and_its_hash_follows_the_content() -> None:
    other = replace(POWER, id="a/b", tags={"cls": "bus"}, writable=True, name_en="", name_vi="")
    one = encode.catalogue(GW, "Điểm thử", PLACE, [POWER, other])
    again = encode.catalogue(GW, "Điểm thử", PLACE, [other, POWER])
    moved = encode.catalogue(GW, "Điểm thử", {**PLACE, "lat": 20.0}, [other, POWER])
    assert one == again
    assert one.hash != moved.hash
    schemas.check(f"ioc/v1/{GW}/cat", one.body)
    message = json.loads(one.body)
    assert message["cat"] == one.hash
    assert [point["id"] for point in message["points"]] == ["a/b", "meter/power"]
    assert message["points"][1]["name"] == {"en": "Power", "vi": "Công suất"}


def test_birth_death_and_heartbeat_follow_their_schemas() -> None:
    about = {"sw": "0.1.0", "caps": ["light"], "boot": "x"}
    messages = {
        "state": [
            encode.birth(HEAD, (1, 90), NOW, synced=True, about=about),
            encode.birth(HEAD, (1, 90), NOW, synced=True, about=encode.journal((812, "0a" * 32))),
            encode.death(GW, 812),
            encode.death(GW, 812, why="stopped", span=(1, 90)),
        ],
        "hb": [
            encode.heartbeat(HEAD, encode.Pulse((1, 0), [Waiting()] * 3), NOW, synced=False),
            encode.heartbeat(
                HEAD, encode.Pulse((1, 9), [Waiting(), Waiting(3, 90, NOW), Waiting()]), NOW, synced=True,
                health={"up_s": 4},
            ),
            encode.heartbeat(HEAD, encode.Pulse((1, 9), [Waiting()] * 3, (812, "0a" * 32)), NOW, synced=True),
        ],
    }  # fmt: skip
    for kind, payloads in messages.items():
        for payload in payloads:
            schemas.check(f"ioc/v1/{GW}/{kind}", payload)
    heads = [json.loads(payload).get("journal") for payload in messages["hb"]]
    assert heads == [None, None, {"seq": 812, "head": "0a" * 32}]  # an empty journal has none
    assert "ts" not in json.loads(messages["state"][2])  # a will is frozen at connect: a time in it would be a lie


def test_the_example_of_the_contract_follows_the_schema() -> None:
    schemas.check(
        f"ioc/v1/{GW}/tele/live",
        b"""{"s":"tele/1","gw":"38-ns-01","ep":"7c41f00d","sid":812,"sent":1795322228123,"clk":"sync","cat":"9f3a12cd",
        "lane":"live","lo":184467,"hi":184468,"n":2,"m":[
        {"rid":184467,"pt":"cam-02/l1","ind":"traffic.count","t0":1795322160000,"t1":1795322220000,"v":41,"n":598,
         "ne":600,"q":"good","tg":{"cls":"motorcycle"}},
        {"rid":184468,"pt":"level/1","ind":"water.level","t1":1795322220000,"v":null,"n":0,"ne":60,"q":"missing",
         "f":["no_answer"]}]}""",
    )


@pytest.mark.parametrize(
    "record",
    [
        '"v":0,"q":"missing"', '"v":null,"q":"good"', '"v":1,"q":"good","extra":1', '"v":1,"q":"fine"', '"q":"good"',
    ],
)  # fmt: skip
def test_the_schema_refuses_what_is_not_agreed(record: str) -> None:
    head = encode.envelope(HEAD, Batch(Lane.LIVE, 1, 1, 1, b'{"rid":1,"pt":"a","ind":"b","t1":1,%s}' % record.encode()),
                           NOW, synced=True)  # fmt: skip
    with pytest.raises(AssertionError):
        schemas.check(f"ioc/v1/{GW}/tele/live", head)


# --- derived indicators and alarms ------------------------------------------------------------------------------------

LIMIT = Limit(op="<=", value=50, over_s=86_400, basis="QCVN 05:2023/BTNMT", clause="Bảng 1", profile="qcvn-05@2023")
ALARM = Alarm(
    id="0mwr3x1c0-1k2m3n4", rule="flood/bridge", state=AlarmState.RAISED, level=2, signal="bridge/level",
    point="bridge/level", indicator="water.level", at_ms=NOW, opened_ms=NOW - 60_000, value=3.61, peak=3.7,
    peak_ms=NOW - 10_000, text_en="Flood II", text_vi="Báo động II", communes=("14797", "16654"),
)  # fmt: skip


def checked(*records: bytes) -> list[dict[str, Any]]:
    """Records as the centre gets them, held against the schema."""
    payload = encode.envelope(HEAD, batch_of(*records, lane=Lane.URGENT), NOW, synced=True)
    schemas.check(f"ioc/v1/{GW}/tele/live", payload)
    found: list[dict[str, Any]] = json.loads(payload)["m"]
    return found


def test_a_derived_indicator_says_what_came_of_its_limit_and_which_revision_it_is() -> None:
    derived = Indicator(
        POWER, NOW - 60_000, NOW, 54.25, Quality.GOOD, verdict=Verdict(LimitStatus.UNMET, LIMIT, 0.0850000001),
        detail={"dominant": "pm25", "none": None, "nan": math.nan, "hours": [1.0, math.inf]}, revision=2,
    )  # fmt: skip
    (record,) = checked(encode.record(derived))
    assert record["rv"] == 2
    assert record["lm"] == {"st": "unmet", "op": "<=", "lim": 50, "over": 86_400, "pf": "qcvn-05@2023", "dev": 0.085}
    assert record["d"] == {"dominant": "pm25", "none": None, "hours": [1.0, None]}


def test_an_unknown_verdict_is_said_and_never_left_out() -> None:
    verdict = Verdict(LimitStatus.UNKNOWN, LIMIT)
    (record,) = checked(encode.record(Indicator(POWER, None, NOW, None, Quality.MISSING, verdict=verdict)))
    assert (record["v"], record["lm"]["st"]) == (None, "unknown")
    assert "dev" not in record["lm"]


def test_what_says_nothing_of_itself_costs_no_bytes() -> None:
    plain = encode.record(Indicator(POWER, None, NOW, 1.0, Quality.GOOD))
    assert encode.record(Indicator(POWER, None, NOW, 1.0, Quality.GOOD, detail={}, revision=0)) == plain
    assert encode.record(Indicator(POWER, None, NOW, 1.0, Quality.GOOD, detail={"x": math.nan})) == plain


details = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | tricky,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tricky | st.just("rid"), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(max_size=3), details, max_size=3), min_size=1, max_size=3))
def test_no_detail_of_a_formula_looks_like_the_seam_between_two_records(found: list[dict[str, Any]]) -> None:
    records = [encode.record(Indicator(POWER, None, NOW, 1.0, Quality.GOOD, detail=each)) for each in found]
    body = batch_of(*records).body
    assert body.count(b',{"rid":') == len(found) - 1, "where the store parts them"
    after = json.loads(b"[" + encode.historical(body) + b"]")
    assert after == [{"h": True, **record} for record in json.loads(b"[" + body + b"]")]


def test_an_alarm_is_a_record_that_nobody_takes_for_something_measured() -> None:
    (record,) = checked(encode.alarm(ALARM))
    assert record == {
        "rid": 1, "pt": "bridge/level", "ind": "gw.alarm", "tg": {"of": "water.level", "rule": "flood/bridge"},
        "k": "event", "t1": NOW, "v": 2, "q": "good",
        "al": {
            "id": ALARM.id, "st": "raised", "lvl": 2, "sig": "bridge/level", "opened": NOW - 60_000, "val": 3.61,
            "peak": 3.7, "peak_t": NOW - 10_000, "text": {"vi": "Báo động II", "en": "Flood II"},
            "communes": ["14797", "16654"],
        },
    }  # fmt: skip


def test_an_alarm_that_is_over_has_level_zero_and_says_which_it_had_and_who_saw_it() -> None:
    over = replace(ALARM, state=AlarmState.CLEARED, value=None, cleared_ms=NOW, by="Lê A", acknowledged_ms=NOW - 5)
    (record,) = checked(encode.alarm(over))
    assert (record["v"], record["al"]["lvl"], record["al"]["cleared"]) == (0, 2, NOW)
    assert (record["al"]["by"], record["al"]["ack"]) == ("Lê A", NOW - 5)
    assert "val" not in record["al"]
