"""What belongs into the journal of a session that has no keeper (any more), so that the fold can go on from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.orchestrator.core.effects import Do
from mission_control_desktop.orchestrator.core.session import SessionCore
from mission_control_desktop.orchestrator.sweep import Swept
from mission_control_desktop.record.ops import PutApproval, PutSession, RecordOp

MAX_PIDS = 1000


def last_words(
    swept: Swept, *, entries: int, over: bool, asked: Sequence[Do], unstarted: str | None, denied: str | None
) -> list[dict[str, Any]]:
    """The next entries ({kind, ...}) to add; none when nothing more can be said.

    `entries` are in the journal so far; `over`: the end of the process is among them, and the fold waits for nothing
    more (it may, for a report on what a stop file made the keeper do). `asked` are the actions that the fold wants of
    the keeper and that nobody will carry out any more, but the sweep has seen to what they were for.
    `unstarted` says why an agent without any entry was not started; None: because it was killed before. `denied` says
    why it must not be started again.
    """
    if entries == 0 and unstarted is None:
        return [{"kind": "cmd", "data": {"command": "kill", "id": "killed-before-the-start"}}]
    if entries == 0:
        return [{"kind": "start", "data": {"error": unstarted}}]
    left = [process.pid for process in swept.left]
    pids = [process.pid for process in swept.killed]
    if asked:
        return [
            {
                "kind": "did",
                "key": effect.key,
                "data": {"what": effect.what, "key": effect.key, "ok": not left, "pids": pids[:MAX_PIDS], "left": left}
                | {"by": swept.held_by},
            }
            for effect in asked
        ]
    if over:
        return []
    cause = "restart" if swept.rebooted else "killed"
    data: dict[str, Any] = {"cause": cause, "killed": len(pids), "left": left, "by": swept.held_by}
    if denied is not None:
        data["denied"] = denied
    return [{"kind": "lost", "data": data}]


def forgotten(
    approvals: Sequence[Approval], sessions: Mapping[str, AgentSession], core: SessionCore, *, now: datetime
) -> list[RecordOp]:
    """What ends the questions and sub-sessions (by native id) that are open on record, but not in the journal, whose
    end a power cut took."""
    ops: list[RecordOp] = [
        PutApproval(approval=msgspec.structs.replace(one, state=ApprovalState.EXPIRED))
        for one in approvals
        if not core.knows_approval(one.approval_id)
    ]
    error = "The session was lost: a power cut took it from the journal of the session that reported it."
    return ops + [
        PutSession(
            session=msgspec.structs.replace(
                session, status=SessionStatus.FAILED, completed_at=now, waiting_for=None, error=error
            )
        )
        for native, session in sessions.items()
        if native not in core.sessions and not session.status.final
    ]
