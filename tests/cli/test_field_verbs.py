"""What a technician types at a cabinet: scan, read, watch and the profile verbs, on real wires."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import serial
from typer.testing import CliRunner

from drivers.scan import FoundUnit, Tell
from drivers.settings import ModbusRtuWire
from gateway.cli import app
from gateway.cli.scan import _scan
from gateway.model.errors import GatewayError, LinkDown
from tests.kit.brokers import free_port
from tests.kit.site import GATEWAY, TestSite


async def type_in(*words: str | Path) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a verb, run beside the simulation of its devices."""
    result = await asyncio.to_thread(CliRunner().invoke, app, [str(word) for word in words])
    if isinstance(result.exception, GatewayError):
        error = result.exception
        return 1, result.stdout, f"error {error.code}: {error.what}\n  hint: {error.hint}\n"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made_site(folder: Path, wires: dict[str, Any], devices: dict[str, Any]) -> TestSite:
    made = TestSite(folder, free_port())
    made.site |= {"wires": wires, "devices": devices, "commands": {}}
    made.write()
    return made


@pytest.fixture
def site(tmp_path: Path) -> TestSite:
    """A level gauge on a pair."""
    return made_site(
        tmp_path,
        {"pair": {"kind": "modbus_rtu", "port": "run/tty", "timeout_s": 0.2}},
        {"level": {"profile": "water-level-radar", "wire": "pair", "unit": 5, "every_s": 0.2}},
    )


# --- scan ----------------------------------------------------------------------------------------------------------


async def test_a_scanned_bus_ends_in_lines_that_make_a_sound_site(site: TestSite) -> None:
    async with site.devices():
        words = ("scan", "bus", "run/tty", "--units", "4-6", "--baud", "9600", "--timeout", "0.05")
        code, out, err = await type_in(*words, "--profile", "water-level-radar", "--json")
    found = json.loads(out)
    assert (code, [(unit["at"], unit["unit"]) for unit in found["found"]]) == (0, [("9600 8N1", 5)])
    assert found["found"][0]["profiles"][0]["profile"] == "water-level-radar"
    assert "at most 9 requests" in err
    assert "9600 8N1 unit 5" in err
    head = 'gateway: 38-test-01\nsite: x\nplace: {province: "38", commune: "14797", lat: 19.8, lon: 105.7}\n'
    (site.folder / "new.yaml").write_text(f"{head}state_dir: /tmp\nuplink: {{host: 127.0.0.1}}\n{found['site']}")
    code, out, _ = await type_in("check", "new.yaml")
    assert code == 0, out


async def test_ctrl_c_ends_a_scan_with_what_was_found(site: TestSite) -> None:
    async with site.devices():
        child = await asyncio.create_subprocess_exec(
            *GATEWAY, "scan", "bus", "run/tty", "--units", "5,6-247", "--profile", "water-level-radar",
            cwd=site.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert child.stderr is not None
        async with asyncio.timeout(20):
            while b"unit 5" not in await child.stderr.readline():
                pass
            child.send_signal(signal.SIGINT)
            out, err = await child.communicate()
    assert child.returncode == 0
    assert b"Traceback" not in err
    assert "stopped before the end" in out.decode()
    assert "profile: water-level-radar, wire: wire1, unit: 5" in out.decode()


async def test_an_adapter_pulled_out_does_not_take_along_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    async def run(tell: Tell) -> None:
        wire = ModbusRtuWire(kind="modbus_rtu", port="run/tty")
        tell(FoundUnit(at="9600 8N1", unit=5, said="answered", answer_ms=1.0, wire=wire))
        raise LinkDown("the port is gone", where="run/tty")

    with pytest.raises(LinkDown):
        await asyncio.to_thread(_scan, run, wired=True, as_json=True)
    content = json.loads(capsys.readouterr().out)
    assert ([unit["unit"] for unit in content["found"]], content["stopped"]) == ([5], True)


async def test_a_scan_of_a_network_that_finds_nothing_speaks_of_the_network() -> None:
    code, out, _ = await type_in("scan", "tcp", "127.0.0.1", "--port", str(free_port()), "--timeout", "0.1")
    assert code == 1
    assert "network cable" in out
    assert "A/B" not in out


async def test_a_scanned_subnet_shows_the_host(tmp_path: Path) -> None:
    site = made_site(
        tmp_path,
        {"cabinet": {"kind": "modbus_tcp", "host": "127.0.0.1", "port": free_port()}},
        {"meter": {"profile": "energy-meter-3p", "wire": "cabinet", "unit": 1, "every_s": 1}},
    )
    port = str(site.site["wires"]["cabinet"]["port"])
    async with site.devices():
        code, out, _ = await type_in("scan", "tcp", "127.0.0.0/30", "--port", port, "-p", "energy-meter-3p")
    assert code == 0
    assert f"127.0.0.1:{port} unit 1" in out
    assert f"wire1: {{kind: modbus_tcp, host: 127.0.0.1, port: {port}}}" in out


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["scan", "bus", "run/nothing", "-p", "water-level-radar"], "link-down", "/dev/serial/by-id"),
        (["scan", "bus", "run/tty", "--units", "0-3"], "bad-argument", "1 to 247"),
        (["scan", "bus", "run/tty", "--parity", "mark"], "bad-argument", "none"),
        (["scan", "bus", "run/tty", "-p", "no-such-meter"], "bad-argument", ""),
        (["scan", "tcp", "10.0.0.0/8"], "bad-argument", "192.168.1.0/24"),
        (["scan", "tcp", "8.8.8.8"], "bad-argument", "--yes"),
        (["watch", "site.yaml", "d9"], "bad-argument", "devices: level"),
        (["watch", "site.yaml", "--for", "soon"], "bad-argument", "20s"),
        (["profile", "show", "water-level-radr"], "bad-argument", "water-level-radar"),
        (["profile", "try", "water-level-radar", "--port", "x"], "bad-argument", "--unit"),
        (
            ["profile", "try", "water-level-radar", "--host", "::1", "--url", "x", "--unit", "1"],
            "bad-argument",
            "--help",
        ),
        (["profile", "new", "site.yaml", "--base", "7"], "bad-argument", "40001"),
        (["profile", "new", "site.yaml", "--name", "My Meter"], "bad-argument", "my-meter"),
    ],
)
async def test_a_mistake_is_answered_with_code_and_hint(site: TestSite, words: list[str], code: str, hint: str) -> None:
    exit_code, out, err = await type_in(*words)
    assert exit_code == 1
    assert f"error {code}" in err
    assert hint in err
    assert out == ""


