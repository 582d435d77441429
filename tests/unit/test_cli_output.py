"""What the command line prints, and what it never sends to a terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest

from mission_control_desktop.cli.output import Output, elapsed, one_line, safe
from mission_control_desktop.cli.tail import Printer
from mission_control_desktop.domain.approvals import Approval, ApprovalOption
from mission_control_desktop.domain.events import Delta, EventData, EventType, Reset, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, Evidence, SessionStatus, WaitingFor

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Screen:
    def __init__(self, *, json: bool = False) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.output = Output(json=json, stdout=self.out, stderr=self.err)
        self.printer = Printer(self.output)

    def show(self, *events: EventData) -> Screen:
        for data in events:
            kind = next(kind for kind in EventType if type(data).__name__.lower().endswith(kind.value))
            self.printer.show(StreamEvent(event_id="e-1", type=kind, data=data))
        return self

    @property
    def lines(self) -> list[str]:
        """Without the times."""
        return [line.partition("] ")[2] if line.startswith("[20") else line for line in self.out.getvalue().split("\n")]


def message(content: str, message_id: str = "m", role: str = "agent", **metadata: object) -> AgentMessage:
    return AgentMessage(
        message_id=message_id,
        session_id="internal:a",
        role=MessageRole(role),
        content=content,
        timestamp=NOW,
        metadata=metadata,
    )


def session(status: SessionStatus, waiting_for: WaitingFor | None = None) -> AgentSession:
    return AgentSession(
        session_id="internal:a",
        provider="internal",
        status=status,
        spawned_at=NOW,
        capabilities=Capabilities(),
        evidence=Evidence(last_event_at=NOW, source="agent"),
        waiting_for=waiting_for,
    )


def delta(offset: int, text: str, message_id: str = "m") -> Delta:
    return Delta(message_id=message_id, offset=offset, text=text)


def test_control_characters_are_shown_not_sent() -> None:
    evil = "a\x1b]0;title\x07\x9b2J\r\nb\rc\u202edcba\tz"
    assert safe(evil) == "a\\x1b]0;title\\x07\\x9b2J\nb\\x0dc\\x202edcba\tz"
    assert one_line("a\n  b\t c") == "a b c"


def test_columns_are_aligned_and_the_empty_table_says_so() -> None:
    screen = Screen()
    screen.output.table(("ID", "TITLE"), [("a", "first"), ("bbbb", "se\x1bcond")], empty="none")
    assert screen.out.getvalue() == "ID    TITLE\na     first\nbbbb  se\\x1bcond\n"
    screen.output.table(("ID",), [], empty="none")
    assert screen.err.getvalue() == "none\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0s"), (5, "5s"), (65, "1m05s"), (3725, "1h02m"), (90_000, "1d01h")]
)
def test_elapsed(seconds: int, text: str) -> None:
    assert elapsed(NOW, NOW + timedelta(seconds=seconds)) == text


def test_streaming_text_comes_out_once() -> None:
    screen = Screen().show(
        message("Hel"), delta(3, "lo"), delta(3, "lo w"), message("Hello world"), message("Hello world")
    )
    screen.printer.end()
    assert screen.lines == ["[AGENT]", "Hello world", ""]


def test_two_that_speak_at_once_stay_apart() -> None:
    screen = Screen().show(message("one", "a"), message("two", "b", kind="thought"), delta(3, " more", "a"))
    screen.printer.end()
    assert screen.lines == ["[AGENT]", "one", "[AGENT] thought", "two", "  (goes on)", " more", ""]


def test_text_that_was_replaced_is_printed_again() -> None:
    screen = Screen().show(message("wrong"), message("right"))
    screen.printer.end()
    assert screen.lines == ["[AGENT]", "wrong", "[AGENT] (changed)", "right", ""]


def test_a_gap_is_never_papered_over() -> None:
    screen = Screen().show(message("ab"), delta(9, "x"), message("ab and more"))
    screen.printer.end()
    assert screen.lines == ["[AGENT]", "ab and more", ""]


def test_tool_calls_show_each_state_once() -> None:
    call = {"kind": "tool_call", "title": "Run tests"}
    long = "\n".join(str(n) for n in range(25))
    screen = Screen().show(
        message("", **call, status="pending"),
        message("partial", **call, status="pending"),
        message(long, **call, status="completed"),
    )
    assert screen.lines[:3] == [
        "[AGENT] tool call: Run tests pending",
        "[AGENT] tool call: Run tests completed",
        "    0",
    ]
    assert screen.lines[-2] == "    ... 5 more lines"


def test_plans_questions_and_states() -> None:
    entries = [{"content": "look", "status": "completed"}, {"content": "leap", "status": "pending"}]
    approval = Approval(
        approval_id="0199aaaaaaaa70008000000000001234",
        session_id="internal:a",
        provider="internal",
        title="rm -rf\nbuild",
        options=(ApprovalOption(option_id="y", kind="allow_once", label="Yes"),),
        created_at=NOW,
    )
    screen = Screen().show(
        message("", kind="plan", entries=entries),
        session(SessionStatus.WAITING, WaitingFor.APPROVAL),
        session(SessionStatus.WAITING, WaitingFor.APPROVAL),
        approval,
        session(SessionStatus.COMPLETED),
        Reset(reason="rebuilt"),
    )
    assert screen.lines == [
        "[AGENT] plan: 1 of 2 done",
        "    completed: look",
        "    pending: leap",
        "-- waiting for approval",
        "-- asks: rm -rf build (mission-control approvals allow|deny 00001234)",
        "-- completed",
        "-- the record was rebuilt; from its beginning:",
        "",
    ]
    assert screen.printer.final


def test_json_is_one_event_per_line() -> None:
    screen = Screen(json=True).show(delta(0, "a\nb"), session(SessionStatus.FAILED))
    first, second, rest = screen.out.getvalue().split("\n")
    assert first == '{"id":"e-1","type":"delta","data":{"messageId":"m","offset":0,"text":"a\\nb"}}'
    assert '"status":"failed"' in second
    assert rest == ""
    assert screen.printer.final
