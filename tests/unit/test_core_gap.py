"""A power cut took the end of the journal: nothing is sent twice or waits for ever, and what had ended stays ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from mission_control_desktop.orchestrator.aftermath import forgotten
from mission_control_desktop.orchestrator.core.effects import Relaunch
from mission_control_desktop.orchestrator.core.gap import FIRST_UNCERTAIN, LOST, UNCERTAIN
from mission_control_desktop.record.ops import PutApproval, PutSession
from support.playing import Play, can_go_on


def cut(play: Play, **known: Any) -> bool:
    """The journal ends, the record has `known`, and all processes are gone. Whether a new process is wanted then."""
    play.feed("void")
    play.feed("void", data={"receipts": {}, **known})
    return any(isinstance(effect, Relaunch) for effect in play.feed("lost", data={"cause": "restart", "left": []}))


def come_back(play: Play) -> None:
    play.start()
    result = {
        "protocolVersion": 1,
        "agentInfo": {"name": "a", "version": "1"},
        "agentCapabilities": can_go_on("resume"),
    }
    play.reply("initialize", result)
    play.reply("session/resume", {})


@pytest.mark.parametrize(
    ("on_record", "becomes", "why"),
    [("stored", "failed", LOST), ("queued", "failed", LOST), ("delivered", "failed", UNCERTAIN)],
)
def test_an_order_that_only_the_record_knows(on_record: str, becomes: str, why: str) -> None:
    play = Play().open(again="resume")
    assert cut(play, receipts={"i1": on_record})
    assert play.state("i1") == becomes
    assert play.record.receipts["i1"][-1].detail == why
    come_back(play)
    assert len(play.prompts()) == 1


@pytest.mark.parametrize("over", ["answered", "failed", "withdrawn", "no such state"])
def test_an_order_that_was_over_stays_as_it_was(over: str) -> None:
    play = Play().open(again="resume")
    assert cut(play, receipts={"i1": over})
    assert "i1" not in play.record.receipts


@pytest.mark.parametrize(
    ("on_record", "prompts", "becomes"),
    [
        ("queued", ["Do it", "and this"], "delivered"),
        ("delivered", ["Do it"], "failed"),
        ("answered", ["Do it"], "answered"),
        ("withdrawn", ["Do it"], "withdrawn"),
    ],
)
def test_an_order_that_waited_is_sent_unless_the_record_knows_more(
    on_record: str, prompts: list[str], becomes: str
) -> None:
    play = Play().open(again="resume")
    play.inject("i1", "and this", delivery="queue")
    assert cut(play, receipts={"i1": on_record})
    come_back(play)
    assert play.prompts() == prompts
    assert play.state("i1") == becomes


@pytest.mark.parametrize("status", ["killed", "completed", "failed"])
def test_a_session_that_had_ended_is_not_started_again(status: str) -> None:
    play = Play().open(again="resume")
    assert not cut(play, status=status, endedBy="kill")
    assert play.status == status
    assert play.core.finished


def test_a_journal_without_anything_does_not_begin_anew() -> None:
    """Whether the first message was handed over is not known, so the agent is not given it by a second start."""
    play = Play()
    assert not cut(play)
    assert play.status == "failed"
    assert FIRST_UNCERTAIN in play.notices()
    assert play.prompts() == []


def test_questions_and_sub_sessions_that_no_journal_knows_are_closed() -> None:
    play = Play().open(again="resume")
    known = play.record.approvals[play.ask()][-1]
    unknown = msgspec.structs.replace(known, approval_id="other")
    lost = play.root
    sessions = {play.core.spec.session_id: play.root, "x.1": lost}
    closed, ended = forgotten([known, unknown], sessions, play.core, now=datetime.now(UTC))
    assert isinstance(closed, PutApproval)
    assert (closed.approval.approval_id, closed.approval.state.value) == ("other", "expired")
    assert isinstance(ended, PutSession)
    assert ended.session.status.value == "failed"
