"""What a gateway says of a session, as a session of ours. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from mission_control_desktop.domain.sessions import (
    AgentSession,
    Capabilities,
    Delivery,
    Evidence,
    SessionStatus,
    TaskSource,
    WaitingFor,
    global_id,
)
from mission_control_desktop.providers.openclaw.values import items, label, moment, number, text, whole

SOURCE = "openclaw gateway"
NO_PAUSE = "OpenClaw has no pause: a running turn can only be steered or aborted."
NO_QUEUE = "The gateway keeps the queue itself and offers no change in it: take the message back and send it again."
HOLD_EFFECTS = (
    "Each further command of this agent waits for your approval, 30 minutes at most, and is refused then. The command "
    "that runs now is aborted. It is no pause: the agent goes on to think and write, and sub-agents that run already "
    "are not held. Releasing aborts the command that waits."
)
GUARDED = "guarded"
_HELD_THERE = "The gateway asks before each command of this session already."
_NO_HOLD = {
    GUARDED: _HELD_THERE,
    "read-only": "The gateway refuses all commands of this session (permission mode read-only).",
    "full": "Only an admin of the gateway could give this session its permission mode full back afterwards.",
}
NO_WRITE = "The gateway did not grant this device operator.write."
_NO_APPROVALS = "The gateway did not grant this device operator.approvals."
NO_TURN = "No turn is running."
_BUSY_CHILD = "A busy sub-agent takes a message after its run, not into it."
_ENDED = "The session has ended."
_ARCHIVED = "The session is archived on the gateway."


@dataclass(slots=True)
class Held:
    """That this control plane holds the session's commands. `before`: the permission mode to give back (None: the
    agent's own). `told`: the gateway has taken it, so another mode there means that somebody else changed it."""

    before: str | None
    told: bool = False


