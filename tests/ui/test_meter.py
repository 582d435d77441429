"""The meter in the status bar shows what was counted, and nothing that is over."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QLabel

from mission_control_desktop.client.inbox import Inbox, Link, LinkState
from mission_control_desktop.ui.main_window.meter import SPAN, Meter, Reading
from mission_control_desktop.ui.transcript.scheduler import FlushScheduler


class Work:
    """Something to draw that costs CPU time."""

    def __init__(self) -> None:
        self.flushed = 0

    def flush(self) -> None:
        self.flushed += 1
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass


def test_the_meter_shows_frames_lag_and_counts(qt: Any) -> None:
    now = [100.0]
    inbox, scheduler, label, owner = Inbox(monotonic=lambda: now[0]), FlushScheduler(hold=0.0), QLabel(), QObject()
    qt.addWidget(label)
    meter = Meter(inbox.stats, inbox.take_lag, scheduler, label, owner)
    readings: list[Reading] = []
    meter.on_reading = readings.append
    inbox.put("internal:a", Link(state=LinkState.CONNECTING, since=datetime.now(UTC)))
    inbox.put("internal:a", Link(state=LinkState.CONNECTED, since=datetime.now(UTC)))
    now[0] += 0.25
    assert len(inbox.drain()) == 1
    work = Work()
    scheduler.request(work)
    qt.waitUntil(lambda: work.flushed == 1)
    scheduler.spent(0.03)  # what painting costs belongs to the frame that led to it
    scheduler.request(work)
    qt.waitUntil(lambda: work.flushed == 2)
    meter.read()
    first = readings[-1]
    assert first.frames == 2
    assert first.frame_ms >= 50
    assert round(first.lag_ms) == 250
    assert first.merged == 1
    assert first.dropped == 0
    assert "lag 250 ms" in label.text()
    assert "merged 1" in label.text()
    assert "dropped 0" in label.text()
    assert label.text() in label.accessibleName()
    for _ in range(SPAN):  # with nothing new, the worst is shown until its time is over
        assert "lag 250 ms" in label.text()
        meter.read()
    assert "frame 0 ms · lag 0 ms" in label.text()
    assert readings[-1].frames == 0
