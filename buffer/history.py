"""Closed windows, kept by their length: the ground that longer indicators, and the authority's files, are folded from.

A row is what one commit brought of windows of one length that ended at one moment (`part` 1, 2, ...), or what was
folded from shorter ones (`part` 0). Which periods are still to be folded, or folded again because windows came late, is
written in the commit that brings the windows: no crash forgets it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from buffer.damage import corrupt
from buffer.due import TIERS_S, Due, Period, period_of
from buffer.newest import Newest, Row, same
from buffer.settings import HistorySettings
from buffer.steady import Steady
from buffer.window_rows import READINGS, decoded, described, encoded, packed, signal_in, unpacked
from buffer.writer import Writer
from gateway.model.clock import Clock
from gateway.model.folding import fold
from gateway.model.indicator import Indicator
from gateway.model.measure import Signal

SETTLE_MS = 10_000
"""So long after its end a period is folded: the windows that end with it are committed then."""
STEP_S = 0.05
"""About how long the store's thread may fold before a commit gets its turn."""
SLICE = 256
"""Rows that are read, or deleted, at once."""
SLICE_DOWN = 16
"""Rows that are read at once to find the newest of something: mostly it is in the first."""
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LOOK_BACK_MS = 40 * DAY_MS
"""So far back the last number of a signal is looked for."""
_LAST_PART = 1 << 62


class History:
    """The store's side of `gateway.model.ports.History`. The keeper calls `roll` and `prune` every minute."""

    def __init__(self, writer: Writer, settings: HistorySettings, clock: Clock, steady: Steady) -> None:
        self._writer = writer
        self._settings = settings
        self._clock = clock
        self._steady = steady
        self._due = Due()
        self._known: dict[int, Signal] = {}
        self._numbers: dict[str, tuple[Signal, int]] = {}
        self._pruned: Mapping[int, int] = {}

    # --- in ---------------------------------------------------------------------------------------------------------

    def write(self, connection: sqlite3.Connection, windows: Iterable[Indicator]) -> None:
        """In the store's thread, inside the transaction."""
        groups: dict[tuple[int, int], list[list[Any]]] = {}
        made: dict[str, int] = {}
        for window in windows:
            number = self._number(connection, window.signal, made)
            groups.setdefault((window.signal.window_s, window.end_ms), []).append(encoded(number, window))
        for (span_s, t1_ms), rows in groups.items():
            connection.execute(
                "INSERT INTO history (span_s, t1_ms, part, n, body) VALUES (?1, ?2, "
                "(SELECT coalesce(max(part), 0) + 1 FROM history WHERE span_s = ?1 AND t1_ms = ?2), ?3, ?4)",
                (span_s, t1_ms, len(rows), packed(rows)),
            )
        touched = {period for span_s, t1_ms in groups if (period := period_of(span_s, t1_ms)) is not None}
        due = self._due.load(connection)
        if not touched <= due:
            self._due.save(connection, due | touched)

    def _number(self, connection: sqlite3.Connection, signal: Signal, made: dict[str, int]) -> int:
        known = self._numbers.get(signal.id)
        if known is not None and known[0] is signal:
            return known[1]
        about = described(signal)
        if about in made:
            return made[about]
        row = connection.execute("SELECT id FROM signal WHERE about = ?", (about,)).fetchone()
        if row is not None:
            self._numbers[signal.id] = signal, row[0]
            return int(row[0])
        # Kept for longer only once it is found: this transaction may still fail, and the number go to another signal.
        (number,) = connection.execute("INSERT INTO signal (about) VALUES (?) RETURNING id", (about,)).fetchone()
        made[about] = number
        return int(number)

    # --- out --------------------------------------------------------------------------------------------------------

    async def windows(
        self, start_ms: int, end_ms: int, *, span_s: int, signals: Collection[str] | None = None
    ) -> list[Indicator]:
        """The store's thread only fetches, a slice at a time, so that commits go on; another thread decodes."""
        ids = None if signals is None else frozenset(signals)
        found: list[Indicator] = []
        after = (start_ms, _LAST_PART)
        while rows := await self._writer.read(partial(_slice, span_s=span_s, after=after, end_ms=end_ms)):
            known = await self._writer.read(self._signals)
            found += await asyncio.to_thread(_picked, rows, known, ids)
            after = rows[-1].t1_ms, rows[-1].part
        return found

    def _signals(self, connection: sqlite3.Connection) -> Mapping[int, Signal]:
        """In the store's thread. What a number stands for never changes, so only new ones are read."""
        new = known_signals(connection, max(self._known, default=0))
        if new:
            self._known = {**self._known, **new}  # another thread may be reading the old one
        return self._known

    async def last_numbers(self, signals: Collection[Signal]) -> dict[str, float]:
        """Shorter windows first, newest first, until all are found. What ended in the future was stamped by a wrong
        clock; while ours is not set itself, up to a day of it is believed. Rows that cannot be read are passed over."""
        now_ms = self._clock.now_ms()
        upto_ms = now_ms if self._clock.synced() else now_ms + DAY_MS
        newest = Newest(signals, await self._writer.read(self._signals))
        for span_s in await self._writer.read(lengths):
            before = (upto_ms, _LAST_PART)
            newest.begin(span_s)
            while newest.open and (
                rows := await self._writer.read(
                    partial(_slice_down, span_s=span_s, before=before, start_ms=now_ms - LOOK_BACK_MS)
                )
            ):
                await asyncio.to_thread(newest.look, rows)
                before = rows[-1].t1_ms, rows[-1].part
        return newest.found()

    # --- folding ----------------------------------------------------------------------------------------------------

    async def roll(self) -> int:
        """Folds every period that is over and whose windows changed since it was folded; returns how many. Raises
        StoreError when the disk takes nothing: what is folded stays, the rest remains due."""
        rolled = 0
        while step := await self._writer.run(self._roll_some):
            rolled += step
        return rolled

    def _roll_some(self, connection: sqlite3.Connection) -> int:
        """In the store's thread, in one transaction: at least one period, and no other after STEP_S."""
        until = self._clock.monotonic() + STEP_S
        over_ms = self._clock.now_ms() - SETTLE_MS
        known = self._signals(connection)
        due = set(self._due.load(connection))
        rolled = 0
        while ready := [period for period in due if period.end_ms <= over_ms]:
            if rolled and self._clock.monotonic() >= until:
                break
            period = min(ready)  # shorter tiers first: longer ones are folded from them
            due.remove(period)
            longer = period_of(*period)
            if _fold(connection, period, known) and longer is not None:
                due.add(longer)
            rolled += 1
        if rolled:
            self._due.save(connection, due)
        return rolled

    # --- forgetting -------------------------------------------------------------------------------------------------

    async def prune(self) -> int:
        """Deletes windows that are older than their length is kept, by whole hours; returns how many rows. Nothing
        while the clock is not set, or jumped within the hour. Raises StoreError when the disk takes nothing."""
        steady = self._steady()
        before = {span_s: self._kept_from(span_s) for span_s in await self._writer.read(lengths)}
        if not steady or before == self._pruned:
            return 0
        gone = 0
        for span_s, before_ms in before.items():
            while step := await self._writer.run(partial(_delete, span_s=span_s, before_ms=before_ms)):
                gone += step
        self._pruned = before
        return gone

    def _kept_from(self, span_s: int) -> int:
        """Windows of this length that end up to here may go. An hour goes as a whole, so that none is ever folded again
        from the half of its windows."""
        kept = self._settings
        hours = kept.base_hours
        if span_s >= TIERS_S[0]:
            hours = kept.five_minutes_days * 24 if span_s < TIERS_S[1] else kept.hour_years * 365.25 * 24
        return (self._clock.now_ms() - round(hours * HOUR_MS)) // HOUR_MS * HOUR_MS


