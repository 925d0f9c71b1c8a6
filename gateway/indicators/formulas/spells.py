"""Minute by minute: in which minutes of a span something was so, in which it was not, and in which nobody looked. Pure.

A minute is a number (the share of it in which it was so) or None: nothing is known of it. That nobody was seen and
that nobody looked are two things, and stay two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from gateway.indicators.formula import Params, Result, Track
from gateway.indicators.formulas.held import held, middle
from gateway.indicators.periods import DAY_S, Span, clock_s, local
from gateway.model.folding import COMPLETE_SHARE, DOUBTS
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Quality, Reason

MINUTE_MS = 60_000
Minutes = Sequence[float | None]
Share = Callable[[Indicator], float | None]


def _time_of_day(text: str) -> str:
    clock_s(text)
    return text


TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]


class Hours(Params):
    """The hours in which something may be. An end before the beginning is on the next day; equal: round the clock."""

    opens: TimeOfDay = Field("06:00", description='Local time at which they begin: "18:00". Our proposal.')
    closes: TimeOfDay = Field(
        "22:00", description='Local time at which they end; "02:00" is on the next day. Our proposal.'
    )
    days: tuple[Annotated[int, Field(ge=1, le=7)], ...] = Field(
        (1, 2, 3, 4, 5, 6, 7), description="Days of the week on which they begin: 1 is Monday, 7 is Sunday."
    )

    def hold(self, at_ms: int) -> bool:
        """Whether this moment lies in them."""
        now = local(at_ms)
        at, day = now.hour * 3600 + now.minute * 60 + now.second, now.isoweekday()
        opens, closes = clock_s(self.opens), clock_s(self.closes)
        if opens == closes % DAY_S:
            return day in self.days
        if opens < closes:
            return opens <= at < closes and day in self.days
        yesterday = (day - 2) % 7 + 1
        return (at >= opens and day in self.days) or (at < closes and yesterday in self.days)


def course(track: Track, span: Span, share: Share) -> list[float | None]:
    """The minutes of a span, each the mean of what `share` says of the windows that stand for it."""
    count = max(1, round(span.length_s / 60))
    weighed, seen = [0.0] * count, [0] * count
    for start_ms, end_ms, window in held(track, span):
        found = share(window)
        if found is None:
            continue
        first, last = (start_ms - span.start_ms) // MINUTE_MS, (end_ms - 1 - span.start_ms) // MINUTE_MS
        for i in range(first, min(last, count - 1) + 1):
            begins = span.start_ms + i * MINUTE_MS
            overlap = min(end_ms, begins + MINUTE_MS) - max(start_ms, begins)
            weighed[i] += found * overlap
            seen[i] += overlap
    return [total / ms if ms else None for total, ms in zip(weighed, seen, strict=True)]


def on(window: Indicator) -> float | None:
    """The share of a 0/1 signal's window that was 1."""
    mean = middle(window)
    return None if mean is None else min(1.0, max(0.0, mean))


def off(window: Indicator) -> float | None:
    """The share of a 0/1 signal's window that was 0."""
    share = on(window)
    return None if share is None else 1.0 - share


def height(window: Indicator) -> float | None:
    """The mean of a window's readings; of passages and counters how many a minute."""
    if window.signal.kind not in (Kind.SUM, Kind.DELTA, Kind.COUNT):
        return middle(window)
    if window.value is None or isinstance(window.value, str) or window.start_ms is None:
        return None
    return float(window.value) * MINUTE_MS / max(1, window.end_ms - window.start_ms)


def above(level: float) -> Share:
    """1 where the height is above this level, 0 where it is not."""

    def share(window: Indicator) -> float | None:
        found = height(window)
        return None if found is None else float(found > level)

    return share


def any_of(courses: Iterable[Minutes]) -> list[float | None]:
    """So where any of them is so; not so only where all of them were looked at and none was."""
    return [_either(minute) for minute in zip(*courses, strict=True)]


def _either(minute: Sequence[float | None]) -> float | None:
    most = max((share for share in minute if share is not None), default=None)
    return None if not most and None in minute else most


def runs(minutes: Minutes, at_least: int) -> list[float | None]:
    """Only what lasted so many minutes in a row; shorter runs become 0. A minute nobody looked at ends a run."""
    kept = list(minutes)
    begin = 0
    for i in range(len(minutes) + 1):
        if i < len(minutes) and minutes[i]:
            continue
        if i - begin < at_least:
            kept[begin:i] = [0.0] * (i - begin)
        begin = i + 1
    return kept


def occurrences(amounts: Minutes, needed: float, quiet_min: int) -> list[int]:
    """The minutes in which an event came to be: when what was seen of it adds up to `needed`. It is over after so many
    minutes in which someone looked and saw nothing; minutes in which nobody looked do not end it."""
    found = []
    seen, quiet, is_open = 0.0, 0, False
    for i, amount in enumerate(amounts):
        if amount is None:
            continue
        if not amount:
            quiet += 1
            if quiet >= quiet_min:
                seen, is_open = 0.0, False
            continue
        seen, quiet = seen + amount, 0
        if seen >= needed and not is_open:
            is_open = True
            found.append(i)
    return found


@dataclass(frozen=True, slots=True)
class Spent:
    """Minutes in which it was so, of those that were looked at, of those that were asked for."""

    minutes: float
    known: int
    asked: int


def spent(minutes: Minutes, asked: Sequence[bool] | None = None) -> Spent:
    """How long it was so, in the minutes that are asked for, or in all."""
    chosen = minutes if asked is None else [m for m, is_asked in zip(minutes, asked, strict=True) if is_asked]
    known = [m for m in chosen if m is not None]
    return Spent(sum(known), len(known), len(chosen))


def told(value: float, time: Spent, tracks: Iterable[Track], span: Span, **detail: Any) -> Result:
    """A value of minutes. Missing where none of them was looked at; partial below 75 %: then it is at least so much.
    Where no minute was asked for (open round the clock) it is as said."""
    detail = {**detail, "known_min": time.known, "unseen_min": time.asked - time.known}
    if not time.asked:
        return Result(value, detail=detail)
    reasons = dict.fromkeys(r for track in tracks for window in track.within(span) for r in window.reasons)
    reasons.pop(Reason.PARTIAL, None)
    parts = Parts(time.known, time.asked)
    if not time.known:
        return Result(None, Quality.MISSING, tuple(reasons) or (Reason.STALE,), parts, detail)
    if time.known < COMPLETE_SHARE * time.asked:
        reasons[Reason.PARTIAL] = None
    doubtful = Reason.PARTIAL in reasons or not DOUBTS.isdisjoint(reasons)
    return Result(value, Quality.UNCERTAIN if doubtful else Quality.GOOD, tuple(reasons), parts, detail)


def incomplete(result: Result, *, when: bool) -> Result:
    """The same, said to be partial: a sum or a count in which one of its inputs is lacking is too small."""
    if not when or result.value is None:
        return result
    reasons = tuple(dict.fromkeys((*result.reasons, Reason.PARTIAL)))
    return Result(result.value, Quality.UNCERTAIN, reasons, result.parts, result.detail)
