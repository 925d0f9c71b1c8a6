"""T1: the power goes. What had been sent to the block device is all there is; nothing promised may be missing.

A store on ext4 in an image file; the process is stopped at a random moment and the image copied as it is then. Each
cut happens on what the one before it left. More of them: GATEWAY_TEST_CUTS=100.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from gateway.model.clock import SystemClock
from tests.durability.announcer import Order
from tests.durability.life import hear, life
from tests.durability.promises import Promises
from tests.kit.clock import ManualClock

CUTS = int(os.environ.get("GATEWAY_TEST_CUTS", "4"))
SAME_BOX = 10  # then a new image: this one fills up
IMAGE_MB = 48


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@contextlib.contextmanager
def mounted(image: Path, at: Path) -> Iterator[None]:
    # The loop device goes with the mount. commit: nothing but our own syncs writes while the image is copied.
    run("mount", "-o", "loop,commit=300", image, at)
    try:
        yield
    finally:
        try:
            run("umount", at)
        except subprocess.CalledProcessError:
            run("umount", "--lazy", at)
            raise


def fresh(image: Path) -> None:
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(IMAGE_MB << 20)
    run("mkfs.ext4", "-q", "-F", image)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder to mount on. Skips where one cannot."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a disk of its own")
    for program in ("mount", "umount", "mkfs.ext4"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    folder = tmp_path / "disk"
    folder.mkdir()
    fresh(tmp_path / "now.img")
    try:
        with mounted(tmp_path / "now.img", folder):
            pass
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop device can be mounted here: {error.stderr.decode().strip()}")
    return folder


async def cut(folder: Path, promises: Promises, order: Order, after_s: float) -> None:
    """Lets a process work on folder/now.img until the power goes; now.img is then what was left."""
    now, left = folder / "now.img", folder / "left.img"
    with mounted(now, folder / "disk"):
        async with life(folder) as box:
            await box.begin(order)
            await asyncio.sleep(after_s)
            await box.freeze()
            run("cp", "--sparse=always", now, left)
            said = box.said("stored")
            assert "Traceback" not in box.log, box.log
            hear(promises, box)
    assert said or after_s < 0.3, "it had time and stored nothing"
    left.rename(now)


async def test_a_power_cut_takes_nothing_that_was_promised(tmp_path: Path, disk: Path) -> None:
    random = Random(22_11)
    promises = Promises()
    store = disk / "store.sqlite3"
    for number in range(CUTS):
        if number and number % SAME_BOX == 0:
            fresh(tmp_path / "now.img")
            promises = Promises()
        order = Order(path=str(store), run=f"cut{number}", repeat=sorted(promises.acted)[-5:])
        await cut(tmp_path, promises, order, random.uniform(0.05, 0.7))
        with mounted(tmp_path / "now.img", disk):
            await promises.kept(store, SystemClock(trusted=True))
    assert promises.top > 500
    assert promises.quiet
    assert promises.outcomes
    assert promises.windows


async def test_the_power_cut_is_real(tmp_path: Path, disk: Path) -> None:
    """A store that leaves the syncs out does not survive it: otherwise the test above shows nothing."""
    promises = Promises()
    await cut(tmp_path, promises, Order(path=str(disk / "store.sqlite3"), run="careless", careless=True), 0.5)
    with mounted(tmp_path / "now.img", disk), pytest.raises(AssertionError):
        await promises.kept(disk / "store.sqlite3", ManualClock())
