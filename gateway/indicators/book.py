"""Every formula by its name. A module of formulas is added here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.indicators.formula import Formula
from gateway.indicators.formulas import (
    activity,
    air,
    assets,
    congestion,
    crowd,
    exceedance,
    flood,
    folded,
    gates,
    health,
    lamp_energy,
    lighting,
    market,
    noise,
    parking,
    power,
    quality,
    rain,
    safety,
    services,
    stack,
    traffic,
    wastewater,
    water,
    weather,
    works,
)

FORMULAS: Final[Mapping[str, Formula]] = {
    formula.name: formula
    for formula in (
        *folded.FORMULAS,
        *activity.FORMULAS,
        *air.FORMULAS,
        *assets.FORMULAS,
        *congestion.FORMULAS,
        *crowd.FORMULAS,
        *exceedance.FORMULAS,
        *flood.FORMULAS,
        *gates.FORMULAS,
        *health.FORMULAS,
        *lamp_energy.FORMULAS,
        *lighting.FORMULAS,
        *market.FORMULAS,
        *noise.FORMULAS,
        *parking.FORMULAS,
        *power.FORMULAS,
        *quality.FORMULAS,
        *rain.FORMULAS,
        *safety.FORMULAS,
        *services.FORMULAS,
        *stack.FORMULAS,
        *traffic.FORMULAS,
        *wastewater.FORMULAS,
        *water.FORMULAS,
        *weather.FORMULAS,
        *works.FORMULAS,
    )
}
