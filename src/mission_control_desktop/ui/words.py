"""Words for times, ages and names, the same everywhere in the window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mission_control_desktop.domain.sessions import AgentSession, Freshness, SessionStatus, split_id

STALE_AFTER = timedelta(seconds=15)
"""A session that is said to run, without any sign of life for so long, is drawn as stale."""


def utc_now() -> datetime:
    """The window's own clock, used only to show ages."""
    return datetime.now(UTC)


def duration(seconds: float) -> str:
    """Short and of steady width: `7s`, `12m 05s`, `3h 07m`, `2d 04h`."""
    total = max(0, int(seconds))
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m {total % 60:02d}s"
    if total < 86400:
        return f"{total // 3600}h {total % 3600 // 60:02d}m"
    return f"{total // 86400}d {total % 86400 // 3600:02d}h"


def elapsed(session: AgentSession, now: datetime) -> str:
    """How long the session has run, or ran."""
    return duration(((session.completed_at or now) - (session.started_at or session.spawned_at)).total_seconds())


def is_stale(session: AgentSession, last_sign: datetime, now: datetime) -> bool:
    """Whether the status may not be true any more: the control plane says so, or the session is said to run and gave
    no sign of life for a while. `last_sign` is the newest one that is known of."""
    if session.status.final:
        return False
    if session.evidence.freshness is not Freshness.LIVE:
        return True
    return session.status is SessionStatus.RUNNING and now - last_sign > STALE_AFTER


def evidence_age(session: AgentSession, now: datetime) -> str:
    """How old the newest sign of life is; what is stale or unreachable is said in words."""
    if session.status.final:
        return ""
    age = duration((now - session.evidence.last_event_at).total_seconds())
    if session.evidence.freshness is Freshness.UNREACHABLE:
        return f"unreachable, {age}"
    return f"stale, {age}" if is_stale(session, session.evidence.last_event_at, now) else age


def name(session: AgentSession) -> str:
    """What a person calls the session: its title, task, kind of agent, or the start of its id."""
    native = split_id(session.session_id)[1]
    return session.title or session.task_id or session.agent_type or f"session {native[:8]}"


def is_demo(session: AgentSession) -> bool:
    """Whether the session belongs to the demo mission."""
    return bool(session.metadata.get("demo"))


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 agent`, `2 agents`."""
    return f"{count} {one if count == 1 else many or one + 's'}"
