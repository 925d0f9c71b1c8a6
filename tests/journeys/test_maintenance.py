"""Verbs that act on the store of a gateway at work: through it, beside its polling, and losing nothing when it dies."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

from buffer.chosen import set_aside
from buffer.inspect import read_only, unsettled
from buffer.settings import BufferSettings
from buffer.store import Store
from buffer.verify import Verdict, verify
from gateway.api import SOCKET_NAME, tell, user_name
from gateway.ioc.receiver import Receiver
from gateway.model.clock import SystemClock
from gateway.model.errors import NotRunning
from gateway.model.ports import Lane
from gateway.model.spans import Spans
from tests.journeys.test_delivery import GW, has, receiver, same_rid_same_record, until_all_stored_arrived
from tests.kit.brokers import Mosquitto
from tests.kit.site import GATEWAY, TestSite, every_message_checked, records_of

assert sys.executable in GATEWAY


async def typed(*words: str | Path) -> Any:
    """What a verb answers, as a person's shell starts it."""
    child = await asyncio.create_subprocess_exec(
        *GATEWAY, "buffer", *map(str, words), "--json", stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            out, err = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0, err.decode()
    return json.loads(out)


async def with_set_aside(path: Path, records: int) -> None:
    """A store from before, whose first records the far end refused, a hundred at a time."""
    async with Store(path, BufferSettings(commit_every_s=0.01, ballast_mb=0), SystemClock()) as store:
        await store.append(
            [b'"pt":"d1/r1","ind":"test.register","t1":1,"v":%d,"q":"good"}' % i for i in range(records)]
        )
        await store.flush()
        while (batch := await store.outbox.take(Lane.LIVE, 100, 65536)) is not None:
            await store.outbox.refuse(batch, "record-rejected: too large")


def checked(path: Path) -> Verdict:
    with read_only(path) as connection:
        return verify(connection, lambda _, __: None)


def notes(path: Path) -> list[dict[str, Any]]:
    with read_only(path) as connection:
        rows = connection.execute("SELECT body FROM journal WHERE kind = 'maintenance' ORDER BY seq").fetchall()
    return [json.loads(body) for (body,) in rows]


async def until(centre: Receiver, met: Any) -> None:
    await centre.until(lambda ledger: GW in ledger.gateways and met(ledger.gateways[GW]), 20)


async def test_what_is_replayed_arrives_with_the_same_ids_and_is_dropped_as_a_duplicate(
    site: TestSite, broker: Mosquitto
) -> None:
    site.write()
    async with site.devices(), receiver(broker) as centre:
        with every_message_checked(centre) as seen:
            await site.start()
            await centre.until(has(60), 20)
            await site.until_status(lambda s: sum(s["store"]["waiting"].values()) == 0)
            result = await typed("replay", site.file, "--ids", "11-50")
            await until(centre, lambda book: book.duplicates >= 40)
            assert await site.terminate() == 0, site.log
            await until_all_stored_arrived(site, centre.ledger)
            same_rid_same_record(seen)
    assert (result["records"], result["not_held"]) == (40, [])
    assert centre.ledger.gateways[GW].duplicates == 40
    rids = [record["rid"] for record in records_of(seen) if record.get("h")]
    assert set(range(11, 51)) <= set(rids), "they must not update what is current"
    assert [(note["who"], note["do"]) for note in notes(site.store)] == [(user_name(os.getuid()), "replay")]
    assert checked(site.store).findings == []


async def test_refused_records_are_retried_or_given_up_through_the_running_gateway(
    site: TestSite, broker: Mosquitto, tmp_path: Path
) -> None:
    site.write()
    await with_set_aside(site.store, 300)
    async with site.devices(), receiver(broker) as centre:
        with every_message_checked(centre) as seen:
            await site.start()
            await site.until_status(lambda s: s["store"]["set_aside"] == 300)
            saved = tmp_path / "saved.jsonl"
            async with asyncio.TaskGroup() as verbs:
                retrying = verbs.create_task(typed("retry", site.file, "--ids", "1-150"))
                discarding = verbs.create_task(
                    typed("discard", site.file, "--ids", "151-250", "--yes", "--export", saved)
                )
            retried, discarded = retrying.result(), discarding.result()
            status = await site.until_status(lambda s: s["store"]["set_aside"] == 50)
            await until(centre, lambda book: ("gw", "gw.lost", ()) in book.latest)
            await until(centre, lambda book: not book.stores[book.epoch].have.missing(1, 150))
            assert await site.terminate() == 0, site.log
    assert (retried["records"], discarded["records"], status["store"]["set_aside"]) == (150, 100, 50)
    lost = [record for record in records_of(seen) if record["ind"] == "gw.lost"]
    assert [(r["v"], r["p"], r["f"]) for r in lost] == [(100, {"lo": 151, "hi": 250}, ["discarded"])]
    assert len(saved.read_text(encoding="utf-8").splitlines()) == 100
    assert sorted(note["do"] for note in notes(site.store)) == ["discard", "retry"]


async def test_backup_compact_and_verify_at_once_beside_polling_lose_and_stop_nothing(
    site: TestSite, broker: Mosquitto, tmp_path: Path
) -> None:
    site.write()
    stick = tmp_path / "stick"
    stick.mkdir()
    async with site.devices(), receiver(broker) as centre:
        with every_message_checked(centre) as seen:
            await site.start()
            before = (await site.until_status(lambda s: s["store"]["rid_hi"] >= 60))["store"]["rid_hi"]
            async with asyncio.TaskGroup() as verbs:
                copying = verbs.create_task(typed("backup", site.file, stick))
                compacting = verbs.create_task(typed("compact", site.file))
                verifying = verbs.create_task(typed("verify", site.file))
            copied, compacted, verdict = copying.result(), compacting.result(), verifying.result()
            await site.until_status(lambda s: s["store"]["rid_hi"] >= before + 60)
            assert await site.terminate() == 0, site.log
            await until_all_stored_arrived(site, centre.ledger)
            same_rid_same_record(seen)
    assert verdict["sound"]
    assert compacted["after_bytes"] > 0
    assert copied["newest_rid"] >= before
    assert checked(Path(copied["file"])).findings == []
    assert checked(site.store).findings == []
    rids = [record["rid"] for record in records_of(seen)]
    assert sorted(set(rids)) == list(range(1, max(rids) + 1)), "no reading is missing"
    assert sorted(note["do"] for note in notes(site.store)) == ["backup", "compact"]


async def test_kill_9_of_the_gateway_in_the_middle_of_a_verb_leaves_a_sound_store(
    site: TestSite, broker: Mosquitto
) -> None:
    """Every refused record is set aside still, or on its way, or has arrived: never nowhere."""
    moments = random.Random(31_07)
    site.write()
    await with_set_aside(site.store, 2000)
    socket, told = site.folder / "state" / SOCKET_NAME, 0
    async with site.devices(), receiver(broker) as centre:
        for number, do in enumerate(("retry", "compact", "retry")):
            await site.start()
            await site.until_status(lambda s: s["uplink"]["connected"])
            args = {"spans": [[1 + 500 * number, 500 + 500 * number]]} if do == "retry" else {}
            asked = asyncio.create_task(tell(socket, do, args))
            await asyncio.sleep(moments.uniform(0.0, 0.03))
            await site.kill()
            try:
                await asked
                told += 1
            except NotRunning:
                pass
            assert checked(site.store).findings == []
        await site.start()
        await site.until_status(lambda s: s["uplink"]["connected"] and sum(s["store"]["waiting"].values()) < 20)
        assert await site.terminate() == 0, site.log
    with read_only(site.store) as connection:
        safe = Spans([*((row.lo, row.hi) for row in set_aside(connection)), *unsettled(connection)])
    safe.update(centre.ledger.gateways[GW].stores[centre.ledger.gateways[GW].epoch].have)
    assert safe.missing(1, 2000) == []
    assert told <= len(notes(site.store)), "what was answered was noted"
