"""The far end of a broker: devices that publish each period, and the broker itself if nothing listens there.

The broker is amqtt (extra `demo`): in pure Python, MQTT 3.1.1, open to every name and password.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Mapping
from typing import Any, Final

from drivers.json_values import as_text, told
from drivers.mqtt_in.driver import topic_of
from drivers.mqtt_in.ear import Broker, Ear
from drivers.profiles import MqttProfile
from drivers.settings import MqttInWire
from drivers.simulate.far_end import GARBAGE, FarEnd, SimulatedDevice, Stage
from gateway.model.errors import LinkDown, Unsupported

_ANY_LEVEL: Final = "rehearsal"
"""What stands for + in a topic."""
_LOOK_S: Final = 1.0
_SOON_S: Final = 2.0
"""Within this time every device has spoken once, one after the other."""


def make(wire: MqttInWire, devices: Mapping[str, SimulatedDevice], stage: Stage) -> MqttEnd:  # noqa: ARG001 - all alike
    return MqttEnd(wire, devices)


class MqttEnd(FarEnd):
    """`unplug` stops the devices, and the broker if it is ours."""

    def __init__(self, wire: MqttInWire, devices: Mapping[str, SimulatedDevice]) -> None:
        super().__init__()
        self._wire = wire
        self._devices = devices
        self._played: dict[str, Mapping[str, Any]] = {}
        self._broker: Any = None
        self._ear: Ear | None = None
        self._speaking: list[asyncio.Task[None]] = []

    def play(self, device: str, given: Any) -> None:
        self._played[device] = given

    async def plug(self) -> None:
        wire = self._wire
        if wire.ca is not None:
            hint = "leave out `ca` and the password for a rehearsal"
            raise LinkDown("the far end does not encrypt", where="simulate", hint=hint)
        if not await asyncio.to_thread(_somebody_listens, wire):
            self._broker = await _own_broker(wire)
        try:
            self._ear = Ear(Broker("simulate", wire.host, wire.port, wire.user))
            await self._ear.open()
        except BaseException:
            await self.unplug()
            raise
        share = 1 / (len(self._devices) + 1)
        self._speaking = [
            asyncio.create_task(self._speak(device, (n + 1) * share)) for n, device in enumerate(self._devices.values())
        ]

    async def unplug(self) -> None:
        speaking, self._speaking = self._speaking, []
        for task in speaking:
            task.cancel()
        await asyncio.gather(*speaking, return_exceptions=True)
        ear, self._ear = self._ear, None
        if ear is not None:
            await ear.close()
        broker, self._broker = self._broker, None
        if broker is not None:
            await broker.shutdown()

    async def _speak(self, device: SimulatedDevice, share: float) -> None:
        await asyncio.sleep(share * min(device.settings.every_s, _SOON_S))
        while True:
            self._publish(device)
            await asyncio.sleep(device.settings.every_s)

    def _publish(self, device: SimulatedDevice) -> None:
        profile = device.profile
        assert isinstance(profile, MqttProfile)  # noqa: S101 - config checks that profiles fit their wires
        device.requests += 1
        if self._ear is None or self.fault.silent or device.fault.silent:
            return
        for source, topic in profile.topics.items():
            place = topic_of(topic, device.settings.address).replace("+", _ANY_LEVEL)
            text = self._text(device, profile, source)
            if text is None:
                continue
            said = GARBAGE if self.fault.garbage or device.fault.garbage else text.encode()
            asyncio.get_running_loop().call_later(max(self.fault.delay_s, device.fault.delay_s), self._say, place, said)

    def _say(self, topic: str, text: bytes) -> None:
        if self._ear is not None:
            self._ear.say(topic, text)

    def _text(self, device: SimulatedDevice, profile: MqttProfile, source: str) -> str | None:
        played = self._played.get(device.name)
        if played is not None:
            return as_text(played[source]) if source in played else None
        return json.dumps(told(profile.points, source, device.world.value))


def _somebody_listens(wire: MqttInWire) -> bool:
    try:
        socket.create_connection((wire.host, wire.port), timeout=_LOOK_S).close()
    except OSError:
        return False
    return True


async def _own_broker(wire: MqttInWire) -> Any:
    try:
        from amqtt.broker import Broker as OwnBroker
        from amqtt.errors import BrokerError
    except ImportError as error:
        hint = "pip install 'ioc-edge-gateway[demo]', or start a broker there yourself"
        raise Unsupported("a rehearsal needs a broker", where="simulate", hint=hint) from error
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)  # it says as errors what a pulled plug is
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    broker = OwnBroker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{wire.host}:{wire.port}", "max_connections": 1000}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    try:
        await broker.start()
    except (BrokerError, OSError) as error:
        hint = "for a rehearsal let `host` be 127.0.0.1 and `port` a free one"
        raise LinkDown(f"{wire.host}:{wire.port}: {error}", where="simulate", hint=hint) from error
    return broker
