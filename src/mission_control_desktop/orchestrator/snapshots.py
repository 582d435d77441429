"""Snapshots of a session's fold beside its journal: written now and then, used at the next start if they fit.

DIR/snapshot: a line of JSON (`_Head`), then the state (`core.snapshot`). It is replaced
as a whole; a torn or foreign one is recognised and ignored, and the journal is folded from its first entry. It is only
written and used where the record has everything up to its entry (`needs` is the last one that changed something), so
that what follows is all that the record can lack.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.orchestrator.core.session import SessionCore
from mission_control_desktop.orchestrator.core.snapshot import DoesNotFit, fingerprint, freeze, thaw
from mission_control_desktop.orchestrator.core.spec import SessionSpec

log = structlog.get_logger(__name__)

FILE = "snapshot"
VERSION = 1
ENTRIES = 4000
"""A new one after so many entries (they are folded again in 0.2 s), or more where the state is big (one entry for each
KiB of it)."""
QUIET_SECONDS = 2.0
"""And so long after the first entry that the last one lacks."""
PAUSE_SECONDS = 5.0
"""But then not sooner than so long after the last one: of a session that talks all the time each holds little news."""
MAX_BYTES = 16 << 20
CURSOR_TRIES, CURSOR_SECONDS = 20, 0.25


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    fingerprint: str
    n: int
    needs: int
    size: int
    sha256: str


def read(directory: Path, spec: SessionSpec, *, cursor: int) -> tuple[SessionCore, int, Any] | None:
    """The core that the snapshot holds, what it needs the record to have, and what goes with it; None if there is none
    that fits a record that has everything up to `cursor`. Blocking."""
    try:
        content = (directory / FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("snapshot not read", directory=str(directory), error=str(error))
        return None
    first, _, state = content.partition(b"\n")
    try:
        head = msgspec.json.decode(first, type=_Head)
        if head.version != VERSION or head.fingerprint != fingerprint():
            raise DoesNotFit("another version wrote it")
        if head.size != len(state) or head.sha256 != hashlib.sha256(state).hexdigest():
            raise DoesNotFit("it is damaged")
        if head.needs > cursor:
            raise DoesNotFit("the record is behind it")
        core, more = thaw(spec, state)
        if core.last != head.n:
            raise DoesNotFit("it stands at another entry")
    except (DoesNotFit, msgspec.MsgspecError) as error:
        log.info("snapshot does not fit, the journal is folded from its start", session=spec.session_id, why=str(error))
        return None
    return core, head.needs, more


def write(directory: Path, n: int, needs: int, state: bytes) -> None:
    """Whole or not at all; what a power cut leaves is recognised by its hash. Blocking; OSError as it comes."""
    head = _Head(
        version=VERSION,
        fingerprint=fingerprint(),
        n=n,
        needs=needs,
        size=len(state),
        sha256=hashlib.sha256(state).hexdigest(),
    )
    beside = directory / f".{FILE}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(head) + b"\n")
        file.write(state)
    os.replace(beside, directory / FILE)


class Snapshots:
    """Owned by one driver; `folded` is told of each entry, `changed` of those that changed something. `more` gives what
    goes with the core's state, `cursor` how far the record is."""

    def __init__(
        self, directory: Path, tasks: Tasks, more: Callable[[], Any], cursor: Callable[[], Awaitable[int]]
    ) -> None:
        self._directory = directory
        self._tasks = tasks
        self._more = more
        self._cursor = cursor
        self._at = 0
        self._needs = 0
        self._interval = ENTRIES
        self._pause_ends = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._writing = False

    def begin(self, n: int, needs: int) -> None:
        """The newest one stands at entry `n`."""
        self._at, self._needs = n, needs

    def changed(self, n: int) -> None:
        self._needs = n

    def folded(self, core: SessionCore) -> None:
        behind = core.last - self._at
        if self._writing or behind <= 0:
            return
        if behind >= self._interval:
            self._take(core)
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            wait = max(QUIET_SECONDS, self._pause_ends - loop.time())
            self._timer = loop.call_later(wait, self._take, core)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def remove(self) -> None:
        """The session is over. Blocking."""
        (self._directory / FILE).unlink(missing_ok=True)

    def _take(self, core: SessionCore) -> None:
        self.stop()
        if self._writing or core.last <= self._at or core.finished:
            return
        n = self._at = core.last
        self._pause_ends = asyncio.get_running_loop().time() + PAUSE_SECONDS
        try:
            state = freeze(core, self._more())
        except Exception:
            # A fault of ours: without snapshots a start is slow, nothing worse.
            log.exception("no snapshot can be taken", entry=n)
            self._interval = sys.maxsize
            return
        self._interval = max(ENTRIES, len(state) >> 10)
        if len(state) <= MAX_BYTES:
            self._writing = True
            self._tasks.start(self._write(core, n, self._needs, state), name="snapshot")

    async def _write(self, core: SessionCore, n: int, needs: int, state: bytes) -> None:
        try:
            for _ in range(CURSOR_TRIES):
                if await self._cursor() >= needs:
                    await asyncio.to_thread(write, self._directory, n, needs, state)
                    return
                await asyncio.sleep(CURSOR_SECONDS)
            log.info("the record is behind, no snapshot is written", entry=n)
        except (OSError, MissionControlError) as error:
            log.warning("snapshot not written", entry=n, error=str(error))
        finally:
            self._writing = False
            self.folded(core)
