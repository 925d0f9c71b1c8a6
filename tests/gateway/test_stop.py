"""A stop is an order with bounds: nothing can hold it up for ever."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from config.site import load_site
from gateway.app import Gateway
from tests.kit.brokers import free_port
from tests.kit.site import TestSite


async def test_a_disk_that_takes_nothing_does_not_hold_up_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for bound in ("gateway.app.COMMIT_S", "gateway.app.DRAIN_S", "buffer.store.CLOSE_S"):
        monkeypatch.setattr(bound, 0.2)
    site = TestSite(tmp_path, free_port())
    site.write()
    gateway, stop = Gateway(load_site(site.file)), asyncio.Event()
    running = asyncio.create_task(gateway.run(stop))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with asyncio.timeout(20):
        while gateway.store.journal.head()[0] == 0:
            await asyncio.sleep(0.02)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))  # every write beyond 8 KiB fails
            while "wait in memory" not in caplog.text:
                await asyncio.sleep(0.02)
            stop.set()
            await running
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "the disk takes nothing" in caplog.text
