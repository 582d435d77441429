"""By what the roster is sorted and grouped."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from mission_control_desktop.client.fleet import plane_of
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.ui import words
from mission_control_desktop.ui.roster.severity import severity
from mission_control_desktop.ui.roster.usage import tokens

SortKey = tuple[Any, ...]


class SortBy(StrEnum):
    """Siblings are sorted; a child stays below its parent."""

    STARTED = "started"
    NAME = "name"
    STATUS = "status"
    PROVIDER = "provider"
    SIGN = "sign"
    USAGE = "usage"


class GroupBy(StrEnum):
    """Sessions of one group stand together; a child whose parent is in another group stands at the top of its own."""

    NONE = "none"
    PROVIDER = "provider"
    STATUS = "status"
    PROFILE = "profile"
    PLANE = "plane"


SORT_TITLES = {
    SortBy.STARTED: "Time of start",
    SortBy.NAME: "Name",
    SortBy.STATUS: "What needs you",
    SortBy.PROVIDER: "Provider",
    SortBy.SIGN: "Last sign of life",
    SortBy.USAGE: "Usage",
}
GROUP_TITLES = {
    GroupBy.NONE: "Nothing",
    GroupBy.PROVIDER: "Provider",
    GroupBy.STATUS: "Status",
    GroupBy.PROFILE: "Profile",
    GroupBy.PLANE: "Control plane",
}
RESTLESS = frozenset({SortBy.SIGN, SortBy.USAGE})
"""Orders that change with every word of an agent: rows would never stand still, so they move once a second at most."""
_STATUS_ORDER = {
    status: place
    for place, status in enumerate(
        (
            SessionStatus.FAILED,
            SessionStatus.WAITING,
            SessionStatus.PAUSED,
            SessionStatus.RUNNING,
            SessionStatus.SPAWNING,
            SessionStatus.KILLED,
            SessionStatus.COMPLETED,
        )
    )
}


_NO_GROUP = (0, "")


def _started(session: AgentSession) -> SortKey:
    return (session.spawned_at, session.session_id)


SORT_KEYS: dict[SortBy, Callable[[AgentSession], SortKey]] = {
    SortBy.STARTED: _started,
    SortBy.NAME: lambda s: (words.name(s).casefold(), *_started(s)),
    SortBy.STATUS: lambda s: (-severity(s), _STATUS_ORDER[s.status], *_started(s)),
    SortBy.PROVIDER: lambda s: (s.provider, *_started(s)),
    SortBy.SIGN: lambda s: (s.evidence.last_event_at, s.session_id),
    SortBy.USAGE: lambda s: (tokens(s), s.session_id),
}


def group_of(session: AgentSession, by: GroupBy) -> tuple[int, str]:
    """Where the group stands and its title; comparable."""
    match by:
        case GroupBy.NONE:  # first: asked of every session
            return _NO_GROUP
        case GroupBy.PROVIDER:
            return (0, session.provider)
        case GroupBy.STATUS:
            return (_STATUS_ORDER[session.status], session.status.value.capitalize())
        case GroupBy.PROFILE:
            profile = str(session.metadata.get("profile") or "")
            return (0, profile) if profile else (1, "No profile")
        case GroupBy.PLANE:
            plane = plane_of(session.session_id)
            return (1, plane) if plane else (0, "This computer")
