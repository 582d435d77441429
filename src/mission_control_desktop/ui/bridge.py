"""From the engine's thread to the window's: batches, at most one a frame, on the GUI thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

from mission_control_desktop.client.inbox import Inbox, InboxItem, is_workspace

FRAME_MS = 8
SLICE_SECONDS = 0.004
"""Longest time that one drain may take before the window gets its turn again."""
BATCH = 128

Sink = Callable[[Sequence[InboxItem]], None]


class Bridge(QObject):
    """Hands what lies in the inbox to whoever asked for its topic. What nobody asked for is dropped."""

    woken = Signal()

    def __init__(
        self, inbox: Inbox, parent: QObject | None = None, *, handed: Callable[[], None] | None = None
    ) -> None:
        """`handed` is called when a frame's batches were handed out: what they changed can be drawn."""
        super().__init__(parent)
        self._inbox = inbox
        self._handed = handed
        self._drained_at = 0.0
        self._sinks: dict[str, Sink] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self.drain)
        self.woken.connect(self._on_woken, Qt.ConnectionType.QueuedConnection)
        inbox.on_wake(self.woken.emit)

    def listen(self, topic: str, sink: Sink) -> None:
        """Hand this topic's items to `sink`; one sink a topic, the newest counts."""
        self._sinks[topic] = sink

    def forget(self, topic: str) -> None:
        """Hand this topic's items to nobody."""
        self._sinks.pop(topic, None)

    @Slot()
    def _on_woken(self) -> None:
        if not self._timer.isActive():
            # What comes after a pause is not kept waiting.
            since = 1_000 * (perf_counter() - self._drained_at)
            self._timer.start(max(0, FRAME_MS - int(since)))

    @Slot()
    def drain(self) -> None:
        """Hand out what is there, up to a slice of time; the rest comes with the next frame."""
        self._hand_out(until=perf_counter() + SLICE_SECONDS)
        if self._handed is not None:
            self._handed()
        self._drained_at = perf_counter()

    def _hand_out(self, *, until: float) -> None:
        while items := self._inbox.drain(max_items=BATCH):
            topics: dict[str, list[InboxItem]] = {}
            for item in items:
                topics.setdefault(item.topic, []).append(item)
            # What sessions are comes before what they say.
            for topic in sorted(topics, key=lambda topic: not is_workspace(topic)):
                self._hand(topic, topics[topic])
            if perf_counter() > until:
                if not self._timer.isActive():
                    self._timer.start(FRAME_MS)
                return

    def _hand(self, topic: str, batch: list[InboxItem]) -> None:
        sink = self._sinks.get(topic)
        if sink is not None:
            sink(batch)
