"""What parts of the gateway have to know again at their next start: a small JSON object each, by name."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Mapping
from typing import Any

from buffer.chain import canonical
from buffer.writer import Writer

log = logging.getLogger("buffer")

NAME = re.compile(r"[!-~]{1,200}")


class Keepsakes:
    """The store's side of `gateway.model.ports.Keepsakes`."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def recall(self, name: str) -> dict[str, Any] | None:
        def work(connection: sqlite3.Connection) -> bytes | None:
            # As bytes: a flipped bit in a text must not look like a damaged file.
            row = connection.execute("SELECT CAST(body AS BLOB) FROM keepsake WHERE name = ?", (name,)).fetchone()
            return None if row is None else bytes(row[0])

        body = await self._writer.read(work)
        found = None if body is None else parsed(body)
        if body is not None and found is None:
            log.error("keepsake %s cannot be read, it begins anew", name)
        return found

    @staticmethod
    def write(connection: sqlite3.Connection, keepsakes: Mapping[str, str]) -> None:
        """In the store's thread, inside the transaction."""
        connection.executemany("INSERT OR REPLACE INTO keepsake VALUES (?, ?)", keepsakes.items())


def packed(keep: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """As they are stored. Raises ValueError for what is no name, TypeError for what is no JSON object."""
    for name, content in keep.items():
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a keepsake: printable ASCII without spaces, at most 200")
        if not isinstance(content, Mapping):
            raise TypeError(f"keepsake {name} is no JSON object")
    return {name: canonical(content) for name, content in keep.items()}


def parsed(body: bytes) -> dict[str, Any] | None:
    """The object again; None for what is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
