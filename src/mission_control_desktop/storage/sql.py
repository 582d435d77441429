"""SQL that both databases understand, written once."""

from __future__ import annotations

import base64
import binascii
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Table

from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.limits import PAGE_MAX


def upsert(connection: Connection, table: Table, *keys: str, keep: str = "") -> Any:
    """INSERT that replaces the row with the same `keys`, except its column `keep` and its number."""
    return _upsert(connection.dialect.name, table, keys, keep)


@cache
def _upsert(dialect: str, table: Table, keys: tuple[str, ...], keep: str) -> Any:
    statement = _insert(dialect, table)
    fixed = {*keys, keep}
    changed = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if column.name not in fixed and column.autoincrement is not True
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def insert_or_ignore(connection: Connection, table: Table) -> Any:
    return _insert(connection.dialect.name, table).on_conflict_do_nothing()


def _insert(dialect: str, table: Table) -> Any:
    # Loaded where it is used: of what a start on SQLite imports, PostgreSQL's part would be a tenth.
    if dialect == "sqlite":
        from sqlalchemy.dialects.sqlite import insert

        return insert(table)
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert(table)


def like_pattern(text: str) -> str:
    """A pattern (escape character `\\`) that finds the text anywhere."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def check_limit(limit: int) -> int:
    if not 1 <= limit <= PAGE_MAX:
        raise BadInput("limit", f"`limit` must be between 1 and {PAGE_MAX}.")
    return limit


def make_cursor(*place: str | int) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read_cursor(cursor: str, shape: Any) -> Any:
    """The place that a cursor stands for. Raises BadInput for one that we never gave."""
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=shape)
    except (binascii.Error, UnicodeEncodeError, msgspec.DecodeError) as error:
        raise BadInput("cursor", "`cursor` is not one that this list gave.") from error
