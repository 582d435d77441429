"""What each kind of agent does, played by hand: the session on record must be right for all of them."""

from __future__ import annotations

import pytest

from support.playing import Play


def test_a_simple_turn() -> None:
    play = Play()
    assert play.status == "spawning"
    play.start()
    assert play.status == "spawning"
    assert play.record.sessions[play.root.session_id].started_at is not None
    play.reply("initialize", {"protocolVersion": 1, "agentInfo": {"name": "a", "version": "2"}})
    play.reply("session/new", {"sessionId": "S"})
    assert play.status == "running"
    assert play.root.agent_type == "a"
    assert play.root.metadata["agent"] == {"name": "a", "version": "2"}
    play.update({"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": "Hm"}})
    play.text("Hel")
    play.text("lo")
    assert not play.message("text").complete
    play.update({"sessionUpdate": "tool_call", "toolCallId": "t1", "title": "ls", "kind": "execute"})
    play.update({"sessionUpdate": "tool_call_update", "toolCallId": "t1", "status": "completed"})
    play.text("Done")
    play.end_turn(usage={"inputTokens": 5, "outputTokens": 7, "totalTokens": 12})
    assert play.status == "waiting/operator"
    assert play.transcript() == [
        ("user", "text", "Do it"),
        ("agent", "thought", "Hm"),
        ("agent", "text", "Hello"),
        ("agent", "tool_call", ""),
        ("agent", "text", "Done"),
    ]
    assert all(message.complete for message in play.record.messages.values())
    assert play.root.usage == {"source": "agent", "tokens": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12}}
    play.exit(0)
    assert play.status == "completed"
    assert play.core.finished


def test_codex_and_claude_steering() -> None:
    play = Play().open(name="codex-acp", version="2.6.0", steering=True)
    play.text("one")
    play.inject("i", "look here")
    assert play.ladder("i") == ["stored"]
    play.reply("_session/steering", {"outcome": "injected"})
    assert play.ladder("i") == ["stored", "delivered"]
    play.text("two")
    assert play.ladder("i") == ["stored", "delivered", "answered"]
    play.end_turn()
    assert play.prompts() == ["Do it"]
    assert [text for _, _, text in play.transcript()] == ["Do it", "one", "look here", "two"]


def test_steering_too_late_becomes_the_next_prompt() -> None:
    play = Play().open(steering=True)
    play.inject("i", "late")
    play.end_turn()
    assert play.prompts() == ["Do it"]
    play.reply("_session/steering", {"outcome": "promptRequired"})
    assert play.prompts() == ["Do it", "late"]
    play.text("yes")
    assert play.ladder("i") == ["stored", "queued", "delivered", "answered"]


def test_steering_that_fails_falls_back_to_the_queue() -> None:
    play = Play().open(steering=True)
    play.inject("i", "first")
    play.reply("_session/steering", error={"code": -32601, "message": "Method not found"})
    assert play.record.receipts["i"][-1].state.value == "queued"
    assert "Method not found" in (play.record.receipts["i"][-1].detail or "")
    assert play.offers == ["queue", "interrupt"]
    play.end_turn()
    assert play.prompts() == ["Do it", "first"]


def test_steering_that_is_never_answered_is_not_sent_again() -> None:
    play = Play().open(steering=True)
    play.inject("i", "hello")
    play.end_turn()
    play.fire("steer")
    assert play.state("i") == "failed"
    assert play.prompts() == ["Do it"]
    play.reply("_session/steering", {"outcome": "injected"})
    assert play.state("i") == "failed"
    play.inject("j", "next")
    assert play.prompts() == ["Do it", "next"]


def test_steering_that_starts_a_turn_of_its_own() -> None:
    play = Play().open(steering=True)
    play.inject("i", "go on")
    play.end_turn()
    play.reply("_session/steering", {"outcome": "startedNewTurn"})
    assert play.status == "running"
    play.text("working")
    assert play.state("i") == "answered"
    play.t += 5
    play.text("more")
    play.t -= 5
    play.fire("quiet")
    assert play.status == "running"
    play.t += 30
    play.fire("quiet")
    assert play.status == "waiting/operator"
    assert play.message("text").complete


