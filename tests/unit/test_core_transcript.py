"""Messages that grow: chunks, tool calls, plans, notices; and their bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mission_control_desktop.domain.limits import MAX_STORED_CONTENT_CHARS
from mission_control_desktop.orchestrator.core.effects import Write
from mission_control_desktop.record.ops import AppendText, PutMessage
from support.playing import Play

PIECES = st.lists(
    st.tuples(st.sampled_from(["text", "thought", "tool", "notice"]), st.text(min_size=1, max_size=8)), max_size=30
)


@given(PIECES)
def test_the_record_has_every_word_once_and_in_order(pieces: list[tuple[str, str]]) -> None:
    play = Play(prompt=None).open()
    expected: list[tuple[str, str]] = []
    for number, (kind, text) in enumerate(pieces):
        content = {"type": "text", "text": text}
        if kind == "tool":
            play.update({"sessionUpdate": "tool_call", "toolCallId": f"t{number}", "title": text})
        elif kind == "notice":
            play.update({"sessionUpdate": "notice", "severity": "info", "title": text})
            continue
        else:
            play.update({"sessionUpdate": f"agent_{'message' if kind == 'text' else kind}_chunk", "content": content})
        if kind == "tool":
            expected.append(("tool_call", ""))
        elif expected and expected[-1][0] == kind:
            expected[-1] = (kind, expected[-1][1] + text)
        else:
            expected.append((kind, text))
    assert [(kind, text) for _, kind, text in play.transcript()] == expected


def test_message_ids_separate_messages() -> None:
    play = Play(prompt="x").open()
    for message_id, text in [(None, "a"), ("m1", "b"), ("m1", "c"), ("m2", "d"), (None, "e")]:
        update: dict[str, Any] = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
        if message_id:
            update["messageId"] = message_id
        play.update(update)
    assert [text for _, _, text in play.transcript()][1:] == ["abc", "de"]


def test_what_is_said_between_turns_is_not_continued_by_the_next_one() -> None:
    play = Play(prompt="x").open()
    play.text("done")
    play.end_turn()
    play.text("by the ")
    play.text("way")
    play.inject("i", "and now")
    play.text("later")
    assert [text for _, _, text in play.transcript()] == ["x", "done", "by the way", "and now", "later"]


def test_a_message_that_is_whole_is_one_of_its_own() -> None:
    play = Play(prompt="x").open()
    play.text("done")
    for text in ("helper ended", "", "and so?"):
        content = {"type": "text", "text": text}
        meta = {"qwenDiscreteMessage": True}
        play.update({"sessionUpdate": "agent_message_chunk", "content": content, "_meta": meta})
    assert play.message("text").complete
    play.text("more")
    assert [text for _, _, text in play.transcript()] == ["x", "done", "helper ended", "and so?", "more"]
    play.end_turn()
    assert all(message.complete for message in play.record.messages.values())


def test_content_beyond_the_limit_is_cut_and_said_so() -> None:
    play = Play(prompt="x").open()
    piece = "y" * 300_000
    for _ in range(5):
        play.text(piece)
    play.end_turn()
    message = play.message("text")
    assert len(message.content) == MAX_STORED_CONTENT_CHARS
    assert message.metadata["truncatedFrom"] == 1_500_000


def test_a_chunk_costs_one_small_change() -> None:
    play = Play().open()
    play.text("a")
    effects = play.text("b")
    assert len(effects) == 1
    write = effects[0]
    assert isinstance(write, Write)
    assert [type(op) for op in write.ops] == [AppendText]
    assert not write.durable


def tool(play: Play, **fields: Any) -> None:
    play.update({"sessionUpdate": "tool_call_update", "toolCallId": "t", **fields})


def said(text: str) -> list[dict[str, Any]]:
    return [{"type": "content", "content": {"type": "text", "text": text}}]


def test_output_that_grows_is_appended() -> None:
    play = Play().open()
    tool(play, title="make", kind="execute", status="in_progress", content=said("cc a.c\n"))
    before = len(play.effects)
    tool(play, content=said("cc a.c\ncc b.c\n"))
    ops = [op for effect in play.effects[before:] if isinstance(effect, Write) for op in effect.ops]
    assert [(op.offset, op.text) for op in ops if isinstance(op, AppendText)] == [(7, "cc b.c\n")]
    tool(play, content=said("cleared"))
    assert play.message("tool_call").content == "cleared"
    tool(play, status="completed")
    assert play.message("tool_call").complete
    assert play.message("tool_call").metadata["status"] == "completed"


def test_output_of_an_agents_own_terminal() -> None:
    play = Play().open()
    tool(play, title="make all", kind="execute", content=[{"type": "terminal", "terminalId": "x"}])
    tool(play, _meta={"terminal_output": {"data": "one\n", "terminal_id": "x"}})
    tool(play, _meta={"terminal_output": {"data": "two\n", "terminal_id": "x"}})
    tool(play, name="exec_command", status="completed", _meta={"terminal_exit": {"exit_code": 2}})
    message = play.message("tool_call")
    assert message.content == "one\ntwo\n"
    assert (message.metadata["title"], message.metadata["toolName"], message.metadata["exitCode"]) == (
        "make all",
        "exec_command",
        2,
    )
    play.update({"sessionUpdate": "tool_call", "toolCallId": "n", "name": "grep"})
    assert play.message("tool_call").metadata["title"] == "grep"


def test_the_same_update_again_writes_nothing() -> None:
    play = Play().open()
    for _ in range(2):
        tool(play, title="x", status="completed", content=said("y" * 2_000_000))
    ops = [op for effect in play.effects if isinstance(effect, Write) for op in effect.ops]
    assert len([op for op in ops if isinstance(op, PutMessage) and op.message.kind.value == "tool_call"]) == 1
    assert play.message("tool_call").metadata["truncatedFrom"] == 2_000_000


def test_diffs_locations_and_terminals() -> None:
    play = Play().open()
    content = [
        {"type": "diff", "path": "/a", "oldText": "1", "newText": "2"},
        {"type": "diff", "path": "/b", "newText": "new"},
        {"type": "terminal", "terminalId": "term"},
        {"type": "content", "content": {"type": "image", "mimeType": "image/png", "data": "…"}},
        {"type": "content", "content": {"type": "resource_link", "uri": "file:///x", "name": "x"}},
        7,
    ]
    tool(play, content=content, locations=[{"path": "/a", "line": 3}, {"line": 1}, None], rawInput={"path": "/a"})
    message = play.message("tool_call")
    assert message.metadata["diffs"] == [
        {"path": "/a", "oldText": "1", "newText": "2"},
        {"path": "/b", "newText": "new"},
    ]
    assert message.metadata["locations"] == [{"path": "/a", "line": 3}]
    assert message.metadata["terminals"] == ["term"]
    assert message.metadata["input"] == {"path": "/a"}
    assert message.content == "[image image/png]\n[x](file:///x)"


def test_a_parallel_tool_call_does_not_cut_the_text() -> None:
    play = Play(prompt="x").open()
    tool(play, title="slow")
    play.text("meanwhile ")
    tool(play, status="in_progress")
    play.text("I think")
    assert play.transcript()[-1] == ("agent", "text", "meanwhile I think")


def test_what_runs_when_the_turn_is_cancelled_is_complete() -> None:
    play = Play().open()
    tool(play, title="slow", status="in_progress")
    play.end_turn("cancelled")
    assert play.message("tool_call").metadata["cancelled"] is True
    assert play.message("tool_call").complete


def plan(play: Play, *entries: tuple[str, str]) -> None:
    listed = [{"content": text, "status": status, "priority": "high"} for text, status in entries]
    play.update({"sessionUpdate": "plan", "entries": listed})


def test_a_plan_is_one_message_per_turn() -> None:
    play = Play().open()
    plan(play, ("a", "pending"), ("b", "pending"))
    play.text("working")
    plan(play, ("a", "completed"), ("b", "in_progress"))
    message = play.message("plan")
    assert message.content == "- [x] a\n- [~] b"
    assert not message.complete
    assert message.metadata["entries"][0] == {"content": "a", "status": "completed", "priority": "high"}
    play.end_turn()
    assert play.message("plan").complete
    play.inject("i", "next")
    plan(play, ("c", "pending"))
    assert [kind for _, kind, _ in play.transcript()].count("plan") == 2
    play.update({"sessionUpdate": "plan_update", "plan": {"type": "markdown", "planId": "p", "content": "# Plan"}})
    assert play.message("plan").content == "# Plan"
    play.update({"sessionUpdate": "plan_removed", "planId": "p"})
    assert play.message("plan").metadata["removed"] is True


def test_compaction_is_one_notice_that_changes() -> None:
    play = Play().open()
    before = len(play.notices())
    play.update({"sessionUpdate": "compaction_update", "compactionId": "c", "status": "in_progress"})
    assert not play.message("notice").complete
    done = {"status": "completed", "summary": [{"type": "text", "text": "what was said"}]}
    play.update({"sessionUpdate": "compaction_update", "compactionId": "c", **done})
    assert len(play.notices()) == before + 1
    assert play.notices()[-1].endswith("what was said")
    assert play.message("notice").complete


@pytest.mark.parametrize("count", [300])
def test_many_tool_calls_are_let_go(count: int) -> None:
    play = Play().open()
    for number in range(count):
        call = {"sessionUpdate": "tool_call", "toolCallId": f"t{number}", "title": "x", "status": "completed"}
        play.update({**call, "content": said("z" * 1_000)})
    assert [kind for _, kind, _ in play.transcript()].count("tool_call") == count
