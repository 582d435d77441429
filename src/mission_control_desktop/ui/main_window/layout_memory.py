"""What the window remembers of how it stood."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QObject, QTimer
from PySide6.QtGui import QGuiApplication

if TYPE_CHECKING:
    from mission_control_desktop.ui.main_window.window import MainWindow

LAYOUT_KEY = "layout"
LAYOUT_VERSION = 1


class LayoutMemory(QObject):
    """Saves a moment after a change; restores before the window is shown."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window, self._state = window, window.state
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(400)
        self._later.timeout.connect(self.save)

    def note_change(self, *_ignored: object) -> None:
        """Something moved; it is saved a moment later, also while more of it comes."""
        if not self._window.closing and not self._later.isActive():
            self._later.start()

    def save(self) -> None:
        """Remember how everything stands; on disk a moment later."""
        window = self._window
        self._later.stop()
        self._state.put(
            LAYOUT_KEY,
            {
                "version": LAYOUT_VERSION,
                "geometry": base64.b64encode(window.saveGeometry().data()).decode(),
                "splitter": window.splitter.sizes(),
                "roster": not window.roster.isHidden(),
                "panels": window.panels.save(),
                "closed": window.opening.closed_by_hand(),
            },
        )

    def restore(self) -> bool:
        """Bring back what was remembered; False, with everything as by default, if it was damaged."""
        window = self._window
        saved = self._state.get(LAYOUT_KEY)
        self._default_size()
        if saved is None:
            return True
        try:
            if saved["version"] != LAYOUT_VERSION:
                raise ValueError("another version")
            geometry = QByteArray(base64.b64decode(saved["geometry"], validate=True))
            sizes = [int(n) for n in saved["splitter"]]
            closed = [str(i) for i in saved["closed"]]
            if not window.panels.restore(saved["panels"]):
                raise ValueError("the panels cannot be restored")
            if not window.restoreGeometry(geometry):
                self._default_size()
            if len(sizes) == 2 and min(sizes) >= 0:
                window.splitter.setSizes(sizes)
            window.opening.set_closed_by_hand(closed)
            window.set_roster(bool(saved["roster"]))
        except (KeyError, TypeError, ValueError):
            self._state.set_aside(LAYOUT_KEY)
            return False
        return True

    def _default_size(self) -> None:
        window, screen = self._window, QGuiApplication.primaryScreen()
        room = screen.availableGeometry().size() if screen is not None else window.sizeHint()
        window.resize(window.sizeHint().boundedTo(room))
