"""Events: a festival, a night market, a match. One file says what is watched where, in which hours, against which
limits; it is active from its beginning to its end, and harmless in a site file afterwards.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from config.checks import Draft
from config.findings import Code, Finding, Path
from config.load import Tree
from config.named import read_named
from config.zones import Zone
from gateway.indicators.limit_profiles import Hours, LimitUse
from gateway.indicators.own_signals import NAME as GATEWAY
from gateway.indicators.periods import DAY_S, LOCAL, Span
from gateway.indicators.settings import PublishedEntry
from gateway.pipeline.settings import PointSettings

LINGER_MS: Final = DAY_S * 1000
"""So long after its end the last values of an event may still come; then it is to be archived and taken out."""
_WHERE = frozenset(("zone", "route", "km", "direction", "lat", "lon", "accuracy_m", "mobile"))
_OF_THE_SITE = ("place", "devices", "cameras", "routes")


def _moment(text: str) -> str:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is not None or len(text) < len("2026-09-30 07:00"):
        raise ValueError(f'"{text}" is no day and time: "2026-09-30 07:00", always local (UTC+7)')
    return text


def _only_where(point: PointSettings) -> PointSettings:
    for key in sorted(point.model_fields_set - _WHERE):
        raise ValueError(f"{key}: an event says where a point is; how it is measured stands in the site file")
    return point


Moment = Annotated[str, AfterValidator(_moment)]
EventPoint = Annotated[PointSettings, AfterValidator(_only_where)]
ZoneName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=48)]


class State(StrEnum):
    COMING = "coming"
    RUNNING = "running"
    OVER = "over"


class Event(BaseModel):
    """One event file."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    event: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=48, description="Its name: that of the file.")
    title_vi: str = Field(min_length=3, max_length=120, description="What people call it, in Vietnamese.")
    title_en: str = Field(min_length=3, max_length=120, description="The same in English.")
    from_: Moment = Field(alias="from", description='When it begins, local time: "2026-09-30 07:00".')
    to: Moment = Field(description="When it ends, likewise.")
    hours: Hours = Field("", description='Open at these hours of each day: "07:00-22:30". Empty: round the clock.')
    zones: dict[ZoneName, Zone] = Field(
        default_factory=dict, description="Its yards, gates, car parks, with area and capacity."
    )
    points: dict[str, EventPoint] = Field(
        default_factory=dict, description='Which point is in which zone, by pattern: "bin_*/*": {zone: yard}.'
    )
    indicators: list[PublishedEntry] = Field(
        default_factory=list, description="What is derived and sent while it lasts: gateway catalogue list."
    )
    limits: list[LimitUse] = Field(
        default_factory=list, description="What values are held against while it lasts: gateway limits list."
    )

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.span.end_ms <= self.span.start_ms:
            raise ValueError("to: an event ends after it begins")
        return self

    @property
    def span(self) -> Span:
        return Span(_ms(self.from_), _ms(self.to))

    def state(self, now_ms: int) -> State:
        if now_ms < self.span.start_ms:
            return State.COMING
        return State.RUNNING if now_ms < self.span.end_ms else State.OVER

    @property
    def fills(self) -> dict[str, Any]:
        """Parameters of formulas that the event knows for all of its points."""
        opens, dash, closes = self.hours.partition("-")
        return {"opens": opens, "closes": closes} if dash else {}


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=LOCAL).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class EventFile:
    """A sound event, and the file it came from."""

    file: pathlib.Path
    event: Event

    @property
    def prefix(self) -> str:
        """What the names of all its derived points begin with."""
        return f"{self.event.event}/"


@dataclass(frozen=True, slots=True)
class Staged:
    """An event on its site: `draft` is what the site would be if it had the event's zones, points, indicators and
    limits instead of its own. Findings of it are at places of the event file."""

    source: EventFile
    draft: Draft


_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def events_of(draft: Draft, now_ms: int) -> tuple[list[Staged], list[Finding]]:
    """The sound events that a site names, and what is wrong with them and with how they are named."""
    named = draft.tree.get(("events",))
    found: dict[str, Staged] = {}
    findings: list[Finding] = []
    for number, name in enumerate(named if isinstance(named, list) else ()):
        if not isinstance(name, str) or not name:
            continue  # the schema says so
        path: Path = ("events", number)
        file = draft.base / name
        if not os.path.isfile(file):  # noqa: PTH113 - also for folders we may not enter, and names that cannot be
            what, hint = f"there is no file {name}", "copy it there, or take the line out"
            findings.append(draft.tree.finding(Code.MISSING_FILE, path, what, hint))
            continue
        tree, event, wrong = _read(file)
        findings += wrong
        if event is None:
            continue
        if taken := _taken(draft, event.event, found):
            findings.append(draft.tree.finding(Code.DUPLICATE_NAME, path, taken, "rename the event and its file"))
            continue
        if now_ms >= event.span.end_ms + LINGER_MS:
            hint = f"gateway event archive SITE {event.event} --to DIR, then take the line out"
            what = f"'{event.event}' was over on {event.to}"
            findings.append(draft.tree.finding(Code.EVENT_OVER, path, what, hint, "warning"))
        found[event.event] = Staged(EventFile(file, event), _overlaid(draft, event, tree))
    return list(found.values()), findings


def _read(file: pathlib.Path) -> tuple[Tree, Event | None, list[Finding]]:
    return read_named(file, _ADAPTER, "event", "config/sites/events")


def _taken(draft: Draft, name: str, events: Mapping[str, Staged]) -> str:
    """Points derived for an event are called `EVENT/...`, so nothing else may be called so."""
    if name in events:
        return f"another event is called '{name}'"
    if name == GATEWAY or any(name in draft.names(section) for section in ("devices", "cameras")):
        return f"'{name}' is a device or camera here, or the gateway itself"
    if any((one.point or "").partition("/")[0] == name for one in draft.indicators.values()):
        return f"the site publishes points of the name '{name}' itself"
    return ""


def _overlaid(draft: Draft, event: Event, tree: Tree) -> Draft:
    zones = {**_mapping(draft.tree.get(("zones",))), **_mapping(tree.get(("zones",)))}
    site = {key: value for key in _OF_THE_SITE if (value := draft.tree.get((key,))) is not None}
    data = {**site, **tree.data, "zones": zones}
    return replace(
        draft,
        tree=replace(tree, data=data, findings=[]),
        points=event.points,
        tt10={},
        zones=event.zones,
        indicators=dict(enumerate(event.indicators)),
        limits=dict(enumerate(event.limits)),
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
