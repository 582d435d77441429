"""Sessions: one run of one agent, its status, what can be done to it and how we know."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from mission_control_desktop.domain.base import Record

INTERNAL_PROVIDER = "internal"


class SessionStatus(StrEnum):
    """The seven statuses of a session; the last three are final and absorbing."""

    SPAWNING = "spawning"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    KILLED = "killed"

    @property
    def final(self) -> bool:
        return self._value_ in _FINAL


_FINAL = frozenset({"completed", "failed", "killed"})
FINAL_STATUSES = frozenset(status for status in SessionStatus if status.final)

# Final statuses leave only by a new run of the same session (`spawned` again clears completedAt).
LEGAL_TRANSITIONS: dict[SessionStatus, frozenset[SessionStatus]] = {
    SessionStatus.SPAWNING: frozenset(SessionStatus) - {SessionStatus.SPAWNING},
    SessionStatus.RUNNING: frozenset(SessionStatus) - {SessionStatus.SPAWNING, SessionStatus.RUNNING},
    SessionStatus.WAITING: frozenset(SessionStatus) - {SessionStatus.SPAWNING, SessionStatus.WAITING},
    SessionStatus.PAUSED: frozenset(SessionStatus) - {SessionStatus.SPAWNING, SessionStatus.PAUSED},
    SessionStatus.COMPLETED: frozenset(),
    SessionStatus.FAILED: frozenset(),
    SessionStatus.KILLED: frozenset(),
}


def transition_allowed(current: SessionStatus, target: SessionStatus) -> bool:
    """Whether a session may go from one status to another within one run."""
    return target in LEGAL_TRANSITIONS[current]


class WaitingFor(StrEnum):
    OPERATOR = "operator"
    APPROVAL = "approval"
    CHILDREN = "children"
    PROVIDER = "provider"


class TaskSource(StrEnum):
    INTERNAL = "internal"
    MOSAIC_QUEUE = "mosaic-queue"
    EXTERNAL = "external"


class Delivery(StrEnum):
    """How an operator's message reaches a session: into the turn, after it, or instead of it."""

    STEER = "steer"
    QUEUE = "queue"
    INTERRUPT = "interrupt"


class PauseKind(StrEnum):
    """What a pause really does: stops the processes, holds at the next gate, or only withholds prompts."""

    SUSPEND = "suspend"
    BOUNDARY = "boundary"
    DISPATCH = "dispatch"


class Freshness(StrEnum):
    LIVE = "live"
    STALE = "stale"
    UNREACHABLE = "unreachable"


class Capabilities(Record, frozen=True, kw_only=True):
    """What this session's provider can do now; `reasons` says why not, by capability name.

    `edit_queue`: messages that wait can be changed and put into another order.
    `hold_commands` says in words for people what holding the session's commands does; null where they cannot be held.
    """

    inject: tuple[Delivery, ...] = ()
    edit_queue: bool = False
    pause: PauseKind | None = None
    hold_commands: str | None = None
    terminate: bool = False
    kill: bool = False
    approvals: bool = False
    reasons: dict[str, str] = msgspec.field(default_factory=dict)


class Evidence(Record, frozen=True, kw_only=True):
    """Why we believe the status: the newest sign of life, where it came from, how old it may be."""

    last_event_at: datetime
    source: str
    freshness: Freshness = Freshness.LIVE


class AgentSession(Record, frozen=True, kw_only=True):
    """One session as the control plane shows it. Times are aware (UTC)."""

    session_id: str
    provider: str
    status: SessionStatus
    spawned_at: datetime
    capabilities: Capabilities
    evidence: Evidence
    parent_session_id: str | None = None
    task_id: str | None = None
    task_source: TaskSource | None = TaskSource.INTERNAL
    mission_id: str | None = None
    agent_type: str | None = None
    title: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: str | None = None
    run_id: str | None = None
    waiting_for: WaitingFor | None = None
    usage: dict[str, Any] | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


def global_id(provider: str, native_id: str) -> str:
    """The control plane's id of a session: `PROVIDER:ID`."""
    return f"{provider}:{native_id}"


def split_id(session_id: str) -> tuple[str, str]:
    """Provider name and native id of a control-plane session id; an id without a colon is internal."""
    provider, colon, native = session_id.partition(":")
    return (provider, native) if colon else (INTERNAL_PROVIDER, session_id)


def known_as(session: AgentSession) -> AgentSession:
    """The session with control-plane ids, also where its provider gave its own."""
    prefix = f"{session.provider}:"
    parent = session.parent_session_id
    if parent is not None and ":" not in parent:
        parent = prefix + parent
    own = session.session_id if session.session_id.startswith(prefix) else prefix + session.session_id
    if own == session.session_id and parent == session.parent_session_id:
        return session
    return msgspec.structs.replace(session, session_id=own, parent_session_id=parent)


class ProcessInfo(Record, frozen=True, kw_only=True):
    """One process that a stop of the session would hit. `start_time` is in clock ticks since boot, as in /proc."""

    pid: int
    start_time: int
    ppid: int
    command: str
    state: str
    escaped: bool = False
