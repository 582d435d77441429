"""Turns that a real gateway (2026.9.6) told, as `tests/live/record_frames.py` wrote them down."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mission_control_desktop.domain.messages import AgentMessage, MessageKind, MessageRole
from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from mission_control_desktop.providers.openclaw.reading import row_of_event
from mission_control_desktop.providers.openclaw.rows import Known, status_of
from mission_control_desktop.providers.openclaw.transcript import Transcript
from mission_control_desktop.record.ops import AppendText, PutMessage, RecordOp

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SCENES: dict[str, Any] = json.loads((Path(__file__).parent / "recorded" / "openclaw.json").read_text())
Told = dict[str, Any]


class Shelf:
    """A record in memory: applies ops as the real one does."""

    def __init__(self) -> None:
        self.messages: dict[str, AgentMessage] = {}
        self.pieces = 0

    def apply(self, ops: list[RecordOp]) -> None:
        for op in ops:
            match op:
                case PutMessage(message=message):
                    self.messages[message.message_id] = message
                case AppendText():
                    before = self.messages[op.message_id]
                    assert op.offset == len(before.content)
                    self.messages[op.message_id] = msgspec.structs.replace(before, content=before.content + op.text)
                    self.pieces += 1

    def alike(self) -> list[AgentMessage]:
        """Without times, and without what was cut off and is kept by nobody."""
        kept = [m for m in self.messages.values() if m.kind is MessageKind.TOOL_CALL or "interrupted" not in m.metadata]
        return sorted((msgspec.structs.replace(m, timestamp=NOW) for m in kept), key=lambda m: m.message_id)


def hear(transcript: Transcript, shelf: Shelf, told: Told) -> None:
    payload = told["payload"]
    if told["event"] == "session.message":
        shelf.apply(transcript.row(row_of_event(payload), NOW))
    elif told["event"] in ("agent", "session.tool"):
        shelf.apply(transcript.agent(payload, NOW))


def of_history(scene: Told) -> Shelf:
    shelf, transcript = Shelf(), Transcript("gate:s")
    for row in scene["history"]:
        shelf.apply(transcript.row(row, NOW))
    assert transcript.settle(None) == []
    return shelf


@pytest.mark.parametrize("name", SCENES)
def test_a_recorded_turn_ends_as_its_history_wherever_the_connection_was_lost(name: str) -> None:
    scene = SCENES[name]
    wanted = of_history(scene).alike()
    assert wanted
    for lost in range(len(scene["events"]) + 1):
        shelf, transcript = Shelf(), Transcript("gate:s")
        for told in scene["events"][:lost]:
            hear(transcript, shelf, told)
        if lost % 2:  # Half of the times another process reads on.
            transcript = Transcript("gate:s")
            transcript.recall(list(shelf.messages.values()))
        for row in scene["history"]:
            shelf.apply(transcript.row(row, NOW))
        shelf.apply(transcript.settle(None))
        assert shelf.alike() == wanted, f"{lost} events were told"
        assert all(message.complete for message in shelf.messages.values())


@pytest.mark.parametrize("name", ["aborted_in_a_text", "interrupted"])
def test_a_recorded_text_grows_piece_by_piece(name: str) -> None:
    shelf, transcript = Shelf(), Transcript("gate:s")
    for told in SCENES[name]["events"]:
        hear(transcript, shelf, told)
    assert shelf.pieces > 3
    assert "w0 w1 w2" in next(m.content for m in shelf.messages.values() if m.role is MessageRole.AGENT)


def test_a_recorded_command_that_was_aborted_has_the_gateways_word_for_it() -> None:
    (call,) = [
        m for m in of_history(SCENES["aborted_in_a_command"]).messages.values() if m.kind is MessageKind.TOOL_CALL
    ]
    assert (call.content, call.metadata["status"], call.complete) == ("aborted", "failed", True)


@pytest.mark.parametrize(
    ("name", "status", "waiting_for"),
    [
        ("steered", SessionStatus.WAITING, WaitingFor.OPERATOR),
        ("aborted_in_a_command", SessionStatus.WAITING, WaitingFor.OPERATOR),
        ("aborted_in_a_text", SessionStatus.KILLED, None),
        ("interrupted", SessionStatus.WAITING, WaitingFor.OPERATOR),
    ],
)
def test_a_recorded_sessions_status(name: str, status: SessionStatus, waiting_for: WaitingFor | None) -> None:
    scene, seen = SCENES[name], []
    known = Known(scene["row"]["key"])
    for told in scene["events"]:
        if isinstance(row := told["payload"].get("session"), dict):
            known.take(row)
            seen.append(status_of(known)[0])
    assert SessionStatus.RUNNING in seen
    known.take(scene["row"])
    assert status_of(known) == (status, waiting_for)
    if status is SessionStatus.KILLED:
        known.cancelled = known.run_id  # By us: then it goes on.
        assert status_of(known) == (SessionStatus.WAITING, WaitingFor.OPERATOR)
