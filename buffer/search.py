"""Finding records and windows by what they say. Streams, in short transactions: see buffer/walk.py."""

from __future__ import annotations

import fnmatch
import json
import re
import sqlite3
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from buffer import history
from buffer.bundle import inflate
from buffer.damage import is_damage
from buffer.inspect import unsettled
from buffer.lanes import FRESH_MS
from buffer.walk import Packed, Walk
from buffer.window_rows import signal_in
from gateway.model.indicator import Indicator
from gateway.model.ports import Lane
from gateway.model.spans import Spans

# A record is committed after it was measured; a clock that was set back in between may say otherwise, by a day at most.
CLOCK_SLACK_MS = 86_400_000
WINDOWS_A_STEP = 4_000

_BEGINNING = b'{"rid":'
_SEAM = b"," + _BEGINNING  # see buffer/bundle.py
_NAMED = re.compile(rb'"pt":"([^"\\]*)"(?:,"ind":"[^"\\]*"(,"tg":)?)?')

Row = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What to look for; empty means all. Points and indicators are patterns (`*` and `?`), accents and case do not
    count. Times are those of the records (`t1`), ms UTC, `to_ms` inclusive."""

    points: tuple[str, ...] = ()
    indicators: tuple[str, ...] = ()
    from_ms: int = 0
    to_ms: int | None = None
    qualities: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    lane: str | None = None
    waiting: bool = False

    def takes(self, row: Mapping[str, Any]) -> bool:
        return (
            self.from_ms <= row["t1"] <= (row["t1"] if self.to_ms is None else self.to_ms)
            and (not self.qualities or row.get("q") in self.qualities)
            and (not self.reasons or not self.reasons.isdisjoint(row.get("f", ())))
            and (not self.points or self.names(row.get("pt", ""), row.get("tg")))
            and (not self.indicators or self._indicator(row.get("ind", "")))
        )

    def likely(self, body: bytes) -> bytes:
        """The records of a bundle's body that may be of a wanted point: most need not be parsed to be left out."""
        if not self.points:
            return body
        records = body.removeprefix(_BEGINNING).split(_SEAM)
        return b",".join([_BEGINNING + record for record in records if self._may_be(record)])

    def _may_be(self, record: bytes) -> bool:
        named = _NAMED.search(record)
        # A name that is escaped, or goes on in tags, is read properly.
        return named is None or named[2] is not None or self._point(named[1].decode("utf-8", "replace"))

    def names(self, point: str, tags: Mapping[str, str] | None) -> bool:
        return self._point(point) or (bool(tags) and self._point(labelled(point, tags)))

    @cached_property
    def _point(self) -> Callable[[str], bool]:
        return _matcher(self.points)

    @cached_property
    def _indicator(self) -> Callable[[str], bool]:
        return _matcher(self.indicators)


def labelled(point: str, tags: Mapping[str, str] | None) -> str:
    """A point with its group keys: "junction/l1" and {"cls": "car", "dir": "up"} -> "junction/l1/car/up"."""
    return "/".join([point, *tags.values()]) if tags else point


def folded(text: str) -> str:
    """Without case and accents: "Mực nước" -> "muc nuoc"."""
    flat = unicodedata.normalize("NFKD", text.casefold().replace("đ", "d"))
    return "".join(c for c in flat if not unicodedata.combining(c))


def _matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    found = re.compile("|".join(fnmatch.translate(folded(pattern)) for pattern in patterns)).match
    known: dict[str, bool] = {}

    def matches(name: str) -> bool:
        if name not in known:
            known[name] = bool(found(folded(name)))
        return known[name]

    return matches


