"""A camera whose counts are written down: it gives the signals of the real driver, without a picture or a process.

A child process does not live in a test's own time, so a site that is played in warped time has its cameras from here.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from drivers.simulate.scenario import Seconds
from gateway.model.clock import Clock
from gateway.model.errors import DriverError
from gateway.model.measure import Reading, Reason, Signal
from gateway.model.ports import DeviceHealth
from vision.driver import camera_signals
from vision.settings import CameraSettings

UPTIME = "gw.camera_uptime"


class Scene(BaseModel):
    """What is seen from a moment on, until the next scene. A line, class and way that is not named has none.

    counts: how many an hour cross, by signal without the camera's name: {"l1/car/up": 600}. They come evenly.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Seconds = Field(description="From when on, from the start: 30min.")
    counts: Mapping[str, float] = Field(default_factory=dict)
    blind: bool = Field(False, description="Nothing is seen: the view is covered.")


class ScriptedCamera:
    """gateway.model.ports.Driver. Scenes begin when the camera is made, not when it is entered."""

    def __init__(self, name: str, settings: CameraSettings, clock: Clock, scenes: Sequence[Scene]) -> None:
        self._name = name
        self._every_s = settings.every_s
        self._clock = clock
        self._scenes = sorted(scenes, key=lambda scene: scene.at)
        self._signals = camera_signals(name, settings)
        self._health = DeviceHealth()
        self._began = clock.monotonic()
        self._inside = False
        known = {signal.id.removeprefix(f"{name}/") for signal in self._counted()}
        unknown = {key for scene in scenes for key in scene.counts} - known
        if unknown:
            raise ValueError(f"{name} does not count {sorted(unknown)}; there are {sorted(known)}")

    @property
    def name(self) -> str:
        return self._name

    @property
    def signals(self) -> Sequence[Signal]:
        return self._signals

    async def __aenter__(self) -> Self:
        self._inside = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._inside = self._health.online = False

    async def batches(self) -> AsyncGenerator[Sequence[Reading], None]:
        """One batch a report, as the real camera's."""
        if not self._inside:
            raise DriverError("the camera was not entered", where=self._name)
        told_s = due_s = self._clock.monotonic()
        while True:
            due_s += self._every_s
            await asyncio.sleep(max(0.0, due_s - self._clock.monotonic()))
            now_s = self._clock.monotonic()
            yield self._batch(told_s - self._began, now_s - self._began)
            told_s = now_s

    def health(self) -> dict[str, DeviceHealth]:
        return {self._name: self._health}

    def _counted(self) -> list[Signal]:
        return [signal for signal in self._signals if signal.indicator != UPTIME]

    def _batch(self, from_s: float, to_s: float) -> list[Reading]:
        now_ms = self._clock.now_ms()
        scene = self._scene(to_s)
        sees = scene is None or not scene.blind
        self._health.polls += 1
        self._health.online = sees
        if sees:
            self._health.last_seen_ms = now_ms
        return [
            Reading(signal.id, now_ms, 1.0 if sees else 0.0)
            if signal.indicator == UPTIME
            else Reading(signal.id, now_ms, self._total(signal, to_s) - self._total(signal, from_s))
            if sees
            else Reading.missing(signal.id, now_ms, Reason.OBSCURED_VIEW)
            for signal in self._signals
        ]

    def _scene(self, at_s: float) -> Scene | None:
        return next((scene for scene in reversed(self._scenes) if scene.at < at_s), None)

    def _total(self, signal: Signal, until_s: float) -> int:
        """How many have crossed since the beginning; a crossing is counted in the report that sees its whole."""
        key = signal.id.removeprefix(f"{self._name}/")
        total = 0.0
        for number, scene in enumerate(self._scenes):
            end = self._scenes[number + 1].at if number + 1 < len(self._scenes) else math.inf
            total += scene.counts.get(key, 0.0) * max(0.0, min(end, until_s) - scene.at) / 3600
        return math.floor(total + 1e-6)
