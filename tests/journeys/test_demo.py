"""The demo is the main job on one command: it must work on any desk, and say the truth about itself."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

GATEWAY = (sys.executable, "-P", "-c", "from gateway.cli import main; main()")

STUCK = """\
scenario: stuck
title_en: Circuit 1 never follows
title_vi: Nhánh 1 không tác động
teaches_en: x
teaches_vi: x
steps:
  - {at: 0s, on: {points: lamps/circuit_1}, do: {ignore_writes: true}, say_en: x, say_vi: x}
"""


async def start(tmp_path: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *GATEWAY, "demo", "--folder", str(tmp_path / "demo"), *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


async def test_the_demo_ends_with_one_json_object_and_nothing_lost(tmp_path: Path) -> None:
    pytest.importorskip("amqtt", reason="the extra `demo` is not installed")
    file = tmp_path / "stuck.yaml"
    file.write_text(STUCK, encoding="utf-8")
    child = await start(tmp_path, "--for", "15s", "--json", "--scenario", str(file))
    async with asyncio.timeout(120):
        out, err = await child.communicate()
    assert child.returncode == 0, err.decode() + (tmp_path / "demo" / "demo.log").read_text()
    summary: dict[str, Any] = json.loads(out)
    assert summary.keys() == {
        "readings", "records_stored", "records_received", "lost", "duplicates", "commands", "cameras", "set_aside",
    }  # fmt: skip
    assert summary["readings"] > 200
    assert summary["records_stored"] == summary["records_received"] > 50
    assert (summary["lost"], summary["duplicates"], summary["set_aside"]) == (0, 0, 0)
    commands = summary["commands"]
    answered = commands["applied"] + commands["unverified"]
    assert 2 <= answered <= commands["sent"] <= answered + 1, "one may be under way at the end"
    assert commands["unverified"] >= 1, "a lamp that does not follow is never called switched"
    camera = summary["cameras"]["junction"]
    assert sum(camera["truth"].values()) >= 3
    for way, truth in camera["truth"].items():
        assert abs(camera["counted"][way] - truth) <= 1, camera


async def test_ctrl_c_stops_the_demo_cleanly_and_quickly_and_leaves_no_process(tmp_path: Path) -> None:
    child = await start(tmp_path, "--for", "100s")
    log = tmp_path / "demo" / "demo.log"
    async with asyncio.timeout(90):
        while not (log.exists() and "connected to" in log.read_text()):
            assert child.returncode is None
            await asyncio.sleep(0.1)
    began = asyncio.get_running_loop().time()
    child.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        out, err = await child.communicate()
    assert asyncio.get_running_loop().time() - began < 15
    assert child.returncode == 0, err.decode()
    assert "Summary" in out.decode()
    assert processes_of(tmp_path) == []


def processes_of(folder: Path) -> list[str]:
    """Command lines of every process that works in this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(folder) in str((entry / "cwd").readlink()):
                    found.append((entry / "cmdline").read_text())
            except OSError:
                continue
    return found
