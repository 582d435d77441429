"""Reads from sessions, open requests and providers whether they need a person."""

from __future__ import annotations

from datetime import datetime, timedelta

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import AgentSession, Freshness, SessionStatus, WaitingFor, split_id
from mission_control_desktop.ui import words
from mission_control_desktop.ui.attention.queue import Cause, Need
from mission_control_desktop.ui.provider_words import SETTLING, UNREACHABLE
from mission_control_desktop.ui.sessions import SessionStore

STALLED_AFTER = timedelta(minutes=5)
"""An agent that is said to work and gave no sign of life for so long is stalled. Longer than what the roster draws as
stale: a long thought is no reason to call a person."""
_TOOL = ("toolKind", "command", "path", "diffs")


def of_session(session: AgentSession, now: datetime, *, provider_away: bool) -> Need | None:
    """What the session itself tells. One whose provider is away is not listed: the provider is, once."""
    seen = session.evidence.last_event_at
    if session.status is SessionStatus.FAILED:
        since = session.completed_at or seen
        cause, occurrence, detail = Cause.FAILED, f"{session.run_id}:{since.isoformat()}", session.error or ""
    elif session.status.final or provider_away:
        return None
    elif session.evidence.freshness is Freshness.UNREACHABLE:
        cause, occurrence, since, detail = Cause.UNREACHABLE, seen.isoformat(), seen, "Its provider does not reach it."
    elif session.status in (SessionStatus.RUNNING, SessionStatus.SPAWNING) and (
        session.evidence.freshness is Freshness.STALE or now - seen >= STALLED_AFTER
    ):
        cause, occurrence, since, detail = Cause.STALLED, seen.isoformat(), seen, "It gives no sign of life."
    else:
        return None
    return Need(
        key=f"{cause.value}:{session.session_id}:{occurrence}",
        cause=cause,
        provider=session.provider,
        session_id=session.session_id,
        name=words.name(session),
        since=since,
        mark=_mark(session),
        detail=detail,
    )


def of_approval(approval: Approval, session: AgentSession | None) -> Need:
    """A request that names a tool asks for leave; one that names none asks a question."""
    cause = Cause.APPROVAL if any(approval.detail.get(name) for name in _TOOL) else Cause.QUESTION
    native = split_id(approval.session_id)[1]
    return Need(
        key=f"approval:{approval.approval_id}",
        cause=cause,
        provider=approval.provider,
        session_id=approval.session_id,
        name=words.name(session) if session is not None else f"session {native[:8]}",
        since=approval.created_at,
        mark=_mark(session) if session is not None else "",
        detail=approval.title,
    )


def of_provider(health: ProviderHealth, now: datetime) -> Need | None:
    """A provider that cannot be reached, with all of its sessions."""
    if not is_away(health) or (health.since is not None and now - health.since < SETTLING):
        return None
    return Need(
        key=f"unreachable:{health.provider}:{health.since.isoformat() if health.since else ''}",
        cause=Cause.UNREACHABLE,
        provider=health.provider,
        session_id=None,
        name=f"provider {health.provider}",
        since=health.since or now,
        mark=f"{health.state}:{health.detail or ''}",
        detail=health.detail or "",
    )


def is_away(health: ProviderHealth | None) -> bool:
    """Whether a provider cannot be reached."""
    return health is not None and health.state == UNREACHABLE


def blocked_with(store: SessionStore, need: Need) -> int:
    """Live agents that wait with it: those below it, those above that wait for it, all of a provider that is away."""
    if need.session_id is None:
        return len(store.live(need.provider))
    count = sum(not session.status.final for session in store.descendants(need.session_id))
    passed = {need.session_id}
    session = store.sessions.get(need.session_id)
    while session is not None and (above := session.parent_session_id) is not None and above not in passed:
        passed.add(above)
        session = store.sessions.get(above)
        if session is None or session.waiting_for is not WaitingFor.CHILDREN or session.status.final:
            break
        count += 1
    return count


def _mark(session: AgentSession) -> str:
    sign = session.evidence.last_event_at.isoformat()
    return f"{session.status.value}:{session.waiting_for}:{session.run_id}:{session.evidence.freshness.value}:{sign}"
