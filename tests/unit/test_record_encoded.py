"""Frames on the wire, and ids for either side."""

from __future__ import annotations

import json

import pytest

from mission_control_desktop.domain.events import Delta, EventData, EventType, Reset
from mission_control_desktop.domain.kill import KillAll, KillState, KillTarget, TargetState
from mission_control_desktop.domain.text import clean_text
from mission_control_desktop.record.encoded import Encoded, Payload
from mission_control_desktop.storage.types import clean_json
from support.records import START, approval, audit_draft, message, receipt, session


def fields(frame: bytes) -> dict[str, str]:
    assert frame.endswith(b"\n\n")
    return dict(line.split(": ", 1) for line in frame.decode().split("\n") if line)


def test_a_frame_is_three_lines_whatever_the_text() -> None:
    text = "a\nb\r\n\rid: 9\u2028\u2029 😀\0"
    event = Encoded(Payload(EventType.DELTA, Delta(message_id="m", offset=3, text=text)), "e-p", 12)
    frame = event.sse
    assert frame.count(b"\n") == 4
    assert b"\r" not in frame
    found = fields(frame)
    assert (found["id"], found["event"]) == ("e-p-12", "delta")
    assert json.loads(found["data"])["text"] == text
    assert event.sse is frame
    assert event.event.event_id == "e-p-12"


def test_a_reset_has_no_id() -> None:
    event = Encoded(Payload(EventType.RESET, Reset(reason="why")), "e", None)
    assert event.sse == b'event: reset\ndata: {"reason":"why"}\n\n'
    assert event.event.event_id is None


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (EventType.MESSAGE, message("m")),
        (EventType.RECEIPT, receipt("r")),
        (EventType.APPROVAL, approval("a")),
        (EventType.SESSION, session()),
    ],
)
def test_native_frames_carry_native_ids(kind: EventType, data: EventData) -> None:
    event = Encoded(Payload(kind, data), "e", 1)
    assert json.loads(fields(event.sse)["data"])["sessionId"] == "internal:s"
    assert json.loads(fields(event.sse_native)["data"])["sessionId"] == "s"
    assert fields(event.sse)["id"] == fields(event.sse_native)["id"]


def test_native_frames_of_everything_else() -> None:
    child = Encoded(Payload(EventType.SESSION, session(parent_session_id="internal:p")), "e", 1)
    assert json.loads(fields(child.sse_native)["data"])["parentSessionId"] == "p"
    target = KillTarget(session_id="internal:s", provider="internal", state=TargetState.DEAD, at=START)
    kill = KillAll(kill_id="k", state=KillState.DONE, scope="all", started_at=START, targets=(target,))
    frame = Encoded(Payload(EventType.KILL, kill), "e", 1).sse_native
    assert json.loads(fields(frame)["data"])["targets"][0]["sessionId"] == "s"
    row = Encoded(Payload(EventType.AUDIT, audit_draft(session_id="internal:s")), "e", 1)
    assert row.sse_native == row.sse, "a row is shown as it is hashed"


def test_text_is_cleaned_one_for_one() -> None:
    assert clean_text("a\0b\ud800\udfffc😀\U0010ffff") == "a�b��c😀\U0010ffff"
    untouched = "plain é😀"
    assert clean_text(untouched) == untouched
    assert clean_json({"\0": ["\ud800", 1, None, (True, "x")]}) == {"�": ["�", 1, None, [True, "x"]]}
