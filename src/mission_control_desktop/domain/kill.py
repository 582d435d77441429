"""Kill-all: one confirmed command over a scope, with a result per target."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from mission_control_desktop.domain.base import Record

CONFIRM_WORDS = "KILL ALL"
SCOPE_ALL = "all"


class TargetState(StrEnum):
    FROZEN = "frozen"
    DEAD = "dead"
    ASKED = "asked"
    UNREACHABLE = "unreachable"
    CAME_BACK = "cameBack"


class KillTarget(Record, frozen=True, kw_only=True):
    session_id: str
    provider: str
    state: TargetState
    at: datetime
    detail: str | None = None


class KillState(StrEnum):
    FROZEN = "frozen"
    KILLING = "killing"
    DONE = "done"
    UNDONE = "undone"


class KillAll(Record, frozen=True, kw_only=True):
    kill_id: str
    state: KillState
    scope: str
    started_at: datetime
    targets: tuple[KillTarget, ...] = ()
    undo_until: datetime | None = None
    """While frozen: until then it can be undone."""
    detail: str | None = None
    """What a person should know besides: that it could not be recorded, or could not be finished."""
