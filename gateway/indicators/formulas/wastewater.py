"""Wastewater: volume, balance and load of a day, and how much of the data came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track
from gateway.indicators.formulas.folded import grown
from gateway.indicators.formulas.slices import base_s, complete_number, counted, judged, partial, pieces
from gateway.indicators.periods import DAY_S, Span
from gateway.model.folding import COMPLETE_SHARE
from gateway.model.indicator import Indicator

TO_M3_H: Final = {"m3/h": 1.0, "m³/h": 1.0, "m3/s": 3600.0, "L/s": 3.6, "l/s": 3.6, "m3/d": 1 / 24}
TO_MG_L: Final = {"mg/L": 1.0, "mg/l": 1.0, "g/m3": 1.0, "ug/L": 1e-3, "g/L": 1e3}


class _Together(NamedTuple):
    """Means of tracks over the same pieces of time, where all have one; `hours`: how long that is."""

    rows: list[tuple[float, ...]]
    piece_h: float
    used: list[Indicator]
    seen: list[Indicator]

    @property
    def hours(self) -> float:
        return len(self.rows) * self.piece_h


def _together(span: Span, tracks: Sequence[Track], factors: Sequence[float]) -> _Together:
    length_s = base_s(*tracks)
    rows: list[tuple[float, ...]] = []
    used: list[Indicator] = []
    seen: list[Indicator] = []
    for windows in zip(*(pieces(track, span, length_s) for track in tracks), strict=True):
        seen += windows
        values = [complete_number(window, 0.0) for window in windows]
        row = tuple(v * f for v, f in zip(values, factors, strict=True) if v is not None)
        if len(row) == len(values):
            rows.append(row)
            used += windows
    return _Together(rows, length_s / 3600, used, seen)


def _covering(result: Result, hours: float, span: Span) -> Result:
    return result if hours * 3600 >= COMPLETE_SHARE * span.length_s else partial(result)


def _unit(track: Track) -> Result:
    return Result.missing(unit=f"{track.signal.unit or 'none'}: not known for {track.signal.indicator}")


def _volume(span: Span, given: Given, _: Params) -> Result:
    """By the counter; where there is none, or it said nothing: flow times time, of the time in which flow is known."""
    counter, flow = given.one("counter"), given.one("flow")
    if counter is not None:
        volume = grown(counter, span)
        if volume is not None:
            return Result.of(volume, counter.over(span), method="counter")
    if flow is None:
        return Result.missing() if counter is None else Result.missing(counter.over(span), method="counter")
    factor = TO_M3_H.get(flow.signal.unit)
    if factor is None:
        return _unit(flow)
    found = _together(span, [flow], [factor])
    volume = sum(row[0] for row in found.rows) * found.piece_h if found.rows else None
    return _covering(judged(volume, found.used, found.seen, method="flow", hours=found.hours), found.hours, span)


def _balance(span: Span, given: Given, _: Params) -> Result:
    """What came in and did not go out, in % of what came in, over the time in which both are known. Above zero: less
    goes out than comes in, as with a bypass."""
    flows = [given.the("flow_in"), given.the("flow_out")]
    factors = [TO_M3_H.get(track.signal.unit) for track in flows]
    known = [factor for factor in factors if factor is not None]
    if len(known) < len(factors):
        return _unit(flows[factors.index(None)])
    found = _together(span, flows, known)
    came, went = (sum(row[i] for row in found.rows) * found.piece_h for i in (0, 1))
    rate = 100 * (came - went) / came if came > 0 else None
    detail: dict[str, Any] = {"numerator": came - went, "denominator": came, "in_m3": came, "out_m3": went}
    return _covering(judged(rate, found.used, found.seen, **detail, hours=found.hours), found.hours, span)


def load_kg(pairs: Sequence[tuple[float, float]], piece_h: float) -> float:
    """kg of pairs (concentration in mg/L, flow in m3/h), each standing for so many hours: 1 mg/L is 1 g/m3."""
    return sum(concentration * flow for concentration, flow in pairs) * piece_h / 1000


def _load(span: Span, given: Given, _: Params) -> Result:
    """Concentration times flow, piece by piece, over the time in which both are known. Nothing is made up for gaps."""
    concentration, flow = given.the("concentration"), given.the("flow")
    mg_l, m3_h = TO_MG_L.get(concentration.signal.unit), TO_M3_H.get(flow.signal.unit)
    if mg_l is None or m3_h is None:
        return _unit(concentration if mg_l is None else flow)
    found = _together(span, [concentration, flow], [mg_l, m3_h])
    load = load_kg([(row[0], row[1]) for row in found.rows], found.piece_h) if found.rows else None
    volume = sum(row[1] for row in found.rows) * found.piece_h
    result = judged(load, found.used, found.seen, volume_m3=volume, hours=found.hours)
    return _covering(result, found.hours, span)


def _capture(span: Span, given: Given, _: Params) -> Result:
    """Usable readings of those expected. Of none at all: 0 %, since it is the absence of data that is measured; while
    calibrating, at fault or out of range a reading is not usable."""
    windows = [track.over(span) for track in given.all("value")]
    parts = counted(windows)
    detail = {"numerator": parts.n, "denominator": parts.expected}
    return replace(Result.of(100 * parts.n / parts.expected, **detail), parts=parts)


FORMULAS: Final = (
    Formula("volume", _volume, {"counter": Role(optional=True), "flow": Role(optional=True)}, back_s=DAY_S),
    Formula("flow_balance", _balance, {"flow_in": Role(), "flow_out": Role()}),
    Formula("pollution_load", _load, {"concentration": Role(), "flow": Role()}),
    Formula("capture_rate", _capture, {"value": Role(many=True)}),
)