@pytest.mark.parametrize("name", ["gemini-cli", "kimi-code", "mistral-vibe", "opencode", "unheard-of"])
def test_agents_without_steering_get_no_second_prompt(name: str) -> None:
    play = Play().open(name=name)
    play.inject("i", "one")
    play.inject("j", "two")
    assert [play.record.receipts[key][-1].position for key in "ij"] == [1, 2]
    assert play.prompts() == ["Do it"]
    refused = play.inject("k", "steer!", delivery="steer")
    assert refused is not None
    assert refused.error_code == "unsupported"
    play.end_turn()
    assert play.prompts() == ["Do it", "one"]
    assert play.record.receipts["j"][-1].position == 1
    play.text("a")
    play.end_turn()
    assert play.prompts() == ["Do it", "one", "two"]
    assert play.ladder("i") == ["stored", "queued", "delivered", "answered"]


def pull(play: Play, rpc_id: int) -> object:
    params = {"sessionId": "S", "todoStopGuardWatchQueuedPrompt": True}
    play.line({"id": rpc_id, "method": "craft/drainMidTurnQueue", "params": params})
    reply = next(message for message in reversed(play.sent) if message.get("id") == rpc_id)
    return reply["result"]


def test_qwen_pulls_its_messages() -> None:
    play = Play().open(name="qwen-code", version="0.24.4")
    assert pull(play, 1) == {"messages": [], "hasQueuedPrompt": False}
    play.inject("i", "BARGE")
    play.inject("j", "after", delivery="queue")
    assert play.state("i") == "queued"
    play.text("before")
    assert pull(play, 2) == {"messages": ["BARGE"], "hasQueuedPrompt": False}
    assert play.ladder("i") == ["stored", "queued", "delivered"]
    assert pull(play, 3) == {"messages": [], "hasQueuedPrompt": False}
    play.text("ok")
    assert play.state("i") == "answered"
    assert [text for _, _, text in play.transcript()][1:] == ["BARGE", "after", "before", "ok"]
    play.inject("k", "held")
    play.command("pause", level="hold")
    assert pull(play, 4) == {"messages": [], "hasQueuedPrompt": False}
    play.command("resume")
    play.end_turn()
    assert play.prompts() == ["Do it", "after"]


def test_an_agent_that_pulls_without_being_listed() -> None:
    play = Play().open(name="qwen-fork-x").feed("err", line="x")
    other = Play().open(name="new-agent")
    assert other.offers == ["queue", "interrupt"]
    pull(other, 1)
    assert other.offers == ["steer", "queue", "interrupt"]
    assert play == []


def test_kimi_refuses_a_prompt_while_busy() -> None:
    play = Play(prompt=None).open(name="kimi-code")
    play.inject("i", "hello")
    play.reply("session/prompt", error={"code": -32600, "message": "busy", "data": {"code": "turn.agent_busy"}})
    assert play.state("i") == "failed"
    assert "turn.agent_busy" in (play.record.receipts["i"][-1].detail or "")
    assert play.status == "waiting/operator"
    assert play.root.metadata["lastError"]
    play.inject("j", "again")
    assert play.prompts() == ["hello", "again"]


def test_kimi_cuts_the_command_in_its_question_and_the_operator_sees_it_all() -> None:
    play = Play().open(name="Kimi Code CLI", version="2.1.0")
    command = "make " + "x" * 100 + "; rm -rf /"
    text = {"type": "text", "text": f'{{"command": "{command}", "description": "d"}}'}
    call = {"toolCallId": "t", "title": "Bash", "kind": "execute", "status": "pending"}
    play.update({"sessionUpdate": "tool_call", **call, "content": [{"type": "content", "content": text}]})
    short = {"type": "text", "text": "Requesting approval to Running: make xxxx…"}
    approval = play.ask(7, toolCallId="t", title="Bash", content=[{"type": "content", "content": short}])
    assert play.record.approvals[approval][-1].detail["command"] == command


def test_gemini_asks_without_a_tool_call_before() -> None:
    play = Play().open(name="gemini-cli")
    approval = play.ask(7, toolCallId="w1", title="Write a.txt", kind="edit", status="pending")
    assert play.status == "waiting/approval"
    assert play.record.approvals[approval][-1].title == "Write a.txt"
    play.command("answer", approvalId=approval, optionId="yes", userId="ann")
    assert play.sent[-1] == {
        "jsonrpc": "2.0",
        "id": 7,
        "result": {"outcome": {"outcome": "selected", "optionId": "yes"}},
    }
    assert play.status == "running"
    play.update({"sessionUpdate": "tool_call_update", "toolCallId": "w1", "status": "completed"})
    tools = [kind for _, kind, _ in play.transcript() if kind == "tool_call"]
    assert tools == ["tool_call"]
    assert play.message("permission").metadata["state"] == "answered"
    assert play.message("permission").metadata["answeredBy"] == "ann"


