"""What leaves the gateway: one indicator of one signal over one window, or one reading as it came."""

from __future__ import annotations

from dataclasses import dataclass

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
    """

    signal: Signal
    start_ms: int | None
    end_ms: int
    value: Value | None
    quality: Quality
    reasons: tuple[Reason, ...] = ()
    parts: Parts | None = None

    @property
    def forwarded(self) -> bool:
        """Whether the centre gets it. Every signal has windows, for the history; `forward` decides what leaves."""
        return self.start_ms is None or self.signal.forward is not Forward.EVERY
