"""What messages of each kind are made of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.ui.transcript import blocks, export
from mission_control_desktop.ui.transcript.blocks import (
    Cleaner,
    Content,
    Diff,
    Fold,
    Label,
    Notice,
    Output,
    Plan,
    Question,
    ToolHead,
    clean,
    make_diff,
    open_at_first,
    unfenced,
)
from mission_control_desktop.ui.transcript.entry import Entry, Growth
from mission_control_desktop.ui.transcript.highlight import spans_of
from mission_control_desktop.ui.transcript.images import Image, split_images, without_images
from mission_control_desktop.ui.transcript.markdown import Code, Prose


def entry(content: str = "", role: MessageRole = MessageRole.AGENT, **metadata: Any) -> Entry:
    message = AgentMessage(
        message_id="m",
        session_id="internal:s",
        role=role,
        content=content,
        timestamp=datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
        seq=1,
        metadata={"kind": "text", "complete": True, **metadata},
    )
    return Entry(message, 0)


def made_of(item: Entry, *, expanded: bool = True) -> list[blocks.Block]:
    return Content().update(item, expanded=expanded)


def test_prose_and_code() -> None:
    assert made_of(entry("Hello\n\n```py\nx\n```")) == [Prose("Hello"), Code("x", "py")]


def test_a_collapsed_tool_call_is_one_line_that_says_what_is_inside() -> None:
    item = entry("a\nb\nc", kind="tool_call", title="ls", toolKind="execute", status="completed")
    assert made_of(item, expanded=False) == [ToolHead("ls", "execute", "completed", "3 lines, 5 B")]
    assert not open_at_first(item)


def test_an_open_tool_call_shows_input_change_and_output() -> None:
    item = entry(
        "```console\ndone\n```",
        kind="tool_call",
        title="Edit",
        toolKind="edit",
        status="completed",
        input={"path": "a.py", "mode": 3},
        diffs=[{"path": "a.py", "oldText": "one\ntwo\n", "newText": "one\nthree\n"}],
    )
    head, input_label, shown_input, path, diff, output_label, output = made_of(item)
    assert isinstance(head, ToolHead)
    assert head.detail == "+1 −1, 4 B"
    assert input_label == Label("Input")
    assert isinstance(shown_input, Output)
    assert shown_input.language == "json"
    assert path == Label("a.py", "+1 −1")
    assert isinstance(diff, Diff)
    assert [(line.sign, line.text) for line in diff.lines] == [(" ", "one"), ("-", "two"), ("+", "three")]
    assert output_label == Label("Output")
    assert output == Output("done")
    assert open_at_first(item)


def test_a_failed_tool_call_is_open() -> None:
    assert open_at_first(entry("boom", kind="tool_call", title="x", status="failed"))


def test_thoughts_fold_to_their_first_line() -> None:
    item = entry("\n**Look** at it\nmore", kind="thought")
    assert made_of(item, expanded=False) == [Fold("Thought", "Look** at it")]
    assert made_of(item) == [Fold("Thought"), Prose("**Look** at it\nmore")]
    assert made_of(entry("x", kind="thought", complete=False), expanded=False) == [Fold("Thinking…", "x")]


def test_plans_count_what_is_done_and_name_what_is_under_way() -> None:
    steps = [
        {"content": "a", "status": "completed"},
        {"content": "b", "status": "in_progress"},
        {"content": "c", "status": "pending"},
    ]
    item = entry(kind="plan", entries=steps)
    head, plan = made_of(item)
    assert head == Fold("Plan  1 of 3")
    assert isinstance(plan, Plan)
    assert [step.text for step in plan.items] == ["a", "b", "c"]
    under_way = entry(kind="plan", entries=steps, complete=False)
    assert made_of(under_way, expanded=False) == [Fold("Plan  1 of 3", "b")]


def test_what_was_stopped_in_the_middle_is_never_shown_as_running() -> None:
    call: dict[str, Any] = {"kind": "tool_call", "title": "Run it", "toolKind": "execute"}
    for status in ("pending", "in_progress"):
        assert made_of(entry(**call, status=status, complete=False), expanded=False) == [
            blocks.ToolHead("Run it", "execute", status, "")
        ]
        assert made_of(entry(**call, status=status), expanded=False) == [
            blocks.ToolHead("Run it", "execute", blocks.UNFINISHED, "")
        ]
    plan = made_of(entry(kind="plan", entries=[{"content": "a", "status": "in_progress"}]))[1]
    assert isinstance(plan, Plan)
    assert [step.status for step in plan.items] == [blocks.UNFINISHED]


@pytest.mark.parametrize(
    ("metadata", "answer", "positive"),
    [
        ({"state": "open"}, "", None),
        ({"state": "answered", "answer": "y", "answeredBy": "ana"}, "Yes — ana", True),
        ({"state": "answered", "answer": "n"}, "No", False),
        ({"state": "expired"}, "Expired unanswered", None),
    ],
)
def test_questions_say_who_answered_what(metadata: dict[str, Any], answer: str, positive: bool | None) -> None:
    options = [
        {"optionId": "y", "kind": "allow_once", "label": "Yes"},
        {"optionId": "n", "kind": "reject_once", "label": "No"},
    ]
    item = entry(kind="permission", title="Run", detail={"command": ["rm", "-r", "x"]}, options=options, **metadata)
    [question] = made_of(item)
    assert question == Question("Run", "rm -r x", metadata["state"], answer, positive)


def test_notices() -> None:
    assert made_of(entry("late", kind="notice", level="warning")) == [Notice("warning", "late")]


@pytest.mark.parametrize("metadata", [{"kind": "no such kind"}, {"kind": "tool_call", "diffs": 7, "input": [1]}, {}])
def test_odd_metadata_is_shown_all_the_same(metadata: dict[str, Any]) -> None:
    assert made_of(entry("text", **metadata))


@pytest.mark.parametrize(
    "metadata",
    [
        {"kind": "plan", "entries": ["x", None, {"content": 3}]},
        {"kind": "permission", "options": [1], "detail": [1]},
        {"kind": "tool_call", "diffs": [None, {"path": None, "oldText": None, "newText": None}], "title": None},
    ],
)
def test_metadata_of_the_wrong_form_breaks_nothing(metadata: dict[str, Any]) -> None:
    item = entry("", **metadata)
    made_of(item)
    made_of(item, expanded=False)
    open_at_first(item)
    export.message_markdown(item)


def test_terminal_escapes_and_control_characters_go() -> None:
    assert clean("\x1b[31mred\x1b[0m\r\nnext\x07\x1b]0;title\x07!") == "red\nnext�!"


def test_one_fence_around_output_goes() -> None:
    assert unfenced("```\na\nb\n```") == "a\nb"
    assert unfenced("a ``` b") == "a ``` b"


def test_huge_files_are_not_compared_line_by_line() -> None:
    diff = make_diff({"path": "x", "oldText": "a\n" * 9_000, "newText": "b\n" * 9_000})
    assert len(diff.lines) <= 2 * blocks.DIFF_MAX_LINES
    assert (diff.added, diff.removed) == (9_000, 9_000)


def test_appending_accepts_what_fits_and_marks_gaps() -> None:
    item = entry("abc")
    assert item.append(3, "def") is Growth.GROWN
    assert item.append(3, "def") is Growth.KNOWN
    assert item.append(4, "efgh") is Growth.GROWN
    assert item.text == "abcdefgh"
    assert item.append(20, "x") is Growth.GAP
    assert item.broken
    assert item.text == "abcdefgh"


def test_text_that_contradicts_what_is_there_is_a_gap() -> None:
    item = entry("abc")
    assert item.append(1, "XYZ") is Growth.GAP


def test_offsets_count_code_points() -> None:
    item = entry("🚀é")
    assert item.append(2, "x") is Growth.GROWN
    assert item.text == "🚀éx"


def test_copied_messages_say_who_and_when_with_the_zone() -> None:
    text = export.message_markdown(entry("Do *this*", MessageRole.OPERATOR, operatorId="ana"))
    first, _, body = text.partition("\n\n")
    assert first.startswith(("[OPERATOR] ana 2026-11-22 ", "[OPERATOR] ana 2026-11-23 "))
    assert first[-6] in "+-"
    assert body == "Do *this*\n"


def test_copied_fences_are_longer_than_those_inside() -> None:
    text = export.message_markdown(entry("a\n```\nb", kind="tool_call", title="t", toolKind="read", status="completed"))
    assert "````\na\n```\nb\n````" in text


def test_code_colours_cover_only_what_is_there() -> None:
    code = "def f(x):\n    return 'ü🚀'  # why\n"
    spans = spans_of(code, "python")
    assert {name for _, _, name in spans} >= {"keyword", "string", "comment"}
    assert all(start >= 0 and start + length <= len(code) for start, length, _ in spans)
    assert spans_of(code, "no-such-language") == ()


@given(
    st.lists(
        st.sampled_from(["word", "\r", "\n", "\x1b[31m", "\x1b[", "0m", "\x1b]0;t", "\x07", "\x00", "é🚀"]), max_size=14
    )
)
def test_text_that_grows_is_cleaned_as_if_it_had_come_whole(pieces: list[str]) -> None:
    cleaner, text = Cleaner(), ""
    for piece in pieces:
        text += piece
        assert cleaner.update(text) == clean(text)


def test_text_that_was_replaced_is_cleaned_anew() -> None:
    cleaner = Cleaner()
    cleaner.update("first\r\nwords")
    assert cleaner.update("other\r\nwords\x1b[0m") == "other\nwords"
    assert cleaner.update("other") == "other"


def test_pictures_are_found_but_not_in_code_nor_half() -> None:
    shot = "![a](data:image/png;base64,AAAA)"
    assert split_images(f"x {shot} y") == ["x ", Image("a", "png", "AAAA"), " y"]
    assert split_images(f"```\n{shot}\n```\n{shot}")[1:] == [Image("a", "png", "AAAA")]
    assert split_images(f"x {shot[:-3]}") == ["x ", Image("a", "png", "")]
    assert split_images("![a](data:image/svg+xml;base64,AAAA)") == ["![a](data:image/svg+xml;base64,AAAA)"]
    assert without_images(f"x {shot} y") == "x image: a y"
