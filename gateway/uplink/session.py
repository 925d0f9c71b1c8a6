"""One connection from CONNACK to its end: greet, announce, then send, beat and take commands side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes

from gateway.model.clock import Clock
from gateway.model.errors import NotAllowed, Rejected, Unreachable, UplinkError
from gateway.model.ports import Batch, CommandDesk, IncomingCommand, Lane, Outbox
from gateway.uplink import encode
from gateway.uplink.acks import Acks
from gateway.uplink.client import UNANSWERED_COMMANDS, Client, Sealed
from gateway.uplink.link import NobodyListens, TakenOver
from gateway.uplink.sender import Lasting, Limits, Route, Sender
from gateway.uplink.settings import UplinkSettings

PLAIN_JSON = Sealed(PacketTypes.PUBLISH, ContentType="application/json")


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one gateway (contract 9.1)."""

    base: str

    @classmethod
    def of(cls, root: str, gateway_id: str) -> Topics:
        return cls(f"{root}/v1/{gateway_id}")

    @property
    def live(self) -> str:
        return f"{self.base}/tele/live"

    @property
    def back(self) -> str:
        return f"{self.base}/tele/back"

    @property
    def state(self) -> str:
        return f"{self.base}/state"

    @property
    def heartbeat(self) -> str:
        return f"{self.base}/hb"

    @property
    def catalogue(self) -> str:
        return f"{self.base}/cat"

    @property
    def request(self) -> str:
        return f"{self.base}/cmd/req"

    @property
    def ack(self) -> str:
        return f"{self.base}/ack"

    @property
    def response(self) -> str:
        return f"{self.base}/cmd/res"

    def answer_to(self, wanted: str | None) -> str:
        """Where an outcome goes: where the sender asks, if that is ours to write on, else the usual place."""
        usual = self.response
        if wanted is None or not (wanted == usual or wanted.startswith(usual + "/")) or set(wanted) & set("+#\0"):
            return usual
        return wanted


@dataclass(kw_only=True)
class Station:
    """What stays the same from one connection to the next. `said_catalogue`: hash the broker has from this process.
    `forbidden`: topics not to be tried again, because some brokers hang up after each refusal."""

    settings: UplinkSettings
    topics: Topics
    outbox: Outbox
    desk: CommandDesk
    clock: Clock
    catalogue: encode.Catalogue
    health: Callable[[], Mapping[str, Any]]
    about: Mapping[str, Any]
    limits: Limits
    lasting: Lasting
    report: Callable[[UplinkError], None]
    acks: Acks
    commands: asyncio.TaskGroup
    journal: Callable[[], tuple[int, str]]
    said_catalogue: str = ""
    forbidden: set[str] = field(default_factory=set)
    last_command_ms: int = 0


