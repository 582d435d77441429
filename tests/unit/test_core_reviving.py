"""The keeper is gone and the agent with it: the session goes on in a new process, honestly, or it has failed."""

from __future__ import annotations

from typing import Any

import pytest

from mission_control_desktop.orchestrator.core.effects import Relaunch
from mission_control_desktop.orchestrator.core.reviving import MAX_REVIVALS, REVIVAL_SECONDS
from mission_control_desktop.orchestrator.core.turns import DISREGARD, UNCERTAIN
from support.playing import Play, can_go_on

LOST: dict[str, Any] = {"cause": "killed", "killed": 2, "left": []}


def lose(play: Play, **data: Any) -> bool:
    """Whether a new process is wanted then."""
    return any(isinstance(effect, Relaunch) for effect in play.feed("lost", data={**LOST, **data}))


def come_back(play: Play, again: str = "resume", name: str = "test-agent") -> None:
    play.start()
    play.reply(
        "initialize",
        {
            "protocolVersion": 1,
            "agentInfo": {"name": name, "version": "1.0.0"},
            "agentCapabilities": can_go_on(again),
        },
    )


@pytest.mark.parametrize("again", ["resume", "load"])
def test_a_session_goes_on_in_a_new_process(again: str) -> None:
    play = Play().open(again=again)
    play.text("hello")
    play.inject("later", "and then this", delivery="queue")
    approval = play.ask()
    before = len(play.requests("session/new"))
    assert lose(play)
    assert play.status == "waiting/provider"
    assert play.record.approvals[approval][-1].state.value == "expired"
    assert play.state("later") == "queued"
    assert "uncertain" in play.notices()[-1]
    assert "1 waiting message goes out" in play.notices()[-1]
    come_back(play, again)
    assert len(play.requests("session/new")) == before
    assert play.requests(f"session/{again}")[-1]["params"]["sessionId"] == "S"
    # What the agent says of the past now stands in the transcript already.
    said = play.transcript()
    play.update({"sessionUpdate": "user_message_chunk", "content": {"type": "text", "text": "Do it"}})
    play.text("hello")
    play.update({"sessionUpdate": "tool_call", "toolCallId": "t1", "title": "old"})
    play.update({"sessionUpdate": "current_mode_update", "currentModeId": "ask"})
    assert play.transcript() == said
    assert play.root.metadata["mode"] == "ask"
    play.reply(f"session/{again}", None)
    assert "3 updates" in play.notices()[-1]
    assert play.prompts() == ["Do it", "and then this"]
    assert play.status == "running"
    play.text("done")
    play.end_turn()
    assert play.state("later") == "answered"
    assert play.root.metadata["revivals"] == 1
    assert play.transcript()[-1][2] == "done"


def test_what_was_handed_over_and_not_answered_is_uncertain_and_not_sent_again() -> None:
    play = Play(prompt=None).open(again="resume")
    play.inject("a", "delete it")
    assert play.state("a") == "delivered"
    assert lose(play)
    receipt = play.record.receipts["a"][-1]
    assert (receipt.state.value, receipt.detail) == ("failed", UNCERTAIN)
    come_back(play)
    play.reply("session/resume", {})
    assert play.prompts() == ["delete it"]
    assert play.status == "waiting/operator"
    assert play.root.metadata["lastError"]


def test_a_line_that_was_perhaps_not_even_written_is_uncertain_too() -> None:
    play = Play(prompt=None).open(again="resume")
    play.auto = False
    play.inject("a", "delete it")
    assert play.state("a") == "queued" or play.state("a") == "stored"
    assert lose(play)
    assert play.record.receipts["a"][-1].detail == UNCERTAIN


@pytest.mark.parametrize(("name", "told"), [("qwen-code", True), ("Kimi Code", True), ("test-agent", False)])
def test_agents_that_would_repeat_an_order_are_told_to_disregard_it(name: str, told: bool) -> None:
    play = Play().open(again="load", name=name)
    assert lose(play)
    come_back(play, "load", name)
    play.reply("session/load", {})
    assert ("told not to" in " ".join(play.notices())) is told
    play.inject("b", "list the files")
    sent = play.prompts()[-1]
    assert sent == (f"{DISREGARD}\n\nlist the files" if told else "list the files")
    # The echo of it is no message of its own, and the operator's message stands as it was written.
    play.update({"sessionUpdate": "user_message_chunk", "content": {"type": "text", "text": sent}})
    assert [text for role, _, text in play.transcript() if role == "operator"] == ["list the files"]
    assert [text for role, _, text in play.transcript() if role == "user"] == ["Do it"]
    play.text("a b c")
    play.end_turn()
    play.inject("c", "again")
    assert play.prompts()[-1] == "again"


def test_nothing_was_said_yet_so_that_it_starts_anew() -> None:
    play = Play(prompt=None).open()
    assert lose(play, cause="restart", killed=0)
    assert "restarted" in play.notices()[-1]
    come_back(play, "none")
    play.reply("session/new", {"sessionId": "T"})
    assert play.status == "waiting/operator"
    play.inject("a", "hello")
    assert play.requests("session/prompt")[-1]["params"]["sessionId"] == "T"


