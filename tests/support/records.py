"""A real record for tests: an own database file, a running recorder, and a client that takes streams at their word."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import delete

from mission_control_desktop.domain.approvals import Approval, ApprovalOption, ApprovalState
from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.events import Delta, EventType, StreamEvent, parse_event_id
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.people import ActorKind
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, Evidence, SessionStatus
from mission_control_desktop.record.ops import AppendText
from mission_control_desktop.record.recorder import Recorder
from mission_control_desktop.storage import Database, SystemClock, Uuid7, open_database
from mission_control_desktop.storage.sealing import MasterKey, Sealer
from mission_control_desktop.storage.tables import meta

PATIENCE = 30.0
SEALER = Sealer([MasterKey(bytes(range(32)))])
"""What the databases of tests are sealed with."""
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


_making = threading.Lock()


@cache
def _template() -> Path:
    path = Path(tempfile.mkdtemp(prefix="record-template-")) / "record.db"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    made = open_database(path)
    made.access.write_now(lambda connection: connection.execute(delete(meta)))
    made.close_now()
    return path


def migrated(path: Path) -> None:
    """Put a database at `path` that has its tables and has never been opened: it gets an epoch of its own. Running the
    migrations takes longer than most tests do, and they have tests of their own."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _making:  # tests that start several at once must not make it several times
        template = _template()
    shutil.copy(template, path)


def fresh_database(directory: Path) -> Database:
    """A migrated, empty database."""
    path = directory / "record.db"
    migrated(path)
    return open_database(path, SEALER)


class Errors(list[tuple[str, BaseException]]):
    def __call__(self, name: str, error: BaseException) -> None:
        self.append((name, error))


@asynccontextmanager
async def recording(database: Database, **options: Any) -> AsyncIterator[Recorder]:
    """A started recorder. Fails if a background task failed."""
    errors = Errors()
    recorder = Recorder(database, SystemClock(), Uuid7(), errors, **options)
    await recorder.start()
    try:
        yield recorder
    finally:
        await recorder.close()
    assert not errors


def session(name: str = "s", status: SessionStatus = SessionStatus.RUNNING, **more: Any) -> AgentSession:
    values: dict[str, Any] = {
        "session_id": f"internal:{name}",
        "provider": "internal",
        "status": status,
        "spawned_at": START,
        "capabilities": Capabilities(),
        "evidence": Evidence(last_event_at=START, source="test"),
    }
    return AgentSession(**{**values, **more})


def message(name: str, content: str = "", *, of: str = "s", complete: bool = False, **more: Any) -> AgentMessage:
    values: dict[str, Any] = {
        "message_id": name,
        "session_id": f"internal:{of}",
        "role": MessageRole.AGENT,
        "content": content,
        "timestamp": START,
        "metadata": {"kind": "text", "complete": complete},
    }
    return AgentMessage(**{**values, **more})


def append(name: str, offset: int, text: str, *, of: str = "s") -> AppendText:
    return AppendText(session_id=f"internal:{of}", message_id=name, offset=offset, text=text)


def receipt(name: str, state: ReceiptState = ReceiptState.STORED, *, of: str = "s") -> Receipt:
    return Receipt(injection_id=name, session_id=f"internal:{of}", state=state, at=START)


def approval(name: str, state: ApprovalState = ApprovalState.OPEN, *, of: str = "s") -> Approval:
    return Approval(
        approval_id=name,
        session_id=f"internal:{of}",
        provider="internal",
        title="May it?",
        options=(ApprovalOption(option_id="yes", kind="allow_once", label="Yes"),),
        created_at=START,
        state=state,
    )


def audit_draft(minute: int = 0, **more: Any) -> AuditEntry:
    values: dict[str, Any] = {
        "id": "",
        "seq": 0,
        "created_at": START + timedelta(minutes=minute),
        "user_id": "ada",
        "actor_kind": ActorKind.PERSON,
        "action": AuditAction.INJECT,
        "outcome": AuditOutcome.DONE,
    }
    return AuditEntry(**{**values, **more})


class Client:
    """What a listener makes of a stream: nothing but what the events say, and every rule of the contract asserted."""

    def __init__(self) -> None:
        self.last_id: str | None = None
        self.messages: dict[str, AgentMessage] = {}
        self.sessions: dict[str, AgentSession] = {}
        self.receipts: dict[str, Receipt] = {}
        self.approvals: dict[str, Approval] = {}
        self.others: list[StreamEvent] = []
        self.events = 0

    def take(self, event: StreamEvent) -> None:
        self.events += 1
        if event.type is EventType.RESET:
            self.__init__()  # type: ignore[misc]
            return
        self._advance(event.event_id)
        match event.data:
            case AgentMessage() as whole:
                known = self.messages.get(whole.message_id)
                assert known is None or known.seq == whole.seq, "a message changed its place"
                self.messages[whole.message_id] = whole
            case Delta() as delta:
                grown = self.messages[delta.message_id]
                assert delta.offset == len(grown.content), "a delta does not continue what was given"
                self.messages[delta.message_id] = _longer(grown, delta.text)
            case AgentSession() as one:
                self.sessions[one.session_id] = one
            case Receipt() as one:
                self.receipts[one.injection_id] = one
            case Approval() as one:
                self.approvals[one.approval_id] = one
            case _:
                self.others.append(event)

    def _advance(self, event_id: str | None) -> None:
        assert event_id is not None
        new = parse_event_id(event_id)
        assert new is not None
        if self.last_id is not None:
            old = parse_event_id(self.last_id)
            assert old is not None
            assert new[0] == old[0]
            assert new[1] > old[1], "ids must strictly grow"
        self.last_id = event_id

    def transcript(self) -> list[AgentMessage]:
        return sorted(self.messages.values(), key=lambda one: one.seq)


def _longer(whole: AgentMessage, text: str) -> AgentMessage:
    import msgspec

    return msgspec.structs.replace(whole, content=whole.content + text)


async def on_record(database: Database, session_id: str) -> list[AgentMessage]:
    """The whole transcript, read page by page."""
    found: list[AgentMessage] = []
    after = 0
    while True:
        page = await database.messages.page(session_id, limit=100, after=after)
        found.extend(page.items)
        if page.next_cursor is None:
            return found
        after = int(page.next_cursor)


async def until(condition: Any, what: str) -> None:
    """Wait for a state, generously."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"never: {what}"
        await asyncio.sleep(0.002)
