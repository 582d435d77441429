"""How much a session's state asks for a person: what a closed branch tells of what is below it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import AgentSession, Freshness, SessionStatus, WaitingFor
from mission_control_desktop.ui import words
from mission_control_desktop.ui.provider_words import UNREACHABLE


class Severity(IntEnum):
    """From what needs nobody to the worst."""

    NORMAL = 0
    PAUSED = 1
    STALE = 2
    WAITING = 3
    APPROVAL = 4
    FAILED = 5


SEVERITY_WORDS = {
    Severity.FAILED: "failed",
    Severity.APPROVAL: "needs approval",
    Severity.WAITING: "waiting for you",
    Severity.STALE: "without a sign of life",
    Severity.PAUSED: "paused",
    Severity.NORMAL: "",
}

_MARKS: dict[Severity, tuple[SessionStatus, WaitingFor | None]] = {
    Severity.FAILED: (SessionStatus.FAILED, None),
    Severity.APPROVAL: (SessionStatus.WAITING, WaitingFor.APPROVAL),
    Severity.WAITING: (SessionStatus.WAITING, WaitingFor.OPERATOR),
    Severity.STALE: (SessionStatus.RUNNING, None),
    Severity.PAUSED: (SessionStatus.PAUSED, None),
}


def severity(session: AgentSession) -> Severity:
    """Of the session itself, by what it says; its silence is judged where there is a clock (`is_abnormal`)."""
    status = session.status
    if status is SessionStatus.FAILED:
        return Severity.FAILED
    if status.final:
        return Severity.NORMAL
    if status is SessionStatus.WAITING and session.waiting_for in (None, WaitingFor.OPERATOR, WaitingFor.APPROVAL):
        return Severity.APPROVAL if session.waiting_for is WaitingFor.APPROVAL else Severity.WAITING
    if session.evidence.freshness is not Freshness.LIVE:
        return Severity.STALE
    return Severity.PAUSED if status is SessionStatus.PAUSED else Severity.NORMAL


def mark_of(found: Severity) -> tuple[SessionStatus, WaitingFor | None]:
    """The shape that stands for it."""
    return _MARKS[found]


def needs_person(session: AgentSession) -> bool:
    """Whether the session waits for a person or has failed."""
    return severity(session) >= Severity.WAITING


def is_stale(session: AgentSession, now: datetime, health: Mapping[str, ProviderHealth]) -> bool:
    """Whether the status may not be true any more: silent for too long, or its provider is away."""
    if session.status.final:
        return False
    known = health.get(session.provider)
    if known is not None and known.state == UNREACHABLE:
        return True
    return words.is_stale(session, session.evidence.last_event_at, now)


def is_abnormal(session: AgentSession, now: datetime, health: Mapping[str, ProviderHealth]) -> bool:
    """Failed, waiting for a person, or not known to be as it is drawn. A pause was somebody's wish."""
    return needs_person(session) or is_stale(session, now, health)
