"""One kill-all under way: what it was told, what is known of each target, and what another process needs to go on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from mission_control_desktop.control.interventions import Attempt
from mission_control_desktop.domain.kill import KillAll, KillState, KillStep, KillTarget, TargetState
from mission_control_desktop.domain.people import Principal
from mission_control_desktop.domain.sessions import AgentSession, split_id

MAX_STEPS = 20
"""Steps kept of one target, the newest: one that comes back for hours must not grow the record without end."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the next process needs to go on with an order that this one could not finish."""

    intent_id: str
    who: Principal
    reason: str
    names: tuple[str, ...]
    undo_until: datetime | None
    watch_seconds: float = 0
    was_paused: tuple[str, ...] = ()


@dataclass(slots=True)
class Run:
    """The state of one order. `changed` is set whenever there is something new to show."""

    workspace_id: str
    kill_id: str
    scope: str
    names: tuple[str, ...]
    started_at: datetime
    attempt: Attempt
    undo_until: datetime | None
    watch_seconds: float
    state: KillState
    targets: dict[str, KillTarget] = field(default_factory=dict)
    sessions: dict[str, AgentSession] = field(default_factory=dict)
    was_paused: set[str] = field(default_factory=set)
    finished_at: datetime | None = None
    watching_until: datetime | None = None
    detail: str | None = None
    saved: bool = False
    """Whether all that is known is on record."""
    undo: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def reason(self) -> str:
        return str(self.attempt.metadata.get("reason", ""))

    @property
    def stopping(self) -> bool:
        """Whether nothing may be started or sent in its scope now."""
        return self.state in (KillState.FROZEN, KillState.KILLING)

    def view(self) -> KillAll:
        """As it is shown."""
        detail = self.detail
        if not self.attempt.recorded:
            detail = "Not on record yet: the audit log could not be written. It will be as soon as it can."
        return KillAll(
            kill_id=self.kill_id,
            state=self.state,
            scope=self.scope,
            started_at=self.started_at,
            targets=tuple(self.targets.values()),
            by=self.attempt.who.user_id,
            reason=self.reason,
            finished_at=self.finished_at,
            undo_until=self.undo_until if self.state is KillState.FROZEN else None,
            watching_until=self.watching_until,
            detail=detail,
        )

    def order(self) -> Order:
        """For the next process."""
        return Order(
            intent_id=self.attempt.intent_id or "",
            who=self.attempt.who,
            reason=self.reason,
            names=self.names,
            undo_until=self.undo_until,
            watch_seconds=self.watch_seconds,
            was_paused=tuple(self.was_paused),
        )

    def results(self) -> list[dict[str, object]]:
        """Each target's result, for the audit row."""
        return [
            {
                "sessionId": target.session_id,
                "state": target.state.value,
                "detail": target.detail,
                "ms": round((target.at - self.started_at).total_seconds() * 1000),
            }
            for target in self.targets.values()
        ]

    def set(self, session_id: str, state: TargetState, at: datetime, detail: str | None = None) -> None:
        """Note what is known of a target now."""
        before = self.targets.get(session_id)
        steps = () if before is None else before.steps
        self.targets[session_id] = KillTarget(
            session_id=session_id,
            provider=split_id(session_id)[0],
            state=state,
            at=at,
            detail=detail,
            steps=(*steps, KillStep(state=state, at=at, detail=detail))[-MAX_STEPS:],
        )
        self.changed.set()

    def levels(self, session_ids: Iterable[str]) -> list[list[str]]:
        """The sessions by their depth in the tree, parents before children."""
        found: defaultdict[int, list[str]] = defaultdict(list)
        for session_id in session_ids:
            found[len(self.ancestors(session_id))].append(session_id)
        return [found[depth] for depth in sorted(found)]

    def ancestors(self, session_id: str) -> list[str]:
        """Ids of the known sessions above this one, nearest first."""
        above: list[str] = []
        session = self.sessions.get(session_id)
        while session is not None and session.parent_session_id is not None:
            parent = session.parent_session_id
            if parent == session_id or parent in above:
                break
            above.append(parent)
            session = self.sessions.get(parent)
        return above
