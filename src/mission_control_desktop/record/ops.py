"""What can be written to the record about a session. All are idempotent by id; session ids are control-plane ids."""

from __future__ import annotations

from datetime import datetime

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.base import Record
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.receipts import Letter, Receipt
from mission_control_desktop.domain.sessions import AgentSession


class PutSession(Record, frozen=True, kw_only=True):
    """Insert the session or replace it by its id."""

    session: AgentSession


class PutMessage(Record, frozen=True, kw_only=True):
    """Insert the message or replace it by its id; its place (`seq`) is given by the record and kept on replacement."""

    message: AgentMessage


class AppendText(Record, frozen=True, kw_only=True):
    """Append to a message's content. `offset` counts characters; one that the content already holds is dropped."""

    session_id: str
    message_id: str
    offset: int
    text: str
    at: datetime | None = None
    """When it was said; None is now. Only the session's evidence uses it."""


class PutReceipt(Record, frozen=True, kw_only=True):
    """With a `letter`, that is kept in the same transaction until `DropLetter`."""

    receipt: Receipt
    letter: Letter | None = None


class DropLetter(Record, frozen=True, kw_only=True):
    """Nothing has to be done for this message any more."""

    session_id: str
    injection_id: str


class PutApproval(Record, frozen=True, kw_only=True):
    approval: Approval


RecordOp = PutSession | PutMessage | AppendText | PutReceipt | PutApproval | DropLetter
