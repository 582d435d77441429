"""Messages: the entries of a session's conversation."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from mission_control_desktop.domain.base import Record


class MessageRole(StrEnum):
    AGENT = "agent"
    USER = "user"
    SYSTEM = "system"
    OPERATOR = "operator"


class MessageKind(StrEnum):
    """Kind of an entry, carried in `metadata.kind`."""

    TEXT = "text"
    THOUGHT = "thought"
    TOOL_CALL = "tool_call"
    PLAN = "plan"
    PERMISSION = "permission"
    NOTICE = "notice"


class AgentMessage(Record, frozen=True, kw_only=True):
    """One entry of a transcript.

    `seq` is the entry's place: the session's sequence number at which it first appeared. It never changes when the
    entry grows or is replaced. `metadata` always has `kind` and `complete`; by kind it also has:

    - text, thought: nothing more (an operator's text: `injectionId`, `operatorId`)
    - tool_call: `toolCallId`, `title`, `toolKind` (read, edit, delete, move, search, execute, think, fetch, other),
      `status` (pending, in_progress, completed, failed), `input` (JSON), `locations` [{path, line?}],
      `diffs` [{path, oldText?, newText}]; the textual output is the `content`
    - plan: `entries` [{content, priority?, status}]
    - permission: `approvalId`, `title`, `detail`, `options`, `state`, `answer?`, `answeredBy?`
    - notice: `level` (info, warning, error)
    """

    message_id: str
    session_id: str
    role: MessageRole
    content: str
    timestamp: datetime
    seq: int = 0
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def kind(self) -> MessageKind:
        return MessageKind(self.metadata.get("kind", MessageKind.TEXT))

    @property
    def complete(self) -> bool:
        return bool(self.metadata.get("complete", True))
