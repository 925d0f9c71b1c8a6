"""The centre sees every gap, asks for what is missing and not for what is on its way, and gives up what is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.ioc.ledger import Ledger, StoreBook
from gateway.ioc.receiver import Receiver
from gateway.ioc.repair import MOST_RANGES, MOST_RECORDS, SLOWEST, Repair, waiting_at
from gateway.model.clock import SystemClock
from gateway.model.ports import IncomingCommand, Lane
from gateway.model.spans import Spans
from gateway.uplink.sender import Limits
from tests.kit.brokers import mosquitto
from tests.kit.outbox import MemoryOutbox
from tests.uplink.kit import GW, Desk, readings, running, until, uplink

EP = "7c41f00d"


def book(span: tuple[int, int], *have: tuple[int, int]) -> StoreBook:
    return StoreBook(have=Spans(have), span=span)


# --- when to ask


def test_a_gap_is_asked_for_when_it_is_old_enough_and_only_what_is_still_missing() -> None:
    repair, store = Repair(5), book((1, 100), (1, 40), (61, 100))
    assert repair.due(store, 0, 0) == []
    assert repair.due(store, 0, 4.9) == []
    store.have.add(41, 50)
    store.span = (1, 200)
    assert repair.due(store, 0, 5) == [(51, 60)]


def test_what_the_gateway_still_has_to_send_is_not_asked_for() -> None:
    repair, store = Repair(5), book((1, 1000), (1, 10))
    repair.due(store, 990, 0)
    assert repair.due(store, 990, 5) == []
    assert repair.due(store, 989, 10) == [(11, 1000)]


def test_vain_questions_are_asked_half_as_often_each_time_and_any_progress_starts_anew() -> None:
    repair, store = Repair(1), book((1, 100), (1, 40), (61, 100))
    asked_at = [now / 10 for now in range(3000) if repair.due(store, 0, now / 10)]
    assert asked_at[:6] == [1, 2, 4, 8, 16, 32]
    assert asked_at[-1] - asked_at[-2] == SLOWEST
    assert repair.vain > 3
    store.have.add(41, 42)
    assert repair.due(store, 0, 1000) == [(43, 60)]
    assert repair.vain == 0


def test_one_question_is_of_bounded_size() -> None:
    scattered = book((1, 2000), *((n, n) for n in range(1, 2000, 2)))
    repair = Repair(1)
    repair.due(scattered, 0, 0)
    assert len(repair.due(scattered, 0, 1)) == MOST_RANGES
    everything = book((1, 10**7))
    repair = Repair(1)
    repair.due(everything, 0, 0)
    assert repair.due(everything, 0, 1) == [(1, MOST_RECORDS)]


def test_what_waits_is_believed_of_its_own_epoch_only() -> None:
    beat = {"ep": EP, "wait": {"urgent": 1, "live": 2, "back": 30}}
    assert (waiting_at(beat, EP), waiting_at(beat, "00000000"), waiting_at({}, EP)) == (33, 0, 0)


# --- the books


def lost(lo: int, hi: int, **more: Any) -> bytes:
    record = {"rid": 50, "pt": "gw", "ind": "gw.lost", "t1": 1, "v": hi - lo + 1, "q": "good", "f": ["quota"]}
    message = {"s": "tele/1", "ep": EP, "m": [{**record, "p": {"lo": lo, "hi": hi, **more}}]}
    return json.dumps(message).encode()


def test_what_the_gateway_gave_up_is_lost_and_no_gap() -> None:
    ledger = Ledger()
    ledger.take(f"ioc/v1/{GW}/state", json.dumps(
        {"s": "state/1", "online": True, "sid": 1, "ep": EP, "rid_lo": 11, "rid_hi": 50}).encode())  # fmt: skip
    assert ledger.book(GW).gaps() == [(11, 50)]
    ledger.take(f"ioc/v1/{GW}/tele/live", lost(11, 30))
    store = ledger.book(GW).stores[EP]
    assert (ledger.book(GW).gaps(), store.upto()) == ([(31, 49)], 30)
    store.have.add(31, 49)
    assert (ledger.book(GW).gaps(), store.upto()) == ([], 50)


def test_what_was_lost_of_an_older_store_is_booked_there() -> None:
    ledger = Ledger()
    ledger.take(f"ioc/v1/{GW}/tele/live", lost(5, 9, ep="00000001"))
    stores = ledger.book(GW).stores
    assert list(stores["00000001"].lost) == [(5, 9)]
    assert not stores[EP].lost


def test_nothing_below_what_is_held_is_missing() -> None:
    store = book((500, 600), (500, 550))
    assert store.missing(1, 600) == [(551, 600)]
    assert store.upto() == 550
    assert book((1, 0)).upto() == 0


# --- over a real broker


class ReplayDesk(Desk):
    """Answers `tele.replay` with what is not held."""

    not_held: tuple[int, int] = (0, 0)

    async def handle(self, incoming: IncomingCommand) -> bytes | None:
        self.asked.append(incoming)
        request = json.loads(incoming.payload)
        info = {"records": 0, "not_held": [self.not_held], "gone": self.not_held[1] - self.not_held[0] + 1}
        return json.dumps({"s": "out/1", "id": request["id"], "st": "applied", "at": 1, "info": info}).encode()


def missing(ledger: Ledger) -> int:
    return sum(hi - lo + 1 for lo, hi in ledger.book(GW).gaps())


async def test_thousands_of_records_a_broker_dropped_are_seen_asked_for_and_come(tmp_path: Path) -> None:
    """The consumer is away, the broker queues ten messages and drops the rest, with PUBACK 0 for each."""
    clock = SystemClock(trusted=True)
    options = ["max_queued_messages 10"]
    async with (
        mosquitto(tmp_path / "broker", options=options) as broker,
        Store(tmp_path / "s.sqlite3", BufferSettings(commit_every_s=0.02), clock, until_confirmed=True) as store,
    ):
        centre = Receiver(host="127.0.0.1", port=broker.port, repair_after_s=0.5)
        link = uplink(broker.port, store.outbox, heartbeat_s=0.2, e2e_ack=True, limits=Limits(batch_records=4))
        async with centre:
            pass  # its session stays at the broker
        async with running(link):
            for _ in range(6):
                await store.append(readings(1000))
                await store.flush()
            await until(lambda: link.status()["sent_records"] == 6000)
            async with centre:
                await centre.until(lambda ledger: missing(ledger) > 4000, 10)
                await centre.until(lambda ledger: ledger.book(GW).records == 6000, 20)
                await until(lambda: store.outbox.upto == 6000)
    books = centre.ledger.book(GW)
    assert list(books.stores[store.outbox.epoch].have) == [(1, 6000)]
    assert books.gaps() == []


async def test_what_is_not_held_any_more_is_asked_for_by_command_and_then_left(tmp_path: Path) -> None:
    desk, outbox = ReplayDesk(), MemoryOutbox()
    desk.not_held = (3, 4)
    outbox.put(readings(10))
    for rid in (3, 4):
        del outbox._rows[Lane.LIVE][rid], outbox._kept[rid]
    async with (
        mosquitto(tmp_path) as broker,
        Receiver(host="127.0.0.1", port=broker.port, repair_after_s=0.05) as centre,
        running(uplink(broker.port, outbox, desk, heartbeat_s=0.1, e2e_ack=True)),
    ):
        await until(lambda: outbox.upto == 2)
        await until(lambda: outbox.upto == 10)
    assert json.loads(desk.asked[0].payload)["arg"] == {"ep": outbox.epoch, "ranges": [[3, 4]]}
    assert list(centre.ledger.book(GW).stores[outbox.epoch].lost) == [(3, 4)]
