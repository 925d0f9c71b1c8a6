"""Which profile fits a unit: its fingerprint, or else whether its points answer and say believable things.

A score is an opinion, never a proof: many devices answer to any address, and zero lies in every range.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from drivers.modbus.line import Line
from drivers.modbus.messages import Refused, read
from drivers.modbus.plan import Block, blocks
from drivers.profiles import ModbusPoint, ModbusProfile, Table
from gateway.model.clock import Clock
from gateway.model.errors import BadFrame, DriverError, NoAnswer
from gateway.model.measure import Value

MOST_REQUESTS: Final = 150
MOST_S: Final = 20.0
"""What recognising one unit may cost its wire."""
SURE: Final = 70
LIKELY: Final = 40
_BEST: Final = 3
_LEAST: Final = 15
_BLOCKS_A_PROFILE: Final = 4
_FINALISTS: Final = 6
_HUGE: Final = 1e12
_TINY: Final = 1e-12
"""Beyond these no instrument measures: integers that are read as floats look so."""
_ILLEGAL_FUNCTION: Final = 1


@dataclass(frozen=True, slots=True)
class Fit:
    """score: 0 to 95. reasons: what speaks for it and against it, in words."""

    profile: str
    title_en: str
    title_vi: str
    confirmed: bool
    score: int
    reasons: tuple[str, ...]

    @property
    def order(self) -> tuple[int, bool, int, str]:
        """Sorts the best first: by how strong the evidence is, then confirmed profiles, then the score."""
        strength = (self.score >= LIKELY) + (self.score >= SURE)
        return (-strength, not self.confirmed, -self.score, self.profile)


class Look:
    """Registers of one unit, each read once. None for what it refuses or is silent about, and when the budget is
    used up."""

    def __init__(self, line: Line, unit: int, wait_s: float, clock: Clock) -> None:
        self._line, self._unit, self._wait_s, self._clock = line, unit, wait_s, clock
        self._words: dict[tuple[Table, int], int] = {}
        self._refused: list[tuple[Table, int, int]] = []
        self._left = MOST_REQUESTS
        self._until = clock.monotonic() + MOST_S

    @property
    def spent(self) -> bool:
        return self._left <= 0 or self._clock.monotonic() >= self._until

    async def words(self, table: Table, at: int, count: int) -> list[int] | None:
        """Raises LinkDown."""
        if not all((table, at + n) in self._words for n in range(count)):
            if self.spent or self._hopeless(table, at, count):
                return None
            self._left -= 1
            try:
                body = await self._line.exchange(self._unit, read(table, at, count), self._wait_s)
            except Refused as refused:
                whole = refused.exception == _ILLEGAL_FUNCTION
                self._refused.append((table, 0, 0) if whole else (table, at, count))
                return None
            except (NoAnswer, BadFrame, DriverError) as error:
                if not isinstance(error, NoAnswer | BadFrame):
                    raise
                self._refused.append((table, at, count))
                return None
            self._keep(table, at, count, body)
        return [self._words[table, at + n] for n in range(count)]

    def _hopeless(self, table: Table, at: int, count: int) -> bool:
        """What was refused is refused again as part of more; a table it does not know has no registers at all."""
        return any(
            table == t and (n == 0 or (at <= start and start + n <= at + count)) for t, start, n in self._refused
        )

    def _keep(self, table: Table, at: int, count: int, body: bytes) -> None:
        for n in range(count):
            bits = table in {"coil", "discrete"}
            self._words[table, at + n] = (
                body[1 + n // 8] >> n % 8 & 1 if bits else int.from_bytes(body[1 + 2 * n : 3 + 2 * n])
            )


@dataclass(slots=True)
class _Tally:
    """What the points of one profile said."""

    points: int = 0
    answered: int = 0
    weight: float = 0.0
    inside: int = 0
    zeros: int = 0
    faults: int = 0
    outside: list[str] = field(default_factory=list)

    def add(self, name: str, point: ModbusPoint, value: Value | None) -> None:
        self.answered += 1
        if value is None:
            self.faults += 1
            self.weight += 0.2
        elif isinstance(value, str):
            self.weight += 0.6 if value and value.isprintable() else -0.5
        elif isinstance(value, bool):
            self.weight += 0.5
        elif not _believable(point, value):
            self.outside.append(f"{name} = {value:.6g}{'' if point.unit == '1' else ' ' + point.unit}")
            self.weight -= 1
        elif value == 0:
            self.zeros += 1
            self.weight += 0.4
        else:
            self.inside += point.range is not None
            self.weight += 1.0 if point.range is not None else 0.5

    @property
    def score(self) -> float:
        """0 to 80: the mean of what the points are worth, less for few of them."""
        missed = self.points - self.answered
        worth = (self.weight - 0.5 * missed) / self.points if self.points else 0.0
        return 80 * max(0.0, worth) * self.answered / (self.answered + 2)

    def reasons(self) -> list[str]:
        said = [f"{self.answered} of {self.points} points answer"]
        if self.inside:
            said.append(f"{self.inside} within their range")
        if self.outside:
            more = ", ..." if len(self.outside) > 2 else ""
            said.append(f"{len(self.outside)} not believable ({', '.join(self.outside[:2])}{more})")
        if self.zeros:
            said.append(f"{self.zeros} are 0, which says little")
        if self.faults:
            said.append(f"{self.faults} marked as no reading")
        return said


class _Candidate:
    """One profile on trial at one unit."""

    def __init__(self, profile: ModbusProfile, identity: Mapping[str, str]) -> None:
        self.profile = profile
        self.tally = _Tally()
        there = profile.on_the_wire()
        self._signs = there.fingerprint
        # The block with the most points tells most; of those the shortest, which most devices take.
        self.blocks = sorted(blocks(there.points, there.limits), key=lambda b: (-len(b.points), b.count))
        del self.blocks[_BLOCKS_A_PROFILE:]
        self._bonus = 0.0
        self._reasons: list[str] = []
        if profile.maker and any(profile.maker.lower() in text.lower() for text in identity.values()):
            self._bonus = 15.0
            self._reasons.append(f"it says that {profile.maker} made it")

    @property
    def cost(self) -> tuple[bool, int, bool, str]:
        """Sorts what is cheap to ask first: what a short request is refused, a longer one need not ask."""
        profile = self.profile
        return (not profile.fingerprint, self.blocks[0].count, not profile.confirmed, profile.profile)

    async def has_signs(self, look: Look) -> bool:
        """False when its fingerprint is another one."""
        for sign, shown in zip(self._signs, self.profile.fingerprint, strict=True):
            if await look.words(sign.table, sign.at, len(sign.equals)) != list(sign.equals):
                return False
            said = " ".join(f"{word:04x}" for word in sign.equals)
            self._reasons.append(f"{shown.table} {shown.at} says {said}, as its profile wants")
        if self._signs:
            telling = sum(word not in {0, 0xFFFF} for sign in self._signs for word in sign.equals)
            self._bonus += min(85.0, 55 + 15 * telling)
        return True

    async def ask(self, look: Look, most: int = _BLOCKS_A_PROFILE) -> None:
        """Reads its next blocks."""
        for _ in range(min(most, len(self.blocks))):
            block = self.blocks.pop(0)
            self.tally.points += len(block.points)
            words = await look.words(block.table, block.start, block.count)
            if words is not None:
                readings = block.decoder.readings(_body(block, words), 0)
                for (name, point), reading in zip(block.points, readings, strict=True):
                    self.tally.add(name, point, reading.value)

    @property
    def fit(self) -> Fit:
        profile = self.profile
        score = self._bonus + (self.tally.score / 8 if profile.fingerprint else self.tally.score)
        return Fit(
            profile.profile,
            profile.title_en,
            profile.title_vi,
            profile.confirmed,
            round(min(95.0, score)),
            (*self._reasons, *self.tally.reasons()),
        )


async def recognise(
    look: Look, profiles: Mapping[str, ModbusProfile], identity: Mapping[str, str]
) -> tuple[tuple[Fit, ...], int]:
    """The best fits, best first, and how many profiles were not tried for want of time. Raises LinkDown.

    Each profile is tried with one block, the promising ones with more. A strong fingerprint spares the unit all
    questions of profiles without one.
    """
    hopeful: list[_Candidate] = []
    untried = 0
    for candidate in sorted((_Candidate(p, identity) for p in profiles.values()), key=lambda c: c.cost):
        fingerprint = bool(candidate.profile.fingerprint)
        if not fingerprint and any(c.profile.fingerprint and c.fit.score >= SURE for c in hopeful):
            break
        if look.spent:
            untried += 1
        elif await candidate.has_signs(look):
            await candidate.ask(look, 1)
            if candidate.tally.answered == 0:
                await candidate.ask(look, 1)  # this unit may be a smaller model
            hopeful.append(candidate)
    hopeful = sorted(hopeful, key=lambda c: c.fit.order)[:_FINALISTS]
    for candidate in hopeful:
        await candidate.ask(look)
    fits = sorted((c.fit for c in hopeful if c.fit.score >= _LEAST), key=lambda fit: fit.order)
    return tuple(fits[:_BEST]), untried


def _body(block: Block, words: Sequence[int]) -> bytes:
    """The answer's body that these words would have come in."""
    if block.table in {"coil", "discrete"}:
        packed = sum(word << n for n, word in enumerate(words)).to_bytes((len(words) + 7) // 8, "little")
        return bytes((len(packed),)) + packed
    return bytes((2 * len(words),)) + struct.pack(f">{len(words)}H", *words)


def _believable(point: ModbusPoint, value: float) -> bool:
    if value != 0 and not _TINY <= abs(value) <= _HUGE:
        return False
    return point.range is None or point.range[0] <= value <= point.range[1]
