"""The database and everything that is stored in it, by what it is."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uuid_utils
from sqlalchemy import Connection, Engine, create_engine, delete, event, insert, make_url, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from mission_control_desktop.domain.errors import BadInput, Unavailable
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.access import READERS, Access
from mission_control_desktop.storage.approvals import Approvals
from mission_control_desktop.storage.audit import AuditRows, take_over
from mission_control_desktop.storage.configs import LaunchProfiles, ProviderConfigs
from mission_control_desktop.storage.idempotency import IdempotencyKeys
from mission_control_desktop.storage.kills import Kills
from mission_control_desktop.storage.members import Members
from mission_control_desktop.storage.messages import Messages
from mission_control_desktop.storage.receipts import Receipts
from mission_control_desktop.storage.retention import RetentionRows
from mission_control_desktop.storage.schema import LAST_IN_CLEAR, UNAUTHENTICATED_AUDIT, migrate
from mission_control_desktop.storage.sealed import SCRUB, seal_clear_environments, want_scrub
from mission_control_desktop.storage.sealing import Sealer
from mission_control_desktop.storage.sessions import Sessions
from mission_control_desktop.storage.system import SystemClock, Uuid7
from mission_control_desktop.storage.tokens import Tokens
from mission_control_desktop.storage.types import dump_json, load_json

log = structlog.get_logger(__name__)

BUSY_SECONDS = 5.0


class Database:
    """An open, migrated database. `close()` it in the end; every repository is an attribute."""

    def __init__(self, access: Access, *, path: Path | None, sealer: Sealer) -> None:
        self.access = access
        self.sealer = sealer
        """What secrets in it are sealed with."""
        self.path = path
        """The SQLite file; None on PostgreSQL."""
        self.sessions = Sessions(access)
        self.messages = Messages(access)
        self.approvals = Approvals(access)
        self.receipts = Receipts(access)
        self.audit = AuditRows(access, sealer)
        self.tokens = Tokens(access)
        self.members = Members(access)
        self.profiles = LaunchProfiles(access, sealer)
        self.provider_configs = ProviderConfigs(access, sealer)
        self.idempotency = IdempotencyKeys(access)
        self.kills = Kills(access)
        self.retention = RetentionRows(access)

    async def close(self) -> None:
        await asyncio.to_thread(self.access.close)

    def close_now(self) -> None:
        """The same for programs without an event loop. Blocks."""
        self.access.close()


def open_database(path_or_url: str | Path, sealer: Sealer | None = None) -> Database:
    """Open, create if it is missing, and migrate. Without a sealer nothing secret in it can be read or written.

    A path (or `sqlite:///PATH`) is a SQLite file, created with mode 0600 in a directory created with mode 0700;
    `postgresql://...` a PostgreSQL database. Blocks (some 10 ms; some 100 ms when tables are made): call it before the
    event loop runs, or in a thread. Raises BadInput for an address that is none, Unavailable if it cannot be opened.
    """
    url = _url(path_or_url)
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        _create_private(path)
        writer, reader = _sqlite_engines(url)
    else:
        path = None
        writer, reader = _postgresql_engines(url)
    access = Access(writer, reader)
    sealer = sealer or Sealer()
    try:
        access.write_now(partial(_prepare, sealer=sealer))
    except BaseException as error:
        access.close()
        if isinstance(error, Unavailable) and "reason" in error.details:
            where = path or url.render_as_string(hide_password=True)
            raise Unavailable(f"The record cannot be opened: {error.details['reason']} ({where}).") from error
        raise
    _scrub(access)
    return Database(access, path=path, sealer=sealer)


def _url(path_or_url: str | Path) -> URL:
    if isinstance(path_or_url, Path) or "://" not in path_or_url:
        return URL.create("sqlite", database=os.path.abspath(os.path.expanduser(path_or_url)))
    try:
        url = make_url(path_or_url)
    except ArgumentError as error:
        raise BadInput("database_url", "The database's address is not a URL.") from error
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database and url.database != ":memory:":
        return url.set(drivername="sqlite")
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise BadInput("database_url", "The database must be a SQLite file or a postgresql:// address.")


def _create_private(path: Path) -> None:
    """SQLite gives its -wal and -shm files the mode of the database file, so this one call covers all three."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.close(descriptor)
        path.chmod(0o600)
    except OSError as error:
        raise Unavailable(f"The record cannot be opened: {path}: {error.strerror}.") from error


