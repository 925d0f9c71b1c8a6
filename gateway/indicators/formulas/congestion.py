"""How a road flows, in four states: thông thoáng, đông, ùn ứ, ùn tắc. Found by replaying minutes; nothing is kept.

There is no national definition. The limits are our proposal, close to what Ho Chi Minh City proposed (below 10 km/h for
30 minutes, queue over 300 m) and to what traffic police say (domain research, 7.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role, Track
from gateway.indicators.formulas.held import held, middle
from gateway.indicators.periods import Span
from gateway.model.measure import Reason

_ROLES = {
    "speed": Role(many=True, optional=True),
    "occupancy": Role(many=True, optional=True),
    "queue": Role(many=True, optional=True),
}
_MINUTE_MS = 60_000
_BACK_S = 7200


class Flow(IntEnum):
    FREE = 0
    DENSE = 1
    SLOW = 2
    JAM = 3


_VI = ("thông thoáng", "đông", "ùn ứ", "ùn tắc")


class FlowParams(Params):
    """Made to be changed for each road: no norm gives any of these numbers."""

    slow_kmh: float = Field(
        10, gt=0, le=120, description="Slower than this is held up (ùn ứ, later ùn tắc). Our proposal: 10."
    )
    slow_occupancy: float = Field(
        60, gt=0, le=100, description="So is a detector occupied for more than this, in %. Our proposal: 60."
    )
    dense_kmh: float = Field(20, gt=0, le=120, description="Slower than this is dense (đông). Our proposal: 20.")
    dense_occupancy: float = Field(
        40, gt=0, le=100, description="So is an occupancy above this, in %. Our proposal: 40."
    )
    queue_m: float = Field(300, gt=0, description="A queue longer than this is a jam at once. Our proposal: 300.")
    slow_after_min: int = Field(5, ge=1, le=60, description="Minutes held up until it is said (ùn ứ). Our proposal: 5.")
    jam_after_min: int = Field(
        30, ge=1, le=110, description="Minutes held up until it is a jam (ùn tắc). Our proposal: 30."
    )
    clear_after_min: int = Field(5, ge=1, le=60, description="Minutes not held up until it is over. Our proposal: 5.")
    lost_after_min: int = Field(
        5, ge=1, le=60, description="Minutes without data until nothing is known any more. Our proposal: 5."
    )


class Minute(NamedTuple):
    """What was measured in a minute; None where nothing was."""

    speed: float | None = None
    occupancy: float | None = None
    queue: float | None = None

    @property
    def is_known(self) -> bool:
        return any(value is not None for value in self)


def states(minutes: Iterable[Minute], params: FlowParams) -> Iterator[Flow | None]:
    """The state at the end of each minute, from the first one on; None: not known.

    A minute without data neither holds up nor clears; `lost_after_min` of them end what was known. At the beginning
    nothing is known, so that a jam that is older than the minutes given is found after its hold again.
    """
    state: Flow | None = None
    held_up = clear = silent = 0
    for minute in minutes:
        if not minute.is_known:
            silent += 1
            if silent >= params.lost_after_min:
                state, held_up, clear = None, 0, 0
            yield state
            continue
        silent = 0
        jam = _over(minute.queue, params.queue_m)
        if jam or _under(minute.speed, params.slow_kmh) or _over(minute.occupancy, params.slow_occupancy):
            held_up, clear = held_up + 1, 0
        else:
            clear += 1
            held_up = 0 if clear >= params.clear_after_min or (state or 0) < Flow.SLOW else held_up
        state = _next(state, minute, params, jam=jam, held_up=held_up, clear=clear)
        yield state


def _next(state: Flow | None, minute: Minute, params: FlowParams, *, jam: bool, held_up: int, clear: int) -> Flow:
    """`held_up`: minutes since it began, short reliefs forgiven; `clear`: minutes of relief in a row."""
    if jam or (held_up >= params.jam_after_min and not clear):
        return Flow.JAM
    if state in (Flow.SLOW, Flow.JAM) and clear < params.clear_after_min:
        return state
    if held_up >= params.slow_after_min:
        return Flow.SLOW
    dense = _under(minute.speed, params.dense_kmh) or _over(minute.occupancy, params.dense_occupancy)
    return Flow.DENSE if dense else Flow.FREE


def _over(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def _under(value: float | None, limit: float) -> bool:
    return value is not None and value < limit


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _by_minute(tracks: Iterable[Track], span: Span, pick: Callable[[Sequence[float]], float]) -> dict[int, float]:
    found: dict[int, list[float]] = {}
    for track in tracks:
        for course in held(track, span):
            mean = middle(course.window)
            if mean is None:
                continue
            for at in range(course.start_ms - course.start_ms % _MINUTE_MS, course.end_ms, _MINUTE_MS):
                found.setdefault(at, []).append(mean)
    return {at: pick(values) for at, values in found.items()}


def _course(span: Span, given: Given, params: FlowParams) -> tuple[list[Flow | None], Flow | None]:
    """The state of each minute of the span, and the one before it."""
    whole = Span(span.start_ms - _BACK_S * 1000, span.end_ms)
    speed = _by_minute(given.all("speed"), whole, _mean)
    occupancy = _by_minute(given.all("occupancy"), whole, _mean)
    queue = _by_minute(given.all("queue"), whole, max)
    at = range(whole.start_ms, whole.end_ms, _MINUTE_MS)
    course = list(states((Minute(speed.get(t), occupancy.get(t), queue.get(t)) for t in at), params))
    before = _BACK_S // 60
    return course[before:], course[before - 1]


def _state(span: Span, given: Given, params: FlowParams) -> Result:
    windows = [track.over(span) for tracks in given.tracks.values() for track in tracks]
    course, _ = _course(span, given, params)
    if not windows or not course or course[-1] is None:
        return Result.missing(*windows)
    return Result.of(int(course[-1]), *windows, state_vi=_VI[course[-1]], basis="our proposal")


def _day(span: Span, given: Given, params: FlowParams) -> tuple[Result, int]:
    """The minutes of jam, and how many jams began."""
    windows = [track.over(span) for tracks in given.tracks.values() for track in tracks]
    course, before = _course(span, given, params)
    known = [state for state in course if state is not None]
    if not known:
        return Result.missing(*windows, reason=Reason.STALE), 0
    minutes = {name: sum(state == flow for state in known) for flow, name in enumerate(_VI)}
    begun = sum(now is Flow.JAM and was is not Flow.JAM for was, now in zip([before, *course], course, strict=False))
    detail: dict[str, Any] = {"minutes": minutes, "known_min": len(known), "basis": "our proposal"}
    return Result.of(minutes[_VI[Flow.JAM]], *windows, **detail), begun


def _congestion_min(span: Span, given: Given, params: FlowParams) -> Result:
    return _day(span, given, params)[0]


def _congestion_events(span: Span, given: Given, params: FlowParams) -> Result:
    """Jams that began in the span; one that only lasts into it belongs to the span before."""
    minutes, begun = _day(span, given, params)
    if minutes.value is None:
        return minutes
    return Result(begun, minutes.quality, minutes.reasons, minutes.parts, minutes.detail)


FORMULAS = (
    Formula("traffic_state", _state, _ROLES, FlowParams, back_s=_BACK_S),
    Formula("congestion_min", _congestion_min, _ROLES, FlowParams, back_s=_BACK_S),
    Formula("congestion_events", _congestion_events, _ROLES, FlowParams, back_s=_BACK_S),
)
