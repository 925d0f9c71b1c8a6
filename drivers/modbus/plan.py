"""Which requests read a device: points that lie near one another share one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from drivers.modbus.codec import BIT_TABLES, BitDecoder, RegisterDecoder
from drivers.modbus.messages import Request, read
from drivers.profiles import Limits, ModbusPoint, Table

Named = tuple[str, ModbusPoint]


@dataclass(slots=True, eq=False)
class Block:
    """One request and what its answer means. `points` are sorted by address; their names are signal ids.

    silent: how often in a row it got no answer though the device lives: some devices keep silent about addresses
    that they do not have. refused: how often in a row it was refused alone.
    """

    table: Table
    start: int
    count: int
    points: tuple[Named, ...]
    request: Request
    decoder: RegisterDecoder | BitDecoder
    silent: int = 0
    refused: int = 0

    @property
    def signals(self) -> list[str]:
        return [signal for signal, _ in self.points]

    def raw(self, body: bytes, point: ModbusPoint) -> tuple[int, ...]:
        """The registers of a point as they came, or its bit."""
        at = point.at - self.start
        if self.table in BIT_TABLES:
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

    def demote(self, block: Block) -> None:
        """Asks this block last from now on, so that those behind it get their turn before its silence ends the
        poll."""
        self.blocks.remove(block)
        self.blocks.append(block)


def blocks(points: Mapping[str, ModbusPoint], limits: Limits) -> Iterator[Block]:
    """Same table, overlapping, adjacent, or not further apart than `gap`, at most `max_registers` or `max_bits`
    together."""
    for table in ("coil", "discrete", "input", "holding"):
        most = limits.max_bits if table in BIT_TABLES else limits.max_registers
        chosen = sorted(((s, p) for s, p in points.items() if p.table == table), key=lambda n: (n[1].at, n[1].words))
        group: list[Named] = []
        end = 0
        for named in chosen:
            point = named[1]
            if group and (point.at - end > limits.gap or max(end, _end(point)) - group[0][1].at > most):
                yield make_block(group)
                group = []
            end = max(end, _end(point))
            group.append(named)
        if group:
            yield make_block(group)


def make_block(points: Sequence[Named]) -> Block:
    """One request for these points of one table, sorted by address."""
    table, start = points[0][1].table, points[0][1].at
    count = max(_end(point) for _, point in points) - start
    make = BitDecoder if table in BIT_TABLES else RegisterDecoder
    return Block(table, start, count, tuple(points), read(table, start, count), make(points, start))


def _end(point: ModbusPoint) -> int:
    return point.at + point.words


def _widest_hole(points: Sequence[Named]) -> int | None:
    """Index of the first point behind the widest hole; of the middle one if there is no hole; None if all
    points share the same addresses."""
    middle = len(points) / 2
    best: tuple[tuple[int, float], int] | None = None
    end = 0
    for n, (_, point) in enumerate(points):
        if n and (point.at, point.words) != (points[n - 1][1].at, points[n - 1][1].words):
            cut = (point.at - end, -abs(n - middle)), n
            best = cut if best is None or cut > best else best
        end = max(end, _end(point))
    return best[1] if best is not None else None
