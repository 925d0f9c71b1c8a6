"""Everything that is wrong with a site file, in one run."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from config import checks, load, machine, place_checks
from config.events import Staged, events_of
from config.findings import Code, Finding, in_order
from config.limit_checks import limits_are_sound
from config.load import Tree
from config.plan import Plan, PlannedEvent, planned, together
from config.profiles import Shelf
from config.schema import Site
from config.words import validated
from config.zones import Zone
from drivers.profiles import AnyProfile
from drivers.settings import DeviceSettings, WireSettings
from gateway.indicators.limit_profiles import LimitUse
from gateway.indicators.settings import PublishedEntry
from gateway.model.measure import Signal
from gateway.pipeline.settings import PointSettings
from gateway.uplink.settings import UplinkSettings
from gateway.uplink.tt10.settings import Tt10Export
from vision.settings import CameraSettings


@dataclass(frozen=True, slots=True)
class Linted:
    """`site` is None if there are errors in the document itself; `profiles` are those that were found, by device."""

    site: Site | None
    profiles: Mapping[str, AnyProfile]
    findings: list[Finding]
    plan: Plan = field(default_factory=Plan)
    events: Mapping[str, PlannedEvent] = field(default_factory=dict)


def lint(path: pathlib.Path) -> Linted:
    tree = load.read(path)
    if tree.data is None:
        empty = tree.finding(Code.MISSING_KEY, (), "this file is empty", "copy an example from config/sites")
        return Linted(None, {}, tree.findings or [empty])
    site, wrong = validated(tree, _adapter(Site))
    draft = _draft(tree, path)
    special = [finding for check in (*checks.ALL, *place_checks.ALL, *machine.ALL) for finding in check(draft)]
    staged, of_events = events_of(draft, time.time_ns() // 1_000_000)
    plan, events, unformed = planned(draft, staged)
    special += limits_are_sound(draft, plan.signals, _published(plan))
    of_events += [found for one, event in zip(staged, events, strict=True) for found in _of_event(one, event.plan)]
    findings = in_order([
        *tree.findings,
        *_without_echoes(wrong, [*special, *unformed, *of_events]),
        *draft.shelf.findings(),
    ])  # fmt: skip
    by_name = {one.source.event.event: one for one in events}
    return Linted(site, draft.profiles, findings, together(plan, events), by_name)


def _published(plan: Plan) -> list[Signal]:
    return [one.signal for one in plan.derived if one.published]


def _of_event(staged: Staged, plan: Plan) -> list[Finding]:
    """What is wrong with an event's places and limits on this site; the place of the site is the site file's matter."""
    draft = staged.draft
    found = [finding for check in (*place_checks.ALL, checks.patterns_match_something) for finding in check(draft)]
    found += limits_are_sound(draft, plan.signals, _published(plan))
    return [finding for finding in found if finding.path.partition(".")[0] != "place"]


def _without_echoes(wrong: list[Finding], special: list[Finding]) -> list[Finding]:
    """Where a check knows more than the schema, only the check speaks; of a password, only that it is one."""
    known = {(finding.file, finding.path) for finding in special if finding.severity == "error"}
    secret = {finding.path for finding in special if finding.code is Code.PASSWORD_IN_DOCUMENT}
    kept = [f for f in special if f.path not in secret or f.code is Code.PASSWORD_IN_DOCUMENT]
    own = [
        f for f in wrong if (f.file, f.path) not in known and not (f.code is Code.BAD_VALUE and _holds(f.path, secret))
    ]
    return own + kept


def _holds(path: str, secret: set[str]) -> bool:
    # A room that refuses the password in an address says so of the whole entry.
    return any(inner.startswith(f"{path}.") for inner in secret)


def _draft(tree: Tree, path: pathlib.Path) -> checks.Draft:
    """Whatever part of the document is sound by itself, so that one mistake does not hide the next."""
    base = path.absolute().parent
    shelf = Shelf(base)
    devices: dict[str, DeviceSettings] = _sound_entries(tree, "devices", DeviceSettings)
    profiles = {name: found for name, device in devices.items() if (found := shelf.profile(device.profile))}
    return checks.Draft(
        tree=tree,
        base=base,
        shelf=shelf,
        profiles=profiles,
        wires=_sound_entries(tree, "wires", WireSettings),
        devices=devices,
        cameras=_sound_entries(tree, "cameras", CameraSettings),
        uplink=validated(tree, _adapter(UplinkSettings), ("uplink",))[0],
        points=_sound_entries(tree, "points", PointSettings),
        tt10=_sound_items(tree, "tt10", Tt10Export),
        zones=_sound_entries(tree, "zones", Zone),
        indicators=_sound_items(tree, "indicators", PublishedEntry),
        limits=_sound_items(tree, "limits", LimitUse),
    )


def _sound_entries(tree: Tree, section: str, kind: Any) -> dict[str, Any]:
    entries = tree.get((section,))
    names = entries if isinstance(entries, dict) else {}
    found = {name: validated(tree, _adapter(kind), (section, name))[0] for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _sound_items(tree: Tree, section: str, kind: Any) -> dict[int, Any]:
    items = tree.get((section,))
    numbers = range(len(items) if isinstance(items, list) else 0)
    found = {number: validated(tree, _adapter(kind), (section, number))[0] for number in numbers}
    return {number: value for number, value in found.items() if value is not None}


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
