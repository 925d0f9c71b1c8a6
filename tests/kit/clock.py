"""A clock that moves when it is told to."""

from __future__ import annotations


class ManualClock:
    """Wall and monotonic time, both set by hand."""

    def __init__(self, now_ms: int = 1_795_322_220_000, *, synced: bool = True) -> None:
        self._now_ms = now_ms
        self._monotonic = 1000.0
        self.is_synced = synced

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._monotonic

    def synced(self) -> bool:
        return self.is_synced

    def advance(self, seconds: float) -> None:
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """The wall clock alone jumps, as when it is set."""
        self._now_ms += round(seconds * 1000)
