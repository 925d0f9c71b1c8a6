"""One connection to a broker: aiomqtt's Client with what it and paho leave open mended.

What is mended, each measured against aiomqtt 2.5.1 and paho-mqtt 2.2.0:

- a publish the broker refuses raises, instead of succeeding;
- a publish ends with the answer, the end of the connection, or a line that stands still, whichever comes first;
- the broker's limits (ReceiveMaximum, MaximumPacketSize) are kept;
- an entry that fails, times out or is cancelled leaves no socket and no task; a broker that hangs up instead of
  answering is noticed at once;
- an incoming QoS 1 message is acknowledged by whoever handled it (`ack`), not before;
- no thread, no log line and no copy of the message for each publish.

An object is one connection: after it ended, make a new one. Whatever was not acknowledged is forgotten with it.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from types import TracebackType
from typing import Any, Self

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.model.errors import NotAllowed, Rejected, Unreachable, UplinkError
from gateway.uplink.dial import dial
from gateway.uplink.link import Link, NoGreeting, refusal, why_lost, why_not

UNANSWERED_COMMANDS = 32
SESSION_EXPIRY_S = 300  # short on purpose: only commands wait at the broker, and an old command is worth nothing
_HEADERS = 16  # fixed header, packet id, lengths: never more than this


class Sealed(Properties):
    """Properties that are the same for every message: packed once, which saves 30 us for each publish."""

    def __init__(self, packet_type: int, **values: Any) -> None:
        super().__init__(packet_type)  # type: ignore[no-untyped-call]
        for name, value in values.items():
            setattr(self, name, value)
        object.__setattr__(self, "_sealed", super().pack())  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        sealed: bytes = object.__getattribute__(self, "_sealed")
        return sealed


_GREETING = Sealed(PacketTypes.CONNECT, SessionExpiryInterval=SESSION_EXPIRY_S, ReceiveMaximum=UNANSWERED_COMMANDS)


class Client(aiomqtt.Client):
    """See the module. Everything runs on the event loop that made it."""

    def __init__(self, link: Link) -> None:
        v5 = link.protocol is aiomqtt.ProtocolVersion.V5
        super().__init__(
            link.host,
            link.port,
            username=link.username,
            password=link.password,
            identifier=link.identifier,
            protocol=link.protocol,
            will=link.will,
            keepalive=link.keepalive_s,
            timeout=link.timeout_s,
            clean_start=False if v5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            clean_session=None if v5 else True,
            properties=_GREETING if v5 else None,
            max_inflight_messages=0,  # no queue inside paho: `_slots` is the only gate
        )
        self._client.manual_ack_set(True)
        self._client.disable_logger()  # it logs every failure of a retry; the session says it once
        self.link = link
        self.session_present = False
        self.dialled = False  # True: the broker may have seen our CONNECT, with its will
        self.max_packet_bytes: int | None = None
        self.lost: asyncio.Future[UplinkError] = self._loop.create_future()
        self.window = link.window
        self._slots = asyncio.Semaphore(link.window)
        self._pending: dict[int, asyncio.Future[int]] = {}
        self._tick: asyncio.TimerHandle | None = None
        self._moved_at = 0.0
        self._unsent = 0
        self._disconnected.add_done_callback(self._line_ended)

    # -- the connection

    async def __aenter__(self) -> Self:
        """Connects and returns after the broker said yes. Raises Unreachable, UnsupportedProtocol or NotAllowed."""
        if self.dialled:
            raise RuntimeError("a Client is one connection: make a new one")
        link = self.link
        try:
            async with asyncio.timeout(link.timeout_s):
                sock = await dial(link.host, link.port, link.tls)
            self.dialled = True
            # paho asks for its socket here; ours is connected already, so its blocking calls return at once.
            self._client._create_socket = lambda: sock  # type: ignore[method-assign]  # noqa: SLF001
            self._client.connect(link.host, link.port, link.keepalive_s, "", 0, self._clean_start, self._properties)
            async with asyncio.timeout(min(link.greeting_s, link.timeout_s)):
                await self._connected
        except BaseException as error:
            self._hang_up()
            if isinstance(error, (OSError, aiomqtt.MqttCodeError)):
                raise why_not(error, link, dialled=self.dialled) from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Says goodbye only after a clean body; otherwise hangs up, so that the broker publishes the will."""
        try:
            if kind is None and not self._disconnected.done():
                self._client.disconnect()
                await asyncio.wait({self._disconnected}, timeout=min(2.0, self.link.timeout_s))
        finally:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._misc_task is not None:
            self._misc_task.cancel()
        self._client._sock_close()  # noqa: SLF001  # paho has no public way to close without saying goodbye
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        if self._connected.done() and not self._connected.cancelled():
            self._connected.exception()  # seen, also if a cancelled entry never looked

    def _on_connect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.session_present = flags.session_present
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", None)
        self.window = min(self.link.window, getattr(properties, "ReceiveMaximum", 65_535))
        self._slots = asyncio.Semaphore(self.window)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if not self._connected.done():
            self._connected.set_exception(NoGreeting(reason_code))
        elif not self._connected.cancelled():
            super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _line_ended(self, disconnected: asyncio.Future[None]) -> None:
        """Ends everything that waits for the broker. However the line ended, this runs, and once."""
        cause = None if disconnected.cancelled() else disconnected.exception()
        error = why_lost(cause, self.link)
        if self._tick is not None:
            self._tick.cancel()
        waiting: list[asyncio.Future[Any]] = [*self._pending.values(), *self._pending_subscribes.values()]
        for answer in waiting:
            if not answer.done():
                answer.set_exception(error)
        for _ in self._pending:
            self._slots.release()
        self._pending.clear()
        if not self.lost.done():
            self.lost.set_result(error)
        self._hang_up()

    # -- sending

    @property
    def busy(self) -> bool:
        """True if another `post` would have to wait."""
        return self._slots.locked()

    async def room(self) -> None:
        """Returns when a `post` would not have to wait."""
        await self._slots.acquire()
        self._slots.release()

    @property
    def in_flight(self) -> int:
        return len(self._pending)

    async def post(
        self, topic: str, payload: bytes, *, retain: bool = False, properties: Properties | None = None
    ) -> asyncio.Future[int]:
        """Sends with QoS 1 as soon as the broker's window allows, and returns a future of the answer's reason code
        (0 from a broker that gives none). The future raises Unreachable if the line ends first.

        Raises Rejected for a message larger than the broker takes, and Unreachable if the line is down.
        """
        size = len(payload) + len(topic.encode()) + _HEADERS + _packed_size(properties)
        if self.max_packet_bytes is not None and size > self.max_packet_bytes:
            raise Rejected(
                f"{size} bytes, but the broker takes {self.max_packet_bytes} at most",
                where=self.link.place,
                hint="raise the broker's limit (max_packet_size in mosquitto)",
            )
        await self._slots.acquire()
        if self.lost.done():
            self._slots.release()
            raise self.lost.result()
        answer: asyncio.Future[int] = self._loop.create_future()
        info = self._client.publish(topic, payload, 1, retain, properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            self._slots.release()
            raise Unreachable("the connection just ended", where=self.link.place, hint="nothing to do: it will retry")
        if not self._pending:
            self._moved_at, self._unsent = self._loop.time(), 0
            self._schedule_tick()
        self._pending[info.mid] = answer
        return answer

    async def publish(
        self,
        /,
        topic: str,
        payload: aiomqtt.types.PayloadType = None,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        *args: Any,  # noqa: ARG002  # aiomqtt's signature
        timeout: float | None = None,
        **kwargs: Any,  # noqa: ARG002  # aiomqtt's signature
    ) -> None:
        """Returns after the broker took the message (QoS 1), or at once (QoS 0).

        Raises NotAllowed or Rejected if the broker refuses it, NobodyListens if it had no subscriber, Unreachable.
        """
        body = payload if isinstance(payload, bytes) else str(payload or "").encode()
        if qos == 0:
            self._client.publish(topic, body, 0, retain, properties)
            return
        async with asyncio.timeout(timeout):
            answer = await self.post(topic, body, retain=retain, properties=properties)
            code = await answer
        if code:
            raise refusal(code, topic, self.link.place)

    def _on_publish(  # the arguments are paho's
        self,
        client: paho.Client,  # noqa: ARG002
        userdata: Any,  # noqa: ARG002
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,  # noqa: ARG002
    ) -> None:
        answer = self._pending.pop(mid, None)
        if answer is None:  # QoS 0 ends here too
            return
        self._moved_at = self._loop.time()
        self._slots.release()
        if not answer.done():
            answer.set_result(reason_code.value)

    # -- does the line move?

    def _schedule_tick(self) -> None:
        now, limit = self._loop.time(), self.link.timeout_s
        if self._tick is not None:
            self._tick.cancel()
        self._tick = self._loop.call_at(min(now + limit / 4, self._moved_at + limit), self._check_line)

    def _check_line(self) -> None:
        """A slow line may need minutes for one window of batches. So the limit is not for the answer but for
        standing still: neither an answer, nor bytes that the other side's TCP took."""
        if not self._pending or self._disconnected.done():
            return
        before, self._unsent = self._unsent, self._unsent_bytes()
        if self._unsent < before:
            self._moved_at = self._loop.time()
        if self._loop.time() - self._moved_at >= self.link.timeout_s - 1e-3:
            self._disconnected.set_exception(TimeoutError(f"no answer in {self.link.timeout_s:g} s"))
        else:
            self._schedule_tick()

    def _unsent_bytes(self) -> int:
        sock: Any = self._client.socket()
        if sock is None:
            return 0
        waiting: int = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
        return waiting + sum(packet["to_process"] for packet in self._client._out_packet)  # noqa: SLF001  # no public way

    # -- receiving

    async def listen(self, *topics: str) -> None:
        """Subscribes with QoS 1. Raises NotAllowed if the broker says no to one of them; the others are subscribed
        then. (Many brokers say yes and deliver nothing.)"""
        # Not aiomqtt's subscribe: its wait_for swallows a cancellation that comes together with the answer (3.11).
        v5 = self.link.protocol is aiomqtt.ProtocolVersion.V5
        wanted: list[Any] = [(topic, SubscribeOptions(qos=1) if v5 else 1) for topic in topics]
        rc, mid = self._client.subscribe(wanted)
        if rc != paho.MQTT_ERR_SUCCESS or mid is None:
            raise Unreachable("the connection just ended", where=self.link.place)
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._pending_subscribes[mid] = answer
        try:
            async with asyncio.timeout(self.link.timeout_s):
                codes = await answer
        except TimeoutError as error:
            what = f"no answer to SUBSCRIBE in {self.link.timeout_s:g} s"
            raise Unreachable(what, where=self.link.place, hint="look into the broker's log") from error
        finally:
            self._pending_subscribes.pop(mid, None)
        refused = [topic for topic, code in zip(topics, codes, strict=False) if code.value >= 0x80]
        if refused:
            what = f"may not read {', '.join(refused)}"
            raise NotAllowed(what, where=self.link.place, hint="ask for the access rules of this gateway")

    def ack(self, message: aiomqtt.Message) -> None:
        """Tells the broker that the message was dealt with; until then it will come again in a later session."""
        if message.qos and not self.lost.done():
            self._client.ack(message.mid, message.qos)

    # -- writing to the socket

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:  # noqa: ARG002  # paho's
        # Not at once: whatever else is posted in this turn of the loop leaves in the same write.
        self._loop.call_soon(self._write, sock)

    def _write(self, sock: Any) -> None:
        if sock.fileno() < 0:
            return  # hung up in between
        self._client.loop_write()
        if self._client.want_write() and sock.fileno() >= 0:
            self._loop.add_writer(sock.fileno(), self._write, sock)


def _packed_size(properties: Properties | None) -> int:
    return 1 if properties is None else len(properties.pack())  # type: ignore[no-untyped-call]
