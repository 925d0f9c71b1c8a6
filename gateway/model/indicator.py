"""What leaves the gateway: one indicator of one signal over one window, or one reading as it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.model.limit import Verdict
from gateway.model.measure import Forward, Quality, Reason, Signal, Value


@dataclass(frozen=True, slots=True)
class Parts:
    """What a window is made of, so that windows can be folded again without averaging averages.

    `total`, `low`, `high`, `first`, `last` are None when no usable numeric reading came.
    """

    n: int
    expected: int
    total: float | None = None
    low: float | None = None
    high: float | None = None
    first: float | None = None
    last: float | None = None


@dataclass(frozen=True, slots=True)
class Indicator:
    """One record to be. `start_ms` is None for a single reading; `end_ms` is exclusive for a window.

    A window without usable readings has value None and quality MISSING: known to be empty.

    verdict    what came of its limit; None where there is no limit
    detail     what else is to be known of a derived value: plain JSON ({"dominant": "pm25"})
    revision   1, 2, ... when a window is said again because values came late; the later one wins
    """

    signal: Signal
    start_ms: int | None
    end_ms: int
    value: Value | None
    quality: Quality
    reasons: tuple[Reason, ...] = ()
    parts: Parts | None = None
    verdict: Verdict | None = None
    detail: Mapping[str, Any] | None = None
    revision: int = 0

    @property
    def is_late(self) -> bool:
        """Of readings that came after their window was closed."""
        return Reason.REPLAYED in self.reasons

    @property
    def forwarded(self) -> bool:
        """Whether the centre gets it. Every signal has windows, for the history; `forward` decides what leaves. A
        window of late readings is for the history only: the readings themselves were sent."""
        if self.start_ms is None:
            return True
        return self.signal.forward in (Forward.WINDOWS, Forward.BOTH) and not self.is_late
