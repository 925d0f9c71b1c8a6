"""Devices that are unplugged, silent or slow: their neighbours do not notice, and absence is data."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Sequence
from typing import Any

from gateway.ioc.receiver import Receiver
from tests.kit.brokers import Mosquitto
from tests.kit.site import TestSite, every_message_checked, records_of

EVERY_S = 0.25


def stamps(records: Sequence[Any], device: str) -> list[tuple[int, Any]]:
    """(time, value) of the first register of a device, in order."""
    return sorted((r["t1"], r["v"]) for r in records if r["pt"] == f"{device}/r0")


async def test_a_device_that_is_unplugged_is_missing_with_its_reason_and_comes_back(
    site: TestSite, broker: Mosquitto
) -> None:
    site.write()
    async with site.devices() as field, Receiver(host="127.0.0.1", port=broker.port) as centre:
        with every_message_checked(centre) as seen:
            await site.start()
            await site.until_status(lambda s: s["readings"] >= 40)
            await field.wires["bus"].unplug()
            status = await site.until_status(lambda s: not s["sources"]["bus"]["up"])
            assert "link-down" in status["sources"]["bus"]["why"]
            await asyncio.sleep(1.5)
            await field.wires["bus"].plug()
            back = await site.until_status(lambda s: s["sources"]["bus"]["up"])
            await site.until_status(lambda s: s["readings"] >= back["readings"] + 40)
            assert await site.terminate() == 0, site.log
            await centre.until(lambda ledger: not ledger.gateways["38-test-01"].online, 10)
    values = [value for _, value in stamps(records_of(seen), "d1")]
    gap = values.index(None)
    assert None not in values[:gap]
    assert values[-1] is not None
    reasons = {reason for r in records_of(seen) if r["v"] is None for reason in r["f"]}
    assert "link_down" in reasons
    assert site.log.count("bus is down") == 1
    assert site.log.count("bus is back") == 1


async def test_a_dead_rtu_slave_slows_its_neighbours_by_no_more_than_its_own_timeout_per_backoff(
    site: TestSite, broker: Mosquitto
) -> None:
    timeout_s = 0.2
    site.site["wires"] = {"pair": {"kind": "modbus_rtu", "port": "run/tty", "baud": 115200, "timeout_s": timeout_s}}
    site.site["devices"] = {
        f"d{n}": {"profile": "registers", "wire": "pair", "unit": n, "every_s": EVERY_S} for n in range(1, 6)
    }
    site.write()
    async with site.devices() as field, Receiver(host="127.0.0.1", port=broker.port) as centre:
        with every_message_checked(centre) as seen:
            await site.start()
            await site.until_status(
                lambda s: all(s["sources"]["pair"]["devices"][f"d{n}"]["online"] for n in range(1, 6))
            )
            field.units["d3"].fault.silent = True
            dead = await site.until_status(lambda s: not s["sources"]["pair"]["devices"]["d3"]["online"])
            await asyncio.sleep(4)
            field.units["d3"].fault.silent = False
            alive = await site.until_status(lambda s: s["sources"]["pair"]["devices"]["d3"]["online"])
            assert await site.terminate() == 0, site.log
            await centre.until(lambda ledger: not ledger.gateways["38-test-01"].online, 10)
    records = records_of(seen)
    for n in (1, 2, 4, 5):
        good = [at for at, value in stamps(records, f"d{n}") if value is not None]
        during = [at for at in good if dead["now_ms"] <= at <= alive["now_ms"]]
        wanted = (alive["now_ms"] - dead["now_ms"]) / 1000 / EVERY_S
        assert len(during) >= 0.95 * wanted - 1, f"d{n}: {len(during)} of {wanted:.0f} polls"
        longest_ms = max(b - a for a, b in itertools.pairwise(good))
        assert longest_ms <= 1000 * (EVERY_S + timeout_s) + 100, f"d{n} waited {longest_ms} ms"
    silent = [value for at, value in stamps(records, "d3") if dead["now_ms"] < at < alive["now_ms"] - 1000]
    assert len(silent) >= 8
    assert set(silent) == {None}


async def test_the_watchdog_is_fed_while_everything_turns_and_ready_is_said_once(
    site: TestSite, broker: Mosquitto
) -> None:
    site.profile["confirmed"] = False
    site.write()
    address = site.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.setblocking(False)
        async with site.devices():
            await site.start({"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "1000000"})
            said: list[bytes] = []
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(20):
                while said.count(b"WATCHDOG=1") < 3:
                    said.append(await loop.sock_recv(manager, 100))
            assert await site.terminate() == 0, site.log
            async with asyncio.timeout(5):
                while b"STOPPING=1" not in said:
                    said.append(await loop.sock_recv(manager, 100))
    assert "unconfirmed-profile devices.d1.profile" in site.log  # it runs, and says what it doubts
    # Opening a store may take long, so it asks for time first.
    assert next(word for word in said if not word.startswith(b"EXTEND_TIMEOUT_USEC=")) == b"READY=1"
    assert said.count(b"READY=1") == 1
