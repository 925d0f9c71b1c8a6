"""One Modbus device: a poll of all its points, one look at a point, one write with its proof."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.link import Link
from drivers.modbus.codec import decode
from drivers.modbus.encode import encode
from drivers.modbus.line import Line
from drivers.modbus.messages import Refused, write_coil, write_registers
from drivers.modbus.plan import Block, Plan, make_block
from drivers.once import PointRead
from drivers.profiles import Limits, ModbusPoint, Write
from drivers.watch import DOWN_AFTER, Watch
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
        self._reason = Reason.NO_ANSWER  # of its last failure

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
        todo = deque(self._plan.blocks)
        while todo:
            block = todo.popleft()
            if wait_s is None or failed is not None:
                readings += self._missing(block)
                continue
            try:
                readings += await self._read(block, watch.short_s if block.silent else wait_s, todo)
            except (NoAnswer, BadFrame) as error:
                failed = block, error
                self._reason = _reason(error)
                readings += self._missing(block)
            else:
                slowest_s = max(slowest_s, wire.line.took_s)
        if failed is not None:
            self._demote(*failed, lives=slowest_s >= 0)
        if slowest_s >= 0:
            watch.answered(wire.clock.monotonic(), wire.clock.now_ms(), slowest_s)
        elif failed is not None:
            now = wire.clock.monotonic()
            watch.failed(now, failed[1], now - began)
        return readings

    def _missing(self, block: Block) -> list[Reading]:
        at_ms = self._wire.clock.now_ms()
        return [Reading.missing(signal, at_ms, self._reason) for signal, _ in block.points]

    async def _read(self, block: Block, wait_s: float, todo: deque[Block]) -> list[Reading]:
        """The readings of a block. A refused block is cut in two and both are put before what is still to do, again
        and again, until the good points come and the bad ones stand alone."""
        wire = self._wire
        try:
            async with wire.link.turn():
                body = await wire.line.exchange(self._unit, block.request, wait_s)
        except Refused as refused:
            parts = self._plan.split(block) if refused.is_about_the_range else ()
            todo.extendleft(reversed(parts))
            return [] if parts else self._refused(block, refused)
        if block.refused or block.silent:
            self._good_again(block)
        return block.decoder.readings(body, wire.clock.now_ms())

    def _refused(self, block: Block, refused: Refused) -> list[Reading]:
        block.refused += 1
        if block.refused == DOWN_AFTER:
            self._wire.log.warning("%s cannot be read: %s", ", ".join(block.signals), refused)
        at_ms = self._wire.clock.now_ms()
        return [Reading.missing(signal, at_ms, Reason.DEVICE_REFUSED) for signal, _ in block.points]

    def _demote(self, block: Block, error: DriverError, *, lives: bool) -> None:
        self._plan.demote(block)
        block.silent += lives
        if lives and block.silent == DOWN_AFTER:
            self._wire.log.warning("%s cannot be read, the rest can: %s", ", ".join(block.signals), error)

    def _good_again(self, block: Block) -> None:
        if max(block.refused, block.silent) >= DOWN_AFTER:
            self._wire.log.warning("%s is read again", ", ".join(block.signals))
        block.refused = block.silent = 0

    async def look(self, signals: Sequence[str]) -> list[PointRead]:
        """Reads some points once, with their raw registers. A failure is part of the answer; raises LinkDown."""
        plan = Plan({signal: self._points[signal] for signal in signals}, self._limits)
        found: dict[str, PointRead] = {}
        todo = deque(plan.blocks)
        while todo:
            block = todo.popleft()
            try:
                rows = await self._look(block)
            except Refused as refused:
                parts = plan.split(block) if refused.is_about_the_range else ()
                todo.extendleft(reversed(parts))
                rows = [] if parts else self._failed(block, refused)
            except (NoAnswer, BadFrame) as error:
                rows = self._failed(block, error)
            found.update({row.reading.signal: row for row in rows})
        return [found[signal] for signal in signals]

    async def _look(self, block: Block) -> list[PointRead]:
        wire = self._wire
        async with wire.link.turn(urgent=True):
            body = await wire.line.exchange(self._unit, block.request, wire.timeout_s)
        readings = block.decoder.readings(body, wire.clock.now_ms())
        return [
            PointRead(_name(signal), block.raw(body, point), reading, point.unit, wire.line.took_s * 1000)
            for (signal, point), reading in zip(block.points, readings, strict=True)
        ]

    def _failed(self, block: Block, error: DriverError) -> list[PointRead]:
        wire = self._wire
        at_ms, took_ms = wire.clock.now_ms(), wire.line.took_s * 1000
        return [
            PointRead(
                _name(signal), (), Reading.missing(signal, at_ms, _reason(error)), point.unit, took_ms, str(error)
            )
            for signal, point in block.points
        ]

    async def apply(self, signal: str, value: Value) -> Readback:
        """Writes once and reads back in the same turn, until the read-back says the value or `within_s` is over.

        Raises what the write raised. A device that says "accepted, it takes longer" (exception 5) is asked for the
        effect all the same.
        """
        wire = self._wire
        point = self._points[signal]
        if point.write is None:
            raise Unsupported("this point cannot be written", where=signal, hint="its profile gives no `write`")
        words = _words_to_write(signal, point, value)
        write = write_coil if point.table == "coil" else write_registers
        request = write(point.at, words, single=self._limits.write_one)
        await asyncio.sleep(wire.line.ready_in_s(self._unit))
        async with wire.link.turn(urgent=True):
            try:
                await wire.line.exchange(self._unit, request, wire.timeout_s)
            except Refused as refused:
                if not refused.is_accepted:
                    raise
            proof = signal if point.write.read_back is None else f"{signal.rpartition('/')[0]}/{point.write.read_back}"
            # What the registers can say of the value: a step of 0.1 or 32 bits are as near as the device can come.
            said = decode(point, words)
            return await self._read_back(proof, point.write, value if said is None else said)

    async def _read_back(self, proof: str, write: Write, value: Value) -> Readback:
        wire = self._wire
        block = make_block([(proof, self._points[proof])])
        until = wire.clock.monotonic() + write.within_s
        while True:
            try:
                body = await wire.line.exchange(self._unit, block.request, wire.timeout_s)
            except LinkDown as error:
                return Readback(Reading.missing(proof, wire.clock.now_ms(), _reason(error)), verified=False)
            except (NoAnswer, BadFrame, DeviceRefused) as error:
                reading = Reading.missing(proof, wire.clock.now_ms(), _reason(error))
            else:
                reading = block.decoder.readings(body, wire.clock.now_ms())[0]
            verified = _equal(reading.value, value, write.tolerance)
            if verified or wire.clock.monotonic() >= until:
                return Readback(reading, verified)
            await asyncio.sleep(max(_LOOK_AGAIN_S, wire.line.ready_in_s(self._unit)))


def _words_to_write(signal: str, point: ModbusPoint, value: Value) -> list[int]:
    """Raises DeviceRefused when the value does not fit, or is out of the point's range."""
    words = encode(point, value, signal)
    if point.range is not None and not isinstance(value, bool | str) and not point.range[0] <= value <= point.range[1]:
        low, high = point.range
        raise DeviceRefused(
            f"{value:g} is out of range", where=signal, hint=f"it takes {low:g} to {high:g} {point.unit}"
        )
    return words


def _reason(error: DriverError) -> Reason:
    return _REASONS.get(type(error), Reason.DEVICE_REFUSED)


def _equal(got: Value | None, want: Value, tolerance: float) -> bool:
    if got is None or isinstance(got, str) or isinstance(want, str):
        return got == want
    return abs(got - want) <= tolerance + 1e-9 * abs(want)


def _name(signal: str) -> str:
    return signal.rpartition("/")[2]
