"""Counted events against true ones, one by one: totals alone forgive a miss that a phantom makes up for."""

from __future__ import annotations

from collections.abc import Sequence

Event = tuple[float, str]  # seconds of video, way


def matched(true: Sequence[Event], counted: Sequence[Event], *, within_s: float, late_s: float = 0.0) -> int:
    """How many true events have a counted one of their own, of the same way and at most `within_s` away.
    `late_s` shifts the truth: a truth by box centres comes before a count by feet when things drive up."""
    left = sorted(counted)
    hits = 0
    for at_s, way in sorted(true):
        near = [event for event in left if event[1] == way and abs(event[0] - at_s - late_s) <= within_s]
        if near:
            left.remove(near[0])
            hits += 1
    return hits
