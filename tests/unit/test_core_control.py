"""Messages, pausing and ending a session: what an operator decides, and what is known of it."""

from __future__ import annotations

import pytest

from mission_control_desktop.domain.limits import MAX_INJECT_CHARS
from mission_control_desktop.orchestrator.core.effects import Do
from mission_control_desktop.orchestrator.core.inject import MAX_WAITING
from support.playing import ROOT, Play


def code(answer: object) -> str | None:
    return getattr(answer, "error_code", "no answer")


# -------------------------------------------------------------------- messages


def test_a_message_before_the_agent_is_ready_waits_for_it() -> None:
    play = Play(prompt=None)
    answer = play.inject("i", "early", delivery="interrupt")
    assert answer is not None
    assert answer.value.state.value == "queued"
    assert (answer.value.position, answer.value.session_id) == (1, f"internal:{ROOT}")
    play.open()
    assert play.prompts() == ["early"]


def test_the_operators_message_stands_where_it_was_said() -> None:
    play = Play().open()
    play.text("a")
    play.inject("i", "hm?")
    play.text("b")
    play.end_turn()
    play.text("c")
    assert play.transcript() == [
        ("user", "text", "Do it"),
        ("agent", "text", "ab"),
        ("operator", "text", "hm?"),
        ("agent", "text", "c"),
    ]
    said = next(message for message in play.record.messages.values() if message.role.value == "operator")
    assert said.metadata["injectionId"] == "i"
    assert said.metadata["operatorId"] == "ann"


def test_the_same_injection_again_is_one_message() -> None:
    play = Play().open()
    play.inject("i", "once")
    again = play.inject("i", "once")
    assert again is not None
    assert again.value.state.value == "queued"
    play.end_turn()
    assert play.prompts() == ["Do it", "once"]
    later = play.inject("i", "once")
    assert later is not None
    assert later.value.state.value == "delivered"
    assert len([role for role, _, _ in play.transcript() if role == "operator"]) == 1


def test_withdrawing() -> None:
    play = Play().open()
    play.inject("i", "one")
    play.inject("j", "two")
    done = play.command("withdraw", injectionId="i")
    assert done is not None
    assert done.value.state.value == "withdrawn"
    assert play.record.receipts["j"][-1].position == 1
    assert code(play.command("withdraw", injectionId="i")) is None
    assert code(play.command("withdraw", injectionId="?")) == "not_found"
    play.end_turn()
    assert play.prompts() == ["Do it", "two"]
    assert code(play.command("withdraw", injectionId="j")) == "conflict"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"content": " \n"}, "bad_input"),
        ({"content": "x" * (MAX_INJECT_CHARS + 1)}, "too_large"),
        ({"content": "x", "expectedRunId": "run-0"}, "conflict"),
        ({"content": "x", "expectedRunId": "run-1"}, None),
        ({"content": "x", "sessionId": "f" * 32}, "not_found"),
        ({"content": "x", "sessionId": ROOT}, None),
        ({"content": "x", "delivery": "shout"}, "bad_input"),
        ({}, "bad_input"),
    ],
)
def test_what_a_message_is_refused_for(fields: dict[str, str], expected: str | None) -> None:
    play = Play().open()
    assert code(play.command("inject", "i", operatorId="ann", **fields)) == expected
    assert ("i" in play.record.receipts) == (expected is None)


def test_the_queue_is_bounded() -> None:
    play = Play().open()
    for number in range(MAX_WAITING):
        assert code(play.inject(f"i{number}", "x")) is None
    assert code(play.inject("more", "x")) == "conflict"


def test_a_hundred_messages_steer_with_ids_of_their_own() -> None:
    play = Play().open(steering=True)
    play.command("pause", level="hold")
    for number in range(MAX_WAITING):
        play.inject(f"i{number}", "x")
    play.command("resume")
    ids = [message["id"] for message in play.sent if "method" in message and "id" in message]
    assert len(play.requests("_session/steering")) == MAX_WAITING
    assert len(ids) == len(set(ids))
    play.end_turn()
    play.text("x")
    play.inject("last", "x", delivery="queue")
    assert len({message["id"] for message in play.sent if "method" in message and "id" in message}) == len(ids)


