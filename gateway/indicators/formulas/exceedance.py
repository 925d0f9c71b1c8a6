"""How long a limit was not kept, and how often it was: by the limits in force for the one input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, doubtful
from gateway.indicators.formulas.gases import factor_of
from gateway.indicators.formulas.slices import HOUR_S, base_s, complete_number, judged, partial, pieces
from gateway.indicators.periods import Span
from gateway.model.folding import COMPLETE_SHARE
from gateway.model.indicator import Indicator
from gateway.model.limit import Threshold


class OverParams(Params):
    over_s: int | None = Field(
        None,
        ge=0,
        le=HOUR_S,
        description="Length in seconds of the means that are compared, 0 = single readings. "
        "Left out: the shortest for which a limit is in force.",
    )


def is_kept(value: float, thresholds: Iterable[Threshold], start_ms: int, end_ms: int) -> bool | None:
    """Whether a mean keeps all limits in force over its whole time; None where none was."""
    held = [t.limit.is_met(value) for t in thresholds if t.in_force(start_ms) and t.in_force(end_ms - 1)]
    return all(held) if held else None


def _basis(all_of_them: Sequence[Threshold], held: Sequence[Threshold]) -> dict[str, Any]:
    """What was judged by, and what was not because nobody confirmed it."""
    unconfirmed = [t.id for t in all_of_them if not t.confirmed]
    return {
        **({"limits": [t.id for t in held]} if held else {"limit": "unconfirmed" if unconfirmed else "none"}),
        **({"unconfirmed": unconfirmed} if unconfirmed else {}),
    }


def _scale(given: Given) -> float:
    """Limits of air are in ug/m3; parts per billion are brought to it. Other units are those of the limit."""
    signal = given.the("value").signal
    return (factor_of(signal) or 1.0) if signal.indicator.startswith("air.") else 1.0


def _minutes(span: Span, given: Given, params: OverParams) -> Result:
    """Each piece of time whose mean does not keep a limit counts as long as it is. A piece without enough readings is
    neither kept nor over; uncertain where less than 75 % of the time is known."""
    short = [t for t in given.thresholds if t.limit.over_s <= HOUR_S]
    confirmed = [t for t in short if t.confirmed]
    over_s = params.over_s if params.over_s is not None else min((t.limit.over_s for t in confirmed), default=0)
    held = [t for t in confirmed if t.limit.over_s == over_s]
    basis = _basis([t for t in short if params.over_s is None or t.limit.over_s == over_s], held)
    track = given.the("value")
    length_s = max(over_s, base_s(track))
    windows = pieces(track, span, length_s)
    if not held:
        return judged(None, (), windows, **basis)
    scale = _scale(given)
    over_ms = known_ms = 0
    used: list[Indicator] = []
    for window in windows:
        value = complete_number(window)
        start_ms = window.end_ms - length_s * 1000 if window.start_ms is None else window.start_ms
        kept = None if value is None else is_kept(value * scale, held, start_ms, window.end_ms)
        if kept is None:
            continue
        used.append(window)
        known_ms += window.end_ms - start_ms
        over_ms += 0 if kept else window.end_ms - start_ms
    detail = {**basis, "over_s": over_s, "minutes_known": known_ms / 60_000, "minutes": span.length_s / 60}
    result = judged(over_ms / 60_000 if used else None, used, windows, **detail)
    return result if known_ms >= COMPLETE_SHARE * span.length_s * 1000 else partial(result)


def _compliance(span: Span, given: Given, _: Params) -> Result:
    """Hours that kept every confirmed 1-hour limit, of the hours that could be judged. Of none: no rate."""
    hourly = [t for t in given.thresholds if t.limit.over_s == HOUR_S]
    held = [t for t in hourly if t.confirmed]
    basis = _basis(hourly, held)
    windows = pieces(given.the("value"), span, HOUR_S)
    scale = _scale(given)
    used: list[Indicator] = []
    compliant = 0
    for window in windows:
        value = complete_number(window)
        start_ms = window.end_ms - HOUR_S * 1000 if window.start_ms is None else window.start_ms
        kept = None if value is None or not held else is_kept(value * scale, held, start_ms, window.end_ms)
        if kept is not None:
            used.append(window)
            compliant += kept
    detail = {**basis, "numerator": compliant, "denominator": len(used), "hours": len(windows)}
    detail["doubtful_hours"] = sum(map(doubtful, used))
    rate = 100 * compliant / len(used) if used else None
    result = judged(rate, used, windows, **detail)
    return result if len(used) >= COMPLETE_SHARE * len(windows) else partial(result)


FORMULAS: Final = (
    Formula("minutes_over", _minutes, {"value": Role()}, OverParams),
    Formula("compliance_rate", _compliance, {"value": Role()}, grain_s=HOUR_S),
)
