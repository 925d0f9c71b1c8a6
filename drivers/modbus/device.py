"""One Modbus device: a poll of all its points, one look at a point, one write with its proof."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.link import Link
from drivers.modbus.codec import encode
from drivers.modbus.line import Line
from drivers.modbus.messages import Refused, Request, write_coil, write_registers
from drivers.modbus.plan import Block, Plan, blocks, make_block
from drivers.once import PointRead
from drivers.profiles import Limits, ModbusPoint, Write
from drivers.watch import Watch
from gateway.model.clock import Clock
from gateway.model.errors import BadFrame, DeviceRefused, DriverError, LinkDown, NoAnswer, Unsupported
from gateway.model.measure import Reading, Reason, Value
from gateway.model.ports import Readback

_REASONS: Final[Mapping[type[DriverError], Reason]] = {
    NoAnswer: Reason.NO_ANSWER,
    BadFrame: Reason.BAD_FRAME,
    LinkDown: Reason.LINK_DOWN,
}
_LOOK_AGAIN_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Wire:
    """What the devices of one wire share."""

    line: Line
    link: Link
    clock: Clock
    timeout_s: float
    log: logging.Logger


class ModbusDevice:
    """A unit on a wire, read by its profile. `points` by signal id."""

    def __init__(self, unit: int, points: Mapping[str, ModbusPoint], limits: Limits, wire: Wire, watch: Watch) -> None:
        self.watch = watch
        self._unit = unit
        self._wire = wire
        self._points = points
        self._limits = limits
        self._plan = Plan(points, limits)

    @property
    def every_s(self) -> float:
        return self.watch.every_s

    async def poll(self) -> Sequence[Reading]:
        """Every point exactly once. The first silence ends the poll, the rest of its points are missing too:
        a device costs its wire at most one waiting time a period. Raises LinkDown only."""
        wire, watch = self._wire, self.watch
        wire.line.check()
        began = wire.clock.monotonic()
        if wire.line.heard_late(self._unit):
            watch.heard_late(began)
        wait_s = None if wire.line.ready_in_s(self._unit) > 0 else watch.wait_s(began)
        readings: list[Reading] = []
        failed: tuple[Block, DriverError] | None = None
        slowest_s = -1.0
        for block in tuple(self._plan.blocks):
            if wait_s is None or failed is not None:
                readings += self._missing(block, failed[1] if failed else None)
                continue
            try:
                came, took_s = await self._read(block, watch.short_s if block.silent else wait_s)
            except (NoAnswer, BadFrame) as error:
                failed = block, error
                readings += self._missing(block, error)
            else:
                readings += came
                slowest_s = max(slowest_s, took_s)
        if failed is not None:
            self._plan.demote(failed[0], silent=slowest_s >= 0)
        if slowest_s >= 0:
            watch.answered(wire.clock.monotonic(), wire.clock.now_ms(), slowest_s)
        elif failed is not None:
            now = wire.clock.monotonic()
            watch.failed(now, failed[1], now - began)
        return readings

    def _missing(self, block: Block, error: DriverError | None) -> list[Reading]:
        at_ms = self._wire.clock.now_ms()
        reason = Reason.NO_ANSWER if error is None else _REASONS[type(error)]
        return [Reading.missing(signal, at_ms, reason) for signal, _ in block.points]

    async def _read(self, block: Block, wait_s: float) -> tuple[list[Reading], float]:
        """The readings of a block and how long the answer took, in seconds. A refused block is cut in two, again
        and again, until the good points come and the bad ones stand alone."""
        wire = self._wire
        try:
            async with wire.link.turn():
                began = wire.clock.monotonic()
                body = await wire.line.exchange(self._unit, block.request, wait_s)
                took_s = wire.clock.monotonic() - began
        except Refused as refused:
            parts = self._plan.split(block) if refused.is_about_the_range else ()
            if not parts:
                return self._refused(block, refused), wire.clock.monotonic() - began
            first, second = [await self._read(part, wait_s) for part in parts]
            return first[0] + second[0], max(first[1], second[1])
        if block.refused or block.silent:
            block.refused = block.silent = False
            wire.log.warning("%s is read again", ", ".join(block.signals))
        return block.decoder.readings(body, wire.clock.now_ms()), took_s

    def _refused(self, block: Block, refused: Refused) -> list[Reading]:
        if not block.refused:
            block.refused = True
            self._wire.log.warning("%s cannot be read: %s", ", ".join(block.signals), refused)
        at_ms = self._wire.clock.now_ms()
        return [Reading.missing(signal, at_ms, Reason.DEVICE_REFUSED) for signal, _ in block.points]

    async def look(self, signals: Sequence[str]) -> list[PointRead]:
        """Reads some points once, with their raw registers. A failure is part of the answer; raises LinkDown."""
        wanted = {signal: self._points[signal] for signal in signals}
        found: dict[str, PointRead] = {}
        for block in blocks(wanted, self._limits):
            found.update({row.reading.signal: row for row in await self._look(block)})
        return [found[signal] for signal in signals]

    async def _look(self, block: Block) -> list[PointRead]:
        wire = self._wire
        async with wire.link.turn(urgent=True):
            began = wire.clock.monotonic()
            try:
                body = await wire.line.exchange(self._unit, block.request, wire.timeout_s)
            except (NoAnswer, BadFrame, DeviceRefused) as error:
                took_ms = (wire.clock.monotonic() - began) * 1000
                reason = _REASONS.get(type(error), Reason.DEVICE_REFUSED)
                at_ms = wire.clock.now_ms()
                missing = [Reading.missing(signal, at_ms, reason) for signal in block.signals]
                return [
                    PointRead(_name(reading.signal), (), reading, point.unit, took_ms, str(error))
                    for reading, (_, point) in zip(missing, block.points, strict=True)
                ]
        took_ms = (wire.clock.monotonic() - began) * 1000
        readings = block.decoder.readings(body, wire.clock.now_ms())
        return [
            PointRead(_name(signal), block.raw(body, point), reading, point.unit, took_ms)
            for (signal, point), reading in zip(block.points, readings, strict=True)
        ]

    async def apply(self, signal: str, value: Value) -> Readback:
        """Writes once and reads back in the same turn, until the read-back says the value or `within_s` is over.

        Raises what the write raised.
        """
        wire = self._wire
        point = self._points[signal]
        if point.write is None:
            raise Unsupported("this point cannot be written", where=signal, hint="its profile gives no `write`")
        request = _write_request(signal, point, value)
        await asyncio.sleep(wire.line.ready_in_s(self._unit))
        async with wire.link.turn(urgent=True):
            await wire.line.exchange(self._unit, request, wire.timeout_s)
            proof = signal if point.write.read_back is None else f"{signal.rpartition('/')[0]}/{point.write.read_back}"
            return await self._read_back(proof, point.write, value)

    async def _read_back(self, proof: str, write: Write, value: Value) -> Readback:
        wire = self._wire
        block = make_block([(proof, self._points[proof])])
        until = wire.clock.monotonic() + write.within_s
        while True:
            try:
                body = await wire.line.exchange(self._unit, block.request, wire.timeout_s)
            except (NoAnswer, BadFrame, DeviceRefused) as error:
                reason = _REASONS.get(type(error), Reason.DEVICE_REFUSED)
                reading = Reading.missing(proof, wire.clock.now_ms(), reason)
            else:
                reading = block.decoder.readings(body, wire.clock.now_ms())[0]
            verified = _equal(reading.value, value, write.tolerance)
            if verified or wire.clock.monotonic() >= until:
                return Readback(reading, verified)
            await asyncio.sleep(max(_LOOK_AGAIN_S, wire.line.ready_in_s(self._unit)))


def _write_request(signal: str, point: ModbusPoint, value: Value) -> Request:
    words = encode(point, value, signal)
    if point.range is not None and not isinstance(value, bool | str) and not point.range[0] <= value <= point.range[1]:
        low, high = point.range
        raise DeviceRefused(
            f"{value:g} is out of range", where=signal, hint=f"it takes {low:g} to {high:g} {point.unit}"
        )
    return write_coil(point.at, bool(words[0])) if point.table == "coil" else write_registers(point.at, words)


def _equal(got: Value | None, want: Value, tolerance: float) -> bool:
    if got is None or isinstance(got, str) or isinstance(want, str):
        return got == want
    return abs(got - want) <= tolerance + 1e-9 * abs(want)


def _name(signal: str) -> str:
    return signal.rpartition("/")[2]
