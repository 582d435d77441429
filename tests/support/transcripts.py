"""A session with a long transcript on record, for a control plane that does not run yet."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mission_control_desktop.control.assembly import DATABASE_FILE
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.record.ops import PutMessage, PutSession, RecordOp
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import SystemClock, Uuid7, open_database
from support.records import session


def put_on_record(folder: Path, name: str, messages: Sequence[AgentMessage]) -> None:
    """Make the finished session `internal:NAME` with these messages, in the data directory of a control plane."""
    # What earlier tests left of their windows is destroyed here, on the GUI's thread, and not by a collection that
    # happens to run in one of the database's threads.
    gc.collect()
    database = open_database(folder / DATABASE_FILE)

    def failed(what: str, error: BaseException) -> None:
        raise AssertionError(what) from error

    async def write() -> None:
        recorder = Recorder(database, SystemClock(), Uuid7(), failed)
        await recorder.start()
        try:
            now = datetime.now(UTC)
            made = session(name, SessionStatus.COMPLETED, title=name, spawned_at=now, completed_at=now)
            ops: list[RecordOp] = [PutSession(session=made), *(PutMessage(message=message) for message in messages)]
            await recorder.provider_record("internal").apply(name, ops, durable=True)
        finally:
            await recorder.close()

    try:
        asyncio.run(write())
    finally:
        database.close_now()
