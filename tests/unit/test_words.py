"""What is said of a session's age: nothing is called running that gave no sign of life for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mission_control_desktop.domain.sessions import (
    AgentSession,
    Capabilities,
    Evidence,
    Freshness,
    SessionStatus,
    WaitingFor,
)
from mission_control_desktop.ui.words import evidence_age, is_stale

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def seen(seconds: float, status: SessionStatus, **more: Any) -> AgentSession:
    at = NOW - timedelta(seconds=seconds)
    return AgentSession(
        session_id="internal:a",
        provider="internal",
        status=status,
        spawned_at=at,
        capabilities=Capabilities(),
        evidence=Evidence(last_event_at=at, source="agent", freshness=more.pop("freshness", Freshness.LIVE)),
        **more,
    )


@pytest.mark.parametrize(
    ("session", "stale", "said"),
    [
        (seen(14, SessionStatus.RUNNING), False, "14s"),
        (seen(16, SessionStatus.RUNNING), True, "stale, 16s"),
        (seen(600, SessionStatus.WAITING, waiting_for=WaitingFor.OPERATOR), False, "10m 00s"),
        (seen(600, SessionStatus.PAUSED), False, "10m 00s"),
        (seen(2, SessionStatus.WAITING, freshness=Freshness.STALE), True, "stale, 2s"),
        (seen(2, SessionStatus.RUNNING, freshness=Freshness.UNREACHABLE), True, "unreachable, 2s"),
        (seen(600, SessionStatus.KILLED), False, ""),
        (seen(600, SessionStatus.KILLED, freshness=Freshness.STALE), False, ""),
    ],
)
def test_what_is_old_is_called_stale(session: AgentSession, stale: bool, said: str) -> None:
    assert is_stale(session, session.evidence.last_event_at, NOW) is stale
    assert evidence_age(session, NOW) == said