# --- on a connection of any kind --------------------------------------------------------------------------------------


def read(
    connection: sqlite3.Connection, start_ms: int, end_ms: int, *, span_s: int, signals: Collection[str] | None = None
) -> list[Indicator]:
    """See `gateway.model.ports.History.windows`."""
    return list(each(connection, start_ms, end_ms, span_s=span_s, signals=signals))


def each(
    connection: sqlite3.Connection, start_ms: int, end_ms: int, *, span_s: int, signals: Collection[str] | None = None
) -> Iterator[Indicator]:
    """The same one after the other: little memory, and no transaction is held open while the caller works."""
    ids = None if signals is None else frozenset(signals)
    known: dict[int, Signal] = {}
    after = (start_ms, _LAST_PART)
    while rows := _slice(connection, span_s=span_s, after=after, end_ms=end_ms):
        known |= known_signals(connection, max(known, default=0))
        yield from _picked(rows, known, ids)
        after = rows[-1].t1_ms, rows[-1].part


def known_signals(connection: sqlite3.Connection, above: int = 0) -> dict[int, Signal]:
    """What the numbers in rows stand for, of those above this one; without those whose description is damaged."""
    rows = connection.execute("SELECT id, about FROM signal WHERE id > ?", (above,))
    return {number: signal for number, about in rows if (signal := signal_in(about)) is not None}


