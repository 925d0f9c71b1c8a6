"""Street lighting by what meters say: energy per lamp, what dimming saved, how many lamps are out.

domain.md 9.3 and 13.2; defaults are our own proposals.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, Literal

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track, number
from gateway.indicators.formulas.folded import grown
from gateway.indicators.formulas.lamp_plan import LampPlan, without
from gateway.indicators.formulas.lighting import NO_PLACE, branches, by_branch, folds, real
from gateway.indicators.formulas.lit import on_s, together
from gateway.indicators.periods import DAY_S, Span

LEARNT_NIGHTS = 14


class PerLampParams(Params):
    lamps: int | None = Field(None, gt=0, description="Lamps that this meter feeds.")


class SavingParams(LampPlan):
    full_kw: float | None = Field(None, gt=0, description="Power of all lamps of this meter at full light, in kW.")
    hours: Literal["lit", "plan", "sun"] = Field(
        "lit",
        description="Hours that are compared with: those really lit (what dimming saves), those of the plan, or from "
        "sunset to sunrise (what dimming and switching later or earlier save together).",
    )


class LampsOutParams(LampPlan):
    lamp_a: float | None = Field(None, gt=0, description="Current of one lamp at full light, in A.")
    least_nights: int = Field(
        5, ge=2, le=LEARNT_NIGHTS, description="Earlier nights there must be to compare with (our proposal)."
    )


def saving_pct(energy_kwh: float, full_kw: float, hours: float) -> float | None:
    """1 − E / (P100 × h), in percent; None without hours. Negative: more than full light should take."""
    return 100 * (1 - energy_kwh / (full_kw * hours)) if hours > 0 else None


def lamps_out(nights_a: Sequence[float], now_a: float, lamp_a: float) -> float:
    """How many lamps' current is missing against the median of earlier nights; never below 0. Our proposal: a lamp
    that fails is seen at once, and forgotten when most of those nights are without it."""
    return max(0.0, (median(nights_a) - now_a) / lamp_a)


def _per_lamp(span: Span, given: Given, params: PerLampParams) -> Result:
    meter = given.the("energy")
    energy, folded = grown(meter, span), meter.over(span)
    if energy is None or params.lamps is None:
        return Result.missing(folded, why="" if params.lamps else "how many lamps there are is not said: lamps")
    return Result.of(energy / params.lamps, folded, energy=energy, lamps=params.lamps)


def _saving(span: Span, given: Given, params: SavingParams) -> Result:
    meter, tracks = given.the("energy"), real(given.all("lit")) if params.hours == "lit" else []
    windows = folds(span, [meter, *tracks])
    if params.full_kw is None:
        return Result.missing(*windows, why="the power at full light is not said: full_kw")
    if params.hours != "lit" and not params.has_place:
        return Result.missing(*windows, why=NO_PLACE)
    energy, hours = grown(meter, span), _hours(span, tracks, params)
    saved = None if energy is None or hours is None else saving_pct(energy, params.full_kw, hours)
    if saved is None or energy is None or hours is None:
        return Result.missing(*windows)
    return Result.of(saved, *windows, energy=energy, undimmed=params.full_kw * hours, hours=hours)


def _hours(span: Span, tracks: Sequence[Track], params: SavingParams) -> float | None:
    if params.hours == "lit":
        found = by_branch(span, tracks)
        return on_s(together(list(found.values()), max)) / 3600 if found else None
    plan = params.astronomical() if params.hours == "sun" else params
    return sum(piece.length_s for piece in plan.lit(span)) / 3600


def _lamps_out(span: Span, given: Given, params: LampsOutParams) -> Result:
    tracks = branches(given.all("current"))
    windows = folds(span, tracks)
    if params.lamp_a is None:
        return Result.missing(*windows, why="the current of one lamp is not said: lamp_a")
    if not params.has_place:
        return Result.missing(*windows, why=NO_PLACE)
    out, learning, detail = 0.0, [], dict[str, Any]()
    for track in tracks:
        now_a = _full_light(track, span, params)
        if now_a is None:
            continue
        earlier = [a for night in _earlier(span) if (a := _full_light(track, night, params)) is not None]
        if len(earlier) < params.least_nights:
            learning.append(track.signal.id)
            continue
        missing = lamps_out(earlier, now_a, params.lamp_a)
        out += missing
        base = round(median(earlier), 3)
        detail[track.signal.id] = {
            "a": round(now_a, 3),
            "base_a": base,
            "nights": len(earlier),
            "out": round(missing, 2),
        }
    if not detail:
        return Result.missing(*windows, learning=learning)
    return Result.of(out, *windows, branches=detail, **({"learning": learning} if learning else {}))


def _earlier(span: Span) -> list[Span]:
    """The same span on earlier days, newest first."""
    step = DAY_S * 1000
    return [Span(span.start_ms - n * step, span.end_ms - n * step) for n in range(1, LEARNT_NIGHTS + 1)]


def _full_light(track: Track, span: Span, plan: LampPlan) -> float | None:
    """The median current while the lamps are surely lit and not dimmed; of a night that is dimmed throughout, while
    they are lit."""
    lit = plan.surely_lit(span)
    full = without(lit, [dim for dim, _ in plan.dimmed(span)]) or lit
    found = [a for piece in full for w in track.within(piece) if (a := number(w)) is not None]
    return median(found) if found else None


_CURRENT = {"current": Role(many=True)}

FORMULAS = (
    Formula("light_energy_per_lamp", _per_lamp, {"energy": Role()}, PerLampParams, back_s=DAY_S),
    Formula(
        "light_saving_rate", _saving, {"energy": Role(), "lit": Role(many=True, optional=True)}, SavingParams,
        back_s=DAY_S,
    ),
    Formula("light_lamps_out", _lamps_out, _CURRENT, LampsOutParams, back_s=LEARNT_NIGHTS * DAY_S, grain_s=300),
)  # fmt: skip
