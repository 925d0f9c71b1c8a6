"""What is still to be sent, lane by lane: in memory, loaded at the start, saved with the commits.

A telemetry record is LIVE for its first FRESH_MS and BACK after that, so live data never queues behind what an
outage left. Which records are settled is kept as intervals of record ids, never as a flag in each row: marking
rows would write every page twice.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from buffer.bundle import Bundle, cut, fitting, inflate
from buffer.writer import Writer
from gateway.model.ports import Batch, Lane, Waiting
from gateway.model.spans import Spans

# Two base windows of a minute: older than that, a newer value of the same point has overtaken it.
FRESH_MS = 120_000
# With the uplink down nothing is settled; save what is waiting every so many records all the same, so that
# the next start does not have to look at a week of rows.
SAVE_EVERY = 5_000
# An alarm a minute cuts a week of telemetry into ten thousand intervals: 150 KB to save. So what is longer than
# SAVE_FREELY bytes is saved as seldom as to cost SAVE_BYTES_PER_S, and while nothing is settled SAVE_BYTES_PER_RECORD.
# A crash in between only sends more ids again.
SAVE_FREELY = 4096
SAVE_BYTES_PER_S = 4096
SAVE_BYTES_PER_RECORD = 10


@dataclass(slots=True)
class _Age:
    hi: int
    at_ms: int
    size: int


class _Ages:
    """When the LIVE records were committed and how large they are, oldest first."""

    def __init__(self) -> None:
        self._ages: deque[_Age] = deque()
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._ages)

    @property
    def oldest(self) -> _Age:
        return self._ages[0]

    def append(self, hi: int, at_ms: int, size: int) -> None:
        self._ages.append(_Age(hi, at_ms, size))
        self.size += size

    def put_back(self, hi: int, at_ms: int, size: int) -> None:
        self._ages.appendleft(_Age(hi, at_ms, size))
        self.size += size

    def drop_oldest(self) -> int:
        """Its highest id."""
        age = self._ages.popleft()
        self.size -= age.size
        return age.hi

    def forget_below(self, first: int | None) -> None:
        """Only records from `first` on still wait; None: no record does."""
        while self._ages and (first is None or self._ages[0].hi < first):
            self.drop_oldest()


class Lanes:
    """Unsettled records of each lane, split in `todo` and `taken` (on their way to the far end)."""

    def __init__(self) -> None:
        self.todo = {lane: Spans() for lane in Lane}
        self.taken: dict[Lane, dict[int, tuple[Batch, int]]] = {lane: {} for lane in Lane}
        self._reading = {lane: Spans() for lane in Lane}  # between todo and taken, while the thread fetches them
        self.seen = 0
        self.saved = 0
        self.dirty = False
        self._saved_bytes = 0
        self._save_from = -math.inf
        self._ages = _Ages()

    # --- saving and loading -----------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """What is unsettled, as it is saved. `seen`: records above this id are unsettled too."""
        saved: dict[str, Any] = {"seen": self.seen}
        for lane in Lane:
            saved[lane.name.lower()] = self._unsettled(lane).intervals()
        return saved

    def to_save(self, now: float) -> str:
        """What is to be written with the next commit, "" when nothing changed or it is too early (`now`: seconds of a
        clock that does not jump). What that commit itself brings is above `seen`. Once asked for it counts as written:
        say `not_saved` if it was not."""
        if not self.dirty or now < self._save_from:
            return ""
        self.dirty = False
        self.saved = self.seen
        text = json.dumps(self.dump(), separators=(",", ":"))
        self._saved_bytes = len(text)
        if len(text) > SAVE_FREELY:
            self._save_from = now + len(text) / SAVE_BYTES_PER_S
        return text

    def not_saved(self, what: str) -> None:
        if what:
            self.dirty = True
            self.save_now()

    def save_now(self) -> None:
        """The next commit saves what changed, however long it is."""
        self._save_from = -math.inf

    def load(self, saved: Mapping[str, Any], rows: Iterable[tuple[int, int, int, int]], now_ms: int) -> None:
        """`rows`: (lo, n, lane, at_ms) of every bundle that is younger than `seen` or still fresh."""
        self.seen = int(saved.get("seen", 0))
        for lane in Lane:
            self.todo[Lane.BACK if lane is Lane.LIVE else lane].update(saved.get(lane.name.lower(), ()))
        fresh = self.todo[Lane.BACK].copy()
        for lo, n, row_lane, at_ms in rows:
            if lo > self.seen:
                self.committed(Bundle(lo, n, row_lane, b""), at_ms)
            elif row_lane == Lane.LIVE and _is_fresh(at_ms, now_ms):
                self._refresh(lo, lo + n - 1, at_ms, fresh)
        self._demote(now_ms)
        self.saved = self.seen

    def _refresh(self, lo: int, hi: int, at_ms: int, unsettled: Spans) -> None:
        """What is unsettled of a fresh row is LIVE again."""
        row = Spans([(lo, hi)])
        for settled in unsettled.missing(lo, hi):
            row.remove(*settled)
        for low, high in row:
            self.todo[Lane.BACK].remove(low, high)
            self.todo[Lane.LIVE].add(low, high)
            self._ages.append(high, at_ms, 0)

    # --- in ---------------------------------------------------------------------------------------------

    def committed(self, bundle: Bundle, at_ms: int) -> None:
        self.todo[Lane(bundle.lane)].add(bundle.lo, bundle.hi)
        if bundle.lane == Lane.LIVE:
            self._ages.append(bundle.hi, at_ms, len(bundle.body))
            self._demote(at_ms)  # also while nobody asks: a week without a line must not fill the memory with ages
        self.seen = max(self.seen, bundle.hi)
        if self.seen - self.saved > max(SAVE_EVERY, self._saved_bytes // SAVE_BYTES_PER_RECORD):
            self.dirty = True

    def _demote(self, now_ms: int) -> None:
        """Moves what has waited too long from LIVE to BACK."""
        live = self.todo[Lane.LIVE]
        while live and self._ages and not _is_fresh(self._ages.oldest.at_ms, now_ms):
            hi = self._ages.drop_oldest()
            while live and live.first()[0] <= hi:
                lo, end = live.first()
                self.todo[Lane.BACK].add(lo, min(end, hi))
                live.remove(lo, min(end, hi))
        self._forget_ages()

    def _forget_ages(self) -> None:
        live = self.todo[Lane.LIVE]
        self._ages.forget_below(live.first()[0] if live else None)

    # --- out --------------------------------------------------------------------------------------------

    def any_due(self) -> bool:
        return any(self.todo.values())

    def waiting(self, lane: Lane, now_ms: int) -> Waiting:
        self._demote(now_ms)
        records = len(self.todo[lane])
        if lane is not Lane.LIVE or not self._ages:
            return Waiting(records)
        return Waiting(records, self._ages.size, self._ages.oldest.at_ms)

    def due(self, lane: Lane, now_ms: int) -> Spans:
        """What still has to be sent and nobody has taken."""
        self._demote(now_ms)
        return self.todo[lane].copy()

    def unsettled(self) -> Spans:
        """What still has to be sent, taken or not."""
        spans = Spans()
        for lane in Lane:
            spans.update(self._unsettled(lane))
        return spans

    def _unsettled(self, lane: Lane) -> Spans:
        spans = self.todo[lane].copy()
        spans.update(self._reading[lane])
        spans.update((batch.lo, batch.hi) for batch, _ in self.taken[lane].values())
        return spans

    async def take(self, lane: Lane, limits: tuple[int, int], writer: Writer, now_ms: int) -> Batch | None:
        """`limits`: most records, most bytes."""
        max_records, max_bytes = limits
        self._demote(now_ms)
        todo = self.todo[lane]
        while todo:
            lo, hi = todo.first()
            hi = min(hi, lo + max_records - 1)
            todo.remove(lo, hi)  # reserved before the await, so that nobody else takes it
            self._reading[lane].add(lo, hi)
            at_ms = self._ages.oldest.at_ms if lane is Lane.LIVE and self._ages else 0
            try:
                bundles = await writer.read(lambda c, lo=lo, hi=hi: _fetch(c, lo, hi, max_bytes))  # type: ignore[misc]
            except BaseException:
                todo.add(lo, hi)
                raise
            finally:
                self._reading[lane].remove(lo, hi)
            if not bundles:
                self.dirty = True
                continue  # rows that a person deleted: there is nothing left to send of them
            batch = Batch(
                lane, bundles[0].lo, bundles[-1].hi, sum(b.n for b in bundles), b",".join(b.body for b in bundles)
            )
            todo.add(batch.hi + 1, hi)
            self._forget_ages()
            self.taken[lane][batch.lo] = (batch, at_ms)
            return batch
        return None

    def settled(self, batch: Batch) -> None:
        self.taken[batch.lane].pop(batch.lo, None)
        self.dirty = True

    def split(self, batch: Batch) -> tuple[Batch, Batch]:
        """A taken batch of two records or more as two that are taken instead."""
        _, at_ms = self.taken[batch.lane].pop(batch.lo, (batch, 0))
        bundle = Bundle(batch.lo, batch.n, batch.lane, batch.body)
        middle = batch.lo + batch.n // 2
        first, second = (
            Batch(batch.lane, half.lo, half.hi, half.n, half.body)
            for half in (cut(bundle, batch.lo, middle - 1), cut(bundle, middle, batch.hi))
        )
        self.taken[batch.lane] |= {first.lo: (first, at_ms), second.lo: (second, at_ms)}
        return first, second

    def again(self, spans: Iterable[tuple[int, int]]) -> int:
        """These are due again, as backlog, but for those that are due or on their way. Returns how many."""
        wanted = Spans(spans)
        for lo, hi in self.unsettled():
            wanted.remove(lo, hi)
        self.todo[Lane.BACK].update(wanted)
        self.dirty = self.dirty or bool(wanted)
        return len(wanted)

    def drop(self, lo: int, hi: int) -> int:
        """These will not be sent: their rows are deleted. Returns how many of them were due."""
        before = sum(len(self.todo[lane]) for lane in Lane)
        for lane in Lane:
            self.todo[lane].remove(lo, hi)
        dropped = before - sum(len(self.todo[lane]) for lane in Lane)
        if dropped:
            self._forget_ages()
            self.dirty = True
        return dropped

    def give_back(self, but: Iterable[Batch] = ()) -> None:
        """Everything on its way is due again, but for these."""
        kept = {(batch.lane, batch.lo) for batch in but}
        for lane, taken in self.taken.items():
            for batch, at_ms in sorted(taken.values(), key=lambda pair: -pair[0].lo):
                if (lane, batch.lo) in kept:
                    continue
                del taken[batch.lo]
                self.todo[lane].add(batch.lo, batch.hi)
                if lane is Lane.LIVE:
                    self._ages.put_back(batch.hi, at_ms, len(batch.body))


def _is_fresh(at_ms: int, now_ms: int) -> bool:
    """What seems to come from the future was stored before the clock was set back: nobody knows how old it is."""
    return abs(now_ms - at_ms) <= FRESH_MS


def _fetch(connection: sqlite3.Connection, lo: int, hi: int, max_bytes: int) -> list[Bundle]:
    """The records lo .. hi, as far as they are consecutive and fit in max_bytes; at least one if there is one."""
    rows = connection.execute(
        "SELECT lo, n, lane, body FROM bundle "
        "WHERE lo >= coalesce((SELECT max(lo) FROM bundle WHERE lo <= ?1), ?1) AND lo <= ?2 ORDER BY lo",
        (lo, hi),
    )
    found: list[Bundle] = []
    size = 0
    for row_lo, n, lane, blob in rows:
        if row_lo + n - 1 < lo:
            continue
        if found and row_lo != found[-1].hi + 1:
            break
        bundle = cut(Bundle(row_lo, n, lane, inflate(blob)), lo, hi)
        part = fitting(bundle, bundle.n, max_bytes - size if found else max_bytes)
        if found and size + len(part.body) > max_bytes:
            break
        found.append(part)
        size += len(part.body) + 1
        if part.n < bundle.n:
            break
    return found
