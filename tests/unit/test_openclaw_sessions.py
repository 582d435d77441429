"""What a gateway tells of sessions and messages, as sessions and messages of ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mission_control_desktop.domain.messages import AgentMessage, MessageKind, MessageRole
from mission_control_desktop.domain.sessions import Delivery, SessionStatus, WaitingFor
from mission_control_desktop.providers.openclaw.reading import finds_its_place, number_of, running_of
from mission_control_desktop.providers.openclaw.rows import Known, session_of
from mission_control_desktop.providers.openclaw.transcript import Transcript, injection_of, key_of
from mission_control_desktop.record.ops import AppendText, PutMessage, RecordOp

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PATIENT = settings(deadline=None, max_examples=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def known(**row: Any) -> Known:
    found = Known("agent:main:x")
    found.take({"createdAt": 1_795_398_700_000, **row})
    return found


# Sessions


@pytest.mark.parametrize(
    ("row", "status", "waiting_for"),
    [
        ({"hasActiveRun": True, "status": "running"}, SessionStatus.RUNNING, None),
        ({"activeRunIds": ["r"]}, SessionStatus.RUNNING, None),
        ({"hasActiveRun": False, "status": "running"}, SessionStatus.WAITING, WaitingFor.OPERATOR),
        ({}, SessionStatus.WAITING, WaitingFor.OPERATOR),
        ({"status": "done"}, SessionStatus.WAITING, WaitingFor.OPERATOR),
        ({"status": "done", "hasActiveSubagentRun": True}, SessionStatus.WAITING, WaitingFor.CHILDREN),
        ({"status": "done", "spawnedBy": "p"}, SessionStatus.COMPLETED, None),
        ({"status": "done", "archived": True}, SessionStatus.COMPLETED, None),
        ({"status": "failed", "lastRunError": "no"}, SessionStatus.FAILED, None),
        ({"status": "timeout"}, SessionStatus.FAILED, None),
        ({"status": "killed"}, SessionStatus.KILLED, None),
        ({"status": "queued"}, SessionStatus.WAITING, WaitingFor.PROVIDER),
    ],
)
def test_statuses(row: dict[str, Any], status: SessionStatus, waiting_for: WaitingFor | None) -> None:
    session = session_of(known(**row), "gate", NOW)
    assert (session.status, session.waiting_for) == (status, waiting_for)
    assert (session.completed_at is not None) == status.final
    assert (session.error is not None) == (status is SessionStatus.FAILED)


def test_waiting_is_derived_from_what_is_open() -> None:
    session = known(hasActiveRun=True, status="running")
    session.retrying = "Retrying in 23s (7/8)."
    assert session_of(session, "gate", NOW).waiting_for is WaitingFor.PROVIDER
    assert session_of(session, "gate", NOW).metadata["retrying"] == "Retrying in 23s (7/8)."
    session.questions.add("q")
    assert session_of(session, "gate", NOW).waiting_for is WaitingFor.OPERATOR
    session.approvals.add("a")
    assert session_of(session, "gate", NOW).waiting_for is WaitingFor.APPROVAL


def test_a_background_command_keeps_a_session_from_being_over() -> None:
    session = known(status="killed")
    session.tasks["t"] = "sleep 60"
    shown = session_of(session, "gate", NOW)
    assert (shown.status, shown.waiting_for) == (SessionStatus.WAITING, WaitingFor.CHILDREN)
    assert shown.metadata["backgroundCommands"] == ["sleep 60"]


def test_the_tree_is_by_who_spawned_it() -> None:
    assert session_of(known(parentSessionKey="agent:main:main"), "gate", NOW).parent_session_id is None
    assert session_of(known(spawnedBy="agent:main:p"), "gate", NOW).parent_session_id == "gate:agent:main:p"


def test_capabilities_say_what_is_true() -> None:
    idle = session_of(known(status="done"), "gate", NOW).capabilities
    assert (idle.inject[0], idle.pause, idle.kill) == (Delivery.STEER, None, True)
    assert "no pause" in idle.reasons["pause"]
    child = session_of(known(spawnedBy="p", hasActiveRun=True), "gate", NOW).capabilities
    assert child.inject == (Delivery.QUEUE, Delivery.INTERRUPT)
    assert "after its run" in child.reasons["steer"]
    reader = session_of(known(), "gate", NOW, write=False, approvals=False).capabilities
    assert (reader.inject, reader.terminate, reader.kill, reader.approvals) == ((), False, False, False)
    assert set(reader.reasons) >= {"inject", "kill", "terminate", "approvals"}
    assert session_of(known(archived=True), "gate", NOW).capabilities.inject == ()


def test_what_was_ended_here_stays_ended_until_it_works_again() -> None:
    session = known(status="done", lastRunId="r1")
    session.ended = SessionStatus.KILLED
    session.take({"status": "done"})
    assert session_of(session, "gate", NOW).status is SessionStatus.KILLED
    session.take({"hasActiveRun": True, "activeRunIds": ["r2"]})
    shown = session_of(session, "gate", NOW)
    assert (shown.status, shown.run_id) == (SessionStatus.RUNNING, "r2")


@pytest.mark.parametrize(
    ("in_flight", "queued", "seen", "running", "finding"),
    [
        ("r1", [], None, "r1", False),
        ("r1", [], "r0", "r1", False),
        ("mc-2", ["mc-2"], "r1", "r1", True),  # As the gateway tells it right after a message was queued.
        ("mc-2", ["mc-2"], None, None, True),
        ("mc-1", ["mc-1"], "mc-1", "mc-1", False),
        ("r1", ["mc-2"], "r1", "r1", False),
        (None, ["mc-2"], "r1", "r1", False),
        (None, [], "r1", "r1", False),
        (None, [], None, None, False),
    ],
)
def test_the_run_under_way_is_not_a_message_that_waits_for_its_end(
    in_flight: str | None, queued: list[str], seen: str | None, running: str | None, finding: bool
) -> None:
    session = known(hasActiveRun=True, activeRunIds=[seen] if seen else None)
    head: dict[str, Any] = {"pendingInputs": {"items": [{"runId": one, "state": "queued"} for one in queued]}}
    if in_flight is not None:
        head["inFlightRun"] = {"runId": in_flight}
    assert running_of(head, session) == running
    assert finds_its_place(head, session) is finding


def test_the_run_of_a_turn_that_only_begins_is_not_the_one_before() -> None:
    session = known(hasActiveRun=False, activeRunIds=[], status="done", lastRunId="r1")

    def run_after(**row: Any) -> str | None:
        session.take(row)
        return session.run_id

    assert run_after(hasActiveRun=True, activeRunIds=None, lastRunId=None) is None
    session.began("r2")
    assert run_after(lastRunId=None) == "r2"
    session.cancelled = "r2"
    session.take({"activeRunIds": ["r3"], "lastRunId": "r2"})
    session.began("r2")  # A late word of it.
    assert run_after(activeRunIds=None) == "r3"


def test_an_older_picture_changes_nothing() -> None:
    session = known(status="done", snapshotAt=20)
    assert not session.take({"status": "running", "hasActiveRun": True, "snapshotAt": 10})
    assert not session.active
    assert session.take({"hasActiveRun": True, "snapshotAt": 20})


@PATIENT
@given(
    st.dictionaries(st.sampled_from(["status", "hasActiveRun", "createdAt", "updatedAt", "spawnedBy", "label"]), JSON)
)
def test_no_row_breaks_a_session(row: dict[str, Any]) -> None:
    session = session_of(known(**row), "gate", NOW)
    assert session.session_id == "gate:agent:main:x"
    assert len(session.title or "") <= 200


# Messages

RUN = "mc-1"


def row(seq: int, role: str, content: Any, *, run: str | None = RUN, **more: Any) -> dict[str, Any]:
    about = {"id": f"row-{seq}", "seq": seq, **({"runId": run} if run else {})}
    return {"role": role, "content": content, "timestamp": 1_795_398_700_000 + seq, "__openclaw": about, **more}


HISTORY = [
    row(1, "user", "do it", run=None, idempotencyKey="mc-1:user"),
    row(2, "assistant", [{"type": "toolCall", "id": "c1", "name": "exec", "arguments": {"command": "ls"}}]),
    row(3, "toolResult", [{"type": "text", "text": "a b"}], toolCallId="c1", toolName="exec"),
    row(4, "user", "and quickly", run=None),
    row(5, "assistant", [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Two files."}]),
    row(6, "system", "compacted", run=None),
]


class Shelf:
    """A record in memory: applies ops as the real one does."""

    def __init__(self) -> None:
        self.messages: dict[str, AgentMessage] = {}
        self.writes = 0

    def apply(self, ops: list[RecordOp]) -> None:
        for op in ops:
            self.writes += 1
            if isinstance(op, PutMessage):
                self.messages[op.message.message_id] = op.message
            elif isinstance(op, AppendText):
                before = self.messages[op.message_id]
                assert op.offset == len(before.content)
                self.messages[op.message_id] = _with(before, before.content + op.text)

    @property
    def texts(self) -> list[tuple[str, str, str]]:
        return [(m.role.value, m.kind.value, m.content) for m in self.messages.values()]


def _with(message: AgentMessage, content: str) -> AgentMessage:
    return AgentMessage(**{**{name: getattr(message, name) for name in message.__struct_fields__}, "content": content})


def read(transcript: Transcript, shelf: Shelf, rows: list[dict[str, Any]]) -> None:
    for one in rows:
        shelf.apply(transcript.row(one, NOW))


def test_a_history_becomes_a_transcript() -> None:
    shelf = Shelf()
    read(Transcript("gate:s", lambda _: "ann"), shelf, HISTORY)
    assert shelf.texts == [
        ("operator", "text", "do it"),
        ("agent", "tool_call", "a b"),
        ("user", "text", "and quickly"),
        ("agent", "thought", "hm"),
        ("agent", "text", "Two files."),
        ("system", "notice", "compacted"),
    ]
    operator = next(m for m in shelf.messages.values() if m.role is MessageRole.OPERATOR)
    assert (operator.metadata["injectionId"], operator.metadata["operatorId"]) == ("1", "ann")
    call = next(m for m in shelf.messages.values() if m.kind is MessageKind.TOOL_CALL)
    assert (call.metadata["status"], call.metadata["input"], call.metadata["title"]) == (
        "completed",
        {"command": "ls"},
        "exec: ls",
    )


def stream() -> list[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
    """A run as it is told live to who follows it: rows (no tool results), and the agent's own events."""

    def event(stream_name: str, **data: Any) -> tuple[None, dict[str, Any]]:
        return None, {"runId": RUN, "stream": stream_name, "data": data, "ts": 1_795_398_700_009}

    return [
        (HISTORY[0], None),
        event("lifecycle", phase="start"),
        (HISTORY[1], None),
        event("tool", phase="start", name="exec", toolCallId="c1", args={"command": "ls"}),
        event("tool", phase="update", toolCallId="c1", partialResult={"content": [{"type": "text", "text": "a"}]}),
        event("tool", phase="result", toolCallId="c1", result={"content": [{"type": "text", "text": "a b"}]}),
        (HISTORY[3], None),
        event("assistant", text="Two", itemId="i:2"),
        event("assistant", text="Two fi", itemId="i:2"),
        event("assistant", text="Two files.", itemId="i:2"),
        (HISTORY[4], None),
        event("assistant", text="Two files.", itemId="i:2"),
        event("lifecycle", phase="end"),
        (HISTORY[5], None),
    ]