@pytest.mark.parametrize(
    ("data", "opened", "words"),
    [
        ({}, {}, "does not offer to resume"),
        ({}, {"again": "load", "name": "gemini-cli"}, "known to fail"),
        ({"left": [4, 5]}, {"again": "resume"}, "2 processes"),
        ({"denied": "a kill-all is under way"}, {"again": "resume"}, "kill-all"),
    ],
)
def test_what_is_not_resumed_has_failed_and_says_why(data: dict[str, Any], opened: dict[str, Any], words: str) -> None:
    play = Play().open(**opened)
    play.inject("a", "more", delivery="queue")
    assert not lose(play, **data)
    assert play.status == "failed"
    assert words in (play.root.error or "")
    assert play.state("a") == "failed"


def test_a_task_that_was_under_way_is_not_begun_again() -> None:
    play = Play(end_when_idle=True).open(again="resume")
    assert not lose(play)
    assert play.status == "failed"
    assert "one task" in (play.root.error or "")


@pytest.mark.parametrize("order", ["terminate", "kill"])
def test_what_was_told_to_end_is_not_revived(order: str) -> None:
    play = Play().open(again="resume")
    play.auto = False
    play.command(order)
    assert not lose(play)
    assert play.status == "killed"


def test_it_is_not_tried_for_ever() -> None:
    play = Play().open(again="resume")
    for _ in range(MAX_REVIVALS):
        assert lose(play)
        come_back(play)
        play.reply("session/resume", {})
    assert not lose(play)
    assert f"{MAX_REVIVALS} times" in (play.root.error or "")
    calmer = Play().open(again="resume")
    for _ in range(MAX_REVIVALS + 2):
        assert lose(calmer)
        come_back(calmer)
        calmer.reply("session/resume", {})
        calmer.t += REVIVAL_SECONDS / MAX_REVIVALS + 1


def test_a_session_that_cannot_be_taken_up_fails_with_the_agents_words() -> None:
    play = Play().open(again="resume")
    assert lose(play)
    come_back(play, "load")  # another version was installed meanwhile
    play.reply("session/load", error={"code": -32603, "message": "invalid session identifier"})
    assert play.did == ["kill"]
    play.exit(None, 9)
    assert play.status == "failed"
    assert "invalid session identifier" in (play.root.error or "")


def test_where_resuming_fails_loading_is_tried() -> None:
    play = Play().open(again="resume")
    assert lose(play)
    play.start()
    play.reply("initialize", {"protocolVersion": 1, "agentCapabilities": can_go_on("resume") | can_go_on("load")})
    play.reply("session/resume", error={"code": -32601, "message": "no"})
    play.text("hello")
    play.reply("session/load", {})
    assert play.status == "waiting/operator"
    assert [text for _, _, text in play.transcript()] == ["Do it"]


def test_an_orderly_end_of_the_keeper_is_a_loss_too() -> None:
    play = Play().open(again="resume")
    data: dict[str, Any] = {"code": None, "signal": 15, "left": [], "keeperEnding": True}
    assert any(isinstance(effect, Relaunch) for effect in play.feed("exit", data=data))
    assert "told to end" in play.notices()[-1]


def test_a_pause_outlives_the_process() -> None:
    play = Play().open(again="resume")
    play.command("pause", level="freeze")
    assert play.status == "paused"
    play.inject("a", "go on", delivery="queue")
    assert lose(play)
    come_back(play)
    play.reply("session/resume", {})
    assert play.status == "paused"
    assert play.root.metadata["pauseLevel"] == "hold"
    assert play.prompts() == ["Do it"]
    play.command("resume")
    assert play.prompts() == ["Do it", "go on"]


def test_ids_of_the_new_process_name_other_things() -> None:
    play = Play().open(again="resume")
    play.update({"sessionUpdate": "tool_call", "toolCallId": "t1", "title": "first"})
    play.update({"sessionUpdate": "subagent_update", "sessionId": "C", "state": {"state": "running"}})
    assert lose(play)
    assert sorted(session.status.value for session in play.core.sessions.values()) == ["failed", "waiting"]
    come_back(play)
    play.reply("session/resume", {})
    play.inject("a", "more")
    play.update({"sessionUpdate": "tool_call", "toolCallId": "t1", "title": "second"})
    play.update({"sessionUpdate": "subagent_update", "sessionId": "C", "state": {"state": "running"}})
    tools = [message for message in play.record.messages.values() if message.kind.value == "tool_call"]
    assert [message.metadata["title"] for message in tools] == ["first", "second"]
    assert tools[0].complete
    assert len(play.core.sessions) == 3


def test_the_mode_of_the_profile_is_set_again() -> None:
    modes = {"currentModeId": "ask", "availableModes": [{"id": "ask", "name": "Ask"}]}
    play = Play(mode="ask").open(again="resume", modes=modes)
    assert lose(play)
    come_back(play)
    play.reply("session/resume", {})
    assert play.requests("session/set_mode")[-1]["params"] == {"sessionId": "S", "modeId": "ask"}
    play.reply("session/set_mode", {})
    assert play.status == "waiting/operator"


def test_a_keeper_that_was_killed_while_it_obeyed_a_stop_file() -> None:
    """Its report never comes: what the control plane found says that nothing is left."""
    play = Play().open(again="resume")
    play.feed("stop", data={"id": "f1", "scope": "all", "reason": "enough", "actor": "ann", "key": "stop-file:f1"})
    play.exit(None, 9)
    assert play.status == "running", "not verified yet"
    assert not lose(play, killed=0)
    assert play.status == "killed"
    assert play.root.metadata["endedBy"] == "stop-file"
