"""How long a workspace keeps its messages, and what was removed."""

from __future__ import annotations

from datetime import datetime

from mission_control_desktop.domain.base import Record
from mission_control_desktop.domain.limits import RETENTION_DAYS


class RetentionRun(Record, frozen=True, kw_only=True):
    """What one run removed from one workspace: what was older than `cutoff`. `journals` counts sessions whose files
    went."""

    at: datetime
    cutoff: datetime
    days: int
    messages: int = 0
    receipts: int = 0
    approvals: int = 0
    journals: int = 0

    @property
    def nothing(self) -> bool:
        return not (self.messages or self.receipts or self.approvals or self.journals)


class Workspace(Record, frozen=True, kw_only=True):
    """`message_retention_days` None: the default period. `last_retention` is the last run that removed something."""

    workspace_id: str
    message_retention_days: int | None = None
    default_retention_days: int = RETENTION_DAYS
    last_retention: RetentionRun | None = None