def test_vibe_asks_with_the_id_alone() -> None:
    play = Play().open(name="mistral-vibe")
    play.update(
        {
            "sessionUpdate": "tool_call",
            "toolCallId": "b1",
            "title": "bash: make",
            "kind": "execute",
            "rawInput": {"command": ["make", "all"], "cwd": "/project"},
            "locations": [{"path": "/project/Makefile"}],
        }
    )
    approval = play.ask(3, toolCallId="b1")
    asked = play.record.approvals[approval][-1]
    assert asked.title == "bash: make"
    assert asked.detail["command"] == "make all"
    assert asked.detail["cwd"] == "/project"
    assert asked.detail["path"] == "/project/Makefile"
    assert asked.detail["toolKind"] == "execute"


def test_codex_says_what_a_cancel_may_leave() -> None:
    play = Play().open(name="codex-acp", version="2.6.0")
    play.inject("i", "stop that", delivery="interrupt")
    assert any("running command" in notice for notice in play.notices())


def test_an_interruption() -> None:
    play = Play().open()
    play.text("long ")
    approval = play.ask(9)
    play.inject("q", "later")
    play.inject("i", "now", delivery="interrupt")
    assert play.requests("session/cancel")
    assert play.sent[-1] == {"jsonrpc": "2.0", "id": 9, "result": {"outcome": {"outcome": "cancelled"}}}
    assert play.record.approvals[approval][-1].state.value == "expired"
    assert play.prompts() == ["Do it"]
    play.fire("cancel")
    assert any("10 s after the cancel" in notice for notice in play.notices())
    assert play.state("i") == "queued"
    late = play.ask(10)
    assert play.record.approvals[late][-1].state.value == "expired"
    assert play.sent[-1]["result"] == {"outcome": {"outcome": "cancelled"}}
    play.end_turn("cancelled")
    assert play.prompts() == ["Do it", "now"]
    play.text("ok")
    play.end_turn()
    assert play.prompts() == ["Do it", "now", "later"]
    assert len(play.requests("session/cancel")) == 1


def test_codex_and_opencode_end_the_turn_on_a_rejection() -> None:
    for reason in ("cancelled", "end_turn"):
        play = Play().open()
        approval = play.ask(1)
        play.command("answer", approvalId=approval, optionId="no", userId="ann")
        play.end_turn(reason)
        assert play.status == "waiting/operator"


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "max_turn_requests", "cancelled", "new_reason"])
def test_an_unusual_end_of_a_turn_is_said(reason: str) -> None:
    play = Play().open()
    before = len(play.notices())
    play.end_turn(reason)
    assert len(play.notices()) == before + 1
    assert play.status == "waiting/operator"
    assert play.root.metadata["stopReason"] == reason


def test_text_after_the_end_of_the_turn_is_kept() -> None:
    play = Play().open(name="qwen-code")
    play.end_turn()
    play.text("the background task ")
    play.text("is done")
    assert play.transcript()[-1] == ("agent", "text", "the background task is done")
    assert play.message("text").complete
    assert play.status == "waiting/operator"


def test_an_agent_that_takes_its_question_back() -> None:
    play = Play().open()
    approval = play.ask(4)
    play.line({"method": "$/cancel_request", "params": {"requestId": 4}})
    assert play.record.approvals[approval][-1].state.value == "expired"
    assert play.sent[-1]["error"]["code"] == -32800
    late = play.command("answer", approvalId=approval, optionId="yes", userId="ann")
    assert late is not None
    assert late.error_code == "conflict"
    assert play.status == "running"


def test_the_same_question_id_again() -> None:
    play = Play().open()
    first, second = play.ask(1, toolCallId="a"), play.ask(1, toolCallId="b")
    assert play.record.approvals[first][-1].state.value == "expired"
    play.command("answer", approvalId=second, optionId="yes", userId="ann")
    assert len([message for message in play.sent if message.get("id") == 1 and "result" in message]) == 1


