"""What a person wants to know of a store before anything else, as numbers. Reads only; damage leaves a part out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from buffer.damage import is_damage
from buffer.inspect import meta, unsettled
from buffer.lanes import FRESH_MS
from gateway.model.ports import Lane, Waiting

T = TypeVar("T")

RATE_MS = 3_600_000
WEAR_MS = 7 * 86_400_000
YEAR_D = 365.25
# Where the data sheet is not at hand: what a plain memory card takes. Stated as an assumption wherever it is used.
ASSUMED_FULL_WRITES = 500


class Counters(NamedTuple):
    """How far a store is at one moment: what a gateway says, or a row of `tally`, which does not count `aside`."""

    at_ms: int
    stored: int
    waiting: int
    lost: int
    aside: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """Records a second between two moments. `empty_s`: until nothing waits if it goes on so, None for never."""

    over_s: float
    in_per_s: float
    out_per_s: float
    empty_s: float | None


@dataclass(frozen=True, slots=True)
class Wear:
    """What writing costs the card. `endurance_bytes`: by its data sheet, or `assumed`."""

    over_s: float
    bytes_per_day: float
    written_bytes: int
    endurance_bytes: float
    assumed: bool
    years_left: float | None


def rates(before: Counters, now: Counters) -> Rates | None:
    """None when they are not two moments of one store."""
    over_s = (now.at_ms - before.at_ms) / 1000
    if over_s <= 0 or now.stored < before.stored:
        return None
    came = now.stored - before.stored
    left = came - (now.waiting - before.waiting) - max(0, now.lost - before.lost)
    sent = left - (now.aside - before.aside)  # what was refused left the queue, but did not go out
    in_per_s, out_per_s = came / over_s, max(0, sent) / over_s
    shrinks = (max(0, left) - came) / over_s
    empty_s = 0.0 if now.waiting == 0 else now.waiting / shrinks if shrinks > 0 else None
    return Rates(over_s, in_per_s, out_per_s, empty_s)


def figures(connection: sqlite3.Connection, path: Path, now_ms: int) -> dict[str, Any]:
    """Everything the file itself says. A part that cannot be read is missing and named in `unreadable`."""
    unreadable: list[str] = []

    def part(name: str, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
        except ValueError:  # JSON that is none
            pass
        if name not in unreadable:
            unreadable.append(name)
        return None

    return {
        "waiting": part("waiting", lambda: waiting(connection, now_ms)),
        "set_aside": part("set_aside", lambda: _set_aside(connection)),
        "held": part("records", lambda: _held(connection)),
        "records": part("records", lambda: _records(connection)),
        "meta": part("meta", lambda: meta(connection)),
        "history": part("history", lambda: _history(connection)),
        "journal": part("journal", lambda: _journal(connection)),
        "tally": part("tally", lambda: _tally(connection)),
        "file": {**_sizes(path), "free_inside": part("file", lambda: _free_inside(connection))},
        "unreadable": unreadable,
    }


def waiting(connection: sqlite3.Connection, now_ms: int) -> dict[Lane, Waiting]:
    """By lane; the size is that of the bundles on disk, deflated."""
    found = {lane: [0, 0, 0] for lane in Lane}
    for lo, hi in unsettled(connection):
        for stored_lane, is_fresh, records, size, oldest_ms in connection.execute(
            "SELECT lane, at_ms > ?3, sum(min(lo + n - 1, ?2) - max(lo, ?1) + 1), sum(length(body)), min(at_ms) "
            "FROM bundle WHERE lo >= coalesce((SELECT max(lo) FROM bundle WHERE lo <= ?1), ?1) AND lo <= ?2 "
            "AND lo + n > ?1 GROUP BY 1, 2",
            (lo, hi, now_ms - FRESH_MS),
        ):
            lane = Lane.URGENT if stored_lane == Lane.URGENT else Lane.LIVE if is_fresh else Lane.BACK
            sums = found[lane]
            sums[0] += records
            sums[1] += size
            sums[2] = min(sums[2] or oldest_ms, oldest_ms)
    return {lane: Waiting(*sums) for lane, sums in found.items()}


def _set_aside(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(connection.execute("SELECT reason, sum(n) FROM set_aside GROUP BY reason ORDER BY sum(n) DESC"))


def _held(connection: sqlite3.Connection) -> dict[str, int]:
    """Sent or not: which, and committed when (0 = nothing is held)."""
    first = connection.execute("SELECT lo, at_ms FROM bundle ORDER BY lo LIMIT 1").fetchone() or (1, 0)
    last = connection.execute("SELECT lo + n - 1, at_ms FROM bundle ORDER BY lo DESC LIMIT 1").fetchone() or (0, 0)
    return {"rid_lo": first[0], "rid_hi": last[0], "oldest_ms": first[1], "newest_ms": last[1]}


def _records(connection: sqlite3.Connection) -> int:
    (records,) = connection.execute("SELECT coalesce(sum(n), 0) FROM bundle").fetchone()
    return int(records)


def _history(connection: sqlite3.Connection) -> list[dict[str, int]]:
    rows = connection.execute(
        "SELECT span_s, sum(n), min(t1_ms), max(t1_ms), sum(length(body)) FROM history GROUP BY span_s ORDER BY span_s"
    )
    return [dict(zip(("span_s", "windows", "oldest_ms", "newest_ms", "bytes"), row, strict=True)) for row in rows]


def _journal(connection: sqlite3.Connection) -> dict[str, Any]:
    (entries,) = connection.execute("SELECT count(*) FROM journal").fetchone()
    row = connection.execute("SELECT seq, hash, at_ms FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    return {"entries": entries, **dict(zip(("seq", "hash", "at_ms"), row or (0, "", 0), strict=True))}


def _tally(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """The rows of the last week that rates and wear need: the newest, the one an hour before it, the oldest."""
    (newest_ms,) = connection.execute("SELECT max(at_ms) FROM tally").fetchone()
    if newest_ms is None:
        return []
    row_at = "SELECT at_ms, stored, waiting, lost, written, why FROM tally WHERE at_ms >= ? ORDER BY at_ms LIMIT 1"
    names = ("at_ms", "stored", "waiting", "lost", "written", "why")
    rows = [connection.execute(row_at, (newest_ms - back,)).fetchone() for back in (WEAR_MS, RATE_MS, 0)]
    return [dict(zip(names, row, strict=True)) for row in rows]


def tally_rates(tally: list[dict[str, Any]]) -> Rates | None:
    """Over the last hour that was counted."""
    if not tally:
        return None
    before, now = (Counters(*(row[key] for key in Counters._fields[:4])) for row in tally[-2:])
    return rates(before, now)


def wear(tally: list[dict[str, Any]], partition_bytes: int, card_tb: float | None) -> Wear | None:
    """Over the last week that was counted; None while there is only one row."""
    if not tally:
        return None
    first, last = tally[0], tally[-1]
    over_s = (last["at_ms"] - first["at_ms"]) / 1000
    written = last["written"] - first["written"]
    if over_s <= 0 or written < 0:
        return None
    per_day = written / over_s * 86_400
    endurance = partition_bytes * ASSUMED_FULL_WRITES if card_tb is None else card_tb * 1e12
    left = max(0.0, endurance - last["written"])
    years = left / per_day / YEAR_D if per_day else None
    return Wear(over_s, per_day, last["written"], endurance, card_tb is None, years)


def _sizes(path: Path) -> dict[str, int]:
    wal = path.with_name(path.name + "-wal")
    return {"bytes": path.stat().st_size, "wal_bytes": wal.stat().st_size if wal.exists() else 0}


def _free_inside(connection: sqlite3.Connection) -> int:
    (pages,), (size,) = (connection.execute(f"PRAGMA {what}").fetchone() for what in ("freelist_count", "page_size"))
    return int(pages) * int(size)


def plain(value: Rates | Wear | None) -> dict[str, Any] | None:
    """For JSON."""
    return None if value is None else asdict(value)
