"""The far side of the contract: listens to all gateways of a broker, keeps the books, sends commands.

For integrators to read, for the demo, and for tests that follow a value from the device to the centre.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiomqtt
from paho.mqtt.packettypes import PacketTypes

from gateway.ioc.ledger import GatewayBook, Ledger, StoreBook
from gateway.ioc.repair import VAIN, Repair, waiting_at
from gateway.model.clock import Clock, SystemClock
from gateway.model.errors import Unreachable, UplinkError
from gateway.uplink.client import Client, Sealed
from gateway.uplink.link import HungUp, Link, Silent, UnsupportedProtocol

RETRY_S = 0.2
GUESS_S = 3.0


@dataclass(kw_only=True)
class Receiver:
    """Use it as `async with Receiver(host=…) as receiver`. It reconnects by itself and keeps its session at the
    broker for 5 minutes, so that a restart on either side loses nothing (on MQTT 5).

    A message is acknowledged after the ledger has it. `listener` is called with (topic, decoded message). With
    `repair_after_s` it says what it has (`ack`), and asks for what has been missing for longer than that.
    """

    host: str
    port: int = 1883
    root: str = "ioc"
    name: str = field(default_factory=lambda: f"receiver-{secrets.token_hex(4)}")
    issuer: str = "ioc-demo"
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    clock: Clock = field(default_factory=SystemClock)
    listener: Callable[[str, Mapping[str, Any]], None] | None = None
    repair_after_s: float | None = None

    def __post_init__(self) -> None:
        self.ledger = Ledger()
        self._changed = asyncio.Event()
        self._line: Client | None = None
        self._protocol = aiomqtt.ProtocolVersion.V5
        self._is_guess = True  # until it worked once, the broker may not know MQTT 5
        self._tasks: list[asyncio.Task[None]] = []
        self._repairs: dict[tuple[str, str], Repair] = {}  # by gateway and epoch
        self._said: dict[str, tuple[int, str, int]] = {}  # session, epoch and upto that a gateway was told

    async def __aenter__(self) -> Self:
        """Returns when the first connection stands and is subscribed. Raises UplinkError if there is none."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks = [asyncio.create_task(self._listen_for_ever(ready))]
        try:
            await ready
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        if self.repair_after_s is not None:
            self._tasks.append(asyncio.create_task(self._repair_for_ever(self.repair_after_s)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # -- listening

    async def _listen_for_ever(self, ready: asyncio.Future[None]) -> None:
        while True:
            try:
                await self._listen(ready)
            except UplinkError as error:
                if isinstance(error, UnsupportedProtocol | HungUp | Silent) and self._is_guess:
                    self._is_guess, self._protocol = False, aiomqtt.ProtocolVersion.V311
                    continue
                _fail(ready, error)
            await asyncio.sleep(RETRY_S)

    async def _listen(self, ready: asyncio.Future[None]) -> None:
        link = Link(
            host=self.host,
            port=self.port,
            identifier=self.name,
            protocol=self._protocol,
            username=self.username,
            password=self.password,
            tls=self.tls,
            greeting_s=GUESS_S if self._is_guess else 10,
        )
        async with Client(link) as line:
            await line.listen(f"{self.root}/v1/+/#")
            self._line, self._is_guess = line, False
            if not ready.done():
                ready.set_result(None)
            try:
                async for message in line.messages:
                    self._take(message)
                    line.ack(message)
            except aiomqtt.MqttError:
                raise (await line.lost) from None
            finally:
                self._line = None

    def _take(self, message: aiomqtt.Message) -> None:
        topic = message.topic.value
        payload = message.payload if isinstance(message.payload, bytes) else b""
        decoded = self.ledger.take(topic, payload, self.clock.now_ms())
        if decoded is not None and self.listener is not None:
            self.listener(topic, decoded)
        self._changed.set()

    async def until(self, met: Callable[[Ledger], bool], timeout_s: float) -> None:
        """Returns as soon as the ledger is as wished. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not met(self.ledger):
                self._changed.clear()
                await self._changed.wait()

    # -- repairing

    async def _repair_for_ever(self, after_s: float) -> None:
        while True:
            await asyncio.sleep(after_s / 2)
            for gateway, book in list(self.ledger.gateways.items()):
                store = book.stores.get(book.epoch)
                if book.online and store is not None:
                    with contextlib.suppress(UplinkError, TimeoutError):  # it may be gone; there is a next time
                        await self._repair(gateway, book, store, after_s)

    async def _repair(self, gateway: str, book: GatewayBook, store: StoreBook, after_s: float) -> None:
        repair = self._repairs.setdefault((gateway, book.epoch), Repair(after_s))
        miss = repair.due(store, waiting_at(book.heartbeat, book.epoch), self.clock.monotonic())
        said = (book.session, book.epoch, store.upto())
        if miss and repair.vain >= VAIN:
            await self._ask(gateway, book.epoch, store, miss)
        elif miss or self._said.get(gateway) != said:
            message = {"s": "ack/1", "ep": book.epoch, "upto": store.upto(), **({"miss": miss} if miss else {})}
            await self._publish(f"{self.root}/v1/{gateway}/ack", message)
            self._said[gateway] = said

    async def _ask(self, gateway: str, epoch: str, store: StoreBook, miss: list[tuple[int, int]]) -> None:
        """An `ack` has no answer. A command has: it also says what is not held any more."""
        outcome = await self.send(gateway, "tele.replay", [], {"ep": epoch, "ranges": miss}, timeout_s=10)
        for lo, hi in outcome.get("info", {}).get("not_held", ()):
            store.lost.add(lo, hi)

    # -- commanding

    async def send(
        self,
        gateway: str,
        op: str,
        to: Sequence[str],
        arg: Mapping[str, Any] | None = None,
        *,
        ttl_s: int = 30,
        timeout_s: float = 30,
    ) -> dict[str, Any]:
        """Sends a command (`cmd/1`) and returns its outcome (`out/1`). Raises TimeoutError if none came in time
        (the gateway may be away: see `ledger.gateways`), and UplinkError if the command could not be sent."""
        command = {
            "s": "cmd/1",
            "id": new_id(self.clock.now_ms()),
            "gw": gateway,
            "iss": self.issuer,
            "iat": self.clock.now_ms(),
            "ttl": ttl_s,
            "op": op,
            "to": list(to),
            "arg": dict(arg or {}),
        }
        return await self.send_raw(gateway, command, timeout_s=timeout_s)

    async def send_raw(self, gateway: str, command: Mapping[str, Any], *, timeout_s: float = 30) -> dict[str, Any]:
        """Sends a command as it stands, also a wrong or repeated one, and returns its outcome."""
        base, command_id = f"{self.root}/v1/{gateway}/cmd", str(command["id"])
        self.ledger.outcomes.pop(command_id, None)
        await self._publish(
            f"{base}/req",
            command,
            MessageExpiryInterval=max(1, int(command.get("ttl", 30))),
            ResponseTopic=f"{base}/res",
            CorrelationData=command_id.encode(),
        )
        await self.until(lambda ledger: command_id in ledger.outcomes, timeout_s)
        return self.ledger.outcomes[command_id]

    async def _publish(self, topic: str, message: Mapping[str, Any], **properties: Any) -> None:
        """`properties` are left out where the broker speaks MQTT 3.1.1."""
        line = self._line
        if line is None:
            raise Unreachable("the receiver has no connection just now", where=f"{self.host}:{self.port}")
        v5 = line.link.protocol is aiomqtt.ProtocolVersion.V5
        sealed = Sealed(PacketTypes.PUBLISH, ContentType="application/json", **properties) if v5 else None
        payload = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        await line.publish(topic, payload, qos=1, properties=sealed)


def new_id(now_ms: int) -> str:
    """A UUID version 7 (RFC 9562): ids sort by time."""
    number = now_ms << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _fail(ready: asyncio.Future[None], error: UplinkError) -> None:
    if not ready.done():
        ready.set_exception(error)
