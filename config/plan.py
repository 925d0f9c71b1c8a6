"""What a site derives and judges, from its document: the indicators it publishes, resolved to their inputs, and the
thresholds on everything.

A gateway runs by the plan; `gateway check` reads what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from config.checks import Draft
from config.derive import Ground, resolve
from config.events import EventFile, Staged
from config.findings import Code, Finding
from config.ground import about
from config.indicators_of import catalogue, pcu_tables
from config.limits_of import profiles
from config.signals import signals_of
from gateway.indicators.book import FORMULAS
from gateway.indicators.engine import Derived
from gateway.indicators.formula import Formula
from gateway.indicators.own_signals import own_signals
from gateway.indicators.periods import DAY_S, Period, Span
from gateway.indicators.thresholds import thresholds
from gateway.model.limit import Threshold
from gateway.model.measure import Kind, Signal

_RUNNING_S = 8 * 3600
"""Means of eight hours are formed each hour (QCVN 05:2023/BTNMT; Quyết định 1459/QĐ-TCMT)."""
_MEANS = ("air_mean", "fold_mean")
_GROWS = (Kind.DELTA, Kind.SUM, Kind.COUNT)


@dataclass(frozen=True, slots=True)
class Plan:
    """`signals`: everything that is measured here. `derived`: what is made of it, to be sent or only to be judged.
    `single`: thresholds that each single reading of a signal is held against, by its id."""

    signals: Sequence[Signal] = ()
    derived: Sequence[Derived] = ()
    single: Mapping[str, Sequence[Threshold]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """`plan`: what this event adds to that of the site."""

    source: EventFile
    plan: Plan


def planned(draft: Draft, events: Sequence[Staged] = ()) -> tuple[Plan, list[PlannedEvent], list[Finding]]:
    """The plan of what is sound: the site's own, and of each of its events; and what is wrong."""
    signals = _signals(draft)
    if not draft.indicators and not draft.limits and not events:
        return Plan(signals), [], []
    known = about(signals, draft.points, draft.zones, draft.place)
    ground = Ground(catalogue(), signals, pcu_tables(), known)
    plan, findings = _resolved(ground, draft)
    parts = []
    for staged in events:
        part, wrong = _resolved(_of_event(ground, staged, draft), staged.draft)
        parts.append(PlannedEvent(staged.source, part))
        findings += wrong
    return plan, parts, findings


def together(plan: Plan, events: Iterable[PlannedEvent]) -> Plan:
    """The plan of a site, with what its events add."""
    derived, single = list(plan.derived), {name: list(its) for name, its in plan.single.items()}
    for event in events:
        derived += event.plan.derived
        for name, its in event.plan.single.items():
            single.setdefault(name, []).extend(its)
    return Plan(plan.signals, derived, single)


def _of_event(ground: Ground, staged: Staged, site: Draft) -> Ground:
    """The ground of an event: what it says of a point goes before what the site says."""
    event = staged.source.event
    its = about(ground.signals, event.points, {**site.zones, **event.zones}, None)
    known = {name: {**of_site, **event.fills, **its[name]} for name, of_site in ground.about.items()}
    return replace(ground, about=known, active=event.span, within=staged.source.prefix)


def _resolved(ground: Ground, draft: Draft) -> tuple[Plan, list[Finding]]:
    resolved = resolve(((("indicators", number), one) for number, one in draft.indicators.items()), ground)
    findings = [
        draft.tree.finding(wrong.code, wrong.path, wrong.what, wrong.hint, "error" if wrong.is_error else "warning")
        for wrong in resolved.wrong
        if wrong.code is not Code.NO_INPUT or draft.is_whole
    ]
    return _judged(ground, resolved.derived, draft), findings


def _judged(ground: Ground, derived: Sequence[Derived], draft: Draft) -> Plan:
    """The plan with the thresholds of the site's limits, or of an event's: those are in force in its time alone."""
    signals = ground.signals
    held = thresholds(
        draft.limits.values(),
        profiles(draft.base, {use.profile for use in draft.limits.values()}),
        signals,
        [one.signal for one in derived],
    )
    if ground.active is not None:
        held = {name: [_within(ground.within, ground.active, one) for one in its] for name, its in held.items()}
    single = {s.id: its for s in signals if (its := [t for t in held.get(s.id, ()) if not t.limit.over_s])}
    minutes = [
        _minute(s, FORMULAS[entry.judged], single.pop(s.id), ground.about.get(s.id, {}))
        for s in signals
        if s.id in single and (entry := ground.catalogue.get(s.indicator)) is not None and entry.judged
    ]
    told = [_held(one, held) for one in derived]
    means = _only_judged(signals, held, {_mean_of(one) for one in derived})
    judged = [
        replace(one, signal=replace(one.signal, id=f"{ground.within}{one.signal.id}"), active=ground.active)
        for one in (*means, *minutes)
    ]
    return Plan(signals, [*told, *judged], single)


