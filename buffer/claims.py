"""Commands: claimed before the wire moves, finished in the transaction that stores their outcome and its journal entry.

Every command is an entry, also one that was refused or interrupted. But a flood of refused ones must not push what
matters out of the journal: beyond so many a minute they are counted, in one entry.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from buffer.chain import Chain
from buffer.group import Group
from buffer.writer import Writer
from gateway.model.command import CommandState, Outcome
from gateway.model.ports import Lane

REFUSED_PER_MINUTE = 20
# What a stranger may write into the journal with one command.
TEXT_CHARACTERS = 200
NAMES = 100


class Claims:
    """The desk's view of the store (`gateway.model.ports.Claims`)."""

    def __init__(self, writer: Writer, group: Group, chain: Chain) -> None:
        self._writer = writer
        self._group = group
        self._chain = chain
        self._asked: dict[str, bytes] = {}  # requests that have no outcome yet, by id
        self._refused = Refused(chain)

    async def claim(self, command_id: str, request: bytes, at_ms: int) -> bytes | None:
        def work(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute("SELECT outcome FROM command WHERE id = ?", (command_id,)).fetchone()
            if row is not None:
                return row[0] or b""
            connection.execute(
                "INSERT INTO command (id, claimed_ms, request) VALUES (?, ?, ?)", (command_id, at_ms, request)
            )
            return None

        earlier = await self._writer.run(work)  # one that cannot be claimed fails; waiting would make it late
        if earlier is None:
            self._asked[command_id] = request
        return earlier

    async def finish(self, outcome: Outcome, message: bytes, records: Sequence[bytes]) -> None:
        values = (outcome.state, outcome.at_ms, message, outcome.id)
        self._group.join(
            [(Lane.URGENT, record) for record in records],
            statements=[("UPDATE command SET state=?, finished_ms=?, outcome=? WHERE id=?", values)],
        )
        asked = _request(self._asked.pop(outcome.id, b"{}"))
        if not self._refused.counts(outcome, asked):
            self._chain.note("command", command_entry(outcome, asked))
        await self._group.flush()

    async def interrupted(self) -> Sequence[str]:
        def work(connection: sqlite3.Connection) -> list[tuple[str, bytes]]:
            return connection.execute(
                "SELECT id, request FROM command WHERE finished_ms IS NULL ORDER BY claimed_ms"
            ).fetchall()

        found = await self._writer.read(work)
        self._asked.update(found)
        return [command_id for command_id, _ in found]

    def close(self) -> None:
        """Before the last commit: what was only counted is noted."""
        self._refused.note()


class Refused:
    """Counts the refused commands that are too many to be noted one by one."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._minute = 0
        self._noted = 0
        self._count = 0
        self._since_ms = self._until_ms = 0
        self._issuers: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def counts(self, outcome: Outcome, asked: Mapping[str, Any]) -> bool:
        """True if this one is counted instead of noted."""
        if outcome.state not in {CommandState.REFUSED, CommandState.EXPIRED}:
            return False
        if outcome.at_ms // 60_000 != self._minute:
            self.note()
            self._minute, self._noted = outcome.at_ms // 60_000, 0
        if self._noted < REFUSED_PER_MINUTE:
            self._noted += 1
            return False
        if self._timer is None:
            self._since_ms = outcome.at_ms
            self._timer = asyncio.get_running_loop().call_later(60, self.note)
        self._until_ms = outcome.at_ms
        self._count += 1
        if len(self._issuers) < NAMES:
            self._issuers.add(_short(asked.get("iss", "")))
        return True

    def note(self) -> None:
        """Notes what was counted, if anything was."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._count:
            body = {"state": "refused", "count": self._count, "since": self._since_ms, "until": self._until_ms}
            self._chain.note("command", {**body, "iss": sorted(self._issuers)})
        self._count = 0
        self._issuers.clear()


def _request(payload: bytes) -> dict[str, Any]:
    """A claimed request again. It could be read once; but nested to the limit, perhaps not from here."""
    try:
        found: dict[str, Any] = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found


def command_entry(outcome: Outcome, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The journal's entry of a command: what was asked, by whom, and what became of it at each target."""
    arg = asked.get("arg") or {}
    results: list[dict[str, Any]] = [
        {"to": _short(r.target), "want": _short(r.want), "got": _short(r.got), "how": r.how}
        | ({"err": _short(r.error)} if r.error else {})
        for r in outcome.results[:NAMES]
    ] or [{"to": _short(name)} for name in asked.get("to", ())[:NAMES]]
    return {
        "id": outcome.id,
        "op": _short(asked.get("op", "")),
        "iss": _short(asked.get("iss", "")),
        "by": _short(asked.get("by", "")),
        "asked": _short(asked.get("why", "")),
        # Plain values only: what is nested is not acted on, and may be as deep as its sender likes.
        "arg": {_short(key): _short(arg[key]) for key in list(arg)[:NAMES] if not isinstance(arg[key], dict | list)},
        "state": outcome.state,
        "late_ms": outcome.late_ms,
        "why": _short(outcome.why),
        "res": results,
    }


def _short(value: Any) -> Any:
    """The value; a text cut to what the journal takes of it."""
    if isinstance(value, dict | list):
        return ""
    return value[: TEXT_CHARACTERS - 1] + "…" if isinstance(value, str) and len(value) > TEXT_CHARACTERS else value
