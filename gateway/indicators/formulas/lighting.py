"""Street lighting by what contactors and lamps say: lit or not, when, against the plan.

domain.md 9 and 13.2, detection as in contract.md 9.7. All defaults are our own proposals; no norm fixes them.

A command and what came of it have one code (`light.state`): what can be written is the command, what cannot is real.
Where nothing is read back, the command stands for both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track, number
from gateway.indicators.formulas.lamp_plan import LampPlan
from gateway.indicators.formulas.lit import Stretch, clipped, known_s, on_s, runs, stretches, switched, together
from gateway.indicators.periods import Span
from gateway.model.indicator import Indicator
from gateway.model.measure import Kind

NO_PLACE: Final = "times by the sun need a place: lat, lon"
_LEAST_S: Final = 60.0
"""Less time of a period that is surely night says nothing of its lamps."""
_PHASE: Final = re.compile(r"_l[1-3]{1,2}$")
_NUMBER: Final = re.compile(r"[0-9]+$")


class LitParams(LampPlan):
    lamps: int | None = Field(None, gt=0, description="Lamps of the group. With `lamp_a`, the share lit is by current.")
    lamp_a: float | None = Field(None, gt=0, description="Current of one lamp at full light, in A.")
    idle_a: float = Field(0.0, ge=0, description="Current of the branches without any lamp, in A, all together.")


def lit_by_current(current_a: float, lamp_a: float, lamps: int, *, idle_a: float = 0.0, level: float = 1.0) -> float:
    """How many lamps a current feeds, 0 to `lamps`; `level`: share of full light they are dimmed to, for which their
    current is taken to be in proportion. Our proposal (domain.md 9.2)."""
    return min(float(lamps), max(0.0, (current_a - idle_a) / (lamp_a * level)))


def real(tracks: Sequence[Track]) -> list[Track]:
    """What came about: the signals that cannot be written, or all if there is no such."""
    return [t for t in tracks if not t.signal.writable] or list(tracks)


def branches(tracks: Sequence[Track]) -> list[Track]:
    """Currents or powers of branches. Where a cabinet also gives them by phase (`..._l1`), those are left out: they
    are the same amperes once more."""
    return [t for t in tracks if not _PHASE.search(t.signal.id)] or list(tracks)


def folds(span: Span, tracks: Sequence[Track]) -> list[Indicator]:
    return [track.over(span) for track in tracks]


def by_branch(span: Span, tracks: Sequence[Track]) -> dict[str, list[Stretch]]:
    """When each of them was on, of those that said anything."""
    return {t.signal.id: found for t in tracks if (found := stretches(t, span))}


def minutes(of: Sequence[Stretch]) -> float:
    return on_s(of) / 60


def _unplanned(plan: LampPlan, windows: Sequence[Indicator]) -> Result | None:
    return None if plan.has_place else Result.missing(*windows, why=NO_PLACE)


# --- how many ---------------------------------------------------------------------------------------------------------


def _lit_rate(span: Span, given: Given, params: LitParams) -> Result:
    """Nothing is said by day, when no lamp is expected to be lit."""
    nodes, currents = real(given.all("lit")), branches(given.all("current"))
    by_current = bool(params.lamps and params.lamp_a and currents)
    windows = folds(span, currents if by_current else nodes)
    if unplanned := _unplanned(params, windows):
        return unplanned
    due = params.surely_lit(span)
    if sum(piece.length_s for piece in due) < min(_LEAST_S, span.length_s):
        return Result.nothing()
    counted = _counted_by_current(due, currents, params) if by_current else _counted_nodes(span, due, nodes)
    if counted is None:
        return Result.missing(*windows)
    lit, expected = counted
    method = "current" if by_current else "state"
    return Result.of(100 * lit / expected, *windows, lit=lit, expected=expected, method=method)


def _counted_nodes(span: Span, due: Sequence[Span], nodes: Sequence[Track]) -> tuple[float, int] | None:
    known = [k for s in by_branch(span, nodes).values() if (k := clipped(s, due))]
    return (sum(on_s(k) / known_s(k) for k in known), len(known)) if known else None


def _counted_by_current(due: Sequence[Span], currents: Sequence[Track], params: LitParams) -> tuple[float, int] | None:
    """None where a branch is silent: its lamps cannot be told from dark ones."""
    if params.lamps is None or params.lamp_a is None:
        return None
    total_a = 0.0
    for track in currents:
        found = [a for piece in due if (a := number(track.over(piece, Kind.MEAN))) is not None]
        if not found:
            return None
        total_a += sum(found) / len(found)
    level = _mean_level(due, params)
    if not level:
        return None
    return lit_by_current(total_a, params.lamp_a, params.lamps, idle_a=params.idle_a, level=level), params.lamps


def _mean_level(due: Sequence[Span], plan: LampPlan) -> float:
    """Share of full light that is asked for on average."""
    whole_s = sum(piece.length_s for piece in due)
    taken_s = sum(s.length_s * (1 - level / 100) for piece in due for s, level in plan.dimmed(piece))
    return max(0.0, 1 - taken_s / whole_s)


# --- how long ---------------------------------------------------------------------------------------------------------


def _on_hours(span: Span, given: Given, _: Params) -> Result:
    tracks = real(given.all("lit"))
    found = by_branch(span, tracks)
    windows = folds(span, tracks)
    if not found:
        return Result.missing(*windows)
    hours = {name: round(on_s(s) / 3600, 3) for name, s in found.items()}
    return Result.of(on_s(together(list(found.values()), max)) / 3600, *windows, branches=hours)


def _day_burn(span: Span, given: Given, params: LampPlan) -> Result:
    tracks = real(given.all("lit"))
    windows = folds(span, tracks)
    if unplanned := _unplanned(params, windows):
        return unplanned
    dark = params.surely_dark(span)
    found = {name: clipped(s, dark) for name, s in by_branch(span, tracks).items()}
    if not any(found.values()):
        return Result.missing(*windows)
    burnt = {name: round(minutes(s), 1) for name, s in found.items() if on_s(s)}
    return Result.of(minutes(together(list(found.values()), max)), *windows, branches=burnt)


def _dark_night(span: Span, given: Given, params: LampPlan) -> Result:
    tracks = real(given.all("lit"))
    windows = folds(span, tracks)
    if unplanned := _unplanned(params, windows):
        return unplanned
    due = params.surely_lit(span)
    found = {name: clipped(s, due) for name, s in by_branch(span, tracks).items()}
    if not any(found.values()):
        return Result.missing(*windows)
    all_lit = together(list(found.values()), min)
    dark = {name: m for name, s in found.items() if (m := round((known_s(s) - on_s(s)) / 60, 1))}
    return Result.of((known_s(all_lit) - on_s(all_lit)) / 60, *windows, branches=dark)


def _on_minutes(span: Span, given: Given, _: Params) -> Result:
    tracks = given.all("contact")
    found = by_branch(span, tracks)
    windows = folds(span, tracks)
    if not found:
        return Result.missing(*windows)
    return Result.of(minutes(together(list(found.values()), max)), *windows)


# --- against the plan and the command ---------------------------------------------------------------------------------


def deviation_min(of: Sequence[Stretch], due_ms: int, *, on: bool) -> float | None:
    """Minutes from when it should have switched to the nearest time it did: positive is late. None if it never did."""
    moments = switched(of, on=on)
    nearest = min(moments, key=lambda at: abs(at - due_ms), default=None)
    return None if nearest is None else (nearest - due_ms) / 60_000


def _schedule_dev(span: Span, given: Given, params: LampPlan) -> Result:
    tracks = real(given.all("lit"))
    windows = folds(span, tracks)
    if unplanned := _unplanned(params, windows):
        return unplanned
    nights = [n for n in params.nights(span) if n.start_ms >= span.start_ms and n.end_ms <= span.end_ms]
    branch_devs: dict[str, dict[str, Any]] = {}
    worst: list[float] = []
    for name, found in by_branch(span, tracks).items():
        alternating = runs(found)
        for night in nights:
            on, off = (
                deviation_min(alternating, night.start_ms, on=True),
                deviation_min(alternating, night.end_ms, on=False),
            )
            if on is None and off is None and not _well_known(found, night):
                continue
            whole = night.length_s / 60  # it never switched: wrong all night long
            worst += [whole if dev is None else abs(dev) for dev in (on, off)]
            branch_devs[name] = {"on_min": _rounded(on), "off_min": _rounded(off)}
    if not worst:
        return Result.missing(*windows)
    return Result.of(max(worst), *windows, branches=branch_devs)


def _well_known(found: Sequence[Stretch], night: Span) -> bool:
    return known_s(clipped(found, [night])) >= 0.75 * night.length_s


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _mismatch(span: Span, given: Given, _: Params) -> Result:
    """Command and contact that belong together end in the same number: circuit_1 and contactor_1."""
    tracks = given.all("lit")
    asked = {_numbered(t): t for t in tracks if t.signal.writable}
    came = {_numbered(t): t for t in tracks if not t.signal.writable}
    pairs = [(asked[key], came[key]) for key in asked if key and key in came]
    windows = folds(span, [track for pair in pairs for track in pair])
    differing = {one.signal.id: _differing(stretches(one, span), stretches(other, span)) for one, other in pairs}
    known = [d for d in differing.values() if d]
    if not known:
        return Result.missing(*windows, why="" if pairs else "no command with a contact that proves it")
    by_pair = {name: round(minutes(d), 1) for name, d in differing.items() if on_s(d)}
    return Result.of(minutes(together(known, max)), *windows, branches=by_pair)


def _numbered(track: Track) -> str:
    match = _NUMBER.search(track.signal.id)
    return match[0] if match else ""


def _differing(one: Sequence[Stretch], other: Sequence[Stretch]) -> list[Stretch]:
    """When they said opposite things, where both said something. Windows that differ by less than half are the moment
    of switching, read twice."""
    theirs = {(s.start_ms, s.end_ms): s.share for s in other}
    return [
        Stretch(s.start_ms, s.end_ms, float(abs(s.share - share) > 0.5))
        for s in one
        if (share := theirs.get((s.start_ms, s.end_ms))) is not None
    ]


def _starts(span: Span, given: Given, _: Params) -> Result:
    tracks = real(given.all("lit"))
    found = by_branch(span, tracks)
    windows = folds(span, tracks)
    if not found:
        return Result.missing(*windows)
    starts = {name: len(switched(runs(s), on=True)) for name, s in found.items()}
    return Result.of(max(starts.values()), *windows, branches=starts)


_LIT = {"lit": Role(many=True)}

FORMULAS = (
    Formula(
        "light_lit_rate", _lit_rate, {"lit": Role(many=True), "current": Role(many=True, optional=True)}, LitParams
    ),
    Formula("light_on_hours", _on_hours, _LIT),
    Formula("light_day_burn", _day_burn, _LIT, LampPlan),
    Formula("light_dark_night", _dark_night, _LIT, LampPlan),
    Formula("light_schedule_dev", _schedule_dev, _LIT, LampPlan),
    Formula("light_mismatch", _mismatch, _LIT),
    Formula("light_starts", _starts, _LIT),
    Formula("on_minutes", _on_minutes, {"contact": Role(many=True)}),
)