@pytest.mark.parametrize("end", ["completed", "failed", "killed"])
def test_a_message_into_an_ended_session_is_refused_by_name(end: str) -> None:
    play = Play(prompt=None).open()
    if end == "killed":
        play.auto = False
        play.feed("cmd", data={"command": "kill", "id": "k"})
        play.feed("did", key=f"{play.n}:kill", data={"key": f"{play.n}:kill", "ok": True, "left": []})
        play.exit(None, 9)
    else:
        play.exit(0 if end == "completed" else 3)
    answer = play.inject("i", "hello?")
    assert code(answer) == "conflict"
    assert end in (answer.error_message or "")  # type: ignore[union-attr]
    assert "i" not in play.record.receipts


def test_what_waits_when_the_agent_dies_is_said_to_have_failed() -> None:
    play = Play().open(steering=True)
    play.inject("i", "steering")
    play.inject("j", "waiting", delivery="queue")
    play.exit(1)
    assert (play.state("i"), play.state("j")) == ("failed", "failed")
    assert play.status == "failed"


def test_a_command_that_is_none() -> None:
    play = Play().open()
    assert code(play.command("dance", "d1")) == "bad_input"
    play.feed("cmd", data={"command": "pause"})
    play.feed("cmd", data={"id": 7})
    play.feed("cmd", data=None)
    assert play.core.faults == 0


# -------------------------------------------------------------------- pausing


def test_freeze_and_thaw() -> None:
    play = Play().open()
    play.text("wor")
    answer = play.command("pause", "p")
    assert play.did == ["freeze"]
    assert answer is not None
    assert answer.value.status.value == "paused"
    assert play.root.metadata["pauseLevel"] == "freeze"
    play.text("king")  # what was in the pipe already
    play.inject("i", "for later")
    assert play.status == "paused"
    again = play.command("pause")
    assert again is not None
    assert play.did == ["freeze"]
    answer = play.command("resume")
    assert play.did == ["freeze", "thaw"]
    assert answer is not None
    assert answer.value.status.value == "running"
    assert "pauseLevel" not in play.root.metadata
    play.end_turn()
    assert play.prompts() == ["Do it", "for later"]
    assert code(play.command("resume")) == "conflict"


def test_a_freeze_that_is_answered_later() -> None:
    play = Play().open()
    play.auto = False
    assert play.command("pause", "p") is None
    assert play.root.metadata["pausing"] is True
    assert play.status == "running"
    assert play.command("pause", "p") is None  # the same decision again
    assert play.command("resume", "r") is None
    play.feed("did", key="14:freeze", data={})
    keys = [effect.key for effect in play.effects if isinstance(effect, Do)]
    assert len(keys) == 2
    play.feed("did", data={"key": keys[0], "ok": True, "left": [], "pids": [1]})
    play.feed("did", data={"key": keys[1], "ok": True, "left": [], "pids": [1]})
    assert play.status == "running"
    assert set(play.answers) >= {"p", "r"}


def test_a_freeze_that_fails_leaves_the_session_running() -> None:
    play = Play().open()
    play.left = [77]
    answer = play.command("pause", "p")
    assert code(answer) == "conflict"
    assert play.did == ["freeze", "thaw"]
    assert any("77" in notice for notice in play.notices())
    play.left = []
    assert play.status == "running"


def test_pause_before_send() -> None:
    play = Play().open()
    play.end_turn()
    play.inject("i", "wait", pauseBeforeSend=True)
    assert play.did == ["freeze"]
    assert play.status == "paused"
    assert play.prompts() == ["Do it"]
    play.command("resume")
    assert play.prompts() == ["Do it", "wait"]


def test_pause_before_send_keeps_the_message_when_the_freeze_fails() -> None:
    play = Play().open()
    play.left = [5]
    play.inject("i", "wait", pauseBeforeSend=True)
    play.left = []
    play.end_turn()
    assert play.prompts() == ["Do it"]
    assert play.status == "paused"
    assert play.root.metadata["pauseLevel"] == "hold"


def test_hold_is_reached_at_a_gate_and_withholds_the_reply() -> None:
    play = Play().open()
    answer = play.command("pause", level="hold")
    assert answer is not None
    assert answer.value.status.value == "running"
    assert answer.value.metadata["pausing"] is True
    approval = play.ask(1)
    assert play.status == "paused"
    assert play.root.metadata["pauseLevel"] == "hold"
    given = play.command("answer", approvalId=approval, optionId="yes", userId="ann")
    assert given is not None
    assert given.value.state.value == "answered"
    assert not [message for message in play.sent if message.get("id") == 1]
    assert play.status == "paused"
    play.command("resume")
    assert [message for message in play.sent if message.get("id") == 1]
    assert play.status == "running"
    assert play.did == []


