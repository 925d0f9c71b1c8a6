"""The uplink over MQTT: keeps one connection alive for ever and hands it to a `Session`."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiomqtt

from gateway.model.clock import Clock
from gateway.model.errors import GatewayError, NotAllowed, UplinkError
from gateway.model.ports import CommandDesk, Outbox
from gateway.uplink import encode
from gateway.uplink.acks import Acks
from gateway.uplink.client import Client
from gateway.uplink.dial import tls_context
from gateway.uplink.link import HungUp, Link, Silent, TakenOver, UnsupportedProtocol
from gateway.uplink.sender import Lasting, Limits
from gateway.uplink.session import Session, Station, Topics
from gateway.uplink.settings import UplinkSettings
from gateway.uplink.suspects import Suspects

log = logging.getLogger("gateway.uplink")

V5, V311 = aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311
REMEMBER_S = 86_400.0  # how long a broker that speaks only 3.1.1 is not asked again for 5
GUESS_S = 3.0  # how long an unknown broker may take to answer a greeting in MQTT 5


class Backoff:
    """Seconds to wait before the next attempt: almost none at first, then a random share of a growing span.

    Full jitter: after a provincial outage a fleet must not come back in step. A connection that lasted
    `stable_s` starts the count again.
    """

    def __init__(self, limits: Limits, rng: Callable[[], float]) -> None:
        self._limits = limits
        self._rng = rng
        self._failures = 0

    def after(self, lasted_s: float) -> float:
        if lasted_s >= self._limits.stable_s:
            self._failures = 0
        limits, failures = self._limits, self._failures
        self._failures += 1
        span = limits.retry_first_s / 10 if failures == 0 else limits.retry_first_s * 2 ** min(failures - 1, 30)
        return self._rng() * min(span, limits.retry_last_s)


class Speech:
    """Which version of MQTT to try. `auto` begins with 5 and remembers a refusal for a day.

    Some old brokers just hang up on MQTT 5, or wait for ever. So can a broker in trouble: such a silence makes it try
    3.1.1 only if 5 never worked. A hang-up is remembered if 3.1.1 then works, a silence is not.
    """

    def __init__(self, settings: UplinkSettings, clock: Clock) -> None:
        self._wanted = settings.protocol
        self._clock = clock
        self._v311_until = -math.inf
        self._suspicion: UplinkError | None = None
        self._v5_worked = False

    def next(self) -> aiomqtt.ProtocolVersion:
        if self._wanted != "auto":
            return V5 if self._wanted == "5" else V311
        remembered = self._clock.monotonic() < self._v311_until
        return V311 if self._suspicion is not None or remembered else V5

    @property
    def is_guess(self) -> bool:
        """The next attempt speaks 5 to a broker that may not know it."""
        return self._wanted == "auto" and self.next() is V5 and not self._v5_worked

    def refused(self, error: UplinkError) -> bool:
        """Notes a failed attempt. True if another version should be tried at once."""
        tried = self.next()
        self._suspicion = None
        if self._wanted != "auto" or tried is V311:
            return False
        if isinstance(error, UnsupportedProtocol):
            self._v311_until = self._clock.monotonic() + REMEMBER_S
            return True
        if isinstance(error, HungUp | Silent) and not self._v5_worked:
            self._suspicion = error
        return self._suspicion is not None

    def worked(self, protocol: aiomqtt.ProtocolVersion) -> None:
        if protocol is V5:
            self._v5_worked = True
        elif isinstance(self._suspicion, HungUp):
            self._v311_until = self._clock.monotonic() + REMEMBER_S
        self._suspicion = None


@dataclass
class MqttUplink:
    """Connects, sends what the outbox holds, takes commands to the desk, and starts again when the line ends.

    `secret` turns the name of a secret into its text and may raise GatewayError or OSError. `health` is asked for
    each heartbeat; `about` (software version, boot id, abilities) goes into the birth message, `journal` (number and
    hash of the journal's newest entry) into both. A failure of the store or of the desk is not held here: it ends
    `run`.
    """

    settings: UplinkSettings
    gateway_id: str
    outbox: Outbox
    desk: CommandDesk
    catalogue: encode.Catalogue
    clock: Clock
    secret: Callable[[str], str]
    health: Callable[[], Mapping[str, Any]]
    about: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    rng: Callable[[], float] = random.random
    journal: Callable[[], tuple[int, str]] = lambda: (0, "")

    def __post_init__(self) -> None:
        self.topics = Topics.of(self.settings.root, self.gateway_id)
        self._lasting = Lasting(suspects=Suspects(self.limits.trial_every_s))
        self._backoff = Backoff(self.limits, self.rng)
        self._speech = Speech(self.settings, self.clock)
        self._place = f"{self.settings.host}:{self.settings.effective_port}"
        self._session: Session | None = None
        self._station: Station | None = None
        self._line: Client | None = None
        self._since_ms = 0
        self._last_error: UplinkError | None = None
        self._batches_then = 0  # sent when it was reported
        self._is_down: bool | None = None  # None: nothing was said yet
        self._reported: dict[str, UplinkError] = {}
        self._unused_session = 0
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()

    # -- life

    async def run(self) -> None:
        """Until cancelled; after `drain` it only waits for that."""
        async with asyncio.TaskGroup() as commands:
            self._station = Station(
                settings=self.settings,
                topics=self.topics,
                outbox=self.outbox,
                desk=self.desk,
                clock=self.clock,
                catalogue=self.catalogue,
                health=self.health,
                about=self.about,
                limits=self.limits,
                lasting=self._lasting,
                report=self._report,
                acks=Acks(self.outbox, self.clock, confirms=self.settings.e2e_ack),
                commands=commands,
                journal=self.journal,
            )
            try:
                await self._stay_connected(self._station)
                self._ended.set()
                await asyncio.Event().wait()
            finally:
                self.outbox.give_back()  # also what was held apart: whoever comes next begins anew

    async def _stay_connected(self, station: Station) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            try:
                await self._connect_once(station)
            except UplinkError as error:
                self._down(error)
                if self._stopping.is_set():
                    return
                if self._speech.refused(error):
                    continue
                taken_over = self.limits.taken_over_s if isinstance(error, TakenOver) else 0.0
                await asyncio.sleep(taken_over + self._backoff.after(loop.time() - began))

    async def _connect_once(self, station: Station) -> None:
        link = await self._link(self._speech.next())
        line = Client(link)
        try:
            async with line:
                self._unused_session, session = 0, self._unused_session
                self._speech.worked(link.protocol)
                self._up(link)
                letter = encode.Letterhead(self.gateway_id, self.outbox.epoch, session, self.catalogue.hash)
                self._line, self._session = line, Session(line, letter, station)
                await self._session.run()
        finally:
            if line.dialled:  # the broker may know this session number from our will
                self._unused_session = 0
            self._line = self._session = None
            self._since_ms = 0
            self.outbox.give_back(but=self._lasting.suspects.batches)

    async def _link(self, protocol: aiomqtt.ProtocolVersion) -> Link:
        settings = self.settings
        if not self._unused_session:
            self._unused_session = await self.outbox.next_session()
        try:
            password = self.secret(settings.password) if settings.password is not None else None
        except (GatewayError, OSError) as error:
            raise NotAllowed(f"no password: {error}", where=self._place, hint="put the secret in its place") from error
        tls = None if settings.tls is None else await asyncio.to_thread(tls_context, settings.tls)
        return Link(
            host=settings.host,
            port=settings.effective_port,
            identifier=self.gateway_id,
            protocol=protocol,
            username=settings.login(self.gateway_id),
            password=password,
            tls=tls,
            will=aiomqtt.Will(
                self.topics.state, encode.death(self.gateway_id, self._unused_session), qos=1, retain=True
            ),
            keepalive_s=settings.keepalive_s,
            timeout_s=settings.ack_timeout_s,
            greeting_s=GUESS_S if self._speech.is_guess else settings.ack_timeout_s,
            window=settings.in_flight,
        )

    # -- for the rest of the gateway

    async def drain(self, timeout_s: float, why: str = "stopped") -> None:
        """Sends what waits for at most `timeout_s`, says `online: false` with the reason, and disconnects.
        Returns at once if there is no connection. There is no new one afterwards."""
        self._stopping.set()
        session = self._session
        if session is None:
            return
        until = asyncio.get_running_loop().time() + timeout_s
        await session.close(why, until)
        await self._ended.wait()

    async def rebirth(self) -> None:
        """Publishes birth, catalogue and heartbeat again, without a new session. Nothing happens while offline."""
        if self._session is not None and self._station is not None:
            self._station.said_catalogue = ""
            self._station.forbidden.clear()
            await self._session.announce()

    def status(self) -> dict[str, Any]:
        """What a person wants to see, ready for JSON. Times in ms UTC, 0 = never or not now. `waits_for`: what keeps
        records from going though there is a connection, "" once one went."""
        line, lasting = self._line, self._lasting
        said = "" if self._last_error is None else str(self._last_error)
        return {
            "kind": "mqtt",
            "broker": self._place,
            "connected": line is not None,
            "connected_since_ms": self._since_ms,
            "protocol": "" if line is None else _version(line.link.protocol),
            "in_flight": 0 if line is None else line.in_flight,
            "sent_batches": lasting.batches,
            "sent_records": lasting.records,
            "refused_records": lasting.refused,
            "suspected_batches": len(lasting.suspects),
            "connects": lasting.connects,
            "last_command_ms": 0 if self._station is None else self._station.last_command_ms,
            "last_error": said,
            "waits_for": said if line is not None and lasting.batches == self._batches_then else "",
        }

    # -- what is said, and how often: once for each change

    def _up(self, link: Link) -> None:
        self._lasting.connects += 1
        self._since_ms = self.clock.now_ms()
        self._last_error = None
        self._reported.clear()
        if self._is_down is not False:
            log.info("connected to %s with MQTT %s", link.place, _version(link.protocol))
        self._is_down = False

    def _down(self, error: UplinkError) -> None:
        # A broker that hangs up after refusing a message gives no reason; the refusal is the reason.
        refusals = [said for said in self._reported.values() if not said.retry]
        self._reported.clear()
        error = refusals[0] if refusals else error
        self._last_error = error
        if not self._is_down:
            log.warning("no connection: %s", error)
        self._is_down = True

    def _report(self, error: UplinkError) -> None:
        """Trouble while connected: said once for each kind and connection."""
        self._last_error = error
        self._batches_then = self._lasting.batches
        if error.code not in self._reported:
            self._reported[error.code] = error
            log.warning("%s", error)


def _version(protocol: aiomqtt.ProtocolVersion) -> str:
    return "5" if protocol is V5 else "3.1.1"
