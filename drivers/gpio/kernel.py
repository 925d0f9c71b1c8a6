"""Pins of a real chip, by libgpiod (character device, second version of its interface: Linux 5.10 and later)."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import gpiod
from gpiod.line import Bias, Clock, Direction, Edge, Value

from drivers.gpio.chip import CONSUMER, Pin, Pins, RawEdge
from gateway.model.errors import LinkDown, Unsupported

_KEEPS: Final = 1024
"""Edges the kernel keeps for us while we are busy; it takes no larger number."""
_AT_ONCE: Final = 64
_PULLS: Final = {"up": Bias.PULL_UP, "down": Bias.PULL_DOWN, "none": Bias.DISABLED}


class KernelPins(Pins):
    """The kernel queues the edges and numbers them, and debounces them where it can."""

    _lines: gpiod.LineRequest | None = None
    _waits_ns: Mapping[int, int] = MappingProxyType({})
    """Pins that the kernel debounces. It stamps their edges so much later, when it believes them."""

    async def _request(self) -> Mapping[int, int]:
        try:
            with gpiod.Chip(str(self.path)) as chip:
                self._check(chip)
                request = self._asked(chip)
                self._lines = request
                infos = [chip.get_line_info(pin) for pin in self.pins]
                self._waits_ns = {
                    i.offset: round(i.debounce_period.total_seconds() * 1e9) for i in infos if i.debounced
                }
            levels = request.get_values(list(self.pins))
        except OSError as error:
            self._release()
            raise self._refused(error) from error
        return {pin: int(level is Value.ACTIVE) for pin, level in zip(self.pins, levels, strict=True)}

    def _check(self, chip: gpiod.Chip) -> None:
        has = chip.get_info().num_lines
        for pin in self.pins:
            if pin >= has:
                what = f"{self.path} has no pin {pin}, its last one is {has - 1}"
                raise Unsupported(what, where=self.where, hint="gpioinfo lists the pins of each chip; correct `pin`")
            info = chip.get_line_info(pin)
            if info.used:
                what = f"pin {pin} of {self.path} is unavailable, {info.consumer or 'the kernel'!r} has it"
                raise LinkDown(what, where=self.where, hint="gpioinfo shows who uses which pin; stop it or use another")

    def _asked(self, chip: gpiod.Chip) -> gpiod.LineRequest:
        try:
            return self._request_lines(chip, still=True)
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
                raise
            return self._request_lines(chip, still=False)

    def _request_lines(self, chip: gpiod.Chip, *, still: bool) -> gpiod.LineRequest:
        config = {pin: _settings(wanted, still=still) for pin, wanted in self.pins.items()}
        return chip.request_lines(config, consumer=CONSUMER, event_buffer_size=_KEEPS)  # type: ignore[arg-type]  # a dict is invariant in its keys

    def _refused(self, error: OSError) -> LinkDown | Unsupported:
        what = f"{self.path}: {error.strerror or error}"
        if error.errno in {errno.EACCES, errno.EPERM}:
            return LinkDown(what, where=self.where, hint="this user must be in group gpio")
        if error.errno in {errno.ENOTTY, errno.ENODEV, errno.EINVAL}:
            return Unsupported(what, where=self.where, hint="is this a GPIO chip? gpiodetect lists them")
        return LinkDown(what, where=self.where, hint="gpioinfo shows who uses which pin")

    def _keeps_still(self, pin: int) -> bool:
        return pin in self._waits_ns

    def _fileno(self) -> int:
        assert self._lines is not None  # noqa: S101 - asked for only after `_request`
        return self._lines.fd

    def _take(self) -> Sequence[RawEdge]:
        request, edges = self._lines, list[RawEdge]()
        while request is not None and request.wait_edge_events(0):
            edges += [self._edge(event) for event in request.read_edge_events(_AT_ONCE)]
        return edges

    def _edge(self, event: gpiod.EdgeEvent) -> RawEdge:
        at_ns = event.timestamp_ns - self._waits_ns.get(event.line_offset, 0)
        level = int(event.event_type is gpiod.EdgeEvent.Type.RISING_EDGE)
        return RawEdge(event.line_offset, at_ns, level, event.line_seqno)

    def _release(self) -> None:
        request, self._lines = self._lines, None
        if request is not None:
            with contextlib.suppress(OSError):  # a chip that is gone takes nothing back
                request.release()


def _settings(wanted: Pin, *, still: bool) -> gpiod.LineSettings:
    return gpiod.LineSettings(
        direction=Direction.INPUT,
        edge_detection=Edge.BOTH,
        bias=_PULLS[wanted.pull],
        debounce_period=timedelta(milliseconds=wanted.still_ms if still else 0),
        event_clock=Clock.MONOTONIC,
    )
