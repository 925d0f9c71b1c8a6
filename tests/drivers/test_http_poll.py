"""Devices that are asked over HTTP: what answers mean, whose word is not taken, and where requests never go."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import drivers
from drivers.http_poll import host
from drivers.http_poll.paths import target
from drivers.json_values import LARGEST
from drivers.settings import DeviceSettings, HttpPollWire
from drivers.simulate.http_poll import HttpEnd
from gateway.model.clock import SystemClock
from gateway.model.errors import ConfigError, LinkDown
from gateway.model.measure import Quality, Reason
from tests.drivers.kinds.http_poll import http_profile
from tests.drivers.kit import by_signal, free_port, point, shipped_profiles, site, take
from tests.drivers.web import asked, driver_of, reply, says, serving

# Where requests go.


@pytest.mark.parametrize(
    ("url", "path", "address", "whole"),
    [
        ("http://h", "/rpc/EM.GetStatus?id={address}", "0", "http://h/rpc/EM.GetStatus?id=0"),
        ("http://h:8080/api/", "now", None, "http://h:8080/api/now"),
        ("https://h", "/{address}/now", "../x&y=é", "https://h/..%2Fx%26y%3D%C3%A9/now"),
        ("http://h", '/q?f={"a":1}', None, 'http://h/q?f={"a":1}'),
    ],
)
def test_addresses_are_percent_encoded_into_paths(url: str, path: str, address: str | None, whole: str) -> None:
    assert target(url, path, address) == whole


async def test_only_the_requests_that_points_need_are_made_over_one_connection(tmp_path: Path) -> None:
    async with site("http_poll", tmp_path) as made, made.driver:
        await take(made.driver, 5 * made.every_s)
        end = made.far.wires["w"]
        assert isinstance(end, HttpEnd)
        assert end.connections == 2  # the knock, and the one that stays
    assert made.far.devices["left"].requests >= 6
    assert made.far.devices["left"].requests % 2 == 0, "two of three requests carry points"


async def test_a_wire_is_asked_one_request_at_a_time() -> None:
    busy, most = 0, 0

    async def slowly(head: str, writer: asyncio.StreamWriter) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.02)
        busy -= 1
        writer.write(reply())

    async with serving(slowly) as server, driver_of(server.port) as driver:
        rows = await asyncio.gather(*(driver.read_once("it") for _ in range(5)))
    assert [row.reading.value for (row,) in rows] == [1.5] * 5
    assert most == 1


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert (await asked(says(reply())))[0] == 1.5


async def test_a_redirect_is_refused_and_not_followed() -> None:
    async with serving(says(reply())) as elsewhere:
        place = f"http://127.0.0.1:{elsewhere.port}/now"
        value, reasons, error = await asked(says(reply(b"", 302, Location=place)))
    assert (value, reasons) == (None, (Reason.DEVICE_REFUSED,))
    assert place in error
    assert elsewhere.connections == 0


# What answers mean.


async def test_statuses_are_refusals_with_a_hint_that_helps() -> None:
    hints = {401: "`password`", 403: "rights", 404: "`address`", 429: "every_s", 500: "restart"}
    for status, hint in hints.items():
        value, reasons, error = await asked(says(reply(b"no", status)))
        assert (value, reasons) == (None, (Reason.DEVICE_REFUSED,))
        assert str(status) in error
        assert hint in error


async def test_a_refusal_is_logged_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    answers = says(*[reply(b"", 503)] * 4, reply())
    async with serving(answers) as server, driver_of(server.port) as driver:
        with caplog.at_level(logging.WARNING):
            readings = by_signal(await take(driver, 2, lambda newest: newest.get("it/t") == 1.5))["it/t"]
    assert {r.reasons for r in readings[:-1]} == {(Reason.DEVICE_REFUSED,)}
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "503" in said[0]
    assert said[1] == "it: now is read again"


async def test_one_refused_request_leaves_the_others_of_the_device_alone() -> None:
    profile = http_profile(
        {"bad": "/bad", "good": "/good"}, {n: point(source=n, pointer="/t") for n in ("bad", "good")}
    )

    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(status=404) if "/bad" in head else reply())

    async with serving(answer) as server, driver_of(server.port, profile) as driver:
        (batch, *_) = await take(driver, 2, lambda newest: len(newest) == 2)
    assert {r.signal: (r.value, r.reasons) for r in batch} == {
        "it/bad": (None, (Reason.DEVICE_REFUSED,)),
        "it/good": (1.5, ()),
    }


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{", b"\xff\xfe\x00", b'{"t": NaN}', b"[" * 100_000, b'{"t": 1' + b"0" * LARGEST + b"}"],
    ids=["empty", "html", "cut", "bytes", "nan", "deep", "large"],
)
async def test_what_is_no_json_is_a_bad_frame(body: bytes) -> None:
    assert (await asked(says(reply(body))))[:2] == (None, (Reason.BAD_FRAME,))


async def test_a_point_that_is_absent_or_null_is_a_fault_of_the_device() -> None:
    for body, error in ((b'{"u": 1}', "/t"), (b'{"t": null}', "")):
        found = await asked(says(reply(body)))
        assert found[:2] == (None, (Reason.DEVICE_FAULT,))
        assert error in found[2]


async def test_packed_answers_are_not_unpacked() -> None:
    packed = gzip.compress(b'{"t": 1.5}' + b" " * 1_000_000)
    assert (await asked(says(reply(packed, Content_Encoding="gzip"))))[1] == (Reason.BAD_FRAME,)


@pytest.mark.parametrize(("status", "reason"), [(200, Reason.BAD_FRAME), (500, Reason.DEVICE_REFUSED)])
async def test_an_endless_answer_is_left_early(status: int, reason: Reason) -> None:
    sent = 0

    async def endless(head: str, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(f"HTTP/1.1 {status} -\r\n\r\n".encode())
        while True:
            writer.write(b"0" * 65_536)
            sent += 65_536
            await writer.drain()

    assert (await asked(endless, timeout_s=2.0))[1] == (reason,)
    assert sent < 64 * LARGEST  # what fits into the sockets between us comes on top


async def test_an_answer_that_trickles_is_no_answer_in_time() -> None:
    async def trickle(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 -\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.02)

    began = asyncio.get_running_loop().time()
    assert (await asked(trickle, timeout_s=0.15))[1] == (Reason.NO_ANSWER,)
    assert asyncio.get_running_loop().time() - began < 1.0


async def test_a_connection_that_breaks_in_the_answer_is_no_reading_and_the_next_is() -> None:
    async def half(head: str, writer: asyncio.StreamWriter) -> None:
        if server.connections == 2:  # the first was the knock
            writer.write(reply()[:-3])
            writer.transport.abort()
        else:
            writer.write(reply())

    async with serving(half) as server, driver_of(server.port) as driver:
        (row,) = await driver.read_once("it")
        assert row.reading.value is None
        assert row.reading.reasons[0] in {Reason.BAD_FRAME, Reason.NO_ANSWER}
        (row,) = await driver.read_once("it")
        assert row.reading.value == 1.5


async def test_a_server_that_closes_after_every_answer_is_read_each_time() -> None:
    async def once(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(Connection="close"))
        writer.close()

    async with serving(once) as server, driver_of(server.port) as driver:
        rows = [(await driver.read_once("it"))[0].reading.value for _ in range(5)]
    assert rows == [1.5] * 5


async def test_a_server_that_hangs_up_between_two_answers_costs_no_reading() -> None:
    async def short(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(reply())
        asyncio.get_running_loop().call_later(0.02, writer.close)

    async with serving(short) as server, driver_of(server.port, every_s=0.08) as driver:
        readings = by_signal(await take(driver, 0.5))["it/t"]
    assert {r.value for r in readings} == {1.5}
    assert server.connections > 3


async def test_a_late_answer_is_never_taken_for_the_next_one() -> None:
    numbers = iter(range(100))

    async def late(head: str, writer: asyncio.StreamWriter) -> None:
        number = next(numbers)
        await asyncio.sleep(0.4 if number == 1 else 0)
        writer.write(reply(json.dumps({"t": number}).encode()))

    async with serving(late) as server, driver_of(server.port, timeout_s=0.2) as driver:
        rows = [(await driver.read_once("it"))[0].reading for _ in range(4)]
    assert [(r.value, r.reasons) for r in rows] == [(0, ()), (None, (Reason.NO_ANSWER,)), (2, ()), (3, ())]


async def test_a_cancelled_caller_leaves_the_wire_in_order() -> None:
    async def slow(head: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(reply())

    async with serving(slow) as server, driver_of(server.port) as driver:
        for _ in range(3):
            reading = asyncio.create_task(driver.read_once("it"))
            await asyncio.sleep(0.02)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert (await driver.read_once("it"))[0].reading.value == 1.5


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=100).map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["t", "u"]), inner, max_size=2),
            max_leaves=8,
        ).map(lambda tree: reply(json.dumps(tree).encode())),
    )
)
def test_no_answer_makes_the_driver_fall_or_gives_another_type(answer: bytes) -> None:
    async def blurt(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async def run() -> None:
        value, reasons, _ = await asked(blurt)
        assert (value is None) == bool(reasons)
        assert value is None or type(value) is float
        assert set(reasons) <= {Reason.BAD_FRAME, Reason.NO_ANSWER, Reason.DEVICE_FAULT, Reason.DEVICE_REFUSED}

    asyncio.run(run())


# Sites that cannot work.


def test_addresses_that_requests_need_are_asked_for(tmp_path: Path) -> None:
    wire = HttpPollWire(kind="http_poll", url="http://h")
    devices = {"it": (DeviceSettings(profile="station", wire="w", every_s=1), http_profile())}
    with pytest.raises(ConfigError, match="address"):
        drivers.build("w", wire, devices, drivers.Surroundings(SystemClock(), tmp_path))
    devices = {"it": (DeviceSettings(profile="p", wire="w", every_s=1), shipped_profiles()["energy-meter-3p"])}
    with pytest.raises(ConfigError, match="HTTP"):
        drivers.build("w", wire, devices, drivers.Surroundings(SystemClock(), tmp_path))
    with pytest.raises(ConfigError, match="URL"):
        driver_of(80, url="http://h\x00")


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://h:99999"},
        {"url": "http://"},
        {"url": "http://h/x?y=1"},
        {"url": "http://user:word@h"},
        {"url": "ftp://h"},
        {"url": "http://h", "password": "key"},
    ],
)
def test_wires_that_cannot_be_meant_are_found_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpPollWire(kind="http_poll", **wrong)


async def test_a_host_that_hangs_costs_its_wire_no_more_than_its_share() -> None:
    async def hang(head: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with serving(hang) as server, driver_of(server.port, timeout_s=0.1) as driver:
        readings = by_signal(await take(driver, 0.8))["it/t"]
        health = driver.health()["it"]
    assert {(r.value, r.quality, r.reasons) for r in readings} == {(None, Quality.MISSING, (Reason.NO_ANSWER,))}
    assert len(readings) >= 6
    assert not health.online
    assert len(server.heads) < len(readings)


async def test_a_host_name_that_no_resolver_takes_is_link_down() -> None:
    driver = driver_of(1, url="http://192.168..40")
    with pytest.raises(LinkDown, match="no name of a host"):
        async with driver:
            pass


async def test_cookies_do_not_gather() -> None:
    answers = [reply(Set_Cookie=f"s{n}={'x' * 50}") for n in range(30)]
    async with serving(says(*answers)) as server, driver_of(server.port) as driver:
        for _ in range(30):
            await driver.read_once("it")
    assert "cookie" not in server.heads[-1].lower()


async def test_broken_encryption_is_a_missing_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(*_: Any) -> bytes:
        raise ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] decryption failed")

    monkeypatch.setattr(host.Host, "_body", breaks)  # what httpx lets through, seen with a wrong record
    value, reasons, error = await asked(says(reply()))
    assert (value, reasons) == (None, (Reason.NO_ANSWER,))
    assert "the connection broke" in error