def _within(prefix: str, span: Span, threshold: Threshold) -> Threshold:
    """Named by the event, and in force within its time."""
    from_ms, to_ms = threshold.from_ms, threshold.to_ms
    return replace(
        threshold,
        id=f"{prefix}{threshold.id}",
        from_ms=span.start_ms if from_ms is None else max(from_ms, span.start_ms),
        to_ms=span.end_ms if to_ms is None else min(to_ms, span.end_ms),
    )


def _held(derived: Derived, held: Mapping[str, Sequence[Threshold]]) -> Derived:
    """With its own limits, and where it is the mean that a limit of its input speaks of, with that one."""
    levels = held.get(derived.signals[0].id, ())
    mean = _mean_of(derived)
    of_mean = [one for one in levels if mean is not None and one.limit.over_s == mean[1]]
    its = [_as_long(one, derived.period) for one in (*held.get(derived.signal.id, ()), *of_mean)]
    return replace(derived, thresholds=its, levels=levels)


def _as_long(threshold: Threshold, period: Period) -> Threshold:
    """A value of five minutes has been there for five minutes: so much less it is waited for."""
    length_s = period.length_s
    return replace(threshold, hold_s=max(0, threshold.hold_s - length_s), clear_s=max(0, threshold.clear_s - length_s))


def _mean_of(derived: Derived) -> tuple[str, int] | None:
    """The signal and the length that it is the mean of, as limits speak of it: the published one is judged then, and
    no other is formed beside it."""
    period = derived.period
    if derived.formula.name not in _MEANS or period.length_s > DAY_S:
        return None
    as_judged = replace(_period(period.length_s), name=period.name) == period
    return (derived.signals[0].id, period.length_s) if as_judged else None


def _only_judged(
    signals: Sequence[Signal], held: Mapping[str, Sequence[Threshold]], told: Collection[tuple[str, int] | None]
) -> list[Derived]:
    """Means that a limit speaks of and nobody publishes, one for each length."""
    wanted: dict[tuple[str, int], list[Threshold]] = {}
    for signal in signals:
        for one in held.get(signal.id, ()):
            if one.limit.over_s and (signal.id, one.limit.over_s) not in told:
                wanted.setdefault((signal.id, one.limit.over_s), []).append(one)
    by_id = {signal.id: signal for signal in signals}
    return [_mean(by_id[name], over_s, its) for (name, over_s), its in sorted(wanted.items())]


def _period(over_s: int) -> Period:
    """How often a mean of this length is formed."""
    return Period.of("day") if over_s == DAY_S else Period.of(f"{over_s}s", "1h" if over_s == _RUNNING_S else "")


def _mean(signal: Signal, over_s: int, its: Sequence[Threshold]) -> Derived:
    period = _period(over_s)
    kind = signal.kind if signal.kind in _GROWS else Kind.MEAN
    return Derived(
        signal=replace(
            signal, id=f"{signal.id}/{over_s}s", kind=kind, every_s=period.every_s, window_s=period.length_s
        ),
        formula=FORMULAS[f"fold_{kind}"],
        inputs={"value": [signal]},
        period=period,
        thresholds=its,
        published=False,
    )


def _minute(signal: Signal, formula: Formula, its: Sequence[Threshold], about: Mapping[str, Any]) -> Derived:
    """A reading as what it stands for: a gauge's, as the stage above its station's datum."""
    known = formula.params.model_fields
    return Derived(
        signal=replace(signal, id=f"{signal.id}/judged", window_s=60),
        formula=formula,
        inputs={next(iter(formula.roles)): [signal]},
        period=Period.of("1m"),
        params=formula.params.model_validate({name: value for name, value in about.items() if name in known}),
        thresholds=its,
        published=False,
    )


def _signals(draft: Draft) -> list[Signal]:
    devices = {name: (draft.devices[name], profile) for name, profile in draft.profiles.items()}
    return signals_of(devices, draft.cameras, draft.points, own_signals())
