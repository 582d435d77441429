"""The rows of the list of approvals: open questions, and what became of earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.audit import AuditEntry, AuditOutcome
from mission_control_desktop.domain.sessions import AgentSession, Freshness
from mission_control_desktop.ui.approvals.bar import answer_text
from mission_control_desktop.ui.transcript.blocks import clean

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """One question. `approval` is None for one that is known from the audit log alone."""

    key: str
    session_id: str
    title: str
    asked: datetime | None
    approval: Approval | None = None
    by: str = ""
    answered: datetime | None = None
    answer: str = ""
    stale: str = ""
    """Why an open question may not be open any more; empty: it is."""

    @property
    def is_open(self) -> bool:
        return self.approval is not None and self.approval.state is ApprovalState.OPEN

    @property
    def state(self) -> str:
        """In a word."""
        if self.is_open:
            return "stale" if self.stale else "open"
        if self.approval is not None and self.approval.state is ApprovalState.EXPIRED:
            return "expired"
        return "answered"

    @property
    def outcome(self) -> str:
        """What became of it, or why it may not be as it is shown."""
        if self.is_open:
            return self.stale
        if self.approval is not None and not self.answer:
            return answer_text(self.approval)
        return f"{self.answer} by {self.by}" if self.by else self.answer


def why_stale(approval: Approval, session: AgentSession | None) -> str:
    """Why an open question may not be open any more."""
    if session is None:
        return ""
    if session.status.final:
        return f"its session has ended ({session.status.value})"
    if session.evidence.freshness is Freshness.UNREACHABLE:
        return "its provider cannot be reached"
    return ""


def open_row(approval: Approval, session: AgentSession | None) -> Row:
    """A question that waits."""
    return Row(
        key=approval.approval_id,
        session_id=approval.session_id,
        title=clean(approval.title),
        asked=approval.created_at,
        approval=approval,
        stale=why_stale(approval, session),
    )


def gone_row(approval: Approval) -> Row:
    """A question that is no longer open, before it is known what became of it."""
    state = ApprovalState.ANSWERED if approval.state is ApprovalState.OPEN else approval.state
    return history_rows([msgspec.structs.replace(approval, state=state)], [])[0]


def history_rows(
    approvals: Iterable[Approval], answers: Iterable[AuditEntry], ids: Mapping[str, str] | None = None
) -> list[Row]:
    """Questions that are no longer open, the newest first. The audit log says when they were answered, and knows those
    that the list of approvals is too short for; `answers` are its rows, of what was intended and of what was done.
    `ids`: approval id by that in the audit log, where it is another."""
    rows: dict[str, Row] = {}
    for approval in approvals:
        if approval.state is not ApprovalState.OPEN:
            label = next((o.label for o in approval.options if o.option_id == approval.answer), approval.answer or "")
            rows[approval.approval_id] = Row(
                key=approval.approval_id,
                session_id=approval.session_id,
                title=clean(approval.title),
                asked=approval.created_at,
                approval=approval,
                by=approval.answered_by or "",
                answer=clean(label),
            )
    entries = list(answers)
    intents = {entry.id: entry for entry in entries if entry.outcome is AuditOutcome.INTENDED}
    for entry in entries:
        # What was done names what was intended, and that names the question.
        intent = intents.get(str(entry.metadata.get("intentId")))
        if entry.outcome is not AuditOutcome.DONE or intent is None:
            continue
        named = intent.metadata.get("approvalId")
        if not isinstance(named, str):
            continue
        key = (ids or {}).get(named, named)
        if (row := rows.get(key)) is not None:
            rows[key] = replace(row, answered=entry.created_at, by=row.by or entry.user_id)
        else:
            said = str(intent.metadata.get("optionKind") or entry.action.value).replace("_", " ")
            rows[key] = Row(
                key=key,
                session_id=intent.session_id or "",
                title=clean(intent.content or "A question"),
                asked=None,
                by=entry.user_id,
                answered=entry.created_at,
                answer=said,
            )
    return sorted(rows.values(), key=lambda row: row.answered or row.asked or _LONG_AGO, reverse=True)
