"""Finding what nobody described: the order of asking, real buses and hosts, fingerprints, ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import sys
import tty
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.profiles import Shelf
from drivers.modbus.rtu import crc
from drivers.profiles import ModbusProfile
from drivers.scan import Asking, Event, FoundUnit, Noise, OpenPort, Overheard
from drivers.scan.bus import BAUDS, PARITIES, BusPlan, BusScan, Combination, late_answers, talking
from drivers.scan.identity import objects
from drivers.scan.net import NetPlan, NetScan, hosts_of
from drivers.scan.ports import holders, serial_ports
from drivers.settings import DeviceSettings, ModbusRtuWire, ModbusTcpWire
from drivers.simulate import Simulation, simulated
from gateway.model.clock import SystemClock
from gateway.model.errors import BadArgument, LinkDown, PortBusy
from tests.drivers.kinds.modbus import modbus_profile
from tests.drivers.kit import free_port, point, shipped_profiles

CLOCK = SystemClock()
LEVEL: dict[str, Any] = {
    f"level_{n}": point(
        table="input", at=n, type="u16", scale=0.1, range=[1, 50], simulate={"shape": "constant", "value": 12.5}
    )
    for n in range(6)
}


def level(name: str = "level", **more: Any) -> ModbusProfile:
    return modbus_profile(LEVEL).model_copy(update={"profile": name, **more})


def found_in(events: list[Event]) -> list[FoundUnit]:
    return [event for event in events if isinstance(event, FoundUnit)]


# --- a pair: the order of asking -----------------------------------------------------------------------------------


def test_the_likely_settings_and_the_low_units_are_asked_first() -> None:
    steps = BusPlan(port="p").steps()
    assert [str(step.combination) for step in steps[:3]] == ["9600 8N1", "19200 8E1", "9600 8E1"]
    count = len(BAUDS) * len(PARITIES)
    assert len({step.combination for step in steps[:count]}) == count
    assert all(list(step.units) == list(range(1, 33)) for step in steps[:count])
    assert all(list(step.units) == list(range(33, 248)) for step in steps[count:])
    assert [step.combination for step in steps[:count]] == [step.combination for step in steps[count:]]


def test_every_wished_combination_is_asked_once_and_no_other() -> None:
    plan = BusPlan(port="p", bauds=[1200, 19200], parities=["none", "odd"], units=[3, 200])
    assert plan.combinations == [
        Combination(19200, "none"), Combination(1200, "none"), Combination(1200, "odd"), Combination(19200, "odd")
    ]  # fmt: skip
    assert plan.requests == 2 * 4


def test_the_estimate_counts_waiting_pauses_and_the_bytes_on_the_line() -> None:
    plan = BusPlan(port="p", bauds=[9600], parities=["none"], units=range(1, 11), timeout_s=0.5, pause_s=0.1)
    # 15 characters of 10 bits; half a minute more or less does not matter, a factor would
    assert plan.seconds() == pytest.approx(10 * (0.5 + 0.1 + 150 / 9600) + 0.3 + 0.5, rel=0.01)
    assert BusPlan(port="p").seconds() / 60 == pytest.approx(24.5, rel=0.05)


# --- a pair for real ------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def pair(base: Path, units: dict[int, ModbusProfile]) -> AsyncIterator[Simulation]:
    wire = ModbusRtuWire(kind="modbus_rtu", port="run/tty")
    devices = {
        f"u{unit}": (DeviceSettings(profile=p.profile, wire="w", unit=unit, every_s=1), p) for unit, p in units.items()
    }
    async with simulated({"w": wire}, devices, base) as far:
        yield far


def plan_of(**more: Any) -> BusPlan:
    given: dict[str, Any] = {"bauds": [9600], "parities": ["none"], "units": range(1, 5)}
    given |= {"timeout_s": 0.04, "listen_s": 0.03}
    return BusPlan(port="run/tty", **given | more)


async def scan(base: Path, plan: BusPlan, *profiles: ModbusProfile) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(20):
        await BusScan(plan, base, {p.profile: p for p in profiles}, CLOCK, events.append).run()
    return events


async def test_units_on_a_pair_are_found_with_the_profiles_that_fit_them(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    names = ["energy-meter-3p", "water-level-radar", "air-station-modbus", "light-cabinet-vn"]
    shipped = [p for p in map(shelf.profile, names) if isinstance(p, ModbusProfile)]
    async with pair(tmp_path, {2: shipped[1], 40: shipped[0]}) as far:
        events = await scan(tmp_path, plan_of(units=[1, 2, 3, 40, 41]), *shipped)
        assert [(unit.unit, unit.at) for unit in found_in(events)] == [(2, "9600 8N1"), (40, "9600 8N1")]
        assert [unit.fits[0].profile for unit in found_in(events)] == ["water-level-radar", "energy-meter-3p"]
        assert all(1 <= len(unit.fits) <= 3 for unit in found_in(events))
        assert all(fit.score <= 95 and fit.reasons for unit in found_in(events) for fit in unit.fits)
        assert [unit.writes for unit in far.units.values()] == [[], []]
        assert all(unit.requests <= 150 for unit in far.units.values())
    asked = [event for event in events if isinstance(event, Asking) and event.unit is not None]
    assert [event.done for event in asked] == [0, 1, 2, 3, 4]
    assert {event.total for event in asked} == {5}


async def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    async with pair(tmp_path, {3: level()}) as far:
        far.units["u3"].fault.refuse = 2
        (unit,) = found_in(await scan(tmp_path, plan_of()))
    assert (unit.unit, unit.said, unit.fits) == (3, "answered with exception 2", ())


async def test_one_setting_is_enough_unless_everything_is_wanted(tmp_path: Path) -> None:
    # A pty has no speed: its unit answers at every one.
    async with pair(tmp_path, {2: level()}) as far:
        events = await scan(tmp_path, plan_of(bauds=[9600, 19200], units=[1, 2, 40]))
        assert [unit.at for unit in found_in(events)] == ["9600 8N1"]
        assert far.units["u2"].requests == 1
        events = await scan(tmp_path, plan_of(bauds=[9600, 19200], units=[1, 2], everything=True))
        assert [unit.at for unit in found_in(events)] == ["9600 8N1", "19200 8N1"]


async def test_bytes_that_are_no_answer_are_reported_as_other_settings(tmp_path: Path) -> None:
    async with pair(tmp_path, {2: level()}) as far:
        far.wires["w"].fault.garbage = True
        events = await scan(tmp_path, plan_of(bauds=[9600, 4800]))
    assert found_in(events) == []
    noise = [event for event in events if isinstance(event, Noise)]
    assert [(event.at, event.units) for event in noise] == [("9600 8N1", (2,)), ("4800 8N1", (2,))]
    assert noise[0].sample.startswith(b"\xa5\xa5")


async def test_a_line_full_of_noise_does_not_hold_the_scan_up(tmp_path: Path) -> None:
    async with pair(tmp_path, dict.fromkeys(range(1, 30), level())) as far:
        far.wires["w"].fault.garbage = True
        events = await scan(tmp_path, plan_of(units=range(1, 30)))
    assert [len(event.units) for event in events if isinstance(event, Noise)] == [6]


@pytest.mark.parametrize("units", [[2], [1, 2, 3]])
async def test_a_unit_that_answers_late_is_found_all_the_same(tmp_path: Path, units: list[int]) -> None:
    async with pair(tmp_path, {2: level()}) as far:
        far.units["u2"].fault.delay_s = 0.06
        events = await scan(tmp_path, plan_of(units=units), level())
    (unit,) = found_in(events)
    assert (unit.unit, unit.answer_ms) == (2, None)
    assert [fit.profile for fit in unit.fits] == ["level"]
    assert not any(isinstance(event, Noise) for event in events)


class FarSide:
    """The other side of a pty, raw. `said`: what was sent to it; `answer`: what it says to that."""

    def __init__(self, answer: Any = None) -> None:
        self.near, self.far = os.openpty()
        tty.setraw(self.far)
        self.said = b""
        self.path = os.ttyname(self.far)
        self._answer = answer
        asyncio.get_running_loop().add_reader(self.near, self._readable)

    def _readable(self) -> None:
        data = os.read(self.near, 4096)
        self.said += data
        if self._answer is not None:
            os.write(self.near, self._answer(data))

    def say(self, data: bytes) -> None:
        os.write(self.near, data)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.near)
        os.close(self.near)
        os.close(self.far)


def sealed(text: str) -> bytes:
    frame = bytes.fromhex(text)
    return frame + crc(frame)


async def test_nothing_is_sent_where_another_master_talks(tmp_path: Path) -> None:
    side = FarSide()
    try:
        scanning = asyncio.create_task(scan(tmp_path, plan_of(units=range(1, 248), listen_s=0.4), level()))
        running = asyncio.get_running_loop()
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "tty").symlink_to(side.path)
        running.call_later(0.1, side.say, sealed("070300000002") + sealed("07030400010002"))
        events = await scanning
        assert [event for event in events if not isinstance(event, Asking)] == [Overheard("9600 8N1", (7,))]
        assert side.said == b""
    finally:
        side.close()


async def test_an_adapter_that_hands_back_what_is_sent_is_no_unit(tmp_path: Path) -> None:
    def echo_and_unit_3(request: bytes) -> bytes:
        return request + (sealed("0303020005") if request[0] == 3 else b"")

    side = FarSide(echo_and_unit_3)
    try:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "tty").symlink_to(side.path)
        events = await scan(tmp_path, plan_of())
        (unit,) = found_in(events)
        assert (unit.unit, unit.wire.echo) == (3, True)  # type: ignore[union-attr]  # it is a serial wire
        assert not any(isinstance(event, Noise) for event in events)
    finally:
        side.close()


async def test_what_was_found_is_told_before_the_scan_is_stopped_and_the_port_is_free_after(tmp_path: Path) -> None:
    async with pair(tmp_path, {1: level()}):
        events: list[Event] = []
        plan = plan_of(units=range(1, 248))
        scanning = asyncio.create_task(BusScan(plan, tmp_path, {}, CLOCK, events.append).run())
        async with asyncio.timeout(5):
            while not found_in(events):
                await asyncio.sleep(0.01)
        scanning.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await scanning
        assert [unit.unit for unit in found_in(await scan(tmp_path, plan_of(units=[1])))] == [1]


HOLD = "import serial, sys; p = serial.Serial(sys.argv[1], exclusive=True); print('held', flush=True); sys.stdin.read()"


@contextlib.asynccontextmanager
async def held(port: Path) -> AsyncIterator[int]:
    """Another process has the port; its id."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", HOLD, str(port), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    async with asyncio.timeout(10):
        assert await child.stdout.readline() == b"held\n"
    try:
        yield child.pid
    finally:
        child.stdin.close()
        await child.wait()


