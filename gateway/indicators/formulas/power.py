"""Electricity: a phase that is gone or out of balance, and the share of what was contracted. Defaults are our own
proposals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track, number
from gateway.indicators.periods import Span
from gateway.model.indicator import Indicator
from gateway.model.measure import Kind

_PHASE: Final = re.compile(r"_(l[123])$")
OK, LOST, UNBALANCED = 0, 1, 2


class PhaseParams(Params):
    nominal_v: float = Field(
        230, gt=0, le=700, description="Voltage between phase and neutral, in V. Our proposal: 230."
    )
    lost_pct: float = Field(50, ge=0, le=100, description="Below this share of it a phase is lost (our proposal).")
    unbalance_v_pct: float = Field(
        5, gt=0, le=100, description="Voltages are out of balance when one is so far from their mean (our proposal)."
    )
    unbalance_a_pct: float = Field(
        60, gt=0, le=200, description="Currents are out of balance when one is so far from their mean (our proposal)."
    )
    least_a: float = Field(5, ge=0, description="Below this mean current its balance is not looked at (our proposal).")


class ContractParams(Params):
    contracted_kw: float | None = Field(None, gt=0, description="Contracted power, in kW.")


def unbalance_pct(values: Sequence[float]) -> float:
    """The largest distance of one from the mean of all, in percent of the mean; 0 if the mean is 0. The usual
    approximation of unbalance from magnitudes alone (as NEMA MG-1 has it for voltages)."""
    mean = sum(values) / len(values)
    return 100 * max(abs(v - mean) for v in values) / mean if mean else 0.0


def _phases(span: Span, tracks: Sequence[Track], kind: Kind) -> dict[str, Indicator]:
    """The windows of three phases by their names l1, l2, l3, as signals end in them; empty without three."""
    found = {m[1]: t.over(span, kind) for t in tracks if (m := _PHASE.search(t.signal.id))}
    return dict(sorted(found.items())) if len(found) == 3 else {}


def _phase_fault(span: Span, given: Given, params: PhaseParams) -> Result:
    volts = _phases(span, given.all("voltage"), Kind.MIN)
    volts_mean = _phases(span, given.all("voltage"), Kind.MEAN)
    amps = _phases(span, given.all("current"), Kind.MEAN)
    windows = [*volts.values(), *amps.values()]
    known_v = {k: v for k, w in volts.items() if (v := number(w)) is not None}
    lost = [k for k, v in known_v.items() if v < params.nominal_v * params.lost_pct / 100]
    detail: dict[str, Any] = {}
    if lost:
        return Result.of(LOST, *windows, lost=lost)
    if len(known_v) < 3 and (volts or len(_known(amps)) < 3):
        return Result.missing(*windows, why="" if windows else "three phases are needed: signals ending in _l1 to _l3")
    fault = OK
    for name, found, limit, least in (
        ("voltage", _known(volts_mean), params.unbalance_v_pct, 0.0),
        ("current", _known(amps), params.unbalance_a_pct, params.least_a),
    ):
        if len(found) == 3 and sum(found.values()) / 3 > least:
            detail[f"{name}_unbalance_pct"] = share = round(unbalance_pct(list(found.values())), 1)
            fault = UNBALANCED if share > limit else fault
    return Result.of(fault, *windows, **detail)


def _known(windows: Mapping[str, Indicator]) -> dict[str, float]:
    return {k: v for k, w in windows.items() if (v := number(w)) is not None}


def _contract_share(span: Span, given: Given, params: ContractParams) -> Result:
    """Powers by phase are left out where there is a total: they are the same kilowatts once more."""
    tracks = given.all("power")
    totals = [t for t in tracks if not _PHASE.search(t.signal.id)] or tracks
    windows = [t.over(span, Kind.MEAN) for t in totals]
    values = [v for w in windows if (v := number(w)) is not None]
    if params.contracted_kw is None:
        return Result.missing(*windows, why="the contracted power is not said: contracted_kw")
    if len(values) < len(windows):
        return Result.missing(*windows)
    power = sum(values)
    return Result.of(100 * power / params.contracted_kw, *windows, kw=power, contracted_kw=params.contracted_kw)


_PHASES = {"voltage": Role(many=True, optional=True), "current": Role(many=True, optional=True)}

FORMULAS = (
    Formula("phase_fault", _phase_fault, _PHASES, PhaseParams),
    Formula("contract_share", _contract_share, {"power": Role(many=True)}, ContractParams),
)