class Session:
    """The life of one connection. `run` ends by raising why the line ended, or quietly after `close`."""

    def __init__(self, line: Client, letter: encode.Letterhead, station: Station) -> None:
        self._line = line
        self._letter = letter
        self._station = station
        self._closing = asyncio.Event()
        self._room_for_commands = asyncio.Semaphore(UNANSWERED_COMMANDS)
        topics, settings = station.topics, station.settings
        self._mqtt5 = line.link.protocol is aiomqtt.ProtocolVersion.V5
        route = Route(
            live=topics.live,
            back=topics.back,
            wrap=self._wrap,
            gzip=settings.gzip,
            mqtt5=self._mqtt5,
            flush_every_s=settings.flush_every_s,
            report=station.report,
        )
        self._sender = Sender(line, station.outbox, route, station.clock, station.limits, station.lasting)

    async def run(self) -> None:
        if not self._line.session_present:
            self._station.said_catalogue = ""  # a broker that forgot us may have forgotten that too
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._take_commands()),  # at once: a resumed session may deliver before SUBACK
            asyncio.create_task(self._announce_and_send()),
            asyncio.create_task(self._beat()),
            asyncio.create_task(self._closing.wait()),
        ]
        waited_for: list[asyncio.Future[Any]] = [*tasks, self._line.lost]
        try:
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            await self._sender.set_aside_refused()
        lost = self._line.lost
        if lost.done() and not self._closing.is_set() and not isinstance(lost.result(), TakenOver):
            await self._sender.line_ended()
        _raise_first(ends)
        if not self._closing.is_set():
            raise self._line.lost.result() if self._line.lost.done() else Unreachable("the connection ended")

    async def _announce_and_send(self) -> None:
        await self._listen()
        await self.announce()
        await self._sender.run()

    async def _listen(self) -> None:
        station, topics = self._station, self._station.topics
        wanted = [topic for topic in (topics.request, topics.ack) if topic not in station.forbidden]
        try:
            await self._line.listen(*wanted)
        except NotAllowed as error:
            station.report(error)  # no commands, or nobody who confirms, but the data may still be allowed
        except Unreachable:
            if not station.settings.e2e_ack:
                station.forbidden.add(topics.ack)  # some brokers hang up on it; we can do without
            raise

    async def announce(self) -> None:
        """Birth, the catalogue if the broker has not had it from this process, and a first heartbeat.

        A broker that forbids one of them is reported, not left: the data may still be allowed.
        """
        station = self._station
        await self._tell(station.topics.state, self._birth())
        if station.said_catalogue != station.catalogue.hash:
            await self._tell(station.topics.catalogue, station.catalogue.body)
            station.said_catalogue = station.catalogue.hash
        await self.beat()

    async def close(self, why: str, until: float) -> None:
        """Sends what waits, says goodbye with the reason, and lets `run` end. Never longer than `until` (loop time)."""
        try:
            async with asyncio.timeout_at(until):
                # A fifth of the time is kept for the goodbye, or a long backlog would make us look crashed.
                now = asyncio.get_running_loop().time()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(until - (until - now) / 5):
                        await self._sender.flushed()
                letter, span = self._letter, self._station.outbox.span()
                goodbye = encode.death(letter.gateway, letter.session, why=why, span=span)
                await self._tell(self._station.topics.state, goodbye)
        except (TimeoutError, UplinkError):
            pass  # the line is gone; the will says the rest
        finally:
            self._closing.set()

    # -- telling

    async def _tell(self, topic: str, payload: bytes) -> None:
        if topic in self._station.forbidden:
            return
        properties = PLAIN_JSON if self._mqtt5 else None
        try:
            await self._line.publish(topic, payload, qos=1, retain=True, properties=properties)
        except NobodyListens:
            pass  # retained: whoever comes later will have it
        except (NotAllowed, Rejected) as error:
            self._station.forbidden.add(topic)
            self._station.report(error)

    def _birth(self) -> bytes:
        station = self._station
        path = "proven" if station.last_command_ms else "unproven"
        about = {**station.about, "cmd_path": path, **encode.journal(station.journal())}
        return encode.birth(
            self._letter, station.outbox.span(), station.clock.now_ms(), synced=station.clock.synced(), about=about
        )

    async def beat(self) -> None:
        """One heartbeat, not acknowledged: the next one comes soon enough."""
        station = self._station
        outbox, clock = station.outbox, station.clock
        pulse = encode.Pulse(outbox.span(), [outbox.waiting(lane) for lane in Lane], station.journal())
        payload = encode.heartbeat(self._letter, pulse, clock.now_ms(), synced=clock.synced(), health=station.health())
        await self._line.publish(station.topics.heartbeat, payload, qos=0)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._station.settings.heartbeat_s)
            await self.beat()

    def _wrap(self, batch: Batch) -> bytes:
        clock = self._station.clock
        return encode.envelope(self._letter, batch, clock.now_ms(), synced=clock.synced())

    # -- commands

    async def _take_commands(self) -> None:
        try:
            async for message in self._line.messages:
                await self._room_for_commands.acquire()
                self._station.commands.create_task(self._command(message))
        except aiomqtt.MqttError:
            return  # `lost` says why

    async def _command(self, message: aiomqtt.Message) -> None:
        """Runs on after the connection ended: what was begun on a wire is not broken off. The durable answer
        travels as a record; the one sent here is the fast copy."""
        station = self._station
        try:
            if message.topic.value == station.topics.ack:
                await station.acks.handle(message.payload, retained=bool(message.retain))
                self._line.ack(message)
            elif message.topic.value == station.topics.request:
                station.last_command_ms = station.clock.now_ms()
                expires_in_s = getattr(message.properties, "MessageExpiryInterval", None)
                incoming = IncomingCommand(message.payload, bool(message.retain), expires_in_s)
                outcome = await station.desk.handle(incoming)
                self._line.ack(message)  # not before: an unanswered command comes again, and acts only once
                if outcome is not None:
                    await self._answer(message, outcome)
            else:
                self._line.ack(message)
        finally:
            self._room_for_commands.release()

    async def _answer(self, message: aiomqtt.Message, outcome: bytes) -> None:
        properties = None
        if self._mqtt5:
            correlation = getattr(message.properties, "CorrelationData", None)
            extra = {} if correlation is None else {"CorrelationData": correlation}
            properties = Sealed(PacketTypes.PUBLISH, ContentType="application/json", **extra)
        topic = self._station.topics.answer_to(getattr(message.properties, "ResponseTopic", None))
        try:
            await self._line.publish(topic, outcome, qos=1, properties=properties)
        except NobodyListens:
            pass
        except UplinkError as error:
            if not self._line.lost.done():
                self._station.report(error)


def _raise_first(ends: list[Any]) -> None:
    """The error of a task that failed by itself; a bug or a broken store counts before a broken line."""
    errors = [end for end in ends if isinstance(end, Exception)]
    errors.sort(key=lambda error: isinstance(error, UplinkError))
    if errors:
        raise errors[0]
