"""gateway event: which events a site has, what each measures where, and one file that keeps what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.output import print_json
from gateway.model.errors import BadArgument, GatewayError

if TYPE_CHECKING:
    from config.plan import PlannedEvent
    from config.site import LoadedSite
    from config.zones import Zone
    from gateway.indicators.engine import Derived
    from gateway.model.limit import Threshold

_SITE = Annotated[Path, typer.Argument(help="The site file. / Tệp cấu hình điểm.", show_default=False)]
_EVENT = Annotated[str, typer.Argument(help="Name of an event. / Tên sự kiện.", show_default=False)]
_JSON = Annotated[bool, typer.Option("--json", help="One JSON object. / Xuất JSON.")]
STATES = {
    "coming": ("coming", "sắp diễn ra"),
    "running": ("running", "đang diễn ra"),
    "over": ("over", "đã kết thúc"),
}
_SHOWN = 3


def list_(file: _SITE, *, as_json: _JSON = False) -> None:
    """List the events of a site. / Liệt kê các sự kiện của điểm."""
    from config.site import load_site

    events, now_ms = load_site(file).events, _now_ms()
    if as_json:
        print_json({"events": [_head(one, now_ms) for one in events.values()]})
        return
    for one in events.values():
        print("\n".join(_title(one, now_ms)))
    if not events:
        print("no events / chưa có sự kiện nào")


def show(file: _SITE, event: _EVENT, *, as_json: _JSON = False) -> None:
    """Show what an event measures where, its capacity, hours and limits. / Xem một sự kiện."""
    from config.site import load_site

    one, now_ms = _named(load_site(file), event), _now_ms()
    if as_json:
        print_json(_whole(one, now_ms))
        return
    for line in _lines(one, now_ms):
        print(line)


def archive(
    file: _SITE,
    event: _EVENT,
    to: Annotated[Path, typer.Option("--to", help="A folder, or a .zip file. / Thư mục hoặc tệp .zip.")],
    db: Annotated[Path | None, typer.Option("--db", help="Another store, also a copy. / Tệp kho dữ liệu.")] = None,
    *,
    as_json: _JSON = False,
) -> None:
    """Put an event that is over into one zip file; only reads. / Lưu trữ sự kiện đã kết thúc.

    Its file, indicators, alarms, windows, journal entries and a summary. Safe beside a running gateway.
    """
    from config.site import load_site
    from gateway.cli.buffer_target import target
    from gateway.cli.event_archive import Job, pack

    site = load_site(file)
    one, now_ms = _named(site, event), _now_ms()
    if now_ms < one.source.event.span.end_ms:
        raise BadArgument("this event is not over", where=event, hint=f"it lasts until {one.source.event.to}")
    out = to / f"{event}.zip" if to.is_dir() else to
    if out.suffix != ".zip":
        raise BadArgument("this is no folder and no .zip file", where=str(to), hint=f"--to {event}.zip")
    if out.exists():
        raise BadArgument("this file is there already", where=str(out), hint="it stays as it is; name another one")
    store = target(file, db)
    packed = pack(Job(site, one, store.store, now_ms), out)
    facts = {"event": event, "file": out.name, "sha256": packed.sha256}
    if store.runs():
        try:
            store.perform("archive", facts)
        except GatewayError as error:  # the file is there all the same
            sys.stderr.write(f"not in the journal / chưa ghi nhật ký: {error}\n")
    if as_json:
        print_json({**facts, "file": str(out), **packed.manifest})
    else:
        for name, about in packed.manifest["files"].items():
            rows = "" if about["rows"] is None else f"{about['rows']} rows / dòng"
            print(f"  {name:<28}{about['bytes']:>10} bytes  {rows}".rstrip())
        print(out)
        if not packed.manifest["complete"]:
            sys.stderr.write(
                "it ended less than a day ago: its last values may come later\n"
                "mới kết thúc chưa đến một ngày: số liệu cuối có thể đến sau\n"
            )
    if packed.damage:
        raise packed.damage


# --- what is said ---------------------------------------------------------------------------------------------------


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _named(site: LoadedSite, name: str) -> PlannedEvent:
    from config.words import did_you_mean

    if name not in site.events:
        hint = did_you_mean(name, site.events) or "add it under events: in the site file"
        raise BadArgument(f"this site has no event {name!r}", where=str(site.file), hint=hint)
    return site.events[name]


def _title(one: PlannedEvent, now_ms: int) -> list[str]:
    event = one.source.event
    hours = f", {event.hours}" if event.hours else ""
    return [
        f"{event.event}: {' / '.join(STATES[event.state(now_ms)])}",
        f"  {event.title_vi} / {event.title_en}",
        f"  {event.from_} .. {event.to} (+07:00){hours}",
    ]


def _lines(one: PlannedEvent, now_ms: int) -> Iterator[str]:
    yield from _title(one, now_ms)
    event = one.source.event
    if event.zones:
        yield "zones / khu vực"
    for name, zone in event.zones.items():
        yield f"  {name}: {zone.name} ({zone.kind}){_size(zone)}"
    point = ""
    for derived in _published(one):
        if not point:
            yield "measured / theo dõi"
        if derived.signal.point != point:
            point = derived.signal.point
            yield f"  {point}"
        signal, names = derived.signal, [given.id for given in derived.signals]
        more = f" +{len(names) - _SHOWN}" if len(names) > _SHOWN else ""
        unit = "" if signal.unit in ("", "1") else f", {signal.unit}"
        yield f"    {signal.indicator}: {signal.name_vi}"
        yield f"      {signal.name_en}{unit}, {derived.period.name}"
        yield f"      < {', '.join(names[:_SHOWN])}{more}"
    held = list(_held(one))
    if held:
        yield "limits / giới hạn (○ unconfirmed / chưa xác nhận)"
    for name, threshold in held:
        levels = " / ".join(f"{level:g}" for level in threshold.levels)
        yield f"  {'●' if threshold.confirmed else '○'} {name}"
        yield f"      {threshold.limit.op} {levels}, {threshold.limit.profile}"


def _size(zone: Zone) -> str:
    area = f", {zone.area_m2:.0f} m²" if zone.area_m2 else ""
    return f"{area}, capacity / sức chứa {zone.capacity}" if zone.capacity else area


def _published(one: PlannedEvent) -> list[Derived]:
    return sorted((d for d in one.plan.derived if d.published), key=lambda d: d.signal.point)


def _held(one: PlannedEvent) -> Iterator[tuple[str, Threshold]]:
    """(what is judged, by what)"""
    for derived in one.plan.derived:
        yield from ((derived.signal.id, threshold) for threshold in derived.thresholds)
    for name, its in one.plan.single.items():
        yield from ((name, threshold) for threshold in its)


def _head(one: PlannedEvent, now_ms: int) -> dict[str, Any]:
    event = one.source.event
    return {
        "event": event.event,
        "title_vi": event.title_vi,
        "title_en": event.title_en,
        "state": str(event.state(now_ms)),
        "from": event.from_,
        "to": event.to,
        "from_ms": event.span.start_ms,
        "to_ms": event.span.end_ms,
        "hours": event.hours,
        "file": str(one.source.file),
    }


def _whole(one: PlannedEvent, now_ms: int) -> dict[str, Any]:
    return {
        **_head(one, now_ms),
        "zones": {name: zone.model_dump(mode="json") for name, zone in one.source.event.zones.items()},
        "measured": [
            {
                "id": derived.signal.id,
                "point": derived.signal.point,
                "indicator": derived.signal.indicator,
                "unit": derived.signal.unit,
                "period": derived.period.name,
                "of": [signal.id for signal in derived.signals],
                "with": derived.params.model_dump(mode="json"),
            }
            for derived in _published(one)
        ],
        "limits": [
            {
                "of": name,
                "op": threshold.limit.op,
                "levels": list(threshold.levels),
                "profile": threshold.limit.profile,
                "confirmed": threshold.confirmed,
            }
            for name, threshold in _held(one)
        ],
    }
