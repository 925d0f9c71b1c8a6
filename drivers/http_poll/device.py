"""One device that is asked over HTTP: a poll of all its requests, one look at a point."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.http_poll.host import Host
from drivers.json_values import fields
from drivers.link import Link
from drivers.once import PointRead
from drivers.profiles import JsonPoint
from drivers.watch import Watch
from gateway.model.clock import Clock
from gateway.model.errors import BadFrame, DeviceRefused, DriverError, NoAnswer
from gateway.model.measure import Reading, Reason, Value

_REASONS: Final[Mapping[type[DriverError], Reason]] = {
    NoAnswer: Reason.NO_ANSWER,
    BadFrame: Reason.BAD_FRAME,
    DeviceRefused: Reason.DEVICE_REFUSED,
}

Found = Mapping[str, tuple[str, Value | None]]
"""Point -> the JSON at its place, and the value it means."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What the devices of one wire share."""

    host: Host
    link: Link
    clock: Clock
    timeout_s: float
    log: logging.Logger


class HttpDevice:
    """`urls`: request of the profile -> what to GET."""

    def __init__(
        self, name: str, points: Mapping[str, JsonPoint], urls: Mapping[str, str], wire: Wire, watch: Watch
    ) -> None:
        self.watch = watch
        self._name = name
        self._points = points
        self._wire = wire
        self._urls = {source: url for source, url in urls.items() if any(p.source == source for p in points.values())}
        self._refused: set[str] = set()
        self._why = Reason.NO_ANSWER

    @property
    def every_s(self) -> float:
        return self.watch.every_s

    async def poll(self) -> Sequence[Reading]:
        """Every point exactly once. The first silence ends the poll: a device costs its wire at most one waiting
        time a period. Raises LinkDown only."""
        clock, watch = self._wire.clock, self.watch
        began = clock.monotonic()
        wait_s = watch.wait_s(began)
        readings: list[Reading] = []
        failed: DriverError | None = None
        slowest_s = -1.0
        for source in self._urls:
            if wait_s is None or isinstance(failed, NoAnswer):
                readings += self._missing(source, self._why)
                continue
            try:
                found, took_s = await self._ask(source, wait_s)
            except DeviceRefused as refused:
                self._note_refusal(source, refused)
                slowest_s = max(slowest_s, 0.0)
                readings += self._missing(source, Reason.DEVICE_REFUSED)
            except (NoAnswer, BadFrame) as error:
                failed, self._why = error, _REASONS[type(error)]
                readings += self._missing(source, self._why)
            else:
                slowest_s = max(slowest_s, took_s)
                readings += self._readings(source, found)
        now = clock.monotonic()
        if slowest_s >= 0:
            watch.answered(now, clock.now_ms(), slowest_s)
        elif failed is not None:
            watch.failed(now, failed, now - began)
        return readings

    async def _ask(self, source: str, wait_s: float, *, urgent: bool = False) -> tuple[Found, float]:
        """What came, and how long it took, in seconds."""
        wire = self._wire
        async with wire.link.turn(urgent=urgent):
            began = wire.clock.monotonic()
            body = await wire.host.get(self._urls[source], wait_s)
            took_s = wire.clock.monotonic() - began
        found = fields(self._points, source, body)
        if source in self._refused:
            self._refused.discard(source)
            wire.log.warning("%s: %s is read again", self._name, source)
        return found, took_s

    def _note_refusal(self, source: str, refused: DeviceRefused) -> None:
        if source not in self._refused:
            self._refused.add(source)
            self._wire.log.warning("%s: %s cannot be read: %s", self._name, source, refused)

    def _of(self, source: str) -> list[str]:
        return [name for name, point in self._points.items() if point.source == source]

    def _missing(self, source: str, reason: Reason) -> list[Reading]:
        at_ms = self._wire.clock.now_ms()
        return [Reading.missing(f"{self._name}/{name}", at_ms, reason) for name in self._of(source)]

    def _readings(self, source: str, found: Found) -> list[Reading]:
        at_ms = self._wire.clock.now_ms()
        return [self._reading(name, found, at_ms) for name in self._of(source)]

    def _reading(self, name: str, found: Found, at_ms: int) -> Reading:
        signal, value = f"{self._name}/{name}", found.get(name, ("", None))[1]
        return Reading.missing(signal, at_ms, Reason.DEVICE_FAULT) if value is None else Reading(signal, at_ms, value)

    async def look(self, names: Sequence[str]) -> list[PointRead]:
        """Reads some points once, before the next poll. A failure is part of the answer; raises LinkDown."""
        rows: dict[str, PointRead] = {}
        for source in dict.fromkeys(self._points[name].source for name in names):
            rows.update({row.point: row for row in await self._look(source)})
        return [rows[name] for name in names]

    async def _look(self, source: str) -> list[PointRead]:
        clock = self._wire.clock
        began = clock.monotonic()
        try:
            found, took_s = await self._ask(source, self._wire.timeout_s, urgent=True)
        except (NoAnswer, BadFrame, DeviceRefused) as error:
            took_ms = (clock.monotonic() - began) * 1000
            missing = zip(self._of(source), self._missing(source, _REASONS[type(error)]), strict=True)
            return [PointRead(name, "", r, self._points[name].unit, took_ms, str(error)) for name, r in missing]
        at_ms = clock.now_ms()
        return [
            PointRead(
                name,
                found.get(name, ("", None))[0],
                self._reading(name, found, at_ms),
                self._points[name].unit,
                took_s * 1000,
                "" if name in found else f"nothing stands at {self._points[name].pointer!r}",
            )
            for name in self._of(source)
        ]
