"""Approvals: permission questions of agents, answered exactly once."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from mission_control_desktop.domain.base import Record


class ApprovalState(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"
    EXPIRED = "expired"


class ApprovalOption(Record, frozen=True, kw_only=True):
    """One possible answer. Kinds as in ACP: allow_once, allow_always, reject_once, reject_always."""

    option_id: str
    kind: str
    label: str


class Approval(Record, frozen=True, kw_only=True):
    """`detail` is what a person needs to decide: {toolKind?, command?, cwd?, path?, diffs?, input?, text?}."""

    approval_id: str
    session_id: str
    provider: str
    title: str
    options: tuple[ApprovalOption, ...]
    created_at: datetime
    state: ApprovalState = ApprovalState.OPEN
    detail: dict[str, Any] = msgspec.field(default_factory=dict)
    answered_by: str | None = None
    answer: str | None = None
