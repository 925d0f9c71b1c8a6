"""What a store has promised so far, and whether a file keeps it.

A fact is a small dict that can cross a pipe as JSON: {"fact": "stored", ...}. `Promises.hear` books it, and
`kept` holds a file against everything heard, and against what earlier looks at the same box found.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.clock import Clock
from gateway.model.spans import Spans

Fact = Mapping[str, Any]

INDICATOR = "test.promise"
SPAN_S = 60


def record(run: str, number: int) -> bytes:
    """The number-th record of a run, as the store takes it."""
    return b'"pt":"promise/1","ind":"%b","t1":1,"v":"%b/%d"}' % (INDICATOR.encode(), run.encode(), number)


class Promises:
    """What must be true of the store from now on, whatever happens to its process."""

    def __init__(self) -> None:
        self.epoch = ""
        self.top = 0
        self.stored: dict[str, int] = {}  # run -> its records 1 .. n are committed
        self.settled = Spans()  # need not be held any more
        self.quiet = Spans()  # and must not be sent again by itself
        self.acted: Counter[str] = Counter()
        self.outcomes: dict[str, str] = {}
        self.heads: dict[int, str] = {}
        self.windows: dict[int, float] = {}  # end of the windows -> sum of their values
        self.session = 0
        self.found: dict[int, str] = {}  # rid -> what an earlier look found there

    def hear(self, fact: Fact) -> None:
        getattr(self, f"_hear_{fact['fact']}")(**{key: value for key, value in fact.items() if key != "fact"})

    def _hear_opened(self, epoch: str, session: int) -> None:
        assert self.epoch in ("", epoch), "a new epoch began: the old store was given up"
        assert session > self.session, "a session number was given twice"
        self.epoch, self.session = epoch, session

    def _hear_stored(self, run: str, upto: int, top: int) -> None:
        self.stored[run] = upto
        self.top = max(self.top, top)

    def _hear_offered(self, lo: int, hi: int) -> None:
        """Somebody is about to settle these: from now on they may be deleted."""
        self.settled.add(lo, hi)

    def _hear_settled(self, lo: int, hi: int) -> None:
        """Settled, and that is committed."""
        self.quiet.add(lo, hi)

    def _hear_acted(self, command: str) -> None:
        self.acted[command] += 1
        assert self.acted[command] == 1, f"{command} acted twice"

    def _hear_outcome(self, command: str, message: str) -> None:
        assert self.outcomes.setdefault(command, message) == message, f"{command} has two outcomes"

    def _hear_head(self, seq: int, hash: str) -> None:  # noqa: A002  # as the column is called
        assert self.heads.setdefault(seq, hash) == hash, f"the journal forks at {seq}"

    def _hear_windows(self, end_ms: int, total: float) -> None:
        self.windows[end_ms] = total

    # --- held against a file ------------------------------------------------------------------------------------

    async def kept(self, path: Path, clock: Clock) -> None:
        """Opens the store as the gateway would after what happened, and looks at everything. The store lives on:
        one record, one claim a command and one session number are asked of it."""
        async with Store(path, BufferSettings(), clock) as store:
            assert self.epoch in ("", store.outbox.epoch), "a new epoch began: the old store was given up"
            assert store.outbox.span()[1] >= self.top, "committed records are gone"
            await self._claims_are_kept(store)
            await self._windows_are_kept(store)
            assert await store.outbox.next_session() > self.session
            before = store.outbox.span()[1]
            await store.append([record("look", 1)])
            await store.flush()
            assert store.outbox.span()[1] == before + 1
        self.kept_in(path)
        assert max(self.found) == before + 1, "the next id follows the last"
        self.top = before + 1

    async def _claims_are_kept(self, store: Store) -> None:
        for command in self.acted.keys() | self.outcomes.keys():
            earlier = await store.claims.claim(command, b"again", 1)
            assert earlier is not None, f"{command} would act a second time"
            assert command not in self.outcomes or earlier.decode() == self.outcomes[command]

    async def _windows_are_kept(self, store: Store) -> None:
        for end_ms, total in self.windows.items():
            found = await store.history.windows(end_ms - 1, end_ms, span_s=SPAN_S)
            assert sum(float(window.value or 0) for window in found) == total, f"windows that end at {end_ms}"

    def kept_in(self, path: Path) -> None:
        """The file alone, with plain SQLite: nobody else need have it open."""
        connection = sqlite3.connect(path)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            held = dict(_records(connection))
            self._records_are_kept(held)
            self._keepsakes_are_kept(connection, set(held.values()))
            self._due(connection)
            self._journal_is_kept(connection)
        finally:
            connection.close()

    def _records_are_kept(self, held: dict[int, str]) -> None:
        top = max(held, default=0)
        assert top >= self.top, "committed records are gone"
        gone = Spans((rid, rid) for rid in held).missing(1, top)
        unsettled = Spans(gone)
        for lo, hi in self.settled:
            unsettled.remove(lo, hi)
        assert not unsettled, f"ids that nobody settled are missing: {unsettled}"
        changed = {rid: (text, held[rid]) for rid, text in self.found.items() if held.get(rid, text) != text}
        assert not changed, f"ids were given twice: {changed}"
        times = Counter(text for text in held.values() if text)
        twice = {text: n for text, n in times.items() if n > 1 and not text.startswith("look/")}
        assert not twice, f"stored more than once: {twice}"
        if not gone:
            lost = [f"{run}/{n}" for run, upto in self.stored.items() for n in range(1, upto + 1)
                    if f"{run}/{n}" not in times]  # fmt: skip
            assert not lost, f"lost: {lost}"
        self.found.update(held)

    def _keepsakes_are_kept(self, connection: sqlite3.Connection, held: set[str]) -> None:
        """With every run's records its keepsake was replaced, which says how far they go."""
        rows = connection.execute("SELECT name, body FROM keepsake")
        kept: dict[str, int] = {run: json.loads(body)["upto"] for run, body in rows}
        behind = {run: upto for run, upto in self.stored.items() if kept.get(run, 0) < upto}
        assert not behind, f"keepsakes are older than their records: {behind}"
        early = {run: upto for run, upto in kept.items() if not self.settled and f"{run}/{upto}" not in held}
        assert not early, f"keepsakes are newer than their records: {early}"

    def _due(self, connection: sqlite3.Connection) -> None:
        """What is settled for good is not due. Reads the file as `lanes` writes it."""
        row = connection.execute("SELECT value FROM meta WHERE key = 'unsettled'").fetchone()
        saved: dict[str, Any] = json.loads(row[0]) if row else {"seen": 0}
        due = Spans((lo, hi) for name in ("urgent", "live", "back") for lo, hi in saved.get(name, ()))
        due.add(saved["seen"] + 1, self.top)
        again = [(lo, hi) for lo, hi in self.quiet if due.missing(lo, hi) != [(lo, hi)]]
        assert not again, f"settled, and due again: {again}"

    def _journal_is_kept(self, connection: sqlite3.Connection) -> None:
        before, heads = "", {}
        for seq, at_ms, kind, body, kept in connection.execute(
            "SELECT seq, at_ms, kind, body, hash FROM journal ORDER BY seq"
        ):
            content = {"seq": seq, "at": at_ms, "kind": kind, "body": json.loads(body), "prev": before}
            text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            before = sha256(text.encode()).hexdigest()
            assert before == kept, f"the journal's chain is broken at {seq}"
            heads[seq] = kept
        assert list(heads) == list(range(1, len(heads) + 1))
        assert {seq: heads.get(seq) for seq in self.heads} == self.heads, "the journal lost or changed entries"
        self.heads.update(heads)


def _records(connection: sqlite3.Connection) -> Iterator[tuple[int, str]]:
    """(rid, its text; "" for a record that is not ours) of everything held. Fails when a row is not what it says."""
    for lo, n, body in connection.execute("SELECT lo, n, body FROM bundle ORDER BY lo"):
        records = json.loads(b"[" + zlib.decompress(body) + b"]")
        assert [found["rid"] for found in records] == list(range(lo, lo + n))
        for found in records:
            yield found["rid"], found["v"] if found["ind"] == INDICATOR else ""
