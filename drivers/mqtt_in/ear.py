"""One connection to a broker on site that only listens: aiomqtt's Client with what it leaves open mended.

Measured against aiomqtt 2.5 and paho-mqtt 2: an entry that failed or was cancelled keeps its socket and a task; a
broker that hangs up instead of greeting is not noticed; a refused subscription passes for a good one; a full queue
drops what is newest.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiomqtt
import paho.mqtt.client as paho

from gateway.model.errors import LinkDown

TIMEOUT_S: Final = 5.0
"""For connecting and for each answer of the broker, which stands on the same site."""
KEEPALIVE_S: Final = 15
"""A broker that is gone without a word is noticed after twice this time."""
_MOST_WAITING: Final = 1000
_DENIED: Final = 0x80


@dataclass(frozen=True, slots=True)
class Broker:
    """ca: the certificate that signed the broker's; with it the way is encrypted. wire: its name, for messages."""

    wire: str
    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """retained: the broker kept it from before we came; nobody knows how old it is."""

    topic: str
    payload: bytes
    retained: bool


class Ear(aiomqtt.Client):
    """An object is one connection: after it ended, make a new one. MQTT 3.1.1, which every broker speaks."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(
            broker.host,
            broker.port,
            username=broker.user,
            password=broker.password,
            # A broker throws out whoever has the same id as a newcomer. 23 characters are what every broker takes.
            identifier=f"gateway-{secrets.token_hex(6)}",
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True,
            keepalive=KEEPALIVE_S,
        )
        self._client.disable_logger()
        self._broker = broker
        self._messages: deque[Message] = deque(maxlen=_MOST_WAITING)
        self._news = asyncio.Event()
        self._disconnected.add_done_callback(lambda _: self._news.set())

    async def open(self) -> None:
        """Connects and returns after the broker said yes. Raises LinkDown."""
        broker = self._broker
        try:
            sock = await _dialled(broker)
            # paho asks for its socket here; ours is connected already, so its blocking calls return at once.
            self._client._create_socket = lambda: sock  # type: ignore[method-assign]  # noqa: SLF001
            self._client.connect(broker.host, broker.port, KEEPALIVE_S)
            async with asyncio.timeout(TIMEOUT_S):
                await self._connected
        except BaseException as error:
            self._hang_up()
            if isinstance(error, (OSError, ValueError, aiomqtt.MqttError)):
                raise self._down(_why(error)) from error
            raise

    async def close(self) -> None:
        """Frees the connection. Never raises."""
        try:
            if self._client.disconnect() == paho.MQTT_ERR_SUCCESS:
                await asyncio.wait({self._disconnected}, timeout=1)
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._misc_task is not None:
            self._misc_task.cancel()
        self._client._sock_close()  # noqa: SLF001  # paho has no public way to close without saying goodbye
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        for seen in (self._connected, self._disconnected):
            if seen.done() and not seen.cancelled():
                seen.exception()

    async def listen(self, topics: Sequence[str]) -> Sequence[str]:
        """Subscribes, and returns the topics that the broker denied. Many brokers grant a topic that they then
        never deliver. Raises LinkDown."""
        rc, mid = self._client.subscribe([(topic, 1) for topic in topics])
        if rc != paho.MQTT_ERR_SUCCESS or mid is None:
            raise self._down("the connection just ended")
        # Not aiomqtt's subscribe: it waits on when the connection ends.
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._pending_subscribes[mid] = answer
        await asyncio.wait({answer, self._disconnected}, timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        self._pending_subscribes.pop(mid, None)
        if not answer.done():
            raise self._down("the broker does not answer a subscription")
        return [topic for topic, code in zip(topics, answer.result(), strict=False) if code.value >= _DENIED]

    def say(self, topic: str, payload: bytes) -> None:
        """Publishes with QoS 0. For far ends and tests: a driver only listens."""
        self._client.publish(topic, payload, qos=0)

    def forget(self) -> None:
        """Drops what came and nobody took, but for what the broker had kept."""
        self._messages = deque((m for m in self._messages if m.retained), maxlen=_MOST_WAITING)

    async def message(self, wait_s: float) -> Message | None:
        """The next message; None when none came in time. Raises LinkDown."""
        while not self._messages:
            if self._disconnected.done():
                raise self._down("the connection ended")
            self._news.clear()
            try:
                async with asyncio.timeout(max(wait_s, 0)):
                    await self._news.wait()
            except TimeoutError:
                return None
        return self._messages.popleft()

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:  # noqa: ARG002
        self._messages.append(Message(message.topic, bytes(message.payload), message.retain))
        self._news.set()

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: Any,
        properties: Any = None,
    ) -> None:
        if not self._connected.done():
            self._connected.set_exception(ConnectionError("it hung up instead of greeting"))
        elif not self._connected.cancelled():
            super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _down(self, why: str) -> LinkDown:
        broker = self._broker
        hint = "check that the broker runs, its address, and the name and password of the gateway"
        return LinkDown(f"broker {broker.host}:{broker.port}: {why}", where=broker.wire, hint=hint)


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {TIMEOUT_S:g} s"
    return str(error)


async def _dialled(broker: Broker) -> socket.socket:
    """A connected socket. Raises OSError. A thread dials; if the caller is cancelled meanwhile, the socket is closed
    as soon as the thread is through."""
    dialling = asyncio.ensure_future(asyncio.to_thread(_dial, broker))
    try:
        return await asyncio.shield(dialling)
    except asyncio.CancelledError:
        dialling.add_done_callback(_close_late)
        raise


def _close_late(dialling: asyncio.Future[socket.socket]) -> None:
    if not dialling.cancelled() and dialling.exception() is None:
        dialling.result().close()


def _dial(broker: Broker) -> socket.socket:
    context = None if broker.ca is None else ssl.create_default_context(cafile=broker.ca)
    sock = socket.create_connection((broker.host, broker.port), timeout=TIMEOUT_S)
    # Small messages are not kept back until the one before is acknowledged, which may take 40 ms.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname=broker.host)
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock
