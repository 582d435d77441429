"""A real OpenClaw gateway, through the provider and a real record: what operators do while it works."""

from __future__ import annotations

from pathlib import Path

import pytest

from live.desks import IDLE, Desk, held_by, shell
from live.installed_agents import OPENCLAW, wants_openclaw
from live.model import play
from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.errors import Conflict, NotFound
from mission_control_desktop.domain.messages import MessageKind
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import Delivery, SessionStatus, WaitingFor

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not wants_openclaw(), reason=f"{OPENCLAW}=no"),
]


async def test_a_turn_is_listed_streamed_steered_and_answered(desk: Desk, tmp_path: Path) -> None:
    go = tmp_path / "go"
    key = await desk.new()
    first = await desk.send(key, play(held_by(go), {"say": "over"}))
    await desk.until_state(key, SessionStatus.RUNNING)
    assert f"gate:{key}" in [session.session_id for session in await desk.provider.list_sessions()]
    await desk.until_tool(key)
    second = await desk.send(key, "please hurry")
    go.touch()
    await desk.until_receipt(first, ReceiptState.ANSWERED)
    await desk.until_receipt(second, ReceiptState.ANSWERED)
    await desk.until_state(key, *IDLE)
    await desk.transcript_is_the_gateways(key)
    messages = await desk.messages(key)
    assert [m.role.value for m in messages] == ["operator", "agent", "operator", "agent"]
    assert "tool-done" in messages[1].content
    session = await desk.session(key)
    assert session.usage is not None
    assert session.usage["totalTokens"] > 0
    assert session.metadata["model"] == "scripted"


async def test_words_come_while_they_are_said_and_an_interrupt_ends_them(desk: Desk) -> None:
    key = await desk.new()
    await desk.send(key, play({"words": 200, "every": 0.1}))

    async def streams() -> bool:
        return any("w3 " in m.content and not m.complete for m in await desk.messages(key))

    await desk.until("words stream", streams)
    second = await desk.send(key, "stop and do this", Delivery.INTERRUPT)
    await desk.until_receipt(second, ReceiptState.ANSWERED)
    await desk.until_state(key, *IDLE)
    await desk.transcript_is_the_gateways(key)


async def test_a_queued_message_waits_and_a_withdrawn_one_never_arrives(desk: Desk, tmp_path: Path) -> None:
    go = tmp_path / "go"
    key = await desk.new()
    await desk.send(key, play(held_by(go), {"say": "over"}))
    await desk.until_tool(key)
    queued = await desk.send(key, "afterwards this", Delivery.QUEUE)
    taken_back = await desk.send(key, "never this", Delivery.QUEUE)
    assert (await desk.provider.withdraw(key, taken_back)).state is ReceiptState.WITHDRAWN
    go.touch()
    await desk.until_receipt(queued, ReceiptState.ANSWERED)
    await desk.until_state(key, *IDLE)
    with pytest.raises(Conflict):
        await desk.provider.withdraw(key, queued)
    said = await desk.transcript_is_the_gateways(key)
    assert all("never this" not in words for _, words in said)


