"""Sub-agents that an agent reports on its own connection are sessions of their own."""

from __future__ import annotations

from typing import Any

import pytest

from support.playing import ROOT, Play


def announce(play: Play, child: str, parent: str = "S", **fields: Any) -> str:
    """The native id of the sub-agent that the update announces (or of the one it is about)."""
    before = set(play.core.sessions)
    play.update({"sessionUpdate": "subagent_update", "sessionId": child, **fields}, session=parent)
    new = set(play.core.sessions) - before
    return new.pop() if new else ""


RUNNING: dict[str, Any] = {"state": {"state": "running"}}
IDLE: dict[str, Any] = {"state": {"state": "idle", "stopReason": "end_turn"}}
CANCEL: dict[str, Any] = {"capabilities": {"cancel": {}}}


def view(play: Play, native: str) -> str:
    session = play.core.sessions[native]
    return session.status.value + (f"/{session.waiting_for.value}" if session.waiting_for else "")


def test_a_sub_agent_from_beginning_to_end() -> None:
    play = Play().open()
    native = announce(play, "C", title="Read the docs", description="all of them", **RUNNING)
    assert native == f"{ROOT}.{play.n}"
    session = play.core.sessions[native]
    assert session.parent_session_id == f"internal:{ROOT}"
    assert session.session_id == f"internal:{native}"
    assert (session.title, session.agent_type, session.status.value) == ("Read the docs", "test-agent", "running")
    assert session.started_at is not None
    play.text("I read", session="C")
    play.text("I wait")
    play.text(" on", session="C")
    assert play.transcript(session.session_id) == [("agent", "text", "I read on")]
    assert play.transcript()[-1] == ("agent", "text", "I wait")
    announce(play, "C", **IDLE)
    announce(play, "C", capabilities={"cancel": None})
    assert view(play, native) == "completed"
    assert play.core.sessions[native].completed_at is not None
    assert play.core.sessions[native].capabilities.reasons["kill"] == "The session has ended."
    play.text(" late", session="C")
    assert [text for _, _, text in play.transcript(session.session_id)] == ["I read on", " late"]
    assert view(play, native) == "completed"
    play.end_turn()
    assert play.status == "waiting/operator"


def test_more_work_for_an_ended_sub_agent_is_a_new_run() -> None:
    play = Play().open()
    native = announce(play, "C", **RUNNING)
    first = play.core.sessions[native].run_id
    announce(play, "C", **IDLE)
    announce(play, "C", **RUNNING)
    session = play.core.sessions[native]
    assert session.run_id != first
    assert (session.status.value, session.completed_at) == ("running", None)
    assert [status.value for _, status in play.record.history[session.session_id]] == [
        "running",
        "completed",
        "spawning",
        "running",
    ]


def test_sub_agents_of_sub_agents() -> None:
    play = Play().open()
    first = announce(play, "C", **RUNNING)
    second = announce(play, "D", parent="C", **RUNNING)
    third = announce(play, "E", parent="D", **RUNNING)
    parents = [play.core.sessions[native].parent_session_id for native in (first, second, third)]
    assert parents == [f"internal:{ROOT}", f"internal:{first}", f"internal:{second}"]
    play.end_turn()
    assert play.status == "waiting/children"
    for child in "EDC":
        announce(play, child, **IDLE)
    assert play.status == "waiting/operator"


def test_permissions_of_a_sub_agent_are_its_own() -> None:
    play = Play().open()
    native = announce(play, "C", **RUNNING)
    approval = play.ask(5, session="C", title="rm -rf")
    assert view(play, native) == "waiting/approval"
    assert play.status == "running"
    assert play.record.approvals[approval][-1].session_id == f"internal:{native}"
    play.command("answer", sessionId=native, approvalId=approval, optionId="no", userId="ann")
    assert play.sent[-1]["result"] == {"outcome": {"outcome": "selected", "optionId": "no"}}
    assert view(play, native) == "running"


def test_a_sub_agent_that_says_that_it_waits() -> None:
    play = Play().open()
    native = announce(play, "C", **RUNNING)
    announce(play, "C", state={"state": "requires_action"})
    approval = play.ask(5, session="C")
    assert view(play, native) == "waiting/approval"
    play.command("answer", approvalId=approval, optionId="yes", userId="ann")
    assert view(play, native) == "running"


@pytest.mark.parametrize("command", ["inject", "pause", "resume", "terminate", "kill"])
def test_what_a_sub_agent_cannot_be_told(command: str) -> None:
    play = Play().open()
    native = announce(play, "C", **RUNNING)
    fields = {"content": "hi", "operatorId": "ann"} if command == "inject" else {}
    answer = play.command(command, sessionId=native, **fields)
    assert answer is not None
    assert answer.error_code == "unsupported"
    assert "parent" in (answer.error_message or "")
    assert play.core.sessions[native].capabilities.reasons["kill"]


def test_stopping_a_sub_agent_that_allows_it() -> None:
    for command, status in (("terminate", "completed"), ("kill", "killed")):
        play = Play().open()
        native = announce(play, "C", **RUNNING, **CANCEL)
        assert play.core.sessions[native].capabilities.kill
        approval = play.ask(5, session="C")
        answer = play.command(command, "k", sessionId=native)
        assert play.requests("session/cancel")[-1]["params"] == {"sessionId": "C"}
        assert play.record.approvals[approval][-1].state.value == "expired"
        assert (answer is None) == (command == "kill")
        announce(play, "C", state={"state": "idle", "stopReason": "cancelled"})
        assert view(play, native) == status
        assert play.answers["k"].error_code is None
        assert play.core.sessions[native].metadata["endedBy"] == command
        assert play.status == "running"


