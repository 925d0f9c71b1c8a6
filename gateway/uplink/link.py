"""How to reach a broker, and what its answers mean: MQTT reason codes become errors a technician can act on."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from gateway.model.errors import NotAllowed, Rejected, Unreachable, UplinkError

NO_SUBSCRIBERS = 0x10  # PUBACK of MQTT 5: taken, but there was nobody to give it to
UNSUPPORTED_PROTOCOL = 0x84
NOT_AUTHORIZED = (0x86, 0x87, 0x8A)  # wrong password, not allowed, banned
TAKEN_OVER = 0x8E
TOO_LARGE = 0x95

# mosquitto answers a message above its message_size_limit with 0x95, which MQTT 5 does not list for PUBACK. paho
# would take the answer for a broken packet and hang up, again and again.
_known_in = ReasonCode.names[TOO_LARGE]["Packet too large"]
if PacketTypes.PUBACK not in _known_in:
    _known_in.append(PacketTypes.PUBACK)


class NobodyListens(UplinkError):
    """The broker took a message and had no subscriber to give it to: it is lost unless it is sent again."""

    code = "nobody-listens"
    retry = True


class UnsupportedProtocol(Unreachable):
    """The broker does not speak this version of MQTT."""

    code = "broker-protocol"


class HungUp(Unreachable):
    """The broker closed the connection instead of answering the greeting. Some old ones do that to MQTT 5."""

    code = "broker-hung-up"


class Silent(Unreachable):
    """The broker took the connection and said nothing: frozen, a dead line, or an old one that waits for the end of
    a greeting it does not understand."""

    code = "broker-silent"


class TakenOver(Unreachable):
    """Somebody else connected with this client id, and the broker hung up on us."""

    code = "broker-taken-over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How to reach and greet a broker. `window`: QoS 1 messages on their way at the same time, at most. `greeting_s`:
    how long its answer to CONNECT may take, if less than `timeout_s`."""

    host: str
    port: int
    identifier: str
    protocol: aiomqtt.ProtocolVersion = aiomqtt.ProtocolVersion.V5
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    will: aiomqtt.Will | None = None
    keepalive_s: int = 30
    timeout_s: float = 10
    greeting_s: float = 10
    window: int = 10

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}"


class NoGreeting(aiomqtt.MqttCodeError):
    """The connection ended before CONNACK."""


def refusal(code: int, topic: str, place: str) -> UplinkError:
    """The error for a reason code of a PUBACK that is not 0."""
    if code == NO_SUBSCRIBERS:
        return NobodyListens(f"nobody subscribed to {topic}", where=place, hint="start the receiver at the centre")
    if code in NOT_AUTHORIZED:
        return NotAllowed(f"may not write {topic}", where=place, hint="ask for the access rules of this gateway")
    name = ReasonCode(PacketTypes.PUBACK, identifier=code) if code in ReasonCode.names else ""
    return Rejected(f"refused with code 0x{code:02x} {name}".rstrip(), where=place, hint=f"message on {topic}")


def why_not(error: OSError | aiomqtt.MqttCodeError, link: Link, *, dialled: bool) -> UplinkError:
    """Why there is no connection. `dialled`: the broker's machine took the call."""
    where = link.place
    if isinstance(error, aiomqtt.MqttCodeError):
        code = error.rc.value if isinstance(error.rc, ReasonCode) else error.rc
        if code == UNSUPPORTED_PROTOCOL:
            return UnsupportedProtocol(f"does not speak MQTT {_version(link)}", where=where, hint="set uplink.protocol")
        if isinstance(error, NoGreeting):
            hint = "is this the broker's port, and does it want tls?"
            return HungUp("the broker hung up before it answered", where=where, hint=hint)
        if code in NOT_AUTHORIZED:
            hint = "check user name, password or certificate, the clock, and that it may write its own state topic"
            return NotAllowed(f"the broker says: {error.rc}", where=where, hint=hint)
        return Unreachable(f"the broker says: {error.rc}", where=where, hint="look into the broker's log")
    if isinstance(error, TimeoutError):
        if dialled:
            hint = "the line is dead, the broker hangs, or it does not know this version of MQTT"
            return Silent("connected, but no answer to the greeting", where=where, hint=hint)
        return Unreachable(f"no answer in {link.timeout_s:g} s", where=where, hint="check the line and the firewall")
    if isinstance(error, ssl.SSLCertVerificationError):
        return NotAllowed(f"certificate: {error.verify_message}", where=where, hint="check tls.ca and this box's clock")
    return Unreachable(error.strerror or str(error), where=where, hint="check host, port and the line")


def why_lost(cause: BaseException | None, link: Link) -> UplinkError:
    """Why there is no connection any more."""
    rc = cause.rc if isinstance(cause, aiomqtt.MqttCodeError) else None
    if isinstance(rc, ReasonCode) and rc.value == TAKEN_OVER:
        hint = "two boxes have the same gateway id: give each its own"
        return TakenOver("another client uses this gateway's id", where=link.place, hint=hint)
    text = "connection ended" if cause is None else str(rc or cause)
    return Unreachable(text, where=link.place, hint="check the line; it reconnects by itself")


def _version(link: Link) -> str:
    return "5" if link.protocol is aiomqtt.ProtocolVersion.V5 else "3.1.1"
