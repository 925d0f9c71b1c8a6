"""Where every record id of a store has gone. Reads the file with plain SQLite."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.model.ports import Batch
from gateway.model.spans import Spans

Record = dict[str, Any]


@dataclass
class Ids:
    """`held`: in the file, by id. `sent`: what the far end has, by id; feed it every batch that is acknowledged.
    `lost`: what gw.lost records, held or sent, say; known after `account`."""

    held: dict[int, Record] = field(default_factory=dict)
    lanes: dict[int, int] = field(default_factory=dict)
    sent: dict[int, Record] = field(default_factory=dict)
    lost: Spans = field(default_factory=Spans)

    def acknowledged(self, batch: Batch) -> None:
        for record in records(batch):
            assert self.sent.setdefault(record["rid"], record) == record, "one id, two records"

    def look(self, path: Path) -> Ids:
        self.held.clear()
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        try:
            for lo, n, lane, body in connection.execute("SELECT lo, n, lane, body FROM bundle ORDER BY lo"):
                found = json.loads(b"[" + zlib.decompress(body) + b"]")
                assert [record["rid"] for record in found] == list(range(lo, lo + n))
                self.held |= {record["rid"]: record for record in found}
                self.lanes |= dict.fromkeys(range(lo, lo + n), lane)
        finally:
            connection.close()
        return self

    def _said(self) -> Spans:
        """No id is in two gw.lost records, and each counts its ids right."""
        spans = Spans()
        for record in lost_records((self.held | self.sent).values()):
            lo, hi = record["p"]["lo"], record["p"]["hi"]
            assert record["v"] == hi - lo + 1
            assert spans.missing(lo, hi) == [(lo, hi)], "said twice"
            spans.add(lo, hi)
        return spans

    def account(self, newest: int, confirmed: int | None = None) -> None:
        """Every id that was given is held, or was sent, or is said to be lost; and none is lost that is not gone.
        Where the centre confirms, what it did not confirm may be lost though it was sent."""
        lost = self.lost = self._said()
        known = Spans((rid, rid) for rid in sorted(self.held.keys() | self.sent.keys()))
        done = {rid for rid in self.sent if confirmed is None or rid <= confirmed}
        overlap = [rid for rid in self.held.keys() | done if rid in lost]
        assert not overlap, f"said to be lost, and there: {overlap[:10]}"
        known.update(lost)
        assert known.missing(1, newest) == [], "ids that nobody can account for"


def records(batch: Batch) -> list[Record]:
    found: list[Record] = json.loads(b"[" + batch.body + b"]")
    return found


def lost_records(all_of_them: Iterable[Record]) -> list[Record]:
    return [record for record in all_of_them if record.get("ind") == "gw.lost"]