def told(transcript: Transcript, shelf: Shelf, one: tuple[dict[str, Any] | None, dict[str, Any] | None]) -> None:
    new_row, event = one
    if new_row is not None:
        shelf.apply(transcript.row(new_row, NOW))
    if event is not None:
        shelf.apply(transcript.agent(event, NOW))


def alike(shelf: Shelf) -> list[AgentMessage]:
    """The transcript without its order (a streamed text stands before its thought) and without times."""
    return sorted((_at(m) for m in shelf.messages.values()), key=lambda m: m.message_id)


def _at(message: AgentMessage) -> AgentMessage:
    return AgentMessage(**{**{name: getattr(message, name) for name in message.__struct_fields__}, "timestamp": NOW})


@PATIENT
@given(st.data())
def test_whatever_is_missed_or_told_twice_the_transcript_is_the_gateways(data: st.DataObject) -> None:
    """Cut the stream at any places, lose any part of it, begin anew as another process, read the history again."""
    straight = Shelf()
    read(Transcript("gate:s"), straight, HISTORY)
    shelf, transcript, written = Shelf(), Transcript("gate:s"), 0
    for position, one in enumerate(stream()):
        happens = data.draw(st.sampled_from(["told", "told", "told", "twice", "cut off", "new process"]))
        seen = max((number_of(r) for r, _ in stream()[: position + 1] if r is not None), default=0)
        if happens == "cut off":  # It is missed; then the history is read.
            read(transcript, shelf, HISTORY[:seen])
            written = seen
            continue
        if happens == "new process":
            transcript = Transcript("gate:s")
            for r in HISTORY[:seen]:
                shelf.apply(transcript.row(r, NOW, known=number_of(r) <= written))
            written = seen
        told(transcript, shelf, one)
        if happens == "twice":
            told(transcript, shelf, one)
    read(transcript, shelf, HISTORY)
    assert alike(shelf) == alike(straight)