async def test_a_port_that_another_program_has_is_named_with_that_program(tmp_path: Path) -> None:
    async with pair(tmp_path, {1: level()}), held(tmp_path / "run" / "tty") as pid:
        with pytest.raises(PortBusy) as caught:
            await scan(tmp_path, plan_of())
    assert f"(pid {pid})" in caught.value.what
    assert "gateway watch" in caught.value.hint


async def test_a_port_that_is_not_there_is_not_called_busy(tmp_path: Path) -> None:
    with pytest.raises(LinkDown) as caught:
        await scan(tmp_path, plan_of())
    assert not isinstance(caught.value, PortBusy)


def test_whole_frames_are_known_among_noise() -> None:
    answer, refusal = sealed("0903020001"), sealed("0a8302")
    assert late_answers(b"\xff" + answer + b"\x00" + refusal) == {9, 10}
    assert late_answers(answer[:-1] + b"\x00" + refusal[1:]) == set()
    assert talking(b"\x00" + sealed("050400000002")) == {5}
    assert talking(b"\xa5" * 40) == set()


# --- a subnet -------------------------------------------------------------------------------------------------------


async def scan_net(plan: NetPlan, *profiles: ModbusProfile) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(20):
        await NetScan(plan, {p.profile: p for p in profiles}, CLOCK, events.append).run()
    return events


