"""What the names of a site stand for, for the catalogue: each fact once, so that records carry codes only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from config.indicators_of import agencies, catalogue
from config.plan import Plan
from gateway.indicators.catalogue import Agency, Entry
from gateway.model.limit import Threshold
from gateway.model.measure import Signal


def meanings(plan: Plan, province: str, signals: Iterable[Signal]) -> dict[str, Any]:
    """`{"inds": ..., "agencies": ..., "limits": ...}` of `cat/1`; what would be empty is left out.

    inds      by indicator code, of those these signals have: names, groups, scenarios, FIWARE property, agency
    agencies  by the keys that `inds` names, those of the province; none where the catalogue knows none
    limits    by profile, as `lm.pf` of records names it: its document, and its rules; `of` are ids of points
    """
    known = catalogue()
    entries = [known[code] for code in sorted({signal.indicator for signal in signals}) if code in known]
    named = {key: by_province for key, by_province in agencies().items() if any(one.agency == key for one in entries)}
    said = {
        "inds": {entry.code: _indicator(entry) for entry in entries},
        "agencies": {key: _agency(its[province]) for key, its in named.items() if province in its},
        "limits": _limits(plan),
    }
    return {key: content for key, content in said.items() if content}


def _indicator(entry: Entry) -> dict[str, Any]:
    said = {
        "per": entry.period,
        "grp": list(entry.group),
        "sc": list(entry.scenarios),
        "ag": entry.agency,
        "fw": entry.fiware,
        **({"fwx": entry.fiware_factor, "fwu": entry.unit} if entry.fiware and entry.fiware_factor != 1 else {}),
        "pub": None if entry.public else False,
    }
    name = {"en": entry.name_en, "vi": entry.name_vi}
    return {"name": name, "ver": entry.version, **{key: one for key, one in said.items() if one not in (None, "", [])}}


def _agency(agency: Agency) -> dict[str, str]:
    return {"en": agency.name_en, "vi": agency.name_vi, **({"code": agency.code} if agency.code else {})}


def _limits(plan: Plan) -> dict[str, Any]:
    """Rules that are the same for several points are said once."""
    held: dict[Threshold, list[str]] = {}
    for ids, threshold in chain(_single(plan.single), _derived(plan)):
        held.setdefault(threshold, []).extend(ids)
    found: dict[str, Any] = {}
    for threshold, ids in sorted(held.items(), key=lambda one: (one[0].id, sorted(one[1]))):
        profile = found.setdefault(threshold.limit.profile, {"doc": threshold.limit.basis, "rules": []})
        profile["rules"].append({**_rule(threshold), "of": sorted(set(ids))})
    return found


def _single(single: Mapping[str, Sequence[Threshold]]) -> Iterable[tuple[list[str], Threshold]]:
    return (([name], threshold) for name, its in single.items() for threshold in its)


def _derived(plan: Plan) -> Iterable[tuple[list[str], Threshold]]:
    """What is only judged is no point of the catalogue: its rules are about what it is made of."""
    for one in plan.derived:
        ids = [one.signal.id] if one.published else [signal.id for signal in one.signals]
        yield from ((ids, threshold) for threshold in one.thresholds)


def _rule(threshold: Threshold) -> dict[str, Any]:
    limit, daily = threshold.limit, threshold.daily
    said = {
        "cl": limit.clause,
        "permit": limit.permit,
        "ok": None if threshold.confirmed else False,
        "from": threshold.from_ms,
        "to": threshold.to_ms,
        "daily": None if daily is None else list(daily),
        "alarm": threshold.alarm or None,
        "violation": threshold.violation or None,
    }
    rule = {"id": threshold.id, "op": limit.op, "lim": list(threshold.levels), "over": limit.over_s}
    return {**rule, **{key: one for key, one in said.items() if one not in (None, "")}}
