"""Limits: what a value is held against, where the number comes from, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_LOCAL_S: Final = 7 * 3600
"""Local time is UTC+7 all year."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What is to be kept, and by which rule. `over_s`: length of the means that are compared, 0 = single readings."""

    op: str
    value: float
    over_s: int
    basis: str
    clause: str
    profile: str
    permit: str = ""

    def deviation(self, value: float) -> float:
        """How far a value is on the wrong side, as a share of the limit: 0.085 is 8.5 % too bad, negative is room
        left. Where the limit is 0, the difference itself."""
        off = value - self.value if self.op in ("<", "<=") else self.value - value
        return off / abs(self.value) if self.value else off

    def is_met(self, value: float) -> bool:
        match self.op:
            case "<=":
                return value <= self.value
            case "<":
                return value < self.value
            case ">=":
                return value >= self.value
            case ">":
                return value > self.value
        raise ValueError(f"{self.op!r} compares nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A limit as it applies to one signal, with what an alarm needs.

    id            unique in the site: "qcvn-05-2023/air.pm25/24h"
    limit         what is to be kept; `limit.value` is the first of `levels`
    levels        from mild to severe in the direction of the limit's wrong side; level 1 begins beyond the first
    hysteresis    so far back on the right side a level must be left, in the signal's unit
    hold_s        so long a level must be there before it is said; clear_s: so long it must be gone
    confirmed     False: the number comes from memory or is unsure. It judges nothing and raises no alarm until an
                  operator confirms it in the site file; the verdict is UNKNOWN
    alarm         whether crossing raises an alarm; violation: whether it goes into the violation journal
    from_ms, to_ms  in force within [from, to); None: no bound
    daily         in force only at these hours, seconds since local midnight (UTC+7): [from, to), over midnight where
                  from is later than to. None: all day
    """

    id: str
    limit: Limit
    levels: tuple[float, ...]
    hysteresis: float = 0.0
    hold_s: float = 0.0
    clear_s: float = 0.0
    confirmed: bool = True
    alarm: bool = True
    violation: bool = False
    from_ms: int | None = None
    to_ms: int | None = None
    text_en: str = ""
    text_vi: str = ""
    communes: tuple[str, ...] = ()
    daily: tuple[int, int] | None = None

    def in_force(self, at_ms: int) -> bool:
        """At this moment. Of a window, ask for its last millisecond: the day that ends with the year is of the old
        year."""
        dated = (self.from_ms is None or self.from_ms <= at_ms) and (self.to_ms is None or at_ms < self.to_ms)
        return dated and (self.daily is None or _within(self.daily, at_ms))


def _within(daily: tuple[int, int], at_ms: int) -> bool:
    now_s, (from_s, to_s) = (at_ms // 1000 + _LOCAL_S) % 86_400, daily
    return from_s <= now_s < to_s if from_s < to_s else not to_s <= now_s < from_s


class LimitStatus(StrEnum):
    """UNKNOWN: no value, too few readings, or a limit that nobody has confirmed. Never to be read as met."""

    MET = "met"
    UNMET = "unmet"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of holding a value against a limit. `deviation`: see `Limit.deviation`; None when unknown."""

    status: LimitStatus
    limit: Limit
    deviation: float | None = None
