"""Files of Thông tư 10 that go out: what stands in them, that they are kept, and that each one arrives."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from gateway.model import tt10
from gateway.model.errors import ConfigError
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Forward, Kind, Quality, Reason, Signal
from gateway.uplink.tt10 import carrier as carrier_module
from gateway.uplink.tt10 import export as export_module
from gateway.uplink.tt10 import shelf as shelf_module
from gateway.uplink.tt10.door import dial
from gateway.uplink.tt10.errors import LoginRefused, ServerUnreachable, WrongServer
from gateway.uplink.tt10.export import Exporter
from gateway.uplink.tt10.settings import Tt10Export
from gateway.uplink.tt10.shelf import Shelf
from gateway.uplink.tt10.slots import Slots
from tests.kit.clock import ManualClock
from tests.uplink.tt10_servers import KINDS, PASSWORD, Authority, Sftp

NOON = 1_767_243_600_000  # 2026-01-01 12:00:00, GMT+7
SLOT = 300_000
STATION = "TH_ABCD_NUO001"


def signal(point: str = "ww/ph", kind: Kind = Kind.MEAN, **more: Any) -> Signal:
    return Signal(id=point, point=point, indicator="ww.x", unit="1", kind=kind, every_s=10, **more)


def settings(**more: Any) -> Tt10Export:
    parameters = {"pH": {"point": "ww/ph", "unit": "-"}}
    return Tt10Export.model_validate(
        {"station": STATION, "folder": "tt10", "parameters": parameters, **more}, strict=True
    )


def window(end_ms: int, value: float | None, *reasons: Reason, n: int = 6, of: Signal | None = None) -> Indicator:
    """As if all its n readings had been this value; of a sum or a count, all of them together."""
    of = of or signal()
    if value is None:
        return Indicator(of, end_ms - 60_000, end_ms, None, Quality.MISSING, reasons, Parts(0, 6))
    total = value if of.kind is Kind.SUM else value * n
    parts = Parts(n, 6, total, value, value, value, value)
    return Indicator(of, end_ms - 60_000, end_ms, value, Quality.GOOD, reasons, parts)


@dataclass
class Stored:
    """A history in memory. `asked`: since when."""

    held: list[Indicator] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    async def windows(
        self, start_ms: int, end_ms: int, *, span_s: int, signals: Collection[str] | None = None
    ) -> list[Indicator]:
        self.asked.append(start_ms)
        return [
            w for w in self.held
            if start_ms < w.end_ms <= end_ms and w.signal.window_s == span_s and w.signal.id in (signals or ())
        ]  # fmt: skip

    async def last_numbers(self, signals: Collection[Signal]) -> dict[str, float]:
        pytest.fail(f"nobody here asks for {signals}")


def line(indicators: list[Indicator], of: Signal | None = None, **more: Any) -> tuple[str, str]:
    """(value, status) of pH in the slot that ends at noon."""
    slots = Slots(settings(**more), [of or signal()])
    for indicator in indicators:
        slots.add(indicator)
    (found,) = slots.close(NOON)
    return found.text, found.status


def name(end_ms: int) -> str:
    return tt10.file_name(STATION, end_ms)


# --- what stands in a file ------------------------------------------------------------------------------------------


def test_a_mean_is_weighted_by_what_its_windows_hold() -> None:
    assert line([window(NOON - 60_000, 7.0, n=6), window(NOON, 8.0, n=2)]) == ("7.250", "00")


@pytest.mark.parametrize(
    ("kind", "expected"), [("min", "1.000"), ("max", "3.000"), ("sum", "6.000"), ("delta", "6.000"), ("last", "2.000")]
)
def test_other_kinds_are_reduced_their_own_way(kind: str, expected: str) -> None:
    of = signal(kind=Kind(kind))
    assert line([window(NOON - (2 - n) * 60_000, v, of=of) for n, v in enumerate([1.0, 3.0, 2.0])], of) == (
        expected,
        "00",
    )


@pytest.mark.parametrize(
    ("indicators", "expected"),
    [
        ([], ("-9999", "02")),
        ([window(NOON, None, Reason.NO_ANSWER)], ("-9999", "02")),
        ([window(NOON, None, Reason.CALIBRATING)], ("-9999", "01")),
        ([window(NOON - 60_000, None, Reason.CALIBRATING), window(NOON, None, Reason.NO_ANSWER)], ("-9999", "02")),
        ([window(NOON - 60_000, None, Reason.CALIBRATING), window(NOON, 7.0)], ("7.000", "00")),
        ([window(NOON + 60_000, 9.0), window(NOON - SLOT, 9.0), window(NOON - SLOT + 1, 7.0)], ("7.000", "00")),
        ([window(NOON, -0.0001)], ("0.000", "00")),
    ],
)
def test_no_valid_value_is_said_and_never_looks_like_one(indicators: Any, expected: Any) -> None:
    assert line(indicators) == expected


def test_the_text_for_no_value_is_the_authoritys_choice() -> None:
    assert line([], no_value="") == ("", "02")


def test_a_value_while_calibrating_is_kept_with_its_status() -> None:
    of = signal(forward=Forward.EVERY)
    bad = Indicator(of, None, NOON - 1, 4.01, Quality.BAD, (Reason.CALIBRATING,))
    assert line([bad], of) == ("4.010", "01")


def test_a_signal_that_gives_windows_and_readings_counts_once() -> None:
    of = signal(forward=Forward.BOTH)
    assert line([window(NOON, 7.0, of=of), Indicator(of, None, NOON - 1, 1.0, Quality.GOOD)], of) == ("7.000", "00")


def test_a_reading_that_came_too_late_for_its_window_counts_once_with_the_window_made_of_it() -> None:
    late = Indicator(signal(), None, NOON - 90_000, 1.0, Quality.GOOD, (Reason.REPLAYED,))
    made = replace(window(NOON - 60_000, 1.0, n=1), quality=Quality.UNCERTAIN, reasons=(Reason.REPLAYED,))
    assert line([window(NOON, 8.0, n=6), late, made]) == ("7.000", "00")
    nothing = replace(late, value=None, quality=Quality.MISSING, reasons=(Reason.DEVICE_FAULT, Reason.REPLAYED))
    assert line([nothing]) == ("-9999", "02")


def test_what_was_measured_in_another_unit_is_something_else() -> None:
    assert line([window(NOON, 7.0), window(NOON, 7000.0, of=replace(signal(), unit="2"))]) == ("7.000", "00")


# --- how they are kept ----------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON - 10_000)


def exporter(base: Path, clock: ManualClock, stored: Stored | None = None, **more: Any) -> Exporter:
    return Exporter(settings(**more), [signal()], stored or Stored(), base, clock, read_secret)


def read_secret(name: str) -> str:
    if name != "tt10":
        raise ConfigError("there is no such secret", where=name, hint="write it")
    return PASSWORD


SOMEWHERE = {"kind": "ftp", "host": "127.0.0.1", "port": 9, "user": "nobody", "password": "tt10"}


async def turns(export: Exporter, clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds // 10):
        clock.advance(10)
        await export.turn()


async def test_each_slot_gives_a_file_also_one_without_values(tmp_path: Path, clock: ManualClock) -> None:
    stored = Stored()
    export = exporter(tmp_path, clock, stored)
    await export.open()
    assert stored.asked == [NOON - 2 * SLOT], "the open slot and the one before, as there is no file"
    export.take([window(NOON, 7.1234)])
    await turns(export, clock, 640)
    kept = sorted((tmp_path / "tt10").rglob("*.txt"))
    assert [str(file.relative_to(tmp_path / "tt10")) for file in kept] == [
        f"2026/01/01/{STATION}_2026010112{minute}00.txt" for minute in ("00", "05", "10")
    ]
    assert kept[0].read_bytes() == b"pH\t7.123\t-\t20260101120000\t00\r\n"
    assert kept[1].read_bytes() == b"pH\t-9999\t-\t20260101120500\t02\r\n"
    assert not (tmp_path / "tt10" / "outgoing").exists(), "nothing is to be sent"


async def test_a_file_is_kept_whole_and_waits_once(tmp_path: Path, clock: ManualClock) -> None:
    export = exporter(tmp_path, clock, send=SOMEWHERE, line_end="lf")
    await export.open()
    await turns(export, clock, 30)
    shelf = Shelf(tmp_path / "tt10", STATION, sending=True)
    (waiting,) = shelf.waiting()
    assert waiting.samefile(shelf.place(waiting.name))
    assert waiting.read_bytes().count(b"\r") == 0
    assert not shelf.write(NOON, b"another")
    assert waiting.read_bytes() != b"another"
    assert {file.suffix for file in (tmp_path / "tt10").rglob("*") if file.is_file()} == {".txt"}


async def test_where_there_are_no_links_files_are_copied(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(self: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "no links here", str(self))

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    export = exporter(tmp_path, clock, send=SOMEWHERE)
    await export.open()
    await turns(export, clock, 30)
    shelf = Shelf(tmp_path / "tt10", STATION, sending=True)
    (waiting,) = shelf.waiting()
    assert not waiting.samefile(shelf.place(waiting.name))
    assert waiting.read_bytes() == shelf.place(waiting.name).read_bytes()


def test_a_power_cut_between_the_two_places_loses_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, STATION, sending=True)
    shelf.open()
    shelf.write(NOON, b"whole")
    shelf.place(name(NOON)).unlink()
    (tmp_path / f"{name(NOON + SLOT)}.new").write_bytes(b"ha")
    shelf.open()
    assert shelf.place(name(NOON)).read_bytes() == b"whole"
    assert [file.name for file in shelf.kept()] == [file.name for file in shelf.waiting()] == [name(NOON)]
    assert not list(tmp_path.glob("*.new"))


def test_days_are_deleted_when_their_time_is_over_but_never_what_waits(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, STATION, sending=True)
    day = 86_400_000
    for days in (0, 60, 61, 400):
        shelf.write(NOON - days * day, b"x")
    shelf.place(name(NOON - 61 * day)).with_name("note").write_text("a person's", encoding="utf-8")
    shelf.prune(NOON, 60)
    assert [file.name for file in shelf.kept()] == [name(NOON - 60 * day), name(NOON)]
    assert len(shelf.waiting()) == 4
    assert len(list(tmp_path.rglob("note"))) == 1
    assert not (tmp_path / "2024").exists()


async def test_a_full_disk_is_said_once_and_its_files_are_written_later(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    export = exporter(tmp_path, clock)
    await export.open()
    with monkeypatch.context() as patch:
        patch.setattr(shelf_module, "_put", full)
        export.take([window(NOON, 7.0), window(NOON + SLOT, 8.0)])
        await turns(export, clock, 640)
        assert "No space left" in export.status()["error"]
    assert caplog.text.count("tt10-not-written") == 1
    await turns(export, clock, 10)
    kept = [file.read_bytes().split(b"\t")[1] for file in sorted((tmp_path / "tt10").rglob("*.txt"))]
    assert kept == [b"7.000", b"8.000", b"-9999"]
    assert export.status()["error"] == ""


async def test_a_slot_that_a_restart_cut_through_is_completed(tmp_path: Path, clock: ManualClock) -> None:
    export = exporter(tmp_path, clock)
    await export.open()
    await turns(export, clock, 30)  # the file of noon
    clock.advance(180)
    stored = Stored([window(NOON, 1.0), window(NOON + 60_000, 6.0), window(NOON + 120_000, 7.0)])
    export = exporter(tmp_path, clock, stored)  # after a crash in the slot that ends at 12:05
    await export.open()
    assert stored.asked == [NOON]
    export.take([window(NOON + 240_000, 8.0)])
    await turns(export, clock, 120)
    assert (
        Shelf(tmp_path / "tt10", STATION, sending=False).place(name(NOON + SLOT)).read_bytes().startswith(b"pH\t7.000")
    )


async def test_a_slot_that_ended_during_a_stop_is_written_and_times_of_absence_are_not_invented(
    tmp_path: Path, clock: ManualClock
) -> None:
    export = exporter(tmp_path, clock)
    await export.open()
    await turns(export, clock, 30)
    clock.advance(3600)  # stopped at 12:00:20, started at 13:00:20
    export = exporter(tmp_path, clock, Stored([window(NOON + 15_000, 6.0)]))
    await export.open()
    await turns(export, clock, 300)
    kept = [file.name for file in Shelf(tmp_path / "tt10", STATION, sending=False).kept()]
    assert kept == [name(NOON), name(NOON + SLOT), name(NOON + 13 * SLOT)]


async def test_while_the_clock_is_not_set_no_file_is_written(tmp_path: Path) -> None:
    clock = ManualClock(1_000_000_000, synced=False)
    export = exporter(tmp_path, clock)
    await export.open()
    export.take([window(1_000_200_000, 7.0)])
    await turns(export, clock, 900)
    assert "clock is not set" in export.status()["error"]
    clock.step((NOON - clock.now_ms()) / 1000)
    clock.is_synced = True
    await turns(export, clock, 320)
    clock.is_synced = False  # NTP away for a while: the clock is still right
    await turns(export, clock, 300)
    kept = [file.name for file in sorted((tmp_path / "tt10").rglob("*.txt"))]
    assert kept == [name(NOON + SLOT), name(NOON + 2 * SLOT)]
    assert export.status()["error"] == ""


async def test_a_slot_that_a_power_cut_ended_is_written_once_the_clock_is_set(
    tmp_path: Path, clock: ManualClock
) -> None:
    export = exporter(tmp_path, clock)
    await export.open()
    await turns(export, clock, 30)  # the file of noon
    woken = ManualClock(1_000_000_000, synced=False)  # no battery: it is 1970
    unset = window(NOON + 120_000, 1.0, Reason.CLOCK_UNSYNCED)
    stored = Stored([unset, window(NOON + 60_000, 6.0)])
    export = exporter(tmp_path, woken, stored)
    await export.open()
    assert stored.asked == [NOON], "and not everything that is stored"
    export.take([window(1_000_060_000, 2.0)])
    await turns(export, woken, 900)
    woken.step((NOON + 900_000 - woken.now_ms()) / 1000)
    woken.is_synced = True
    await turns(export, woken, 30)
    kept = list(Shelf(tmp_path / "tt10", STATION, sending=False).kept())
    assert [file.name for file in kept] == [name(NOON), name(NOON + SLOT)]
    assert [file.read_bytes().split(b"\t")[1] for file in kept] == [b"-9999", b"6.000"]


async def test_without_files_and_with_the_clock_unset_nothing_is_recalled(tmp_path: Path) -> None:
    stored = Stored([window(NOON, 7.0)])
    await exporter(tmp_path, ManualClock(1_000_000_000, synced=False), stored).open()
    assert stored.asked[0] > NOON


async def test_windows_that_come_late_are_in_the_file_if_it_was_not_handed_over(
    tmp_path: Path, clock: ManualClock
) -> None:
    stored = Stored()
    export = exporter(tmp_path, clock, stored, send=SOMEWHERE)
    await export.open()
    export.take([window(NOON - 60_000, 7.0), window(NOON + SLOT, 5.0)])
    await turns(export, clock, 320)
    shelf = Shelf(tmp_path / "tt10", STATION, sending=True)
    shelf.sent(shelf.waiting()[1])
    late = [window(NOON, 8.0), window(NOON + SLOT, 9.0)]
    stored.held += [window(NOON - 60_000, 7.0), *late, window(NOON + SLOT + 1, 100.0)]
    export.take(late)
    await turns(export, clock, 70)
    (waiting,) = shelf.waiting()
    assert waiting.read_bytes() == shelf.place(waiting.name).read_bytes()
    assert [file.read_bytes().split(b"\t")[1] for file in shelf.kept()] == [b"7.500", b"5.000"]
    assert not list(tmp_path.rglob("*.new"))


def test_a_power_cut_while_a_file_is_written_again_leaves_one_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path, STATION, sending=True)
    for cut in ("replace", "hardlink_to"):
        shelf.write(NOON, b"old")

        def power_cut(self: Path, target: Path) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, cut, power_cut)
            with pytest.raises(KeyboardInterrupt):
                shelf.rewrite(NOON, b"new")
        shelf.open()
        (waiting,) = shelf.waiting()
        assert waiting.read_bytes() == shelf.place(name(NOON)).read_bytes()


async def test_a_clock_that_is_set_back_overwrites_nothing_and_ahead_invents_nothing(
    tmp_path: Path, clock: ManualClock
) -> None:
    export = exporter(tmp_path, clock)
    await export.open()
    export.take([window(NOON, 7.0)])
    await turns(export, clock, 320)
    clock.step(-3600)
    await turns(export, clock, 300)
    clock.step(7200)
    export.take([window(NOON, 1.0)])
    await turns(export, clock, 300)
    kept = list(Shelf(tmp_path / "tt10", STATION, sending=False).kept())
    assert [file.name for file in kept] == [
        name(NOON - 10 * SLOT), name(NOON), name(NOON + SLOT), name(NOON + 15 * SLOT)
    ]  # fmt: skip
    assert b"7.000" in kept[1].read_bytes()


# --- that each one arrives ------------------------------------------------------------------------------------------


@pytest.fixture(params=KINDS)
async def authority(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Authority]:
    made = KINDS[request.param](tmp_path)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@pytest.fixture
async def sftp(tmp_path: Path) -> AsyncIterator[Sftp]:
    made = Sftp(tmp_path)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier_module, "RETRY_FIRST_S", 0.02)
    monkeypatch.setattr(carrier_module, "RETRY_LAST_S", 0.05)
    monkeypatch.setattr(carrier_module, "LOOK_S", 0.05)
    monkeypatch.setattr(export_module, "TICK_S", 3600.0)


def fill(base: Path, slots: range) -> Shelf:
    shelf = Shelf(base / "tt10", STATION, sending=True)
    for n in slots:
        shelf.write(NOON + n * SLOT, f"pH\t{n}\t-\t{tt10.stamp(NOON + n * SLOT)}\t00\r\n".encode())
    return shelf


@contextlib.asynccontextmanager
async def running(base: Path, send: dict[str, Any]) -> AsyncIterator[Exporter]:
    export = exporter(base, ManualClock(NOON), send=send)
    await export.open()
    task = asyncio.create_task(export.run())
    try:
        yield export
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()


async def until(met: Any, seconds: float = 8.0) -> None:
    async with asyncio.timeout(seconds):
        while not met():
            await asyncio.sleep(0.01)


async def test_every_file_arrives_whole_in_the_folder_of_its_day(tmp_path: Path, authority: Authority) -> None:
    shelf = fill(tmp_path, range(142, 147))  # over midnight
    sent = {f"data/2026/01/0{1 + (n > 143)}/{file.name}": file.read_bytes()
            for n, file in enumerate(shelf.waiting(), start=142)}  # fmt: skip
    async with running(tmp_path, authority.send()) as export:
        await until(lambda: export.status()["sent"] == 5)
        assert not shelf.waiting()
        assert export.status()["last_sent"] == name(NOON + 146 * SLOT)
    assert authority.files() == sent
    assert len(list(shelf.kept())) == 5


async def test_what_waited_through_an_outage_is_sent_oldest_first(
    tmp_path: Path, sftp: Sftp, caplog: pytest.LogCaptureFixture
) -> None:
    await sftp.stop()
    shelf = fill(tmp_path, range(3))
    async with running(tmp_path, sftp.send()) as export:
        await until(lambda: "tt10-server-unreachable" in export.status()["error"])
        await asyncio.sleep(0.2)
        assert len(shelf.waiting()) == 3
        fill(tmp_path, range(3, 5))
        await sftp.start()
        await until(lambda: not shelf.waiting())
        await until(lambda: not export.status()["error"])
    assert sftp.arrived == [name(NOON + n * SLOT) for n in range(5)]
    assert caplog.text.count("tt10-server-unreachable") == 1
    assert caplog.text.count("sending goes on") == 1


async def test_an_outage_of_any_server_ends_by_itself(tmp_path: Path, authority: Authority) -> None:
    await authority.stop()
    shelf = fill(tmp_path, range(1))
    async with running(tmp_path, authority.send()) as export:
        await until(lambda: "tt10-server-unreachable" in export.status()["error"])
        await authority.start()
        await until(lambda: not shelf.waiting())
    assert len(authority.files()) == 1


async def test_a_file_that_is_there_already_is_replaced(tmp_path: Path, authority: Authority) -> None:
    shelf = fill(tmp_path, range(2))
    async with running(tmp_path, authority.send()):
        await until(lambda: not shelf.waiting())
        (there,) = authority.root.rglob(name(NOON))
        there.write_bytes(b"half")
        assert shelf.resend(NOON, NOON) == 1
        await until(lambda: not shelf.waiting())
    assert there.read_bytes() == shelf.place(name(NOON)).read_bytes()


@pytest.mark.parametrize("kind", ["sftp", "ftp"])
async def test_a_server_that_only_takes_gets_its_files(kind: str, tmp_path: Path) -> None:
    authority = KINDS[kind](tmp_path)
    authority.write_only = True
    await authority.start()
    shelf = fill(tmp_path, range(2))
    try:
        async with running(tmp_path, authority.send(day_folders=False, folder="/")):
            await until(lambda: not shelf.waiting())
    finally:
        await authority.stop()
    files = authority.files()
    assert {n: files[n] for n in (name(NOON), name(NOON + SLOT))} == {f.name: f.read_bytes() for f in shelf.kept()}


async def opened(send: dict[str, Any], base: Path, secret: Any = read_secret) -> None:
    way = settings(send=send).send
    assert way is not None
    async with dial(way, base, secret)():
        pass


async def test_a_wrong_password_is_said_with_what_to_do(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(LoginRefused, match="with the authority") as caught:
        await opened(authority.send(), tmp_path, lambda _: "guess")
    assert caught.value.where.endswith(f"127.0.0.1:{authority.port}")
    async with running(tmp_path, {**authority.send(), "password": "nowhere"}) as export:
        fill(tmp_path, range(1))
        await until(lambda: "no such secret" in export.status()["error"])


async def test_a_server_with_another_key_gets_nothing(tmp_path: Path, sftp: Sftp) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    asked: list[str] = []

    def secret(name: str) -> str:
        asked.append(name)
        return PASSWORD

    with pytest.raises(WrongServer, match="another host key"):
        await opened({**sftp.send(), "host_key": stranger}, tmp_path, secret)
    with pytest.raises(WrongServer, match="no public key"):
        await opened({**sftp.send(), "host_key": "ssh-ed25519 AAAA"}, tmp_path)


async def test_a_private_key_opens_the_door(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(tmp_path / "id"))

    class Account(asyncssh.SSHServer):
        def public_key_auth_supported(self) -> bool:
            return True

        def validate_public_key(self, username: str, offered: asyncssh.SSHKey) -> bool:
            return offered == key.convert_to_public()

    host = asyncssh.generate_private_key("ssh-ed25519")
    async with await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Account, server_host_keys=[host], sftp_factory=True
    ) as listener:
        send = {"kind": "sftp", "host": "127.0.0.1", "port": listener.get_port(), "user": "x",
                "host_key": host.export_public_key().decode().strip()}  # fmt: skip
        await opened({**send, "key": "id"}, tmp_path)
        (tmp_path / "id").write_text("rubbish", encoding="utf-8")
        with pytest.raises(LoginRefused, match="cannot use the key"):
            await opened({**send, "key": "id"}, tmp_path)


async def test_a_server_with_another_certificate_gets_nothing(tmp_path: Path) -> None:
    authority = KINDS["ftps"](tmp_path)
    await authority.start()
    try:
        send = authority.send()
        del send["ca"]
        with pytest.raises(WrongServer, match="set ca"):
            await opened(send, tmp_path)
    finally:
        await authority.stop()


async def test_a_server_without_encryption_gets_no_password(tmp_path: Path) -> None:
    authority = KINDS["ftp"](tmp_path)
    await authority.start()
    try:
        with pytest.raises(WrongServer, match="no encryption"):
            await opened({**authority.send(), "kind": "ftps"}, tmp_path)
    finally:
        await authority.stop()


async def test_a_host_that_nobody_knows_is_unreachable(tmp_path: Path, sftp: Sftp) -> None:
    for send in (sftp.send(), {**SOMEWHERE, "timeout_s": 5}):
        with pytest.raises(ServerUnreachable):
            await opened({**send, "host": "no..such.host"}, tmp_path)


@pytest.mark.parametrize("kind", ["sftp", "ftp"])
async def test_one_bad_file_is_set_aside_and_blocks_nothing(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = KINDS[kind](tmp_path)
    authority.refuse.add(name(NOON))
    await authority.start()
    shelf = fill(tmp_path, range(2))
    try:
        async with running(tmp_path, authority.send()) as export:
            for n in range(2, 4):
                await until(lambda: [file.name for file in shelf.waiting()] == [name(NOON)])
                assert not shelf.refused.exists()
                fill(tmp_path, range(n, n + 1))
            await until(lambda: not shelf.waiting())
            await until(lambda: export.status()["refused"] == 1)
    finally:
        await authority.stop()
    assert [file.name for file in shelf.refused.iterdir()] == [name(NOON)]
    assert "set aside" in caplog.text
    assert {Path(path).name for path in authority.files()} == {name(NOON + n * SLOT) for n in range(1, 4)}


async def test_a_server_that_refuses_everything_sets_nothing_aside(tmp_path: Path, sftp: Sftp) -> None:
    sftp.refuse = {name(NOON + n * SLOT) for n in range(6)}
    shelf = fill(tmp_path, range(6))
    async with running(tmp_path, sftp.send()) as export:
        await until(lambda: "tt10-file-refused" in export.status()["error"])
        await asyncio.sleep(0.5)  # some ten attempts
        assert len(shelf.waiting()) == 6
        sftp.refuse.clear()
        await until(lambda: not shelf.waiting())
    assert sftp.arrived == [name(NOON + n * SLOT) for n in range(6)]


async def test_an_upload_that_is_cut_leaves_no_half_file_under_its_name(tmp_path: Path, sftp: Sftp) -> None:
    shelf = fill(tmp_path, range(1))
    sftp.hang = True
    async with running(tmp_path, sftp.send()):
        async with asyncio.timeout(5):
            await sftp.hanging.wait()
    ((path, half),) = sftp.files().items()
    assert path.endswith(".txt.part")
    assert 0 < len(half) < len(shelf.waiting()[0].read_bytes())
    sftp.hang = False
    async with running(tmp_path, sftp.send()):
        await until(lambda: not shelf.waiting())
    assert list(sftp.files()) == [path.removesuffix(".part")]


async def test_a_server_that_drips_for_ever_is_given_up(tmp_path: Path) -> None:
    callers: set[object] = set()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.add(writer)
        with contextlib.suppress(ConnectionError):
            writer.write(b"220-welcome\r\n")
            while True:
                writer.write(b" and more\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.transport.abort()
        callers.discard(writer)

    fill(tmp_path, range(1))
    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        send = {"kind": "ftp", "host": "127.0.0.1", "port": port, "user": "u", "password": "tt10", "timeout_s": 0.1}
        async with running(tmp_path, send) as export:
            await until(lambda: "not done in 1 s" in export.status()["error"])
        await until(lambda: not callers)  # hung up on: no connection and no thread is left


async def test_a_host_key_of_impossible_numbers_is_a_wrong_server(tmp_path: Path, sftp: Sftp) -> None:
    send = sftp.send() | {"host_key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAA=="}
    door = dial(settings(send=send).send, tmp_path, read_secret)  # type: ignore[arg-type]  # it is there
    with pytest.raises(WrongServer, match="no public key"):
        async with door():
            pass
