"""Cyclic garbage is collected on the GUI thread alone.

Python collects in whichever thread happens to allocate. The network's thread would then destroy Qt objects that lie in
a cycle, and Qt objects may only be destroyed in their own thread: seen as a crash of the interpreter (PySide6 6.11).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from PySide6.QtCore import QObject, Qt, QTimer

LOOK_MS = 500
"""How often it is looked whether there is enough to collect. The busiest window makes a few MiB in this time."""


class _Collector(QObject):
    def __init__(self) -> None:
        super().__init__()
        self.timer = QTimer(self)
        self.timer.setTimerType(Qt.TimerType.CoarseTimer)
        self.timer.setInterval(LOOK_MS)
        self.timer.timeout.connect(self._look)

    def _look(self) -> None:
        counts, limits = gc.get_count(), gc.get_threshold()
        for generation in (2, 1, 0):
            if limits[generation] and counts[generation] > limits[generation]:  # 0: never by itself (Python 3.14)
                gc.collect(generation)
                return


@contextmanager
def collected_here() -> Iterator[None]:
    """Within it, this thread (with a Qt event loop) is the only one that collects. What exists at its start, modules
    and types above all, is never looked at again, which keeps collections short."""
    was_on = gc.isenabled()
    gc.disable()
    gc.freeze()
    collector = _Collector()
    collector.timer.start()
    try:
        yield
    finally:
        collector.timer.stop()
        gc.unfreeze()
        if was_on:
            gc.enable()