def test_hold_is_reached_when_the_turn_ends() -> None:
    play = Play().open()
    play.inject("i", "next")
    play.command("pause", level="hold")
    assert play.status == "running"
    play.end_turn()
    assert play.status == "paused"
    assert play.prompts() == ["Do it"]
    play.command("resume")
    assert play.prompts() == ["Do it", "next"]


def test_an_answer_that_is_withheld_can_be_overtaken_by_the_agent() -> None:
    play = Play().open()
    play.command("pause", level="hold")
    approval = play.ask(1)
    play.command("answer", approvalId=approval, optionId="yes", userId="ann")
    play.line({"method": "$/cancel_request", "params": {"requestId": 1}})
    assert play.record.approvals[approval][-1].state.value == "expired"
    play.command("resume")
    replies = [message for message in play.sent if message.get("id") == 1]
    assert len(replies) == 1
    assert replies[0]["error"]["code"] == -32800


def test_from_hold_to_freeze() -> None:
    play = Play().open()
    play.end_turn()
    play.command("pause", level="hold")
    assert play.root.metadata["pauseLevel"] == "hold"
    play.command("pause", level="freeze")
    assert play.root.metadata["pauseLevel"] == "freeze"
    play.command("pause", level="hold")
    assert play.root.metadata["pauseLevel"] == "freeze"
    assert code(play.command("pause", level="deep")) == "bad_input"


def test_pausing_while_the_agent_starts() -> None:
    play = Play()
    play.command("pause")  # nothing to freeze yet
    assert play.status == "paused"
    play.open()
    assert play.prompts() == []
    play.command("resume")
    assert play.prompts() == ["Do it"]
    assert play.status == "running"
    other = Play()
    other.command("pause")
    other.command("resume")
    assert other.status == "waiting/provider"


def test_a_long_freeze_is_warned_of() -> None:
    play = Play().open()
    play.command("pause")
    play.fire("frozen")
    assert any("Frozen for 60 s" in notice for notice in play.notices())


def test_an_interruption_waits_for_the_end_of_the_hold() -> None:
    play = Play().open()
    play.command("pause", level="hold")
    play.inject("i", "now", delivery="interrupt")
    assert play.requests("session/cancel") == []
    play.command("resume")
    assert len(play.requests("session/cancel")) == 1


# -------------------------------------------------------------------- ends


def test_terminate_goes_step_by_step() -> None:
    play = Play().open(close=True)
    play.inject("i", "never sent")
    answer = play.command("terminate", "t")
    assert answer is not None
    assert answer.value.metadata["ending"] == "terminate"
    assert play.state("i") == "failed"
    assert play.requests("session/cancel")
    assert not play.requests("session/close")
    play.fire("stop-cancel")
    assert play.requests("session/close")
    play.fire("stop-close")
    assert play.did == ["eof"]
    play.fire("stop-eof")
    assert play.did == ["eof", "term"]
    play.fire("stop-term")
    assert play.did == ["eof", "term", "kill"]
    play.exit(None, 9)
    assert play.status == "killed"
    assert play.root.metadata["endedBy"] == "terminate"
    assert play.core.finished


def test_terminate_without_force_is_a_completion() -> None:
    for ends_after in ("cancel", "eof", "term"):
        play = Play().open()
        play.command("terminate")
        play.end_turn("cancelled")
        if ends_after == "term":
            play.fire("stop-eof")
        play.exit(None, 15)
        assert play.status == "completed"
        assert play.root.metadata["endedBy"] == "terminate"
        assert play.root.completed_at is not None
        assert not play.timers


def test_terminate_of_an_agent_that_ignores_the_end_of_its_input() -> None:
    play = Play(prompt=None).open(name="gemini-cli")
    play.command("terminate")
    assert play.did == ["eof"]
    assert next(seconds for name, seconds in play.timers.items() if name.startswith("stop-eof")) < 1


def test_terminate_of_a_frozen_session_thaws_it_first() -> None:
    play = Play().open()
    play.command("pause")
    play.command("terminate")
    assert play.did == ["freeze", "thaw"]
    assert play.requests("session/cancel")
    play.end_turn("cancelled")
    assert play.did == ["freeze", "thaw", "eof"]


