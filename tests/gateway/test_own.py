"""The gateway as a source of readings: gateway.own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.indicators.own_signals import OWN
from gateway.model.clock import SystemClock
from gateway.model.measure import Reading, Reason
from gateway.model.ports import DeviceHealth, Driver
from gateway.own import OwnSource, cert_days, clock_offset, devices_online, disk_free, not_after_ms
from gateway.supervise import Supervisor
from tests.kit.clock import ManualClock


async def turns(source: OwnSource, n: int) -> list[Sequence[Reading]]:
    found: list[Sequence[Reading]] = []
    async with asyncio.timeout(10), source, contextlib.aclosing(source.batches()) as batches:
        async for batch in batches:
            found.append(batch)
            if len(found) == n:
                break
    return found


async def test_every_probe_is_asked_once_a_turn_and_the_first_turn_is_at_once() -> None:
    asked: list[str] = []

    def probe(name: str, value: float) -> Callable[[], float]:
        return lambda: asked.append(name) or value  # type: ignore[func-returns-value]  # counts its calls

    source = OwnSource({"gw.backlog": probe("b", 7), "gw.uptime": probe("u", 1.5)}, SystemClock(), every_s=0.01)
    batches = await turns(source, 3)
    assert [[(r.signal, r.value) for r in batch] for batch in batches] == [
        [("gateway/backlog", 7), ("gateway/uptime", 1.5)]
    ] * 3
    assert asked == ["b", "u"] * 3
    assert [signal.id for signal in source.signals] == ["gateway/backlog", "gateway/uptime"]


async def test_what_cannot_be_read_is_missing_and_the_others_are_not() -> None:
    def gone() -> float:
        raise FileNotFoundError

    source = OwnSource({"gw.cert_days": gone, "gw.clock_offset": lambda: None, "gw.backlog": lambda: 0}, SystemClock())
    ((cert, offset, backlog),) = await turns(source, 1)
    assert [r.reasons for r in (cert, offset)] == [(Reason.NO_ANSWER,)] * 2
    assert (cert.value, offset.value, backlog.value, backlog.reasons) == (None, None, 0, ())


async def test_a_probe_with_a_bug_is_restarted_by_its_supervisor_and_says_missing() -> None:
    values = iter([5, 6])
    told: list[Reading] = []
    seen = asyncio.Event()

    def broken() -> int:
        if (value := next(values, None)) is None:
            raise ZeroDivisionError
        return value

    async def sink(batch: Sequence[Reading]) -> None:
        told.extend(batch)
        if told[-1].value is None:
            seen.set()

    source = OwnSource({"gw.backlog": broken}, SystemClock(), every_s=0.01)
    task = asyncio.create_task(Supervisor(source, sink, SystemClock()).run())
    try:
        await asyncio.wait_for(seen.wait(), 10)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert [r.value for r in told[:3]] == [5, 6, None]
    assert told[2].reasons == (Reason.LINK_DOWN,)


async def test_it_has_no_devices_so_that_it_counts_as_none() -> None:
    source = OwnSource({"gw.backlog": lambda: 0}, ManualClock())
    assert source.health() == {}
    await source.__aexit__(None, None, None)


def test_a_code_that_nobody_described_is_a_bug() -> None:
    with pytest.raises(KeyError):
        OwnSource({"gw.nothing": lambda: 0}, ManualClock())


def test_a_day_of_its_records_is_small() -> None:
    records = sum(86_400 // one.window_s for one in OWN.values())
    assert records * 150 < 400_000, "bytes a day, of some 150 a record"


def _driver(**devices: DeviceHealth) -> Driver:
    return cast("Driver", SimpleNamespace(health=lambda: devices))


def test_devices_are_not_called_offline_before_one_was_asked() -> None:
    new, there, silent = DeviceHealth(), DeviceHealth(online=True, polls=3), DeviceHealth(polls=2, failures=2)
    assert devices_online([]) is None
    assert devices_online([_driver(a=new, b=new)]) is None
    assert devices_online([_driver(a=there, b=silent), _driver(c=there, d=there)]) == 75


def test_the_disk_of_a_folder_is_partly_free(tmp_path: Path) -> None:
    free = disk_free(tmp_path)
    assert 0 < free <= 100
    assert len(repr(free)) <= 6, "people and the wire need two places, not fourteen"
    with pytest.raises(FileNotFoundError):
        disk_free(tmp_path / "nowhere")


@pytest.mark.parametrize(("status", "offset", "seconds"), [(0x2001, 1_500_000, 0.0015), (0x0001, -250, -0.00025)])
def test_the_offset_is_in_seconds_whatever_the_kernel_counts_in(
    monkeypatch: pytest.MonkeyPatch, status: int, offset: int, seconds: float
) -> None:
    def adjtimex(pointer: Any) -> int:
        timex = pointer._obj
        assert timex.modes == 0
        timex.status, timex.offset = status, offset
        return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(adjtimex=adjtimex))
    assert clock_offset() == pytest.approx(seconds)


def test_a_clock_that_nothing_keeps_right_has_no_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(adjtimex=lambda _: 5))
    assert clock_offset() is None


def test_the_kernel_of_this_machine_answers() -> None:
    offset = clock_offset()
    assert offset is None or abs(offset) < 1


def certificate(until: dt.datetime) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "38-ns-01")])
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC)).not_valid_after(until)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return signed.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize("year", [2027, 2049, 2050, 2120])
def test_the_end_of_a_certificate_is_found(year: int) -> None:
    until = dt.datetime(year, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
    text = "38-ns-01, by the province's authority\n" + certificate(until) + certificate(until.replace(year=year + 1))
    assert not_after_ms(text) == round(until.timestamp() * 1000)


def test_days_left_are_counted_down_and_below_nothing(tmp_path: Path) -> None:
    file, clock = tmp_path / "gw.pem", ManualClock()
    now = dt.datetime.fromtimestamp(clock.now_ms() // 1000, dt.UTC)
    file.write_text(certificate(now + dt.timedelta(days=2)))
    assert cert_days(file, clock) == pytest.approx(2, abs=0.001)
    clock.advance(3 * 86_400)
    assert cert_days(file, clock) == pytest.approx(-1, abs=0.001)


@pytest.mark.parametrize("cut", [0, 30, 200, 300])
def test_what_is_no_whole_certificate_gives_no_days(tmp_path: Path, cut: int) -> None:
    lines = certificate(dt.datetime(2030, 1, 1, tzinfo=dt.UTC)).splitlines()
    body = "".join(lines[1:-1])[: cut - cut % 4]
    file = tmp_path / "gw.pem"
    file.write_text("\n".join([lines[0], body, lines[-1]]) if cut else "no certificate")
    assert cert_days(file, ManualClock()) is None
