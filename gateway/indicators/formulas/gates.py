"""Gates: who and what passes in and out, and how many are inside. Counts of passages, never of persons known by name.

Which signals count inward is told by patterns on their ids, because a camera names its ways by the picture
("cam-2/gate/person/up"). One that is neither is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track
from gateway.indicators.formulas.folded import grown
from gateway.indicators.formulas.spells import incomplete
from gateway.indicators.periods import Span
from gateway.model.folding import growth
from gateway.model.measure import Kind

GATES = {"in": Role(many=True, optional=True), "out": Role(many=True, optional=True)}
PASSES = {**GATES, "passes": Role(many=True, optional=True)}
"""Counters that only count one way, and those whose signals are one for each way."""


class Gates(Params):
    inward: tuple[str, ...] = Field(
        ("*/in",), description='Which counts of passages go in, as patterns of signal ids: "cam-2/gate/*/up".'
    )
    outward: tuple[str, ...] = Field(("*/out",), description="Which go out, likewise.")
    classes: tuple[str, ...] = Field((), description='Of what has a class, only these: "person", "truck". Empty: all.')


class Ways(NamedTuple):
    """The tracks by way; `unassigned`: ids that no pattern fits, or a pattern of both ways."""

    inward: Sequence[Track]
    outward: Sequence[Track]
    unassigned: Sequence[str]


def ways(given: Given, params: Gates) -> Ways:
    inward, outward, unassigned = list(given.all("in")), list(given.all("out")), []
    for track in given.all("passes"):
        signal = track.signal
        if params.classes and signal.tags.get("cls", params.classes[0]) not in params.classes:
            continue
        is_in = any(fnmatchcase(signal.id, pattern) for pattern in params.inward)
        is_out = any(fnmatchcase(signal.id, pattern) for pattern in params.outward)
        if is_in == is_out:
            unassigned.append(signal.id)
        else:
            (inward if is_in else outward).append(track)
    return Ways(inward, outward, unassigned)


class Balance(NamedTuple):
    """People inside, and the most there were; `uncounted`: how many must have come in without being counted, because
    more left than were inside."""

    present: float
    peak: float
    uncounted: float


def balance(nets: Iterable[float]) -> Balance:
    """Of net inflows in the order of time, from an empty place on. Never below nobody: where the count would fall below
    zero, the difference came in uncounted. The mean of the errors is not known, so nothing else is corrected."""
    present = peak = uncounted = 0.0
    for net in nets:
        present += net
        if present < 0:
            uncounted -= present
            present = 0.0
        peak = max(peak, present)
    return Balance(present, peak, uncounted)


def steps(track: Track, span: Span) -> list[tuple[int, float]]:
    """(end, how many passed) of each window in the span that has a value. A counter's readings count from the last
    before the span on, if the track reaches back so far."""
    if track.signal.kind in (Kind.SUM, Kind.DELTA, Kind.COUNT):
        found = ((w.end_ms, w.value) for w in track.within(span))
        return [(end_ms, float(value)) for end_ms, value in found if value is not None and not isinstance(value, str)]
    before: float | None = None
    counted = []
    for window in track.windows:
        parts = window.parts
        if parts is None or parts.first is None or parts.last is None:
            continue
        if (window.start_ms or 0) >= span.start_ms:
            since = 0.0 if before is None else growth(before, parts.first, track.signal.rollover)
            counted.append((window.end_ms, since + growth(parts.first, parts.last, track.signal.rollover)))
        before = parts.last
    return counted


def total(tracks: Sequence[Track], span: Span, **detail: Any) -> Result:
    """The sum of what all of them counted. Partial where one gave nothing; missing where none gave anything."""
    counts = {track.signal.id: grown(track, span) for track in tracks}
    known = [count for count in counts.values() if count is not None]
    unseen = [name for name, count in counts.items() if count is None]
    if unseen:
        detail["unseen"] = unseen
    folded = [track.over(span) for track in tracks]
    return incomplete(Result.of(sum(known) if known else None, *folded, **detail), when=bool(unseen))


def unclear(found: Ways) -> dict[str, Any] | None:
    """Why nothing can be said of these gates; None if something can."""
    return {"unassigned": list(found.unassigned)} if found.unassigned else None


def _came(span: Span, given: Given, params: Gates) -> Result:
    found = ways(given, params)
    return Result.missing(**why) if (why := unclear(found)) else total(found.inward, span)


def _left(span: Span, given: Given, params: Gates) -> Result:
    found = ways(given, params)
    return Result.missing(**why) if (why := unclear(found)) else total(found.outward, span)


def _net(span: Span, given: Given, params: Gates) -> Result:
    found = ways(given, params)
    if why := unclear(found):
        return Result.missing(**why)
    came, left = total(found.inward, span), total(found.outward, span)
    windows = [track.over(span) for track in (*found.inward, *found.outward)]
    if not isinstance(came.value, float) or not isinstance(left.value, float):
        lacking: dict[str, Any] = {"in": came.value, "out": left.value}
        return Result.missing(*windows, **lacking)
    unseen = [*came.detail.get("unseen", ()), *left.detail.get("unseen", ())]
    result = Result.of(came.value - left.value, *windows, **{"in": came.value, "out": left.value, "unseen": unseen})
    return incomplete(result, when=bool(unseen))


def _peak_hour(span: Span, given: Given, params: Gates) -> Result:
    """The most that came in within one clock hour, and which. Partial hours count as far as they were seen."""
    found = ways(given, params)
    if why := unclear(found):
        return Result.missing(**why)
    hours = [(piece, total(found.inward, piece)) for piece in span.slices(3600)]
    counts = {piece.start_ms: result.value for piece, result in hours if isinstance(result.value, float)}
    whole = total(found.inward, span)
    if not counts:
        return Result.missing(*(track.over(span) for track in found.inward))
    at_ms = max(counts, key=lambda start_ms: counts[start_ms])
    windows = [track.over(span) for track in found.inward]
    detail = {"hour_start_ms": at_ms, "hours_seen": len(counts), "day": whole.value, **whole.detail}
    return incomplete(Result.of(counts[at_ms], *windows, **detail), when="unseen" in whole.detail)


FORMULAS = (
    Formula("gate_in", _came, PASSES, Gates, back_s=3600, grain_s=0),
    Formula("gate_out", _left, PASSES, Gates, back_s=3600, grain_s=0),
    Formula("gate_net", _net, PASSES, Gates, back_s=3600, grain_s=0),
    Formula("gate_peak_hour", _peak_hour, PASSES, Gates, back_s=3600, grain_s=3600),
)
