"""The driver of an instrument that speaks by itself on a serial port of its own, in lines or in frames."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from drivers.inlet import Cutter, Inlet
from drivers.once import PointRead, nothing_there
from drivers.profiles import AnyProfile, FramesProfile, LinesProfile
from drivers.serial_port import SerialSettings
from drivers.settings import BinaryFramesWire, DeviceSettings, TextLinesWire
from drivers.surroundings import Surroundings
from drivers.turns import Spoilt, Turns, reading
from drivers.watch import Silence, Watch
from gateway.model.errors import ConfigError, NoAnswer, Unsupported
from gateway.model.measure import Reading, Reason, Signal, Value
from gateway.model.ports import DeviceHealth, Readback

Heard = Mapping[str, tuple[str, Value | None]]
"""What one piece says, by point: as it came, and what it means (None: the instrument has no reading)."""


@dataclass(frozen=True, slots=True)
class Speech:
    """How an instrument speaks.

    parse: what a piece says; None if the profile does not speak of it; raises Spoilt. ask: what makes it speak,
    sent each period; empty if it speaks by itself. word: what a piece is called.
    """

    cutter: Cutter
    parse: Callable[[bytes], Heard | None]
    ask: bytes
    word: str


class _Asking:
    """Sends the same question each period, on a grid; missed ones are skipped."""

    def __init__(self, inlet: Inlet, question: bytes, every_s: float, now: float) -> None:
        self._inlet = inlet
        self._question = question
        self._every_s = every_s
        self.due = now if question else math.inf

    def ask_if_due(self, now: float) -> None:
        """Raises LinkDown."""
        if now >= self.due:
            self.due += self._every_s * (1 + (now - self.due) // self._every_s)
            self._inlet.send(self._question)


class Instrument:
    """One serial port, one device. May be entered again after it was left."""

    def __init__(
        self,
        name: str,
        serial: SerialSettings,
        device: tuple[str, DeviceSettings, LinesProfile | FramesProfile],
        speech: Speech,
        around: Surroundings,
    ) -> None:
        self._name = name
        self._clock = around.clock
        self._device, settings, self._profile = device
        self._every_s = settings.every_s
        self._signals = self._profile.signals(self._device, settings.every_s)
        self._speech = speech
        self._inlet = Inlet(serial, name, speech.cutter)
        log = logging.getLogger(f"drivers.{name}")
        self._watch = Watch(self._device, timeout_s=self._every_s, every_s=self._every_s, silence=Silence(), log=log)

    @property
    def name(self) -> str:
        return self._name

    @property
    def signals(self) -> Sequence[Signal]:
        return self._signals

    async def __aenter__(self) -> Self:
        await self._inlet.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._inlet.close()

    def health(self) -> dict[str, DeviceHealth]:
        return {self._device: self._watch.health}

    async def apply(self, signal: str, value: Value) -> Readback:  # noqa: ARG002 - the port's signature
        raise Unsupported("this instrument only talks", where=signal, hint="it takes no commands")

    async def read(self, signal: str) -> Reading:
        raise Unsupported(
            "this instrument only talks", where=signal, hint=f"it cannot be asked; wait for its {self._speech.word}"
        )

    async def batches(self) -> AsyncGenerator[Sequence[Reading], None]:
        """A batch a piece, and a batch of missing readings for what did not come in its time."""
        began = self._clock.monotonic()
        turns = Turns([signal.id for signal in self._signals], self._every_s, self._watch, began)
        asking = _Asking(self._inlet, self._speech.ask, self._every_s, began)
        while True:
            now = self._clock.monotonic()
            asking.ask_if_due(now)
            data = await self._inlet.piece(min(turns.ends, asking.due) - now)
            now, at_ms = self._clock.monotonic(), self._clock.now_ms()
            batch = [] if data is None else self._take(turns, data, now, at_ms)
            batch += turns.over(now, at_ms, self._silent)
            if batch:
                yield batch

    def _take(self, turns: Turns, data: bytes, now: float, at_ms: int) -> list[Reading]:
        try:
            found = self._speech.parse(data)
        except Spoilt as error:
            turns.spoil([f"{self._device}/{point}" for point in error.points])
            return []
        if found is None:
            turns.spoil()
            return []
        return turns.heard({f"{self._device}/{name}": value for name, (_, value) in found.items()}, now, at_ms)

    @property
    def _silent(self) -> NoAnswer:
        hint = "check its power, its cable and the baud rate"
        return NoAnswer(f"no {self._speech.word} came", where=self._name, hint=hint)

    async def read_once(self, device: str, point: str | None = None) -> list[PointRead]:
        """Listens until every wanted point has come, for two periods at most. Not while `batches` runs: a piece
        is given to one listener only."""
        wanted = [name for name in self._profile.points if point in {None, name}]
        if device != self._device or not wanted:
            raise nothing_there(device, point)
        began = self._clock.monotonic()
        self._inlet.forget()
        asking = _Asking(self._inlet, self._speech.ask, self._every_s, began)
        rows: dict[str, PointRead] = {}
        error: NoAnswer | Spoilt = self._silent
        while (left_s := began + max(2 * self._every_s, 1.0) - self._clock.monotonic()) > 0 and len(rows) < len(wanted):
            now = self._clock.monotonic()
            asking.ask_if_due(now)
            data = await self._inlet.piece(min(left_s, asking.due - now))
            if data is None:
                continue
            try:
                found = self._speech.parse(data) or {}
            except Spoilt as spoilt:
                error = spoilt
                continue
            took_ms = (self._clock.monotonic() - began) * 1000
            for name, (text, value) in found.items():
                said = reading(f"{device}/{name}", value, self._clock.now_ms())
                rows[name] = PointRead(name, text, said, self._profile.points[name].unit, took_ms)
        return [rows.get(name) or self._absent(name, error) for name in wanted]

    def _absent(self, name: str, error: NoAnswer | Spoilt) -> PointRead:
        reason = Reason.BAD_FRAME if isinstance(error, Spoilt) else Reason.NO_ANSWER
        missing = Reading.missing(f"{self._device}/{name}", self._clock.now_ms(), reason)
        return PointRead(name, "", missing, self._profile.points[name].unit, 0.0, str(error))


def serial_of(wire: TextLinesWire | BinaryFramesWire, around: Surroundings) -> SerialSettings:
    data_bits = wire.data_bits if isinstance(wire, TextLinesWire) else 8
    return SerialSettings(around.base / wire.port, wire.baud, wire.parity, wire.stop_bits, data_bits)


_P = TypeVar("_P", LinesProfile, FramesProfile)


def only_device(
    wire: str, devices: Mapping[str, tuple[DeviceSettings, AnyProfile]], kind: type[_P]
) -> tuple[str, DeviceSettings, _P]:
    """The one device of such a wire. Raises ConfigError."""
    if len(devices) != 1:
        what = f"{len(devices)} devices on a wire for one instrument"
        raise ConfigError(what, where=wire, hint="give every instrument its own wire")
    [(device, (settings, profile))] = devices.items()
    if not isinstance(profile, kind):
        what = f"profile {profile.profile!r} does not fit this kind of wire"
        raise ConfigError(what, where=device, hint="choose another wire or profile")
    return device, settings, profile
