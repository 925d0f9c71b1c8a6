"""Periods: when a span of time ends that an indicator stands for. Local time is UTC+7, all year. Pure.

1m 5m 10m 15m 30m 1h 3h 8h 24h 30d   of that length; they end at multiples of it, or as often as `every` says
day          midnight to midnight; also the AQI day, whose hours are labelled 01:00 to 24:00 by their ends
rain_day     07:00 to 07:00;  rain_day_19: 19:00 to 19:00
night        noon to noon, so that a night of light is in one piece
month, year  to date: from its beginning to each midnight, and to its end
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

LOCAL: Final = timezone(timedelta(hours=7), "+07")
"""Viet Nam has one time zone and no summer time."""
DAY_S: Final = 86_400
_LOCAL_S: Final = 7 * 3600
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": DAY_S}
_LENGTH: Final = re.compile(r"([1-9][0-9]{0,4})([smhd])")
_BEGINS_S: Final = {"day": 0, "rain_day": 7 * 3600, "rain_day_19": 19 * 3600, "night": 12 * 3600}
_TO_DATE: Final = ("month", "year")
NAMED: Final = (*_BEGINS_S, *_TO_DATE)


class Span(NamedTuple):
    """[start, end) in ms UTC."""

    start_ms: int
    end_ms: int

    @property
    def length_s(self) -> float:
        return (self.end_ms - self.start_ms) / 1000

    def slices(self, length_s: int) -> list[Span]:
        """The span cut into pieces of this length from its start; the last one may be shorter."""
        step = length_s * 1000
        return [Span(at, min(at + step, self.end_ms)) for at in range(self.start_ms, self.end_ms, step)]


def seconds(text: str) -> int:
    """The seconds of "5m", "1h", "30d". Raises ValueError."""
    match = _LENGTH.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no length of time: 5m, 1h, 24h")
    return int(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True, slots=True)
class Period:
    """`length_s` of a period to date is its longest. `every_s`: how often one ends. `begins_s`: local time of day at
    which days begin."""

    name: str
    length_s: int
    every_s: int
    begins_s: int = 0

    @classmethod
    def of(cls, name: str, every: str = "") -> Period:
        """By its name; `every` as "10m" makes it a running one. Raises ValueError for what is none, and for an `every`
        that does not fit into a day in whole numbers."""
        if name in _TO_DATE:
            return cls(name, 366 * DAY_S if name == "year" else 31 * DAY_S, DAY_S)
        length_s = DAY_S if name in _BEGINS_S else seconds(name)
        every_s = seconds(every) if every else min(length_s, DAY_S)
        if DAY_S % every_s:
            raise ValueError(f"{every or name!r} does not fit into a day in whole numbers")
        return cls(name, length_s, every_s, _BEGINS_S.get(name, 0))

    def last_end(self, at_ms: int) -> int:
        """The latest end at or before this moment."""
        shift = (_LOCAL_S - self.begins_s) * 1000
        step = self.every_s * 1000
        return (at_ms + shift) // step * step - shift

    def span(self, end_ms: int) -> Span:
        """The span that ends here."""
        if self.name not in _TO_DATE:
            return Span(end_ms - self.length_s * 1000, end_ms)
        last = datetime.fromtimestamp(end_ms / 1000 - 1, UTC).astimezone(LOCAL)
        begin = last.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        if self.name == "year":
            begin = begin.replace(month=1)
        return Span(round(begin.timestamp() * 1000), end_ms)

    def ended(self, after_ms: int, until_ms: int) -> Iterator[Span]:
        """The spans that end in (after, until], oldest first."""
        step = self.every_s * 1000
        for end_ms in range(self.last_end(after_ms) + step, until_ms + 1, step):
            yield self.span(end_ms)


def local(at_ms: int) -> datetime:
    """The moment in local time."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(LOCAL)


def time_of_day_s(at_ms: int) -> int:
    """Seconds since local midnight."""
    return (at_ms // 1000 + _LOCAL_S) % DAY_S


def clock_s(text: str) -> int:
    """Seconds since midnight of "18:30"; "24:00" is the end of the day. Raises ValueError."""
    match = re.fullmatch(r"([01][0-9]|2[0-4]):([0-5][0-9])", text)
    if match is None or (found := int(match[1]) * 3600 + int(match[2]) * 60) > DAY_S:
        raise ValueError(f"{text!r} is no time of day: 18:30")
    return found
