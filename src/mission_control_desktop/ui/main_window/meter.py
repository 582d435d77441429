"""The small meter in the status bar: what drawing costs, how late events are, what was merged or dropped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import msgspec
from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QLabel

from mission_control_desktop.client.inbox import InboxStats
from mission_control_desktop.ui.transcript.scheduler import FlushScheduler

EVERY_MS = 1_000
SPAN = 5
"""The worst of so many last seconds is shown: a single second is too short to be read."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One second. Times are milliseconds: CPU time of the GUI thread for the dearest frame (layout and painting of
    transcripts), and the longest wait of an event between its stream and the window. Counts are since the start."""

    frames: int
    frame_ms: float
    lag_ms: float
    merged: int
    dropped: int


def meter_text(readings: Sequence[Reading]) -> str:
    """The line in the status bar for the last readings, the newest last."""
    if not readings:
        return ""
    last = readings[-1]
    frame, lag = max(one.frame_ms for one in readings), max(one.lag_ms for one in readings)
    return f"frame {frame:.0f} ms · lag {lag:.0f} ms · merged {last.merged:,} · dropped {last.dropped:,}"


class Meter(QObject):
    """Writes into a label once a second. `on_reading` is called with each reading, too."""

    def __init__(
        self,
        stats: Callable[[], InboxStats],
        lag: Callable[[], float],
        scheduler: FlushScheduler,
        label: QLabel,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._stats, self._lag, self._scheduler, self._label = stats, lag, scheduler, label
        self._readings: deque[Reading] = deque(maxlen=SPAN)
        self.on_reading: Callable[[Reading], None] = _nothing
        label.setToolTip(
            f"The worst of the last {SPAN} seconds.\n"
            "frame: CPU time of one redraw of the transcripts\n"
            "lag: how long an event waited in this window before it was shown\n"
            "merged: events that were shown together with the next one, because they came faster than a frame\n"
            "dropped: events that this window was too slow for; their messages were read again from the record, so "
            "nothing is missing"
        )
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.read)
        self._timer.start()

    def read(self) -> None:
        """Take the numbers since the last time and show them."""
        costs, stats = self._scheduler.take_costs(), self._stats()
        reading = Reading(
            frames=len(costs),
            frame_ms=1_000 * max(costs, default=0.0),
            lag_ms=self._lag(),
            merged=stats.merged,
            dropped=stats.dropped,
        )
        self._readings.append(reading)
        text = meter_text(self._readings)
        if text != self._label.text():
            self._label.setText(text)
            self._label.setAccessibleName(f"How well this window keeps up: {text}")
        self.on_reading(reading)


def _nothing(_reading: Reading) -> None:
    return None
