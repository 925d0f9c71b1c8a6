"""Which requests read a device: points that lie near one another share one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from drivers.modbus.codec import BitDecoder, RegisterDecoder
from drivers.modbus.messages import MOST_BITS, Request, read
from drivers.profiles import Limits, ModbusPoint, Table

Named = tuple[str, ModbusPoint]


@dataclass(slots=True, eq=False)
class Block:
    """One request and what its answer means. `points` are sorted by address; their names are signal ids.

    silent: this block got no answer though the device lives: some devices keep silent about addresses that
    they do not have.
    """

    table: Table
    start: int
    count: int
    points: tuple[Named, ...]
    request: Request
    decoder: RegisterDecoder | BitDecoder
    silent: bool = False
    refused: bool = False

    @property
    def signals(self) -> list[str]:
        return [signal for signal, _ in self.points]

    def raw(self, body: bytes, point: ModbusPoint) -> tuple[int, ...]:
        """The registers of a point as they came, or its bit."""
        at = point.at - self.start
        if self.table in {"coil", "discrete"}:
            return (body[1 + at // 8] >> at % 8 & 1,)
        return tuple(int.from_bytes(body[1 + 2 * n : 3 + 2 * n]) for n in range(at, at + point.words))


class Plan:
    """The blocks of one device. Shrinks its requests to what the device takes."""

    def __init__(self, points: Mapping[str, ModbusPoint], limits: Limits) -> None:
        self.blocks = list(blocks(points, limits))

    def split(self, block: Block) -> list[Block]:
        """Cuts a refused block in two at its widest hole, or in its middle, from now on. The two parts; none if
        it was a single address."""
        at = _widest_hole(block.points)
        if at is None:
            return []
        parts = [make_block(block.points[:at]), make_block(block.points[at:])]
        where = self.blocks.index(block)
        self.blocks[where : where + 1] = parts
        return parts

    def demote(self, block: Block, *, silent: bool) -> None:
        """Asks this block last from now on, so that those behind it get their turn before its silence ends the
        poll. silent: the device answered for others meanwhile."""
        for part in [b for b in self.blocks if b.signals[0] in block.signals]:
            part.silent = part.silent or silent
            self.blocks.remove(part)
            self.blocks.append(part)


def blocks(points: Mapping[str, ModbusPoint], limits: Limits) -> Iterator[Block]:
    """Same table, adjacent or not further apart than `gap`, at most `max_registers` together. Points that
    overlap in part go to blocks of their own."""
    for table in ("coil", "discrete", "input", "holding"):
        most = MOST_BITS if table in {"coil", "discrete"} else limits.max_registers
        chosen = sorted(((s, p) for s, p in points.items() if p.table == table), key=lambda n: (n[1].at, n[1].words))
        group: list[Named] = []
        for named in chosen:
            if group and not _joins(group, named[1], limits.gap, most):
                yield make_block(group)
                group = []
            group.append(named)
        if group:
            yield make_block(group)


def make_block(points: Sequence[Named]) -> Block:
    table, start = points[0][1].table, points[0][1].at
    count = max(point.at + point.words for _, point in points) - start
    make = BitDecoder if table in {"coil", "discrete"} else RegisterDecoder
    return Block(table, start, count, tuple(points), read(table, start, count), make(points, start))


def _joins(group: Sequence[Named], point: ModbusPoint, gap: int, most: int) -> bool:
    last = group[-1][1]
    end = last.at + last.words
    if point.at < end:  # the same register again is fine only if both see it as the same 16 bits
        return (point.at, point.words, point.type) == (last.at, last.words, last.type) and point.type == "bool"
    return point.at - end <= gap and point.at + point.words - group[0][1].at <= most


def _widest_hole(points: Sequence[Named]) -> int | None:
    """Index of the first point behind the widest hole; of the middle one if there is no hole; None if all
    points share one address."""
    cuts = [n for n in range(1, len(points)) if points[n][1].at > points[n - 1][1].at]
    if not cuts:
        return None
    middle = len(points) / 2

    def hole(cut: int) -> tuple[int, float]:
        before = points[cut - 1][1]
        return points[cut][1].at - before.at - before.words, -abs(cut - middle)

    return max(cuts, key=hole)
