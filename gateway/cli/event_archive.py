"""One zip file that keeps what came of an event: readable in ten years without us. Only reads the store.

EVENT.yaml         what was to be watched, as it was
records.*          derived indicators of the event, as they were sent
alarms.*           every message of its alarms
windows.*          what its points measured, in every length that the store still has (`span_s`)
journal.*          entries about its points, and when the gateway was off, lost something or was set up anew
summary.html       for people
manifest.json      what this is, and SHA-256, bytes and rows of each file
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import escape
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from buffer import history, inspect, journal
from buffer.search import Records, Wanted, Windows, labelled
from config.events import LINGER_MS
from config.plan import PlannedEvent
from config.site import LoadedSite
from gateway import __version__
from gateway.cli.buffer_export import whole_file
from gateway.cli.buffer_files import RECORD, WINDOW, CsvSheet, JsonLines, Sheet
from gateway.cli.buffer_view import damage_of, rids, times
from gateway.cli.event_summary import Summary
from gateway.cli.journal_lines import write_csv, write_jsonl
from gateway.indicators.periods import local
from gateway.model.errors import BadArgument, StoreDamaged
from gateway.model.measure import Signal

_BEFORE_AND_AFTER = frozenset(("start", "stop", "config", "lost", "store", "cut"))
"""Kinds of entries that say why something may be missing."""
Show = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Job:
    """Which event of which site, from which store; what time it is, ms UTC."""

    site: LoadedSite
    event: PlannedEvent
    store: Path
    now_ms: int

    @property
    def signals(self) -> dict[str, Signal]:
        """What is measured for the event, by id: what its indicators are made of, what it judges, what it places."""
        plan, patterns = self.event.plan, self.event.source.event.points
        used = {signal.id for derived in plan.derived for signal in derived.signals} | set(plan.single)
        return {
            s.id: s
            for s in plan.signals
            if s.id in used or any(fnmatchcase(s.id, p) or fnmatchcase(s.point, p) for p in patterns)
        }


@dataclass(slots=True)
class Packed:
    """`damage`: what of the store could not be read; the rest is in the file."""

    manifest: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""
    damage: StoreDamaged | None = None


def pack(job: Job, out: Path) -> Packed:
    """Writes the zip file; it gets its name when it is whole. Raises BadArgument where it cannot be written or is there
    already, StoreError where there is no store."""
    packed = Packed()
    try:
        with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name, _bar() as show:
            folder = Path(name)
            rows = _gathered(job, folder, packed, show)
            packed.manifest = _manifest(job, folder, rows, packed)
            text = json.dumps(packed.manifest, ensure_ascii=False, indent=1)
            (folder / "manifest.json").write_text(text, encoding="utf-8")
            with whole_file(str(out), force=False) as stream, ZipFile(stream, "w", ZIP_DEFLATED) as archive:
                for member in sorted(folder.iterdir()):
                    show(member.name, 1.0)
                    archive.write(member, f"{job.event.source.event.event}/{member.name}")
    except OSError as error:
        hint = "the folder must exist, be writable and have room for everything twice"
        raise BadArgument(f"cannot be written: {error.strerror}", where=str(out), hint=hint) from error
    packed.sha256 = _digest(out)
    return packed


def _gathered(job: Job, folder: Path, packed: Packed, show: Show) -> dict[str, int]:
    """Writes everything but the manifest; how many rows each file has."""
    event = job.event.source.event
    summary = Summary(job.site, job.event)
    shutil.copyfile(job.event.source.file, folder / f"{event.event}.yaml")
    with inspect.read_only(job.store) as connection:
        wanted = Wanted(_patterns(job), from_ms=event.span.start_ms, to_ms=event.span.end_ms + LINGER_MS)
        records = Records(connection, wanted, job.now_ms)
        with _sheets(folder, "records", RECORD) as derived, _sheets(folder, "alarms", RECORD) as alarms:
            for found in records.steps():
                ours = [row for row in found if _is_ours(row, job.event.source.prefix)]
                derived.write([row for row in ours if "al" not in row])
                alarms.write([row for row in ours if "al" in row])
                summary.take(ours)
                show("records / bản ghi", records.share)
        packed.damage = damage_of(job.store, records, rids)
        with _sheets(folder, "windows", WINDOW) as windows:
            for span_s in history.lengths(connection) if job.signals else ():
                found_windows = Windows(connection, _measured(job), span_s)
                for rows in found_windows.steps():
                    windows.write(rows)
                    show(f"windows / cửa sổ {span_s} s", found_windows.share)
                packed.damage = packed.damage or damage_of(job.store, found_windows, times)
        show("journal / nhật ký", 0.0)
        entries = list(_entries(job, connection))
    with (folder / "journal.jsonl").open("w", encoding="utf-8") as lines:
        write_jsonl(entries, lines)
    with (folder / "journal.csv").open("w", encoding="utf-8", newline="") as table:
        write_csv(entries, table)
    (folder / "summary.html").write_text(summary.page(job.now_ms), encoding="utf-8")
    counts = {"records": derived.rows, "alarms": alarms.rows, "windows": windows.rows, "journal": len(entries)}
    return {f"{name}.{kind}": n for name, n in counts.items() for kind in ("csv", "jsonl")}


# --- what belongs to it ---------------------------------------------------------------------------------------------


def _patterns(job: Job) -> tuple[str, ...]:
    """Names of points that records of the event can have: alarms may be about measured ones."""
    return (f"{escape(job.event.source.prefix)}*", *_measured(job).points)


def _measured(job: Job) -> Wanted:
    span = job.event.source.event.span
    names = sorted({escape(labelled(signal.point, signal.tags)) for signal in job.signals.values()})
    return Wanted(tuple(names), from_ms=span.start_ms + 1, to_ms=span.end_ms)


def _is_ours(row: Mapping[str, Any], prefix: str) -> bool:
    is_of_rule = "al" in row and str(row.get("tg", {}).get("rule", "")).startswith(prefix)
    return is_of_rule or str(row.get("pt", "")).startswith(prefix)


def _entries(job: Job, connection: inspect.ReadOnly) -> Iterator[journal.Row]:
    span, prefix = job.event.source.event.span, job.event.source.prefix
    points = {signal.point for signal in job.signals.values()}
    for row in journal.entries(connection, journal.Choice(from_ms=span.start_ms, to_ms=span.end_ms + LINGER_MS)):
        said = row.content
        about = said.get("point") if row.kind == "alarm" else said.get("place") if row.kind == "violation" else None
        is_about = isinstance(about, str) and (about.startswith(prefix) or about in points)
        if is_about or (row.kind in _BEFORE_AND_AFTER and row.at_ms <= span.end_ms):
            yield row


# --- how it is written ----------------------------------------------------------------------------------------------


class _Both:
    """The same rows as CSV and as JSON Lines."""

    def __init__(self, *sheets: Sheet) -> None:
        self._sheets = sheets
        self.rows = 0

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows += len(rows)
        for sheet in self._sheets:
            sheet.write(rows)

    def close(self) -> None:
        for sheet in self._sheets:
            sheet.close()


@contextlib.contextmanager
def _sheets(folder: Path, name: str, columns: Sequence[str]) -> Iterator[_Both]:
    with (folder / f"{name}.csv").open("wb") as table, (folder / f"{name}.jsonl").open("wb") as lines:
        both = _Both(CsvSheet(table, columns), JsonLines(lines))
        yield both
        both.close()


def _manifest(job: Job, folder: Path, rows: Mapping[str, int], packed: Packed) -> dict[str, Any]:
    event = job.event.source.event
    return {
        "event": event.event,
        "title_vi": event.title_vi,
        "title_en": event.title_en,
        "from_ms": event.span.start_ms,
        "to_ms": event.span.end_ms,
        "gateway": job.site.document.gateway,
        "site": job.site.document.site,
        "software": __version__,
        "made": local(job.now_ms).isoformat(timespec="seconds"),
        "made_ms": job.now_ms,
        "complete": job.now_ms >= event.span.end_ms + LINGER_MS,
        "damaged": packed.damage is not None,
        "files": {
            file.name: {"sha256": _digest(file), "bytes": file.stat().st_size, "rows": rows.get(file.name)}
            for file in sorted(folder.iterdir())
        },
    }


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        found = sha256()
        while part := stream.read(1 << 20):
            found.update(part)
    return found.hexdigest()


@contextlib.contextmanager
def _bar() -> Iterator[Show]:
    """A bar on a terminal's stderr: what, and how much of it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("...", total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)
