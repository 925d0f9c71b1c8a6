"""The driver of devices that publish JSON to a broker on site. It only listens."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from drivers.json_values import fields, values
from drivers.mqtt_in.ear import Broker, Ear, Message
from drivers.once import PointRead, nothing_there
from drivers.profiles import AnyProfile, MqttProfile
from drivers.settings import DeviceSettings, MqttInWire
from drivers.surroundings import Surroundings
from drivers.turns import Turns, reading
from drivers.watch import Silence, Watch
from gateway.model.errors import BadFrame, ConfigError, DeviceRefused, DriverError, LinkDown, NoAnswer, Unsupported
from gateway.model.measure import Quality, Reading, Reason, Signal, Value
from gateway.model.ports import DeviceHealth, Readback

REST_S: Final = 1.0
"""A device may speak between its turns, of an alarm or a change; a number that comes sooner than this after the last
one does not count."""
_PATIENCE_S: Final = 60.0
"""How long `read_once` waits for devices that speak once an hour."""


class _Device:
    """One device: which of its topics carries what."""

    def __init__(self, name: str, settings: DeviceSettings, profile: MqttProfile, log: logging.Logger) -> None:
        self.name = name
        self.every_s = settings.every_s
        self.points = profile.points
        self.signals = profile.signals(name, settings.every_s)
        self.topics = {s: topic_of(topic, settings.address) for s, topic in profile.topics.items()}
        self.watch = Watch(name, timeout_s=settings.every_s, every_s=settings.every_s, silence=Silence(), log=log)
        self.deny(())

    def sources(self, topic: str) -> list[str]:
        """The profile's topics that this one belongs to."""
        return [source for source, wanted in self.topics.items() if belongs(topic, wanted)]

    def deny(self, denied: Collection[str]) -> None:
        """The broker does not let us hear these topics."""
        self._denied = [topic for topic in self.topics.values() if topic in denied]
        sources = [source for source, topic in self.topics.items() if topic in denied]
        self.refused = frozenset(f"{self.name}/{name}" for name, p in self.points.items() if p.source in sources)

    @property
    def silence(self) -> DriverError:
        """Why it is not heard."""
        if self._denied:
            hint = "ask for the access rules of the gateway at this broker"
            return DeviceRefused(f"the broker denies {', '.join(self._denied)}", where=self.name, hint=hint)
        hint = "check that it is on, its `address`, and that `every_s` is not shorter than its own period"
        return NoAnswer(f"nothing was published on {', '.join(self.topics.values())}", where=self.name, hint=hint)

    def take(self, turns: Turns, message: Message, now: float, at_ms: int) -> list[Reading]:
        """What a message of this device says."""
        heard: dict[str, Value | None] = {}
        for source in self.sources(message.topic):
            try:
                found = values(self.points, source, message.payload)
            except BadFrame:
                turns.spoil(f"{self.name}/{name}" for name, point in self.points.items() if point.source == source)
                continue
            heard.update({f"{self.name}/{name}": value for name, value in found.items()})
        return turns.heard(heard, now, at_ms)