class Records:
    """Records as rows: a record's own keys, and `lane`, `at_ms` (its commit), `waits`, `u` (unit, "" if not known).

    While `steps` runs, `share` (0..1) and `at_ms` say how far it is; `damaged` and `unread` (intervals of record ids)
    what could not be read.
    """

    def __init__(
        self, connection: sqlite3.Connection, wanted: Wanted, now_ms: int, *, newest_first: bool = False
    ) -> None:
        self._wanted = wanted
        self._newest_first = newest_first
        self._fresh_ms = now_ms - FRESH_MS
        self._walk = Walk(connection, newest_first=newest_first, since_ms=wanted.from_ms - CLOCK_SLACK_MS)
        self._waits = Spans()
        self._units: dict[tuple[str, str], str] = {}
        try:
            self._waits = unsettled(connection)
            self._units = units(connection)
        except sqlite3.Error as error:
            self._walk.forgive(error)

    @property
    def share(self) -> float:
        return self._walk.share

    @property
    def at_ms(self) -> int:
        return self._walk.at_ms

    @property
    def damaged(self) -> bool:
        return self._walk.damaged

    def damaged_elsewhere(self) -> None:
        """Another part of the same file could not be read."""
        self._walk.damaged = True

    @property
    def unread(self) -> list[tuple[int, int]]:
        return self._walk.unread()

    def steps(self) -> Iterator[list[Row]]:
        """The rows of a step in order; also steps without any, so that the caller can say how far it is."""
        for bundles in self._walk.steps():
            yield [row for bundle in bundles for row in self._rows(bundle)]

    def _rows(self, bundle: Packed) -> Iterator[Row]:
        try:
            records = json.loads(b"[" + self._wanted.likely(bundle.body) + b"]")
        except ValueError:
            self._walk.lose(bundle.lo, bundle.n)
            return
        for record in reversed(records) if self._newest_first else records:
            if self._wanted.takes(record):
                row = self._completed(record, bundle)
                if self._wanted.lane in {None, row["lane"]} and (row["waits"] or not self._wanted.waiting):
                    yield row

    def _completed(self, record: Row, bundle: Packed) -> Row:
        waits = record["rid"] in self._waits
        lane = Lane(bundle.lane)
        if waits and lane is Lane.LIVE and bundle.at_ms <= self._fresh_ms:
            lane = Lane.BACK
        unit = record.get("u") or self._units.get((record.get("pt", ""), record.get("ind", "")), "")
        record.update(u=unit, lane=lane.name.lower(), at_ms=bundle.at_ms, waits=waits)
        return record


def set_aside(connection: sqlite3.Connection, limit: int) -> list[Row]:
    """The newest records that were set aside, newest first, each with its `lane`, `reason` and `at_ms`, when it was."""
    found: list[Row] = []
    for lane, at_ms, reason, blob in connection.execute(
        "SELECT lane, at_ms, reason, body FROM set_aside ORDER BY at_ms DESC, lo DESC LIMIT ?", (limit,)
    ):
        about = {"lane": Lane(lane).name.lower(), "reason": reason, "at_ms": at_ms, "waits": False}
        found += [{**record, **about} for record in reversed(json.loads(b"[" + inflate(blob) + b"]"))]
    return found[:limit]


