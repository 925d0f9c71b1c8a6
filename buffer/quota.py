"""What is given up when there is no room, and in which order. SQL, in the store's thread, inside its transaction.

First refused commands; then what was sent, oldest first; then commands that nobody can repeat any more; then history,
the finest first; then what was sent and never confirmed, where the centre confirms; then unsent telemetry: the backlog,
then what is live. Alarms and outcomes that were not sent, open commands and the journal are not in the list.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from buffer.lost import Lost
from buffer.outbox import set_floor
from gateway.model.command import CommandState
from gateway.model.ports import Lane
from gateway.model.spans import Spans

ROW_BYTES = 64
"""What a row takes beside its body."""
STEP_BYTES = 16_000_000
"""So much is deleted at once when there is no hurry: a slow card must not keep a commit waiting for long."""
FOLDING_MS = 2 * 3_600_000
"""Windows younger than this are the ground of longer ones and stay."""
REPEATED_MS = 3_600_000
"""A command is valid for minutes: one that was claimed so long ago is expired, whoever sends it again."""

_REFUSED = f"state IN ('{CommandState.REFUSED}', '{CommandState.EXPIRED}')"


class Pages(NamedTuple):
    """The file in SQLite's pages: how many hold something, and the most it may have."""

    used: int
    limit: int

    @property
    def room(self) -> int:
        """How many more can be used."""
        return self.limit - self.used