def test_a_sub_agent_that_does_not_stop() -> None:
    play = Play().open()
    native = announce(play, "C", **RUNNING, **CANCEL)
    play.command("kill", "k", sessionId=native)
    play.fire("sub-agent")
    assert play.answers["k"].error_code == "unreachable"
    assert view(play, native) == "running"


@pytest.mark.parametrize(
    ("end", "expected"), [("exit0", "failed"), ("terminate", "completed"), ("kill", "killed"), ("exit1", "failed")]
)
def test_sub_agents_end_with_their_parent(end: str, expected: str) -> None:
    play = Play().open()
    native = announce(play, "C", **RUNNING)
    done = announce(play, "D", **RUNNING)
    announce(play, "D", **IDLE)
    approval = play.ask(2, session="C")
    if end == "terminate":
        play.command("terminate")
        play.end_turn("cancelled")
        play.exit(0)
    elif end == "kill":
        play.command("kill")
        play.exit(None, 9)
    else:
        play.exit(int(end[-1]))
    assert play.status == expected
    assert view(play, native) == expected
    assert view(play, done) == "completed"
    assert play.record.approvals[approval][-1].state.value == "expired"
    assert play.core.finished


def test_sub_agents_are_frozen_with_their_parent() -> None:
    play = Play().open()
    native = announce(play, "C", **RUNNING)
    play.command("pause")
    assert view(play, native) == "paused"
    play.command("resume")
    assert view(play, native) == "running"


def test_a_session_that_was_never_announced_is_not_lost() -> None:
    play = Play().open()
    play.text("who am I", session="X")
    native = next(key for key in play.core.sessions if key != ROOT)
    session = play.core.sessions[native]
    assert (session.agent_type, session.status.value) == ("unknown", "running")
    assert play.transcript(session.session_id) == [("agent", "text", "who am I")]
    announce(play, "X", title="Known now", **RUNNING)
    assert len(play.core.sessions) == 2
    assert play.core.sessions[native].title == "Known now"
    play.text("and I", session="Y")
    play.end_turn()
    other = next(key for key in play.core.sessions if key not in (ROOT, native))
    assert view(play, other) == "completed"
    assert view(play, native) == "running"


def test_the_older_dialect() -> None:
    play = Play().open()
    spawned = {
        "sessionUpdate": "subagent_spawned",
        "child_session_id": "C",
        "parent_session_id": "S",
        "description": "Look",
    }
    play.line({"method": "_vendor/session_notification", "params": {"sessionId": "S", "update": spawned}})
    native = next(key for key in play.core.sessions if key != ROOT)
    assert view(play, native) == "running"
    assert play.core.sessions[native].title == "Look"
    play.update({"sessionUpdate": "subagent_state_update", "sessionId": "C", "state": "completed"})
    assert view(play, native) == "completed"


def test_a_sub_agent_whose_work_failed() -> None:
    play = Play().open()
    native = announce(play, "C", **RUNNING)
    announce(play, "C", state={"state": "idle", "stopReason": {"type": "error", "message": "no credit"}})
    assert view(play, native) == "failed"
    assert play.core.sessions[native].error == "no credit"


def test_messages_between_sessions() -> None:
    play = Play().open()
    native = announce(play, "C", **RUNNING)
    base = {"sessionUpdate": "session_message", "senderSessionId": "S", "recipientSessionId": "C"}
    text = [{"type": "text", "text": "Find out"}]
    play.update({**base, "messageId": "m1", "content": text}, session="C")
    chunk = {**base, "sessionUpdate": "session_message_chunk", "messageId": "m1"}
    play.update({**chunk, "content": {"type": "text", "text": " why"}}, session="C")
    child = play.core.sessions[native].session_id
    assert play.transcript(child) == [("user", "text", "Find out why")]
    message = next(m for m in play.record.messages.values() if m.session_id == child)
    assert message.metadata["from"] == f"internal:{ROOT}"
    back = {"messageId": "m2", "senderSessionId": "C", "recipientSessionId": "S"}
    play.update({**base, **back, "content": [{"type": "text", "text": "Because"}]}, session="C")
    assert play.transcript(child)[-1] == ("agent", "text", "Because")


@pytest.mark.parametrize(
    "update",
    [
        {"sessionId": "S"},
        {"sessionId": ""},
        {},
        {"sessionId": "C", "state": 7, "title": [], "capabilities": "all"},
        {"sessionId": "C", "state": None, "capabilities": None},
    ],
)
def test_malformed_announcements(update: dict[str, Any]) -> None:
    play = Play().open()
    play.update({"sessionUpdate": "subagent_update", **update})
    play.update({"sessionUpdate": "subagent_update", **update}, session="C")
    assert play.core.faults == 0
    assert play.status == "running"
    assert play.core.sessions[ROOT].parent_session_id is None


def test_an_announced_sub_agent_that_has_not_begun() -> None:
    play = Play().open()
    native = announce(play, "C", title="later")
    assert view(play, native) == "spawning"
    announce(play, "C", state={"state": "idle"})
    assert view(play, native) == "waiting"
    announce(play, "C", **RUNNING)
    assert view(play, native) == "running"


def test_hundreds_of_ended_sub_agents_cost_nothing() -> None:
    play = Play().open()
    for number in range(300):
        announce(play, f"C{number}", **RUNNING)
        announce(play, f"C{number}", **IDLE)
    effects = play.text("x")
    effects = play.text("y")
    assert len(effects) == 1
    assert len(play.core.sessions) == 301
