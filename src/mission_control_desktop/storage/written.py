"""Sessions as they are written on the wire, straight from their rows.

A page of 500 is read by every window that starts, and mostly to be encoded at once: what is JSON on record stays the
text that it is, and no session is built of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Select, Text, cast, select

from mission_control_desktop.domain.base import Record, to_json
from mission_control_desktop.domain.sessions import FINAL_STATUSES, AgentSession, Capabilities, Evidence, Freshness
from mission_control_desktop.storage import tables as t


class WrittenSession(Record, frozen=True, kw_only=True):
    """Encodes to the same JSON as the `AgentSession` that it stands for; `session_from` makes it one."""

    session_id: str
    provider: str
    status: str
    spawned_at: datetime
    capabilities: msgspec.Raw
    evidence: Evidence
    parent_session_id: str | None
    task_id: str | None
    task_source: str | None
    mission_id: str | None
    agent_type: str | None
    title: str | None
    started_at: datetime | None
    completed_at: datetime | None
    error: str | None
    run_id: str | None
    waiting_for: str | None
    usage: msgspec.Raw
    metadata: msgspec.Raw


def written_query() -> Select[Any]:
    """The columns that `written_of` reads, in its order."""
    c, stream = t.sessions.c, t.session_streams.c
    return select(
        c.session_id,
        c.provider,
        c.status,
        c.spawned_at,
        cast(c.capabilities, Text),
        cast(c.evidence, Text),
        c.parent_session_id,
        c.task_id,
        c.task_source,
        c.mission_id,
        c.agent_type,
        c.title,
        c.started_at,
        c.completed_at,
        c.error,
        c.run_id,
        c.waiting_for,
        cast(c.usage, Text),
        cast(c.metadata, Text),
        stream.last_event_at,
        stream.removed_messages,
    ).select_from(t.sessions.outerjoin(t.session_streams, c.session_id == stream.session_id))


def written_of(row: Sequence[Any]) -> WrittenSession:
    """Its evidence is never older than the newest message or event on record for it."""
    (
        session_id, provider, status, spawned_at, capabilities, evidence_text, parent, task_id, task_source,
        mission_id, agent_type, title, started_at, completed_at, error, run_id, waiting_for, usage, metadata,
        last_event_at, removed,
    ) = row  # fmt: skip
    evidence = _EVIDENCE.decode(evidence_text)
    if last_event_at is not None and last_event_at > evidence.last_event_at:
        evidence = Evidence(last_event_at=last_event_at, source=evidence.source, freshness=evidence.freshness)
    return WrittenSession(
        session_id=session_id,
        provider=provider,
        status=status,
        spawned_at=spawned_at,
        capabilities=_capabilities(capabilities),
        evidence=evidence,
        parent_session_id=parent,
        task_id=task_id,
        task_source=task_source,
        mission_id=mission_id,
        agent_type=agent_type,
        title=title,
        started_at=started_at,
        completed_at=completed_at,
        error=error,
        run_id=run_id,
        waiting_for=waiting_for,
        usage=_NULL if usage is None else msgspec.Raw(usage),
        metadata=_metadata(metadata, removed),
    )


def written(session: AgentSession) -> WrittenSession:
    """What a session is written as."""
    return _WRITTEN.decode(to_json(session))


def session_from(one: WrittenSession) -> AgentSession:
    """The session that it stands for."""
    return _SESSION.decode(to_json(one))


def unreachable(one: WrittenSession) -> WrittenSession:
    """The same, of a provider that does not answer; what has ended has."""
    if one.status in _FINAL:
        return one
    evidence = msgspec.structs.replace(one.evidence, freshness=Freshness.UNREACHABLE)
    return msgspec.structs.replace(one, evidence=evidence)


_NULL = msgspec.Raw(b"null")
_EVIDENCE = msgspec.json.Decoder(Evidence)
_SESSION = msgspec.json.Decoder(AgentSession)
_WRITTEN = msgspec.json.Decoder(WrittenSession)
_FINAL = frozenset(status.value for status in FINAL_STATUSES)


@lru_cache(maxsize=1024)
def _capabilities(text: str) -> msgspec.Raw:
    """Most sessions can do the same as others; a row of an earlier version gets what it does not have."""
    return msgspec.Raw(to_json(msgspec.json.decode(text, type=Capabilities)))


def _metadata(text: str, removed: int | None) -> msgspec.Raw:
    if not removed:
        return msgspec.Raw(text)
    return msgspec.Raw(to_json(with_removed(msgspec.json.decode(text), removed)))


def with_removed(metadata: dict[str, Any], count: int | None) -> dict[str, Any]:
    """A session's metadata, with the number of its messages that retention removed, if it did."""
    return {**metadata, "removedMessages": count} if count else metadata
