"""How much goes on at a building site, beside what is usual there. Our proposal; it is no measure of progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track
from gateway.indicators.formulas.folded import grown
from gateway.indicators.formulas.spells import incomplete
from gateway.indicators.periods import DAY_S, Span
from gateway.model.folding import COMPLETE_SHARE
from gateway.model.indicator import Indicator
from gateway.model.measure import Kind

_DAYS = 60
_ANY = Role(many=True, optional=True)
_PARTS = {"people": _ANY, "trucks": _ANY, "machines": _ANY, "energy": _ANY}


class ActivityParams(Params):
    people: float = Field(0.3, ge=0, le=1, description="Weight of people coming in. Our proposal: 0.3.")
    trucks: float = Field(0.2, ge=0, le=1, description="Weight of trucks. Our proposal: 0.2.")
    machines: float = Field(0.3, ge=0, le=1, description="Weight of the running time of machines. Our proposal: 0.3.")
    energy: float = Field(0.2, ge=0, le=1, description="Weight of the energy used. Our proposal: 0.2.")
    baseline_days: int = Field(28, ge=7, le=30, description="Days before that it is compared to. Our proposal: 28.")
    least_days: int = Field(
        7, ge=3, le=30, description="So many of these days must have been measured. Our proposal: 7."
    )


class IdleParams(ActivityParams):
    idle_below: float = Field(
        10, gt=0, le=100, description="A day below this index is one without work. Our proposal: 10."
    )


class Index(NamedTuple):
    """The index, by parts; `value` is None where there is no baseline or nothing was measured."""

    value: float | None
    shares: Mapping[str, float]
    lacking: Sequence[str]


def index(today: Mapping[str, float | None], usual: Mapping[str, float | None], weights: Mapping[str, float]) -> Index:
    """0 to 100: the weighted mean of each part's share of what is usual, where more than usual is as usual. Parts that
    were not measured, or of which no usual day is known, are left out and named."""
    shares: dict[str, float] = {}
    lacking = []
    for part, amount in today.items():
        base = usual.get(part)
        if amount is None or base is None or base <= 0:
            lacking.append(part)
        else:
            shares[part] = min(1.0, max(0.0, amount / base))
    weight = sum(weights[part] for part in shares)
    if not weight:
        return Index(None, shares, lacking)
    return Index(100 * sum(weights[part] * share for part, share in shares.items()) / weight, shares, lacking)


def usual(days: Sequence[float | None], least_days: int) -> float | None:
    """The median of the days on which there was any of it. None where too few days were measured. A site that stands
    still for weeks is still compared to days of work, as long as any of them is in sight."""
    known = [day for day in days if day is not None]
    working = [day for day in known if day > 0]
    return median(working) if len(known) >= least_days and working else None


def amount(part: str, tracks: Sequence[Track], day: Span) -> float | None:
    """What of a part there was on a day, of all its signals; None where one of them was seen for less than 75 %."""
    found = 0.0
    for track in tracks:
        window = track.over(day)
        if window.value is None or window.parts is None or window.parts.n < COMPLETE_SHARE * window.parts.expected:
            return None
        counted = _running_h(window, day) if part == "machines" else grown(track, day)
        if counted is None:
            return None
        found += counted
    return found


def _running_h(window: Indicator, day: Span) -> float | None:
    """Hours of running, from the share of readings that said so."""
    parts = window.parts
    if parts is None or parts.total is None or not parts.n:
        return None
    return parts.total / parts.n * day.length_s / 3600


class _Site(NamedTuple):
    """By part what was done on each day, the day of the span first and older ones after it."""

    days: Mapping[str, Sequence[float | None]]
    params: ActivityParams

    def on(self, ago: int) -> Index:
        """The index of a day so many days ago, beside the days before that day."""
        params = self.params
        before = slice(ago + 1, ago + 1 + params.baseline_days)
        today = {part: days[ago] for part, days in self.days.items()}
        base = {part: usual(days[before], params.least_days) for part, days in self.days.items()}
        found = index(today, base, params.model_dump())
        measured = all(sum(day is not None for day in days[before]) >= params.least_days for days in self.days.values())
        if found.value is None and measured and all(value == 0 for value in today.values()):
            return Index(0.0, {}, found.lacking)
        return found


def _site(span: Span, given: Given, params: ActivityParams, days: int) -> _Site:
    spans = [Span(span.start_ms - ago * DAY_S * 1000, span.end_ms - ago * DAY_S * 1000) for ago in range(days)]
    by_part = {part: given.all(part) for part in _PARTS if given.all(part)}
    return _Site({part: [amount(part, tracks, day) for day in spans] for part, tracks in by_part.items()}, params)


def _windows(span: Span, given: Given) -> list[Indicator]:
    return [track.over(span, Kind.SUM) for part in _PARTS for track in given.all(part)]


def _activity(span: Span, given: Given, params: ActivityParams) -> Result:
    site = _site(span, given, params, params.baseline_days + 1)
    found = site.on(0)
    detail = {
        "today": {part: days[0] for part, days in site.days.items()},
        "usual": {part: usual(days[1:], params.least_days) for part, days in site.days.items()},
        "days_measured": {part: sum(day is not None for day in days[1:]) for part, days in site.days.items()},
        "shares": dict(found.shares),
        "left_out": list(found.lacking),
    }
    result = Result.of(found.value, *_windows(span, given), **detail)
    return incomplete(result, when=any(days[0] is None for days in site.days.values()))


def _idle_days(span: Span, given: Given, params: IdleParams) -> Result:
    """Days in a row, up to this one, with an index below the bound. A day that was not measured is neither: the row is
    counted to there and said to be at least so long."""
    site = _site(span, given, params, _DAYS)
    run, cut = 0, False
    longest = _DAYS - params.baseline_days
    for ago in range(longest):
        value = site.on(ago).value
        if value is None:
            if ago == 0:
                return Result.missing(*_windows(span, given), why="this day cannot be told")
            cut = run > 0
            break
        if value >= params.idle_below:
            break
        run += 1
    at_least = cut or run == longest
    result = Result.of(run, *_windows(span, given), at_least=at_least, idle_below=params.idle_below)
    return incomplete(result, when=cut)


FORMULAS = (
    Formula("activity_index", _activity, _PARTS, ActivityParams, back_s=31 * DAY_S, grain_s=3600),
    Formula("idle_days", _idle_days, _PARTS, IdleParams, back_s=_DAYS * DAY_S, grain_s=3600),
)
