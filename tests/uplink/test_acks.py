"""What the centre says it has and misses: believed where it can be true, harmless where it cannot."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ioc.receiver import Receiver
from gateway.model.errors import StoreDamaged, StoreError
from gateway.model.ports import Again, Lane
from gateway.model.spans import Spans
from gateway.uplink.acks import MOST_BYTES, MOST_RANGES, MOST_RECORDS, Acks, read_ack
from tests.kit import schemas
from tests.kit.brokers import mosquitto
from tests.kit.clock import ManualClock
from tests.kit.outbox import MemoryOutbox
from tests.uplink.kit import GW, reading, readings, running, until, uplink

EP = "7c41f00d"
TOPIC = f"ioc/v1/{GW}/ack"


def ack(**fields: Any) -> bytes:
    return json.dumps({"s": "ack/1", "ep": EP, **fields}).encode()


@pytest.mark.parametrize(
    ("payload", "upto", "miss"),
    [
        (ack(), 0, []),
        (ack(upto=50), 50, []),
        (ack(upto=0, miss=[[3, 3], [5, 9]]), 0, [(3, 3), (5, 9)]),
        (ack(miss=[[5, 9], [1, 6], [7, 100]]), 0, [(1, 100)]),
    ],
)
def test_what_is_sound_is_read(payload: bytes, upto: int, miss: list[tuple[int, int]]) -> None:
    schemas.check(TOPIC, payload)
    found = read_ack(payload, EP, 100)
    assert (found.upto, list(found.miss)) == (upto, miss)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe\xfd", "codec"),
        (b"[]", "not an ack/1"),
        (b'{"s":"ack/2"}', "not an ack/1"),
        (b"[" * 10_000, "nested too deep"),
        (b" " * (MOST_BYTES + 1), "at most"),
        (ack(ep="00000000"), "another store"),
        (ack(ep=None), "another store"),
        (ack(upto=101), "upto"),
        (ack(upto=-1), "upto"),
        (ack(upto=True), "upto"),
        (ack(upto=1.0), "upto"),
        (ack(upto="9"), "upto"),
        (ack(miss=[[1, 101]]), "does not exist yet"),
        (ack(miss=[[1, 10**400]]), "does not exist yet"),
        (ack(miss=[[0, 5]]), "no range"),
        (ack(miss=[[9, 5]]), "no range"),
        (ack(miss=[[1, 2, 3]]), "two whole numbers"),
        (ack(miss=[[1, True]]), "two whole numbers"),
        (ack(miss=[7]), "two whole numbers"),
        (ack(miss={"1": 2}), "list"),
        (ack(miss=None), "list"),
        (ack(miss=[[1, 1]] * (MOST_RANGES + 1)), "at most"),
    ],
)
def test_what_is_not_says_why(payload: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_ack(payload, EP, 100)


@given(
    st.binary(max_size=200) | st.from_regex(rb'\{"s":"ack/1","ep":"7c41f00d","(upto|miss)":.{0,40}\}', fullmatch=True)
)
def test_nothing_that_may_come_is_more_than_a_value_error(payload: bytes) -> None:
    try:
        found = read_ack(payload, EP, 100)
    except ValueError:
        return
    assert 0 <= found.upto <= 100
    assert not found.miss or 1 <= found.miss.first()[0] <= found.miss.last()[1] <= 100


class Watched(MemoryOutbox):
    """Remembers what it was asked for; `trouble` is raised instead."""

    asked: list[Spans]
    trouble: Exception | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked = []

    async def again(self, spans: Any) -> Again:
        self.asked.append(Spans(spans))
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble
        return await super().again(spans)


@pytest.fixture
def outbox() -> Watched:
    outbox = Watched()
    outbox.put(readings(200))
    return outbox


async def test_upto_counts_only_where_that_was_agreed(outbox: Watched) -> None:
    for confirms in (False, True):
        await Acks(outbox, ManualClock(), confirms=confirms).handle(ack(upto=150), retained=False)
        assert outbox.upto == (150 if confirms else 0)


async def test_what_is_missed_is_asked_for_whether_or_not_upto_counts(outbox: Watched) -> None:
    await Acks(outbox, ManualClock(), confirms=False).handle(ack(miss=[[3, 7]]), retained=False)
    assert outbox.asked == [Spans([(3, 7)])]


async def test_a_retained_ack_is_ignored(outbox: Watched) -> None:
    await Acks(outbox, ManualClock(), confirms=True).handle(ack(upto=9, miss=[[3, 7]]), retained=True)
    assert (outbox.upto, outbox.asked) == (0, [])


async def test_one_message_is_worth_so_many_records_and_a_flood_no_more_than_one_a_second(outbox: Watched) -> None:
    outbox._rid = 10 * MOST_RECORDS
    clock = ManualClock()
    acks = Acks(outbox, clock, confirms=False)
    everything = ack(miss=[[1, 10 * MOST_RECORDS]])
    await asyncio.gather(*(acks.handle(everything, retained=False) for _ in range(50)))
    assert [len(asked) for asked in outbox.asked] == [MOST_RECORDS]
    clock.advance(1.1)
    await acks.handle(everything, retained=False)
    assert len(outbox.asked) == 2


async def test_a_disk_that_cannot_be_read_is_not_the_end_but_a_damaged_store_is(outbox: Watched) -> None:
    clock = ManualClock()
    acks = Acks(outbox, clock, confirms=False)
    outbox.trouble = StoreError("disk I/O error")
    await acks.handle(ack(miss=[[3, 7]]), retained=False)
    clock.advance(2)
    outbox.trouble = StoreDamaged("malformed")
    with pytest.raises(StoreDamaged):
        await acks.handle(ack(miss=[[3, 7]]), retained=False)


async def test_a_thousand_bad_acks_are_one_line_a_minute(outbox: Watched, caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    acks = Acks(outbox, clock, confirms=True)
    for _ in range(1000):
        await acks.handle(b"nonsense", retained=False)
    clock.advance(61)
    await acks.handle(b"nonsense", retained=False)
    lines = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 2
    assert "1001 so far" in lines[1]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_over_a_real_broker_what_is_missed_comes_again_with_the_same_ids(tmp_path: Path, protocol: str) -> None:
    outbox = MemoryOutbox()
    async with (
        mosquitto(tmp_path) as broker,
        Receiver(host="127.0.0.1", port=broker.port) as centre,
        running(uplink(broker.port, outbox, e2e_ack=True, protocol=protocol)),
    ):
        outbox.put(readings(50))
        await centre.until(lambda ledger: ledger.book(GW).records == 50, 5)
        for payload in (b"nonsense", ack(ep="00000000", upto=3), ack(upto=20, miss=[[7, 9]])):
            assert centre._line is not None
            await centre._line.publish(TOPIC, payload, qos=1)
        await centre.until(lambda ledger: ledger.book(GW).duplicates == 3, 5)
        assert outbox.upto == 20
        outbox.put([reading()], Lane.URGENT)
        await until(lambda: sorted(outbox.sent) == sorted([*range(1, 52), 7, 8, 9]))
    assert centre.ledger.book(GW).records == 51
