"""The tables of the local file, and what is done with them.

Imported by the writer's thread alone: SQLAlchemy takes half a second to import, and the first paint does not wait.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    select,
)
from sqlalchemy.dialects.sqlite import insert

MAX_AUDIT_ROWS = 2_000

metadata = MetaData()
preferences = Table(
    "preferences",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
audit_cache = Table(
    "audit_cache",
    metadata,
    Column("source", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("row", LargeBinary, nullable=False),
)


def open_engine(path: Path) -> Engine:
    """The file's engine, its tables made if need be. Raises sqlalchemy.exc.DatabaseError if it is no database."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 5.0})

    @event.listens_for(engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    metadata.create_all(engine)
    return engine


def write(
    engine: Engine,
    values: Mapping[str, bytes | None],
    audit: Sequence[tuple[str, int, bytes]],
) -> None:
    """One transaction: set or (None) remove preferences, add audit rows and keep the newest of each source."""
    with engine.begin() as connection:
        for key, value in values.items():
            if value is None:
                connection.execute(delete(preferences).where(preferences.c.key == key))
            else:
                statement = insert(preferences).values(key=key, value=value)
                connection.execute(
                    statement.on_conflict_do_update(index_elements=["key"], set_={"value": statement.excluded.value})
                )
        if audit:
            rows = [{"source": source, "seq": seq, "row": row} for source, seq, row in audit]
            connection.execute(insert(audit_cache).on_conflict_do_nothing(), rows)
            _trim(connection, {source for source, _, _ in audit})


def _trim(connection: Any, sources: Iterable[str]) -> None:
    for source in sources:
        edge = connection.execute(
            select(audit_cache.c.seq)
            .where(audit_cache.c.source == source)
            .order_by(audit_cache.c.seq.desc())
            .offset(MAX_AUDIT_ROWS)
            .limit(1)
        ).scalar()
        if edge is not None:
            connection.execute(delete(audit_cache).where(audit_cache.c.source == source, audit_cache.c.seq <= edge))


def read_audit(engine: Engine, source: str, limit: int) -> list[bytes]:
    """The newest cached rows of one control plane, newest first."""
    with engine.connect() as connection:
        found = connection.execute(
            select(audit_cache.c.row)
            .where(audit_cache.c.source == source)
            .order_by(audit_cache.c.seq.desc())
            .limit(limit)
        )
        return [bytes(row) for (row,) in found]
