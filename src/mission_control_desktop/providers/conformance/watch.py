"""A provider's record that also watches how it is written to: what no single picture of the record would show."""

from __future__ import annotations

from collections.abc import Sequence

from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE
from mission_control_desktop.domain.receipts import RECEIPT_TRANSITIONS, Receipt
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, transition_allowed
from mission_control_desktop.record.ops import AppendText, PutApproval, PutMessage, PutReceipt, PutSession, RecordOp
from mission_control_desktop.record.recorder import Recorder, StreamRecord
from mission_control_desktop.storage import Database


class WatchedRecord(StreamRecord):
    """A provider's part of a real record that keeps `faults`: rules of the record that were broken.

    One watches a record for as long as that lives, over any number of providers that are opened on it.
    """

    def __init__(self, recorder: Recorder, database: Database, provider: str) -> None:
        super().__init__(recorder, database, provider, DEFAULT_WORKSPACE)
        self._prefix = f"{provider}:"
        self.faults: list[str] = []
        self._cursors: dict[str, int] = {}
        self._last: dict[str, AgentSession] = {}
        self._receipts: dict[str, Receipt] = {}
        self._approvals: dict[str, Approval] = {}
        self._lengths: dict[tuple[str, str], int] = {}

    async def apply(
        self, session_id: str, ops: Sequence[RecordOp], *, cursor: int | None = None, durable: bool = False
    ) -> None:
        if session_id.startswith(self._prefix):
            self._fault(f"the stream {session_id!r} is named by a control-plane id; streams have native names")
        # As the record does: what is behind the stored position was written already.
        if cursor is None or cursor > self._cursors.get(session_id, 0):
            for op in ops:
                self._look(op)
            if cursor is not None:
                self._cursors[session_id] = cursor
        await super().apply(session_id, ops, cursor=cursor, durable=durable)

    def _fault(self, said: str) -> None:
        self.faults.append(said)

    def _look(self, op: RecordOp) -> None:
        match op:
            case PutSession(session=session):
                self._own(session.session_id)
                self._session(session)
            case PutMessage(message=message):
                self._own(message.session_id)
                self._message(message)
            case AppendText():
                self._own(op.session_id)
                self._append(op)
            case PutReceipt(receipt=receipt):
                self._own(receipt.session_id)
                self._receipt(receipt)
            case PutApproval(approval=approval):
                self._own(approval.session_id)
                self._approval(approval)

    def _own(self, session_id: str) -> None:
        if not session_id.startswith(self._prefix) or session_id == self._prefix:
            self._fault(f"{session_id!r} is no control-plane id of this provider: {self._prefix}NATIVE")

    def _session(self, session: AgentSession) -> None:
        if session.provider != self._provider:
            self._fault(f"{session.session_id} names the provider {session.provider!r}, not {self._provider!r}")
        if session.parent_session_id is not None:
            self._own(session.parent_session_id)
        before = self._last.get(session.session_id)
        self._last[session.session_id] = session
        if before is None or before.status is session.status or before.run_id != session.run_id:
            return
        starts_again = before.status.final and session.status is SessionStatus.SPAWNING
        if not starts_again and not transition_allowed(before.status, session.status):
            self._fault(
                f"{session.session_id} went from {before.status.value} to {session.status.value} within the run "
                f"{session.run_id!r}"
            )

    def _message(self, message: AgentMessage) -> None:
        if not message.message_id:
            self._fault(f"a message of {message.session_id} has no id")
        if "kind" not in message.metadata or "complete" not in message.metadata:
            self._fault(f"the message {message.message_id} has no `kind` or no `complete` in its metadata")
        self._lengths[message.session_id, message.message_id] = len(message.content)

    def _append(self, op: AppendText) -> None:
        place = (op.session_id, op.message_id)
        length = self._lengths.get(place)
        if length is None:
            self._fault(f"text was appended to {op.message_id}, which is not on record")
        elif op.offset > length:
            self._fault(f"text was appended to {op.message_id} at {op.offset}; it has {length} characters")
        else:
            self._lengths[place] = max(length, op.offset + len(op.text))

    def _receipt(self, receipt: Receipt) -> None:
        before = self._receipts.get(receipt.injection_id)
        self._receipts[receipt.injection_id] = receipt
        if before is None or before.state is receipt.state:
            return
        if receipt.state not in RECEIPT_TRANSITIONS[before.state]:
            self._fault(
                f"the receipt {receipt.injection_id} went from {before.state.value} to {receipt.state.value}; "
                "the ladder is climbed in one direction"
            )

    def _approval(self, approval: Approval) -> None:
        if approval.provider != self._provider:
            self._fault(f"{approval.approval_id} names the provider {approval.provider!r}")
        before = self._approvals.get(approval.approval_id)
        self._approvals[approval.approval_id] = approval
        was = ApprovalState.OPEN if before is None else before.state
        if was is not ApprovalState.OPEN and (approval.state, approval.answer) != (
            was,
            None if before is None else before.answer,
        ):
            self._fault(f"the question {approval.approval_id} was {was.value} and is {approval.state.value} now")
