"""What comes in and what is drawn go by one clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from mission_control_desktop.client.inbox import Inbox, Link, LinkState
from mission_control_desktop.ui.bridge import Bridge
from mission_control_desktop.ui.transcript import scheduler as s


class Panel:
    def __init__(self) -> None:
        self.flushed = 0

    def flush(self) -> None:
        self.flushed += 1


def link() -> Link:
    return Link(state=LinkState.CONNECTED, since=datetime.now(UTC))


def test_what_was_handed_out_is_drawn_in_the_same_frame(qt: Any) -> None:
    scheduler, panel, inbox = s.FlushScheduler(hold=0.0), Panel(), Inbox()
    bridge = Bridge(inbox, handed=scheduler.at_once)
    bridge.listen("internal:a", lambda items: scheduler.request(panel))
    inbox.put("internal:a", link())
    bridge.drain()
    assert panel.flushed == 1


def test_frames_keep_their_distance_whoever_asks(qt: Any, monkeypatch: Any) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    scheduler, panel = s.FlushScheduler(hold=0.0), Panel()
    scheduler.request(panel)
    scheduler.at_once()
    assert panel.flushed == 1
    scheduler.request(panel)
    now[0] += s.FRAME_MS / 2_000
    scheduler.at_once()
    assert panel.flushed == 1
    qt.waitUntil(lambda: panel.flushed == 2)  # by the scheduler's own clock


def test_what_has_to_wait_is_drawn_later(qt: Any) -> None:
    scheduler, panel = s.FlushScheduler(hold=0.05), Panel()
    for _ in range(2):
        scheduler.request(panel)
        scheduler.at_once()
    assert panel.flushed == 1
    qt.waitUntil(lambda: panel.flushed == 2)
