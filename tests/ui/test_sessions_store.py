"""What is known of sessions, from streams and from the answers of orders."""

from __future__ import annotations

from typing import Any

import msgspec

from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.ui.sessions import SessionStore


def _as(session: AgentSession, status: str, **more: Any) -> AgentSession:
    return msgspec.structs.replace(session, status=SessionStatus(status), **more)


def test_an_answer_never_undoes_what_the_stream_has_told_since(qt: Any, make_session: Any) -> None:
    store = SessionStore()
    asked: AgentSession = make_session("a", status="waiting")
    store.put([asked])
    store.put([_as(asked, "completed")])
    store.put_answer(asked, _as(asked, "waiting", metadata={"ending": "terminate"}))
    assert store.sessions["internal:a"].status.value == "completed", "an end is the end"
    assert store.live_count == 0
    known = store.sessions["internal:a"]
    store.put_answer(known, _as(asked, "running"))
    assert store.sessions["internal:a"].status.value == "running", "nothing was told since: the answer is the newest"
