"""A broker's acknowledgement is not delivery: what it dropped behind our back is seen, asked for, and comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.ioc.ledger import Ledger
from gateway.ioc.receiver import Receiver
from tests.kit.brokers import Mosquitto, mosquitto
from tests.kit.site import TestSite, every_message_checked, records_of

GW = "38-test-01"


@pytest.fixture
async def forgetful(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """Keeps ten messages for a consumer that is away and drops the rest; the publisher hears only yes."""
    async with mosquitto(tmp_path / "forgetful", options=["max_queued_messages 10"]) as broker:
        yield broker


def missing(ledger: Ledger) -> int:
    return sum(hi - lo + 1 for lo, hi in ledger.book(GW).gaps())


async def test_a_consumer_that_was_away_gets_what_the_broker_dropped(site: TestSite, forgetful: Mosquitto) -> None:
    site.site["uplink"].update(port=forgetful.port, flush_every_s=0, e2e_ack=True)
    for device in site.site["devices"].values():
        device["every_s"] = 0.05
    site.write()
    centre = Receiver(host="127.0.0.1", port=forgetful.port, repair_after_s=2)
    async with site.devices():
        async with centre:
            await site.start()
            await centre.until(lambda ledger: ledger.book(GW).records > 0, 20)
        away_from = centre.ledger.book(GW).records
        await site.until_status(lambda s: s["uplink"]["sent_records"] > away_from + 1000)
        with every_message_checked(centre) as seen:
            async with centre:
                await centre.until(lambda ledger: missing(ledger) > 500, 20)
                await centre.until(
                    lambda ledger: ledger.book(GW).records > away_from + 1000 and not missing(ledger), 30
                )
                assert await site.terminate() == 0, site.log
                await centre.until(lambda ledger: ledger.book(GW).online is False, 10)
                await centre.until(lambda ledger: not missing(ledger), 10)
    stored = site.stored()
    have = centre.ledger.book(GW).stores[centre.ledger.book(GW).epoch].have
    assert list(have) == [(1, max(stored))]
    assert all(record["v"] == stored[record["rid"]]["v"] for record in records_of(seen))
    assert "replay" in centre.ledger.book(GW).state["caps"]
    assert "are sent again" in site.log
