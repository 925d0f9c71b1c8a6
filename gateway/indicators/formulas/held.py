"""How long a value stands: what is said now and then (a space taken, a pump running) read as a course of time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.indicators.formula import Track
from gateway.indicators.periods import Span
from gateway.model.indicator import Indicator

_TWICE = 2
"""So many expected intervals a value stands without a new one. Our proposal: one lost message is not the end of it."""


class Held(NamedTuple):
    """A window that has a value, and the part of the span that the value stands for."""

    start_ms: int
    end_ms: int
    window: Indicator

    @property
    def minutes(self) -> float:
        return (self.end_ms - self.start_ms) / 60_000


def held(track: Track, span: Span, hold_s: float | None = None) -> list[Held]:
    """The values of a track with the time in the span they stand for, in order and without overlap.

    A value stands for its window. Where the signal is read less often than its windows are long, it stands on until
    the next value, for at most `hold_s` after it was said (twice the expected interval if not told). The time in
    between is in no entry: nothing is known of it. What was said before the span may stand into it.
    """
    windows = sorted((w for w in track.windows if w.value is not None), key=lambda w: (w.start_ms or 0, w.end_ms))
    found = []
    for i, window in enumerate(windows):
        start = window.start_ms or 0
        end = window.end_ms
        stands_s = _TWICE * track.signal.every_s if hold_s is None else hold_s
        if hold_s is not None or track.signal.every_s * 1000 > end - start:
            end = max(end, start + round(stands_s * 1000))
        if i + 1 < len(windows):
            end = min(end, windows[i + 1].start_ms or 0)
        start, end = max(start, span.start_ms), min(end, span.end_ms)
        if start < end:
            found.append(Held(start, end, window))
    return found


def middle(window: Indicator) -> float | None:
    """The mean of a window's readings, of whatever kind; for 0/1 the share of 1. Waves and flicker do not show."""
    parts = window.parts
    if parts is None or parts.total is None or not parts.n:
        return None
    return parts.total / parts.n


def minutes_where(courses: Sequence[Held], holds: Callable[[float], bool]) -> float:
    """Minutes whose mean value is so."""
    means = ((course, middle(course.window)) for course in courses)
    return sum(course.minutes for course, mean in means if mean is not None and holds(mean))


def minutes_on(courses: Sequence[Held]) -> float:
    """Minutes of a 0/1 signal that were 1: a window that was half on counts half."""
    means = ((course, middle(course.window)) for course in courses)
    return sum(course.minutes * min(1.0, max(0.0, mean)) for course, mean in means if mean is not None)


def known_minutes(courses: Sequence[Held]) -> float:
    """Minutes of which anything is known."""
    return sum(course.minutes for course in courses)