# --- read ----------------------------------------------------------------------------------------------------------


async def test_read_raw_shows_each_step_from_the_register_to_the_judged_value(site: TestSite) -> None:
    site.site["points"] = {"level/echo": {"range": [0, 50]}}
    site.write()
    async with site.devices() as far:
        far.wires["pair"].play("level", {"holding": {0: [3192, 4808, 79]}})
        code, out, _ = await type_in("read", site.file, "level", "--raw", "--json")
        rows = {row["point"]: row for row in json.loads(out)["points"]}
        assert code == 0
        level, echo = rows["water_level"], rows["echo"]
        assert (level["raw"], level["decoded"], level["value"], level["quality"]) == ([3192], 3192, 3.192, "good")
        assert level["where"].endswith("(4x0001) i16 ×0.001")
        assert (echo["low"], echo["high"]) == (0, 50)
        assert (echo["quality"], echo["reasons"]) == ("bad", ["out_of_range"])
        code, out, _ = await type_in("read", site.file, "level", "--raw")
    assert "0c78" in out
    assert "→ 3192" in out
    assert "ngoài" in out.lower()


async def test_what_the_running_gateway_holds_is_named_with_the_way_to_see_it(site: TestSite) -> None:
    async with site.devices():
        await site.start()
        try:
            await site.until_status(lambda s: s["points"])
            code, _, err = await type_in("read", site.file, "level")
            assert code == 1
            assert "error port-busy" in err
            assert "gateway watch" in err
            code, out, _ = await type_in("watch", site.file, "level", "--for", "1s", "--json")
        finally:
            await site.terminate()
    changes = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert {"level/water_level", "level/echo"} <= {change.get("point") for change in changes}
    assert any(change.get("device") == "level" and change["online"] for change in changes)


# --- watch ---------------------------------------------------------------------------------------------------------