def test_a_question_without_options_is_refused() -> None:
    play = Play().open()
    play.line({"id": 8, "method": "session/request_permission", "params": {"sessionId": "S", "options": []}})
    assert play.sent[-1]["error"]["code"] == -32602
    assert play.status == "running"


def test_two_answers() -> None:
    play = Play().open()
    approval = play.ask(1)
    wrong = play.command("answer", approvalId=approval, optionId="maybe", userId="ann")
    first = play.command("answer", "a1", approvalId=approval, optionId="yes", userId="ann")
    second = play.command("answer", approvalId=approval, optionId="no", userId="bob")
    again = play.command("answer", "a1", approvalId=approval, optionId="yes", userId="ann")
    assert wrong is not None
    assert wrong.error_code == "bad_input"
    assert first is not None
    assert first.value.answered_by == "ann"
    assert second is not None
    assert second.error_code == "conflict"
    assert "ann" in (second.error_message or "")
    assert again is not None
    assert again.value.answer == "yes"
    assert len([message for message in play.sent if message.get("id") == 1 and "result" in message]) == 1


def test_usage_title_mode_and_commands() -> None:
    play = Play().open()
    play.update(
        {"sessionUpdate": "usage_update", "used": 120, "size": 200_000, "cost": {"amount": 0.1, "currency": "EUR"}}
    )
    play.update({"sessionUpdate": "session_info_update", "title": "Fix the build"})
    play.update({"sessionUpdate": "current_mode_update", "currentModeId": "plan"})
    play.update({"sessionUpdate": "available_commands_update", "availableCommands": [{"name": "init"}]})
    assert play.root.usage == {
        "source": "agent",
        "used": 120,
        "size": 200_000,
        "cost": {"amount": 0.1, "currency": "EUR"},
    }
    assert play.root.title == "Fix the build"
    assert play.root.metadata["mode"] == "plan"
    assert play.root.metadata["commands"] == ["init"]
    named = Play(title="My job").open()
    named.update({"sessionUpdate": "session_info_update", "title": "Theirs"})
    assert named.root.title == "My job"


def test_the_title_comes_from_the_prompt() -> None:
    assert Play(prompt="First line\nsecond").root.title == "First line"
    assert len(Play(prompt="x" * 500).root.title or "") == 80
    assert Play(prompt=None).root.title is None


def test_without_a_prompt_the_agent_waits_for_one() -> None:
    play = Play(prompt=None).open()
    assert play.status == "waiting/operator"
    answer = play.inject("i", "hello", delivery="steer")
    assert answer is not None
    assert answer.error_code == "unsupported"
    play.inject("j", "hello")
    assert play.prompts() == ["hello"]
    assert play.status == "running"
    assert play.ladder("j") == ["stored", "delivered"]


def test_a_session_that_ends_when_it_is_idle() -> None:
    play = Play(end_when_idle=True).open(close=True)
    play.text("done")
    play.command("children", alive=1)
    play.end_turn()
    assert play.status == "waiting/children"
    play.command("children", alive=0)
    assert play.requests("session/close")
    play.reply("session/close", {})
    assert play.did == ["eof"]
    play.exit(0)
    assert play.status == "completed"
    assert play.root.metadata["endedBy"] == "idle"


def test_a_session_that_ends_when_idle_fails_with_its_turn() -> None:
    play = Play(end_when_idle=True).open()
    play.reply("session/prompt", error={"code": -32603, "message": "no credit"})
    play.exit(0)
    assert play.status == "failed"
    assert play.root.error == "no credit"


def test_an_echo_is_not_said_twice() -> None:
    play = Play(prompt="Say hello to the world").open()
    for piece in ("Say hello", " to the ", "world"):
        content = {"type": "text", "text": piece}
        play.update({"sessionUpdate": "user_message_chunk", "content": content})
    content = {"type": "text", "text": "something else"}
    play.update({"sessionUpdate": "user_message_chunk", "content": content})
    assert [(role, text) for role, _, text in play.transcript()] == [
        ("user", "Say hello to the world"),
        ("user", "something else"),
    ]


def test_the_prompt_of_a_parent_says_so() -> None:
    play = Play(parent_session_id="2" * 32)
    play.start()
    assert play.message("text").metadata["from"] == "internal:" + "2" * 32
    assert play.root.parent_session_id == "internal:" + "2" * 32