def test_reading_again_writes_nothing() -> None:
    shelf, transcript = Shelf(), Transcript("gate:s")
    read(transcript, shelf, HISTORY)
    writes = shelf.writes
    read(transcript, shelf, HISTORY)
    assert shelf.writes == writes


def test_a_text_that_was_cut_off_is_closed_and_said_to_be() -> None:
    shelf, transcript = Shelf(), Transcript("gate:s")
    shelf.apply(
        transcript.agent({"runId": RUN, "stream": "assistant", "data": {"text": "w0 w1", "itemId": "i:1"}}, NOW)
    )
    shelf.apply(transcript.agent({"runId": RUN, "stream": "lifecycle", "data": {"phase": "end", "aborted": True}}, NOW))
    (message,) = shelf.messages.values()
    assert (message.complete, message.metadata["interrupted"]) == (True, True)
    read(transcript, shelf, [row(1, "assistant", [{"type": "text", "text": "w0 w1"}])])
    (message,) = shelf.messages.values()
    assert "interrupted" not in message.metadata


def test_a_call_that_its_run_left_open_is_settled_and_a_late_result_is_taken() -> None:
    shelf, transcript = Shelf(), Transcript("gate:s")
    read(transcript, shelf, HISTORY[:2])
    shelf.apply(transcript.settle(RUN))
    call = next(m for m in shelf.messages.values() if m.kind is MessageKind.TOOL_CALL)
    assert not call.complete  # Its run goes on.
    shelf.apply(transcript.settle("another-run"))
    settled = shelf.messages[call.message_id]
    assert (settled.complete, settled.metadata["status"], settled.metadata["interrupted"]) == (
        True,
        "in_progress",
        True,
    )
    assert transcript.settle(None) == []
    read(transcript, shelf, HISTORY[2:3])
    late = shelf.messages[call.message_id]
    assert (late.content, late.metadata["status"], late.complete) == ("a b", "completed", True)
    assert "interrupted" not in late.metadata