async def test_watch_without_a_gateway_opens_the_wires_and_frees_them_at_ctrl_c(site: TestSite) -> None:
    async with site.devices() as far:
        far.wires["pair"].play("level", {"holding": {0: [3192, 4808, 79]}})
        child = await asyncio.create_subprocess_exec(
            *GATEWAY, "watch", str(site.file),
            cwd=site.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert child.stdout is not None
        async with asyncio.timeout(20):
            while b"level/water_level = 3.192 m  good" not in await child.stdout.readline():
                pass
            far.units["level"].fault.silent = True
            while "Không trả lời".encode() not in await child.stdout.readline():
                pass
            child.send_signal(signal.SIGINT)
            _, err = await child.communicate()
        assert (child.returncode, err) == (0, b"")
        serial.Serial(str(site.folder / "run" / "tty"), exclusive=True).close()


async def test_watch_shows_a_value_once_until_it_changes_and_says_when_nothing_came(site: TestSite) -> None:
    async with site.devices() as far:
        far.wires["pair"].play("level", {"holding": {0: [3192, 4808, 79, 265]}})
        code, out, _ = await type_in("watch", site.file, "--for", "1.5s", "--json")
        shown = [json.loads(line).get("point") for line in out.splitlines()]
        assert code == 0
        assert shown.count("level/water_level") == 1
    code, out, _ = await type_in("watch", site.file, "--for", "0.6s")
    assert code == 1
    assert "level/water_level = -" in out


async def test_watch_in_a_terminal_is_a_table_of_its_width(site: TestSite) -> None:
    near, far_fd = os.openpty()
    try:
        async with site.devices():
            child = await asyncio.create_subprocess_exec(
                *GATEWAY, "watch", str(site.file), "--for", "1s", cwd=site.folder, stdout=far_fd, stderr=far_fd,
                env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
            )  # fmt: skip
            async with asyncio.timeout(20):
                assert await child.wait() == 0
        os.set_blocking(near, False)
        text = os.read(near, 1 << 16).decode()
    finally:
        os.close(near)
        os.close(far_fd)
    assert "giá trị" in text
    assert "level/water_level" in text
    assert "trực tiếp" in text


# --- profiles ------------------------------------------------------------------------------------------------------


async def test_a_profile_is_found_by_words_without_their_accents(tmp_path: Path) -> None:
    code, out, _ = await type_in("profile", "list", "muc nuoc radar", "--json")
    assert code == 0
    assert "water-level-radar" in {row["profile"] for row in json.loads(out)["profiles"]}
    code, out, _ = await type_in("profile", "list", "no such thing")
    assert code == 1
    code, out, _ = await type_in("profile", "show", "water-level-radar")
    assert code == 0
    assert "water_level" in out
    assert "4x0001" in out


async def test_a_profile_is_tried_on_a_device_without_a_site(site: TestSite) -> None:
    async with site.devices():
        words = ("profile", "try", "water-level-radar", "--port", "run/tty", "--unit", "5")
        code, out, _ = await type_in(*words, "--json")
        assert code == 0
        assert all(row["quality"] == "good" and row["raw"] for row in json.loads(out)["points"])
        code, out, _ = await type_in(*words[:-1], "6", "--timeout", "0.1")
    assert code == 1
    assert "no answer" in out


async def test_an_instrument_that_talks_is_listened_to(tmp_path: Path) -> None:
    site = made_site(
        tmp_path,
        {"mast": {"kind": "text_lines", "port": "run/tty", "baud": 4800}},
        {"mast": {"profile": "weather-lines", "wire": "mast", "every_s": 0.3}},
    )
    async with site.devices():
        words = ("profile", "try", "weather-lines", "--port", "run/tty", "--baud", "4800", "--listen", "5s")
        code, out, _ = await type_in(*words)
    assert code == 0
    assert "wind_speed" in out


async def test_a_register_table_becomes_a_profile_that_reads_the_device(site: TestSite) -> None:
    table = "địa chỉ;tên;kiểu;đơn vị;hệ số;mã hàm\n0;Mực nước;uint16;m;0,001;3\n2;Độ vọng;uint16;%;1;3\n"
    (site.folder / "gauge.csv").write_text(table, encoding="utf-8")
    code, _, err = await type_in("profile", "new", "gauge.csv", "-o", "devices/gauge.yaml")
    assert (code, "gateway profile check" in err) == (0, True)
    code, _, err = await type_in("profile", "new", "gauge.csv", "-o", "devices/gauge.yaml")
    assert (code, "--force" in err) == (1, True)
    async with site.devices() as far:
        far.wires["pair"].play("level", {"holding": {0: [3192, 4808, 79]}})
        code, out, _ = await type_in("profile", "try", "gauge", "--port", "run/tty", "--unit", "5", "--json")
    assert code == 0
    assert {row["point"]: row["value"] for row in json.loads(out)["points"]} == {"muc_nuoc": 3.192, "do_vong": 79}


async def test_a_profile_is_written_only_under_a_name_that_a_site_file_finds(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("address,name,type\n40001,Level,u16\n", encoding="utf-8")
    code, _, err = await type_in("profile", "new", "t.csv", "-o", "mine.txt")
    assert code == 1
    assert "-o mine.yaml" in err
    assert not (tmp_path / "mine.txt").exists()


async def test_an_unknown_profile_is_told_before_a_scan_announces_itself() -> None:
    code, _, err = await type_in("scan", "bus", "run/tty", "--profile", "zzz")
    assert code == 1
    assert "hint: gateway profile list" in err
    assert "at most" not in err