class Row(NamedTuple):
    """A bundle without its body; `size` in bytes, as it is stored."""

    lo: int
    n: int
    at_ms: int
    size: int

    @property
    def hi(self) -> int:
        return self.lo + self.n - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Which ids may be given up. What is on its way, and what is unsent and urgent, is in none of them."""

    sent: Spans
    unconfirmed: Spans = field(default_factory=Spans)
    back: Spans = field(default_factory=Spans)
    live: Spans = field(default_factory=Spans)
    history: bool = True
    """Not only records may go."""
    commands_ms: int = 0
    """Finished commands that were claimed before it may go."""


def give_up(connection: sqlite3.Connection, plan: Plan, need: int, now_ms: int) -> tuple[list[Row], int]:
    """Deletes bundles and windows until `need` bytes are free, or there is nothing more. Returns the bundles, upwards,
    and how many bytes were freed in all."""
    # Nothing acted on them, and there may be many: who sends them must not push anything else out.
    freed = trim_commands(connection, need, _REFUSED) if plan.history else 0
    rows = oldest(connection, plan.sent, need - freed, telemetry_only=False)
    freed += delete(connection, rows)
    if plan.history:
        freed += trim_commands(connection, need - freed, f"claimed_ms < {plan.commands_ms:d}")
        freed += trim_history(connection, need - freed, now_ms)
    allowed = plan.sent.copy()
    for more in (plan.unconfirmed, plan.back, plan.live):
        allowed.update(more)  # a bundle may be half sent
        if more and freed < need:
            found = oldest(connection, allowed, need - freed, telemetry_only=True)
            freed += delete(connection, found)
            rows += found
    return sorted(rows), freed


def oldest(
    connection: sqlite3.Connection, ids: Iterable[tuple[int, int]], need: int, *, telemetry_only: bool
) -> list[Row]:
    """The oldest bundles whose records are all among these ids, until they take `need` bytes together."""
    rows: list[Row] = []
    first_lane = Lane.LIVE if telemetry_only else Lane.URGENT
    for lo, hi in ids:
        if need <= 0:
            break
        for row in _rows(connection, lo, hi, first_lane):
            if row.hi > hi or need <= 0:
                break
            rows.append(row)
            need -= row.size
    return rows


def aged(connection: sqlite3.Connection, ids: Iterable[tuple[int, int]], before_ms: int, now_ms: int) -> list[Row]:
    """The bundles of these ids that were stored before, or the oldest STEP_BYTES of them. What lies between them goes
    too if its stamp is in the future: a clock was wrong then. What lies behind a younger one stays, whatever its stamp
    says."""
    rows: list[Row] = []
    size = 0
    for lo, hi in ids:
        doubtful: list[Row] = []
        for row in _rows(connection, lo, hi):
            if row.hi > hi:
                break
            if size > STEP_BYTES:
                return rows
            if row.at_ms < before_ms:
                rows += [*doubtful, row]
                doubtful.clear()
                size += row.size
            elif row.at_ms > now_ms:
                doubtful.append(row)
            else:
                return rows
    return rows


def _rows(connection: sqlite3.Connection, lo: int, hi: int, first_lane: Lane = Lane.URGENT) -> Iterator[Row]:
    sql = "SELECT lo, n, at_ms, length(body) + ? FROM bundle WHERE lo BETWEEN ? AND ? AND lane >= ? ORDER BY lo"
    return map(Row._make, connection.execute(sql, (ROW_BYTES, lo, hi, first_lane)))


def delete(connection: sqlite3.Connection, rows: Sequence[Row]) -> int:
    """Returns how many bytes they took. Their ids are never given again."""
    if rows:
        runs = Spans((row.lo, row.hi) for row in rows)
        connection.executemany("DELETE FROM bundle WHERE lo BETWEEN ? AND ?", runs)
        set_floor(connection, runs.last()[1])
    return sum(row.size for row in rows)


def trim_commands(connection: sqlite3.Connection, need: int, which: str) -> int:
    """Deletes finished commands, in the order in which they were claimed. Returns how many bytes they took."""
    freed, upto = 0, None
    for rowid, size in connection.execute(
        f"SELECT rowid, length(request) + coalesce(length(outcome), 0) + ? FROM command "  # noqa: S608  # ours
        f"WHERE finished_ms IS NOT NULL AND {which} ORDER BY rowid",
        (ROW_BYTES,),
    ):
        if freed >= need:
            break
        freed, upto = freed + size, rowid
    if upto is not None:
        connection.execute(f"DELETE FROM command WHERE finished_ms IS NOT NULL AND {which} AND rowid <= ?", (upto,))  # noqa: S608  # ours
    return freed


def trim_history(connection: sqlite3.Connection, need: int, now_ms: int) -> int:
    """Deletes windows, the finest first, of one length the oldest first. Returns how many bytes they took."""
    freed = 0
    span_s = 0
    while freed < need:
        row = connection.execute("SELECT min(span_s) FROM history WHERE span_s > ?", (span_s,)).fetchone()
        if row[0] is None:
            break
        span_s = row[0]
        (newest_ms,) = connection.execute("SELECT max(t1_ms) FROM history WHERE span_s = ?", (span_s,)).fetchone()
        end_ms = None
        for t1_ms, size in connection.execute(
            "SELECT t1_ms, length(body) + ? FROM history WHERE span_s = ? AND t1_ms < ? ORDER BY t1_ms",
            (ROW_BYTES, span_s, min(newest_ms, now_ms) - FOLDING_MS),
        ):
            if freed >= need and t1_ms != end_ms:
                break
            freed, end_ms = freed + size, t1_ms
        connection.execute("DELETE FROM history WHERE span_s = ? AND t1_ms <= ?", (span_s, end_ms))
    return freed


class Held:
    """What all bundles take. Counted when first asked, and kept up with from then on."""

    def __init__(self) -> None:
        self._records = 0
        self._size = 0
        self._upto = 0

    def count(self, connection: sqlite3.Connection) -> None:
        records, size, upto = connection.execute(
            "SELECT coalesce(sum(n), 0), coalesce(sum(length(body) + ?1), 0), coalesce(max(lo), 0) "
            "FROM bundle WHERE lo > ?2",
            (ROW_BYTES, self._upto),
        ).fetchone()
        self._records += records
        self._size += size
        self._upto = max(self._upto, upto)

    def forget(self, rows: Iterable[Row]) -> None:
        """These are deleted."""
        for row in rows:
            if row.lo <= self._upto:
                self._records -= row.n
                self._size -= row.size

    def sent(self, unsettled: int) -> int:
        """About how many bytes those records take that are sent, when so many are not."""
        return 0 if self._records <= 0 else int(self._size * max(0.0, 1 - unsettled / self._records))


# --- what is said of it ---------------------------------------------------------------------------------------------


def lost_of(rows: Sequence[Row], plan: Plan) -> list[Lost]:
    """The ids of these bundles, in their order, that nobody has got."""
    unsent = plan.unconfirmed.copy()
    for more in (plan.back, plan.live):
        unsent.update(more)
    spans = deque(unsent)
    found: list[Lost] = []
    for row in rows:
        while spans and spans[0][0] <= row.hi:
            lo, hi = max(spans[0][0], row.lo), min(spans[0][1], row.hi)
            if lo <= hi:
                found.append(Lost.at(lo, hi, row.at_ms))
            if spans[0][1] > row.hi:
                break
            spans.popleft()
    return list(_joined(found))


def _joined(parts: Iterable[Lost]) -> Iterator[Lost]:
    open_: Lost | None = None
    for part in parts:
        if open_ is None or open_.hi != part.lo - 1:
            if open_ is not None:
                yield open_
            open_ = part
        else:
            times = (open_.first_ms, open_.last_ms, part.first_ms)
            open_ = Lost(open_.lo, part.hi, open_.n + part.n, min(times), max(times))
    if open_ is not None:
        yield open_
