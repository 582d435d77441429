"""Approvals and questions of agents behind an OpenClaw gateway, and commands that are held."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.errors import BadInput, Conflict, Unsupported
from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from support.gates import KEY, T0, Desk, Gate, fresh_database_again, opened, refuses
from support.gateway_double import Refuse, gateway_double
from support.records import fresh_database


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    async with gateway_double() as double:
        yield Gate(double)


# Approvals and questions

ASKED = {
    "id": "a1",
    "request": {"command": "rm x", "cwd": "/w", "sessionKey": KEY, "allowedDecisions": ["allow-once", "deny"]},
    "createdAtMs": T0,
}
QUESTION = {
    "id": "q1",
    "sessionKey": KEY,
    "questions": [{"id": "color", "question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}],
    "createdAtMs": T0,
}


async def test_an_approval_is_answered_exactly_once(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.double.answers["exec.approval.resolve"] = {"ok": True}
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await gate.double.tell("exec.approval.requested", ASKED)
        approval = await desk.approval("gate:exec:a1", ApprovalState.OPEN)
        assert [option.option_id for option in approval.options] == ["allow-once", "deny"]
        assert approval.detail == {"toolKind": "execute", "command": "rm x", "cwd": "/w"}
        await desk.until_status(SessionStatus.WAITING, WaitingFor.APPROVAL)
        answered = await desk.provider.answer(KEY, "gate:exec:a1", "deny", user_id="ann")
        assert (answered.state, answered.answered_by, answered.answer) == (ApprovalState.ANSWERED, "ann", "deny")
        await gate.double.tell("exec.approval.resolved", {"id": "a1", "decision": "deny", "resolvedBy": "Mission"})
        await desk.until_status(SessionStatus.RUNNING)
        with pytest.raises(Conflict):
            await desk.provider.answer(KEY, "gate:exec:a1", "allow-once", user_id="bob")
        assert [params for method, params in gate.double.calls if method == "exec.approval.resolve"] == [
            {"id": "a1", "decision": "deny"}
        ]
        assert (await desk.approval("gate:exec:a1", ApprovalState.ANSWERED)).answered_by == "ann"


async def test_a_question_is_answered_by_its_label(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.double.answers |= {"question.resolve": {"ok": True}, "question.list": {"questions": [QUESTION]}}
    async with opened(gate, fresh_database(tmp_path)) as desk:
        approval = await desk.approval("gate:question:q1", ApprovalState.OPEN)
        assert [option.label for option in approval.options] == ["Red", "Blue", "Do not answer"]
        await desk.until_status(SessionStatus.WAITING, WaitingFor.OPERATOR)
        await desk.provider.answer(KEY, approval.approval_id, "1", user_id="ann")
        assert gate.double.calls[-1] == (
            "question.resolve",
            {"id": "q1", "answers": {"answers": {"color": ["Blue"]}}},
        )
        await desk.until_status(SessionStatus.RUNNING)


async def test_what_was_answered_elsewhere_or_expired_is_shown_so(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.double.answers["exec.approval.list"] = [
        ASKED,
        {**ASKED, "id": "a2"},
        {**ASKED, "id": "a3"},
        {**ASKED, "id": "a4"},
    ]
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await desk.approval("gate:exec:a3", ApprovalState.OPEN)
        await gate.double.tell("exec.approval.resolved", {"id": "a1", "decision": "allow-once", "resolvedBy": "Web"})
        assert (await desk.approval("gate:exec:a1", ApprovalState.ANSWERED)).answered_by == "Web"
        fallen = {"id": "a4", "decision": "deny", "resolvedBy": "approval-scope-closed"}
        await gate.double.tell("exec.approval.resolved", fallen)
        assert "run ended" in (await desk.approval("gate:exec:a4", ApprovalState.EXPIRED)).detail["expired"]
        gate.double.answers["exec.approval.resolve"] = refuses(
            Refuse("INVALID_REQUEST", "unknown or expired approval id", details={"reason": "APPROVAL_NOT_FOUND"})
        )
        with pytest.raises(Conflict, match="expired"):
            await desk.provider.answer(KEY, "gate:exec:a2", "deny", user_id="ann")
        await desk.approval("gate:exec:a2", ApprovalState.EXPIRED)
    gate.double.answers["exec.approval.list"] = []
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        await desk.approval("gate:exec:a3", ApprovalState.EXPIRED)


def several(*questions: dict[str, Any]) -> dict[str, Any]:
    return {**QUESTION, "questions": list(questions)}


COLOR = {"questionId": "color", "question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}
SIZES = {
    "questionId": "sizes",
    "question": "Sizes?",
    "multiSelect": True,
    "options": [{"label": "S", "description": "small"}, {"label": "L"}],
}


async def test_a_question_of_several_parts_is_answered_part_by_part_and_sent_once(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.double.answers |= {"question.resolve": {"ok": True}, "question.list": {"questions": [several(COLOR, SIZES)]}}

    async def answer(desk: Desk, part: int, option: str) -> Approval:
        return await desk.provider.answer(KEY, f"gate:question:q1~{part}", option, user_id="ann")

    async with opened(gate, fresh_database(tmp_path)) as desk:
        small = await desk.approval("gate:question:q1~2", ApprovalState.OPEN)
        assert small.title == "2 of 3: Sizes? S?"
        assert "S: small" in small.detail["text"]
        assert [option.label for option in small.options] == ["Yes", "No", "Do not answer"]
        assert (await answer(desk, 2, "no")).state is ApprovalState.ANSWERED
        with pytest.raises(BadInput, match="at least"):
            await answer(desk, 3, "no")
        assert (await answer(desk, 1, "1")).state is ApprovalState.ANSWERED
        assert await desk.status() == (SessionStatus.WAITING, WaitingFor.OPERATOR)
        assert "question.resolve" not in [method for method, _ in gate.double.calls]
    async with opened(gate, fresh_database_again(tmp_path)) as desk:  # What was given survives.
        await desk.approval("gate:question:q1~3", ApprovalState.OPEN)
        with pytest.raises(Conflict):
            await answer(desk, 1, "0")
        await answer(desk, 3, "yes")
        sent = [params for method, params in gate.double.calls if method == "question.resolve"]
        assert sent == [{"id": "q1", "answers": {"answers": {"color": ["Blue"], "sizes": ["L"]}}}]
        await desk.until_status(SessionStatus.RUNNING)
        shown = {one.metadata["title"]: one.metadata["answer"] for one in await desk.messages()}
        assert shown == {"1 of 3: Which?": "1", "2 of 3: Sizes? S?": "no", "3 of 3: Sizes? L?": "yes"}


async def test_a_question_that_ends_elsewhere_is_shown_as_it_ended(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.double.answers["question.resolve"] = refuses(
        Refuse("QUESTION_ALREADY_TERMINAL", "question 'q4' is already expired")
    )
    asked = [{**several(COLOR, SIZES), "id": "q1"}, *({**several(COLOR), "id": f"q{number}"} for number in (2, 3, 4))]
    gate.double.answers["question.list"] = {"questions": [*asked, {**several(), "id": "q5"}]}
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await desk.approval("gate:question:q4", ApprovalState.OPEN)
        answers = {"answers": {"color": ["Red"], "sizes": ["S", "L"]}}
        await gate.double.tell("question.resolved", {"id": "q1", "status": "answered", "answers": answers})
        for part, said in ((1, "0"), (2, "yes"), (3, "yes")):
            approval = await desk.approval(f"gate:question:q1~{part}", ApprovalState.ANSWERED)
            assert (approval.answered_by, approval.answer) == ("someone at the gateway", said)
        await gate.double.tell("question.resolved", {"id": "q2", "status": "cancelled"})
        assert "run ended" in (await desk.approval("gate:question:q2", ApprovalState.EXPIRED)).detail["expired"]
        await gate.double.tell("question.resolved", {"id": "q3", "status": "expired"})
        assert "in time" in (await desk.approval("gate:question:q3", ApprovalState.EXPIRED)).detail["expired"]
        with pytest.raises(Conflict, match="expired"):
            await desk.provider.answer(KEY, "gate:question:q4", "0", user_id="ann")
        await desk.approval("gate:question:q4", ApprovalState.EXPIRED)
        await desk.until_status(SessionStatus.RUNNING)


async def test_a_secret_is_not_asked_for_here_and_no_answer_ends_all_parts(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    secret = {"questionId": "key", "question": "The key?", "options": [], "isSecret": True}
    gate.double.answers |= {"question.resolve": {"ok": True}, "question.list": {"questions": [several(COLOR, secret)]}}
    async with opened(gate, fresh_database(tmp_path)) as desk:
        approval = await desk.approval("gate:question:q1~2", ApprovalState.OPEN)
        assert [option.option_id for option in approval.options] == ["cancel"]
        await desk.provider.answer(KEY, approval.approval_id, "cancel", user_id="ann")
        resolved = [asked for verb, asked in gate.double.calls if verb == "question.resolve"]
        assert resolved == [{"id": "q1", "cancel": True}]
        other = await desk.approval("gate:question:q1~1", ApprovalState.ANSWERED)
        assert (other.answered_by, other.answer) == ("ann", "cancel")


async def test_a_question_that_falls_with_its_run_is_void_though_nobody_says_so(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.double.answers["exec.approval.list"] = [ASKED]
    async with opened(gate, fresh_database(tmp_path)) as desk:
        await desk.approval("gate:exec:a1", ApprovalState.OPEN)
        gate.double.answers["exec.approval.list"] = []
        await gate.changed(hasActiveRun=False, activeRunIds=[], status="killed", reason="abort")
        void = await desk.approval("gate:exec:a1", ApprovalState.EXPIRED)
        assert "run ended" in void.detail["expired"]


# Commands that are held


async def test_commands_are_held_and_released_as_they_were_by_any_process(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"], permissionMode="workspace")
    async with opened(gate, fresh_database(tmp_path)) as desk:
        session = await desk.provider.get_session(KEY)
        assert session is not None
        assert session.capabilities.pause is None
        assert "no pause" in session.capabilities.reasons["pause"]
        assert "aborted" in (session.capabilities.hold_commands or "")
        with pytest.raises(Conflict, match="not held"):
            await desk.provider.release_commands(KEY)
        with pytest.raises(Conflict, match="Another run"):
            await desk.provider.hold_commands(KEY, expected_run_id="other")
        held = await desk.provider.hold_commands(KEY, expected_run_id="r1")
        assert held.metadata["commandsHeld"] == {"before": "workspace"}
        assert gate.rows[KEY]["permissionMode"] == "guarded"
        with pytest.raises(Conflict, match="held already"):
            await desk.provider.hold_commands(KEY)
    async with opened(gate, fresh_database_again(tmp_path)) as desk:
        released = await desk.provider.release_commands(KEY)
        assert "commandsHeld" not in released.metadata
        assert gate.rows[KEY]["permissionMode"] == "workspace"
        await desk.provider.hold_commands(KEY)
        await gate.changed(permissionMode="full")  # Somebody else took it over.

        async def let_go() -> bool:
            session = await desk.provider.get_session(KEY)
            return session is not None and "commandsHeld" not in session.metadata

        await desk.until(let_go)
        with pytest.raises(Unsupported, match="admin"):
            await desk.provider.hold_commands(KEY)


async def test_a_hold_that_the_gateway_refuses_is_not_shown(gate: Gate, tmp_path: Path) -> None:
    gate.put(hasActiveRun=True, activeRunIds=["r1"])
    gate.double.answers["sessions.patch"] = refuses(Refuse("INVALID_REQUEST", "live changes are not supported"))
    async with opened(gate, fresh_database(tmp_path)) as desk:
        with pytest.raises(Conflict, match="not supported"):
            await desk.provider.hold_commands(KEY)
        session = await desk.provider.get_session(KEY)
        assert session is not None
        assert "commandsHeld" not in session.metadata
