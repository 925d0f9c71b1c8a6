"""The store's outbox in memory, by the letter of `gateway.model.ports.Outbox`. The contract suite runs on it too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from buffer.chain import KIND, canonical
from buffer.keepsakes import packed
from gateway.model.indicator import Indicator
from gateway.model.ports import Again, Batch, Lane, Waiting
from gateway.model.spans import Spans


@dataclass
class MemoryOutbox:
    """`put` commits at once. `sent`, `refused` show what became of the rids."""

    epoch: str = "7c41f00d"
    now_ms: int = 1_795_322_220_000
    sent: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    windows: list[Indicator] = field(default_factory=list)
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    keepsakes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rid = 0
        self._session = 0
        self._rows: dict[Lane, dict[int, bytes]] = {lane: {} for lane in Lane}
        self._taken: dict[int, tuple[Lane, bytes]] = {}
        self._kept: dict[int, bytes] = {}
        self._news = asyncio.Event()
        self.upto = 0

    async def append(
        self,
        records: Sequence[bytes],
        lane: Lane = Lane.LIVE,
        windows: Sequence[Indicator] = (),
        *,
        notes: Sequence[tuple[str, Mapping[str, Any]]] = (),
        keep: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """As a `RecordSink` does; everything is committed at once."""
        entries = [(kind, canonical(body)) for kind, body in notes]
        if not all(KIND.fullmatch(kind) for kind, _ in entries):
            raise ValueError("no kind of entry")
        kept = packed(keep or {})
        self.put(records, lane)
        self.windows += windows
        self.notes += [(kind, json.loads(body)) for kind, body in entries]
        self.keepsakes |= kept

    async def flush(self) -> None:
        """There is nothing to wait for."""

    async def recall(self, name: str) -> dict[str, Any] | None:
        """As `Keepsakes` do."""
        return json.loads(self.keepsakes[name]) if name in self.keepsakes else None

    def put(self, records: Sequence[bytes], lane: Lane = Lane.LIVE) -> None:
        for record in records:
            self._rid += 1
            row = b'{"rid":%d,' % self._rid + record
            self._rows[lane][self._rid] = self._kept[self._rid] = row
        self._news.set()

    async def next_session(self) -> int:
        self._session += 1
        return self._session

    def span(self) -> tuple[int, int]:
        return (1, self._rid)

    def waiting(self, lane: Lane) -> Waiting:
        rows = self._rows[lane]
        if not rows:
            return Waiting()
        return Waiting(len(rows), sum(map(len, rows.values())), self.now_ms)

    async def take(self, lane: Lane, max_records: int, max_bytes: int) -> Batch | None:
        rows = self._rows[lane]
        taken: list[int] = []
        size = 0
        for rid, row in rows.items():
            full = len(taken) == max_records or size + len(row) + 1 > max_bytes
            if taken and (full or rid != taken[-1] + 1):
                break
            taken.append(rid)
            size += len(row) + 1
        if not taken:
            return None
        body = b",".join(rows[rid] for rid in taken)
        for rid in taken:
            self._taken[rid] = (lane, rows.pop(rid))
        return Batch(lane, taken[0], taken[-1], len(taken), body)

    def _rids(self, batch: Batch) -> list[int]:
        return [rid for rid in self._taken if batch.lo <= rid <= batch.hi and self._taken[rid][0] is batch.lane]

    def settle(self, batch: Batch) -> None:
        for rid in self._rids(batch):
            del self._taken[rid]
            self.sent.append(rid)

    async def refuse(self, batch: Batch, reason: str) -> None:
        for rid in self._rids(batch):
            del self._taken[rid]
            self.refused[rid] = reason

    def split(self, batch: Batch) -> tuple[Batch, Batch]:
        rids = self._rids(batch)
        parts = [rids[: batch.n // 2], rids[batch.n // 2 :]]
        bodies = [b",".join(self._taken[rid][1] for rid in part) for part in parts]
        first, second = (
            Batch(batch.lane, part[0], part[-1], len(part), body) for part, body in zip(parts, bodies, strict=True)
        )
        return first, second

    def give_back(self, but: Iterable[Batch] = ()) -> None:
        kept = {rid for batch in but for rid in self._rids(batch)}
        for rid, (lane, row) in list(self._taken.items()):
            if rid not in kept:
                self._rows[lane][rid] = row
                del self._taken[rid]
        for lane, rows in self._rows.items():
            self._rows[lane] = dict(sorted(rows.items()))

    async def changed(self) -> None:
        await self._news.wait()
        self._news.clear()

    async def again(self, spans: Iterable[tuple[int, int]]) -> Again:
        asked = Spans(spans)
        held = {rid: row for rid, row in self._kept.items() if rid in asked}
        due = {rid for rows in self._rows.values() for rid in rows} | self._taken.keys()
        back = {rid: row for rid, row in held.items() if rid not in due}
        self._rows[Lane.BACK] = dict(sorted({**self._rows[Lane.BACK], **back}.items()))
        self._news.set()
        for rid in held:
            asked.remove(rid, rid)
        return Again(len(back), tuple(asked))

    async def confirmed(self, upto: int) -> None:
        self.upto = max(self.upto, upto)

    @property
    def is_empty(self) -> bool:
        return not self._taken and not any(self._rows.values())
