"""The journal of a running gateway, and what the centre knows of it."""

from __future__ import annotations

import copy
import sqlite3

from buffer import journal
from buffer.journal import Verdict
from gateway.ioc.ledger import JournalBook
from gateway.ioc.receiver import Receiver
from tests.kit.brokers import Mosquitto
from tests.kit.site import TestSite, every_message_checked

GW = "38-test-01"


async def test_the_centre_can_prove_that_a_journal_was_rewritten(site: TestSite, broker: Mosquitto) -> None:
    site.write()
    async with site.devices(), Receiver(host="127.0.0.1", port=broker.port) as centre:
        with every_message_checked(centre):
            await site.start()
            await site.until_status(lambda s: s["uplink"]["connected"] and s["sources"]["bus"]["up"])
            for value in (7, 8):
                await centre.send(GW, "point.set", ["d1/r1"], {"value": value}, timeout_s=10)
            book = centre.ledger.book(GW).journal
            await centre.until(lambda _: max(book.heads, default=0) == 4, 10)
            assert verified(site, book).holds
            assert await site.terminate() == 0, site.log
        with journal.opened(site.store) as connection:
            kinds = [row.kind for row in journal.entries(connection, journal.Choice())]
        assert kinds == ["config", "start", "command", "command", "stop"]
        # Somebody takes the second command out of the stopped gateway, and it goes on from there.
        with sqlite3.connect(site.store) as connection:
            connection.execute("DELETE FROM journal WHERE seq > 3")
        connection.close()
        told = copy.deepcopy(book)
        await site.start()
        await centre.until(lambda _: bool(book.broken), 20)
        assert verified(site, None).holds, "from inside it looks whole"
        assert verified(site, told).broken[0].seq == 4


def verified(site: TestSite, told: JournalBook | None) -> Verdict:
    """Beside the running gateway, against what the centre was told."""
    with journal.opened(site.store) as connection:
        return journal.verify(connection, {seq: {head} for seq, head in told.heads.items()} if told else None)
