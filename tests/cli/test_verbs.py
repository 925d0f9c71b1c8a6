"""Verbs as people type them, with mistakes too: a plain answer, an exit code, never a traceback."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kit.brokers import free_port
from tests.kit.site import TestSite

GATEWAY = (sys.executable, "-P", "-c", "from gateway.cli import main; main()")


async def type_in(*words: str | Path, folder: Path) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a verb."""
    child = await asyncio.create_subprocess_exec(
        *GATEWAY, *map(str, words), cwd=folder, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await child.communicate()
    assert child.returncode is not None
    assert "Traceback" not in err.decode(), err.decode()
    return child.returncode, out.decode(), err.decode()


@pytest.fixture
def site(tmp_path: Path) -> TestSite:
    made = TestSite(tmp_path, free_port())
    made.site["devices"] = {"d1": {"profile": "registers", "wire": "bus", "unit": 1, "every_s": 1}}
    made.site["commands"] = {}
    made.write()
    return made


async def test_read_shows_raw_registers_values_and_time(site: TestSite) -> None:
    async with site.devices() as field:
        field.units["d1"].load("holding", 1, [1234])
        code, out, _ = await type_in("read", site.file, "d1", "r1", "--json", folder=site.folder)
        (point,) = json.loads(out)["points"]
        assert (code, point["raw"], point["value"], point["quality"]) == (0, [1234], 1234, "good")
        assert 0 < point["ms"] < 1000
        code, out, _ = await type_in("read", site.file, "d1", folder=site.folder)
        assert code == 0
        assert "04d2" in out


async def test_reading_a_silent_device_fails_with_its_reason(site: TestSite) -> None:
    async with site.devices() as field:
        field.units["d1"].fault.silent = True
        code, out, _ = await type_in("read", site.file, "d1", "--json", folder=site.folder)
    assert code == 1
    assert {reason for point in json.loads(out)["points"] for reason in point["reasons"]} == {"no_answer"}


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["read", "site.yaml", "d9"], "bad-argument", "devices: d1"),
        (["read", "site.yaml", "d1", "r99"], "bad-argument", "points: r0"),
        (["read", "site.yaml", "d1"], "link-down", "hint:"),
        (["status", "site.yaml"], "not-running", "is it running?"),
        (["run", "nothing.yaml"], "config-invalid", "gateway check"),
        (["buffer", "show", "--db", "nothing.sqlite3"], "store-error", "state_dir"),
        (["buffer", "show"], "bad-argument", "--db"),
        (["demo", "--for", "soon"], "bad-argument", "20s"),
        (["demo", "--broker", "here"], "bad-argument", "127.0.0.1:1883"),
        (["camera", "count", "nothing.mp4", "--line", "1,2,3"], "bad-argument", "four numbers"),
    ],
)
async def test_a_mistake_is_answered_with_code_and_hint(site: TestSite, words: list[str], code: str, hint: str) -> None:
    exit_code, out, err = await type_in(*words, folder=site.folder)
    assert exit_code == 1
    assert f"error {code}" in err
    assert hint in err
    assert out == ""


async def test_status_and_buffer_show_a_running_gateway_and_a_stopped_one(site: TestSite) -> None:
    async with site.devices():
        await site.start()
        try:
            await site.until_status(lambda s: s["store"]["rid_hi"] >= 8)
            code, out, _ = await type_in("status", site.file, "--json", folder=site.folder)
            status: dict[str, Any] = json.loads(out)
            assert code == 0
            assert status["sources"]["bus"]["devices"]["d1"]["online"] is True
            assert status["points"]["d1/r1"]["q"] == "good"
            assert status["uplink"]["connected"] is False
            assert "broker-unreachable" in status["uplink"]["last_error"]
            code, out, _ = await type_in("status", site.file, folder=site.folder)
            assert code == 0
            assert "mất kết nối" in out
            assert not re.search(r"[0-9]\.[0-9]{10}", out), "digits that say nothing"
            code, out, _ = await type_in("buffer", "show", site.file, "--json", "-n", "3", folder=site.folder)
            shown = json.loads(out)
            assert code == 0
            assert len(shown["newest"]) == 3
            assert all(record["waits"] for record in shown["newest"])
            assert await site.terminate() == 0, site.log
        finally:
            await site.kill()
    code, out, _ = await type_in("buffer", "show", "--db", site.store, folder=site.folder)
    assert code == 0
    assert "đang chờ gửi" in out


async def test_a_second_gateway_on_the_same_store_is_turned_away(site: TestSite) -> None:
    async with site.devices():
        await site.start()
        try:
            await site.until_status(lambda s: s["readings"] > 0)
            code, _, err = await type_in("run", site.file, folder=site.folder)
            assert code == 1
            assert "store-busy" in err
            assert (await site.status())["readings"] > 0, "the first one goes on, its socket too"
        finally:
            await site.kill()


async def test_an_error_inside_a_task_group_is_still_one_line_and_a_hint(site: TestSite) -> None:
    (site.folder / "state").write_text("a file where a folder should be")
    code, _, err = await type_in("run", site.file, folder=site.folder)
    assert code == 1
    assert "error store-error" in err
    port = site.site["wires"]["bus"]["port"]
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with server:
        code, _, err = await type_in("simulate", site.file, folder=site.folder)
    assert code == 1
    assert "error link-down" in err
