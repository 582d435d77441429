"""What streams carry. An event's id is `EPOCH-SEQ`; its data is one of the records below, by type."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.audit import AuditEntry
from mission_control_desktop.domain.base import Record
from mission_control_desktop.domain.kill import KillAll
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession

EVENT_ID_PATTERN = r"^[0-9A-Za-z_.-]+-[0-9]{1,18}$(?!\n)"


class EventType(StrEnum):
    MESSAGE = "message"
    DELTA = "delta"
    SESSION = "session"
    RECEIPT = "receipt"
    APPROVAL = "approval"
    KILL = "kill"
    PROVIDER = "provider"
    AUDIT = "audit"
    RESET = "reset"


class Delta(Record, frozen=True, kw_only=True):
    """Append `text` to the message at `offset`, counted in characters (code points) of its content so far."""

    message_id: str
    offset: int
    text: str


class StopState(StrEnum):
    ARMED = "armed"
    """Lately tested: a stop would have reached everything."""
    DEGRADED = "degraded"
    UNTESTED = "untested"


class StopChannel(Record, frozen=True, kw_only=True):
    """What a harmless probe of a provider's way to stop its sessions found, and when."""

    state: StopState = StopState.UNTESTED
    tested_at: datetime | None = None
    detail: str | None = None


class ProviderHealth(Record, frozen=True, kw_only=True):
    """How a provider is doing: `ok`, `degraded` or `unreachable`, and why; or that it was switched off or removed."""

    provider: str
    state: str
    detail: str | None = None
    stop: StopChannel = StopChannel()
    since: datetime | None = None
    """When it was first seen in this state by this run of the control plane."""


class Reset(Record, frozen=True, kw_only=True):
    """Drop what you have and read history again."""

    reason: str


EventData = AgentMessage | Delta | AgentSession | Receipt | Approval | KillAll | ProviderHealth | AuditEntry | Reset

DATA_TYPES: dict[EventType, type[Record]] = {
    EventType.MESSAGE: AgentMessage,
    EventType.DELTA: Delta,
    EventType.SESSION: AgentSession,
    EventType.RECEIPT: Receipt,
    EventType.APPROVAL: Approval,
    EventType.KILL: KillAll,
    EventType.PROVIDER: ProviderHealth,
    EventType.AUDIT: AuditEntry,
    EventType.RESET: Reset,
}


class StreamEvent(Record, frozen=True, kw_only=True):
    """One event as a client sees it. `event_id` is what to send as Last-Event-ID to continue after it."""

    event_id: str | None
    type: EventType
    data: EventData


def event_id(epoch: str, seq: int) -> str:
    return f"{epoch}-{seq}"


def parse_event_id(value: str) -> tuple[str, int] | None:
    """Epoch and sequence number, or None if the text is no event id."""
    if re.fullmatch(EVENT_ID_PATTERN, value) is None:
        return None
    epoch, _, seq = value.rpartition("-")
    return epoch, int(seq)
