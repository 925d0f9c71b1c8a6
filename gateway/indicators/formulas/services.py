"""Services of a place: bins and their emptying, toilets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track, number
from gateway.indicators.formulas.spells import course, incomplete, on, spent
from gateway.indicators.periods import DAY_S, Span
from gateway.model.indicator import Indicator
from gateway.model.measure import Kind

_BACK_S = DAY_S
_BINS = {"fill": Role(many=True)}


class LatestParams(Params):
    valid_h: float = Field(
        6, gt=0, le=24, description="So long the last word of a sensor counts, in hours. Our proposal: 6 h."
    )


class BinsParams(LatestParams):
    full_at: float = Field(80, gt=0, le=100, description="A bin counts as full from here on, in %. Our proposal: 80 %.")


class TripsParams(Params):
    drop: float = Field(
        30, gt=0, le=100, description="A bin was emptied if it is so much less full at once, in points of %. [P]: 30."
    )
    together_min: float = Field(
        30, ge=0, le=720, description="Bins emptied within so many minutes are one trip. Our proposal: 30 min."
    )


class StallsParams(Params):
    stalls: int | None = Field(None, gt=0, description="How many stalls there are, where people are counted.")


def latest(track: Track, span: Span, valid_h: float) -> Indicator | None:
    """The newest window that has a value and is not older than this at the end of the span."""
    since_ms = span.end_ms - valid_h * 3_600_000
    return max(
        (w for w in track.windows if w.value is not None and since_ms < w.end_ms <= span.end_ms),
        key=lambda w: w.end_ms,
        default=None,
    )


def truth(window: Indicator | None) -> bool | None:
    """Whether the last reading of a window said yes; None where there is none, or a text."""
    if window is None or isinstance(window.value, str):
        return None
    last = window.parts.last if window.parts is not None else None
    found = last if last is not None else window.value
    return None if found is None else found >= 0.5


def truths(tracks: Iterable[Track], span: Span, valid_h: float) -> tuple[dict[str, bool | None], list[Indicator]]:
    """What each signal last said, None where it has been silent; and the windows it was taken from."""
    windows = {track.signal.id: latest(track, span, valid_h) for track in tracks}
    return {name: truth(window) for name, window in windows.items()}, [w for w in windows.values() if w is not None]


def counted(said: dict[str, bool | None], windows: Sequence[Indicator]) -> Result:
    """How many said yes. Partial where some were silent; missing where all were."""
    yes = [name for name, is_so in said.items() if is_so]
    unseen = [name for name, is_so in said.items() if is_so is None]
    detail: dict[str, Any] = {"which": yes, "of": len(said), "unseen": unseen}
    if len(unseen) == len(said):
        return Result.missing(*windows, **detail)
    return incomplete(Result.of(len(yes), *windows, **detail), when=bool(unseen))


def emptied(fills: Sequence[tuple[int, float]], drop: float) -> list[int]:
    """When a bin was emptied: its fill fell by at least `drop` from one reading to the next, and the reading after that
    did not go back more than half of the way (a lid that stood open is no emptied bin)."""
    found = []
    for i in range(1, len(fills)):
        before, (at_ms, now) = fills[i - 1][1], fills[i]
        after = fills[i + 1][1] if i + 1 < len(fills) else now
        if before - now >= drop and before - after >= drop / 2:
            found.append(at_ms)
    return found


def trips(moments: Iterable[int], together_min: float) -> list[int]:
    """Beginnings of the groups in which each moment is within so many minutes of the one before it."""
    begins: list[int] = []
    before: int | None = None
    for at_ms in sorted(moments):
        if before is None or at_ms - before > together_min * 60_000:
            begins.append(at_ms)
        before = at_ms
    return begins


def _readings(track: Track) -> list[tuple[int, float]]:
    """First and last reading of each window, in order: all that is known of what went on within it."""
    found = []
    for window in track.windows:
        if window.parts is not None and window.parts.first is not None and window.parts.last is not None:
            if window.parts.n > 1:
                found.append((window.start_ms or window.end_ms, window.parts.first))
            found.append((window.end_ms, window.parts.last))
    return found


def _fill_max(span: Span, given: Given, params: LatestParams) -> Result:
    windows = {track.signal.id: latest(track, span, params.valid_h) for track in given.all("fill")}
    fills = {name: value for name, window in windows.items() if (value := number(window)) is not None}
    unseen = [name for name in windows if name not in fills]
    used = [window for window in windows.values() if window is not None]
    if not fills:
        return Result.missing(*used, unseen=unseen)
    fullest = max(fills, key=lambda name: fills[name])
    return incomplete(Result.of(fills[fullest], *used, at=fullest, fills=fills, unseen=unseen), when=bool(unseen))


def _bins_over(span: Span, given: Given, params: BinsParams) -> Result:
    windows = {track.signal.id: latest(track, span, params.valid_h) for track in given.all("fill")}
    fills = {name: number(window) for name, window in windows.items()}
    said = {name: None if fill is None else fill >= params.full_at for name, fill in fills.items()}
    return counted(said, [window for window in windows.values() if window is not None])


def _trips(span: Span, given: Given, params: TripsParams) -> Result:
    """Bins emptied in the span, those at about the same time as one trip. A drop seen only after a silence counts."""
    bins = given.all("fill")
    folded = [track.over(span) for track in bins]
    unseen = [window.signal.id for window in folded if number(window) is None]
    if len(unseen) == len(bins):
        return Result.missing(*folded, unseen=unseen)
    moments = {track.signal.id: emptied(_readings(track), params.drop) for track in bins}
    within = {
        name: [at for at in found if span.start_ms < at <= span.end_ms] for name, found in moments.items() if found
    }
    begins = trips((at for found in within.values() for at in found), params.together_min)
    detail = {"bins_emptied": {name: len(found) for name, found in within.items() if found}, "unseen": unseen}
    return incomplete(Result.of(len(begins), *folded, **detail), when=bool(unseen))


def _occupancy(span: Span, given: Given, params: StallsParams) -> Result:
    """Share of the time of all stalls in which they were taken, by their doors; else people over stalls."""
    doors, people = given.all("doors"), given.all("people")
    if not doors:
        return _by_people(span, people, params)
    folded = [track.over(span) for track in doors]
    times = {track.signal.id: spent(course(track, span, on)) for track in doors}
    taken, known = sum(time.minutes for time in times.values()), sum(time.known for time in times.values())
    unseen = [name for name, time in times.items() if not time.known]
    if not known:
        return Result.missing(*folded, unseen=unseen)
    detail = {"taken_min": taken, "known_min": known, "stalls": len(doors), "unseen": unseen}
    return incomplete(Result.of(100 * taken / known, *folded, **detail), when=bool(unseen))


def _by_people(span: Span, people: Sequence[Track], params: StallsParams) -> Result:
    folded = [track.over(span, Kind.MEAN) for track in people]
    known = [value for window in folded if (value := number(window)) is not None]
    if params.stalls is None or not known:
        return Result.missing(*folded, stalls=params.stalls)
    detail = {"people": sum(known), "stalls": params.stalls}
    result = Result.of(100 * min(1.0, sum(known) / params.stalls), *folded, **detail)
    return incomplete(result, when=len(known) < len(people))


def _count_yes(span: Span, given: Given, params: LatestParams) -> Result:
    return counted(*truths(given.all("state"), span, params.valid_h))


_STALLS = {"doors": Role(many=True, optional=True), "people": Role(many=True, optional=True)}

FORMULAS = (
    Formula("fill_max", _fill_max, _BINS, LatestParams, back_s=_BACK_S, grain_s=300),
    Formula("bins_over", _bins_over, _BINS, BinsParams, back_s=_BACK_S, grain_s=300),
    Formula("bin_trips", _trips, _BINS, TripsParams, back_s=_BACK_S),
    Formula("stall_occupancy", _occupancy, _STALLS, StallsParams, back_s=3600),
    Formula("count_yes", _count_yes, {"state": Role(many=True)}, LatestParams, back_s=_BACK_S, grain_s=300),
)
