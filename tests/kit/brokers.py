"""Brokers for tests: a real mosquitto that can be stopped and frozen, and one that misbehaves to order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

BOUND_S = 10.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def mosquitto_program() -> str:
    """Debian puts it where only root looks."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    assert found, "these tests need a real broker: apt-get install mosquitto"
    return found


class Mosquitto:
    """A real broker with its own folder and port. Persistent sessions and retained messages survive `stop`."""

    def __init__(self, folder: Path, *, acl: str = "", options: Sequence[str] = ()) -> None:
        self.port = free_port()
        self.folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {folder}/",
            f"log_dest file {folder / 'log'}",
            "max_queued_messages 0",
            *options,
        ]
        if os.geteuid() == 0:
            lines.append("user root")  # otherwise it gives up root and can no longer write into this folder
        if acl:
            (folder / "acl").write_text(acl)
            (folder / "acl").chmod(0o600)
            lines.append(f"acl_file {folder / 'acl'}")
        (folder / "conf").write_text("\n".join(lines) + "\n")

    async def start(self) -> None:
        self._child = subprocess.Popen(
            [mosquitto_program(), "-c", str(self.folder / "conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        async with asyncio.timeout(BOUND_S):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    await writer.wait_closed()
                    return
                assert self._child.poll() is None, (self.folder / "log").read_text()
                await asyncio.sleep(0.01)

    def freeze(self) -> None:
        """SIGSTOP: the kernel still accepts connections and bytes, nobody answers."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._child is not None:
            self._child.send_signal(signal.SIGCONT)
            self._child.terminate()
            self._child.wait(BOUND_S)
            self._child = None


@contextlib.asynccontextmanager
async def mosquitto(folder: Path, *, acl: str = "", options: Sequence[str] = ()) -> AsyncIterator[Mosquitto]:
    broker = Mosquitto(folder, acl=acl, options=options)
    try:
        await broker.start()
        yield broker
    finally:
        broker.stop()


# --- a broker that misbehaves to order ---------------------------------------------------------------------------

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14
Answer = int | Literal["close", "cut", "nothing"]


@dataclass(frozen=True)
class Published:
    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass(kw_only=True)
class Manners:
    """How the broker behaves. `connack`: a reason code, "nothing" or "close". `puback`: what it answers to a
    message; "close" acknowledges with 0 and hangs up, "cut" hangs up without an answer. `no_subscribe`: it
    hangs up on a SUBSCRIBE with these bytes. `deaf_after`: packets it reads before it stops answering."""

    connack: Answer = 0
    connack_delay_s: float = 0
    receive_maximum: int | None = None
    maximum_packet: int | None = None
    only_v311: bool = False
    puback: Callable[[Published], Answer] = lambda _: 0
    puback_delay_s: float = 0
    deaf_after: int | None = None
    no_subscribe: bytes = b""


@dataclass
class ScriptedBroker:
    """Speaks as much MQTT 3.1.1 and 5 as the tests need, and writes down what it saw."""

    manners: Manners = field(default_factory=Manners)

    def __post_init__(self) -> None:
        self.port = 0
        self.kinds: list[str] = []  # "CONNECT", "SUBSCRIBE", "PUBLISH topic", ... in order of arrival
        self.published: list[Published] = []
        self.versions: list[int] = []  # protocol level of each CONNECT
        self.unacknowledged = 0
        self.most_unacknowledged = 0
        self.clean_goodbyes = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        answers: set[asyncio.Task[None]] = set()
        v5, seen = False, 0
        try:
            while True:
                kind, flags, body = await _read_packet(reader)
                seen += 1
                if kind == CONNECT:
                    v5 = body[6] == 5
                message = _parse_publish(flags, body, v5=v5) if kind == PUBLISH else None
                self._write_down(kind, body, message[0] if message else None)
                if kind == DISCONNECT:
                    return
                if self.manners.deaf_after is not None and seen > self.manners.deaf_after:
                    continue
                if kind == CONNECT and not await self._greet(writer, v5=v5):
                    return
                if kind == SUBSCRIBE and self.manners.no_subscribe and self.manners.no_subscribe in body:
                    return
                if kind == SUBSCRIBE:
                    writer.write(_packet(SUBACK, body[:2] + (b"\0" if v5 else b"") + b"\1"))
                elif kind == PINGREQ:
                    writer.write(_packet(PINGRESP, b""))
                elif message is not None and message[0].qos:
                    task = asyncio.create_task(self._acknowledge(writer, *message, v5=v5))
                    answers.add(task)
                    task.add_done_callback(answers.discard)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for task in answers:
                task.cancel()
            self.unacknowledged = 0
            self._writers.discard(writer)
            writer.close()

    def _write_down(self, kind: int, body: bytes, message: Published | None) -> None:
        if kind == CONNECT:
            self.versions.append(body[6])
        if kind == DISCONNECT:
            self.clean_goodbyes += 1
        if message is not None:
            self.published.append(message)
            self._note(f"PUBLISH {message.topic}")
        else:
            self._note({CONNECT: "CONNECT", SUBSCRIBE: "SUBSCRIBE", DISCONNECT: "DISCONNECT"}.get(kind, "-"))

    async def _greet(self, writer: asyncio.StreamWriter, *, v5: bool) -> bool:
        manners = self.manners
        await asyncio.sleep(manners.connack_delay_s)
        if manners.connack == "nothing":
            return True
        code = 0x84 if v5 and manners.only_v311 else manners.connack
        if code == "close":
            return False
        properties = b""
        if manners.receive_maximum is not None:
            properties += b"\x21" + struct.pack("!H", manners.receive_maximum)
        if manners.maximum_packet is not None:
            properties += b"\x27" + struct.pack("!I", manners.maximum_packet)
        assert isinstance(code, int)
        writer.write(_packet(CONNACK, bytes([0, code]) + (bytes([len(properties)]) + properties if v5 else b"")))
        return code == 0

    async def _acknowledge(self, writer: asyncio.StreamWriter, message: Published, mid: int, *, v5: bool) -> None:
        self.unacknowledged += 1
        self.most_unacknowledged = max(self.most_unacknowledged, self.unacknowledged)
        await asyncio.sleep(self.manners.puback_delay_s)
        answer = self.manners.puback(message)
        if answer == "nothing":
            return
        if answer == "cut":
            writer.close()
            return
        self.unacknowledged -= 1
        code = 0 if answer == "close" else answer
        writer.write(_packet(PUBACK, struct.pack("!H", mid) + (bytes([code, 0]) if v5 and code else b"")))
        if answer == "close":
            await writer.drain()
            writer.close()

    def _note(self, what: str) -> None:
        self.kinds.append(what)
        self._changed.set()

    async def until(self, met: Callable[[], bool], bound_s: float = BOUND_S) -> None:
        async with asyncio.timeout(bound_s):
            while not met():
                self._changed.clear()
                await self._changed.wait()

    def deliver(self, topic: str, payload: bytes) -> None:
        """A message with QoS 1 to everybody (who speaks MQTT 5), subscribed or not."""
        body = struct.pack("!H", len(topic)) + topic.encode() + b"\0\1" + b"\0" + payload
        for writer in self._writers:
            writer.write(bytes([PUBLISH << 4 | 2]) + _packet(PUBLISH, body)[1:])

    def dismiss(self, reason: int) -> None:
        """DISCONNECT with a reason, as only MQTT 5 has it."""
        for writer in self._writers:
            writer.write(_packet(DISCONNECT, bytes([reason, 0])))

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def telemetry(self) -> list[Published]:
        return [message for message in self.published if "/tele/" in message.topic]


@contextlib.asynccontextmanager
async def scripted(manners: Manners | None = None) -> AsyncIterator[ScriptedBroker]:
    broker = ScriptedBroker(manners or Manners())
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
        broker.hang_up()
        await asyncio.sleep(0.01)  # lets the handlers see that their line is cut


async def _read_packet(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    first = (await reader.readexactly(1))[0]
    length, shift = 0, 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return first >> 4, first & 15, await reader.readexactly(length)


def _packet(kind: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([kind << 4, len(body)]) + body


def _parse_publish(flags: int, body: bytes, *, v5: bool) -> tuple[Published, int]:
    end = 2 + struct.unpack_from("!H", body)[0]
    topic, qos, mid = body[2:end].decode(), flags >> 1 & 3, 0
    if qos:
        mid = struct.unpack_from("!H", body, end)[0]
        end += 2
    if v5:
        end += 1 + body[end]  # our properties are shorter than 128 bytes
    return Published(topic, body[end:], qos, bool(flags & 1)), mid