async def test_an_unknown_session_is_not_made_by_a_message(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.send("agent:main:dashboard:unknown", "hello")
    listed = await desk.owner.call("sessions.list", limit=200)
    assert "agent:main:dashboard:unknown" not in [row["key"] for row in listed["sessions"]]


async def test_approvals_are_asked_answered_here_answered_elsewhere_and_void_with_their_run(desk: Desk) -> None:
    key = await desk.new("guarded")
    commands = [shell(f"echo {words} && date") for words in ("mine-42", "theirs-42", "never-42")]
    await desk.send(key, play(*commands, {"say": "over"}))
    (approval,) = await desk.until_asked(key)
    assert "mine-" in approval.detail["command"]
    await desk.until_state(key, SessionStatus.WAITING, WaitingFor.APPROVAL)
    answered = await desk.provider.answer(key, approval.approval_id, "allow-once", user_id="ann")
    assert answered.state is ApprovalState.ANSWERED
    with pytest.raises(Conflict):
        await desk.provider.answer(key, approval.approval_id, "deny", user_id="bob")

    (second,) = await desk.until_asked(key)
    native = second.approval_id.removeprefix("gate:exec:")
    await desk.owner.call("exec.approval.resolve", id=native, decision="deny")
    elsewhere = await desk.until_approval(second.approval_id, ApprovalState.ANSWERED)
    assert (elsewhere.answer, elsewhere.answered_by) != ("deny", "ann")
    assert elsewhere.answer == "deny"

    (third,) = await desk.until_asked(key)
    await desk.owner.call("sessions.abort", key=key, clearQueued=True)
    void = await desk.until_approval(third.approval_id, ApprovalState.EXPIRED)
    assert void.detail["expired"]
    with pytest.raises(Conflict):
        await desk.provider.answer(key, third.approval_id, "allow-once", user_id="ann")
    said = await desk.transcript_is_the_gateways(key)
    assert any("mine-42" in words for kind, words in said if kind == "tool")
    inline = [m.metadata["state"] for m in await desk.messages(key) if m.kind is MessageKind.PERMISSION]
    assert inline == ["answered", "answered", "expired"]


async def test_questions_of_one_and_of_several_parts_are_answered(desk: Desk) -> None:
    key = await desk.new()
    colors = {"id": "color", "header": "Color", "question": "Which color?"}
    sizes = {"id": "sizes", "header": "Sizes", "question": "Which sizes?", "multiSelect": True}
    one = {"questions": [{**colors, "options": [{"label": "Red"}, {"label": "Blue"}]}]}
    several = {"questions": [*one["questions"], {**sizes, "options": [{"label": "S"}, {"label": "L"}]}]}
    asks = [{"tool": "ask_user", "with": asked} for asked in (one, several)]
    await desk.send(key, play(*asks, {"say": "over"}))
    (question,) = await desk.until_asked(key)
    assert [option.label for option in question.options][:2] == ["Red", "Blue"]
    await desk.provider.answer(key, question.approval_id, "1", user_id="ann")

    parts = await desk.until_asked(key, 3)
    await desk.until_state(key, SessionStatus.WAITING, WaitingFor.OPERATOR)
    for part, option in zip(parts, ("0", "no", "yes"), strict=True):
        await desk.provider.answer(key, part.approval_id, option, user_id="ann")
    await desk.until_said(key, "over")
    await desk.until_state(key, *IDLE)
    said = [words for kind, words in await desk.transcript_is_the_gateways(key) if kind == "tool"]
    assert "Blue" in said[0]
    assert "Red" in said[1]
    assert '"L"' in said[1]
    assert '"S"' not in said[1]


async def test_commands_are_held_for_approval_and_released(desk: Desk, tmp_path: Path) -> None:
    go = tmp_path / "go"
    key = await desk.new()
    await desk.send(key, play(held_by(go), shell("echo second-42"), shell("echo third-42"), {"say": "over"}))
    await desk.until_tool(key)
    held = await desk.provider.hold_commands(key)
    assert held.metadata["commandsHeld"] == {"before": None}
    (approval,) = await desk.until_asked(key)  # The command that ran was aborted; the next one asks.
    assert "second-" in approval.detail["command"]
    await desk.until_state(key, SessionStatus.WAITING, WaitingFor.APPROVAL)
    await desk.provider.answer(key, approval.approval_id, "allow-once", user_id="ann")
    (third,) = await desk.until_asked(key)
    released = await desk.provider.release_commands(key)
    assert "commandsHeld" not in released.metadata
    await desk.until_approval(third.approval_id, ApprovalState.EXPIRED)
    await desk.until_said(key, "over")
    await desk.until_state(key, *IDLE)
    said = [words for kind, words in await desk.transcript_is_the_gateways(key) if kind == "tool"]
    assert "tool-done" not in said[0]
    assert "second-42" in said[1]
    mode = await desk.owner.call("chat.history", sessionKey=key, limit=1)
    assert mode["sessionInfo"].get("permissionMode") is None


async def test_kill_ends_sub_agents_and_background_commands(desk: Desk) -> None:
    key = await desk.new()
    spawn = {"tool": "sessions_spawn", "with": {"task": play(shell("sleep 300")), "label": "kid"}}
    background = {"tool": "exec", "with": {"command": "sleep 301", "background": True}}
    await desk.send(key, play(spawn, background, {"say": "over"}))

    async def all_there() -> bool:
        tree = desk.provider._board.below(key)
        return len(tree) == 2 and tree[1].active and any(known.tasks for known in tree)

    await desk.until("a sub-agent and a background command run", all_there)
    child = desk.provider._board.below(key)[1].key
    shown = await desk.session(child)
    assert shown.parent_session_id == f"gate:{key}"
    assert Delivery.STEER not in shown.capabilities.inject
    assert "after its run" in shown.capabilities.reasons["steer"]
    session = await desk.provider.kill(key)
    assert session.status is SessionStatus.KILLED
    await desk.until_state(child, SessionStatus.KILLED)
    running = await desk.owner.call("tasks.list", status="running")
    assert [task for task in running["tasks"] if task.get("sessionKey") in (key, child)] == []
    listed = await desk.owner.call("sessions.list", limit=200)
    assert not any(row.get("hasActiveRun") for row in listed["sessions"] if row["key"] in (key, child))


async def test_a_cancelled_turn_ends_alone_and_what_waits_comes_next(desk: Desk) -> None:
    key = await desk.new()
    await desk.send(key, play({"words": 300, "every": 0.1}))
    await desk.until_said(key, "w3 ")
    cancelled = await desk.provider.cancel_turn(key, expected_run_id=(await desk.session(key)).run_id)
    assert (cancelled.status, cancelled.waiting_for) == IDLE
    await desk.until_state(key, *IDLE)
    with pytest.raises(Conflict):
        await desk.provider.cancel_turn(key)

    background = {"tool": "exec", "with": {"command": "sleep 301", "background": True}}
    await desk.send(key, play(background, shell("sleep 300")))

    async def both_run() -> bool:
        calls = [m for m in await desk.messages(key) if m.kind is MessageKind.TOOL_CALL]
        return len(calls) == 2 and bool(desk.provider._board.need(key).tasks)

    await desk.until("one command runs, and one in the background", both_run)
    queued = await desk.send(key, "afterwards this", Delivery.QUEUE)
    await desk.provider.cancel_turn(key)
    await desk.until_receipt(queued, ReceiptState.ANSWERED)
    await desk.until_state(key, SessionStatus.WAITING, WaitingFor.CHILDREN)
    assert (await desk.session(key)).metadata["backgroundCommands"] == ["sleep 301"]
    await desk.transcript_is_the_gateways(key)
    assert all(message.complete for message in await desk.messages(key))
    await desk.provider.kill(key)


async def test_terminate_lets_the_agent_finish_its_step(desk: Desk, tmp_path: Path) -> None:
    go = tmp_path / "go"
    key = await desk.new()
    await desk.send(key, play(held_by(go), shell("sleep 300")))
    await desk.until_tool(key)
    ending = await desk.provider.terminate(key)
    assert ending.metadata["ending"] is True
    go.touch()
    await desk.until_state(key, SessionStatus.COMPLETED)
    said = await desk.transcript_is_the_gateways(key)
    assert "tool-done" in said[1][1]
