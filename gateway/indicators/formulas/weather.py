"""Weather: the mean wind, as a vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import atan2, cos, degrees, hypot, radians, sin
from typing import Any, Final, NamedTuple

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role
from gateway.indicators.formulas.slices import base_s, complete_number, judged, pieces
from gateway.indicators.periods import Span
from gateway.model.indicator import Indicator
from gateway.model.measure import Kind

TO_MS: Final = {"m/s": 1.0, "km/h": 1 / 3.6}


class WindParams(Params):
    calm_ms: float = Field(
        0.3, ge=0, description="Below this mean speed in m/s it is calm and has no direction; Beaufort 0 ends at 0.3."
    )


class Wind(NamedTuple):
    """`direction`: where it comes from, 0 < d <= 360, north is 360; 0 when calm, as weather services write it.
    `u`, `v`: sums of the parts towards east and north in m/s; they add up. `scalar`: mean of the speeds."""

    speed: float
    direction: float
    u: float
    v: float
    n: int
    scalar: float


def vector_mean(pairs: Sequence[tuple[float, float]], calm_ms: float = 0.3) -> Wind | None:
    """The mean of winds (speed in m/s, direction in degrees it comes from). None of nothing. Winds that cancel each
    other out are calm in the mean."""
    if not pairs:
        return None
    n = len(pairs)
    u = -sum(speed * sin(radians(direction)) for speed, direction in pairs)
    v = -sum(speed * cos(radians(direction)) for speed, direction in pairs)
    speed = hypot(u, v) / n
    direction = 0.0 if speed < calm_ms or speed == 0 else (degrees(atan2(-u, -v)) % 360 or 360.0)
    return Wind(speed, direction, u, v, n, sum(s for s, _ in pairs) / n)


@dataclass(frozen=True, slots=True)
class _Paired:
    wind: Wind | None
    used: list[Indicator]
    seen: list[Indicator]

    def result(self, of: str, params: WindParams) -> Result:
        wind = self.wind
        if wind is None:
            return judged(None, (), self.seen)
        detail: dict[str, Any] = {
            "u_sum": wind.u,
            "v_sum": wind.v,
            "n": wind.n,
            "vector_speed": wind.speed,
            "scalar_speed": wind.scalar,
            "direction": wind.direction,
            "calm": wind.speed < params.calm_ms,
        }
        return judged(wind.speed if of == "speed" else wind.direction, self.used, self.seen, **detail)


def _paired(span: Span, given: Given, params: WindParams) -> _Paired:
    """Speed and direction of the same minutes; what has only one of them is left out. A direction within a minute is
    its last one: its arithmetic mean would be wrong around north."""
    speeds, directions = given.the("speed"), given.the("direction")
    factor = TO_MS.get(speeds.signal.unit, 1.0)
    last = replace(directions, signal=replace(directions.signal, kind=Kind.LAST))
    length_s = base_s(speeds, directions)
    pairs: list[tuple[float, float]] = []
    used: list[Indicator] = []
    seen: list[Indicator] = []
    for one, other in zip(pieces(speeds, span, length_s), pieces(last, span, length_s), strict=True):
        seen += (one, other)
        speed, direction = complete_number(one, 0.0), complete_number(other, 0.0)
        if speed is not None and direction is not None and speed >= 0:
            pairs.append((speed * factor, direction))
            used += (one, other)
    return _Paired(vector_mean(pairs, params.calm_ms), used, seen)


def _speed(span: Span, given: Given, params: WindParams) -> Result:
    return _paired(span, given, params).result("speed", params)


def _direction(span: Span, given: Given, params: WindParams) -> Result:
    return _paired(span, given, params).result("direction", params)


_ROLES: Final = {"speed": Role(), "direction": Role()}
FORMULAS: Final = (
    Formula("wind_speed", _speed, _ROLES, WindParams),
    Formula("wind_direction", _direction, _ROLES, WindParams),
)
