"""From limit profiles and signals to thresholds, and from a value to a verdict. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import NamedTuple

from gateway.indicators.limit_profiles import OUR_PROPOSAL, UPWARD, LimitProfile, LimitUse, Mark, Row, in_order
from gateway.indicators.periods import LOCAL, clock_s, seconds
from gateway.model.indicator import Indicator
from gateway.model.limit import Limit, LimitStatus, Threshold, Verdict
from gateway.model.measure import Kind, Quality, Reason, Signal

_GROWS = (Kind.SUM, Kind.COUNT, Kind.DELTA)
_WORST_FIRST = (LimitStatus.UNMET, LimitStatus.UNKNOWN, LimitStatus.MET)


class Numbers(NamedTuple):
    """What a row says on this site. `why_not`: why it judges nothing: "unconfirmed", "factors", "" if it does judge."""

    levels: tuple[float, ...]
    permit: str
    why_not: str


def thresholds(
    uses: Iterable[LimitUse],
    profiles: Mapping[str, LimitProfile],
    signals: Sequence[Signal],
    derived: Sequence[Signal] = (),
) -> dict[str, list[Threshold]]:
    """The thresholds of each signal by its id. `signals` are measured ones, compared over `limit.over_s`; `derived`
    are compared as they are, and their thresholds have 0 there.

    Where two uses name the same row for one signal, the later one counts. Rows in another unit than the signal's, and
    profiles that are not there, give nothing: `gateway check` says so.
    """
    found: dict[str, dict[str, Threshold]] = {}
    for use in uses:
        profile = profiles.get(use.profile)
        if profile is None:
            continue
        for row in use.rows(profile):
            threshold = _threshold(use, profile, row)
            if threshold is None:
                continue
            for signal in matching(use, row, signals, derived):
                if signal.unit == row.unit:
                    found.setdefault(signal.id, {})[threshold.id] = threshold
    return {signal: list(by_id.values()) for signal, by_id in found.items()}


def matching(use: LimitUse, row: Row, signals: Iterable[Signal], derived: Iterable[Signal]) -> Iterator[Signal]:
    """The signals a row is for: with `over` measured ones alone; their unit is not looked at."""
    for signal in signals if row.over else (*signals, *derived):
        if signal.indicator == row.code and fnmatchcase(signal.id, use.of):
            yield signal


def numbers(use: LimitUse, profile: LimitProfile, row: Row) -> Numbers | None:
    """The numbers of a row on this site, None where the site gives none. What the permit says goes before what the
    profile says, and needs no factors and no confirmation. Raises ValueError for what cannot be."""
    if row.code in use.values:
        both = {other.op in UPWARD for other in profile.rows if other.code == row.code} == {True, False}
        return Numbers(_of_permit(use.values[row.code], row, both=both), use.permit, "")
    if row.given:
        return None
    missing = row.scaled and any(name not in use.factors for name in profile.factors)
    factor = math.prod(use.factors.get(name, 1.0) for name in profile.factors) if row.scaled else 1.0
    sure = row.trusted or use.confirms(row)
    why_not = "factors" if missing else "" if sure else "unconfirmed"
    return Numbers(tuple(number * factor for number in row.numbers), use.permit, why_not)


def _of_permit(value: float | tuple[float, ...], row: Row, *, both: bool) -> tuple[float, ...]:
    given = value if isinstance(value, tuple) else (value,)
    if both:
        if len(given) != 2 or given[0] >= given[1]:
            raise ValueError(f"values.{row.code}: two numbers, the lower and the upper one: [6, 9]")
        given = given[1:] if row.op in UPWARD else given[:1]
    if not given or not in_order(row.op, given):
        raise ValueError(f"values.{row.code}: numbers from mild to severe")
    return given


def _threshold(use: LimitUse, profile: LimitProfile, row: Row) -> Threshold | None:
    try:
        found = numbers(use, profile, row)
    except ValueError:  # a finding of `gateway check`; the gateway does not start with it
        return None
    if found is None:
        return None
    limit = Limit(
        op=row.op,
        value=found.levels[0],
        over_s=row.over_s,
        basis=OUR_PROPOSAL if row.mark is Mark.PROPOSAL and not found.permit else profile.document,
        clause=row.clause,
        profile=f"{profile.profile} v{profile.version}",
        permit=found.permit,
    )
    starts = [day for day in (profile.from_, row.from_) if day]
    ends = [day for day in (profile.to, row.to) if day]
    begin, _, end = row.daily.partition("-")
    return Threshold(
        id=f"{profile.profile}/{row.key}",
        limit=limit,
        levels=found.levels,
        hysteresis=row.hysteresis,
        hold_s=seconds(row.hold) if row.hold else 0,
        clear_s=seconds(row.clear) if row.clear else 0,
        confirmed=not found.why_not,
        alarm=row.alarm,
        violation=row.violation if use.violations is None else use.violations,
        from_ms=midnight_ms(max(starts)) if starts else None,
        to_ms=midnight_ms(min(ends) + timedelta(days=1)) if ends else None,
        text_en=row.text_en,
        text_vi=row.text_vi,
        communes=row.communes,
        daily=(clock_s(begin), clock_s(end)) if row.daily else None,
    )


def midnight_ms(day: date) -> int:
    """Local midnight at which this day begins, in ms UTC."""
    return round(datetime(day.year, day.month, day.day, tzinfo=LOCAL).timestamp() * 1000)


# --- verdicts -------------------------------------------------------------------------------------------------------


def last_ms(indicator: Indicator) -> int:
    """The moment that decides which limit is in force: the last of a window, that of a single reading."""
    return indicator.end_ms if indicator.start_ms is None else indicator.end_ms - 1


def verdict(limits: Sequence[Threshold], indicator: Indicator) -> Verdict | None:
    """The worst of what came of several limits: unmet, then unknown, then met. Those not in force have no say beside
    those that are; where none is, it is unknown. None where there is no limit at all.

    The limits must be meant for this value: of its averaging length (`limit.over_s`).
    """
    at_ms = last_ms(indicator)
    judged = [judge(limit, indicator) for limit in [one for one in limits if one.in_force(at_ms)] or list(limits)[:1]]
    return min(judged, key=lambda one: (_WORST_FIRST.index(one.status), -(one.deviation or 0.0)), default=None)


def is_too_little(limit: Limit, indicator: Indicator) -> bool:
    """Whether too few readings came to hold the value against the limit. A sum is at least what it is already."""
    if Reason.PARTIAL not in indicator.reasons:
        return False
    value = indicator.value
    grows = indicator.signal.kind in _GROWS and limit.op in UPWARD and isinstance(value, int | float)
    return not (grows and not limit.is_met(float(value or 0)))


def judge(threshold: Threshold, indicator: Indicator) -> Verdict:
    """UNKNOWN where there is no number, where it is bad or of too few readings (`partial`), and where the limit is
    not confirmed or not in force. A number that is uncertain for another reason is judged; a sum of too few readings
    that is beyond its upper limit already is unmet."""
    value = indicator.value
    unusable = indicator.quality in (Quality.MISSING, Quality.BAD) or is_too_little(threshold.limit, indicator)
    if value is None or isinstance(value, str) or unusable:
        return Verdict(LimitStatus.UNKNOWN, threshold.limit)
    if not threshold.confirmed or not threshold.in_force(last_ms(indicator)):
        return Verdict(LimitStatus.UNKNOWN, threshold.limit)
    number = float(value)
    status = LimitStatus.MET if threshold.limit.is_met(number) else LimitStatus.UNMET
    return Verdict(status, threshold.limit, threshold.limit.deviation(number))