class MqttInDriver:
    """One broker. May be entered again after it was left. Raises ConfigError for a device that does not fit, and for
    a secret that is not there."""

    def __init__(
        self,
        name: str,
        wire: MqttInWire,
        devices: Mapping[str, tuple[DeviceSettings, AnyProfile]],
        around: Surroundings,
    ) -> None:
        self._name = name
        self._clock = around.clock
        self._log = logging.getLogger(f"drivers.{name}")
        self._broker = Broker(
            name,
            wire.host,
            wire.port,
            wire.user,
            None if wire.password is None else around.secret(wire.password),
            None if wire.ca is None else around.base / wire.ca,
        )
        self._devices = {
            device: _Device(device, settings, _mqtt(device, profile), self._log)
            for device, (settings, profile) in devices.items()
        }
        self._ear: Ear | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def signals(self) -> Sequence[Signal]:
        return [signal for device in self._devices.values() for signal in device.signals]

    async def __aenter__(self) -> Self:
        ear = Ear(self._broker)
        await ear.open()
        self._ear = ear
        try:
            await self._subscribe(ear)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def _subscribe(self, ear: Ear) -> None:
        topics = sorted({topic for device in self._devices.values() for topic in device.topics.values()})
        denied = await ear.listen(topics)
        for device in self._devices.values():
            device.deny(denied)
        if denied:
            self._log.warning("%s: the broker denies us %s", self._name, ", ".join(sorted(denied)))

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        ear, self._ear = self._ear, None
        if ear is not None:
            await ear.close()

    def health(self) -> dict[str, DeviceHealth]:
        return {device.name: device.watch.health for device in self._devices.values()}

    async def apply(self, signal: str, value: Value) -> Readback:  # noqa: ARG002 - the port's signature
        raise Unsupported("this wire only listens", where=signal, hint="it publishes nothing")

    async def read(self, signal: str) -> Reading:
        raise Unsupported("this wire only listens", where=signal, hint="wait until the device publishes")

    async def batches(self) -> AsyncGenerator[Sequence[Reading], None]:
        """A batch a message, and a batch of missing readings for what a device did not say in its time."""
        ear = self._listening()
        began = self._clock.monotonic()
        turns = {
            device: Turns([s.id for s in device.signals], device.every_s, device.watch, began, rest_s=REST_S)
            for device in self._devices.values()
        }
        while True:
            message = await ear.message(min(turn.ends for turn in turns.values()) - self._clock.monotonic())
            now, at_ms = self._clock.monotonic(), self._clock.now_ms()
            for device, its in turns.items():
                # What the broker kept may be a year old. The device will speak again.
                batch = [] if message is None or message.retained else device.take(its, message, now, at_ms)
                if now >= its.ends:
                    batch += its.over(now, at_ms, device.silence, device.refused)
                if batch:
                    yield batch

    def _listening(self) -> Ear:
        if self._ear is None:
            raise LinkDown("not open", where=self._name)
        return self._ear

    async def read_once(self, device: str, point: str | None = None) -> list[PointRead]:
        """Listens until every wanted point has come, for two periods or a minute at most. What the broker had kept is
        shown as uncertain and stale. Not while `batches` runs: a message is given to one listener only."""
        there = self._devices.get(device)
        wanted = [name for name in there.points if point in {None, name}] if there else []
        if there is None or not wanted:
            raise nothing_there(device, point)
        ear = self._listening()
        ear.forget()
        began = self._clock.monotonic()
        rows: dict[str, PointRead] = {}
        error = there.silence
        patience_s = min(max(2 * there.every_s, 1.0), _PATIENCE_S)
        while (left_s := began + patience_s - self._clock.monotonic()) > 0 and not _fresh(rows, wanted):
            message = await ear.message(left_s)
            for source in there.sources(message.topic) if message else ():
                assert message is not None  # noqa: S101 - or there are no sources
                took_ms = (self._clock.monotonic() - began) * 1000
                try:
                    rows.update(self._rows(there, source, message, took_ms))
                except BadFrame as bad:
                    error = bad
        return [rows.get(name) or self._absent(there, name, error) for name in wanted]

    def _rows(self, device: _Device, source: str, message: Message, took_ms: float) -> dict[str, PointRead]:
        rows: dict[str, PointRead] = {}
        for name, (text, value) in fields(device.points, source, message.payload).items():
            said = reading(f"{device.name}/{name}", value, self._clock.now_ms())
            if message.retained and value is not None:
                said = Reading(said.signal, said.at_ms, value, Quality.UNCERTAIN, (Reason.STALE,))
            rows[name] = PointRead(name, text, said, device.points[name].unit, took_ms)
        return rows

    def _absent(self, device: _Device, name: str, error: DriverError) -> PointRead:
        reasons = {BadFrame: Reason.BAD_FRAME, DeviceRefused: Reason.DEVICE_REFUSED}
        reason = reasons.get(type(error), Reason.NO_ANSWER)
        missing = Reading.missing(f"{device.name}/{name}", self._clock.now_ms(), reason)
        return PointRead(name, "", missing, device.points[name].unit, 0.0, str(error))


def _fresh(rows: Mapping[str, PointRead], wanted: Sequence[str]) -> bool:
    return all(name in rows and Reason.STALE not in rows[name].reading.reasons for name in wanted)


def topic_of(topic: str, address: str | None) -> str:
    return topic.replace("{address}", address or "")


def belongs(topic: str, wanted: str) -> bool:
    """Whether a topic is one of those subscribed to with `wanted`, in which + stands for any one level."""
    levels, wanted_levels = topic.split("/"), wanted.split("/")
    return len(levels) == len(wanted_levels) and all(
        other in (level, "+") for level, other in zip(levels, wanted_levels, strict=True)
    )


def _mqtt(device: str, profile: AnyProfile) -> MqttProfile:
    if not isinstance(profile, MqttProfile):
        what = f"profile {profile.profile!r} is not of a device that publishes"
        raise ConfigError(what, where=device, hint="choose another wire or profile")
    return profile