def lengths(connection: sqlite3.Connection) -> list[int]:
    """The lengths of which there are windows, s."""
    rows = connection.execute(
        "WITH RECURSIVE length (s) AS (SELECT min(span_s) FROM history UNION ALL "
        "SELECT (SELECT min(span_s) FROM history WHERE span_s > s) FROM length WHERE s IS NOT NULL) "
        "SELECT s FROM length WHERE s IS NOT NULL"
    )
    return [span_s for (span_s,) in rows]


def _slice(connection: sqlite3.Connection, *, span_s: int, after: tuple[int, int], end_ms: int) -> list[Row]:
    rows = connection.execute(
        "SELECT t1_ms, part, body FROM history WHERE span_s = ? AND (t1_ms, part) > (?, ?) AND t1_ms <= ? "
        "ORDER BY t1_ms, part LIMIT ?",
        (span_s, *after, end_ms, SLICE),
    )
    found = [Row(*row) for row in rows]
    if found and (found[-1].t1_ms, found[-1].part) <= after:
        raise corrupt("rows of the history are out of order")  # or whoever reads on from there would never end
    return found


def _slice_down(connection: sqlite3.Connection, *, span_s: int, before: tuple[int, int], start_ms: int) -> list[Row]:
    rows = connection.execute(
        "SELECT t1_ms, part, body FROM history WHERE span_s = ? AND (t1_ms, part) < (?, ?) AND t1_ms > ? "
        "ORDER BY t1_ms DESC, part DESC LIMIT ?",
        (span_s, *before, start_ms, SLICE_DOWN),
    )
    found = [Row(*row) for row in rows]
    if found and (found[-1].t1_ms, found[-1].part) >= before:
        raise corrupt("rows of the history are out of order")
    return found


def _picked(rows: Iterable[Row], known: Mapping[int, Signal], ids: frozenset[str] | None) -> list[Indicator]:
    wanted = None if ids is None else frozenset(number for number, signal in known.items() if signal.id in ids)
    found = ((row.t1_ms, window) for row in rows for window in unpacked(row.body, wanted))
    return [decoded(window, t1_ms, known) for t1_ms, window in found if window[0] in known]


def _fold(connection: sqlite3.Connection, period: Period, known: Mapping[int, Signal]) -> bool:
    """Writes the period's row, in place of one that is there, each signal for itself; False when there was nothing to
    write."""
    groups: dict[tuple[Any, ...], list[tuple[int, Indicator]]] = {}
    for span_s in lengths(connection):
        if period_of(span_s, period.end_ms) != period:
            continue
        rows = connection.execute(
            "SELECT t1_ms, body FROM history WHERE span_s = ? AND t1_ms > ? AND t1_ms <= ?",
            (span_s, period.start_ms, period.end_ms),
        )
        for t1_ms, body in rows:
            for window in unpacked(body):
                if window[0] not in known:  # its description is damaged: it stays as it is
                    continue
                group = groups.setdefault(same(known[window[0]]), [])
                group.append((window[0], decoded(window, t1_ms, known)))
    before = {_key(row[0], known): row for row in _folded_before(connection, period)}
    ground = {key: _folded(group, period, known) for key, group in groups.items()}
    # Windows only ever come to a period, so fewer readings than it had mean that its ground is not kept any more.
    more = {key: row for key, row in ground.items() if key not in before or row[READINGS] >= before[key][READINGS]}
    if not more:
        return False
    folded = before | more
    connection.execute(
        "INSERT OR REPLACE INTO history (span_s, t1_ms, part, n, body) VALUES (?, ?, 0, ?, ?)",
        (*period, len(folded), packed(folded.values())),
    )
    return True


def _folded(group: Sequence[tuple[int, Indicator]], period: Period, known: Mapping[int, Signal]) -> Sequence[Any]:
    number, _ = max(group, key=lambda pair: pair[1].end_ms)
    return encoded(number, fold(known[number], (window for _, window in group), period.start_ms, period.end_ms))


def _folded_before(connection: sqlite3.Connection, period: Period) -> Sequence[Sequence[Any]]:
    row = connection.execute(
        "SELECT body FROM history WHERE span_s = ? AND t1_ms = ? AND part = 0", tuple(period)
    ).fetchone()
    return unpacked(row[0]) if row is not None else ()


def _key(number: int, known: Mapping[int, Signal]) -> tuple[Any, ...]:
    """Of a signal whose description is damaged, its number alone."""
    return same(known[number]) if number in known else (number,)


def _delete(connection: sqlite3.Connection, *, span_s: int, before_ms: int) -> int:
    return connection.execute(
        "DELETE FROM history WHERE span_s = ?1 AND (t1_ms, part) IN "
        "(SELECT t1_ms, part FROM history WHERE span_s = ?1 AND t1_ms <= ?2 ORDER BY t1_ms, part LIMIT ?3)",
        (span_s, before_ms, SLICE),
    ).rowcount