def test_terminate_cancels_withheld_answers() -> None:
    play = Play().open()
    play.command("pause", level="hold")
    approval = play.ask(1)
    play.command("answer", approvalId=approval, optionId="yes", userId="ann")
    play.command("terminate")
    replies = [message["result"] for message in play.sent if message.get("id") == 1]
    assert replies == [{"outcome": {"outcome": "cancelled"}}]
    assert play.record.approvals[approval][-1].state.value == "expired"


def test_what_an_ended_agent_leaves_behind_is_killed() -> None:
    play = Play(prompt=None).open()
    play.command("terminate")
    play.exit(0, left=[50, 51])
    assert play.did == ["eof", "kill"]
    assert play.status == "completed"
    assert play.core.finished
    assert any("50, 51" in notice for notice in play.notices())


def test_kill_is_answered_when_it_is_verified() -> None:
    play = Play().open()
    play.command("pause")
    play.auto = False
    assert play.command("kill", "k") is None
    kill = play.effects[-1]
    play.do(kill, left=[12])  # type: ignore[arg-type]
    assert "k" not in play.answers
    play.fire("kill-again")
    play.do(play.effects[-1])  # type: ignore[arg-type]
    assert "k" not in play.answers
    play.exit(None, 9)
    assert play.answers["k"].value.status.value == "killed"
    assert play.core.finished


def test_kill_that_cannot_be_verified_is_not_called_a_kill() -> None:
    play = Play().open()
    play.left = [12]
    play.feed("cmd", data={"command": "kill", "id": "k"})
    for _ in range(4):
        play.fire("kill-again")
    assert play.answers["k"].error_code == "unreachable"
    assert "12" in (play.answers["k"].error_message or "")
    assert not play.root.status.final
    play.left = []
    play.command("kill", "k2")
    play.exit(None, 9)
    assert play.answers["k2"].value.status.value == "killed"


def test_a_kill_whose_exit_is_never_reported() -> None:
    play = Play().open()
    play.command("kill", "k")
    assert "k" not in play.answers
    play.fire("exit")
    assert play.status == "killed"


def test_kill_while_ending() -> None:
    play = Play().open()
    play.command("terminate")
    play.command("kill", "k")
    play.exit(None, 9)
    assert play.status == "killed"
    assert play.answers["k"].error_code is None
    assert not play.timers


@pytest.mark.parametrize("command", ["kill", "terminate", "pause", "resume"])
def test_commands_to_an_ended_session(command: str) -> None:
    play = Play().open()
    play.exit(1)
    assert code(play.command(command)) == "conflict"


def test_a_command_for_another_run() -> None:
    play = Play().open()
    for command in ("pause", "resume", "terminate", "kill"):
        assert code(play.command(command, expectedRunId="other")) == "conflict"
        assert code(play.command(command, sessionId="nobody")) == "not_found"
    assert play.did == []


# -------------------------------------------------------------------- faults


def test_a_command_that_does_not_exist() -> None:
    play = Play()
    play.feed("start", data={"error": "No such file or directory"})
    assert play.status == "failed"
    assert "agent" in (play.root.error or "")
    assert "No such file" in (play.root.error or "")
    assert play.root.metadata["error"] == play.root.error
    assert play.core.finished
    assert not play.timers


def test_a_launch_that_is_called_off() -> None:
    play = Play()
    play.auto = False
    play.feed("cmd", data={"command": "kill", "id": "k"})
    play.feed("start", data={"error": "stopped before it was started"})
    assert play.status == "killed"
    assert play.core.finished
    assert play.answers["k"].error_code is None


@pytest.mark.parametrize(("code_", "number"), [(0, None), (3, None), (None, 11)])
def test_an_agent_that_ends_at_once(code_: int | None, number: int | None) -> None:
    play = Play()
    play.start()
    play.feed("err", line="Error: cannot find module x")
    play.exit(code_, number)
    assert play.status == "failed"
    assert "cannot find module x" in (play.root.error or "")
    assert ("SIGSEGV" if number else f"exit code {code_}") in (play.root.error or "")
    assert play.core.finished


