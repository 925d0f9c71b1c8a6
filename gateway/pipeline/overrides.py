"""What a site changes of its profiles' points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from gateway.model.measure import Signal
from gateway.pipeline.settings import PointSettings


def override(signals: Iterable[Signal], points: Mapping[str, PointSettings]) -> list[Signal]:
    """Each signal with every entry of `points` applied whose pattern matches its id or point, in their order:
    later entries win, so the general one comes first."""
    return [_apply(signal, points) for signal in signals]


def _apply(signal: Signal, points: Mapping[str, PointSettings]) -> Signal:
    for pattern, settings in points.items():
        if not (fnmatchcase(signal.id, pattern) or fnmatchcase(signal.point, pattern)):
            continue
        rule = signal.rule
        if settings.range is not None:
            rule = replace(rule, low=settings.range[0], high=settings.range[1])
        rule = replace(rule, max_step=settings.max_step or rule.max_step, stuck_s=settings.stuck_s or rule.stuck_s)
        signal = replace(
            signal,
            rule=rule,
            window_s=settings.window_s or signal.window_s,
            forward=settings.forward or signal.forward,
        )
    return signal
