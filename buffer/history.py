"""Closed windows, kept by their length: the ground that longer indicators, and the authority's files, are folded from.

A row is what one commit brought of windows of one length that ended at one moment. Windows are JSON arrays, because
`gateway buffer sql` unfolds them with SQLite's own functions:

    [signal, t0, value, quality, [reasons], n, expected, sum, min, max, first, last]
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from buffer.bundle import deflate, inflate
from buffer.chain import canonical
from buffer.settings import HistorySettings
from buffer.writer import Writer
from gateway.model.clock import Clock
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Forward, Kind, Quality, Reason, Signal


class History:
    """The store's side of `gateway.model.ports.History`."""

    def __init__(self, writer: Writer, settings: HistorySettings, clock: Clock) -> None:
        self._writer = writer
        self._settings = settings
        self._clock = clock

    async def windows(
        self, start_ms: int, end_ms: int, *, span_s: int, signals: Collection[str] | None = None
    ) -> list[Indicator]:
        return await self._writer.read(lambda c: read(c, start_ms, end_ms, span_s=span_s, signals=signals))

    @staticmethod
    def write(connection: sqlite3.Connection, windows: Iterable[Indicator]) -> None:
        """In the store's thread, inside the transaction."""
        groups: dict[tuple[int, int], list[list[Any]]] = {}
        for window in windows:
            number = _number(connection, window.signal)
            groups.setdefault((window.signal.window_s, window.end_ms), []).append(encoded(number, window))
        for (span_s, t1_ms), rows in groups.items():
            body = deflate(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
            connection.execute(
                "INSERT INTO history (span_s, t1_ms, part, n, body) VALUES (?1, ?2, "
                "(SELECT coalesce(max(part), 0) + 1 FROM history WHERE span_s = ?1 AND t1_ms = ?2), ?3, ?4)",
                (span_s, t1_ms, len(rows), body),
            )


def _number(connection: sqlite3.Connection, signal: Signal) -> int:
    about = described(signal)
    connection.execute("INSERT OR IGNORE INTO signal (about) VALUES (?)", (about,))
    (number,) = connection.execute("SELECT id FROM signal WHERE about = ?", (about,)).fetchone()
    return int(number)


def described(signal: Signal) -> str:
    """What has to be known of a signal to read its windows later, as canonical JSON."""
    return canonical(
        {
            "id": signal.id,
            "pt": signal.point,
            "ind": signal.indicator,
            "u": signal.unit,
            "k": signal.kind,
            "every_s": signal.every_s,
            "window_s": signal.window_s,
            "fwd": signal.forward,
            "tg": dict(signal.tags),
        }
    )


def signal_of(about: Mapping[str, Any]) -> Signal:
    """The signal again, without what only judging needs."""
    return Signal(
        id=about["id"],
        point=about["pt"],
        indicator=about["ind"],
        unit=about["u"],
        kind=Kind(about["k"]),
        every_s=about["every_s"],
        window_s=about["window_s"],
        forward=Forward(about["fwd"]),
        tags=about["tg"],
    )


def encoded(number: int, window: Indicator) -> list[Any]:
    parts = window.parts or Parts(0, 0)
    return [
        number, window.start_ms, window.value, window.quality, list(window.reasons), parts.n, parts.expected,
        parts.total, parts.low, parts.high, parts.first, parts.last,
    ]  # fmt: skip


def decoded(row: Sequence[Any], end_ms: int, signals: Mapping[int, Signal]) -> Indicator:
    number, start_ms, value, quality, reasons, *parts = row
    why = tuple(Reason(reason) for reason in reasons)
    return Indicator(signals[number], start_ms, end_ms, value, Quality(quality), why, Parts(*parts))


def read(
    connection: sqlite3.Connection, start_ms: int, end_ms: int, *, span_s: int, signals: Collection[str] | None = None
) -> list[Indicator]:
    """See `gateway.model.ports.History.windows`; for a connection of any kind."""
    known = {number: signal_of(json.loads(about)) for number, about in connection.execute("SELECT * FROM signal")}
    wanted = {number for number, signal in known.items() if signals is None or signal.id in signals}
    rows = connection.execute(
        "SELECT t1_ms, body FROM history WHERE span_s = ? AND t1_ms > ? AND t1_ms <= ? ORDER BY t1_ms, part",
        (span_s, start_ms, end_ms),
    )
    return [decoded(row, t1_ms, known) for t1_ms, body in rows for row in json.loads(inflate(body)) if row[0] in wanted]
