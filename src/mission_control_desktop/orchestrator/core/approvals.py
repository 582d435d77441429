"""Permission questions: each is answered exactly once, and its reply goes out exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from mission_control_desktop.domain.approvals import Approval, ApprovalOption, ApprovalState
from mission_control_desktop.domain.errors import BadInput, Conflict, NotFound
from mission_control_desktop.domain.messages import AgentMessage, MessageKind, MessageRole
from mission_control_desktop.orchestrator.core.events import PermissionAsked
from mission_control_desktop.orchestrator.core.step import Step
from mission_control_desktop.record.ops import PutApproval, PutMessage

MAX_CLOSED = 500
"""Closed questions that are remembered, to tell a second answer why it comes too late."""


@dataclass(slots=True)
class Ask:
    """One question. `owner` is the native id of the session that asks; `reply_due`: answered, but not sent yet."""

    approval: Approval
    token: str
    owner: str
    message: AgentMessage
    reply_due: bool = False

    @property
    def open(self) -> bool:
        return self.approval.state is ApprovalState.OPEN

    @property
    def pending(self) -> bool:
        """The agent still waits for a reply."""
        return self.open or self.reply_due


class Approvals:
    """All questions of one agent process, its sub-agents' included."""

    def __init__(self) -> None:
        self._by_id: dict[str, Ask] = {}
        self._by_token: dict[str, Ask] = {}
        self._closed: list[str] = []

    def pending(self, owner: str | None = None) -> list[Ask]:
        return [ask for ask in self._by_token.values() if owner is None or ask.owner == owner]

    def any_pending(self, owner: str) -> bool:
        return any(ask.owner == owner for ask in self._by_token.values())

    def any_open(self, owner: str) -> bool:
        return any(ask.owner == owner and ask.open for ask in self._by_token.values())

    def by_token(self, token: str) -> Ask | None:
        return self._by_token.get(token)

    def get(self, approval_id: str) -> Ask | None:
        return self._by_id.get(approval_id)

    # ------------------------------------------------------------------ changes

    def ask(
        self,
        step: Step,
        event: PermissionAsked,
        *,
        owner: str,
        session_id: str,
        provider: str,
        tool: dict[str, Any],
    ) -> Ask:
        """A new question; `tool` is all that is known of the tool call that it is about."""
        title = str(tool.get("title") or "Permission needed")
        detail = _detail(tool)
        options = tuple(
            ApprovalOption(option_id=option["optionId"], kind=option["kind"], label=option["name"])
            for option in event.options
        )
        approval = Approval(
            approval_id=step.new_id(f"{owner}.ask"),
            session_id=session_id,
            provider=provider,
            title=title,
            options=options,
            created_at=step.at,
            detail=detail,
        )
        message = AgentMessage(
            message_id=step.new_id(owner),
            session_id=session_id,
            role=MessageRole.AGENT,
            content=title,
            timestamp=step.at,
        )
        ask = Ask(approval=approval, token=event.token, owner=owner, message=message)
        self._by_id[approval.approval_id] = ask
        self._by_token[event.token] = ask
        self._write(step, ask)
        return ask

    def answer(self, step: Step, approval_id: str, option_id: str, user_id: str) -> Ask:
        """Record an answer; the reply is due then. Raises NotFound, Conflict (not open), BadInput (no such option)."""
        ask = self._by_id.get(approval_id)
        if ask is None:
            raise NotFound("There is no such question.")
        if not ask.open:
            if ask.approval.state is ApprovalState.ANSWERED:
                raise Conflict(f"The question was already answered by {ask.approval.answered_by}.")
            raise Conflict("The question is not open any more: the agent took it back or its turn ended.")
        if all(option.option_id != option_id for option in ask.approval.options):
            raise BadInput("optionId", "The question has no such option.")
        ask.approval = msgspec.structs.replace(
            ask.approval, state=ApprovalState.ANSWERED, answered_by=user_id, answer=option_id
        )
        ask.reply_due = True
        self._write(step, ask)
        return ask

    def replied(self, ask: Ask) -> None:
        """The reply is on its way."""
        ask.reply_due = False
        self._close(ask)

    def expire(self, step: Step, ask: Ask, why: str) -> None:
        """The question is void; a recorded answer that was still withheld never reaches the agent."""
        if not ask.pending:
            return
        ask.reply_due = False
        detail = {**ask.approval.detail, "expired": why}
        ask.approval = msgspec.structs.replace(ask.approval, state=ApprovalState.EXPIRED, detail=detail)
        self._write(step, ask)
        self._close(ask)

    def _close(self, ask: Ask) -> None:
        self._by_token.pop(ask.token, None)
        self._closed.append(ask.approval.approval_id)
        if len(self._closed) > MAX_CLOSED:
            self._by_id.pop(self._closed.pop(0), None)

    @staticmethod
    def _write(step: Step, ask: Ask) -> None:
        approval = ask.approval
        metadata: dict[str, Any] = {
            "kind": MessageKind.PERMISSION.value,
            "complete": approval.state is not ApprovalState.OPEN,
            "approvalId": approval.approval_id,
            "title": approval.title,
            "detail": approval.detail,
            "options": [
                {"optionId": option.option_id, "kind": option.kind, "label": option.label}
                for option in approval.options
            ],
            "state": approval.state.value,
        }
        if approval.answer is not None:
            metadata["answer"] = approval.answer
            metadata["answeredBy"] = approval.answered_by
        ask.message = msgspec.structs.replace(ask.message, metadata=metadata)
        step.write(PutMessage(message=ask.message))
        step.write(PutApproval(approval=approval))


def _detail(tool: dict[str, Any]) -> dict[str, Any]:
    """What a person needs to decide, from what is known of the tool call."""
    detail: dict[str, Any] = {}
    if tool.get("toolCallId"):
        detail["toolCallId"] = tool["toolCallId"]
    if tool.get("toolKind"):
        detail["toolKind"] = tool["toolKind"]
    given = tool.get("input")
    if isinstance(given, dict):
        command = given.get("command", given.get("cmd"))
        if isinstance(command, list):
            command = " ".join(str(part) for part in command)
        if isinstance(command, str) and command:
            detail["command"] = command
        for name, sources in (("cwd", ("cwd", "workdir", "directory")), ("path", ("path", "file_path", "filePath"))):
            found = next((given[key] for key in sources if isinstance(given.get(key), str) and given[key]), None)
            if found is not None:
                detail[name] = found
    if given is not None:
        detail["input"] = given
    locations = tool.get("locations") or []
    if "path" not in detail and locations:
        detail["path"] = locations[0]["path"]
    if tool.get("diffs"):
        detail["diffs"] = tool["diffs"]
    if tool.get("text"):
        detail["text"] = tool["text"][:20_000]
    return detail
