"""One recorder per record: sequence numbers are given from memory, so a second writer must be refused, not survived."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection

from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.storage.database import Database

_ADVISORY_LOCK = 0x4D434457


class Ownership:
    """A lock on a file beside SQLite's (freed by the system when the process ends, however it ends), or PostgreSQL's
    session lock of the writer's connection, taken again when that had to be opened anew."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._descriptor: int | None = None
        self._taken_on_server = False

    async def take(self) -> None:
        """Raises Unavailable if another recorder has it."""
        path = self._database.path
        if path is None:
            await self._database.access.each_writer(_lock_postgresql)
            self._taken_on_server = True
        else:
            self._descriptor = await asyncio.to_thread(_lock_file, path.with_name(path.name + ".lock"))

    async def give_up(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        elif self._taken_on_server:
            self._taken_on_server = False
            await self._database.access.each_writer(None)
            with suppress(Unavailable):  # A server that does not answer has freed the lock with the connection.
                await self._database.access.write(_unlock_postgresql)


_TAKEN = "Another control plane is running on this record. Stop it first, or use another data directory."


def _lock_file(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Unavailable(_TAKEN) from error
    return descriptor


def _lock_postgresql(connection: Connection) -> None:
    if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_ADVISORY_LOCK})").scalar():
        raise Unavailable(_TAKEN)


def _unlock_postgresql(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_ADVISORY_LOCK})")
