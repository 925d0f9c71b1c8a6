"""From the register to the centre: nothing lost, nothing counted twice, whatever happens to broker and process."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from gateway.ioc.ledger import Ledger
from gateway.ioc.receiver import Receiver
from tests.kit.brokers import Mosquitto
from tests.kit.site import TestSite, every_message_checked, records_of

GW = "38-test-01"


def receiver(broker: Mosquitto) -> Receiver:
    return Receiver(host="127.0.0.1", port=broker.port)


def has(records: int) -> Any:
    return lambda ledger: GW in ledger.gateways and ledger.gateways[GW].records >= records


def same_rid_same_record(seen: list[tuple[str, Mapping[str, Any]]]) -> None:
    """A repeated id always carries the same record; the mark for history may differ."""
    by_rid: dict[int, str] = {}
    for record in records_of(seen):
        text = json.dumps({k: v for k, v in record.items() if k != "h"}, sort_keys=True)
        assert by_rid.setdefault(record["rid"], text) == text


async def until_all_stored_arrived(site: TestSite, ledger: Ledger, bound_s: float = 20) -> None:
    stored = site.stored().keys()
    try:
        async with asyncio.timeout(bound_s):
            while not stored <= {i for lo, hi in ledger.gateways[GW].stores[ledger.gateways[GW].epoch].have
                                 for i in range(lo, hi + 1)}:  # fmt: skip
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"missing: {ledger.gateways[GW].gaps()[:5]}\n{site.log}") from None


async def test_every_reading_reaches_the_centre_in_order_and_fits_the_contract(
    site: TestSite, broker: Mosquitto
) -> None:
    site.write()
    async with site.devices(), receiver(broker) as centre:
        with every_message_checked(centre) as seen:
            await site.start()
            await centre.until(has(100), 20)
            assert await site.terminate() == 0, site.log
            await until_all_stored_arrived(site, centre.ledger)
    kinds = Counter(topic.split("/", 3)[3] for topic, _ in seen)
    assert {"state", "cat", "hb", "tele/live"} <= kinds.keys()
    rids = [record["rid"] for record in records_of(seen)]
    assert rids == sorted(set(rids))
    book = centre.ledger.gateways[GW]
    assert (book.duplicates, book.online) == (0, False)
    assert {record["pt"] for record in records_of(seen)} >= {f"d{d}/r{r}" for d in (1, 2) for r in range(4)}


async def test_a_broker_that_stops_for_a_while_loses_nothing(site: TestSite, broker: Mosquitto) -> None:
    site.write()
    async with site.devices(), receiver(broker) as centre:
        with every_message_checked(centre) as seen:
            await site.start()
            await centre.until(has(20), 20)
            broker.stop()
            before = (await site.status())["readings"]
            await asyncio.sleep(3)
            during = (await site.status())["readings"]
            await broker.start()
            await centre.until(has(during), 20)
            assert await site.terminate() == 0, site.log
            await until_all_stored_arrived(site, centre.ledger)
            same_rid_same_record(seen)
    assert during - before >= 60, "polling went on while the broker was away"


async def test_a_broker_that_is_reachable_but_silent_loses_nothing(site: TestSite, broker: Mosquitto) -> None:
    site.site["uplink"]["ack_timeout_s"] = 1
    site.write()
    async with site.devices(), receiver(broker) as centre:
        with every_message_checked(centre) as seen:
            await site.start()
            await centre.until(has(20), 20)
            broker.freeze()
            status = await site.until_status(lambda s: not s["uplink"]["connected"], 10)
            before = status["readings"]
            await asyncio.sleep(2)
            during = (await site.status())["readings"]
            broker.thaw()
            await centre.until(has(during), 20)
            assert await site.terminate() == 0, site.log
            await until_all_stored_arrived(site, centre.ledger)
            same_rid_same_record(seen)
    assert during - before >= 40, "polling went on while the broker was silent"


async def test_kill_9_at_random_moments_loses_no_committed_record_and_reuses_no_id(
    site: TestSite, broker: Mosquitto
) -> None:
    """The file is read after each kill: what is in it was committed, and must arrive; ids only grow."""
    moments = random.Random(22_11)
    site.write()
    committed: dict[int, dict[str, Any]] = {}
    async with site.devices(), receiver(broker) as centre:
        with every_message_checked(centre) as seen:
            for _ in range(8):
                await site.start()
                top = max(committed, default=0)
                await site.until_status(lambda s, top=top: s["store"]["rid_hi"] > top)
                await asyncio.sleep(moments.uniform(0.0, 0.6))
                await site.kill()
                now = site.stored()
                for rid, record in committed.items():
                    kept = now[rid]
                    assert (kept["pt"], kept["t1"], kept["v"]) == (record["pt"], record["t1"], record["v"])
                committed = now
                assert sorted(now) == list(range(min(now), max(now) + 1)), "ids have no holes"
            await site.start()
            await site.until_status(lambda s: s["uplink"]["connected"])
            assert await site.terminate() == 0, site.log
            await until_all_stored_arrived(site, centre.ledger)
            same_rid_same_record(seen)
    arrived = {record["rid"]: record for record in records_of(seen)}
    assert all(arrived[rid]["v"] == record["v"] for rid, record in committed.items())


async def test_started_without_a_broker_and_killed_nothing_committed_is_lost(site: TestSite, broker: Mosquitto) -> None:
    broker.stop()
    site.write()
    async with site.devices():
        await site.start()
        await site.until_status(lambda s: s["store"]["rid_hi"] >= 60)
        await site.kill()
        committed = site.stored()
        await broker.start()
        async with receiver(broker) as centre:
            await site.start()
            await centre.until(has(len(committed)), 20)
            await until_all_stored_arrived(site, centre.ledger)
            assert await site.terminate() == 0, site.log
    assert len(committed) >= 60


async def test_sigterm_closes_open_windows_as_partial_commits_and_drains(site: TestSite, broker: Mosquitto) -> None:
    for point in site.profile["points"].values():
        point.update(forward="windows", window_s=3600)
    site.write()
    async with site.devices(), receiver(broker) as centre:
        with every_message_checked(centre) as seen:
            await site.start()
            await site.until_status(lambda s: s["readings"] >= 40)
            assert records_of(seen) == [], "an hour's window is not over yet"
            assert await site.terminate() == 0, site.log
            await centre.until(has(8), 10)
            await centre.until(lambda ledger: ledger.gateways[GW].online is False, 10)
    windows = [record for record in records_of(seen) if not record["pt"].startswith("gateway/")]
    assert len(windows) == 8
    assert all("partial" in record["f"] and record["n"] >= 4 and record["t1"] > record["t0"] for record in windows)
    assert centre.ledger.gateways[GW].gaps() == []
    assert site.summary()["waiting"] == 0


async def test_a_second_signal_stops_at_once_and_what_is_committed_stays(site: TestSite, broker: Mosquitto) -> None:
    site.write()
    async with site.devices():
        await site.start()
        await site.until_status(lambda s: s["uplink"]["connected"] and s["store"]["rid_hi"] > 0)
        broker.freeze()
        await asyncio.sleep(0.3)
        assert site.child is not None
        site.child.terminate()
        await asyncio.sleep(0.3)
        began = asyncio.get_running_loop().time()
        assert await site.terminate() == 0, site.log
        assert asyncio.get_running_loop().time() - began < 2
        broker.thaw()
    assert site.summary()["records"] > 0