def _sqlite_engines(url: URL) -> tuple[Engine, Engine]:
    def engine(size: int, begin: str, pragmas: tuple[str, ...]) -> Engine:
        made = create_engine(
            url,
            pool_size=size,
            max_overflow=0,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "cached_statements": 256},
            json_serializer=dump_json,
            json_deserializer=load_json,
        )

        # The driver's own transaction handling begins too late and never for reads; we begin ourselves.
        @event.listens_for(made, "connect")
        def _connect(connection: sqlite3.Connection, _record: Any) -> None:
            connection.isolation_level = None
            # SQLite's own lower() knows ASCII only; searches ignore case in every script.
            connection.create_function("lower", 1, _lower, deterministic=True)
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(made, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return made

    # Removed words are overwritten, and free pages can be given back: for databases that are new, since this is decided
    # before the first table is made.
    kept = ("auto_vacuum=INCREMENTAL", "secure_delete=ON")
    shared = (f"busy_timeout={int(BUSY_SECONDS * 1000)}", "foreign_keys=ON", "temp_store=MEMORY")
    writer = engine(1, "BEGIN IMMEDIATE", (*kept, *shared, "journal_mode=WAL", "journal_size_limit=67108864"))
    reader = engine(READERS, "BEGIN", (*shared, "query_only=ON"))
    return writer, reader


def _lower(value: str | bytes | int | float | None) -> str | bytes | int | float | None:
    return value.lower() if isinstance(value, str) else value


def _postgresql_engines(url: URL) -> tuple[Engine, Engine]:
    common: dict[str, Any] = {"json_serializer": dump_json, "json_deserializer": load_json, "max_overflow": 0}
    try:
        writer = create_engine(url, pool_size=1, **common)
        reader = create_engine(url, pool_size=READERS, isolation_level="REPEATABLE READ", pool_pre_ping=True, **common)
    except ModuleNotFoundError as error:
        raise Unavailable(
            "PostgreSQL needs its driver: install mission-control-desktop with the extra `team`."
        ) from error
    return writer, reader


_MIGRATION_LOCK = 0x4D434431
"""PostgreSQL advisory lock: two processes that start at once migrate one after the other."""


def _scrub(access: Access) -> None:
    """Leave nothing in freed pages of what was stored in clear. What fails is tried again at the next start."""
    if access.read_now(lambda c: c.execute(select(t.meta.c.value).where(t.meta.c.key == SCRUB)).scalar()) is None:
        return
    try:
        access.scrub_now(t.launch_profiles.name)
        access.write_now(lambda c: c.execute(delete(t.meta).where(t.meta.c.key == SCRUB)))
    except Unavailable as error:
        log.warning(
            "secrets that were stored in clear may still stand in unused parts of the file", problem=error.message
        )


def _prepare(connection: Connection, sealer: Sealer) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
    before = migrate(connection)
    if before in UNAUTHENTICATED_AUDIT:
        take_over(connection, sealer, SystemClock(), Uuid7())
    if before == LAST_IN_CLEAR:
        want_scrub(connection)
    seal_clear_environments(connection, sealer)
    if connection.execute(select(t.meta.c.value).where(t.meta.c.key == "epoch")).scalar() is None:
        connection.execute(
            insert(t.meta),
            [{"key": "epoch", "value": uuid_utils.uuid7().hex[-12:]}, {"key": "wseq", "value": "0"}],
        )
