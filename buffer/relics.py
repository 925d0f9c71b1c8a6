"""What is read from a damaged store, and how it is known to be what was written.

Bundles and history prove themselves: zlib's checksum, and the ids and times inside. A journal entry is proved by its
hash, once the entries lie in order (`buffer/carry.py`). What proves nothing is taken if it has the right shape.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buffer.bundle import Bundle, inflate, sound
from buffer.keepsakes import parsed as keepsake
from buffer.leaves import Pages
from buffer.leaves import rows as leaf_rows
from buffer.window_rows import REASONS, VALUE, packed, signal_of, unpacked
from buffer.wreck import UNREADABLE, Reader, Row, Walk
from buffer.writer import PAGE_SIZE
from gateway.model.measure import Reason
from gateway.model.ports import Lane
from gateway.model.spans import Spans

BUNDLES = Walk("lo, n, lane, at_ms, body", "bundle")
ASIDE = Walk("lo, n, lane, at_ms, reason, body", "set_aside")
COMMANDS = Walk("rowid, id, claimed_ms, request, state, finished_ms, outcome", "command NOT INDEXED")
OPEN = Walk("claimed_ms, rowid", "command INDEXED BY command_open", "AND finished_ms IS NULL", unique=False)
JOURNAL = Walk("seq, at_ms, kind, body, hash", "journal")
SIGNALS = Walk("id, about", "signal NOT INDEXED")
TALLY = Walk("at_ms, stored, waiting, lost, written, why", "tally")

_MANY = 10**6
_DAY_MS = 86_400_000
_NUMBERS = {"session", "floor", "offered", "confirmed", "lost", "written"}


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What the old store knew to be unsent: by lane, and everything above `seen`."""

    lanes: Mapping[Lane, Spans]
    seen: int

    @staticmethod
    def parsed(text: str) -> Unsettled | None:
        try:
            saved = json.loads(text)
            lanes = {lane: Spans((int(lo), int(hi)) for lo, hi in saved[lane.name.lower()]) for lane in Lane}
            return Unsettled(lanes, int(saved["seen"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def lane_of(self, bundle: Bundle) -> Lane:
        """Where unsent records of a bundle go: what was urgent and not yet backlog stays urgent."""
        urgent = bundle.lane == Lane.URGENT and (bundle.lo in self.lanes[Lane.URGENT] or bundle.lo > self.seen)
        return Lane.URGENT if urgent else Lane.BACK

    def upto(self, top: int) -> Spans:
        spans = Spans((lo, min(hi, top)) for lane in self.lanes.values() for lo, hi in lane)
        spans.add(self.seen + 1, top)
        return spans


class Relics:
    """The rows of each table that can be read and believed, as they go into the new store."""

    def __init__(self, reader: Reader, now_ms: int) -> None:
        self._reader = reader
        self._now_ms = now_ms
        self._signals: set[int] = set()
        self.commands_seen: set[str] = set()
        """Ids of commands that outcome records, or journal entries, speak of."""

    def meta(self) -> dict[str, str]:
        """What is a number is one; what is JSON is JSON."""
        found: dict[str, str] = {}
        for key, value in self._both_ways("SELECT key, value FROM meta ORDER BY key"):
            name, text = _text(key), _text(value)
            with suppress(ValueError, RecursionError):
                if name in _NUMBERS:
                    found[name] = str(int(text))
                elif name:
                    if text[:1] in ("{", "["):
                        json.loads(text)
                    found[name] = text
        return found

    def commands(self) -> Iterator[Row]:
        for _, id_, claimed_ms, request, state, finished_ms, outcome in self._reader.rows(COMMANDS, _MANY):
            name, closed = _text(id_), finished_ms is not None
            if name:
                yield (
                    name,
                    self._moment(claimed_ms),
                    request if isinstance(request, bytes) else b"{}",
                    _text(state) or "interrupted",
                    self._moment(finished_ms) if closed else None,
                    outcome if closed and _speaks_of(outcome, name) else None,
                )

    def command_ids(self) -> Iterator[Row]:
        """Ids whose rows may be gone: from the index, and from what speaks of them. They are closed, so that they never
        act again, but for those that the other index still has as open."""
        still_open = {rowid for _, rowid in self._reader.rows(OPEN, self._now_ms)}
        order = "SELECT id, rowid FROM command INDEXED BY sqlite_autoindex_command_1 ORDER BY id"
        for id_, rowid in self._both_ways(order):
            if name := _text(id_):
                yield self._closed(name, None if rowid in still_open else self._now_ms)
        for name in self.commands_seen:
            yield self._closed(name, self._now_ms)

    def _closed(self, name: str, finished_ms: int | None) -> Row:
        return name, self._now_ms, b"{}", "interrupted", finished_ms, None

    def journal(self) -> Iterator[Row]:
        for seq, at_ms, kind, body, hash_ in self._reader.rows(JOURNAL, _MANY):
            texts = _text(kind), _text(body), _text(hash_)
            if isinstance(at_ms, int) and all(texts):
                if texts[0] == "command":
                    self._note_command(texts[1].encode(), lambda entry: entry["id"])
                yield seq, at_ms, *texts

    def signals(self) -> Iterator[Row]:
        for number, about in self._reader.rows(SIGNALS, _MANY):
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                signal_of(json.loads(_text(about)))
                self._signals.add(number)
                yield number, _text(about)

    def keepsakes(self) -> Iterator[Row]:
        for name, body in self._both_ways("SELECT name, body FROM keepsake ORDER BY name"):
            if _text(name) and _text(body) and keepsake(body) is not None:
                yield _text(name), _text(body)

    def tally(self) -> Iterator[Row]:
        for *numbers, why in self._reader.rows(TALLY, self._now_ms + _DAY_MS):
            if all(isinstance(number, int) and number >= 0 for number in numbers) and isinstance(why, bytes):
                yield *numbers, why.decode("utf-8", "replace")

    def set_aside(self, guess: int) -> Iterator[Row]:
        for lo, n, lane, at_ms, reason, blob in self._reader.rows(ASIDE, guess):
            if _proven(lo, n, blob) is not None:
                yield lo, n, _lane(lane), self._moment(at_ms), _text(reason) or "?", blob

    def bundles(self, guess: int) -> Iterator[Row]:
        return self._proven_bundles(self._reader.rows(BUNDLES, guess))

    def strays(self, above: int) -> Iterator[Row]:
        """Bundles that no tree leads to any more. `above` this id none was ever deleted."""
        (_, _, file), *_ = self._reader.connection.execute("PRAGMA database_list")
        if BUNDLES.table in self._reader.broken and file:
            with closing(Pages(Path(_text(file)), PAGE_SIZE)) as pages:
                found = leaf_rows(pages, "0iiib", self._reader.over)
                yield from self._proven_bundles(row for row in found if row[0] > above)

    def _proven_bundles(self, rows: Iterator[Row]) -> Iterator[Row]:
        for lo, n, lane, at_ms, blob in rows:
            body = _proven(lo, n, blob)
            if body is not None:
                if lane == Lane.URGENT:
                    self._note_outcomes(body)
                yield lo, n, _lane(lane), self._moment(at_ms), blob

    def history(self) -> Iterator[Row]:
        for span_s in self._spans():
            walk = Walk("t1_ms, span_s, part, n, body", "history", "AND span_s = ?", (span_s,), unique=False)
            for t1_ms, _, part, _, blob in self._reader.rows(walk, self._now_ms + _DAY_MS):
                if isinstance(part, int) and (found := self._windows(blob, t1_ms - 1000 * span_s, t1_ms)):
                    yield span_s, t1_ms, part, *found

    def _spans(self) -> Iterator[int]:
        """The lengths of windows there are. Where a break hides one, the next is looked for behind it."""
        at, step = 0, 1
        while at < 10 * 366 * 86_400:
            try:
                (found,) = self._reader.connection.execute(
                    "SELECT min(span_s) FROM history WHERE span_s > ?", (at,)
                ).fetchone()
            except UNREADABLE:
                at, step = at + step, 2 * step
                continue
            if not isinstance(found, int) or found <= at:
                return
            yield found
            at, step = found, 1

    def _windows(self, blob: Any, t0_ms: int, t1_ms: int) -> tuple[int, bytes] | None:
        """How many windows are good, and the body with these."""
        try:
            rows = unpacked(blob)
            good = [row for row in rows if row[0] in self._signals and t0_ms <= row[1] < t1_ms]
            if t1_ms % (t1_ms - t0_ms) and not all(map(_says_cut, good)):
                return None  # the key is no part of what zlib has proved
        except (zlib.error, ValueError, TypeError, IndexError, RecursionError):
            return None
        if not good:
            return None
        return len(good), blob if len(good) == len(rows) else packed(good)

    # --- small ------------------------------------------------------------------------------------------------

    def _both_ways(self, order: str) -> Iterator[Row]:
        """All rows up to a break, from either end; some come twice."""
        for way in ("ASC", "DESC"):
            with suppress(*UNREADABLE):
                yield from self._reader.connection.execute(f"{order} {way}")

    def _moment(self, at_ms: Any) -> int:
        return at_ms if isinstance(at_ms, int) and 0 < at_ms < self._now_ms + _DAY_MS else self._now_ms

    def _note_outcomes(self, body: bytes) -> None:
        if b'"gw.command"' in body:
            for record in _json(b"[" + body + b"]") or ():
                if record.get("ind") == "gw.command":
                    self._note_command(record, lambda entry: entry["p"]["id"])

    def _note_command(self, entry: Any, id_of: Callable[[Any], Any]) -> None:
        with suppress(KeyError, TypeError):
            name = id_of(_json(entry) if isinstance(entry, bytes) else entry)
            if isinstance(name, str):
                self.commands_seen.add(name)


def _says_cut(window: Sequence[Any]) -> bool:
    """Only a window that was cut short ends beside the grid of its length; with a value it says so."""
    return window[VALUE] is None or Reason.PARTIAL in window[REASONS]


def _proven(lo: int, n: Any, blob: Any) -> bytes | None:
    """The records, if they are what was written."""
    try:
        body = inflate(blob)
    except (zlib.error, TypeError):
        return None
    return body if isinstance(n, int) and n > 0 and sound(Bundle(lo, n, 0, body)) else None


def _lane(lane: Any) -> int:
    return Lane(lane) if lane in set(Lane) else Lane.LIVE


def _text(value: Any) -> str:
    """Text comes as bytes here; "" for what is none."""
    try:
        return value.decode() if isinstance(value, bytes) else ""
    except UnicodeDecodeError:
        return ""


def is_json(text: str) -> bool:
    return _json(text.encode()) is not None


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _speaks_of(outcome: Any, name: str) -> bool:
    """An outcome message, and of this command."""
    found = _json(outcome) if isinstance(outcome, bytes) else None
    return isinstance(found, dict) and found.get("id", name) == name
