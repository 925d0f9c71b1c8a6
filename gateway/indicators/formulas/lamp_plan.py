"""When lamps are to be lit: by times of day or by the sun, with dimmed hours and exceptions. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.indicators.formula import Params
from gateway.indicators.formulas.sun import sunrise_ms, sunset_ms
from gateway.indicators.periods import DAY_S, LOCAL, Span, clock_s, local

_BY_SUN: Final = re.compile(r"(sunset|sunrise)([+-][0-9]{1,3})?")
_NOON_S: Final = DAY_S // 2


def _time(text: str) -> str:
    if _BY_SUN.fullmatch(text) is None:
        try:
            clock_s(text)
        except ValueError:
            raise ValueError(f'{text!r} is no time: "18:30", "sunset+10", "sunrise-10"') from None
    return text


LampTime = Annotated[str, AfterValidator(_time)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Dimmed(_Part):
    """Hours of every night in which lamps are dimmed."""

    from_: LampTime = Field(alias="from", description='From this time: "22:00".')
    to: LampTime = Field(description='To this time: "04:00".')
    level: float = Field(50, ge=0, le=100, description="Level in these hours, in percent of full light.")


class OtherNights(_Part):
    """Nights with other times: Tết, festivals."""

    first: date = Field(description="Evening of the first of these nights.")
    last: date = Field(description="Evening of the last of these nights.")
    on: LampTime = Field(description="Lit from this time in these nights.")
    off: LampTime = Field(description="Lit until this time in these nights.")


class LampPlan(Params):
    """A night belongs to its evening. Times of day before noon are of the next morning. Offsets are minutes: practice
    in cities is 30 min after sunset and 30 min before sunrise (domain.md 9.2); without any is our own proposal."""

    lat: float | None = Field(None, ge=-66, le=66, description="Latitude; the site's own if left out.")
    lon: float | None = Field(None, ge=-180, le=180, description="Longitude; the site's own if left out.")
    on: LampTime = Field(
        "sunset+0", description='Lit from: "18:00", or minutes from sunset: "sunset+30". Our proposal: +0.'
    )
    off: LampTime = Field(
        "sunrise+0", description='Lit until: "05:30", or minutes from sunrise: "sunrise-30". Our proposal: +0.'
    )
    dims: tuple[Dimmed, ...] = Field((), description="Dimmed hours of every night.")
    exceptions: tuple[OtherNights, ...] = Field((), description="Nights with other times.")
    settle_min: float = Field(
        10, ge=0, le=120, description="Minutes around switching times in which nothing is expected (our proposal)."
    )

    @property
    def has_place(self) -> bool:
        """Whether its times can be told: those by the sun need a place."""
        times = [self.on, self.off]
        times += [t for d in self.dims for t in (d.from_, d.to)]
        times += [t for e in self.exceptions for t in (e.on, e.off)]
        return (self.lat is not None and self.lon is not None) or not any(map(_BY_SUN.fullmatch, times))

    def nights(self, span: Span) -> list[Span]:
        """The lit times that begin or end in the span or go through it, whole, oldest first."""
        return [lit for day in _evenings(span) if (lit := self._night(day)) and _overlap(lit, span)]

    def lit(self, span: Span) -> list[Span]:
        """When lamps are to be lit within the span."""
        return cut(self.nights(span), span)

    def surely_lit(self, span: Span) -> list[Span]:
        """The same without the minutes around switching."""
        return cut(_grown(self.nights(span), -self.settle_min), span)

    def surely_dark(self, span: Span) -> list[Span]:
        """When lamps are to be dark, without the minutes around switching."""
        return without([span], _grown(self.nights(span), self.settle_min))

    def dimmed(self, span: Span) -> list[tuple[Span, float]]:
        """Dimmed times within the span, with their levels in percent."""
        found: list[tuple[Span, float]] = []
        for day in _evenings(span):
            for dim in self.dims:
                start_ms, end_ms = self._moment(dim.from_, day), self._moment(dim.to, day)
                if start_ms is not None and end_ms is not None and start_ms < end_ms:
                    found += [(piece, dim.level) for piece in cut([Span(start_ms, end_ms)], span)]
        return found

    def astronomical(self) -> LampPlan:
        """From sunset to sunrise, at the same place."""
        return self.model_copy(update={"on": "sunset", "off": "sunrise", "exceptions": ()})

    def _night(self, evening: date) -> Span | None:
        of = next((e for e in self.exceptions if e.first <= evening <= e.last), self)
        start_ms, end_ms = self._moment(of.on, evening), self._moment(of.off, evening)
        return Span(start_ms, end_ms) if start_ms is not None and end_ms is not None and start_ms < end_ms else None

    def _moment(self, text: str, evening: date) -> int | None:
        """ms UTC of a time of the night that begins in this evening."""
        if match := _BY_SUN.fullmatch(text):
            if self.lat is None or self.lon is None:
                return None
            by_sun, day = (sunset_ms, 0) if match[1] == "sunset" else (sunrise_ms, 1)
            at_ms = by_sun(evening + timedelta(days=day), self.lat, self.lon)
            return None if at_ms is None else at_ms + int(match[2] or 0) * 60_000
        second = clock_s(text)
        if second < _NOON_S:
            second += DAY_S
        midnight = datetime(evening.year, evening.month, evening.day, tzinfo=LOCAL)
        return round((midnight.astimezone(UTC).timestamp() + second) * 1000)


def cut(spans: Sequence[Span], to: Span) -> list[Span]:
    """What of the spans lies in one."""
    return [Span(max(s.start_ms, to.start_ms), min(s.end_ms, to.end_ms)) for s in spans if _overlap(s, to)]


def without(spans: Sequence[Span], holes: Sequence[Span]) -> list[Span]:
    """What is left of the spans outside the holes."""
    left = list(spans)
    for hole in holes:
        left = [
            piece
            for span in left
            for piece in (
                Span(span.start_ms, min(span.end_ms, hole.start_ms)),
                Span(max(span.start_ms, hole.end_ms), span.end_ms),
            )
            if piece.start_ms < piece.end_ms
        ]
    return left


def _grown(spans: Sequence[Span], minutes: float) -> list[Span]:
    by_ms = round(minutes * 60_000)
    return [Span(s.start_ms - by_ms, s.end_ms + by_ms) for s in spans if s.end_ms - s.start_ms + 2 * by_ms > 0]


def _overlap(one: Span, other: Span) -> bool:
    return one.start_ms < other.end_ms and other.start_ms < one.end_ms


def _evenings(span: Span) -> list[date]:
    """Evenings whose nights may touch the span."""
    first, last = local(span.start_ms).date() - timedelta(days=1), local(span.end_ms).date()
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