def units(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """(point, indicator) -> unit, as the newest description says."""
    rows = connection.execute("SELECT about FROM signal ORDER BY id")
    signals = [signal for (about,) in rows if (signal := signal_in(about)) is not None]
    return {(signal.point, signal.indicator): signal.unit for signal in signals}


class Windows:
    """Closed windows of one length as rows, with the keys of records and `u`, `span_s`; see `Records`. `unread` are
    intervals of ms UTC."""

    def __init__(
        self, connection: sqlite3.Connection, wanted: Wanted, span_s: int, *, newest_first: bool = False
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self._span_s = span_s
        self._newest_first = newest_first
        self.share = 0.0
        self.at_ms = 0
        self.damaged = False
        self.unread: list[tuple[int, int]] = []

    def steps(self) -> Iterator[list[Row]]:
        """See `Records.steps`."""
        signals = self._signals()
        size_ms = self._span_s * 1000 * max(1, WINDOWS_A_STEP // max(1, len(signals)))
        low, high = self._ends()
        at: int | None = high if self._newest_first else low
        while signals and at is not None and low <= at <= high:
            first, last = (max(low, at - size_ms + 1), at) if self._newest_first else (at, min(high, at + size_ms - 1))
            found = self._read(first, last, signals)
            self.share = (high - first + 1 if self._newest_first else last - low + 1) / (high - low + 1)
            self.at_ms = first if self._newest_first else last
            rows = [row for window in found if self._wanted.takes(row := self._row(window))]
            yield rows[::-1] if self._newest_first else rows
            at = self._end("max", high=first - 1) if self._newest_first else self._end("min", low=last + 1)

    def _signals(self) -> set[str]:
        try:
            signals = [signal_in(about) for (about,) in self._connection.execute("SELECT about FROM signal")]
        except sqlite3.Error as error:
            self._forgive(error)
            return set()
        self.damaged |= None in signals
        names = self._wanted.names if self._wanted.points else lambda *_: True
        return {signal.id for signal in signals if signal is not None and names(signal.point, signal.tags)}

    def _ends(self) -> tuple[int, int]:
        low, high = self._end("min"), self._end("max")
        if low is None or high is None:
            return 1, 0
        return max(low, self._wanted.from_ms), high if self._wanted.to_ms is None else min(high, self._wanted.to_ms)

    def _end(self, which: str, low: int = 0, high: int = 1 << 62) -> int | None:
        """The first or the last end of a window in an interval."""
        sql = "SELECT min(t1_ms) FROM history" if which == "min" else "SELECT max(t1_ms) FROM history"
        try:
            row = self._connection.execute(
                f"{sql} WHERE span_s = ? AND t1_ms BETWEEN ? AND ?",
                (self._span_s, low, high),
            ).fetchone()
        except sqlite3.Error as error:
            self._forgive(error)
            return None
        return None if row[0] is None else int(row[0])

    def _read(self, first_ms: int, last_ms: int, signals: set[str]) -> Sequence[Indicator]:
        try:
            return history.read(self._connection, first_ms - 1, last_ms, span_s=self._span_s, signals=signals)
        except sqlite3.Error as error:
            self._forgive(error)
        except (zlib.error, ValueError, KeyError):  # a body that is none, or whose signal is gone
            self.damaged = True
        if last_ms - first_ms < self._span_s * 1000:
            self.unread.append((first_ms, last_ms))
            return []
        middle = (first_ms + last_ms) // 2
        return [*self._read(first_ms, middle, signals), *self._read(middle + 1, last_ms, signals)]

    def _forgive(self, error: sqlite3.Error) -> None:
        if not is_damage(error):
            raise error
        self.damaged = True

    def _row(self, window: Indicator) -> Row:
        signal, parts = window.signal, window.parts
        numbers = {} if parts is None else {
            "sum": parts.total, "min": parts.low, "max": parts.high, "first": parts.first, "last": parts.last,
        }  # fmt: skip
        return {
            "pt": signal.point,
            "ind": signal.indicator,
            **({"tg": dict(signal.tags)} if signal.tags else {}),
            "u": signal.unit,
            "span_s": self._span_s,
            "t0": window.start_ms,
            "t1": window.end_ms,
            "v": window.value,
            **({} if parts is None else {"n": parts.n, "ne": parts.expected}),
            "q": str(window.quality),
            "f": [str(reason) for reason in window.reasons],
            "p": {name: number for name, number in numbers.items() if number is not None},
        }


def points(connection: sqlite3.Connection) -> set[str]:
    """The points there are: of the history, and of the newest records."""
    try:
        found = {point for point, _ in units(connection)}
        walk = Walk(connection, newest_first=True)
        for bundle in next(walk.steps(), ()):
            found.update(record.get("pt", "") for record in json.loads(b"[" + bundle.body + b"]"))
    except (sqlite3.Error, ValueError):  # damaged: whoever asks has said so already
        return set()
    return found
