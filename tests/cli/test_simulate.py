"""A rehearsal as a technician types it: what is where, what happens, and what is never touched."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from config.load import read
from config.profiles import own_folder, read_profile
from config.rehearsal import rehearsal
from config.site import load_site
from drivers.settings import DeviceSettings, ModbusRtuWire
from drivers.simulate import simulated
from gateway.cli.simulate import simulate
from gateway.cli.simulate_view import _remarks
from gateway.model.errors import BadArgument, GatewayError, LinkDown
from tests.cli.test_verbs import type_in
from tests.kit.brokers import free_port
from tests.kit.site import TestSite

SITES = Path(__file__).parents[2] / "config" / "sites"


@pytest.fixture
def site(tmp_path: Path) -> TestSite:
    made = TestSite(tmp_path, free_port())
    made.site["wires"]["field"] = {"kind": "modbus_rtu", "port": "./run/tty-field", "baud": 9600}
    made.site["devices"]["level"] = {"profile": "water-level-radar", "wire": "field", "unit": 5, "every_s": 1}
    made.site["commands"] = {}
    made.write()
    return made


def test_the_list_says_what_each_scenario_finds_here(site: TestSite, capsys: pytest.CaptureFixture[str]) -> None:
    (site.folder / "scenarios").mkdir()
    (site.folder / "scenarios" / "mine.yaml").write_text("scenario: mine\n", encoding="utf-8")
    simulate(site.file, show_list=True, as_json=True)
    rows = {row["scenario"]: row for row in json.loads(capsys.readouterr().out)["scenarios"]}
    assert rows["rising-flood"]["targets"] == ["level/water_level"]
    assert rows["power-cut"]["targets"] == ["bus", "field"]
    assert rows["lamp-failure"]["targets"] == []
    assert "title_en" in rows["mine"]["error"]
    simulate(site.file, show_list=True)
    assert "Nước lũ dâng" in capsys.readouterr().out


async def test_each_step_is_told_as_it_happens_and_the_end_too(site: TestSite) -> None:
    words = ("simulate", site.file, "--scenario", "silent-unit", "--speed", "600", "--for", "1.5s")
    code, out, _ = await type_in(*words, "--json", folder=site.folder)
    assert code == 0
    ready, begins, ends, over = (json.loads(line) for line in out.splitlines())
    assert ready["wires"][1] == {"wire": "field", "kind": "modbus_rtu", "at": "./run/tty-field", "devices": ["level"]}
    assert (begins["event"], begins["at_s"], begins["on"]) == ("begins", 30, ["d1"])
    assert begins["vi"] == "Một thiết bị mất nguồn"
    assert (ends["event"], ends["at_s"], over) == ("ends", 330, {"event": "over", "scenario": "silent-unit"})


async def test_people_read_where_everything_is_and_what_happens_in_two_languages(site: TestSite) -> None:
    words = ("simulate", site.file, "--scenario", "stuck-probe", "--speed", "600", "--for", "1s")
    code, out, err = await type_in(*words, folder=site.folder)
    assert code == 0
    assert f"127.0.0.1:{site.site['wires']['bus']['port']}" in err
    assert f"gateway run {site.file}" in err
    assert "nothing here for" in err, "no wastewater probe at this site"
    lines = out.splitlines()
    assert lines[0] == "ready"
    assert lines[1].split(maxsplit=1)[0] == "1:00"
    assert lines[1].endswith("[level/water_level]")
    assert "báo một giá trị không đổi" in lines[1]


@pytest.mark.parametrize(
    ("given", "code", "hint"),
    [
        ({"scenario": "rising-floot"}, "bad-argument", "did you mean 'rising-flood'"),
        ({"scenario": "lamp-failure"}, "bad-argument", "--list"),
        ({"duration": "soon"}, "bad-argument", "20s"),
        ({"broker": "127.0.0.1:1883"}, "bad-argument", "--loopback"),
        ({"every": "5s"}, "bad-argument", "--loopback"),
        ({"loopback": Path("x"), "broker": "here"}, "bad-argument", "127.0.0.1:1883"),
    ],
)
def test_a_mistake_is_answered_with_code_and_hint(site: TestSite, given: Any, code: str, hint: str) -> None:
    with pytest.raises(GatewayError) as caught:
        simulate(site.file, **given)
    assert caught.value.code == code
    assert hint in caught.value.hint


async def test_mistakes_in_a_scenario_are_all_listed_with_their_place(site: TestSite) -> None:
    (site.folder / "own.yaml").write_text("scenario: own\nsteps:\n- dew: 1\n", encoding="utf-8")
    code, out, err = await type_in("simulate", site.file, "--scenario", "own.yaml", folder=site.folder)
    assert (code, out) == (1, "")
    assert "own.yaml:3:3 unknown-key steps[0].dew" in err
    assert "error config-invalid" in err


async def test_a_site_with_addresses_of_other_machines_points_to_the_loopback(site: TestSite) -> None:
    site.site["wires"]["bus"]["host"] = "192.0.2.7"
    site.write()
    code, _, err = await type_in("simulate", site.file, folder=site.folder)
    assert code == 1
    assert "error link-down" in err
    assert "--loopback" in err


def test_a_rehearsal_warns_before_it_sends_simulated_values_to_the_centre(tmp_path: Path) -> None:
    site = load_site(SITES / "flood-post.yaml")
    (remark,) = _remarks(load_site(rehearsal(site, tmp_path)))
    assert "sends simulated values to mqtt.example.vn as 38-song-ma-01" in remark
    assert list(_remarks(load_site(rehearsal(site, tmp_path, broker=("127.0.0.1", 1883))))) == []


# --- the copy -----------------------------------------------------------------------------------------------------

REAL = """\
gateway: 38-real-01          # keep this
site: Điểm thật
place: {province: "01", commune: "00004", lat: 21.03, lon: 105.83}
state_dir: /var/lib/gateway
uplink: {host: mqtt.example.vn, tls: {ca: ./ca.pem}, password: mqtt}
wires:
  tcp: {kind: modbus_tcp, host: 192.168.1.40, timeout_s: 2}
  rtu: {kind: modbus_rtu, port: /dev/serial/by-id/usb-x, baud: 19200, parity: even}
  mast: {kind: text_lines, port: /dev/serial/by-id/usb-y}
  net: {kind: mqtt_in, host: 192.168.1.5, user: gw, password: lora, ca: ./lora.pem}
  web: {kind: http_poll, url: https://192.168.1.60/api, user: gw, password: web}
  pins: {kind: gpio}
  drop: {kind: tt10_files, folder: /srv/tt10, ftp: {user: st, password: ftp}}
devices:
  d1: {profile: registers, wire: tcp, unit: 1, every_s: 5}
cameras:
  gate: {source: "rtsp://gw@192.168.1.70/sub", password: gate, lines: {l1: {from: [0, 0.5], to: [1, 0.5]}}}
  film: {source: ./film.mp4, pace: real, lines: {l1: {from: [0, 0.5], to: [1, 0.5]}}}
points: {"gate/*": {window_s: 30}}
tt10:
  - station: TH_ABCD_NUO001
    folder: /srv/out
    parameters: {pH: {point: d1/r1, unit: "-"}}
    send: {kind: ftp, host: 192.0.2.9, user: st, password: authority}
"""


def real_site(site: TestSite) -> Path:
    (site.folder / "film.mp4").write_bytes(b"")
    site.file.write_text(REAL, encoding="utf-8")
    return site.file


def test_a_copy_for_the_desk_has_addresses_of_this_machine_and_no_secrets_of_its_wires(
    site: TestSite, tmp_path: Path
) -> None:
    original, desk = real_site(site), tmp_path / "desk"
    copy = rehearsal(load_site(original), desk)
    assert original.read_text(encoding="utf-8") == REAL
    data: dict[str, Any] = read(copy).data
    ports = [data["wires"][name].pop("port") for name in ("tcp", "net")]
    ports.append(int(data["wires"]["web"].pop("url").removeprefix("http://127.0.0.1:").removesuffix("/api")))
    assert len(set(ports)) == 3
    assert all(20_000 <= port < 30_000 for port in ports)
    assert data["wires"] == {
        "tcp": {"kind": "modbus_tcp", "host": "127.0.0.1", "timeout_s": 2},
        "rtu": {"kind": "modbus_rtu", "port": "./run/tty-rtu", "baud": 19200, "parity": "even"},
        "mast": {"kind": "text_lines", "port": "./run/tty-mast"},
        "net": {"kind": "mqtt_in", "host": "127.0.0.1"},
        "web": {"kind": "http_poll"},
        "pins": {"kind": "gpio", "chip": "./run/chip-pins"},
        "drop": {"kind": "tt10_files", "folder": "./run/files-drop"},
    }
    assert data["place"]["commune"] == "00004"
    assert data["uplink"] == {"host": "mqtt.example.vn", "tls": {"ca": str(site.folder / "ca.pem")}, "password": "mqtt"}
    assert data["cameras"]["gate"]["source"] == "./run/gate.mp4"
    assert "password" not in data["cameras"]["gate"]
    assert data["tt10"][0]["folder"] == "./run/tt10-TH_ABCD_NUO001"
    assert "send" not in data["tt10"][0], "nothing simulated goes to an authority"
    assert data["cameras"]["film"]["source"] == str(site.folder / "film.mp4")
    assert "# keep this" in copy.read_text(encoding="utf-8")
    assert load_site(copy).profiles["d1"] == load_site(original).profiles["d1"], "profiles of its own come along"


def test_a_copy_made_again_has_the_same_ports_and_another_broker_on_request(site: TestSite, tmp_path: Path) -> None:
    loaded = load_site(real_site(site))
    first = read(rehearsal(loaded, tmp_path / "desk")).data
    assert read(rehearsal(loaded, tmp_path / "desk")).data == first
    local = read(rehearsal(loaded, tmp_path / "desk", broker=("127.0.0.1", 1883), without=("cameras", "points"))).data
    assert local["uplink"] == {"host": "127.0.0.1", "port": 1883}
    assert local["wires"] == first["wires"]
    assert not {"cameras", "points"} & local.keys()
    assert local["devices"]["d1"]["every_s"] == 5
    assert read(rehearsal(loaded, tmp_path / "desk", every_s=2)).data["devices"]["d1"]["every_s"] == 2


def test_the_original_is_never_overwritten(site: TestSite) -> None:
    file = site.file.rename(site.folder / "rehearsal.yaml")
    before = file.read_bytes()
    with pytest.raises(BadArgument, match="is the original"):
        simulate(file, loopback=site.folder)
    assert file.read_bytes() == before


async def test_the_name_of_a_real_port_is_left_alone(tmp_path: Path) -> None:
    port = tmp_path / "usb-real-adapter"
    port.symlink_to("/dev/null")
    settings = DeviceSettings(profile="water-level-radar", wire="w", unit=1, every_s=1)
    profile, _ = read_profile(own_folder() / "water-level-radar.yaml")
    assert profile is not None
    devices = {"level": (settings, profile)}
    with pytest.raises(LinkDown):
        async with simulated({"w": ModbusRtuWire(kind="modbus_rtu", port=str(port))}, devices, tmp_path):
            pass
    assert port.readlink() == Path("/dev/null")


async def test_a_second_rehearsal_leaves_the_first_ones_folder_alone(site: TestSite, tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    desk.mkdir()
    place = os.open(desk, os.O_RDONLY)  # as the first rehearsal holds it
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        code, _, err = await type_in("simulate", site.file, "--loopback", desk, "--for", "1s", folder=site.folder)
        assert code == 1
        assert "another rehearsal runs" in err
        assert list(desk.iterdir()) == []
    finally:
        os.close(place)
    code, _, err = await type_in("simulate", site.file, "--loopback", desk, "--for", "0.2s", folder=site.folder)
    assert code == 0, err


@pytest.mark.parametrize("name", ["flood-post", "industrial-zone"])
async def test_a_rehearsal_never_stands_in_the_place_of_a_real_device(name: str, tmp_path: Path) -> None:
    """A real site file, and somebody with the right to make names under /dev."""
    code, _, err = await type_in("simulate", SITES / f"{name}.yaml", "--for", "1s", folder=tmp_path)
    assert code == 1
    assert "is the name of a real device" in err
    assert "--loopback" in err
