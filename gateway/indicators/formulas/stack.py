"""Stacks: concentrations brought to a reference share of oxygen, so that nobody keeps a limit by adding air."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role
from gateway.indicators.formulas import gases
from gateway.indicators.formulas.slices import base_s, complete_number, judged, pieces
from gateway.indicators.periods import Span
from gateway.model.indicator import Indicator

AIR_O2: Final = 21.0


class OxygenParams(Params):
    o2_ref: float = Field(ge=0, lt=AIR_O2, description="Reference oxygen in % by volume, from permit or regulation.")
    o2_max: float = Field(
        20.0, gt=0, lt=AIR_O2, description="Above this oxygen in % the plant stands: not corrected. Our proposal."
    )


def at_reference(concentration: float, o2: float, o2_ref: float) -> float:
    """C (21 - O2ref) / (21 - O2): the concentration at the reference oxygen. `o2` in % by volume, below 21."""
    return concentration * (AIR_O2 - o2_ref) / (AIR_O2 - o2)


def _corrected(span: Span, given: Given, params: OxygenParams) -> Result:
    """The mean of corrected values, each of the same minutes of gas and oxygen, in mg/Nm3. Not corrected, and left out,
    is where oxygen is unknown, below zero, or so near to that of air that the correction has no meaning."""
    gas, oxygen = given.the("value"), given.the("o2")
    factor = gases.factor_of(gas.signal)
    if factor is None:
        return Result.missing(unit=f"{gas.signal.unit or 'none'}: no mg/m3")
    length_s = base_s(gas, oxygen)
    values: list[float] = []
    used: list[Indicator] = []
    seen: list[Indicator] = []
    standing = 0
    for one, other in zip(pieces(gas, span, length_s), pieces(oxygen, span, length_s), strict=True):
        seen += (one, other)
        value, o2 = complete_number(one, 0.0), complete_number(other, 0.0)
        if value is None or o2 is None or o2 < 0:
            continue
        if o2 > params.o2_max:
            standing += 1
            continue
        values.append(at_reference(value * factor / 1000, o2, params.o2_ref))
        used += (one, other)
    mean = sum(values) / len(values) if values else None
    detail = {"o2_ref": params.o2_ref, "sum": sum(values), "n": len(values), "too_near_air_oxygen": standing}
    return judged(mean, used, seen, **detail)


FORMULAS: Final = (Formula("o2_corrected", _corrected, {"value": Role(), "o2": Role()}, OxygenParams),)
