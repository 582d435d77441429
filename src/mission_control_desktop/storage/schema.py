"""Bring a database to the schema of this version, from nothing or from any older one."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from mission_control_desktop.domain.errors import Unavailable

HEAD = "0004"
"""The newest migration. Known here so that an up-to-date database opens without importing Alembic."""

UNAUTHENTICATED_AUDIT = frozenset({"0001"})
"""Revisions whose audit log has no authenticated end (`storage.audit.take_over`)."""
LAST_IN_CLEAR = "0001"
"""Databases of this revision kept environments of launch profiles as they were given."""

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(connection: Connection) -> str | None:
    """Run what is missing, within the connection's transaction; the revision that it was at (None: it was empty).
    Raises Unavailable if a newer version wrote it."""
    before = current_revision(connection)
    if before == HEAD:
        return before
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Unavailable(
            "This database was written by a newer version of Mission Control. Update the program, or use another "
            f"data directory. ({error})"
        ) from error
    return before


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None if it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
