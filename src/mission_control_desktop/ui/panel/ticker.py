"""One clock for everything that shows an age: panels have no timers of their own."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, QTimer, Signal

TICK_MS = 1_000
PHASES = 8
"""Parts of a second. What ticks together is laid out and painted in one go, and a key waits until that is done: sixteen
panels that tick at once take the thread for longer than a frame, two of them are hardly felt."""


class Phase(QObject):
    """Ticks once a second."""

    ticked = Signal()


class Ticker(QObject):
    """Gives everyone who asks a phase, by turns. Connect to it while visible, disconnect while hidden."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._phases = [Phase(self) for _ in range(PHASES)]
        self._given = self._ticked = 0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.CoarseTimer)
        self._timer.setInterval(TICK_MS // PHASES)
        self._timer.timeout.connect(self._on_timeout)
        self._timer.start()

    def phase(self) -> Phase:
        """The next phase in turn."""
        self._given += 1
        return self._phases[self._given % PHASES]

    def _on_timeout(self) -> None:
        self._ticked += 1
        self._phases[self._ticked % PHASES].ticked.emit()


_shared: Ticker | None = None


def shared_ticker() -> Ticker:
    """The one ticker of the process."""
    global _shared
    if _shared is None:
        _shared = Ticker()
    return _shared
