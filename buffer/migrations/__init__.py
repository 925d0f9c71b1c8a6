"""Bringing a store to the version this gateway knows. One file of SQL a step; a store written by every old version
is kept in tests/buffer/stores."""

from __future__ import annotations

import sqlite3
from importlib.resources import files

from gateway.model.errors import StoreError

SCHEMA_VERSION = 3


def migrate(connection: sqlite3.Connection) -> None:
    """In one transaction a step: a power cut leaves the old version or the new one. Raises StoreError for a store of
    a newer gateway, which is left as it is."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the store was written by a newer gateway (schema {version}, this one knows {SCHEMA_VERSION})",
            hint="install the newer gateway again, or move the file away to start an empty store",
        )
    if version == 0:
        _run(connection, files("buffer").joinpath("schema.sql").read_text(encoding="utf-8"), SCHEMA_VERSION)
        return
    for step in range(version + 1, SCHEMA_VERSION + 1):
        _run(connection, files("buffer").joinpath("migrations", f"to_{step}.sql").read_text(encoding="utf-8"), step)


def _run(connection: sqlite3.Connection, sql: str, version: int) -> None:
    connection.executescript(f"BEGIN IMMEDIATE; {sql}; PRAGMA user_version={version}; COMMIT;")
