"""Commands over a real broker: read back, at most once, never late, always answered."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.ioc.receiver import Receiver, new_id
from gateway.model.clock import SystemClock
from tests.kit.brokers import Mosquitto
from tests.kit.site import TestSite, every_message_checked, records_of

GW = "38-test-01"


def command(**more: Any) -> dict[str, Any]:
    now_ms = SystemClock().now_ms()
    return {
        "s": "cmd/1", "id": new_id(now_ms), "gw": GW, "iss": "ioc-demo", "iat": now_ms, "ttl": 30,
        "op": "point.set", "to": ["d1/r1"], "arg": {"value": 7}, **more,
    }  # fmt: skip


async def test_a_command_is_written_read_back_answered_and_recorded(site: TestSite, broker: Mosquitto) -> None:
    site.write()
    async with site.devices() as field, Receiver(host="127.0.0.1", port=broker.port) as centre:
        with every_message_checked(centre) as seen:
            await site.start()
            await site.until_status(lambda s: s["uplink"]["connected"] and s["sources"]["bus"]["up"])
            for value in (7, 65535, 0):
                outcome = await centre.send(GW, "point.set", ["d1/r1"], {"value": value}, timeout_s=10)
                assert (outcome["st"], outcome["res"][0]["got"]) == ("applied", value)
            assert [words for _, _, words in field.units["d1"].writes] == [[7], [65535], [0]]
            outcome = await centre.send(GW, "point.read", ["d1/r1"], timeout_s=10)
            assert outcome["res"][0]["got"] == 0
            assert await site.terminate() == 0, site.log
            await centre.until(lambda ledger: not ledger.gateways[GW].online, 10)
    durable = [r["v"] for r in records_of(seen) if r["ind"] == "gw.command"]
    assert durable == ["applied"] * 4


async def test_repeated_and_expired_and_foreign_commands_never_act(site: TestSite, broker: Mosquitto) -> None:
    site.write()
    async with site.devices() as field, Receiver(host="127.0.0.1", port=broker.port) as centre:
        with every_message_checked(centre):
            await site.start()
            await site.until_status(lambda s: s["uplink"]["connected"] and s["sources"]["bus"]["up"])
            once = command()
            answers = [await centre.send_raw(GW, once, timeout_s=10) for _ in range(3)]
            assert [a["st"] for a in answers] == ["applied"] * 3
            old = command(iat=SystemClock().now_ms() - 60_000)
            assert (await centre.send_raw(GW, old, timeout_s=10))["st"] == "expired"
            for wrong in (command(iss="stranger"), command(gw="38-other-01"), command(to=["d1/r99"])):
                assert (await centre.send_raw(GW, wrong, timeout_s=10))["st"] in ("refused", "failed")
            assert len(field.units["d1"].writes) == 1
            # Across a restart, too.
            await site.kill()
            await site.start()
            await site.until_status(lambda s: s["uplink"]["connected"] and s["sources"]["bus"]["up"])
            assert (await centre.send_raw(GW, once, timeout_s=10))["st"] == "applied"
            assert len(field.units["d1"].writes) == 1


async def test_a_command_cut_off_by_kill_9_is_interrupted_and_not_repeated(site: TestSite, broker: Mosquitto) -> None:
    site.site["wires"]["bus"]["timeout_s"] = 5
    site.write()
    async with site.devices() as field, Receiver(host="127.0.0.1", port=broker.port) as centre:
        await site.start()
        await site.until_status(lambda s: s["uplink"]["connected"] and s["sources"]["bus"]["up"])
        field.units["d2"].fault.silent = True
        cut = command(to=["d2/r1"])
        waiting = asyncio.create_task(centre.send_raw(GW, cut, timeout_s=30))
        async with asyncio.timeout(10):
            while not site.summary()["commands"].get("accepted"):
                await asyncio.sleep(0.02)
        await site.kill()
        field.units["d2"].fault.silent = False
        await site.start()
        outcome = await waiting
        assert outcome["st"] == "interrupted"
        await site.until_status(lambda s: s["readings"] > 40)
        assert field.units["d2"].writes == []
