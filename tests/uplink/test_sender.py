"""Promises of the sender, kept against brokers that misbehave to order."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from pathlib import Path

import pytest

from gateway.ioc.receiver import Receiver
from gateway.model.clock import SystemClock
from gateway.model.ports import Lane
from tests.kit.brokers import Manners, mosquitto, scripted
from tests.kit.outbox import MemoryOutbox
from tests.uplink.kit import GW, reading, readings, rids, running, until, uplink


async def test_what_is_committed_is_sent_and_settled() -> None:
    outbox = MemoryOutbox()
    async with scripted() as broker, running(uplink(broker.port, outbox)):
        outbox.put(readings(450))
        await until(lambda: len(outbox.sent) == 450)
    assert rids([m.payload for m in broker.telemetry()]) == list(range(1, 451))


async def test_order_at_connect_is_subscribe_state_catalogue_heartbeat_data() -> None:
    outbox = MemoryOutbox()
    outbox.put(readings(1))
    async with scripted() as broker, running(uplink(broker.port, outbox)):
        await until(lambda: bool(outbox.sent))
    base = f"PUBLISH ioc/v1/{GW}"
    assert broker.kinds[:6] == [
        "CONNECT", "SUBSCRIBE", f"{base}/state", f"{base}/cat", f"{base}/hb", f"{base}/tele/live",
    ]  # fmt: skip
    state = json.loads(broker.published[0].payload)
    assert state["online"] is True
    assert (state["rid_lo"], state["rid_hi"]) == (1, 1)
    assert broker.published[0].retain
    assert broker.published[1].retain
    assert not broker.telemetry()[0].retain


async def test_never_more_in_flight_than_receive_maximum() -> None:
    outbox = MemoryOutbox()
    outbox.put(readings(3000))
    outbox.put(readings(1000), Lane.BACK)
    async with (
        scripted(Manners(receive_maximum=3, puback_delay_s=0.01)) as broker,
        running(uplink(broker.port, outbox)),
    ):
        await until(lambda: len(outbox.sent) == 4000)
    assert broker.most_unacknowledged == 3


async def test_a_record_larger_than_the_broker_takes_is_refused_locally_and_set_aside() -> None:
    outbox = MemoryOutbox()
    outbox.put([b'"pt":"a","ind":"b","t1":1,"v":"' + b"x" * 400 + b'","q":"good"}', *readings(3)])
    async with scripted(Manners(maximum_packet=400)) as broker, running(uplink(broker.port, outbox)) as link:
        await until(lambda: outbox.is_empty)
    assert list(outbox.refused) == [1]
    assert "400 at most" in outbox.refused[1]
    assert rids([m.payload for m in broker.telemetry()]) == [2, 3, 4]
    assert link.status()["refused_records"] == 1


@pytest.mark.parametrize("code", [0x87, 0x90, 0x99])
async def test_a_batch_the_broker_will_never_take_is_set_aside_and_blocks_nothing(code: int) -> None:
    outbox = MemoryOutbox()
    manners = Manners(puback=lambda message: code if b'"v":666.0' in message.payload else 0)
    async with scripted(manners) as broker, running(uplink(broker.port, outbox)):
        outbox.put([reading(666.0)], Lane.URGENT)
        await until(lambda: bool(outbox.refused))
        outbox.put(readings(3))
        await until(lambda: len(outbox.sent) == 3)
    assert list(outbox.refused) == [1]


async def test_what_nobody_listens_to_is_not_sent_but_kept_and_tried_again() -> None:
    outbox = MemoryOutbox()
    answers = iter([0x10, 0x10, 0x10])
    manners = Manners(puback=lambda message: next(answers, 0) if "/tele/" in message.topic else 0)
    async with scripted(manners) as broker, running(uplink(broker.port, outbox)) as link:
        outbox.put(readings(5))
        await until(lambda: len(broker.telemetry()) >= 1)
        await until(lambda: "nobody-listens" in link.status()["waits_for"])
        assert outbox.sent == []
        await until(lambda: len(outbox.sent) == 5)
        await until(lambda: link.status()["waits_for"] == "")  # what is over is no reason to wait
        assert "nobody-listens" in link.status()["last_error"]
    assert broker.versions == [5]  # on the same connection


async def test_a_broker_that_is_full_is_given_time() -> None:
    outbox = MemoryOutbox()
    answers = iter([0x97] * 4)
    manners = Manners(puback=lambda message: next(answers, 0) if "/tele/" in message.topic else 0)
    async with scripted(manners) as broker, running(uplink(broker.port, outbox)):
        outbox.put(readings(5))
        await until(lambda: len(outbox.sent) == 5)
    assert outbox.refused == {}


async def test_a_batch_too_large_for_the_broker_is_halved_until_it_fits(tmp_path: Path) -> None:
    """A limit the broker did not announce: mosquitto answers 0x95 and hangs up."""
    outbox = MemoryOutbox()
    outbox.put([*readings(100), b'"pt":"a","ind":"b","t1":1,"v":"' + b"x" * 3000 + b'","q":"good"}', *readings(10)])
    async with (
        mosquitto(tmp_path, options=["message_size_limit 2000"]) as broker,
        Receiver(host="127.0.0.1", port=broker.port),
        running(uplink(broker.port, outbox)),
    ):
        await until(lambda: outbox.is_empty)
    assert sorted(outbox.sent) == [rid for rid in range(1, 112) if rid != 101]
    assert list(outbox.refused) == [101]


async def test_urgent_overtakes_live_and_live_overtakes_a_backlog() -> None:
    outbox = MemoryOutbox()
    outbox.put(readings(2000), Lane.BACK)  # rids 1..2000
    async with scripted(Manners(puback_delay_s=0.01)) as broker, running(uplink(broker.port, outbox, in_flight=2)):
        await broker.until(lambda: len(broker.telemetry()) == 1)
        outbox.put([reading(1)])  # 2001
        outbox.put([reading(2)], Lane.URGENT)  # 2002
        await until(lambda: len(outbox.sent) == 2002)
    order = rids([message.payload for message in broker.telemetry()])
    assert order.index(2002) < order.index(2001) <= 402  # before all but the first batches of the backlog
    topics = {message.topic.rsplit("/", 1)[1]: json.loads(message.payload) for message in broker.telemetry()}
    assert topics["back"]["lane"] == "back"
    assert all(record["h"] for record in topics["back"]["m"])
    assert "h" not in topics["live"]["m"][0]


async def test_a_backlog_never_takes_more_than_half_the_window() -> None:
    outbox = MemoryOutbox()
    outbox.put(readings(4000), Lane.BACK)
    async with scripted(Manners(puback_delay_s=0.01)) as broker, running(uplink(broker.port, outbox, in_flight=6)):
        await until(lambda: len(outbox.sent) == 4000)
    assert broker.most_unacknowledged == 3


async def test_live_waits_for_company_but_a_full_batch_and_an_alarm_do_not() -> None:
    outbox = MemoryOutbox()
    async with scripted() as broker, running(uplink(broker.port, outbox, flush_every_s=60)):
        outbox.now_ms = SystemClock().now_ms()
        await broker.until(lambda: any(kind.endswith("/hb") for kind in broker.kinds))
        outbox.put(readings(150))
        await asyncio.sleep(0.05)
        assert broker.telemetry() == []
        outbox.put([reading()], Lane.URGENT)
        await until(lambda: outbox.sent == [151])
        outbox.put(readings(200))
        await until(lambda: len(outbox.sent) == 351)  # a batch ends where the alarm's id is
        assert [json.loads(message.payload)["n"] for message in broker.telemetry()] == [1, 150, 200]


async def test_live_is_flushed_when_its_time_has_come() -> None:
    outbox = MemoryOutbox()
    async with scripted() as broker, running(uplink(broker.port, outbox, flush_every_s=0.15)):
        await broker.until(lambda: any(kind.endswith("/hb") for kind in broker.kinds))
        outbox.now_ms = (
            SystemClock().now_ms() + 5_000_000
        )  # a commit that seems to lie in the future: the clock stepped
        began = asyncio.get_running_loop().time()
        outbox.put(readings(2))
        await until(lambda: len(outbox.sent) == 2)
        assert 0.1 < asyncio.get_running_loop().time() - began < 1


async def test_a_committed_record_is_on_the_wire_within_milliseconds() -> None:
    outbox = MemoryOutbox()
    waits = []
    async with scripted() as broker, running(uplink(broker.port, outbox)):
        await broker.until(lambda: any(kind.endswith("/hb") for kind in broker.kinds))
        for n in range(20):
            began = time.perf_counter()
            outbox.put([reading()])
            await broker.until(lambda n=n: len(broker.telemetry()) > n)  # type: ignore[misc]
            waits.append(time.perf_counter() - began)
    assert sorted(waits)[10] < 0.02  # usually below 1 ms; a busy machine is given room


async def test_large_batches_are_compressed_when_that_is_agreed() -> None:
    outbox = MemoryOutbox()
    async with scripted() as broker, running(uplink(broker.port, outbox, gzip=True)):
        outbox.put(readings(200))
        await until(lambda: len(outbox.sent) == 200)
        outbox.put(readings(1))
        await until(lambda: len(outbox.sent) == 201)
    large, small = (message.payload for message in broker.telemetry())
    assert json.loads(gzip.decompress(large))["n"] == 200
    assert json.loads(small)["n"] == 1
