"""Kill-all: one confirmed command over a scope, with a result per target."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from mission_control_desktop.domain.base import Record

CONFIRM_WORDS = "KILL ALL"
SCOPE_ALL = "all"
STOP_FILE = "stop"
"""In the data directory: an order to kill everything that needs no control plane. Keepers look for it themselves."""
WATCH_SECONDS = 30.0
"""How long a kill-all that is done hits again what comes back, where nothing else is said."""
MAX_WATCH_SECONDS = 12 * 3600.0
MAX_UNDO_SECONDS = 60.0


class TargetState(StrEnum):
    FROZEN = "frozen"
    DEAD = "dead"
    ASKED = "asked"
    UNREACHABLE = "unreachable"
    CAME_BACK = "cameBack"


class KillStep(Record, frozen=True, kw_only=True):
    """One thing that was seen or done on a target's way."""

    state: TargetState
    at: datetime
    detail: str | None = None


class KillTarget(Record, frozen=True, kw_only=True):
    """A session in the scope as it is known now; `steps` is how it came to that, oldest first."""

    session_id: str
    provider: str
    state: TargetState
    at: datetime
    detail: str | None = None
    steps: tuple[KillStep, ...] = ()


class KillState(StrEnum):
    FROZEN = "frozen"
    KILLING = "killing"
    DONE = "done"
    UNDONE = "undone"


class KillAll(Record, frozen=True, kw_only=True):
    """`by` ordered it (a user's id) for `reason`; `finished_at` is when the last target was settled or thawed."""

    kill_id: str
    state: KillState
    scope: str
    started_at: datetime
    targets: tuple[KillTarget, ...] = ()
    by: str = ""
    reason: str = ""
    finished_at: datetime | None = None
    undo_until: datetime | None = None
    """While frozen: until then it can be undone."""
    watching_until: datetime | None = None
    """When done: until then, or until it is closed, a target that comes back is hit again."""
    detail: str | None = None
    """What a person should know besides: that it could not be recorded, or could not be finished."""