async def test_hosts_with_modbus_are_found_on_a_subnet(tmp_path: Path) -> None:
    wire = ModbusTcpWire(kind="modbus_tcp", host="127.0.0.2", port=free_port())
    devices = {"u1": (DeviceSettings(profile="level", wire="w", unit=1, every_s=1), level())}
    async with simulated({"w": wire}, devices, tmp_path) as far:
        plan = NetPlan(hosts=hosts_of("127.0.0.0/29"), port=wire.port, connect_s=0.3, timeout_s=0.3)
        events = await scan_net(plan, level())
        (unit,) = found_in(events)
        assert (unit.at, unit.unit) == (f"127.0.0.2:{wire.port}", 1)
        assert [fit.profile for fit in unit.fits] == ["level"]
        assert max(event.done for event in events if isinstance(event, Asking)) == 6
        assert far.units["u1"].writes == []


async def test_a_gateway_without_answering_units_is_told_apart_from_nothing(tmp_path: Path) -> None:
    wire = ModbusTcpWire(kind="modbus_tcp", host="127.0.0.1", port=free_port())
    devices = {"u9": (DeviceSettings(profile="level", wire="w", unit=9, every_s=1), level())}
    async with simulated({"w": wire}, devices, tmp_path):
        plan = NetPlan(hosts=["127.0.0.1"], port=wire.port, timeout_s=0.3)
        (open_port,) = [e for e in await scan_net(plan) if isinstance(e, OpenPort)]
        assert "no answer" in open_port.why
        several = NetPlan(hosts=["127.0.0.1"], port=wire.port, units=range(8, 11), first_only=False)
        events = await scan_net(several, level())
    assert [unit.unit for unit in found_in(events)] == [9]
    assert not any(isinstance(event, OpenPort) for event in events)


