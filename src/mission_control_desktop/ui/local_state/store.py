"""Reading at the start, writing in the background."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import structlog

from mission_control_desktop.domain.errors import Unavailable

log = structlog.get_logger(__name__)

FILE_NAME = "desktop.sqlite3"
DEBOUNCE_SECONDS = 0.25
RETRY_SECONDS = 5.0
MAX_AUDIT_BACKLOG = 5_000
"""Audit rows that wait to be written; at the limit the oldest are dropped: it is a cache."""

_HAS_PREFERENCES = "SELECT 1 FROM sqlite_master WHERE name = 'preferences'"

Problem = Callable[[str], None]


class LocalState:
    """Preferences by key (JSON values) and the audit cache of each control plane. Thread-safe.

    `problem` hears, in words for a person, of a file that was moved aside or cannot be written; it may be called on the
    writer's thread. `get` answers from memory and never blocks.
    """

    def __init__(self, folder: Path, *, problem: Problem) -> None:
        self._path = folder / FILE_NAME
        self._problem = problem
        self._lock = threading.Condition()
        self._values: dict[str, bytes] = {}
        self._changed: dict[str, bytes | None] = {}
        self._audit: list[tuple[str, int, bytes]] = []
        self._jobs: list[tuple[Callable[[Any], Any], Future[Any]]] = []
        self._writing = False
        self._closing = False
        self._said = False
        self._thread: threading.Thread | None = None
        self._values = self._read(folder)

    # -- preferences

    def get(self, key: str, default: Any = None) -> Any:
        """A value, or `default` if there is none or it cannot be read."""
        raw = self._values.get(key)
        if raw is None:
            return default
        try:
            return msgspec.json.decode(raw)
        except msgspec.DecodeError:
            log.warning("unreadable preference ignored", key=key)
            return default

    def put(self, key: str, value: Any) -> None:
        """Set a value (None removes it); on disk a moment later."""
        raw = None if value is None else msgspec.json.encode(value)
        with self._lock:
            if self._values.get(key) == raw:
                return
            if raw is None:
                self._values.pop(key, None)
            else:
                self._values[key] = raw
            self._changed[key] = raw
            self._wake()

    def keys(self, prefix: str) -> list[str]:
        """All keys that begin with `prefix`."""
        with self._lock:
            return [key for key in self._values if key.startswith(prefix)]

    def set_aside(self, key: str) -> None:
        """Keep a value that turned out to be damaged under another key, and go on without it."""
        with self._lock:
            raw = self._values.pop(key, None)
            self._changed[key] = None
            if raw is not None:
                self._values[f"{key}.damaged"] = self._changed[f"{key}.damaged"] = raw
            self._wake()

    # -- audit cache

    def cache_audit(self, source: str, rows: Iterable[tuple[int, bytes]]) -> None:
        """Keep rows (sequence number, JSON) of the control plane `source`."""
        with self._lock:
            self._audit.extend((source, seq, row) for seq, row in rows)
            if len(self._audit) > MAX_AUDIT_BACKLOG:
                del self._audit[:-MAX_AUDIT_BACKLOG]
            self._wake()

    def cached_audit(self, source: str, limit: int = 500) -> Future[list[bytes]]:
        """The newest cached rows, newest first; read on the writer's thread."""
        from mission_control_desktop.ui.local_state import tables

        future: Future[list[bytes]] = Future()
        with self._lock:
            self._jobs.append((lambda engine: tables.read_audit(engine, source, limit), future))
            self._wake()
        return future

    # -- life

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything put so far is on disk; False if that takes longer (seconds)."""
        deadline = time.monotonic() + timeout
        with self._lock:
            while self._changed or self._audit or self._writing:
                if self._thread is None or not self._thread.is_alive():
                    return False
                if not self._lock.wait(deadline - time.monotonic()):
                    return False
        return True

    def close(self, timeout: float = 5.0) -> None:
        """Write what is left and end the thread."""
        with self._lock:
            self._closing = True
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)

    def _wake(self) -> None:
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._run, name="local-state", daemon=True)
            self._thread.start()
        self._lock.notify_all()

    def _run(self) -> None:
        engine: Any = None
        while True:
            with self._lock:
                while not (self._changed or self._audit or self._jobs or self._closing):
                    self._lock.wait()
                if not self._closing and not self._jobs:
                    self._lock.wait_for(lambda: self._closing or bool(self._jobs), DEBOUNCE_SECONDS)
                changed, self._changed = self._changed, {}
                audit, self._audit = self._audit, []
                jobs, self._jobs = self._jobs, []
                closing = self._closing
                self._writing = True
            failed = False
            try:
                engine = engine or self._open()
                if changed or audit:
                    from mission_control_desktop.ui.local_state import tables

                    tables.write(engine, changed, audit)
                self._said = False
            except Exception as error:  # noqa: BLE001 - a full disk or a lost home must not end the window
                failed = True
                log.warning("local state not written", error=str(error))
                if not self._said:
                    self._said = True
                    self._problem(f"Layout and drafts cannot be saved now: {_reason(error)}")
            for job, future in jobs:
                if engine is None:
                    future.set_exception(OSError("the local file cannot be opened"))
                    continue
                try:
                    future.set_result(job(engine))
                except Exception as error:  # noqa: BLE001 - handed to who asked
                    future.set_exception(error)
            with self._lock:
                self._writing = False
                if failed:
                    self._changed = {**changed, **self._changed}
                    self._audit = audit[-MAX_AUDIT_BACKLOG:] + self._audit
                self._lock.notify_all()
                if closing and (failed or not (self._changed or self._audit)):
                    break
                if failed:
                    self._lock.wait_for(lambda: self._closing, RETRY_SECONDS)
        if engine is not None:
            engine.dispose()

    def _open(self) -> Any:
        from mission_control_desktop.ui.local_state import tables

        return tables.open_engine(self._path)

    # -- the first reading

    def _read(self, folder: Path) -> dict[str, bytes]:
        """All preferences, by the standard library: layout and colours are needed before the first paint."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.close(descriptor)
            self._path.chmod(0o600)
        except OSError as error:
            self._problem(f"Layout and drafts cannot be kept: {error}")
            return {}
        try:
            return self._select()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                self._problem("The saved layout is in use by another program; this window starts with the default one.")
                return {}
            aside = self._move_aside()
            self._problem(
                f"The file with layout and drafts was damaged ({error}). It was moved to {aside.name}; "
                "the window starts with the default layout."
            )
            return {}

    def _select(self) -> dict[str, bytes]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=2.0)) as connection:
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("its check found errors")
            if not connection.execute(_HAS_PREFERENCES).fetchone():
                return {}
            return {str(key): bytes(value) for key, value in connection.execute("SELECT key, value FROM preferences")}

    def _move_aside(self) -> Path:
        aside = self._path.with_name(f"{FILE_NAME}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).replace(aside.with_name(aside.name + suffix))
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return aside


def stored(folder: Path, *prefixes: str) -> dict[str, Any]:
    """What another process has on disk under any of `prefixes`, as of one moment, read without a writer's thread.
    Blocking. Empty if there is no file yet; Unavailable if it cannot be read now."""
    path = folder / FILE_NAME
    if not path.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            if not connection.execute(_HAS_PREFERENCES).fetchone():
                return {}
            found = connection.execute(
                "SELECT key, value FROM preferences WHERE EXISTS (SELECT 1 FROM json_each(?) AS wanted"
                " WHERE substr(preferences.key, 1, length(wanted.value)) = wanted.value)",
                (msgspec.json.encode(prefixes).decode(),),
            )
            return {str(key): msgspec.json.decode(bytes(value)) for key, value in found}
    except (sqlite3.Error, msgspec.DecodeError) as error:
        raise Unavailable(f"{path} cannot be read now: {error}") from error


def _reason(error: Exception) -> str:
    original = getattr(error, "orig", None)
    return str(original or error)
