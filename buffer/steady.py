"""Whether wall time may be trusted with deleting what is old."""

from __future__ import annotations

from gateway.model.clock import Clock

JUMP_MS = 60_000
CALM_S = 3600.0


class Steady:
    """A clock that is not set, or jumped within the hour, makes young things look old: nothing may go by it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ms = self._offset()
        self._calm_from = clock.monotonic() if clock.synced() else float("inf")

    def __call__(self) -> bool:
        """To be asked every minute or so: a jump is seen by comparing with the last time."""
        offset_ms, before_ms = self._offset(), self._offset_ms
        self._offset_ms = offset_ms
        now = self._clock.monotonic()
        if not self._clock.synced():
            self._calm_from = float("inf")
        elif self._calm_from == float("inf") or abs(offset_ms - before_ms) > JUMP_MS:
            self._calm_from = now + CALM_S
        return now >= self._calm_from

    def _offset(self) -> float:
        return self._clock.now_ms() - self._clock.monotonic() * 1000