def test_what_an_earlier_process_left_open_is_settled() -> None:
    before, shelf = Transcript("gate:s"), Shelf()
    read(before, shelf, HISTORY[:2])
    shelf.apply(before.agent({"runId": RUN, "stream": "assistant", "data": {"text": "w0", "itemId": "i:2"}}, NOW))
    transcript = Transcript("gate:s")
    transcript.recall(list(shelf.messages.values()))
    shelf.apply(transcript.settle(RUN))
    assert [m.complete for m in shelf.messages.values()] == [True, False, False]
    shelf.apply(transcript.settle(None))
    assert [m.complete for m in shelf.messages.values()] == [True, True, True]
    assert [m.content for m in shelf.messages.values()] == ["do it", "", "w0"]


def test_one_record_with_several_rows_keeps_them_all() -> None:
    shelf = Shelf()
    twice = [row(1, "user", "a", run=None), {**row(2, "user", "b", run=None), "__openclaw": {"id": "row-1", "seq": 2}}]
    read(Transcript("gate:s"), shelf, twice)
    assert [text for _, _, text in shelf.texts] == ["a", "b"]


def test_the_key_of_an_injection_is_found_in_its_row() -> None:
    assert injection_of({"idempotencyKey": f"{key_of('abc')}:user"}) == "abc"
    assert injection_of({"__openclaw": {"idempotencyKey": f"{key_of('abc')}:user"}}) == "abc"
    assert injection_of({"idempotencyKey": "other:user"}) is None
    assert injection_of({"idempotencyKey": f"{key_of('abc')}:terminal-error"}) is None


@PATIENT
@given(JSON, JSON, JSON)
def test_no_row_and_no_event_breaks_a_transcript(content: Any, about: Any, data: Any) -> None:
    transcript = Transcript("gate:s")
    for role in ("user", "assistant", "toolResult", "system", "other"):
        transcript.row({"role": role, "content": content, "__openclaw": about}, NOW)
        transcript.row({"role": role, "content": [content], "__openclaw": {"id": "x", "seq": 1, "runId": "r"}}, NOW)
    for name in ("assistant", "tool", "lifecycle", "other"):
        transcript.agent({"runId": "r", "stream": name, "data": data}, NOW)
        transcript.agent({"runId": "r", "stream": name, "data": {"toolCallId": "c", "result": data, "text": data}}, NOW)
