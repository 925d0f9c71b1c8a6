"""A store that turns out to be damaged ends the gateway, and the next start goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from buffer.bundle import inflate
from buffer.check import suspicion
from config.site import load_site
from gateway.app import Gateway
from gateway.model.errors import StoreDamaged
from tests.kit.brokers import free_port
from tests.kit.site import TestSite


async def test_damage_at_run_time_ends_the_gateway_and_the_next_start_salvages(tmp_path: Path) -> None:
    site = TestSite(tmp_path, free_port())
    site.write()
    gateway = Gateway(load_site(site.file))
    running = asyncio.create_task(gateway.run(asyncio.Event()))
    async with asyncio.timeout(20):
        while gateway.store.journal.head()[0] == 0:
            await asyncio.sleep(0.02)
        with pytest.raises(StoreDamaged):  # whoever meets it first
            await gateway.store._writer.read(lambda _: inflate(b"no such bundle"))
        with pytest.raises(BaseExceptionGroup) as caught:
            await running
    assert caught.group_contains(StoreDamaged)
    assert suspicion(site.store) is not None
    epoch = gateway.store.outbox.epoch

    again, stop = Gateway(load_site(site.file)), asyncio.Event()
    running = asyncio.create_task(again.run(stop))
    async with asyncio.timeout(20):
        while again.store.journal.head()[0] == 0:
            await asyncio.sleep(0.02)
        assert again.status()["store"]["checked"] == "salvaged"
        assert again.store.outbox.epoch != epoch
        stop.set()
        await running
