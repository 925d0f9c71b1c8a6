"""Files of Thông tư 10 that come in. A folder under cases/tt10 is one promise: a file goes in, expected.txt comes out.

After a change that is meant, read what it does to every case:  REWRITE_CASES=1 pytest tests/drivers/test_tt10.py
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ftplib
import io
import os
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import drivers
from drivers import Surroundings
from drivers.settings import DeviceSettings, FtpDrop, Tt10FilesWire
from drivers.tt10 import driver as driver_module
from drivers.tt10.driver import Tt10Driver
from drivers.tt10.folder import Folder
from gateway.model import tt10
from gateway.model.clock import SystemClock
from gateway.model.errors import LinkDown
from gateway.model.measure import Quality, Reading, Reason
from gateway.model.tt10 import Line, Status
from tests.drivers.kinds.tt10_files import station_profile
from tests.drivers.kit import free_port, secret, take
from tests.kit.clock import ManualClock

CASES = sorted(case.name for case in (Path(__file__).parent / "cases" / "tt10").iterdir())
NOON = 1_767_243_600_000  # 2026-01-01 12:00:00, GMT+7
STATION = "HN_ABCD_NUO001"
SECRET = "ftp"  # noqa: S105 - its name
BODY = "pH\t{}\t-\t{}\t00\r\nTSS\t18.5\tmg/L\t{}\t00\r\n"


# --- the words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
async def test_case(case: str, tmp_path: Path) -> None:
    folder = Path(__file__).parent / "cases" / "tt10" / case
    (file,) = folder.glob("*_*.txt")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / file.name).write_bytes(file.read_bytes())
    async with made(tmp_path, after="delete") as driver:
        (batch, *_) = await take(driver, 5, lambda newest: len(newest) == 2)
    said = "".join(f"{row(reading)}\n" for reading in batch)
    expected = folder / "expected.txt"
    if os.environ.get("REWRITE_CASES"):
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8")


def row(reading: Reading) -> str:
    why = ",".join(reading.reasons)
    return " ".join([reading.signal, str(reading.value), str(reading.quality), why, tt10.stamp(reading.at_ms)])


LINES = st.lists(
    st.builds(
        lambda symbol, number, at, status: Line(symbol, number, "mg/L", at * 1000, status, repr(number)),
        st.text("ABCDabcd0123456789,", min_size=1, max_size=8),
        st.floats(-1e9, 1e9),
        st.integers(0, 4_000_000_000),
        st.sampled_from(Status),
    ),
    max_size=8,
    unique_by=lambda line: line.symbol,
)


@given(LINES, st.sampled_from(["crlf", "lf"]))
def test_what_is_written_is_read_as_it_was(lines: list[Line], line_end: Any) -> None:
    assert tt10.parse(tt10.formatted(lines, line_end)) == (lines, [])


def test_the_last_line_may_have_no_end() -> None:
    (line,), bad = tt10.parse(b"pH\t7.12\t-\t20260101120000\t00")
    assert (line.symbol, line.value, line.at_ms, bad) == ("pH", 7.12, NOON, [])


@given(st.binary(max_size=300))
def test_no_bytes_are_too_much_for_the_parser(data: bytes) -> None:
    good, _ = tt10.parse(data)
    assert all(line.symbol for line in good)


def test_times_are_those_of_vietnam_wherever_the_machine_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    noon = int(datetime(2026, 1, 1, 5, tzinfo=UTC).timestamp() * 1000)
    for zone in ("UTC", "Asia/Ho_Chi_Minh", "America/New_York"):
        with monkeypatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            assert tt10.file_name(STATION, noon) == f"{STATION}_20260101120000.txt"
            assert tt10.parse_name(f"{STATION}_20260101120000.txt") == (STATION, noon)
    time.tzset()


@pytest.mark.parametrize(
    "name",
    ["notes.txt", f"{STATION}_2026010112000.txt", f"{STATION}_20260101120000.csv", f"{STATION}_20261301120000.txt",
     "_20260101120000.txt", f"{STATION}_20260101120000.txt.part"],
)  # fmt: skip
def test_other_files_have_other_names(name: str) -> None:
    assert tt10.parse_name(name) is None


# --- the driver -----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def made(base: Path, clock: Any = None, every_s: float = 0.2, **wire: Any) -> AsyncIterator[Tt10Driver]:
    settings = Tt10FilesWire(kind="tt10_files", folder="in", **wire)
    devices = {
        "out": (DeviceSettings(profile="station", wire="w", address=STATION, every_s=every_s), station_profile())
    }
    around = Surroundings(clock or SystemClock(), base, secret)
    driver = drivers.build("w", settings, devices, around)
    assert isinstance(driver, Tt10Driver)
    async with driver:
        yield driver


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def put(folder: Path, at_ms: int, ph: float = 7.0, station: str = STATION) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / tt10.file_name(station, at_ms)
    stamp = tt10.stamp(at_ms)
    file.write_text(BODY.format(ph, stamp, stamp), encoding="utf-8", newline="")
    return file


async def first(driver: Tt10Driver, files: int, seconds: float = 5.0) -> list[float]:
    """The pH of the first so many files."""
    got: list[float] = []
    async with asyncio.timeout(seconds), contextlib.aclosing(driver.batches()) as stream:
        async for batch in stream:
            if (value := value_of(batch, "out/ph")) is not None:
                got.append(value)
            if len(got) == files:
                await anext(stream)  # asking for more is what says that these were taken
                break
    return got


def value_of(batch: Sequence[Reading], signal: str) -> Any:
    return next(reading.value for reading in batch if reading.signal == signal)


async def test_files_are_read_oldest_first_from_all_folders_and_each_once(tmp_path: Path, inbox: Path) -> None:
    put(inbox / "2026" / "01" / "02", NOON + 86_400_000, 3.0)
    put(inbox / "2026" / "01" / "01", NOON, 1.0)
    put(inbox, NOON + 300_000, 2.0)
    put(inbox / "resent", NOON, 9.0)  # a name that is there twice is one file
    put(inbox, NOON, 5.0, station="HN_ABCD_NUO999")  # nobody's
    async with made(tmp_path, after="delete") as driver:
        assert await first(driver, 3) in ([1.0, 2.0, 3.0], [9.0, 2.0, 3.0])
    left = {file.name for file in inbox.rglob("*.txt")}
    assert f"{STATION}_{tt10.stamp(NOON + 300_000)}.txt" not in left
    assert "HN_ABCD_NUO999_20260101120000.txt" in left


async def test_what_was_read_is_not_read_again_after_a_restart(tmp_path: Path, inbox: Path) -> None:
    clock = ManualClock(NOON)
    put(inbox, NOON - 600_000, 1.0)
    put(inbox, NOON - 300_000, 2.0)
    async with made(tmp_path, clock) as driver:
        assert await values_while(driver, clock, 2) == [1.0, 2.0]
    put(inbox, NOON - 900_000, 0.5)  # what an outage left behind comes late
    put(inbox, NOON, 3.0)
    async with made(tmp_path, clock) as driver:
        assert await values_while(driver, clock, 2) == [0.5, 3.0]
    assert len(list(inbox.iterdir())) == 4


async def values_while(driver: Tt10Driver, clock: ManualClock, files: int) -> list[float]:
    """As `first`, while somebody lets the clock run."""

    async def run() -> None:
        while True:
            await asyncio.sleep(0.005)
            clock.advance(0.02)

    running = asyncio.create_task(run())
    try:
        return await first(driver, files)
    finally:
        running.cancel()


async def test_a_file_whose_values_nobody_took_is_read_again(tmp_path: Path, inbox: Path) -> None:
    file = put(inbox, NOON)
    for _ in range(2):
        async with made(tmp_path, after="delete") as driver, contextlib.aclosing(driver.batches()) as stream:
            assert value_of(await anext(stream), "out/ph") == 7.0
    assert file.exists()


async def test_files_are_deleted_only_after_their_values_had_time_to_be_committed(
    tmp_path: Path, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(inbox, NOON)
    async with made(tmp_path, after="delete") as driver, contextlib.aclosing(driver.batches()) as stream:
        await anext(stream)
        await anext(stream)  # the silence after it
        assert file.exists()
        monkeypatch.setattr(driver_module, "COMMITTED_AFTER_S", 0.0)
        await anext(stream)
        assert not file.exists()


async def test_an_old_archive_is_not_news_at_the_first_start(tmp_path: Path, inbox: Path) -> None:
    clock = ManualClock(NOON)
    put(inbox, NOON - 2 * 86_400_000, 1.0)
    put(inbox, NOON - 3600_000, 2.0)
    for _ in range(2):
        async with made(tmp_path, clock) as driver:
            if (tmp_path / "in.read").read_text().count("\n") == 1:
                assert await values_while(driver, clock, 1) == [2.0]
    assert (tmp_path / "in.read").read_text().splitlines()[1:] == [f"{STATION}_20260101110000.txt"]


async def test_the_list_of_read_files_is_bounded(tmp_path: Path, inbox: Path) -> None:
    names = [tt10.file_name(STATION, NOON - day * 86_400_000) for day in range(200)]
    (tmp_path / "in.read").write_text("\n".join([f"since {tt10.stamp(0)}", *names]) + "\n", encoding="utf-8")
    async with made(tmp_path, ManualClock(NOON)):
        pass
    rows = (tmp_path / "in.read").read_text().splitlines()
    assert rows[0] == f"since {tt10.stamp(NOON - 90 * 86_400_000)}"
    assert len(rows) == 1 + 91


async def test_a_half_written_file_waits_for_its_other_half(tmp_path: Path, inbox: Path) -> None:
    file = inbox / tt10.file_name(STATION, NOON)
    async with made(tmp_path, after="delete", every_s=1.0) as driver:  # still for 0.25 s
        reading = asyncio.create_task(first(driver, 1))
        with file.open("w", encoding="utf-8", newline="") as stream:
            for part in BODY.format(6.5, *[tt10.stamp(NOON)] * 2).split("\t"):
                stream.write(part + "\t" * (not part.endswith("\n")))
                stream.flush()
                await asyncio.sleep(0.1)
        assert await reading == [6.5]


async def test_a_bad_file_is_a_bad_point_each_and_does_not_stop_the_next(
    tmp_path: Path, inbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(3):
        (inbox / tt10.file_name(STATION, NOON + n * 300_000)).write_bytes(b"\xff\xfe\x00rubbish\n")
    put(inbox, NOON + 900_000, 7.5)
    async with made(tmp_path, after="delete") as driver:
        batches = await take(driver, 5, lambda newest: newest.get("out/ph") == 7.5)
        assert driver.health()["out"].online
    assert [[r.reasons for r in batch] for batch in batches[:3]] == [[(Reason.BAD_FRAME,)] * 2] * 3
    assert [r.at_ms for r in batches[0]] == [NOON, NOON]
    assert caplog.text.count("only these lines are lost") == 1


async def test_a_value_from_the_future_is_stamped_now_and_doubtful(tmp_path: Path, inbox: Path) -> None:
    clock = ManualClock(NOON)
    put(inbox, NOON + 3600_000, 7.2)
    async with made(tmp_path, clock, after="delete") as driver, contextlib.aclosing(driver.batches()) as stream:
        running = asyncio.create_task(values_while_idle(clock))
        batch = await anext(stream)
        running.cancel()
    for reading in batch:
        assert reading.quality is Quality.UNCERTAIN
        assert reading.reasons == (Reason.CLOCK_UNSYNCED,)
        assert NOON <= reading.at_ms < NOON + 60_000


async def values_while_idle(clock: ManualClock) -> None:
    while True:
        await asyncio.sleep(0.005)
        clock.advance(0.02)


@pytest.mark.parametrize("what", ["folder", "loop", "nowhere"])
async def test_one_file_that_cannot_be_read_costs_no_other(
    tmp_path: Path, inbox: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    bad = inbox / tt10.file_name(STATION, NOON)
    bad.symlink_to({"folder": tmp_path, "loop": bad, "nowhere": tmp_path / "no"}[what])
    put(inbox, NOON + 300_000, 7.5)
    async with made(tmp_path, after="delete") as driver:
        assert await first(driver, 1) == [7.5]
        put(inbox, NOON + 600_000, 7.6)
        assert await first(driver, 1) == [7.6]
    assert caplog.text.count("cannot be read") == (what == "folder"), "said once, though it is tried again"


async def test_a_sub_folder_that_is_closed_to_us_hides_no_other(
    tmp_path: Path, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (inbox / "lost+found").mkdir()
    scandir = os.scandir

    def closed(path: Any) -> Any:
        if Path(path).name == "lost+found":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    put(inbox / "2026", NOON, 7.5)
    async with made(tmp_path, after="delete") as driver:
        assert await first(driver, 1) == [7.5]


async def test_one_name_from_the_future_makes_no_later_file_late(tmp_path: Path, inbox: Path) -> None:
    now_ms = SystemClock().now_ms()
    put(inbox, now_ms + 50 * 365 * 86_400_000, 1.0)
    async with made(tmp_path, every_s=0.4, after="delete") as driver, contextlib.aclosing(driver.batches()) as stream:
        said = []
        for n in range(6):
            async with asyncio.timeout(5):
                said.append(value_of(await anext(stream), "out/ph"))
            put(inbox, now_ms + n * 1000, 2.0)
    assert said == [1.0, 2.0, 2.0, 2.0, 2.0, 2.0]


def test_folders_that_are_gone_are_forgotten(inbox: Path) -> None:
    folder = Folder(inbox, {STATION}, 0.1)
    for day in range(20):
        file = put(inbox / "2026" / f"{day:02}", NOON + day * 86_400_000)
        assert folder.look(day * 200.0, lambda _: True) == []
        assert [arrival.name for arrival in folder.look(day * 200.0 + 100, lambda _: True)] == [file.name]
        shutil.rmtree(inbox / "2026")
    folder.look(1e6, lambda _: True)
    assert list(folder._listings) == [inbox]


async def test_a_list_that_cannot_be_kept_is_said_with_what_to_do(tmp_path: Path, inbox: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(LinkDown, match="let `memory` name a file") as caught:
        async with made(tmp_path, memory="taken/in.read"):
            pass
    assert caught.value.where == "w"


# --- the drop box ---------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def dropping(base: Path, **more: Any) -> AsyncIterator[tuple[Tt10Driver, int]]:
    port = free_port()
    box = FtpDrop(port=port, user="station", password=SECRET, **more)
    async with made(base, after="delete", ftp=box) as driver:
        yield driver, port


def client(port: int, password: str | None = None) -> ftplib.FTP:
    ftp = ftplib.FTP(timeout=5)  # noqa: S321 - what stations use
    try:
        ftp.connect("127.0.0.1", port)
        ftp.login("station", password or secret(SECRET))
    except BaseException:
        ftp.close()
        raise
    return ftp


def upload(port: int, steps: Any) -> list[str]:
    """Runs the steps with a logged in client; what the server said no to."""
    refused = []
    with client(port) as ftp:
        for step in steps:
            try:
                step(ftp)
            except ftplib.error_perm as error:
                refused.append(str(error)[:3])
    return refused


async def test_a_station_brings_its_files_by_ftp(tmp_path: Path) -> None:
    name = tt10.file_name(STATION, NOON)
    body = BODY.format(7.7, *[tt10.stamp(NOON)] * 2).encode()
    async with dropping(tmp_path) as (driver, port):
        steps = [
            lambda ftp: ftp.mkd("/2026/01/01"),
            lambda ftp: ftp.cwd("/2026/01/01"),
            lambda ftp: ftp.storbinary(f"STOR {name}.part", io.BytesIO(body)),
            lambda ftp: ftp.rename(f"{name}.part", name),
        ]
        assert await asyncio.to_thread(upload, port, steps) == []
        assert await first(driver, 1) == [7.7]
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(client, port)


async def test_the_drop_box_gives_nothing_away(tmp_path: Path, inbox: Path) -> None:
    other = put(inbox, NOON, station="HN_ABCD_NUO999")
    (tmp_path / "secret.txt").write_text("not yours", encoding="utf-8")
    async with dropping(tmp_path) as (_, port):
        steps = [
            lambda ftp: ftp.retrbinary(f"RETR {other.name}", bytes),
            lambda ftp: ftp.retrlines("LIST", str),
            lambda ftp: list(ftp.mlsd()),
            lambda ftp: ftp.nlst(),
            lambda ftp: ftp.delete(other.name),
            lambda ftp: ftp.rename(other.name, "gone"),
            lambda ftp: ftp.rmd("/"),
            lambda ftp: ftp.cwd("/../.."),
            lambda ftp: ftp.storbinary("STOR ../../outside.txt", io.BytesIO(b"x")),
        ]
        refused = await asyncio.to_thread(upload, port, steps)
    assert refused == ["502", "502", "502", "502", "502", "550", "502"]
    assert other.exists()
    assert not (tmp_path / "outside.txt").exists()
    assert (inbox / "outside.txt").exists(), "kept inside the folder"


async def test_a_wrong_password_gets_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with dropping(tmp_path) as (_, port):
        with pytest.raises(ftplib.error_perm, match="530"):
            await asyncio.to_thread(client, port, "guess")
        with pytest.raises(ftplib.error_perm, match=r"530|503"):
            await asyncio.to_thread(_anonymous, port)
    assert "Traceback" not in caplog.text


def _anonymous(port: int) -> None:
    with ftplib.FTP(timeout=5) as ftp:  # noqa: S321 - what stations use
        ftp.connect("127.0.0.1", port)
        ftp.login()


async def test_a_port_that_is_taken_is_link_down(tmp_path: Path) -> None:
    async with dropping(tmp_path) as (_, port):
        box = FtpDrop(port=port, user="station", password=SECRET)
        with pytest.raises(LinkDown, match="cannot listen"):
            async with made(tmp_path, ftp=box):
                pass
