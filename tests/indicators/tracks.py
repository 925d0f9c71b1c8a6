"""A track from a list of values, one a minute: what tests of formulas need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gateway.indicators.formula import Given, Track
from gateway.indicators.periods import Span
from gateway.model.indicator import Indicator, Parts
from gateway.model.limit import Threshold
from gateway.model.measure import Kind, Quality, Reason, Signal, Value

T0: Final = 1_790_787_600_000
"""2026-10-01 00:00 in Viet Nam (+07): begins a day, an hour and a month."""
HOUR_MS: Final = 3_600_000


def track(
    code: str,
    values: Sequence[Value | None],
    every_s: float = 60,
    window_s: int = 60,
    kind: Kind = Kind.MEAN,
    *,
    start_ms: int = T0,
    unit: str = "",
    **signal_fields: Any,
) -> Track:
    """The track of one signal: its nth value is that of its nth window from `start_ms`. None is a window in which
    nothing was read. `every_s` is the signal's; a window with a value has all the readings it should.

    `id` is "dev/<last part of the code>" and `point` is "dev" unless they are told; so are `tags`, `rollover` ...
    """
    fields: dict[str, Any] = {"id": f"dev/{code.rpartition('.')[2]}", "point": "dev", **signal_fields}
    signal = Signal(indicator=code, unit=unit, kind=kind, every_s=every_s, window_s=window_s, **fields)
    step = window_s * 1000
    return Track(signal, [window(signal, start_ms + i * step, value) for i, value in enumerate(values)])


def window(signal: Signal, start_ms: int, value: Value | None, *reasons: Reason) -> Indicator:
    """One window of a signal; uncertain where it has a reason."""
    end_ms = start_ms + signal.window_s * 1000
    n = max(1, round(signal.window_s / signal.every_s))
    if value is None:
        return Indicator(
            signal, start_ms, end_ms, None, Quality.MISSING, reasons or (Reason.NO_ANSWER,), parts=Parts(0, n)
        )
    quality = Quality.UNCERTAIN if reasons else Quality.GOOD
    if isinstance(value, str):
        return Indicator(signal, start_ms, end_ms, value, quality, reasons, Parts(n, n))
    x = float(value)
    total = x if signal.kind in (Kind.SUM, Kind.DELTA) else x * n
    return Indicator(signal, start_ms, end_ms, value, quality, reasons, Parts(n, n, total, x, x, x, x))


def given(*thresholds: Threshold, **roles: Track | Sequence[Track]) -> Given:
    """What a formula gets: a track, or several, for each role."""
    tracks = {role: (found,) if isinstance(found, Track) else tuple(found) for role, found in roles.items()}
    return Given(tracks, thresholds)


def span(length_s: float, start_ms: int = T0) -> Span:
    """So many seconds from here on."""
    return Span(start_ms, start_ms + round(length_s * 1000))
