"""Is everything in a store what it should be? Reads all of it, beside a running gateway or in a copy. Never writes.

SQLite's own check reads the file once within one transaction; meanwhile the write-ahead log grows by what is committed.
Everything else reads in steps.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from buffer import journal
from buffer.bundle import Bundle, sound
from buffer.chosen import set_aside
from buffer.damage import corrupt, is_damage
from buffer.inspect import meta, unsettled
from buffer.keepsakes import parsed
from buffer.walk import Packed, Walk
from buffer.window_rows import decoded, signal_in, unpacked
from gateway.model.errors import StoreDamaged
from gateway.model.measure import Signal
from gateway.model.spans import Spans

NAMED = 100
"""So many findings are named; all are counted."""
STEP = 256

Progress = Callable[[str, float], None]
"""What is being looked at, and how much of that is done, 0..1."""


class Fault(StrEnum):
    """What can be wrong."""

    FILE = "file"
    """SQLite finds pages damaged."""
    UNREADABLE = "unreadable"
    """Records that cannot be unpacked or are no records."""
    WRONG_IDS = "wrong_ids"
    """Records that do not carry the ids that their row says."""
    TWICE = "twice"
    """Ids that two rows hold."""
    MISSING = "missing"
    """Ids that were given, are not held, and nothing says that they were deleted or lost."""
    UNSENT_GONE = "unsent_gone"
    """Ids that still have to be sent and are not held."""
    SET_ASIDE = "set_aside"
    """Set-aside records that cannot be unpacked."""
    HISTORY = "history"
    """Windows that cannot be read."""
    SIGNAL = "signal"
    """A signal whose description cannot be read."""
    KEEPSAKE = "keepsake"
    """A keepsake that cannot be read."""
    JOURNAL = "journal"
    """The chain does not hold."""


class Finding(NamedTuple):
    """`at`: which ids, row or entry."""

    fault: Fault
    at: str


@dataclass(slots=True)
class Verdict:
    """What was looked at, and what is wrong: `faults` counts all findings, `findings` names the first of them.

    Ids from 1 to `newest` are held (`records`), or were deleted after their time or reported as lost (`gone`).
    """

    records: int = 0
    newest: int = 0
    gone: int = 0
    set_aside: int = 0
    windows: int = 0
    signals: int = 0
    entries: int = 0
    faults: int = 0
    findings: list[Finding] = field(default_factory=list)

    def found(self, fault: Fault, at: str) -> None:
        self.faults += 1
        if len(self.findings) < NAMED:
            self.findings.append(Finding(fault, at))


def verify(connection: sqlite3.Connection, progress: Progress) -> Verdict:
    """`connection`: of `buffer.inspect.read_only`. Raises sqlite3.Error only for what is no damage."""
    verdict = Verdict()
    for name, look in (
        ("file", _file),
        ("records", _records),
        ("set aside", _set_aside),
        ("history", _history),
        ("keepsakes", _keepsakes),
        ("journal", _journal),
    ):
        progress(name, 0)
        try:
            look(connection, verdict, lambda share, name=name: progress(name, share))  # type: ignore[misc]
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            verdict.found(Fault.FILE, f"{name}: {error}")
        progress(name, 1)
    return verdict


Share = Callable[[float], None]


def _file(connection: sqlite3.Connection, verdict: Verdict, share: Share) -> None:
    del share  # SQLite does not say how far it is
    for (line,) in connection.execute(f"PRAGMA integrity_check({NAMED})"):
        if line != "ok":
            verdict.found(Fault.FILE, line)


# --- records --------------------------------------------------------------------------------------------------------


def _records(connection: sqlite3.Connection, verdict: Verdict, share: Share) -> None:
    with suppress(ValueError, TypeError, AttributeError):  # damaged: `_unsent` says so
        verdict.newest = int(json.loads(meta(connection).get("unsettled", "{}")).get("seen", 0))
    walk = Walk(connection)
    held, lost = Spans(), Spans()
    for step in walk.steps():
        for row in step:
            verdict.newest = max(verdict.newest, row.lo + row.n - 1)
            for lo, hi in _already(held, row):
                verdict.found(Fault.TWICE, f"{lo}..{hi}")
            held.add(row.lo, row.lo + row.n - 1)
            lost.update(_bundle(row, verdict))
        share(walk.share)
    for lo, hi in walk.unread():
        verdict.found(Fault.UNREADABLE, f"{lo}..{hi}")
        held.add(lo, hi)  # found wanting once is enough
    verdict.records = len(held)
    floor = int(meta(connection).get("floor", "0"))  # read last: what was deleted meanwhile is below it
    explained = Spans([*held, *lost, (1, floor)])
    for lo, hi in explained.missing(1, verdict.newest):
        verdict.found(Fault.MISSING, f"{lo}..{hi}")
    verdict.newest = max(verdict.newest, floor)
    verdict.gone = sum(hi - lo + 1 for lo, hi in held.missing(1, verdict.newest))
    _unsent(connection, verdict)


def _already(held: Spans, row: Packed) -> list[tuple[int, int]]:
    """Rows come upwards, so only the last interval can reach into this one."""
    high = held.last()[1] if held else 0
    return [(row.lo, min(high, row.lo + row.n - 1))] if high >= row.lo else []


def _bundle(row: Packed, verdict: Verdict) -> list[tuple[int, int]]:
    """The ids that records in it report as lost."""
    at = f"{row.lo}..{row.lo + row.n - 1}"
    try:
        records = json.loads(b"[" + row.body + b"]")
    except ValueError:
        verdict.found(Fault.UNREADABLE, at)
        return []
    if not sound(Bundle(row.lo, row.n, row.lane, row.body)):
        verdict.found(Fault.WRONG_IDS, at)
        return []
    return [
        (record["p"]["lo"], record["p"]["hi"])
        for record in records
        if record.get("ind") == "gw.lost" and {"lo", "hi"} <= record.get("p", {}).keys()
    ]


def _unsent(connection: sqlite3.Connection, verdict: Verdict) -> None:
    connection.execute("BEGIN")  # both as they are at one moment
    try:
        gone = unsettled(connection)
        for lo, n in connection.execute("SELECT lo, n FROM bundle WHERE typeof(n) = 'integer'"):
            gone.remove(lo, lo + n - 1)
    finally:
        connection.execute("ROLLBACK")
    for lo, hi in gone:
        verdict.found(Fault.UNSENT_GONE, f"{lo}..{hi}")


def _set_aside(connection: sqlite3.Connection, verdict: Verdict, share: Share) -> None:
    del share
    for row in set_aside(connection):
        verdict.set_aside += row.n
        try:
            good = sound(row.bundle())
        except StoreDamaged:
            good = False
        if not good:
            verdict.found(Fault.SET_ASIDE, f"{row.lo}..{row.hi}")


# --- history and journal --------------------------------------------------------------------------------------------


def _history(connection: sqlite3.Connection, verdict: Verdict, share: Share) -> None:
    (rows,) = connection.execute("SELECT count(*) FROM history").fetchone()
    looked = 0
    for step in _history_rows(connection):
        signals = _signals(connection)  # read after the rows: every one of theirs is there
        for span_s, t1_ms, part, n, body in step:
            found = _windows(body, t1_ms, signals)
            verdict.windows += max(found, 0)
            if found != n:
                verdict.found(Fault.HISTORY, f"{span_s} s, {t1_ms}, part {part}")
        looked += len(step)
        share(min(1.0, looked / max(1, rows)))
    described = connection.execute("SELECT id, about FROM signal").fetchall()
    verdict.signals = len(described)
    for number, about in described:
        if signal_in(about) is None:
            verdict.found(Fault.SIGNAL, str(number))


def _history_rows(connection: sqlite3.Connection) -> Iterator[Sequence[tuple[int, int, int, int, bytes]]]:
    after = (-1, 0, 0)
    while True:
        rows = connection.execute(
            "SELECT span_s, t1_ms, part, n, body FROM history WHERE (span_s, t1_ms, part) > (?, ?, ?) "
            "ORDER BY span_s, t1_ms, part LIMIT ?",
            (*after, STEP),
        ).fetchall()
        yield rows
        if len(rows) < STEP:
            return
        if rows[-1][:3] <= after:
            raise corrupt("rows of the history are out of order")  # or this would never end
        after = rows[-1][:3]


def _windows(body: bytes, t1_ms: int, signals: Mapping[int, Signal]) -> int:
    """How many there are; -1 when they cannot be read."""
    try:
        return len([decoded(row, t1_ms, signals) for row in unpacked(body)])
    except (zlib.error, ValueError, KeyError, TypeError):
        return -1


def _signals(connection: sqlite3.Connection) -> dict[int, Signal]:
    rows: Iterable[tuple[int, str]] = connection.execute("SELECT id, about FROM signal").fetchall()
    return {number: signal for number, about in rows if (signal := signal_in(about)) is not None}


def _keepsakes(connection: sqlite3.Connection, verdict: Verdict, share: Share) -> None:
    del share
    for name, body in connection.execute("SELECT name, CAST(body AS BLOB) FROM keepsake"):
        if parsed(bytes(body)) is None:
            verdict.found(Fault.KEEPSAKE, name)


def _journal(connection: sqlite3.Connection, verdict: Verdict, share: Share) -> None:
    del share
    chain = journal.verify(connection)
    verdict.entries = chain.entries
    for broken in chain.broken:
        upto = f"..{broken.upto}" if broken.upto > broken.seq else ""
        verdict.found(Fault.JOURNAL, f"{broken.seq}{upto} {broken.fault}")
    verdict.faults += chain.faults - len(chain.broken)
