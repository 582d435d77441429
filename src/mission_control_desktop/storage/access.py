"""Who may touch the database, and where: one writer thread, a few reader threads, never the event loop.

Measured on SQLite: a synchronous engine in threads is faster than an asynchronous driver, and one writer needs no
lock. Work is a function of a connection; it runs in one transaction and sees one snapshot.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.storage.problems import unavailable_reason

log = structlog.get_logger(__name__)
T = TypeVar("T")
Work = Callable[[Connection], T]

READERS = 3
MAX_WAITING = 2_000
"""Calls in line for a thread. One more is refused with Unavailable."""


class Access:
    """Runs work in the right thread. A call that is cancelled while its work runs does not undo the work."""

    def __init__(self, writer: Engine, reader: Engine) -> None:
        self._writer_engine = writer
        self._reader_engine = reader
        self._sqlite = writer.dialect.name == "sqlite"
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="record-writer")
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="record-reader")
        self._writer: Connection | None = None
        self._durable: bool | None = None
        self._each_writer: Work[None] | None = None
        self._waiting = 0
        self._closed = False

    @property
    def dialect(self) -> str:
        return self._writer_engine.dialect.name

    async def read(self, work: Work[T]) -> T:
        """One read-only transaction. Raises Unavailable if the database cannot be read now."""
        return await self._in(self._read_threads, lambda: self._read(work))

    async def write(self, work: Work[T], *, durable: bool = True, then: Callable[[T], None] | None = None) -> T:
        """One transaction, rolled back if `work` raises. With `durable` it is on disk when this returns; without, a
        loss of power (never a crash of the program) may take the newest transactions back. `then` is called in the
        writer thread right after the commit, in the order of commits. Raises Unavailable if the database cannot be
        written now."""
        return await self._in(self._write_thread, lambda: self._write(work, durable, then))

    async def maintain(self, statement: str) -> None:
        """A statement of the database's own housekeeping, on the writer's connection and in no transaction. Raises
        Unavailable if the database cannot be written now."""

        def work() -> None:
            try:
                raw = self._writer_connection(self._durable or False).connection.dbapi_connection
                if raw is not None:
                    raw.cursor().execute(statement)
            except Exception as error:
                _raise_if_unavailable(error, "written")
                raise

        await self._in(self._write_thread, work)

    async def each_writer(self, work: Work[None] | None) -> None:
        """Do this now and on every connection that the writer opens later, before anything is written over it; if it
        raises, nothing is."""

        def install() -> None:
            if work is not None:
                self._write(work, True, None)
            self._each_writer = work

        await self._in(self._write_thread, install)

    async def _in(self, threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        if self._closed:
            raise Unavailable("The record is closed.")
        if self._waiting >= MAX_WAITING:
            raise Unavailable("The record is busy. Try again in a moment.")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(threads, call)
        future.add_done_callback(self._done)
        return await future

    def _done(self, future: asyncio.Future[T]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()

    def _read(self, work: Work[T]) -> T:
        try:
            with self._reader_engine.connect() as connection, connection.begin():
                return work(connection)
        except Exception as error:
            _raise_if_unavailable(error, "read")
            raise

    def _write(self, work: Work[T], durable: bool, then: Callable[[T], None] | None) -> T:
        try:
            connection = self._writer_connection(durable)
            with connection.begin():
                if not self._sqlite and not durable:
                    connection.execute(text("SET LOCAL synchronous_commit TO OFF"))
                result = work(connection)
        except Exception as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                self._drop_writer()
            _raise_if_unavailable(error, "written")
            raise
        if then is not None:
            then(result)
        return result

    def _writer_connection(self, durable: bool) -> Connection:
        if self._writer is None:
            self._writer, self._durable = self._writer_engine.connect(), None
            if self._each_writer is not None:
                try:
                    with self._writer.begin():
                        self._each_writer(self._writer)
                except BaseException:
                    self._drop_writer()
                    raise
        if self._sqlite and self._durable != durable:
            # In WAL mode NORMAL does not sync at a commit; FULL syncs the whole log, earlier commits included.
            raw = self._writer.connection.dbapi_connection
            if raw is None:
                raise Unavailable("The record's connection is closed.")
            raw.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        return self._writer

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def write_now(self, work: Work[T]) -> T:
        """The same in the calling thread's time, for programs without an event loop. Blocks."""
        return self._write_thread.submit(self._write, work, True, None).result()

    def read_now(self, work: Work[T]) -> T:
        """Reads, and blocks the calling thread."""
        return self._read_threads.submit(self._read, work).result()

    def scrub_now(self, table: str) -> None:
        """Write the file (PostgreSQL: the table) anew, so that unused parts of it hold nothing of what was there.
        Blocks; needs as much space again. Raises Unavailable if it cannot be done now."""
        self._write_thread.submit(self._scrub, table).result()

    def _scrub(self, table: str) -> None:
        self._drop_writer()
        try:
            if not self._sqlite:
                with self._writer_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    connection.exec_driver_sql(f"VACUUM FULL {table}")
                return
            self._rewrite_file()
        except Exception as error:
            _raise_if_unavailable(error, "written anew")
            raise

    def _rewrite_file(self) -> None:
        raw = self._writer_engine.raw_connection()
        try:
            cursor = raw.cursor()
            try:
                cursor.execute("PRAGMA temp_store=FILE")  # a whole database may be too much for memory
                cursor.execute("VACUUM")
                busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                cursor.execute("PRAGMA temp_store=MEMORY")
            except sqlite3.Error as error:
                raise Unavailable(f"The record's file cannot be written anew: {error}.") from error
            finally:
                cursor.close()
        finally:
            raw.close()
        if busy:
            raise Unavailable("The record's file cannot be written anew: another program reads it.")

    def close(self) -> None:
        """Finish what runs and release everything. Blocks."""
        if self._closed:
            return
        self._closed = True
        self._write_thread.submit(self._drop_writer).result()
        self._write_thread.shutdown()
        self._read_threads.shutdown()
        self._reader_engine.dispose()
        self._writer_engine.dispose()


def _raise_if_unavailable(error: Exception, what: str) -> None:
    reason = unavailable_reason(error)
    if reason is not None:
        raise Unavailable(f"The record cannot be {what} now: {reason}.", reason=reason) from error
