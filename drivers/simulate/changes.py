"""What a scenario makes of a point's value. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.profiles import Point
from drivers.simulate.scenario import Effect
from gateway.model.measure import Value


@dataclass(frozen=True, slots=True)
class Change:
    """An effect on one point since a moment. `start`: what the point said then; `since_s`: on the monotonic clock;
    `speed`: how many seconds of the scenario pass in one."""

    effect: Effect
    start: Value
    since_s: float
    speed: float = 1.0

    def age_s(self, now_s: float) -> float:
        """How long it has lasted, in seconds of the scenario."""
        return max(0.0, now_s - self.since_s) * self.speed

    def of(self, value: Value, age_s: float, chance: float) -> Value:
        """What becomes of a value. `chance`: -1 to 1, another one for every moment. Texts and contacts know no more
        and less: they are only held or set."""
        effect = self.effect
        if effect.set is not None:
            return effect.set
        if effect.hold:
            return self.start
        if effect.ignore_writes or isinstance(value, bool | str):
            return value
        if effect.factor is not None:
            return value * effect.factor
        return value + self._more(value, age_s, chance)

    def _more(self, value: float, age_s: float, chance: float) -> float:
        effect = self.effect
        if effect.ramp is not None:
            share = min(1.0, age_s / effect.ramp.over) if effect.ramp.over > 0 else 1.0
            if effect.ramp.to is None:
                return share * (effect.ramp.by or 0.0)
            begun = self.start if not isinstance(self.start, str) else value
            return begun + share * (effect.ramp.to - begun) - value
        if effect.spike is not None:
            return effect.spike
        if effect.noise is not None:
            return effect.noise * chance
        return (effect.drift_per_hour or 0.0) * age_s / 3600


def fits(effect: Effect, point: Point) -> bool:
    """Whether a point can do that at all: a contact does not rise, and only what is written can ignore a write."""
    if effect.ignore_writes:
        return point.writable
    if effect.hold:
        return True
    if effect.set is None:
        return not point.is_bool and not point.is_text
    if isinstance(effect.set, str):
        return point.is_text
    return isinstance(effect.set, bool) == point.is_bool and not point.is_text
