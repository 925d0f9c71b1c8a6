"""A scenario at work on a running simulation: what it works on, and what happens when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice

from drivers.profiles import AnyProfile
from drivers.settings import DeviceSettings
from drivers.simulate import Simulation
from drivers.simulate.changes import Change, fits
from drivers.simulate.far_end import Fault
from drivers.simulate.scenario import Effect, On, Scenario, Step
from gateway.model.clock import Clock


def targets(
    step: Step, kinds: Mapping[str, str], devices: Mapping[str, tuple[DeviceSettings, AnyProfile]]
) -> tuple[str, ...]:
    """Names of what a step works on at a site: points ("device/point"), devices or wires, in the site's order.

    kinds: the kind of each wire. Empty when the site has nothing of the sort.
    """
    on = step.on
    wires = [w for w, kind in kinds.items() if _is(w, on.wires) and (on.kinds is None or kind in on.kinds)]
    if on.level == "wires":
        return tuple(wires[: on.at_most])
    there = [device for device, (its, _) in devices.items() if its.wire in wires and _is(device, on.devices)]
    if on.level == "devices":
        return tuple(there[: on.at_most])
    return tuple(islice(_points(on, step.do, {device: devices[device][1] for device in there}), on.at_most))


def _points(on: On, effect: Effect, profiles: Mapping[str, AnyProfile]) -> Iterator[str]:
    for device, profile in profiles.items():
        points = {
            name: point
            for name, point in profile.points_by_name().items()
            if _is(f"{device}/{name}", on.points) and _is(point.indicator, on.indicator) and fits(effect, point)
        }
        for name, point in points.items():
            # What only follows another of them goes with it: twice would be too much.
            if point.simulate is None or not points.keys() & point.simulate.follows.keys():
                yield f"{device}/{name}"


def _is(name: str, pattern: str | None) -> bool:
    return pattern is None or fnmatchcase(name, pattern)


@dataclass(frozen=True, slots=True)
class Cue:
    """A moment of a scenario: a step begins or ends. at_s: seconds of the scenario from its start."""

    at_s: float
    step: Step
    begins: bool
    targets: tuple[str, ...]


class Performance:
    """One scenario on one simulation. `speed`: how many seconds of the scenario pass in one."""

    def __init__(self, scenario: Scenario, simulation: Simulation, clock: Clock, *, speed: float = 1.0) -> None:
        self.scenario = scenario
        self._simulation = simulation
        self._clock = clock
        self._speed = speed
        self._active: list[Cue] = []
        self._changes: dict[tuple[int, str], Change] = {}
        self._pulled: set[str] = set()
        devices = {name: (device.settings, device.profile) for name, device in simulation.devices.items()}
        found = [(step, targets(step, simulation.kinds, devices)) for step in scenario.steps]
        self.cues: Sequence[Cue] = sorted(
            [
                *(Cue(step.at, step, True, names) for step, names in found),
                *(Cue(step.at + step.lasts, step, False, names) for step, names in found if step.lasts is not None),
            ],
            key=lambda cue: (cue.at_s, cue.begins),
        )

    async def run(self, tell: Callable[[Cue], None]) -> None:
        """Performs every cue at its time, tells of it, and returns after the last one; what has no end stays.

        Raises LinkDown when a plug cannot be put back.
        """
        began = self._clock.monotonic()
        for cue in self.cues:
            at = began + cue.at_s / self._speed
            await asyncio.sleep(max(0.0, at - self._clock.monotonic()))
            await self.perform(cue, at)
            tell(cue)

    async def perform(self, cue: Cue, at: float | None = None) -> None:
        """Makes it so. `at`: when it was to happen on the monotonic clock, now if left out."""
        if cue.begins:
            self._active.append(cue)
        else:
            self._active = [other for other in self._active if other.step is not cue.step]
        for name in cue.targets:
            if cue.step.on.level == "points":
                self._change(cue, name, at)
            elif cue.step.on.level == "devices":
                self._simulation.devices[name].fault = self._fault(name, "devices")
            else:
                await self._at_wire(name)

    def _change(self, cue: Cue, name: str, at: float | None) -> None:
        device, _, point = name.rpartition("/")
        world, key = self._simulation.devices[device].world, (id(cue.step), name)
        if cue.begins:
            self._changes[key] = world.change(point, cue.step.do, since_s=at, speed=self._speed)
        else:
            world.restore(point, self._changes.pop(key))

    def _fault(self, name: str, level: str) -> Fault:
        """Everything that is wrong there now, of all steps under way."""
        fault = Fault()
        for cue in self._active:
            if cue.step.on.level == level and name in cue.targets:
                effect = cue.step.do
                fault.silent |= effect.silent
                fault.garbage |= effect.garbage
                fault.delay_s = effect.delay or fault.delay_s
                fault.refuse = effect.refuse or fault.refuse
                fault.noise = effect.bit_errors or fault.noise
        return fault

    async def _at_wire(self, name: str) -> None:
        end = self._simulation.wires[name]
        pulled = any(cue.step.do.unplug and name in cue.targets for cue in self._active)
        end.fault = self._fault(name, "wires")
        if pulled and name not in self._pulled:
            self._pulled.add(name)
            await end.unplug()
        elif not pulled and name in self._pulled:
            await end.plug()
            self._pulled.discard(name)
