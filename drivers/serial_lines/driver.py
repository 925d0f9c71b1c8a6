"""The driver of an instrument that sends lines of text: one serial port, one device."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from drivers.once import PointRead
from drivers.profiles import AnyProfile, LinesProfile
from drivers.serial_lines.inlet import Inlet
from drivers.serial_lines.parse import BadLine, LineValue, parse
from drivers.serial_port import SerialSettings
from drivers.settings import DeviceSettings, TextLinesWire
from drivers.surroundings import Surroundings
from drivers.watch import Silence, Watch
from gateway.model.errors import ConfigError, NoAnswer, Unsupported
from gateway.model.measure import Reading, Reason, Signal, Value
from gateway.model.ports import DeviceHealth, Readback

_EARLY: Final = 0.9
_LATE: Final = 1.5
"""A turn begins with a line. The next line counts from 0.9 periods on, and is missing after 1.5."""


@dataclass(slots=True)
class _Turn:
    """One kind of line: the signals it carries, from when its next one counts, and when it is missing."""

    signals: Mapping[str, str]
    opens: float
    ends: float
    bad: bool = False


class LinesDriver:
    """May be entered again after it was left. Every kind of line of the profile has its own turns."""

    def __init__(
        self,
        name: str,
        wire: TextLinesWire,
        devices: Mapping[str, tuple[DeviceSettings, AnyProfile]],
        around: Surroundings,
    ) -> None:
        self._name = name
        self._clock = around.clock
        self._device, settings, self._profile = _only(name, devices)
        self._every_s = settings.every_s
        self._signals = self._profile.signals(self._device, settings.every_s)
        serial = SerialSettings(around.base / wire.port, wire.baud, wire.parity, wire.stop_bits, wire.data_bits)
        self._inlet = Inlet(serial, name)
        self._watch = Watch(
            self._device,
            timeout_s=self._every_s,
            every_s=self._every_s,
            silence=Silence(),
            log=logging.getLogger(f"drivers.{name}"),
        )

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
        raise Unsupported("this instrument only talks", where=signal, hint="it cannot be asked; wait for its line")

    async def batches(self) -> AsyncGenerator[Sequence[Reading], None]:
        """A batch a line, and a batch of missing readings for a line that did not come in its time."""
        now = self._clock.monotonic()
        turns = {line: self._first_turn(line, now) for line in self._profile.lines}
        while True:
            wait_s = min(turn.ends for turn in turns.values()) - self._clock.monotonic()
            data = await self._inlet.line(wait_s)
            batch = self._silence(turns) if data is None else self._take(turns, data)
            if batch:
                yield batch

    def _first_turn(self, line: str, now: float) -> _Turn:
        signals = {name: f"{self._device}/{name}" for name, p in self._profile.points.items() if p.line == line}
        return _Turn(signals, now, now + _LATE * self._every_s)

    def _take(self, turns: Mapping[str, _Turn], data: bytes) -> list[Reading]:
        now = self._clock.monotonic()
        try:
            found = parse(self._profile, data)
        except BadLine as bad:
            turn = turns[bad.line]
            if now < turn.opens:
                return []
            self._watch.failed(now, bad, 0.0)
            return self._missing(turn, now, Reason.BAD_FRAME)
        if found is None:
            for turn in turns.values():
                turn.bad = True
            return []
        line, values = found
        turn = turns[line]
        if now < turn.opens:
            return []
        turn.opens, turn.ends, turn.bad = now + _EARLY * self._every_s, now + _LATE * self._every_s, False
        at_ms = self._clock.now_ms()
        self._watch.answered(now, at_ms, 0.0)
        return [_reading(turn.signals[name], at_ms, value) for name, (_, value) in values.items()]

    def _silence(self, turns: Mapping[str, _Turn]) -> list[Reading]:
        now = self._clock.monotonic()
        batch: list[Reading] = []
        for turn in turns.values():
            if now >= turn.ends:
                error = NoAnswer("no line came", where=self._name, hint="check its power, its cable and the baud rate")
                self._watch.failed(now, error, 0.0)
                batch += self._missing(turn, now, Reason.BAD_FRAME if turn.bad else Reason.NO_ANSWER)
        return batch

    def _missing(self, turn: _Turn, now: float, reason: Reason) -> list[Reading]:
        turn.opens, turn.ends, turn.bad = now + 0.4 * self._every_s, now + self._every_s, False
        at_ms = self._clock.now_ms()
        return [Reading.missing(signal, at_ms, reason) for signal in turn.signals.values()]

    async def read_once(self, device: str, point: str | None = None) -> list[PointRead]:
        """Listens until every wanted point has come, for two periods at most. Not while `batches` runs: a line
        is given to one listener only."""
        wanted = [name for name in self._profile.points if point in {None, name}]
        if device != self._device or not wanted:
            place = device if point is None else f"{device}/{point}"
            raise Unsupported("there is no such device or point on this wire", where=place, hint="see `gateway check`")
        began = self._clock.monotonic()
        rows: dict[str, PointRead] = {}
        why = "no line came"
        while len(rows) < len(wanted):
            left_s = began + max(2 * self._every_s, 1.0) - self._clock.monotonic()
            data = await self._inlet.line(left_s) if left_s > 0 else None
            if data is None:
                break
            try:
                found = parse(self._profile, data)
            except BadLine as bad:
                why = str(bad)
                continue
            took_ms = (self._clock.monotonic() - began) * 1000
            for name, (text, value) in (found[1] if found else {}).items():
                reading = _reading(f"{device}/{name}", self._clock.now_ms(), value)
                rows[name] = PointRead(name, text, reading, self._profile.points[name].unit, took_ms)
        return [rows.get(name) or self._absent(name, why) for name in wanted]

    def _absent(self, name: str, why: str) -> PointRead:
        reason = Reason.NO_ANSWER if why == "no line came" else Reason.BAD_FRAME
        reading = Reading.missing(f"{self._device}/{name}", self._clock.now_ms(), reason)
        return PointRead(name, "", reading, self._profile.points[name].unit, 0.0, why)


def _reading(signal: str, at_ms: int, value: LineValue) -> Reading:
    return Reading.missing(signal, at_ms, Reason.DEVICE_FAULT) if value is None else Reading(signal, at_ms, value)


def _only(
    wire: str, devices: Mapping[str, tuple[DeviceSettings, AnyProfile]]
) -> tuple[str, DeviceSettings, LinesProfile]:
    if len(devices) != 1:
        raise ConfigError(
            f"{len(devices)} devices on a text line", where=wire, hint="give every instrument its own wire"
        )
    [(device, (settings, profile))] = devices.items()
    if not isinstance(profile, LinesProfile):
        what = f"profile {profile.profile!r} is not of a text_lines instrument"
        raise ConfigError(what, where=device, hint="choose another wire or profile")
    return device, settings, profile
