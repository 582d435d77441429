"""One clock for everything that shows an age: panels have no timers of their own."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, QTimer, Signal

TICK_MS = 1_000


class Ticker(QObject):
    """Ticks once a second. Connect while visible, disconnect while hidden."""

    ticked = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.CoarseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.ticked)
        self._timer.start()


_shared: Ticker | None = None


def shared_ticker() -> Ticker:
    """The one ticker of the process."""
    global _shared
    if _shared is None:
        _shared = Ticker()
    return _shared
