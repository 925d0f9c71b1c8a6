"""Promises of the uplink over MQTT: outages, commands, births and deaths. Against a real broker where it matters."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from amqtt.broker import Broker

from gateway.ioc.receiver import Receiver
from gateway.model.errors import UplinkError
from gateway.model.ports import IncomingCommand, Lane
from gateway.uplink.link import HungUp, Silent, UnsupportedProtocol
from gateway.uplink.mqtt import V5, V311, Backoff, Speech
from gateway.uplink.sender import Limits
from gateway.uplink.session import Topics
from gateway.uplink.settings import UplinkSettings
from tests.kit import schemas
from tests.kit.brokers import Manners, Mosquitto, free_port, mosquitto, scripted
from tests.kit.clock import ManualClock
from tests.kit.outbox import MemoryOutbox
from tests.uplink.kit import GW, Desk, reading, readings, running, until, uplink


def receiver(broker: Mosquitto) -> Receiver:
    return Receiver(host="127.0.0.1", port=broker.port)


# -- outages


async def test_broker_stopped_and_started_nothing_lost(tmp_path: Path) -> None:
    outbox = MemoryOutbox()
    async with mosquitto(tmp_path) as broker, receiver(broker) as centre, running(uplink(broker.port, outbox)):
        outbox.put(readings(10))
        await centre.until(lambda ledger: ledger.book(GW).records == 10, 5)
        broker.stop()
        outbox.put(readings(500))
        await asyncio.sleep(0.1)
        await broker.start()
        await until(lambda: outbox.is_empty)
        await centre.until(lambda ledger: ledger.book(GW).records == 510, 10)
        assert centre.ledger.book(GW).stores[outbox.epoch].have.missing(1, 510) == []


async def test_a_silent_broker_is_noticed_and_everything_arrives_after_it_with_only_the_same_rids_again(
    tmp_path: Path,
) -> None:
    outbox = MemoryOutbox()
    async with (
        mosquitto(tmp_path) as broker,
        receiver(broker) as centre,
        running(uplink(broker.port, outbox, ack_timeout_s=0.3)) as link,
    ):
        outbox.put(readings(10))
        await centre.until(lambda ledger: ledger.book(GW).records == 10, 5)
        broker.freeze()
        outbox.put(readings(300))
        began = asyncio.get_running_loop().time()
        await until(lambda: not link.status()["connected"], 2)
        assert asyncio.get_running_loop().time() - began < 0.8
        assert "no answer in 0.3 s" in link.status()["last_error"]
        await asyncio.sleep(0.2)
        broker.thaw()
        await until(lambda: outbox.is_empty)
        await centre.until(lambda ledger: ledger.book(GW).records == 310, 10)
    assert list(centre.ledger.book(GW).stores[outbox.epoch].have) == [(1, 310)]
    assert sorted(outbox.sent) == list(range(1, 311))


async def test_live_stays_fresh_while_a_backlog_drains() -> None:
    outbox = MemoryOutbox()
    outbox.put(readings(8000), Lane.BACK)
    async with scripted(Manners(puback_delay_s=0.02)) as broker, running(uplink(broker.port, outbox, in_flight=4)):
        for n in range(10):
            outbox.put([reading()])
            before = len(broker.telemetry())
            await broker.until(lambda n=n: sum(m.topic.endswith("live") for m in broker.telemetry()) > n)  # type: ignore[misc]
            # Half the window is free: at most the two batches that came in the same moment pass first.
            assert len(broker.telemetry()) - before <= 3
        assert not outbox.is_empty
        await until(lambda: outbox.is_empty)


async def test_one_log_line_when_the_line_goes_down_and_one_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outbox = MemoryOutbox()
    async with mosquitto(tmp_path) as broker, running(uplink(broker.port, outbox)) as link:
        await until(lambda: link.status()["connected"])
        broker.stop()
        await asyncio.sleep(0.4)  # many attempts
        await broker.start()
        await until(lambda: link.status()["connected"])
        assert link.status()["connects"] == 2
    lines = [record.message for record in caplog.records if record.name == "gateway.uplink"]
    assert [line.split(" ")[0] for line in lines] == ["connected", "no", "connected"]


# -- versions of MQTT


async def test_falls_back_to_311_and_remembers_it() -> None:
    outbox = MemoryOutbox()
    async with scripted(Manners(only_v311=True)) as broker, running(uplink(broker.port, outbox)) as link:
        outbox.put(readings(3))
        await until(lambda: len(outbox.sent) == 3)
        assert link.status()["protocol"] == "3.1.1"
        broker.hang_up()
        outbox.put(readings(3))
        await until(lambda: len(outbox.sent) == 6)
    assert broker.versions == [5, 4, 4]


def test_a_refused_version_is_remembered_for_a_day() -> None:
    clock = ManualClock()
    speech = Speech(UplinkSettings(host="h"), clock)
    assert speech.next() is V5
    assert speech.refused(UnsupportedProtocol("no"))
    speech.worked(V311)
    assert speech.next() is V311
    clock.advance(86_399)
    assert speech.next() is V311
    clock.advance(2)
    assert speech.next() is V5


@pytest.mark.parametrize(("error", "after"), [(HungUp("?"), V311), (Silent("?"), V5)])
def test_a_hang_up_is_remembered_only_if_311_works_and_a_silence_never(error: UplinkError, after: object) -> None:
    speech = Speech(UplinkSettings(host="h"), ManualClock())
    assert speech.refused(error)
    assert speech.next() is V311
    assert not speech.refused(error)  # so it was not the version
    assert speech.next() is V5
    assert speech.refused(error)
    speech.worked(V311)
    assert speech.next() is after


@pytest.mark.parametrize("error", [HungUp("?"), Silent("?")])
def test_a_broker_that_once_spoke_5_is_not_degraded_by_an_outage(error: UplinkError) -> None:
    speech = Speech(UplinkSettings(host="h"), ManualClock())
    assert speech.is_guess
    speech.worked(V5)
    assert not speech.is_guess
    assert not speech.refused(error)
    assert speech.next() is V5


async def test_an_old_broker_that_never_answers_5_still_gets_the_data() -> None:
    """A pure 3.1.1 broker, as the demo uses it: it waits for ever for the rest of a greeting it misunderstands."""
    port = free_port()
    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}, "plugins": anonymous})
    outbox = MemoryOutbox()
    await broker.start()
    try:
        async with running(uplink(port, outbox, ack_timeout_s=0.5)) as link:
            outbox.put(readings(300))
            await until(lambda: len(outbox.sent) == 300)
            assert link.status()["protocol"] == "3.1.1"
            await link.drain(3)
    finally:
        await broker.shutdown()


@pytest.mark.parametrize("wanted", [5, "3.1.1"])
def test_a_version_that_is_set_is_never_changed(wanted: int | str) -> None:
    speech = Speech(UplinkSettings.model_validate({"host": "h", "protocol": wanted}), ManualClock())
    before = speech.next()
    assert not speech.refused(UnsupportedProtocol("no"))
    assert speech.next() is before


def test_waiting_grows_to_20_s_starts_fast_and_again_after_a_stable_connection() -> None:
    backoff = Backoff(Limits(), rng=lambda: 1.0)
    assert [backoff.after(0) for _ in range(9)] == [0.1, 1, 2, 4, 8, 16, 20, 20, 20]
    assert backoff.after(61) == 0.1
    assert Backoff(Limits(), rng=lambda: 0.0).after(0) == 0


# -- births and deaths


async def test_the_will_says_offline_when_the_connection_is_cut(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as broker, receiver(broker) as centre:
        async with running(uplink(broker.port, MemoryOutbox())):
            await centre.until(lambda ledger: ledger.book(GW).online is True, 5)
        # `running` cancels: no goodbye was said
        await centre.until(lambda ledger: ledger.book(GW).online is False, 5)


async def test_drain_sends_what_waits_then_says_why_and_leaves(tmp_path: Path) -> None:
    outbox = MemoryOutbox()
    async with mosquitto(tmp_path) as broker, receiver(broker) as centre:
        async with running(uplink(broker.port, outbox, flush_every_s=60)) as link:
            await centre.until(lambda ledger: ledger.book(GW).online is True, 5)
            outbox.put(readings(30))
            await link.drain(3, why="stopped for a new version")
            assert outbox.is_empty
            assert not link.status()["connected"]
        async with receiver(broker) as late:  # retained
            await late.until(lambda ledger: ledger.book(GW).online is False, 5)
    assert centre.ledger.book(GW).records == 30


async def test_drain_keeps_its_time_when_the_broker_is_silent_and_when_there_is_none() -> None:
    outbox = MemoryOutbox()
    async with (
        scripted(Manners(deaf_after=5)) as broker,
        running(uplink(broker.port, outbox, ack_timeout_s=60)) as link,
    ):
        await broker.until(lambda: any(kind.endswith("/hb") for kind in broker.kinds))
        outbox.put(readings(3))
        async with asyncio.timeout(2):
            await link.drain(0.3)
    async with asyncio.timeout(1):
        await uplink(1, outbox).drain(5)


async def test_session_numbers_grow_with_every_connection() -> None:
    async with scripted() as broker, running(uplink(broker.port, MemoryOutbox())):
        for wanted in (1, 2, 3):
            await broker.until(lambda wanted=wanted: broker.kinds.count(f"PUBLISH ioc/v1/{GW}/hb") == wanted)  # type: ignore[misc]
            broker.hang_up()
    states = [json.loads(message.payload) for message in broker.published if message.topic.endswith("/state")]
    assert [state["sid"] for state in states][:3] == [1, 2, 3]


async def test_rebirth_publishes_state_and_catalogue_again() -> None:
    async with scripted() as broker, running(uplink(broker.port, MemoryOutbox())) as link:
        await link.rebirth()  # offline: nothing happens
        await broker.until(lambda: any(kind.endswith("/hb") for kind in broker.kinds))
        await link.rebirth()
        await broker.until(lambda: broker.kinds.count(f"PUBLISH ioc/v1/{GW}/hb") == 2)
    assert broker.kinds.count(f"PUBLISH ioc/v1/{GW}/cat") == 2


async def test_a_broker_that_forbids_the_catalogue_still_gets_the_data(tmp_path: Path) -> None:
    """mosquitto 2.0 hangs up after every refusal, so it must not be asked twice."""
    acl = "topic read #\ntopic write ioc/v1/+/tele/+\ntopic write ioc/v1/+/state\ntopic write ioc/v1/+/hb\n"
    outbox = MemoryOutbox()
    async with (
        mosquitto(tmp_path, acl=acl) as broker,
        receiver(broker) as centre,
        running(uplink(broker.port, outbox)) as link,
    ):
        outbox.put(readings(3))
        await centre.until(lambda ledger: ledger.book(GW).records == 3, 5)
        assert link.status()["connects"] == 2


async def test_a_broker_that_hangs_up_on_who_listens_for_acks_still_gets_the_data() -> None:
    outbox = MemoryOutbox()
    outbox.put(readings(3))
    async with scripted(Manners(no_subscribe=b"/ack")) as broker, running(uplink(broker.port, outbox)):
        await until(lambda: len(outbox.sent) == 3)
    assert broker.kinds.count("CONNECT") == 2


async def test_a_missing_password_is_a_clear_error_and_is_tried_again() -> None:
    passwords = iter([FileNotFoundError("no secret mqtt"), "word"])

    def secret(name: str) -> str:
        found = next(passwords)
        if isinstance(found, Exception):
            raise found
        return found

    async with scripted() as broker:
        link = uplink(broker.port, MemoryOutbox(), password="mqtt")  # noqa: S106  # the name of a secret
        link.secret = secret
        async with running(link):
            await until(lambda: link.status()["connected"])


# -- commands


async def test_a_command_is_answered_on_the_response_topic(tmp_path: Path) -> None:
    desk = Desk()
    async with (
        mosquitto(tmp_path) as broker,
        receiver(broker) as centre,
        running(uplink(broker.port, MemoryOutbox(), desk)),
    ):
        await centre.until(lambda ledger: ledger.book(GW).online is True, 5)
        outcome = await centre.send(GW, "light.set", ["lamps/1"], {"level": 60}, ttl_s=20, timeout_s=5)
    assert outcome["st"] == "applied"
    incoming = desk.asked[0]
    schemas.check(f"ioc/v1/{GW}/cmd/req", incoming.payload)
    assert not incoming.retained
    assert incoming.expires_in_s is not None
    assert 0 < incoming.expires_in_s <= 20


async def test_a_command_works_over_311_too(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path) as broker,
        receiver(broker) as centre,
        running(uplink(broker.port, MemoryOutbox(), protocol="3.1.1")),
    ):
        await centre.until(lambda ledger: ledger.book(GW).online is True, 5)
        assert (await centre.send(GW, "light.read", ["lamps/1"], timeout_s=5))["st"] == "applied"


async def test_a_command_that_waited_at_the_broker_arrives_after_the_outage_and_a_retained_one_is_marked(
    tmp_path: Path,
) -> None:
    desk = Desk()
    async with mosquitto(tmp_path) as broker, receiver(broker) as centre:
        async with running(uplink(broker.port, MemoryOutbox(), desk)):
            await centre.until(lambda ledger: ledger.book(GW).online is True, 5)
        sending = asyncio.create_task(centre.send(GW, "light.set", ["lamps/1"], timeout_s=5))
        await asyncio.sleep(0.05)
        assert centre._line is not None
        await centre._line.publish(f"ioc/v1/{GW}/cmd/req", b'{"id":"old"}', qos=1, retain=True)
        async with running(uplink(broker.port, MemoryOutbox(), desk)):
            assert (await sending)["st"] == "applied"
            await until(lambda: any(incoming.retained for incoming in desk.asked))


async def test_no_more_than_32_commands_run_at_once_and_the_rest_wait_unanswered(tmp_path: Path) -> None:
    desk = Desk(takes_s=0.1)
    async with (
        mosquitto(tmp_path, options=["max_inflight_messages 100"]) as broker,
        receiver(broker) as centre,
        running(uplink(broker.port, MemoryOutbox(), desk)),
    ):
        await centre.until(lambda ledger: ledger.book(GW).online is True, 5)
        async with asyncio.TaskGroup() as group:
            for _ in range(80):
                group.create_task(centre.send(GW, "light.read", ["lamps/1"], timeout_s=8))
    assert len(desk.asked) == 80
    assert desk.most_busy <= 32


async def test_a_command_begun_before_the_line_broke_is_finished() -> None:
    desk = Desk(takes_s=0.15)
    finished: list[bytes | None] = []
    handle = desk.handle

    async def watched(incoming: IncomingCommand) -> bytes | None:
        finished.append(await handle(incoming))
        return finished[-1]

    desk.handle = watched  # type: ignore[method-assign]
    async with scripted() as broker, running(uplink(broker.port, MemoryOutbox(), desk)):
        await broker.until(lambda: "SUBSCRIBE" in broker.kinds)
        broker.deliver(f"ioc/v1/{GW}/cmd/req", b'{"id":"a"}')
        await until(lambda: desk.busy == 1)
        broker.hang_up()
        await until(lambda: len(finished) == 1)


@pytest.mark.parametrize(
    ("wanted", "topic"),
    [
        (None, "cmd/res"), ("ioc/v1/38-test-01/cmd/res", "cmd/res"), ("ioc/v1/38-test-01/cmd/res/7", "cmd/res/7"),
        ("ioc/v1/38-other/cmd/res", "cmd/res"), ("ioc/v1/38-test-01/cmd/reset", "cmd/res"),
        ("ioc/v1/38-test-01/cmd/res/#", "cmd/res"),
    ],
)  # fmt: skip
def test_an_outcome_is_never_written_where_it_is_not_ours(wanted: str | None, topic: str) -> None:
    assert Topics.of("ioc", GW).answer_to(wanted) == f"ioc/v1/{GW}/{topic}"


# -- everything that leaves


async def test_every_message_follows_its_schema(tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    async def listen(broker: Mosquitto) -> None:
        async with Receiver(host="127.0.0.1", port=broker.port) as centre:
            assert centre._line is not None
            book = centre.ledger.take

            def take(topic: str, payload: bytes, at_ms: int = 0) -> dict[str, Any] | None:
                schemas.check(topic, payload)
                seen[topic.removeprefix(f"ioc/v1/{GW}/")] = seen.get(topic, 0) + 1
                return book(topic, payload, at_ms)

            centre.ledger.take = take  # type: ignore[method-assign]
            outbox = MemoryOutbox()
            async with running(uplink(broker.port, outbox, gzip=True)) as link:
                for lane in Lane:
                    outbox.put(readings(50), lane)
                await until(lambda: outbox.is_empty)
                await centre.send(GW, "light.read", ["lamps/1"], timeout_s=5)
                await link.drain(2)
            await until(lambda: centre.ledger.book(GW).online is False)

    async with mosquitto(tmp_path) as broker:
        await listen(broker)
    assert set(seen) == {"state", "cat", "hb", "tele/live", "tele/back", "cmd/req", "cmd/res"}
