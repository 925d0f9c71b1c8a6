"""Time is a parameter: every room gets a clock, so that tests run a day in milliseconds."""

from __future__ import annotations

import ctypes
import time
from typing import Protocol

_TIME_ERROR = 5  # adjtimex(2): the kernel's clock is not synchronised


class Clock(Protocol):
    def now_ms(self) -> int:
        """Wall time, ms since 1970 UTC. May step."""

    def monotonic(self) -> float:
        """Seconds that only ever grow; for durations and deadlines."""

    def synced(self) -> bool:
        """True when wall time can be believed."""


class SystemClock:
    """The machine's clock. `trusted` says that something outside the kernel keeps it right (a hypervisor)."""

    def __init__(self, *, trusted: bool = False) -> None:
        self._trusted = trusted
        self._checked_at = -1e9
        self._synced = trusted

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def synced(self) -> bool:
        if self._trusted:
            return True
        if self.monotonic() - self._checked_at > 10:
            self._checked_at = self.monotonic()
            self._synced = _kernel_says_synced()
        return self._synced


def _kernel_says_synced() -> bool:
    # struct timex is 208 bytes on 64-bit Linux; modes = 0 only reads.
    buffer = ctypes.create_string_buffer(512)
    state: int = ctypes.CDLL(None).adjtimex(buffer)
    return 0 <= state < _TIME_ERROR
