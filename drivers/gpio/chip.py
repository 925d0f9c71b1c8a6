"""Input pins of one chip: the port `Pins`, and which implementation stands at a path."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from drivers.gpio.debounce import Debouncer
from gateway.model.clock import Clock
from gateway.model.errors import LinkDown

CONSUMER: Final = "gateway"
"""What gpioinfo shows beside our pins."""


@dataclass(frozen=True, slots=True)
class Pin:
    """How one input pin is set up."""

    pull: Literal["up", "down", "none"] = "up"
    still_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Edge:
    """A believed change of one pin. at_ns: since when the level stands, on the monotonic clock. level: 0 is ground."""

    pin: int
    at_ns: int
    level: int


@dataclass(frozen=True, slots=True)
class RawEdge:
    """A change as the chip tells it. number: counts the edges of this pin, from 1; a hole means lost edges."""

    pin: int
    at_ns: int
    level: int
    number: int


class Pins(ABC):
    """Some pins of one chip, ours alone until `close`. May be opened again.

    Edges are told to `heard` from the event loop, each pin's in order of time, after the pin was still for its
    `still_ms`. `lost` counts by pin the edges that the chip could not keep. Once the chip is gone, `gone` is told so,
    and nothing more comes.
    """

    def __init__(self, where: str, path: Path, pins: Mapping[int, Pin], clock: Clock) -> None:
        self.where = where
        self.path = path
        self.pins = pins
        self.lost = dict.fromkeys(pins, 0)
        self._clock = clock
        self._log = logging.getLogger(f"drivers.{where}")
        self._heard: Callable[[Edge], None]
        self._gone: Callable[[LinkDown], None]
        self._debouncers: dict[int, Debouncer] = {}
        self._numbers: dict[int, int] = {}
        self._fd = -1
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, heard: Callable[[Edge], None], gone: Callable[[LinkDown], None]) -> Mapping[int, int]:
        """The level of each pin now. Raises LinkDown (no chip, no permission, pin in use) and Unsupported."""
        self._heard, self._gone = heard, gone
        levels = await self._request()
        self._numbers = dict.fromkeys(self.pins, 0)
        self._debouncers = {
            pin: Debouncer(0 if self._keeps_still(pin) else round(wanted.still_ms * 1e6), levels[pin])
            for pin, wanted in self.pins.items()
        }
        self._fd = self._fileno()
        asyncio.get_running_loop().add_reader(self._fd, self._look)
        # What came since the pins were ours may be here already.
        asyncio.get_running_loop().call_soon(self._look)
        return levels

    def close(self) -> None:
        """Gives the pins back. Never raises."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._fd = -1
        self._release()

    def _look(self) -> None:
        """Takes the edges first and the passing of time after them: a late wake-up believes no bounce."""
        if self._fd < 0:
            return
        try:
            edges = self._take()
        except OSError as error:
            self._lose(error)
            return
        for edge in edges:
            self._note(edge)
        now_ns = self._now_ns()
        for pin, debouncer in self._debouncers.items():
            for at_ns, level in debouncer.settle(now_ns):
                self._heard(Edge(pin, at_ns, level))
        self._wake_up_in_time(now_ns)

    def _note(self, edge: RawEdge) -> None:
        missing = edge.number - self._numbers[edge.pin] - 1
        self._numbers[edge.pin] = edge.number
        if missing > 0:
            if not self.lost[edge.pin]:  # once: a chattering pin would fill the journal, and readings tell of each
                self._log.warning("pin %d: %d edges came too fast and were lost", edge.pin, missing)
            self.lost[edge.pin] += missing
        for at_ns, level in self._debouncers[edge.pin].edge(edge.at_ns, edge.level):
            self._heard(Edge(edge.pin, at_ns, level))

    def _wake_up_in_time(self, now_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        dues = [due for debouncer in self._debouncers.values() if (due := debouncer.due_ns) is not None]
        if dues:
            delay_s = max(0.001, (min(dues) - now_ns) / 1e9)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _lose(self, error: OSError) -> None:
        self.close()
        what = f"{self.path} is gone: {error.strerror or error}"
        self._gone(LinkDown(what, where=self.where, hint="is its board still plugged in? see gpiodetect"))

    def _now_ns(self) -> int:
        return round(self._clock.monotonic() * 1e9)

    # What an implementation gives.

    @abstractmethod
    async def _request(self) -> Mapping[int, int]:
        """Takes the pins, or raises as `open` does and holds nothing. The level of each."""

    @abstractmethod
    def _keeps_still(self, pin: int) -> bool:
        """True if the chip or its kernel debounces this pin."""

    @abstractmethod
    def _fileno(self) -> int:
        """Readable when edges wait."""

    @abstractmethod
    def _take(self) -> Sequence[RawEdge]:
        """The edges that wait, without waiting for more. Raises OSError when the chip is gone."""

    @abstractmethod
    def _release(self) -> None:
        """Gives back what `_request` took; nothing if it took nothing."""


def pins_at(where: str, path: Path, pins: Mapping[int, Pin], clock: Clock) -> Pins:
    """What fits the thing at this path now: the kernel's chip, or the socket of a rehearsal. Raises LinkDown when
    nothing stands there."""
    if path.is_socket():
        from drivers.gpio.rehearsed import RehearsedPins

        return RehearsedPins(where, path, pins, clock)
    if not path.exists():
        what, hint = f"there is no {path}", "gpiodetect lists the chips of this machine; correct `chip` of the wire"
        raise LinkDown(what, where=where, hint=hint)
    # libgpiod is not loaded where there is no chip.
    from drivers.gpio.kernel import KernelPins

    return KernelPins(where, path, pins, clock)