async def test_a_device_says_who_made_it_and_that_counts_for_its_profile() -> None:
    texts = {0: b"ACME", 1: b"LV-6"}, {4: b"Level six", 5: b"6"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                number, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                pdu = await reader.readexactly(length - 1)
                if pdu[0] == 0x2B:
                    part = texts[pdu[3] > 0]
                    more = (0xFF, 4) if pdu[3] == 0 else (0, 0)
                    objects_ = b"".join(bytes((n, len(text))) + text for n, text in part.items())
                    answer = bytes((0x2B, 0x0E, 2, 0x82, *more, len(part))) + objects_
                elif pdu[0] == 4:
                    count = pdu[4]
                    answer = bytes((4, 2 * count)) + struct.pack(">H", 125) * count
                else:
                    answer = bytes((pdu[0] | 0x80, 1))
                writer.write(struct.pack(">HHHB", number, 0, len(answer) + 1, unit) + answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        plain, ours = level("plain"), level("zz-ours", maker="Acme")
        (unit,) = found_in(await scan_net(NetPlan(hosts=["127.0.0.1"], port=port), plain, ours))
    assert unit.identity == {"vendor": "ACME", "product code": "LV-6", "product": "Level six", "model": "6"}
    assert [fit.profile for fit in unit.fits] == ["zz-ours", "plain"]
    assert "Acme made it" in unit.fits[0].reasons[0]


async def test_a_port_that_speaks_something_else_is_no_unit() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        plan = NetPlan(hosts=["127.0.0.1"], port=server.sockets[0].getsockname()[1])
        events = await scan_net(plan, level())
    assert found_in(events) == []
    assert any(isinstance(event, OpenPort) for event in events)


def test_a_cut_off_identification_is_no_answer() -> None:
    whole = bytes((0x2B, 0x0E, 2, 0x82, 0, 0, 1, 0, 4)) + b"ACME"
    assert objects(whole) == {0: "ACME"}
    assert [objects(whole[:n]) for n in range(len(whole))] == [None] * len(whole)


@pytest.mark.parametrize(
    ("subnet", "why"),
    [("192.168.0.0/21", "1024 at most"), ("8.8.8.0/24", "not a private network"), ("the office", "no subnet")],
)
def test_only_small_private_subnets_are_scanned(subnet: str, why: str) -> None:
    with pytest.raises(BadArgument, match=why):
        hosts_of(subnet)


def test_a_public_subnet_can_be_insisted_on_and_one_host_is_a_subnet() -> None:
    assert len(hosts_of("8.8.8.0/30", public=True)) == 2
    assert hosts_of("192.168.1.40") == ["192.168.1.40"]
    assert len(hosts_of("192.168.0.0/22")) == 1022


# --- which profile -------------------------------------------------------------------------------------------------


async def fits_of(tmp_path: Path, there: ModbusProfile, *profiles: ModbusProfile) -> list[tuple[str, int]]:
    async with pair(tmp_path, {1: there}):
        (unit,) = found_in(await scan(tmp_path, plan_of(units=[1], timeout_s=0.2), *profiles))
    return [(fit.profile, fit.score) for fit in unit.fits]


def signed(profile: ModbusProfile, at: int, *words: int) -> ModbusProfile:
    return ModbusProfile.model_validate(
        {**profile.model_dump(exclude_defaults=True), "fingerprint": [{"table": "input", "at": at, "equals": words}]}
    )


async def test_a_fingerprint_decides(tmp_path: Path) -> None:
    same = signed(level("same"), 0, 125, 125)
    other = signed(level("other"), 0, 126)
    fits = await fits_of(tmp_path, level(), level("plain"), other, same)
    assert [name for name, _ in fits] == ["same"]
    assert 70 <= fits[0][1] <= 95


async def test_values_out_of_their_range_speak_against_a_profile(tmp_path: Path) -> None:
    narrow = {name: {**p, "range": [20, 30]} for name, p in LEVEL.items()}
    wrong = modbus_profile(narrow).model_copy(update={"profile": "wrong"})
    assert [name for name, _ in await fits_of(tmp_path, level(), wrong, level())] == ["level"]


async def test_of_two_that_fit_alike_the_confirmed_one_comes_first(tmp_path: Path) -> None:
    unconfirmed = level("aa-guess", confirmed=False)
    fits = await fits_of(tmp_path, level(), unconfirmed, level("zz-proven"))
    assert [name for name, _ in fits] == ["zz-proven", "aa-guess"]
    assert fits[0][1] == fits[1][1]


async def test_zeros_alone_prove_little(tmp_path: Path) -> None:
    zeros = {name: {**p, "range": [0, 50], "simulate": {"shape": "constant"}} for name, p in LEVEL.items()}
    ((_, score),) = await fits_of(tmp_path, modbus_profile(zeros), modbus_profile(zeros))
    assert score < 40


async def test_addresses_counted_from_one_are_asked_where_they_are(tmp_path: Path) -> None:
    shifted = {name: {**p, "at": p["at"] + 1} for name, p in LEVEL.items()}
    counted = modbus_profile(shifted).model_copy(update={"profile": "from-one", "first_address": 1})
    fits = await fits_of(tmp_path, level(), signed(counted, 1, 125))
    assert [name for name, _ in fits] == ["from-one"]


async def test_most_of_our_own_devices_are_recognised_as_themselves(tmp_path: Path) -> None:
    profiles = {name: p for name, p in shipped_profiles().items() if isinstance(p, ModbusProfile)}
    wire = ModbusTcpWire(kind="modbus_tcp", host="127.0.0.1", port=free_port())
    devices = {
        name: (DeviceSettings(profile=name, wire="w", unit=1 + n, every_s=1), profile)
        for n, (name, profile) in enumerate(profiles.items())
    }
    async with simulated({"w": wire}, devices, tmp_path) as far:
        units = range(1, 1 + len(profiles))
        plan = NetPlan(hosts=["127.0.0.1"], port=wire.port, units=units, first_only=False)
        found = found_in(await scan_net(plan, *profiles.values()))
        assert len(found) == len(profiles)
        right = [unit for unit, name in zip(found, profiles, strict=True) if unit.fits and unit.fits[0].profile == name]
        assert len(right) >= 0.8 * len(profiles)
        assert max(unit.requests for unit in far.units.values()) <= 150


# --- ports ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Path]:
    for name in ("ttyUSB0", "ttyUSB1", "ttyS0"):
        (tmp_path / name).touch()
    for kind, link, name in (
        ("by-id", "usb-FTDI-if00", "ttyUSB0"), ("by-path", "pci-1", "ttyUSB0"), ("by-path", "pci-2", "ttyUSB1"),
    ):  # fmt: skip
        (tmp_path / "serial" / kind).mkdir(parents=True, exist_ok=True)
        (tmp_path / "serial" / kind / link).symlink_to(tmp_path / name)
    return tmp_path  # type: ignore[return-value]  # nothing to take down


def listed(dev: Path, name: str, vid: int | None) -> SimpleNamespace:
    return SimpleNamespace(
        device=str(dev / name), manufacturer="FTDI" if vid else None, product=None, description="n/a",
        serial_number=None, vid=vid,
    )  # fmt: skip


def test_ports_are_named_so_that_the_name_lasts(dev: Path) -> None:
    ports = [listed(dev, "ttyS0", None), listed(dev, "ttyUSB0", 1), listed(dev, "ttyUSB1", 1)]
    found = serial_ports(ports, dev)
    assert [port.path for port in found] == [
        str(dev / "serial/by-id/usb-FTDI-if00"), str(dev / "serial/by-path/pci-2"), str(dev / "ttyS0")
    ]  # fmt: skip
    assert [(port.usb, port.stable) for port in found] == [(True, True), (True, True), (False, True)]
    assert found[0].maker == "FTDI"
    (dev / "serial/by-path/pci-2").unlink()
    assert [port.stable for port in serial_ports([listed(dev, "ttyUSB1", 1)], dev)] == [False]


async def test_who_holds_a_port_is_seen_by_its_lock_or_its_open_file(tmp_path: Path) -> None:
    async with pair(tmp_path, {1: level()}):
        port = tmp_path / "run" / "tty"
        assert holders(port) == ()
        async with held(port) as pid:
            (holder,) = holders(port)
        assert holder.pid == pid
        assert "import serial" in holder.command
    assert holders(tmp_path / "nothing") == ()
