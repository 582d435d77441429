"""What agents behind the gateway ask: approvals of commands, and questions. Each is answered exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from mission_control_desktop.domain.approvals import Approval, ApprovalOption, ApprovalState
from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import BadInput, Conflict, NotFound, Unsupported
from mission_control_desktop.domain.sessions import global_id
from mission_control_desktop.providers.openclaw.board import Board
from mission_control_desktop.providers.openclaw.connection import Connection
from mission_control_desktop.providers.openclaw.identity import APPROVALS, QUESTIONS
from mission_control_desktop.providers.openclaw.rows import Known
from mission_control_desktop.providers.openclaw.trouble import GatewayError
from mission_control_desktop.providers.openclaw.values import items, label, mapping, mappings, moment, text
from mission_control_desktop.record.ops import PutApproval

MAX_TEXT_CHARS = 20_000
CANCEL = "cancel"
_DECISIONS = {
    "allow-once": ("allow_once", "Allow once"),
    "allow-always": ("allow_always", "Allow always"),
    "deny": ("reject_once", "Deny"),
}
_GONE = ("APPROVAL_NOT_FOUND", "QUESTION_NOT_FOUND", "NOT_FOUND")

Calling = Callable[[], Connection]


class Asking:
    """`connection` raises Unreachable while there is none."""

    def __init__(self, provider: str, board: Board, connection: Calling, clock: Clock) -> None:
        self._provider = provider
        self._board = board
        self._connection = connection
        self._clock = clock
        self._open: dict[str, Approval] = {}
        self._answering: dict[str, str] = {}
        """Who answers which question just now."""
        """Open ones by the id on record."""

    async def connected(self, connection: Connection) -> None:
        """Learn what is open; what is not any more was answered elsewhere or has expired."""
        found: set[str] = set()
        if connection.can(APPROVALS):
            listed = await connection.call("exec.approval.list")
            for one in mappings(listed if isinstance(listed, list) else mapping(listed).get("approvals")):
                found.add(await self.approval_requested(one))
        if connection.can(QUESTIONS):
            for one in mappings(mapping(await connection.call("question.list")).get("questions")):
                found.add(await self.question_requested(one))
        left, self._board.left_open = self._board.left_open, set()
        for approval_id in (left | set(self._open)) - found:
            await self._gone(approval_id)

    async def approval_requested(self, payload: dict[str, Any]) -> str:
        """Returns the id on record."""
        request = mapping(payload.get("request"))
        key, native = text(request, "sessionKey"), text(payload, "id")
        known = None if key is None else self._board.get(key)
        if native is None or known is None:
            return ""
        approval_id = self._id("exec", native)
        if approval_id not in self._open:
            offered = [one for one in items(request.get("allowedDecisions")) if one in _DECISIONS]
            command = (text(request, "command") or "")[:MAX_TEXT_CHARS]
            detail: dict[str, Any] = {"toolKind": "execute", "command": command}
            if (cwd := text(request, "cwd")) is not None:
                detail["cwd"] = cwd
            if (warning := text(request, "warningText")) is not None:
                detail["text"] = warning[:MAX_TEXT_CHARS]
            await self._ask(
                Approval(
                    approval_id=approval_id,
                    session_id=global_id(self._provider, known.key),
                    provider=self._provider,
                    title=label({"command": f"Run: {command}"}, "command") or "Run a command",
                    detail=detail,
                    options=tuple(
                        ApprovalOption(option_id=one, kind=_DECISIONS[one][0], label=_DECISIONS[one][1])
                        for one in (offered or ["allow-once", "deny"])
                    ),
                    created_at=moment(payload, "createdAtMs") or self._clock.now(),
                ),
                known.approvals,
                known,
            )
        return approval_id

    async def question_requested(self, payload: dict[str, Any]) -> str:
        """Returns the id on record."""
        key, native = text(payload, "sessionKey"), text(payload, "id")
        known = None if key is None else self._board.get(key)
        questions = mappings(payload.get("questions"))
        if native is None or known is None or not questions:
            return ""
        approval_id = self._id("question", native)
        if approval_id not in self._open:
            single = len(questions) == 1 and questions[0].get("multiSelect") is not True
            choices = [label(mapping(one), "label") for one in items(questions[0].get("options"))] if single else []
            options = [
                ApprovalOption(option_id=f"{number}", kind="allow_once", label=choice)
                for number, choice in enumerate(choices)
                if choice is not None
            ]
            options.append(ApprovalOption(option_id=CANCEL, kind="reject_once", label="Do not answer"))
            said = "\n\n".join(filter(None, (text(one, "question") for one in questions)))[:MAX_TEXT_CHARS]
            if not single:
                said += "\n\nThis asks for more than one choice: answer it in OpenClaw, or not at all."
            await self._ask(
                Approval(
                    approval_id=approval_id,
                    session_id=global_id(self._provider, known.key),
                    provider=self._provider,
                    title=label(questions[0], "question", "header") or "The agent asks",
                    detail={"text": said, "question": text(questions[0], "id") or text(questions[0], "questionId")},
                    options=tuple(options),
                    created_at=moment(payload, "createdAtMs") or self._clock.now(),
                ),
                known.questions,
                known,
            )
        return approval_id

    async def _ask(self, approval: Approval, among: set[str], known: Known) -> None:
        before = await self._board.record.approval(approval.approval_id)
        if before is not None and before.state is not ApprovalState.OPEN:
            return  # Answered here a moment ago; the gateway has not settled it yet.
        self._open[approval.approval_id] = approval
        among.add(approval.approval_id)
        await self._board.record.apply(known.key, [PutApproval(approval=approval)])
        await self._board.put(known)

    async def resolved(self, kind: str, payload: dict[str, Any]) -> None:
        """`exec.approval.resolved`, `question.resolved`, or that it has expired."""
        native = text(payload, "id")
        if native is None:
            return
        decision = text(payload, "decision") or text(payload, "status")
        if decision in ("expired", "timeout", "cancelled", None) and kind == "exec":
            await self._gone(self._id(kind, native))
        else:
            # The gateway may tell of our own answer, in this device's name, before it answers the call.
            by = self._answering.get(self._id(kind, native)) or text(payload, "resolvedBy")
            await self._settle(self._id(kind, native), by, _answer_of(payload) or decision)

    async def _gone(self, approval_id: str) -> None:
        await self._settle(approval_id, None, None)

    async def _settle(self, approval_id: str, by: str | None, answer: str | None) -> Approval | None:
        """No longer open. Without an answer it has expired."""
        approval = self._open.pop(approval_id, None) or await self._board.record.approval(approval_id)
        if approval is None:
            return None
        key = approval.session_id.removeprefix(f"{self._provider}:")
        if approval.state is ApprovalState.OPEN:
            state = ApprovalState.EXPIRED if answer is None else ApprovalState.ANSWERED
            approval = msgspec.structs.replace(approval, state=state, answered_by=by, answer=answer)
            # Committed before it is looked at again: what comes next must find it answered.
            await self._board.record.apply(key, [PutApproval(approval=approval)], durable=True)
        if (known := self._board.get(key)) is not None:
            known.approvals.discard(approval_id)
            known.questions.discard(approval_id)
            await self._board.put(known)
        return approval

    async def answer(self, approval_id: str, option_id: str, *, user_id: str) -> Approval:
        """See `AgentProvider.answer`."""
        approval = self._open.get(approval_id) or await self._board.record.approval(approval_id)
        if approval is None:
            raise NotFound("There is no such question.")
        if approval.state is not ApprovalState.OPEN:
            raise Conflict("This question is no longer open.", state=approval.state.value)
        if option_id not in {one.option_id for one in approval.options}:
            raise BadInput("optionId", "This is none of the question's options.")
        connection = self._connection()
        kind, native = self._parts(approval_id)
        if not connection.can(APPROVALS if kind == "exec" else QUESTIONS):
            raise Unsupported("The gateway did not let this device answer.")
        self._answering[approval_id] = user_id
        try:
            if kind == "exec":
                await connection.call("exec.approval.resolve", {"id": native, "decision": option_id})
            elif option_id == CANCEL:
                await connection.call("question.resolve", {"id": native, "cancel": True})
            else:
                chosen = next(one.label for one in approval.options if one.option_id == option_id)
                question = str(approval.detail.get("question"))
                answers = {"answers": {"answers": {question: [chosen]}}}
                await connection.call("question.resolve", {"id": native, **answers})
        except GatewayError as error:
            code = error.detail_code or error.reason or error.code
            if "ALREADY" in code or "already" in error.said.lower():
                await self._settle(approval_id, "someone at the gateway", "answered elsewhere")
                raise Conflict("Someone else answered this question first.") from error
            if code in _GONE or isinstance(error.in_the_tree(), NotFound):
                await self._gone(approval_id)
                raise Conflict("This question has expired.") from error
            raise error.in_the_tree() from error
        finally:
            self._answering.pop(approval_id, None)
        answered = await self._settle(approval_id, user_id, option_id)
        return answered or approval

    def _id(self, kind: str, native: str) -> str:
        return f"{self._provider}:{kind}:{native}"

    def _parts(self, approval_id: str) -> tuple[str, str]:
        kind, _, native = approval_id.removeprefix(f"{self._provider}:").partition(":")
        return kind, native


def _answer_of(payload: dict[str, Any]) -> str | None:
    """The labels that somebody chose elsewhere."""
    answers = mapping(payload.get("answers"))
    answers = mapping(answers.get("answers")) or answers
    chosen = [str(one) for value in answers.values() for one in items(value)]
    return ", ".join(chosen)[:200] or None
