"""What one can jump to in a transcript."""

from __future__ import annotations

from enum import Enum

from mission_control_desktop.domain.messages import MessageKind, MessageRole
from mission_control_desktop.ui.transcript.entry import Entry


class Landmark(Enum):
    """What one can jump to."""

    OPERATOR = "operator's message"
    ERROR = "error"
    APPROVAL = "question"


def is_landmark(entry: Entry, landmark: Landmark) -> bool:
    """Whether the entry is one of these."""
    meta = entry.message.metadata
    match landmark:
        case Landmark.OPERATOR:
            return entry.message.role is MessageRole.OPERATOR
        case Landmark.ERROR:
            return (entry.kind is MessageKind.NOTICE and meta.get("level") == "error") or (
                entry.kind is MessageKind.TOOL_CALL and meta.get("status") == "failed"
            )
        case Landmark.APPROVAL:
            return entry.kind is MessageKind.PERMISSION
