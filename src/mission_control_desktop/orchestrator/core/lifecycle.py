"""One session's status: facts in, at most one legal transition per step out. Final statuses are absorbing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from mission_control_desktop.domain.sessions import (
    AgentSession,
    Capabilities,
    Evidence,
    SessionStatus,
    TaskSource,
    WaitingFor,
    global_id,
    transition_allowed,
)
from mission_control_desktop.orchestrator.core.step import Step
from mission_control_desktop.orchestrator.core.transcript import Transcript
from mission_control_desktop.record.ops import PutSession

EVIDENCE_SECONDS = 5.0
"""While events flow and nothing else changes, the record's evidence is at most this old (seconds of the journal)."""


class Cell:
    """One session: the root of the agent process, or a sub-agent that it reported.

    `record` is the session as it is on record. Everything else changes through the methods, and reaches the record with
    `flush` at the end of the step.
    """

    def __init__(self, session: AgentSession, *, native: str, parent: Cell | None = None) -> None:
        self.native = native
        self.parent = parent
        self.record = session
        self.transcript = Transcript(session.session_id, native)
        self.status = session.status
        self.waiting_for: WaitingFor | None = None
        self.error: str | None = None
        self.title = session.title
        self.agent_type = session.agent_type
        self.started_at: datetime | None = None
        self.completed_at: datetime | None = None
        self.run_id = session.run_id
        self.spawned_at = session.spawned_at
        self.usage: dict[str, Any] | None = None
        self.metadata: dict[str, Any] = dict(session.metadata)
        self.capabilities = session.capabilities
        self.last_event_at = session.evidence.last_event_at
        self.source = session.evidence.source
        self.dirty = True
        self._evidence_t = 0.0

    @property
    def final(self) -> bool:
        return self.status.final

    @property
    def session_id(self) -> str:
        return self.record.session_id

    # ------------------------------------------------------------------ changes

    def seen(self, step: Step, source: str) -> None:
        """A sign of life."""
        if step.at > self.last_event_at:
            self.last_event_at = step.at
        self.source = source

    def set(self, key: str, value: Any) -> None:
        """Change the metadata; None removes the key."""
        if value is None:
            if self.metadata.pop(key, None) is not None:
                self.dirty = True
        elif self.metadata.get(key) != value:
            self.metadata[key] = value
            self.dirty = True

    def count(self, key: str, kind: str) -> None:
        """Count in the metadata; it reaches the record with the next change."""
        counts = dict(self.metadata.get(key, {}))
        if kind in counts or len(counts) < 50:
            counts[kind] = counts.get(kind, 0) + 1
        self.metadata[key] = counts

    def set_usage(self, usage: dict[str, Any]) -> None:
        merged = {**(self.usage or {"source": "agent"}), **usage}
        if merged != self.usage:
            self.usage = merged
            self.dirty = True

    def set_title(self, title: str) -> None:
        if title != self.title:
            self.title = title
            self.dirty = True

    def started(self, step: Step) -> None:
        if self.started_at is None:
            self.started_at = step.at
            self.dirty = True

    def aim(self, step: Step, status: SessionStatus, waiting_for: WaitingFor | None) -> None:
        """Bring the session to a status, if that is a legal step from where it is."""
        if self.final:
            return
        if status is not self.status:
            if not transition_allowed(self.status, status):
                return
            self.status = status
            self.dirty = True
            if status.final:
                self.completed_at = step.at
        wanted = waiting_for if self.status is SessionStatus.WAITING else None
        if wanted is not self.waiting_for:
            self.waiting_for = wanted
            self.dirty = True

    def end(self, step: Step, status: SessionStatus, *, error: str | None, ended_by: str | None) -> None:
        """Bring the session to a final status."""
        if self.final:
            return
        if error is not None:
            self.error = error
            self.set("error", error)
        self.set("endedBy", ended_by)
        for key in ("pausing", "pauseLevel", "ending"):
            self.set(key, None)
        self.aim(step, status, None)

    def run_again(self, step: Step, run_id: str) -> None:
        """A new run of a session that had ended: `spawned` again."""
        if not self.final:
            return
        self.status = SessionStatus.SPAWNING
        self.run_id = run_id
        self.spawned_at = step.at
        self.started_at = self.completed_at = None
        self.error = None
        for key in ("error", "endedBy", "stopReason"):
            self.metadata.pop(key, None)
        self.dirty = True
        self.flush(step)

    # ------------------------------------------------------------------ the record

    def flush(self, step: Step) -> None:
        """Write the session if something visible changed, or if its evidence on record is too old."""
        if not self.dirty and (
            self.last_event_at == self.record.evidence.last_event_at
            or 0 <= step.t - self._evidence_t < EVIDENCE_SECONDS
        ):
            return
        self.dirty = False
        self._evidence_t = step.t
        self.record = msgspec.structs.replace(
            self.record,
            status=self.status,
            waiting_for=self.waiting_for,
            error=self.error,
            title=self.title,
            agent_type=self.agent_type,
            spawned_at=self.spawned_at,
            started_at=self.started_at,
            completed_at=self.completed_at,
            run_id=self.run_id,
            usage=dict(self.usage) if self.usage is not None else None,
            metadata=dict(self.metadata),
            capabilities=self.capabilities,
            parent_session_id=self.parent.session_id if self.parent is not None else self.record.parent_session_id,
            evidence=Evidence(last_event_at=self.last_event_at, source=self.source),
        )
        step.write(PutSession(session=self.record))


def initial_session(
    *,
    provider: str,
    native: str,
    parent_native: str | None,
    spawned_at: datetime,
    run_id: str,
    capabilities: Capabilities,
    mission_id: str | None = None,
    task_id: str | None = None,
    task_source: str | None = None,
    agent_type: str | None = None,
    title: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> AgentSession:
    """A session that was just spawned."""
    known = {source.value for source in TaskSource}
    return AgentSession(
        session_id=global_id(provider, native),
        provider=provider,
        status=SessionStatus.SPAWNING,
        spawned_at=spawned_at,
        capabilities=capabilities,
        evidence=Evidence(last_event_at=spawned_at, source="orchestrator"),
        parent_session_id=global_id(provider, parent_native) if parent_native else None,
        mission_id=mission_id,
        task_id=task_id,
        task_source=TaskSource(task_source) if task_source in known else TaskSource.INTERNAL,
        agent_type=agent_type,
        title=title,
        run_id=run_id,
        metadata=metadata or {},
    )
