"""The other side's sessions, messages and questions under our names, and back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.events import Delta, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, global_id, split_id
from mission_control_desktop.record.ops import AppendText, PutApproval, PutMessage, PutReceipt, PutSession, RecordOp

_READ_ONLY = "the token that this provider is registered with may only watch (role observer)"

MAX_OPERATORS = 2_000


class Naming:
    """For the provider of one name."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self.role = Role.OPERATOR
        """What our token may do there."""
        self._operators: OrderedDict[str, str] = OrderedDict()
        """Who of ours wrote which message: there, all of them are the one whose token we have."""
        self._editors: OrderedDict[str, str] = OrderedDict()
        """Who of ours changed which message last."""

    def wrote(self, injection_id: str, operator_id: str) -> None:
        self._operators[injection_id] = operator_id
        if len(self._operators) > MAX_OPERATORS:
            self._operators.popitem(last=False)

    def edits(self, injection_id: str, operator_id: str) -> Callable[[], None]:
        """Who of ours is changing which message. What it returns takes that back, where it was not done."""
        before = self._editors.get(injection_id)
        self._editors[injection_id] = operator_id
        if len(self._editors) > MAX_OPERATORS:
            self._editors.popitem(last=False)

        def undo() -> None:
            if before is None:
                self._editors.pop(injection_id, None)
            else:
                self._editors[injection_id] = before

        return undo

    def session(self, theirs: AgentSession) -> AgentSession:
        parent = theirs.parent_session_id
        return msgspec.structs.replace(
            theirs,
            session_id=self._own(theirs.session_id),
            parent_session_id=None if parent is None else self._own(parent),
            provider=self._provider,
            capabilities=self._capabilities(theirs.capabilities),
        )

    def message(self, theirs: AgentMessage) -> AgentMessage:
        metadata = theirs.metadata
        question = metadata.get("approvalId")
        if isinstance(question, str):
            metadata = {**metadata, "approvalId": self.question(question)}
        injection = str(metadata.get("injectionId"))
        if (operator := self._operators.get(injection)) is not None:
            metadata = {**metadata, "operatorId": operator}
        if "editedBy" in metadata and (editor := self._editors.get(injection)) is not None:
            metadata = {**metadata, "editedBy": editor}
        return msgspec.structs.replace(theirs, session_id=self._own(theirs.session_id), metadata=metadata)

    def receipt(self, theirs: Receipt) -> Receipt:
        return msgspec.structs.replace(theirs, session_id=self._own(theirs.session_id))

    def approval(self, theirs: Approval) -> Approval:
        return msgspec.structs.replace(
            theirs,
            approval_id=self.question(theirs.approval_id),
            session_id=self._own(theirs.session_id),
            provider=self._provider,
        )

    def question(self, theirs: str) -> str:
        """Ids of questions are unique over all providers, and two of them may lead to the same place."""
        return global_id(self._provider, theirs)

    def their_question(self, ours: str) -> str:
        return ours.removeprefix(f"{self._provider}:")

    def ops(self, native: str, event: StreamEvent) -> list[RecordOp]:
        """What an event of a session's stream does to the record."""
        match event.data:
            case AgentMessage() as message:
                return [PutMessage(message=self.message(message))]
            case Delta() as delta:
                own = global_id(self._provider, native)
                return [AppendText(session_id=own, message_id=delta.message_id, offset=delta.offset, text=delta.text)]
            case AgentSession() as session:
                return [PutSession(session=self.session(session))]
            case Receipt() as receipt:
                return [PutReceipt(receipt=self.receipt(receipt))]
            case Approval() as approval:
                return [PutApproval(approval=self.approval(approval))]
            case _:
                return []

    def _own(self, session_id: str) -> str:
        return global_id(self._provider, split_id(session_id)[1])

    def _capabilities(self, theirs: Capabilities) -> Capabilities:
        if self.role is not Role.OBSERVER:
            return theirs
        names = ("inject", "editQueue", "pause", "terminate", "kill", "approvals")
        return Capabilities(reasons=dict.fromkeys(names, _READ_ONLY))
