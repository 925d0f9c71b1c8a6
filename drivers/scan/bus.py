"""Units on an RS-485 pair whose settings nobody knows: each is asked for one register, at each speed and parity."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final

from drivers.modbus.messages import Refused, read
from drivers.modbus.rtu import RtuLine, crc
from drivers.profiles import ModbusProfile
from drivers.scan import Asking, FoundUnit, Noise, Overheard, Recognising, Tell
from drivers.scan.fit import Look, recognise
from drivers.scan.ports import blamed
from drivers.settings import ModbusRtuWire, Parity
from gateway.model.clock import Clock
from gateway.model.errors import BadFrame, LinkDown, NoAnswer

BAUDS: Final = (9600, 19200, 4800, 38400, 115200, 57600, 2400, 1200)
PARITIES: Final[tuple[Parity, ...]] = ("none", "even", "odd")
UNITS: Final = range(1, 248)
_LIKELY: Final[tuple[tuple[int, Parity], ...]] = (
    (9600, "none"),  # what most devices leave the factory with
    (19200, "even"),  # what the standard asks for (Modbus over serial line V1.02, 2.5.1)
    (9600, "even"),
    (19200, "none"),
    (4800, "none"),
    (38400, "none"),
    (115200, "none"),
)
_FIRST_UNITS: Final = 32
_LOOK_S: Final = 0.5
_MOST_GARBAGE: Final = 6
_MOST_HEARD: Final = 512
_PROBE: Final = read("holding", 0, 1)


@dataclass(frozen=True, slots=True)
class Combination:
    baud: int
    parity: Parity

    def __str__(self) -> str:
        return f"{self.baud} 8{self.parity[0].upper()}1"


@dataclass(frozen=True, slots=True)
class Step:
    """Some units at one combination. `listen`: first hear whether anybody talks there."""

    combination: Combination
    units: Sequence[int]
    listen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BusPlan:
    """What is asked, in which order, and how long that takes. port: as the site file names it.

    The likely combinations come first, each with units 1 to 32, then all again with the other units. Where units
    were found the rest of their combination comes next, and nothing after it unless `everything` is wanted: units of
    one pair have one setting. pause_s: silence between two requests. listen_s: how long a combination is heard first.
    """

    port: str
    bauds: Sequence[int] = BAUDS
    parities: Sequence[Parity] = PARITIES
    units: Sequence[int] = UNITS
    timeout_s: float = 0.2
    pause_s: float = 0.02
    listen_s: float = 0.3
    everything: bool = False

    @property
    def combinations(self) -> list[Combination]:
        wanted = list(product(self.bauds, self.parities))
        likely = [pair for pair in _LIKELY if pair in wanted]
        return [Combination(*pair) for pair in (*likely, *(pair for pair in wanted if pair not in likely))]

    def steps(self) -> list[Step]:
        first = [unit for unit in self.units if unit <= _FIRST_UNITS]
        others = [unit for unit in self.units if unit > _FIRST_UNITS]
        return [
            Step(combination, units, listen)
            for units, listen in ((first, True), (others, not first))
            for combination in self.combinations
            if units
        ]

    @property
    def requests(self) -> int:
        """At most so many, those of recognising found units left out."""
        return sum(len(step.units) for step in self.steps())

    def seconds(self, steps: Iterable[Step] | None = None) -> float:
        """How long it takes if nobody answers, which is the longest but for a line full of noise."""
        return sum(self._step_s(step) for step in (self.steps() if steps is None else steps))

    def _step_s(self, step: Step) -> float:
        bits = 10 + (step.combination.parity != "none")
        frames = len(_PROBE.pdu) + 3 + _PROBE.length + 3
        each_s = self.timeout_s + max(self.pause_s, 0.02) + frames * bits / step.combination.baud
        return len(step.units) * each_s + step.listen * self.listen_s + self.timeout_s


class _Ear(RtuLine):
    """A line that also keeps what it heard, whether it was an answer or not."""

    def __init__(self, wire: ModbusRtuWire, path: Path) -> None:
        super().__init__(wire.port, wire, path, {})
        self.heard = bytearray()

    def _receive(self, data: bytes) -> None:
        self.heard += data
        del self.heard[:-_MOST_HEARD]
        super()._receive(data)


@dataclass(frozen=True, slots=True)
class _Answer:
    """said: "" for nothing. ms: None when it came after its time. garbage: bytes came that are no answer."""

    said: str = ""
    ms: float | None = None
    garbage: bool = False


class BusScan:
    """One run over a plan. base: folder from which the port's path starts."""

    def __init__(
        self, plan: BusPlan, base: Path, profiles: Mapping[str, ModbusProfile], clock: Clock, tell: Tell
    ) -> None:
        self._plan, self._base, self._profiles, self._clock, self._tell = plan, base, profiles, clock, tell
        self._done = 0
        self._total = plan.requests
        self._echo = False

    async def run(self) -> None:
        """Raises LinkDown when the port cannot be opened or vanishes. May be cancelled at any time."""
        steps = deque(self._plan.steps())
        while steps:
            step = steps.popleft()
            found, ours = await self._step(step)
            if not ours:
                return
            if found and not self._plan.everything:
                steps = deque(replace(s, listen=False) for s in steps if s.combination == step.combination)
                self._total = self._done + sum(len(s.units) for s in steps)

    async def _step(self, step: Step) -> tuple[set[int], bool]:
        """The units found, and whether the line is ours to ask."""
        combination = step.combination
        wire = ModbusRtuWire(
            kind="modbus_rtu", port=self._plan.port, baud=combination.baud, parity=combination.parity,
            timeout_s=self._plan.timeout_s, pause_s=self._plan.pause_s, echo=self._echo,
        )  # fmt: skip
        ear = _Ear(wire, self._base / wire.port)
        self._tell(Asking(self._done, self._total, str(combination)))
        try:
            await ear.open()
        except LinkDown as error:
            raise blamed(error, self._base / wire.port) from error
        try:
            if step.listen:
                await asyncio.sleep(self._plan.listen_s)
                if units := talking(bytes(ear.heard)):
                    self._tell(Overheard(str(combination), tuple(sorted(units))))
                    return set(), False
            return await self._ask_all(ear, wire, step), True
        finally:
            await ear.close()

    async def _ask_all(self, ear: _Ear, wire: ModbusRtuWire, step: Step) -> set[int]:
        found: set[int] = set()
        garbage: dict[int, bytes] = {0: bytes(ear.heard)} if ear.heard else {}
        for number, unit in enumerate(step.units):
            self._tell(Asking(self._done, self._total, str(step.combination), unit))
            self._done += 1
            ear.heard.clear()
            answer = await self._ask(ear, unit)
            late = late_answers(bytes(ear.heard)) & set(step.units[:number]) - found
            await self._late(ear, wire, found, late)
            if answer.said:
                found.add(unit)
                await self._found(ear, wire, unit, answer)
            elif answer.garbage and not late and not self._is_echo(ear, unit):
                garbage[unit] = bytes(ear.heard)
                if len(garbage) >= _MOST_GARBAGE and not found:
                    self._done += len(step.units) - number - 1
                    break
        ear.heard.clear()
        await asyncio.sleep(self._plan.timeout_s)  # the last one may be late too
        await self._late(ear, wire, found, late_answers(bytes(ear.heard)) & set(step.units) - found)
        if garbage and not found:
            units = tuple(unit for unit in garbage if unit)
            self._tell(Noise(str(step.combination), units, next(iter(garbage.values()))[:16]))
        return found

    async def _late(self, ear: _Ear, wire: ModbusRtuWire, found: set[int], units: set[int]) -> None:
        found |= units
        for unit in sorted(units):
            await self._found(ear, wire, unit, _Answer("answered late", None))

    async def _ask(self, ear: _Ear, unit: int) -> _Answer:
        try:
            await ear.exchange(unit, _PROBE, self._plan.timeout_s)
            said = "answered"
        except Refused as refused:
            said = f"answered with exception {refused.exception}"
        except (NoAnswer, BadFrame) as error:
            return _Answer(garbage=isinstance(error, BadFrame))
        return _Answer(said, ear.took_s * 1000)

    def _is_echo(self, ear: _Ear, unit: int) -> bool:
        """Some adapters hand back what they send: then nothing was said, and `echo: true` belongs to the wire."""
        sent = bytes((unit,)) + _PROBE.pdu
        if bytes(ear.heard) != sent + crc(sent):
            return False
        self._echo = True
        return True

    async def _found(self, ear: _Ear, wire: ModbusRtuWire, unit: int, answer: _Answer) -> None:
        at = str(Combination(wire.baud, wire.parity))
        self._tell(Recognising(at, unit))
        look = Look(ear, unit, _LOOK_S if answer.ms is not None else 2 * _LOOK_S, self._clock)
        fits, untried = await recognise(look, self._profiles, {})
        self._tell(
            FoundUnit(
                at=at, wire=wire.model_copy(update={"echo": self._echo}), unit=unit, said=answer.said,
                answer_ms=answer.ms, fits=fits, untried=untried,
            )
        )  # fmt: skip


def late_answers(heard: bytes) -> set[int]:
    """Units whose whole answers to the probe are in there."""
    function = _PROBE.pdu[0]
    shapes = ((bytes((function, 2)), 5), (bytes((function | 0x80,)), 3))
    return {
        heard[at]
        for at in range(len(heard) - 4)
        for begin, length in shapes
        if heard[at + 1 :].startswith(begin) and _sealed(heard[at : at + length + 2], length + 2)
    }


def talking(heard: bytes) -> set[int]:
    """Units of whole read requests and answers (functions 1 to 4) in bytes that nobody here asked for."""
    found: set[int] = set()
    for at in range(len(heard) - 6):
        unit, function, third = heard[at : at + 3]
        if 1 <= unit <= 247 and 1 <= function <= 4:
            for length in (8, 5 + third):
                if _sealed(heard[at : at + length], length):
                    found.add(unit)
    return found


def _sealed(frame: bytes, length: int) -> bool:
    return len(frame) == length and length >= 5 and crc(frame[:-2]) == frame[-2:]
