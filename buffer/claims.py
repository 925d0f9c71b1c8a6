"""Commands: claimed before the wire moves, finished in the transaction that stores their outcome."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from buffer.chain import Chain
from buffer.group import Group
from buffer.writer import Writer
from gateway.model.command import Outcome
from gateway.model.ports import Lane


class Claims:
    """The desk's view of the store (`gateway.model.ports.Claims`)."""

    def __init__(self, writer: Writer, group: Group, chain: Chain) -> None:
        self._writer = writer
        self._group = group
        self._chain = chain

    async def claim(self, command_id: str, request: bytes, at_ms: int) -> bytes | None:
        def work(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute("SELECT outcome FROM command WHERE id = ?", (command_id,)).fetchone()
            if row is not None:
                return row[0] or b""
            connection.execute(
                "INSERT INTO command (id, claimed_ms, request) VALUES (?, ?, ?)", (command_id, at_ms, request)
            )
            return None

        return await self._writer.run(work)

    async def finish(self, outcome: Outcome, message: bytes, records: Sequence[bytes]) -> None:
        values = (outcome.state, outcome.at_ms, message, outcome.id)
        self._group.join(
            [(Lane.URGENT, record) for record in records],
            statements=[("UPDATE command SET state=?, finished_ms=?, outcome=? WHERE id=?", values)],
        )
        self._chain.note("command", json.loads(message))
        await self._group.flush()

    async def interrupted(self) -> Sequence[str]:
        def work(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute("SELECT id FROM command WHERE finished_ms IS NULL ORDER BY claimed_ms")
            return [row[0] for row in rows]

        return await self._writer.read(work)
