"""Tell a database that cannot work now (full, locked, gone) from a statement that never will."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_SQLITE_NOW = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_BUSY: "the database is locked by another program",
    sqlite3.SQLITE_LOCKED: "the database is locked",
    sqlite3.SQLITE_IOERR: "the disk does not read or write",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened",
    sqlite3.SQLITE_READONLY: "the database file cannot be written",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_NOTADB: "the database file is damaged",
    sqlite3.SQLITE_PERM: "the database file may not be used",
    sqlite3.SQLITE_AUTH: "the database file may not be used",
    sqlite3.SQLITE_PROTOCOL: "the database is locked",
}


def unavailable_reason(error: BaseException) -> str | None:
    """Why the database cannot be used now, in words for a person; None if the fault lies in what was asked."""
    if isinstance(error, PoolTimeout):
        return "all database connections are busy"
    if not isinstance(error, DBAPIError):
        return None
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", None)
        return None if code is None else _SQLITE_NOW.get(code & 0xFF)
    if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
        return "the database server does not answer"
    return None