def test_an_agent_that_ends_in_mid_turn() -> None:
    play = Play().open()
    approval = play.ask(1)
    play.text("half a sen")
    play.exit(0)
    assert play.status == "failed"
    assert play.record.approvals[approval][-1].state.value == "expired"
    assert all(message.complete for message in play.record.messages.values())


@pytest.mark.parametrize("steps", [0, 1])
def test_an_agent_that_never_answers_the_opening(steps: int) -> None:
    play = Play()
    play.start()
    if steps:
        play.reply("initialize", {"protocolVersion": 1})
    play.feed("err", line="listening on port 80")
    play.fire("opening")
    assert play.did == ["kill"]
    play.exit(None, 9)
    assert play.status == "failed"
    assert ("session/new" if steps else "initialize") in (play.root.error or "")
    assert "listening on port 80" in (play.root.error or "")
    assert not play.timers


def test_a_lost_keeper() -> None:
    play = Play().open()
    play.auto = False
    play.feed("cmd", data={"command": "kill", "id": "k"})
    play.feed("lost", data={"cause": "killed", "killed": 3, "left": []})
    assert play.status == "killed"
    assert play.core.finished
    other = Play().open()
    other.feed("lost", data={"cause": "killed", "killed": 3, "left": []})
    assert other.status == "failed"
    assert "keeper" in (other.root.error or "")
    assert "does not offer to resume" in (other.root.error or "")
    assert other.core.finished


def test_a_stop_file_is_a_kill_that_the_keeper_does() -> None:
    play = Play().open()
    play.inject("a", "more", delivery="queue")
    order = {"id": "f1", "scope": "all", "reason": "smoke", "actor": "ann", "owner": 0, "at": 1.0}
    play.feed("stop", data={**order, "key": "stop-file:f1"})
    assert "kill" not in play.did
    assert "ann: smoke" in play.notices()[-1]
    did = {"what": "kill", "key": "stop-file:f1", "ok": True, "pids": [10, 11, 12], "left": [], "ms": 3, "escaped": 2}
    play.feed("did", key="stop-file:f1", data=did)
    play.exit(None, 9)
    assert play.status == "killed"
    assert play.state("a") == "failed"
    assert play.root.metadata["endedBy"] == "stop-file"
    assert play.root.metadata["stopFile"] == order
    assert play.root.metadata["stopSteps"] == [
        {"step": "kill", "processes": 3, "escaped": 2, "left": 0, "ms": 3},
    ]
    assert "2 processes had left" in play.notices()[-1]
    assert play.core.finished


def test_a_keeper_lost_while_it_obeys_a_stop_file() -> None:
    play = Play().open(again="resume")
    play.feed("stop", data={"id": "f1", "key": "stop-file:f1"})
    play.feed("lost", data={"cause": "killed", "killed": 2, "left": []})
    assert play.status == "killed"
    assert play.core.finished


def test_garbage_on_standard_output_is_one_notice_with_a_count() -> None:
    play = Play().open()
    before = len(play.notices())
    for _ in range(500):
        play.line("npm WARN deprecated " + "x" * 1_000)
    play.t += 2
    play.line("more")
    notices = play.notices()
    assert len(notices) == before + 1
    assert "501 lines" in notices[-1]
    assert len(notices[-1]) < 400
    play.text("fine")
    play.line("again")
    assert len(play.notices()) == before + 2
    assert play.status == "running"


def test_a_line_beyond_the_limit() -> None:
    play = Play().open()
    play.feed("oversize", data={"stream": "stdout", "bytes": 52_428_800, "head": '{"jsonrpc"'})
    assert any("50.0 MiB" in notice for notice in play.notices())
    play.feed("oversize", data={"bytes": "many"})
    assert play.core.faults == 0


def test_a_flood_on_standard_error_is_bounded() -> None:
    play = Play().open()
    for number in range(2_000):
        play.feed("err", line=f"{number} " + "y" * 8_000)
    play.feed("err", line="last", data={"dropped": 7})
    play.exit(1)
    assert len(play.notices()[-1]) < 20_000
    assert "last" in play.notices()[-1]


def test_evidence_is_kept_fresh_while_events_flow() -> None:
    play = Play().open()
    before = len(play.record.history[play.root.session_id])
    for _ in range(1_000):
        play.text("x")
    written = len(play.record.history[play.root.session_id]) - before
    assert 1 <= written <= 4
    assert play.root.evidence.source in ("agent", "keeper")
