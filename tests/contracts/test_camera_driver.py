"""What every driver promises, for the camera: its child may hang, die, lie or see nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.model.clock import SystemClock
from gateway.model.errors import BadFrame, LinkDown, Unsupported
from gateway.model.measure import Quality, Reading, Reason
from gateway.supervise import Supervisor
from tests.vision.kit import no_secret, settings, stand_in
from vision import process
from vision.driver import CameraDriver

Batch = Sequence[Reading]


def camera(tmp_path: Path, mode: str, *more: str) -> CameraDriver:
    return CameraDriver("junction", settings(), tmp_path, SystemClock(), no_secret, stand_in(mode, *more))


async def take(driver: CameraDriver, count: int) -> list[Batch]:
    """The next `count` batches, in 10 s at most."""
    batches: list[Batch] = []
    async with asyncio.timeout(10), contextlib.aclosing(driver.batches()) as source:
        async for batch in source:
            batches.append(batch)
            if len(batches) == count:
                break
    return batches


def values(batch: Batch) -> dict[str, object]:
    return {reading.signal: reading.value for reading in batch}


def counts(batch: Batch) -> list[Reading]:
    return [reading for reading in batch if reading.signal != "junction/frames"]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def is_gone(pid: int) -> bool:
    """No such process, not even a zombie."""
    return not Path(f"/proc/{pid}").exists()


async def gone(pid: int) -> bool:
    """Whether the process is gone within two seconds; for a grandchild, which init has to bury."""
    for _ in range(200):
        if is_gone(pid) or Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split(")")[1].split()[0] == "Z":
            return True
        await asyncio.sleep(0.01)
    return False


async def test_signals_are_known_before_entering(tmp_path: Path) -> None:
    by_id = {signal.id: signal for signal in camera(tmp_path, "good").signals}
    assert set(by_id) == {"junction/l1/vehicle/up", "junction/l1/vehicle/down", "junction/frames"}
    up = by_id["junction/l1/vehicle/up"]
    assert (up.point, up.indicator, up.unit, up.every_s) == ("junction/l1", "traffic.count", "1", 0.2)
    assert dict(up.tags) == {"cls": "vehicle", "dir": "up"}


async def test_every_signal_comes_exactly_once_a_batch_with_what_was_counted_since(tmp_path: Path) -> None:
    async with camera(tmp_path, "good") as driver:
        batches = await take(driver, 3)
        assert driver.health()["junction"].online
    for batch in batches:
        assert len(batch) == 3
        assert values(batch) == {"junction/l1/vehicle/up": 1, "junction/l1/vehicle/down": 2, "junction/frames": 1.0}
        assert {reading.quality for reading in batch} == {Quality.GOOD}
    assert not driver.health()["junction"].online


@pytest.mark.parametrize(
    ("mode", "reason", "value"),
    [
        ("covered", Reason.OBSCURED_VIEW, None),
        ("half covered", Reason.OBSCURED_VIEW, 0),
        ("stream lost", Reason.LINK_DOWN, None),
        ("silent stream", Reason.NO_ANSWER, None),
        ("too slow", Reason.FRAMES_DROPPED, 0),
        ("far too slow", Reason.FRAMES_DROPPED, None),
    ],
)
async def test_zero_is_said_of_pictures_really_seen_and_of_nothing_else(
    tmp_path: Path, mode: str, reason: Reason, value: int | None
) -> None:
    async with camera(tmp_path, mode) as driver:
        batch = (await take(driver, 4))[-1]
    quality = Quality.MISSING if value is None else Quality.UNCERTAIN
    assert {(r.value, r.quality, r.reasons) for r in counts(batch)} == {(value, quality, (reason,))}
    if value is None:
        assert values(batch)["junction/frames"] == 0.0


async def test_a_hung_child_is_missed_at_its_deadline_and_killed_on_leaving(tmp_path: Path) -> None:
    driver = camera(tmp_path, "hangs")
    loop = asyncio.get_running_loop()
    async with driver:
        assert driver._child is not None
        pid = driver._child.pid
        await take(driver, 2)
        began = loop.time()
        with pytest.raises(LinkDown, match=r"said nothing for 1\.2 s") as caught:
            await take(driver, 1)
        assert 1.0 < loop.time() - began < 2.0
        assert caught.value.where == "junction"
        assert caught.value.hint
        assert not driver.health()["junction"].online
    assert is_gone(pid)


async def test_the_supervisor_says_missing_once_logs_one_line_and_brings_a_hung_camera_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pid_file = tmp_path / "pid"
    got: list[Batch] = []
    back = asyncio.Event()

    async def sink(batch: Batch) -> None:
        got.append(batch)
        if len(got) == 6:
            back.set()

    supervisor = Supervisor(camera(tmp_path, "hangs once", str(pid_file)), sink, SystemClock())
    task = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(15):
        await back.wait()
        last = int(pid_file.read_text(encoding="ascii"))
        task.cancel()
        await asyncio.wait([task])
    counted = [values(batch)["junction/l1/vehicle/down"] for batch in got]
    assert counted == [2, 2, None, 2, 2, 2]
    assert [record.levelname for record in caplog.records if "junction" in record.message] == ["WARNING", "INFO"]
    assert is_gone(last)


async def test_what_a_child_started_dies_with_it(tmp_path: Path) -> None:
    async with camera(tmp_path, "has a hanging child") as driver:
        await take(driver, 2)
        assert driver._child is not None
        pid = driver._child.pid
        group: list[int] = []
        async with asyncio.timeout(5):
            while len(group) < 2:
                await asyncio.sleep(0.01)
                group = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _group(p) == pid]
    for member in group:
        assert await gone(member)


def _group(process_folder: Path) -> int:
    try:
        return int((process_folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[2])
    except OSError:
        return 0


@pytest.mark.parametrize(
    ("mode", "error", "words"),
    [
        ("crashes", LinkDown, "signal 11"),
        ("gives up", LinkDown, "ValueError in chain"),
        ("garbage", BadFrame, "no message"),
        ("endless line", BadFrame, "endless"),
    ],
)
async def test_a_child_that_dies_or_lies_is_an_error_that_waiting_may_mend(
    tmp_path: Path, mode: str, error: type[LinkDown], words: str
) -> None:
    async with camera(tmp_path, mode) as driver:
        with pytest.raises(error, match=words) as caught:
            await take(driver, 10)
        assert caught.value.retry
        assert driver.health()["junction"].why


async def test_a_failed_entry_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_S", 0.5)
    files = open_files()
    for mode, error in (("refused", Unsupported), ("no camera", LinkDown), ("deaf", LinkDown)):
        driver = camera(tmp_path, mode)
        with pytest.raises(error) as caught:
            await driver.__aenter__()
        assert caught.value.hint
        assert caught.value.retry == (error is LinkDown)
        assert driver.health()["junction"].why == caught.value.what
    await asyncio.sleep(0)
    assert open_files() == files


async def test_a_file_played_once_is_counted_once_and_then_missing(tmp_path: Path) -> None:
    async with camera(tmp_path, "ends") as driver:
        batches = await take(driver, 4)
    assert [values(batch)["junction/l1/vehicle/down"] for batch in batches] == [2, 2, None, None]


async def test_entering_and_leaving_again_and_again_leaks_nothing(tmp_path: Path) -> None:
    driver = camera(tmp_path, "good")
    async with driver:
        await take(driver, 1)
    files = open_files()
    for _ in range(3):
        async with driver:
            await take(driver, 1)
    await driver.__aexit__(None, None, None)
    assert open_files() == files
    assert len(asyncio.all_tasks()) == 1


async def test_leaving_while_someone_waits_for_a_batch_reaps_the_child(tmp_path: Path) -> None:
    pids = []

    async def watch() -> None:
        async with camera(tmp_path, "hangs") as driver:
            assert driver._child is not None
            pids.append(driver._child.pid)
            await take(driver, 100)

    task = asyncio.create_task(watch())
    async with asyncio.timeout(10):
        while not pids:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert is_gone(pids[0])
