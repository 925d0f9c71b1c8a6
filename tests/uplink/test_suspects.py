"""A batch that makes the broker hang up is found and set aside; a broker that hangs up on everything loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.clock import SystemClock
from gateway.model.ports import Batch, Lane
from gateway.uplink.suspects import MOST, TRIALS_OF_ONE, Suspects
from tests.kit.brokers import Answer, Manners, Published, ScriptedBroker, scripted
from tests.kit.outbox import MemoryOutbox
from tests.uplink.kit import reading, readings, rids, running, until, uplink


def poisonous(message: Published) -> bool:
    return b'"v":666.0' in message.payload


def hangs_up_on(cause: Callable[[Published], bool]) -> Manners:
    return Manners(puback=lambda message: "cut" if cause(message) else 0)


def is_data(message: Published) -> bool:
    return "/tele/" in message.topic


def connections(broker: ScriptedBroker) -> int:
    return broker.kinds.count("CONNECT")


async def trickle(outbox: MemoryOutbox, met: Callable[[], bool]) -> None:
    """A record now and then, as every gateway has them, until it is so."""
    async with asyncio.timeout(10):
        while not met():
            outbox.put([reading()])
            await asyncio.sleep(0.02)


# --- against a broker


async def test_one_record_the_broker_hangs_up_on_is_set_aside_and_nothing_else() -> None:
    outbox = MemoryOutbox()
    outbox.put([*readings(300), reading(666.0), *readings(300)])
    async with scripted(hangs_up_on(poisonous)) as broker, running(uplink(broker.port, outbox)) as link:
        await trickle(outbox, lambda: bool(outbox.refused))
        await until(lambda: outbox.is_empty)
        assert link.status()["suspected_batches"] == 0
    assert outbox.refused == {301: "the broker hung up 3 times on it"}
    assert sorted(outbox.sent) == [rid for rid in range(1, len(outbox.sent) + 2) if rid != 301]
    # The batch of 200, at least six of its halves, and the record itself.
    assert sum(poisonous(message) for message in broker.telemetry()) >= 3 + 6 + TRIALS_OF_ONE


async def test_the_store_itself_halves_down_to_the_one_record(tmp_path: Path) -> None:
    """The same on real bundles: bodies are cut where records meet."""
    async with Store(tmp_path / "s.sqlite3", BufferSettings(commit_every_s=0.01), SystemClock()) as store:
        await store.append([*readings(70), reading(666.0)])
        await store.flush()
        await store.append(readings(70))
        await store.flush()
        async with scripted(hangs_up_on(poisonous)) as broker, running(uplink(broker.port, store.outbox)):
            async with asyncio.timeout(10):
                while not store.outbox.set_aside:
                    await store.append([reading()])
                    await asyncio.sleep(0.02)
            await until(lambda: not store.outbox.lanes.unsettled())
        top = store.outbox.span()[1]
    sent = rids([message.payload for message in broker.telemetry() if not poisonous(message)])
    assert set(sent) == set(range(1, top + 1)) - {71}


async def test_what_is_held_apart_blocks_nothing() -> None:
    outbox = MemoryOutbox()
    outbox.put([reading(666.0)])
    async with scripted(hangs_up_on(poisonous)) as broker, running(uplink(broker.port, outbox)):
        await until(lambda: connections(broker) > 3)
        for n in range(5):
            outbox.put([reading(n)], Lane.URGENT if n % 2 else Lane.LIVE)
            await until(lambda n=n: n + 2 in outbox.sent)  # type: ignore[misc]
        await trickle(outbox, lambda: bool(outbox.refused))
    assert list(outbox.refused) == [1]


async def test_a_record_that_is_alone_in_the_store_is_never_given_up_without_another_to_compare_with() -> None:
    outbox = MemoryOutbox()
    outbox.put([reading(666.0)])
    async with scripted(hangs_up_on(poisonous)) as broker, running(uplink(broker.port, outbox)):
        await until(lambda: connections(broker) > 12)  # birth and heartbeat were acknowledged in each
        assert not outbox.refused
        broker.manners = Manners()
        await until(lambda: outbox.sent == [1])


async def test_a_broker_that_hangs_up_on_every_batch_sets_nothing_aside() -> None:
    outbox = MemoryOutbox()
    async with scripted(hangs_up_on(is_data)) as broker, running(uplink(broker.port, outbox)) as link:
        for wanted in range(3, 33, 3):
            outbox.put(readings(250))
            outbox.put([reading()], Lane.URGENT)
            await until(lambda wanted=wanted: connections(broker) >= wanted)  # type: ignore[misc]
            assert link.status()["suspected_batches"] <= MOST
        assert not outbox.refused
        broker.manners = Manners()
        await until(lambda: outbox.is_empty)
    assert not outbox.refused
    assert sorted(outbox.sent) == list(range(1, 10 * 251 + 1))


async def test_a_broker_that_takes_one_batch_a_connection_sets_nothing_aside() -> None:
    outbox = MemoryOutbox()
    outbox.put(readings(5000))
    async with scripted() as broker, running(uplink(broker.port, outbox)):
        taken_in: list[int] = []

        def one_each(message: Published) -> Answer:
            if not is_data(message):
                return 0
            taken_in.append(connections(broker))
            return "cut" if taken_in.count(connections(broker)) > 1 else 0

        broker.manners = Manners(puback=one_each)
        await until(lambda: outbox.is_empty)
    assert not outbox.refused


async def test_a_sick_half_of_a_pair_of_brokers_sets_nothing_aside() -> None:
    """A load balancer in turns: every second connection ends with the first batch."""
    outbox = MemoryOutbox()
    async with scripted() as broker, running(uplink(broker.port, outbox)):
        broker.manners = hangs_up_on(lambda message: is_data(message) and connections(broker) % 2 == 1)
        for n in range(10):
            outbox.put(readings(1000))
            await until(lambda n=n: outbox.is_empty and connections(broker) > n)  # type: ignore[misc]
            broker.hang_up()
    assert not outbox.refused


async def test_after_an_ordinary_outage_nothing_is_suspected() -> None:
    outbox = MemoryOutbox()
    async with scripted(Manners(puback_delay_s=0.02)) as broker, running(uplink(broker.port, outbox)) as link:
        for n in range(4):
            outbox.put(readings(900))
            await broker.until(lambda n=n: len(broker.telemetry()) > 5 * n)  # type: ignore[misc]
            broker.hang_up()
        await until(lambda: outbox.is_empty)
        assert link.status()["suspected_batches"] == 0
    assert not outbox.refused


async def test_who_stops_gives_back_what_was_held_apart() -> None:
    outbox = MemoryOutbox()
    outbox.put([reading(666.0)])
    async with scripted(hangs_up_on(poisonous)) as broker:
        async with running(uplink(broker.port, outbox)) as link:
            await until(lambda: link.status()["suspected_batches"] == 1 and connections(broker) > 3)
        assert outbox.waiting(Lane.LIVE).records == 1


# --- the rule itself


def batch(lo: int, n: int = 200) -> Batch:
    return Batch(Lane.BACK, lo, lo + n - 1, n, b"")


def test_two_suspicious_ends_hold_a_batch_and_a_proven_trial_convicts_it() -> None:
    suspects, a = Suspects(5), batch(1)
    assert suspects.line_ended(a, 0, proven=True) == []
    assert suspects.next_trial(0, proven=False) == a  # at once, before all others
    assert suspects.line_ended(a, 0, proven=False) == []
    assert suspects.next_trial(100, proven=False) is None
    assert suspects.next_trial(4.9, proven=True) is None
    assert suspects.next_trial(5, proven=True) == a
    assert suspects.line_ended(a, 5, proven=True) == [a]


def test_a_trial_nobody_can_compare_with_proves_nothing() -> None:
    suspects, a = Suspects(5), batch(1)
    for at in range(20):
        assert suspects.line_ended(a, at, proven=False) == []


def test_any_answer_ends_the_suspicion() -> None:
    suspects, a = Suspects(5), batch(1)
    suspects.line_ended(a, 0, proven=True)
    suspects.line_ended(a, 0, proven=True)
    suspects.answered(a)
    assert len(suspects) == 0
    assert suspects.trial_at() is None


def test_halves_are_tried_one_after_the_other_and_a_single_record_needs_three_trials() -> None:
    suspects, a = Suspects(5), batch(1, 2)
    for _ in range(3):
        convicted = suspects.line_ended(a, 0, proven=True)
    assert convicted == [a]
    first, second = batch(1, 1), batch(2, 1)
    suspects.halved(a, (first, second))
    assert suspects.next_trial(5, proven=True) == first
    suspects.answered(first)
    assert suspects.next_trial(5, proven=True) == second
    assert [suspects.line_ended(second, 5, proven=True) for _ in range(3)] == [[], [], [second]]


def test_too_many_suspects_are_none() -> None:
    suspects = Suspects(5)
    for lo in range(MOST):
        suspects.line_ended(batch(lo), 0, proven=False)
    assert len(suspects.batches) == MOST
    suspects.line_ended(batch(99), 0, proven=False)
    assert suspects.batches == []
