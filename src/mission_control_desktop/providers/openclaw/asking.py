"""What agents behind the gateway ask: approvals of commands, and questions. Each is answered exactly once.

A question of several parts is several approvals on record (`questions`); the gateway gets the answers together, once
the last part is answered. What was given by then survives a restart on record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from mission_control_desktop.domain.approvals import Approval, ApprovalOption, ApprovalState
from mission_control_desktop.domain.base import to_builtins
from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import BadInput, Conflict, NotFound, Unsupported
from mission_control_desktop.domain.messages import AgentMessage, MessageKind, MessageRole
from mission_control_desktop.domain.sessions import global_id
from mission_control_desktop.providers.openclaw.board import Board
from mission_control_desktop.providers.openclaw.connection import Connection
from mission_control_desktop.providers.openclaw.identity import APPROVALS, QUESTIONS
from mission_control_desktop.providers.openclaw.questions import (
    CANCEL,
    MAX_TEXT_CHARS,
    Part,
    answers_of,
    parts_of,
    refuses_all,
)
from mission_control_desktop.providers.openclaw.rows import Known
from mission_control_desktop.providers.openclaw.trouble import GatewayError
from mission_control_desktop.providers.openclaw.values import items, label, mapping, mappings, moment, text
from mission_control_desktop.record.ops import PutApproval, PutMessage, RecordOp

_DECISIONS = {
    "allow-once": ("allow_once", "Allow once"),
    "allow-always": ("allow_always", "Allow always"),
    "deny": ("reject_once", "Deny"),
}
_GONE = ("APPROVAL_NOT_FOUND", "QUESTION_NOT_FOUND", "NOT_FOUND")
FELL = "approval-scope-closed"
"""Who the gateway says to have denied an approval whose run ended or whose permissions changed: nobody did."""
ELSEWHERE = "someone at the gateway"
EXPIRED = "nobody answered in time"
UNASKED = "its run ended, or it was skipped at the gateway"
MISSED = "answered at the gateway or expired while there was no connection"

Calling = Callable[[], Connection]


@dataclass(slots=True)
class _Question:
    """One question that is open at the gateway. `given`: the answers so far, by part (from 0)."""

    parts: list[Part]
    given: dict[int, str] = field(default_factory=dict)


class Asking:
    """`connection` raises Unreachable while there is none."""

    def __init__(self, provider: str, board: Board, connection: Calling, clock: Clock) -> None:
        self._provider = provider
        self._board = board
        self._connection = connection
        self._clock = clock
        self._open: dict[str, Approval] = {}
        """Open ones by the id on record."""
        self._questions: dict[str, _Question] = {}
        self._answering: dict[str, str] = {}
        """Who answers just now: by the gateway's id of what is asked."""

    async def connected(self, connection: Connection) -> None:
        """Learn what is open; what is not any more was answered elsewhere or has expired."""
        await self._level(connection, MISSED)

    async def look_again(self) -> None:
        """The gateway does not say of all questions that they fell with their run: its lists do."""
        await self._level(self._connection(), UNASKED)

    async def _level(self, connection: Connection, why: str) -> None:
        left, self._board.left_open = self._board.left_open | set(self._open), set()
        found: set[str] = set()
        if connection.can(APPROVALS):
            listed = await connection.call("exec.approval.list")
            for one in mappings(listed if isinstance(listed, list) else mapping(listed).get("approvals")):
                found.update(await self.approval_requested(one))
        if connection.can(QUESTIONS):
            for one in mappings(mapping(await connection.call("question.list")).get("questions")):
                found.update(await self.question_requested(one))
        for approval_id in left - found:
            if self._parts(approval_id)[1] not in self._answering:
                await self._close(approval_id, ApprovalState.EXPIRED, None, why)

    async def approval_requested(self, payload: dict[str, Any]) -> list[str]:
        """Returns the ids on record."""
        request = mapping(payload.get("request"))
        key, native = text(request, "sessionKey"), text(payload, "id")
        known = None if key is None else self._board.get(key)
        if native is None or known is None:
            return []
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
        return [approval_id]

    async def question_requested(self, payload: dict[str, Any]) -> list[str]:
        """Returns the ids on record, one for each part."""
        key, native = text(payload, "sessionKey"), text(payload, "id")
        known = None if key is None else self._board.get(key)
        parts = parts_of(payload)
        if native is None or known is None or not parts:
            return []
        question = self._questions.setdefault(native, _Question(parts))
        asked_at = moment(payload, "createdAtMs") or self._clock.now()
        found = [self._id("question", native, number, len(parts)) for number in range(len(parts))]
        for number, (approval_id, part) in enumerate(zip(found, parts, strict=True)):
            if approval_id in self._open or number in question.given:
                continue
            approval = Approval(
                approval_id=approval_id,
                session_id=global_id(self._provider, known.key),
                provider=self._provider,
                title=part.title,
                detail={"text": part.text},
                options=part.options,
                created_at=asked_at + timedelta(microseconds=number),
            )
            before = await self._ask(approval, known.questions, known)
            if before is not None and before.state is ApprovalState.ANSWERED and before.answer is not None:
                question.given[number] = before.answer
        return found

    async def _ask(self, approval: Approval, among: set[str], known: Known) -> Approval | None:
        """What is on record, if it was answered here and the gateway has not settled it yet."""
        before = await self._board.record.approval(approval.approval_id)
        if before is not None and before.state is not ApprovalState.OPEN:
            return before
        self._open[approval.approval_id] = approval
        among.add(approval.approval_id)
        await self._board.record.apply(known.key, [PutApproval(approval=approval), _inline(approval)])
        await self._board.put(known)
        return None

    async def approval_resolved(self, payload: dict[str, Any]) -> None:
        """It is answered, or it has expired."""
        native, decision = text(payload, "id"), text(payload, "decision")
        if native is None:
            return
        approval_id = self._id("exec", native)
        if decision in _DECISIONS and text(payload, "resolvedBy") != FELL:
            # The gateway may tell of our own answer, in this device's name, before it answers the call.
            by = self._answering.get(native) or text(payload, "resolvedBy") or ELSEWHERE
            await self._close(approval_id, ApprovalState.ANSWERED, by, decision)
        else:
            await self._close(approval_id, ApprovalState.EXPIRED, None, EXPIRED if decision is None else UNASKED)

    async def question_resolved(self, payload: dict[str, Any]) -> None:
        native = text(payload, "id")
        if native is None or native in self._answering:
            return  # Ours is settled where it was given.
        status = text(payload, "status")
        answers = mapping(payload.get("answers"))
        answers = mapping(answers.get("answers")) or answers
        question = self._questions.pop(native, None)
        parts = [] if question is None else question.parts
        for number in range(max(1, len(parts))):
            approval_id = self._id("question", native, number, len(parts))
            if status == "answered":
                labels = [str(one) for one in items(answers.get(parts[number].question))] if parts else []
                said = parts[number].answered_by(labels) if parts else "answered"
                await self._close(approval_id, ApprovalState.ANSWERED, ELSEWHERE, said)
            else:
                why = EXPIRED if status == "expired" else UNASKED
                await self._close(approval_id, ApprovalState.EXPIRED, None, why)

    async def _close(self, approval_id: str, state: ApprovalState, by: str | None, answer: str) -> Approval | None:
        """No longer open: answered, or expired and why (in place of an answer)."""
        approval = self._open.pop(approval_id, None) or await self._board.record.approval(approval_id)
        if approval is None:
            return None
        key = approval.session_id.removeprefix(f"{self._provider}:")
        if approval.state is ApprovalState.OPEN:
            if state is ApprovalState.EXPIRED:
                approval = msgspec.structs.replace(approval, state=state, detail={**approval.detail, "expired": answer})
            else:
                approval = msgspec.structs.replace(approval, state=state, answered_by=by, answer=answer)
            # Committed before it is looked at again: what comes next must find it answered.
            ops: list[RecordOp] = [PutApproval(approval=approval), _inline(approval)]
            await self._board.record.apply(key, ops, durable=True)
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
        kind, native, number = self._parts(approval_id)
        if not connection.can(APPROVALS if kind == "exec" else QUESTIONS):
            raise Unsupported("The gateway did not let this device answer.")
        if native in self._answering:
            raise Conflict("Somebody else answers this question just now.")
        self._answering[native] = user_id
        try:
            if kind == "exec":
                await connection.call("exec.approval.resolve", {"id": native, "decision": option_id})
                return await self._answered(approval, user_id, option_id)
            return await self._answer_part(connection, approval, native, number, option_id, user_id)
        except GatewayError as error:
            raise await self._not_taken(error, kind, native, number, approval_id) from error
        finally:
            self._answering.pop(native, None)

    async def _answer_part(
        self, connection: Connection, approval: Approval, native: str, number: int, option_id: str, user_id: str
    ) -> Approval:
        question = self._questions.get(native)
        if question is None:
            raise Conflict("This question is no longer open.")
        parts, given = question.parts, question.given
        if option_id == CANCEL:
            await connection.call("question.resolve", {"id": native, "cancel": True})
            del self._questions[native]
            for other in range(len(parts)):
                await self._close(
                    self._id("question", native, other, len(parts)), ApprovalState.ANSWERED, user_id, CANCEL
                )
            return await self._answered(approval, user_id, option_id)
        if refuses_all(parts, given, number, option_id):
            raise BadInput("optionId", "Say yes to one of the choices at least, or do not answer at all.")
        if len(given.keys() - {number}) == len(parts) - 1:
            answers = answers_of(parts, {**given, number: option_id})
            await connection.call("question.resolve", {"id": native, "answers": {"answers": answers}})
            del self._questions[native]
        given[number] = option_id
        return await self._answered(approval, user_id, option_id)

    async def _answered(self, approval: Approval, user_id: str, option_id: str) -> Approval:
        return await self._close(approval.approval_id, ApprovalState.ANSWERED, user_id, option_id) or approval

    async def _not_taken(self, error: GatewayError, kind: str, native: str, number: int, approval_id: str) -> Exception:
        """What to tell whoever answered; what it says about the question goes on record."""
        code = error.detail_code or error.reason or error.code
        said = error.said.lower()
        gone = code in _GONE or isinstance(error.in_the_tree(), NotFound) or "already expired" in said
        taken = not gone and ("ALREADY" in code or "already" in said)
        if not gone and not taken:
            return error.in_the_tree()
        question = self._questions.pop(native, None)
        count = 1 if question is None else len(question.parts)
        every = [self._id(kind, native, one, count) for one in range(count)] if kind == "question" else [approval_id]
        for one in every:
            if taken and "cancelled" not in said:
                await self._close(one, ApprovalState.ANSWERED, ELSEWHERE, "answered elsewhere")
            else:
                await self._close(one, ApprovalState.EXPIRED, None, UNASKED if taken else EXPIRED)
        return Conflict("Someone else answered this question first." if taken else "This question has expired.")

    def _id(self, kind: str, native: str, number: int = 0, count: int = 1) -> str:
        part = "" if count <= 1 else f"~{number + 1}"
        return f"{self._provider}:{kind}:{native}{part}"

    def _parts(self, approval_id: str) -> tuple[str, str, int]:
        """Kind, the gateway's id, and the part's number from 0."""
        kind, _, native = approval_id.removeprefix(f"{self._provider}:").partition(":")
        head, tilde, number = native.rpartition("~")
        if kind == "question" and tilde and number.isascii() and number.isdigit():
            return kind, head, int(number) - 1
        return kind, native, 0


def _inline(approval: Approval) -> PutMessage:
    """The question where it stands in the transcript."""
    metadata: dict[str, Any] = {
        "kind": MessageKind.PERMISSION.value,
        "complete": approval.state is not ApprovalState.OPEN,
        "approvalId": approval.approval_id,
        "title": approval.title,
        "detail": approval.detail,
        "options": to_builtins(approval.options),
        "state": approval.state.value,
    }
    if approval.answer is not None:
        metadata |= {"answer": approval.answer, "answeredBy": approval.answered_by}
    message = AgentMessage(
        message_id=f"asked:{approval.approval_id}",
        session_id=approval.session_id,
        role=MessageRole.AGENT,
        content=approval.title,
        timestamp=approval.created_at,
        metadata=metadata,
    )
    return PutMessage(message=message)
