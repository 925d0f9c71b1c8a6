"""Promises of one connection: what aiomqtt and paho leave open is mended."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiomqtt import ProtocolVersion

from gateway.model.errors import NotAllowed, Rejected, Unreachable, UplinkError
from gateway.uplink.client import Client
from gateway.uplink.dial import tls_context
from gateway.uplink.link import HungUp, Link, NobodyListens, Silent, TakenOver, UnsupportedProtocol
from gateway.uplink.settings import TlsSettings
from tests.kit.brokers import Manners, free_port, mosquitto, scripted

T = "ioc/v1/38-test-01/tele/live"


def link(port: int, **changes: Any) -> Link:
    return Link(**{"host": "127.0.0.1", "port": port, "identifier": "38-test-01", "timeout_s": 0.3, **changes})


def open_sockets() -> int:
    # The listing's own descriptor is gone by the time it is looked at.
    names = [str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    return sum(name.startswith("socket:") for name in names)


@pytest.mark.parametrize(
    ("code", "error"), [(0x87, NotAllowed), (0x97, Rejected), (0x99, Rejected), (0x10, NobodyListens)]
)
async def test_a_refused_publish_raises(code: int, error: type[UplinkError]) -> None:
    async with scripted(Manners(puback=lambda _: code)) as broker, Client(link(broker.port)) as client:
        with pytest.raises(error) as caught:
            await client.publish(T, b"x", qos=1)
    assert caught.value.where == f"127.0.0.1:{broker.port}"
    assert caught.value.hint


async def test_a_real_broker_that_forbids_a_topic_makes_publish_raise(tmp_path: Path) -> None:
    acl = "topic read #\ntopic write allowed\n"
    async with mosquitto(tmp_path, acl=acl) as broker, Client(link(broker.port)) as client:
        with pytest.raises(NotAllowed):
            await client.publish("forbidden", b"x", qos=1)


async def test_fifty_cancelled_or_failed_connects_leave_no_socket_and_no_task() -> None:
    manners = Manners(connack="nothing")
    async with scripted(manners) as broker:
        sockets, tasks = open_sockets(), len(asyncio.all_tasks())
        for attempt in range(50):
            client = Client(link(broker.port, timeout_s=0.005 if attempt % 3 == 0 else 5))
            entry = asyncio.create_task(client.__aenter__())
            await asyncio.sleep(0.001 * (attempt % 5))
            if attempt % 3:
                entry.cancel()
            with pytest.raises((asyncio.CancelledError, Unreachable)):
                await entry
        await asyncio.sleep(0.05)  # the broker closes its ends
        gc.collect()
        assert (open_sockets(), len(asyncio.all_tasks())) == (sockets, tasks)


async def test_a_late_greeting_is_waited_for_and_a_negative_one_is_believed() -> None:
    async with scripted(Manners(connack_delay_s=0.1)) as broker, Client(link(broker.port, timeout_s=2)):
        assert broker.kinds == ["CONNECT"]
    async with scripted(Manners(connack=0x86)) as broker:
        with pytest.raises(NotAllowed) as caught:
            await Client(link(broker.port)).__aenter__()
    assert "password" in caught.value.hint


async def test_no_greeting_ends_after_the_timeout() -> None:
    async with scripted(Manners(connack="nothing")) as broker:
        with pytest.raises(Silent, match="no answer to the greeting"):
            await Client(link(broker.port)).__aenter__()


async def test_a_broker_that_hangs_up_instead_of_greeting_is_noticed_at_once() -> None:
    async with scripted(Manners(connack="close")) as broker:
        async with asyncio.timeout(1):
            with pytest.raises(HungUp):
                await Client(link(broker.port, timeout_s=60)).__aenter__()


async def test_nobody_at_home_is_unreachable_with_place_and_hint() -> None:
    port = free_port()
    with pytest.raises(Unreachable) as caught:
        await Client(link(port)).__aenter__()
    assert str(port) in str(caught.value)
    assert "check host" in caught.value.hint


async def test_a_broker_without_mqtt_5_says_so_and_takes_311() -> None:
    async with scripted(Manners(only_v311=True)) as broker:
        with pytest.raises(UnsupportedProtocol):
            await Client(link(broker.port)).__aenter__()
        async with Client(link(broker.port, protocol=ProtocolVersion.V311)) as client:
            await client.publish(T, b"x", qos=1)
    assert broker.versions == [5, 4]


async def test_an_object_is_one_connection() -> None:
    async with scripted() as broker:
        client = Client(link(broker.port))
        async with client:
            pass
        with pytest.raises(RuntimeError):
            await client.__aenter__()


async def test_a_pending_publish_fails_as_soon_as_the_line_ends() -> None:
    async with (
        scripted(Manners(puback=lambda _: "nothing")) as broker,
        Client(link(broker.port, timeout_s=60)) as client,
    ):
        waiting = asyncio.create_task(client.publish(T, b"x", qos=1))
        await broker.until(lambda: bool(broker.published))
        broker.hang_up()
        async with asyncio.timeout(1):
            with pytest.raises(Unreachable):
                await waiting
        assert isinstance(await client.lost, Unreachable)
        with pytest.raises(Unreachable):
            await client.publish(T, b"y", qos=1)


async def test_an_unanswered_publish_ends_the_connection_in_time() -> None:
    async with (
        scripted(Manners(puback=lambda _: "nothing")) as broker,
        Client(link(broker.port, timeout_s=0.2)) as client,
    ):
        began = asyncio.get_running_loop().time()
        with pytest.raises(Unreachable, match="no answer"):
            await client.publish(T, b"x", qos=1)
        assert 0.15 < asyncio.get_running_loop().time() - began < 0.4


async def test_a_slow_line_that_still_moves_is_not_broken_off() -> None:
    """A big batch on a thin line takes longer than the timeout; its bytes move all the while."""

    async def sip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(64)
            writer.write(bytes([0x20, 3, 0, 0, 0]))
            received = 0
            while received < size:
                received += len(await reader.read(size // 10))
                await asyncio.sleep(0.015)
            writer.write(bytes([0x40, 2, 0, 1]))
            await reader.read(1000)
        except ConnectionError:
            pass
        finally:
            writer.close()

    size = 400_000
    server = await asyncio.start_server(sip, "127.0.0.1", 0, limit=4096)
    server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    async with Client(link(server.sockets[0].getsockname()[1], timeout_s=0.25)) as client:
        began = asyncio.get_running_loop().time()
        await client.publish(T, b"x" * size, qos=1)
        assert asyncio.get_running_loop().time() - began > 0.4
    server.close()


async def test_keepalive_notices_a_silent_broker_when_nothing_is_in_flight() -> None:
    async with scripted(Manners(deaf_after=1)) as broker, Client(link(broker.port, keepalive_s=1)) as client:
        async with asyncio.timeout(4):
            assert isinstance(await client.lost, Unreachable)


async def test_a_broker_that_gives_our_place_to_another_says_so() -> None:
    async with scripted() as broker, Client(link(broker.port)) as client:
        broker.dismiss(0x8E)
        error = await asyncio.wait_for(client.lost, 2)
    assert isinstance(error, TakenOver)
    assert "same gateway id" in error.hint


async def test_a_message_that_was_not_acknowledged_comes_again_in_the_next_session(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as broker, Client(link(broker.port, identifier="sender")) as sender:
        async with Client(link(broker.port)) as client:
            await client.listen("cmd")
            await sender.publish("cmd", b"light on", qos=1)
            first = await asyncio.wait_for(anext(aiter(client.messages)), 2)
        async with Client(link(broker.port)) as client:
            assert client.session_present
            second = await asyncio.wait_for(anext(aiter(client.messages)), 2)
            client.ack(second)
        assert first.payload == second.payload == b"light on"
        async with Client(link(broker.port)) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(aiter(client.messages)), 0.1)


async def test_the_brokers_limits_are_known_after_connecting() -> None:
    manners = Manners(receive_maximum=3, maximum_packet=200)
    async with scripted(manners) as broker, Client(link(broker.port)) as client:
        assert (client.window, client.max_packet_bytes) == (3, 200)
        with pytest.raises(Rejected, match="200 at most"):
            await client.post(T, b"x" * 200)
        await client.publish(T, b"x" * 100, qos=1)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that is its own authority."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


async def test_tls_works_and_a_broker_nobody_vouches_for_is_refused(tmp_path: Path, certificates: Path) -> None:
    options = [f"certfile {certificates}/cert.pem", f"keyfile {certificates}/key.pem"]
    (certificates / "key.pem").chmod(0o644)
    async with mosquitto(tmp_path, options=options) as broker:
        trusted = tls_context(TlsSettings(ca=str(certificates / "cert.pem")))
        async with Client(link(broker.port, tls=trusted, timeout_s=3)) as client:
            await client.listen("a/b")
            await client.publish("a/b", b"x" * 100_000, qos=1)
            message = await asyncio.wait_for(anext(aiter(client.messages)), 3)
            assert message.payload == b"x" * 100_000
        with pytest.raises(NotAllowed, match="certificate"):
            await Client(link(broker.port, tls=ssl.create_default_context(), timeout_s=3)).__aenter__()


async def test_a_cancelled_tls_handshake_leaves_no_socket() -> None:
    async with scripted(Manners(connack="nothing")) as broker:
        sockets = open_sockets()
        with pytest.raises(Unreachable):
            await Client(link(broker.port, tls=ssl.create_default_context(), timeout_s=0.1)).__aenter__()
        await asyncio.sleep(0.05)
        assert open_sockets() == sockets


def test_a_missing_certificate_file_is_named() -> None:
    with pytest.raises(NotAllowed, match="no-such-file"):
        tls_context(TlsSettings(ca="/no-such-file"))
