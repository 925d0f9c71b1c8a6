"""A camera's process may hang, crash or be starved: the rest of the gateway does not notice, and nothing is made up."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from gateway.ioc.receiver import Receiver
from tests.kit.brokers import Mosquitto
from tests.kit.site import TestSite, every_message_checked, records_of

pytest.importorskip("cv2", reason="the extra `vision` is not installed")


async def make_clip(path: Path, seconds: float) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "vision.simulate", str(path), "--seconds", str(seconds)
    )
    assert await child.wait() == 0


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


async def test_a_camera_child_that_hangs_is_killed_at_its_deadline_restarted_and_reported(
    site: TestSite, broker: Mosquitto
) -> None:
    await make_clip(site.folder / "traffic.mp4", 12)
    site.site["cameras"] = {
        "junction": {
            "source": "traffic.mp4", "pace": "real", "every_s": 0.5, "stall_s": 2,
            "lines": {"l1": {"from": [0.05, 0.55], "to": [0.95, 0.55]}},
        }
    }  # fmt: skip
    site.site["points"] = {"junction/*": {"window_s": 1, "forward": "every"}}
    site.write()
    async with site.devices(), Receiver(host="127.0.0.1", port=broker.port) as centre:
        with every_message_checked(centre) as seen:
            await site.start()
            assert site.child is not None
            await site.until_status(lambda s: s["sources"]["junction"]["up"])
            (eye,) = children_of(site.child.pid)
            os.kill(eye, signal.SIGSTOP)
            before = await site.status()
            down = await site.until_status(lambda s: not s["sources"]["junction"]["up"], 10)
            assert down["now_ms"] - before["now_ms"] < 4500, "noticed at its deadline"
            assert down["sources"]["junction"]["why"]
            assert down["readings"] > before["readings"], "the wires went on"
            again = await site.until_status(lambda s: s["sources"]["junction"]["up"])
            (new_eye,) = children_of(site.child.pid)
            assert new_eye != eye
            assert not Path(f"/proc/{eye}").exists(), "killed and reaped"
            assert again["sources"]["junction"]["restarts"] == 1
            async with asyncio.timeout(20):
                while not any(r["v"] for r in records_of(seen) if r["ind"] == "traffic.count"):
                    await asyncio.sleep(0.1)
            assert await site.terminate() == 0, site.log
            await centre.until(lambda ledger: not ledger.gateways["38-test-01"].online, 10)
        assert not Path(f"/proc/{new_eye}").exists(), "no camera process is left behind"
    counts = [r for r in records_of(seen) if r["ind"] == "traffic.count"]
    missing = [r for r in counts if r["v"] is None]
    assert missing
    assert all(r["q"] == "missing" and r["f"] for r in missing)
    assert site.log.count("junction is down") == 1
    assert site.log.count("junction is back") == 1


async def test_a_camera_that_is_not_there_does_not_keep_the_wires_from_reading(
    site: TestSite, broker: Mosquitto
) -> None:
    site.site["cameras"] = {
        "junction": {"source": "nothing.mp4", "lines": {"l1": {"from": [0.1, 0.5], "to": [0.9, 0.5]}}}
    }
    site.write()
    async with site.devices():
        await site.start()
        status = await site.until_status(lambda s: s["readings"] > 60)
        assert not status["sources"]["junction"]["up"]
        assert "no such video file" in status["sources"]["junction"]["why"]
        assert status["sources"]["bus"]["up"]
        assert await site.terminate() == 0, site.log
