"""One clock for all panels' redraws: each at most so often, so much a frame, the one that waited longest first."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from typing import Protocol

from PySide6.QtCore import QObject, Qt, QTimer

HOLD_SECONDS = 0.03
"""Least time between two redraws of one panel: with one frame it leaves room below 60 ms from event to paint."""
BUDGET_SECONDS = 0.003
"""Layout and painting in one slice; what is left over waits for the next."""
FRAME_MS = 4
"""From one slice to the next while panels wait. Short slices close to each other: a person's key waits for one of them
at most, and still three quarters of the thread's time are there when many panels have news at once."""
URGENT_SECONDS = 0.08
URGENT_SPAN = 0.25
"""So much CPU time in this span may be spent at once, without waiting for a frame: for new sizes, which look broken
until they are laid out. Beyond it (many panels, a window edge being dragged) they wait for their turn like all else."""
PAINT_SHARE = 4.0
"""Painting beyond this many budgets is paid back by waiting, so that input is never starved."""

KEPT_COSTS = 1_000
"""Frames whose cost is kept for whoever asks: more than a second has."""


class Flushed(Protocol):
    """What is drawn through the scheduler."""

    def flush(self) -> None:
        """Lay out what changed and ask for the paint events."""
        ...


class FlushScheduler(QObject):
    """Redraws of the GUI thread. `spent` tells it what painting cost afterwards, outside of its frames."""

    def __init__(
        self, parent: QObject | None = None, *, hold: float = HOLD_SECONDS, budget: float = BUDGET_SECONDS
    ) -> None:
        super().__init__(parent)
        self._hold, self._budget = hold, budget
        self._queue: OrderedDict[Flushed, None] = OrderedDict()
        self._last: dict[Flushed, float] = {}
        self._debt = 0.0
        self._painted = 0.0
        self._costs: deque[float] = deque(maxlen=KEPT_COSTS)
        self._frame_at = 0.0
        self._urgent_since = 0.0
        self._urgent_spent = 0.0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(FRAME_MS)
        self._timer.timeout.connect(self._on_frame)

    def request(self, item: Flushed) -> None:
        """Have the item flushed soon; asking again before that changes nothing."""
        if item in self._queue:
            return
        self._queue[item] = None
        if not self._timer.isActive():
            self._timer.start()

    def at_once(self) -> None:
        """Draw now what was asked for, if the last frame is long enough ago; else it waits for the next. For whoever
        brings news in batches: then those and the frames go by one clock."""
        if self._queue and time.perf_counter() - self._frame_at >= FRAME_MS / 1_000:
            self._on_frame()
            if self._queue:
                self._timer.start()

    def urgently(self, item: Flushed) -> None:
        """Flush the item now if that can be afforded, else soon."""
        now = time.perf_counter()
        if now - self._urgent_since > URGENT_SPAN:
            self._urgent_since, self._urgent_spent = now, 0.0
        if self._urgent_spent > URGENT_SECONDS:
            self.request(item)
            return
        start = time.thread_time()
        item.flush()
        self._urgent_spent += time.thread_time() - start

    def forget(self, item: Flushed) -> None:
        self._queue.pop(item, None)
        self._last.pop(item, None)

    def spent(self, seconds: float) -> None:
        """Painting took so much CPU time; it counts against the next frames."""
        self._debt = min(self._debt + seconds, PAINT_SHARE * self._budget)
        self._painted += seconds

    def take_costs(self) -> list[float]:
        """CPU seconds of each frame since the last call, layout with the painting that it led to."""
        costs = list(self._costs)
        self._costs.clear()
        return costs

    def _on_frame(self) -> None:
        # Counted in CPU time: a machine that is busy with other things shall not make us do less than we could.
        start = time.thread_time()
        self._frame_at = time.perf_counter()
        # Painting comes after its frame: with the next one it is known.
        if self._costs:
            self._costs[-1] += self._painted
        self._painted = 0.0
        allowed = self._budget - self._debt
        self._debt = max(0.0, self._debt - self._budget)
        done = 0
        for item in list(self._queue):
            # One panel a frame is always drawn: whatever the load, all of them go on.
            if done and time.thread_time() - start > allowed:
                break
            now = time.perf_counter()
            if now - self._last.get(item, 0.0) < self._hold:
                continue
            del self._queue[item]
            self._last[item] = now
            done += 1
            item.flush()
        if done:
            self._costs.append(time.thread_time() - start)
        if not self._queue:
            self._timer.stop()


_shared: FlushScheduler | None = None


def shared_scheduler() -> FlushScheduler:
    """The one scheduler of the process."""
    global _shared
    if _shared is None:
        _shared = FlushScheduler()
    return _shared
