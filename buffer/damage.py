"""What counts as damage of the file, for those who write it and those who only look."""

from __future__ import annotations

import sqlite3


def is_damage(error: sqlite3.Error) -> bool:
    """The file, or the card under it, is no longer sound there; other parts may be."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR)


def corrupt(what: str) -> sqlite3.DatabaseError:
    """Damage that SQLite does not see, for whoever knows how to go on without that part."""
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
