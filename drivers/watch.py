"""How long to wait for a device, and whether to ask it at all. Pure: no sleeping, no wire.

A dead device must not cost its neighbours their polls, and must be read again soon after it comes back:

- a device that answers is given the wire's whole timeout;
- one that answered before and fell silent is asked every period, but waited for only four times as long as its
  slowest usual answer. Every FULL_PROBE_S it is given the whole timeout, should it have become slow;
- one that never answered is asked like that too, and waited for as if it were the slowest of its neighbours; the
  whole timeout it is given at intervals that grow to a minute;
- all this asking in vain may take 5 % of the wire's time (`Credit`).
"""

from __future__ import annotations

import logging
import math

from gateway.model.errors import DriverError
from gateway.model.ports import DeviceHealth

SHORTEST_WAIT_S = 0.05
FULL_PROBE_S = 300.0
LONGEST_PAUSE_S = 60.0
SHORT_SHARE = 0.04
LONG_SHARE = 0.01
DOWN_AFTER = 2
"""Failures in a row after which a device counts as down. One lost answer is no event."""


class Silence:
    """The devices of one wire that do not answer. They share its budget in equal parts, so that none starves.
    slowest_s: the slowest answer that came on this wire."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.slowest_s = 0.0


class Credit:
    """What one silent device may spend of a wire's time. Spending may overdraw once."""

    def __init__(self, silence: Silence, share: float, start_s: float) -> None:
        self._silence = silence
        self._share = share
        self._start_s = start_s
        self._left_s = start_s
        self._at = -math.inf

    def allows(self, now: float) -> bool:
        earned_s = (now - self._at) * self._share / max(1, len(self._silence.names))
        self._left_s = min(self._start_s, self._left_s + earned_s)
        self._at = now
        return self._left_s > 0

    def spend(self, took_s: float) -> None:
        self._left_s -= took_s


class Watch:
    """The habits of one device. Times are seconds of the monotonic clock unless they say ms."""

    def __init__(self, name: str, *, timeout_s: float, every_s: float, silence: Silence, log: logging.Logger) -> None:
        self.health = DeviceHealth()
        self._name = name
        self._timeout_s = timeout_s
        self.every_s = every_s
        self._silence = silence
        # Short and long waits are paid for apart, so that one long wait does not stop the short ones for long.
        self._short = Credit(silence, SHORT_SHARE, timeout_s)
        self._long = Credit(silence, LONG_SHARE, timeout_s)
        self._log = log
        self._slowest_s = 0.0
        self._in_a_row = 0
        self._down_since: float | None = None
        self._long_at = 0.0
        self._pause_s = every_s
        self._paying: Credit | None = None

    @property
    def short_s(self) -> float:
        """Four times the slowest usual answer, at least 50 ms, at most the timeout."""
        usual_s = self._slowest_s or self._silence.slowest_s
        return min(max(4 * usual_s, SHORTEST_WAIT_S), self._timeout_s)

    def wait_s(self, now: float) -> float | None:
        """How long to wait for this device's next answer; None: leave it alone this time."""
        self._paying = None
        if self._in_a_row == 0:
            return self._timeout_s
        if now >= self._long_at and self._long.allows(now):
            self._paying = self._long
            return self._timeout_s
        if self._short.allows(now):
            self._paying = self._short
            return self.short_s
        return None

    def heard_late(self, now: float) -> None:
        """An answer came after its time: the device lives but is slow. The next wait is a whole one."""
        self._long_at = min(self._long_at, now)

    def answered(self, now: float, now_ms: int, took_s: float) -> None:
        health = self.health
        health.polls += 1
        health.last_seen_ms = now_ms
        health.answer_ms = took_s * 1000
        # The slowest answer fades, so that one hiccup does not make waiting dear for ever.
        self._slowest_s = max(took_s, self._slowest_s * 0.99)
        self._silence.slowest_s = max(self._slowest_s, self._silence.slowest_s * 0.999)
        if self._in_a_row or not health.online:
            self._came_back(now)

    def failed(self, now: float, error: DriverError, took_s: float) -> None:
        """It was asked and gave nothing usable."""
        self.health.polls += 1
        self.health.failures += 1
        self.health.why = error.code
        if self._paying is not None:
            self._paying.spend(took_s)
        self._in_a_row += 1
        self._silence.names.add(self._name)
        if self.health.last_seen_ms:
            if self._in_a_row == 1 or self._paying is self._long:
                self._long_at = now + FULL_PROBE_S
        elif self._paying is not self._short:
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._long_at = now + self._pause_s
        if self._in_a_row == DOWN_AFTER:
            self.health.online = False
            self._down_since = now
            self._log.warning("%s is down: %s", self._name, error)

    def _came_back(self, now: float) -> None:
        self.health.online = True
        self.health.why = ""
        self._in_a_row = 0
        self._pause_s = self.every_s
        self._silence.names.discard(self._name)
        if self._down_since is not None:
            self._log.warning("%s answers again after %.0f s", self._name, now - self._down_since)
            self._down_since = None
