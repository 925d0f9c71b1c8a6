"""What a formula is: a pure function from committed windows over a span to one value that says how good it is.

Nothing derived is kept: a restart, a gap or a value that came late is answered by computing again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ConfigDict

from gateway.indicators.periods import Span
from gateway.model.folding import DOUBTS, fold
from gateway.model.indicator import Indicator, Parts
from gateway.model.limit import Threshold
from gateway.model.measure import Kind, Quality, Reason, Signal, Value


class Params(BaseModel):
    """What a site may tell a formula (`with:`). Formulas without any take this one."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


@dataclass(frozen=True)
class Track:
    """The committed windows of one signal that a formula may see, by their ends: from `Formula.back_s` before the span
    to its end. Of one length or of several; what came late lies beside what it completes."""

    signal: Signal
    windows: Sequence[Indicator]

    def over(self, span: Span, kind: Kind | None = None) -> Indicator:
        """One window over the span, folded as the signal's kind, or another one, says; missing where there is none."""
        signal = self.signal if kind is None else replace(self.signal, kind=kind)
        return fold(signal, self.within(span), span.start_ms, span.end_ms)

    def within(self, span: Span) -> list[Indicator]:
        """Its windows that lie in the span."""
        return [w for w in self.windows if (w.start_ms or 0) >= span.start_ms and w.end_ms <= span.end_ms]


@dataclass(frozen=True, slots=True)
class Role:
    """One input of a formula. `many`: any number of signals, else exactly one. `optional`: may be left out."""

    many: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Given:
    """What a formula gets. `thresholds`: what is in force at the end of the span for its first input (alarm levels)."""

    tracks: Mapping[str, Sequence[Track]]
    thresholds: Sequence[Threshold] = ()

    def one(self, role: str) -> Track | None:
        """The track of a role that takes one; None where an optional one was left out."""
        return next(iter(self.tracks.get(role, ())), None)

    def the(self, role: str) -> Track:
        """The track of a role that is not optional."""
        return self.tracks[role][0]

    def all(self, role: str) -> Sequence[Track]:
        return self.tracks.get(role, ())


@dataclass(frozen=True, slots=True)
class Result:
    """A derived value. `parts` lets the centre re-aggregate; for a rate they hold its numerator and denominator in
    `detail` instead. MISSING if and only if there is no value, and then there is a reason.

    Not `applies`: there is nothing to say of this span, as of the share of lamps that are lit by day. It is not even
    missing, and nothing is sent."""

    value: Value | None
    quality: Quality = Quality.GOOD
    reasons: tuple[Reason, ...] = ()
    parts: Parts | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    applies: bool = True

    @classmethod
    def nothing(cls) -> Result:
        """There is nothing to say of this span."""
        return cls(None, Quality.MISSING, (Reason.STALE,), applies=False)

    @classmethod
    def missing(cls, *windows: Indicator, reason: Reason = Reason.STALE, **detail: Any) -> Result:
        """No value: for the reasons of these windows, or for this one."""
        reasons = tuple(dict.fromkeys(r for window in windows for r in window.reasons)) or (reason,)
        return cls(None, Quality.MISSING, reasons, _counted(windows), detail)

    @classmethod
    def of(cls, value: Value | None, *windows: Indicator, **detail: Any) -> Result:
        """A value made of these windows: no better than the worst of them that had a value, and uncertain where one of
        them had none. Not a number, or infinite: missing."""
        if value is None or (isinstance(value, float) and value - value != 0):
            return cls.missing(*windows, **detail)
        reasons = tuple(dict.fromkeys(r for window in windows for r in window.reasons))
        good = all(window.quality is Quality.GOOD for window in windows)
        if not good and not reasons:
            reasons = (Reason.PARTIAL,)
        return cls(value, Quality.GOOD if good else Quality.UNCERTAIN, reasons, _counted(windows), detail)

    @classmethod
    def window(cls, window: Indicator, **detail: Any) -> Result:
        """A folded window as it is."""
        return cls(window.value, window.quality, window.reasons, window.parts, detail)


def _counted(windows: Sequence[Indicator]) -> Parts | None:
    """Readings used and expected, of all inputs together."""
    parts = [window.parts for window in windows if window.parts is not None]
    return Parts(sum(p.n for p in parts), sum(p.expected for p in parts)) if parts else None


Compute = Callable[[Span, Given, Any], Result]


@dataclass(frozen=True, slots=True)
class Formula:
    """`compute(span, given, params)` never waits, never raises for what was measured, and gives the same for the same.

    back_s    how much time before the span it must see (NowCast: 11 h before the hour; hysteresis: some hours)
    grain_s   the shortest windows it needs: 60 for what happens within minutes, 300, or 3600 for months. 0: it only
              folds, so the longest that fit into the span will do
    """

    name: str
    compute: Compute
    roles: Mapping[str, Role]
    params: type[Params] = Params
    back_s: int = 0
    grain_s: int = 60


def number(window: Indicator | None) -> float | None:
    """The value as a number; None where there is none, or a text."""
    if window is None or window.value is None or isinstance(window.value, str):
        return None
    return float(window.value)


def doubtful(window: Indicator) -> bool:
    """Made of readings that may not be right, not only of too few."""
    return not DOUBTS.isdisjoint(window.reasons)