@dataclass(slots=True)
class Known:
    """All that is known of one session. `row` is the gateway's own row, as it last told it."""

    key: str
    row: dict[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    approvals: set[str] = field(default_factory=set)
    questions: set[str] = field(default_factory=set)
    tasks: dict[str, str] = field(default_factory=dict)
    """Running background commands: task id and what is run."""
    retrying: str | None = None
    ended: SessionStatus | None = None
    """How this control plane ended it; holds until it works again."""
    deleted: bool = False
    ending: bool = False
    """Whether it was asked to finish."""
    cancelled: str | None = None
    """The run that was cancelled here last: the session did not end with it, as it would with an abort there."""
    held: Held | None = None

    @property
    def active(self) -> bool:
        """Whether a turn runs. The gateway leaves `activeRunIds` out when it does not know them."""
        return not self.deleted and (self.row.get("hasActiveRun") is True or bool(items(self.row.get("activeRunIds"))))

    @property
    def sub_agent(self) -> bool:
        return text(self.row, "spawnedBy") is not None

    @property
    def parent(self) -> str | None:
        """By `spawnedBy`: `parentSessionKey` also stands on sessions that nobody spawned."""
        return text(self.row, "spawnedBy")

    @property
    def session_id(self) -> str:
        """The transcript's id on the gateway: a reset session has another one."""
        return text(self.row, "sessionId") or ""

    def take(self, row: dict[str, Any]) -> bool:
        """Merge what was told; an older picture than the one we have is left out. Whether it was taken."""
        mine, theirs = number(self.row, "snapshotAt"), number(row, "snapshotAt")
        if mine is not None and theirs is not None and theirs < mine:
            return False
        was_active = self.active
        self.row |= row
        if self.held is not None and self.held.told and "snapshotAt" in row and mode_of(self) != GUARDED:
            self.held = None
        self.deleted = False
        if self.active:
            ids = [one for one in items(self.row.get("activeRunIds")) if isinstance(one, str) and one]
            if ids:
                self.run_id = ids[0]
            elif not was_active:
                self.run_id = None  # It is told when the turn starts.
            self.ended = None
        else:
            self.run_id = text(self.row, "lastRunId") or self.run_id
            self.retrying = None
        return True

    def began(self, run_id: str) -> None:
        """A turn is told to run; late words of one that is over do not count."""
        if self.active and run_id not in (self.cancelled, text(self.row, "lastRunId")):
            self.run_id = run_id


def newest_of(known: Known) -> int:
    """When something happened in the session last, as far as its row tells: milliseconds, 0 if it does not."""
    return max(whole(known.row, name) or 0 for name in ("updatedAt", "lastInteractionAt", "lastActivityAt", "endedAt"))


def mode_of(known: Known) -> str | None:
    """The session's own permission mode; None if it has the agent's."""
    return text(known.row, "permissionMode")


def was_cancelled(known: Known) -> bool:
    """Whether the newest run is one that was cancelled here."""
    return known.cancelled is not None and known.cancelled == known.run_id


def status_of(known: Known) -> tuple[SessionStatus, WaitingFor | None]:
    if known.deleted:
        return known.ended or SessionStatus.COMPLETED, None
    if known.active:
        if known.approvals:
            return SessionStatus.WAITING, WaitingFor.APPROVAL
        if known.questions:
            return SessionStatus.WAITING, WaitingFor.OPERATOR
        return (SessionStatus.WAITING, WaitingFor.PROVIDER) if known.retrying else (SessionStatus.RUNNING, None)
    if known.tasks:
        return SessionStatus.WAITING, WaitingFor.CHILDREN
    if known.ended is not None:
        return known.ended, None
    said = text(known.row, "status")
    if said == "killed" and not was_cancelled(known):
        return SessionStatus.KILLED, None
    if said in ("failed", "timeout"):
        return SessionStatus.FAILED, None
    if known.row.get("hasActiveSubagentRun") is True and not known.sub_agent:
        return SessionStatus.WAITING, WaitingFor.CHILDREN
    if known.row.get("archived") is True or (known.sub_agent and said == "done"):
        return SessionStatus.COMPLETED, None
    if said == "queued":
        return SessionStatus.WAITING, WaitingFor.PROVIDER
    return SessionStatus.WAITING, WaitingFor.OPERATOR


def capabilities_of(known: Known, status: SessionStatus, *, write: bool, approvals: bool) -> Capabilities:
    reasons = {"pause": NO_PAUSE, "freeze": NO_PAUSE, "editQueue": NO_QUEUE}
    inject: tuple[Delivery, ...] = (Delivery.STEER, Delivery.QUEUE, Delivery.INTERRUPT)
    if not write:
        inject = ()
        reasons |= {"inject": NO_WRITE, "terminate": NO_WRITE, "kill": NO_WRITE}
    elif known.deleted or known.ended is not None or (known.sub_agent and status.final):
        inject, reasons["inject"] = (), _ENDED
    elif known.row.get("archived") is True:
        inject, reasons["inject"] = (), _ARCHIVED
    elif known.sub_agent and known.active:
        inject, reasons["steer"] = (Delivery.QUEUE, Delivery.INTERRUPT), _BUSY_CHILD
    if not known.active:
        reasons["cancelTurn"] = NO_TURN
    elif not write:
        reasons["cancelTurn"] = NO_WRITE
    if not approvals:
        reasons["approvals"] = _NO_APPROVALS
    hold = _no_hold(known, status, write=write, approvals=approvals)
    if hold is not None:
        reasons["holdCommands"] = hold
    return Capabilities(
        inject=inject,
        pause=None,
        hold_commands=HOLD_EFFECTS if hold is None else None,
        terminate=write,
        kill=write,
        approvals=approvals,
        reasons=reasons,
    )


def _no_hold(known: Known, status: SessionStatus, *, write: bool, approvals: bool) -> str | None:
    """Why commands cannot be held; None if they can."""
    if not write:
        return NO_WRITE
    if not approvals:
        return _NO_APPROVALS
    if known.deleted or known.ended is not None or known.row.get("archived") is True or status.final:
        return _ENDED
    return None if known.held is not None else _NO_HOLD.get(mode_of(known) or "")


def session_of(
    known: Known, provider: str, now: datetime, *, write: bool = True, approvals: bool = True
) -> AgentSession:
    """`now` stands in where the gateway gives no time at all."""
    row = known.row
    status, waiting_for = status_of(known)
    failed = status is SessionStatus.FAILED
    spawned = moment(row, "createdAt", "startedAt", "updatedAt") or now
    seen = max(filter(None, (moment(row, n) for n in ("updatedAt", "lastInteractionAt", "startedAt"))), default=spawned)
    return AgentSession(
        session_id=global_id(provider, known.key),
        provider=provider,
        parent_session_id=None if known.parent is None else global_id(provider, known.parent),
        status=status,
        waiting_for=waiting_for,
        title=label(row, "label", "displayName", "derivedTitle"),
        agent_type=label(row, "agentId"),
        task_source=TaskSource.EXTERNAL,
        spawned_at=spawned,
        started_at=moment(row, "startedAt"),
        completed_at=(moment(row, "endedAt", "updatedAt") or now) if status.final else None,
        error=(label(row, "lastRunError") or "The last run failed.") if failed else None,
        run_id=known.run_id,
        usage=_usage(row),
        metadata=_metadata(known),
        capabilities=capabilities_of(known, status, write=write, approvals=approvals),
        evidence=Evidence(last_event_at=min(seen, now), source=SOURCE),
    )


def _usage(row: dict[str, Any]) -> dict[str, Any] | None:
    names = ("inputTokens", "outputTokens", "totalTokens", "contextTokens", "estimatedCostUsd")
    found = {name: value for name in names if (value := number(row, name)) is not None}
    return found or None


def _metadata(known: Known) -> dict[str, Any]:
    row = known.row
    found: dict[str, Any] = {}
    for theirs, ours in (
        ("model", "model"),
        ("modelProvider", "modelProvider"),
        ("permissionMode", "permissionMode"),
        ("effectiveQueueMode", "queueMode"),
        ("classification", "classification"),
    ):
        if (value := label(row, theirs)) is not None:
            found[ours] = value
    if (depth := whole(row, "spawnDepth")) is not None:
        found["spawnDepth"] = depth
    if row.get("archived") is True:
        found["archived"] = True
    if known.deleted:
        found["deleted"] = True
    if known.retrying is not None and known.active:
        found["retrying"] = known.retrying
    if known.ending and not known.deleted:
        found["ending"] = True
    if was_cancelled(known) and not known.deleted:
        found["cancelledRun"] = known.cancelled
    if known.held is not None and not known.deleted:
        found["commandsHeld"] = {"before": known.held.before}
    if waiting := known.approvals | known.questions:
        found["open"] = sorted(waiting)
    if known.tasks:
        found["backgroundCommands"] = [title[:200] for title in list(known.tasks.values())[:20]]
    return found


def same_but_age(one: AgentSession, other: AgentSession) -> bool:
    """Whether two pictures of a session differ in nothing but the newest sign of life."""
    return msgspec.structs.replace(one, evidence=other.evidence) == other
