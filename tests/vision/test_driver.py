"""The driver with its real child. What it promises when the child misbehaves is in tests/contracts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gateway.model.clock import SystemClock
from gateway.model.errors import LinkDown
from gateway.model.measure import Reading
from tests.vision.kit import no_secret, settings
from vision import simulate
from vision.driver import CameraDriver

LINES = {"l1": {"from": [0.05, 0.55], "to": [0.95, 0.55]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    simulate.make_clip(place / "clip.avi", 10.0, seed=4)
    return place


def camera(folder: Path, **changes: Any) -> CameraDriver:
    return CameraDriver("junction", settings(lines=LINES, **changes), folder, SystemClock(), no_secret)


async def read(driver: CameraDriver, *, until_missing: bool = False, seconds: float = 60) -> list[list[Reading]]:
    batches = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), contextlib.aclosing(driver.batches()) as source:
            async for batch in source:
                if until_missing and batch[0].value is None:
                    break
                batches.append(list(batch))
    return batches


async def test_a_file_is_counted_through_the_whole_chain(folder: Path) -> None:
    truth = simulate.truth(simulate.traffic(10.0, 4), (0.05, 0.55, 0.95, 0.55))
    async with camera(folder, pace="fast") as driver:
        batches = await read(driver, until_missing=True)
    for way in ("up", "down"):
        counted = sum(r.value for batch in batches for r in batch if r.signal == f"junction/l1/vehicle/{way}")
        assert counted == pytest.approx(sum(p.direction == way for p in truth), abs=1)
    assert {r.value for batch in batches for r in batch if r.signal == "junction/frames"} == {1.0}


async def test_in_real_time_reports_come_at_their_pace_and_the_pictures_with_them(folder: Path) -> None:
    async with camera(folder, pace="real", every_s=0.5) as driver:
        batches = await read(driver, seconds=3.2)
    assert 4 <= len(batches) <= 7
    shares = [r.value for batch in batches[1:] for r in batch if r.signal == "junction/frames"]
    assert sum(shares) / len(shares) > 0.8


async def test_a_stopped_process_is_a_hung_camera(folder: Path) -> None:
    async with camera(folder, pace="real") as driver:
        assert driver._child is not None
        pid = driver._child.pid
        assert await read(driver, seconds=0.7)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(LinkDown, match="said nothing"):
            await read(driver, seconds=5)
    assert not Path(f"/proc/{pid}").exists()


async def test_a_file_that_is_not_there_yet_may_come_later(tmp_path: Path) -> None:
    with pytest.raises(LinkDown, match="no such video file") as caught:
        await camera(tmp_path).__aenter__()
    assert caught.value.where == "junction"
