"""What an order of the Session menu is for: the session that is marked where the keys are, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtWidgets import QApplication, QMenu

if TYPE_CHECKING:
    from mission_control_desktop.ui.main_window.window import MainWindow


class Target(QObject):
    """Asked anew for each order."""

    changed = Signal()
    """It may be another session now."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._held: list[str] | None = None
        self._letting_go = QTimer(self)
        self._letting_go.setSingleShot(True)
        self._letting_go.setInterval(0)
        self._letting_go.timeout.connect(self._let_go)

    def in_roster(self) -> bool:
        """Whether the keys are the roster's. The main window goes on calling the roster its focus widget while a panel
        in a window of its own has the keys."""
        focus = QApplication.focusWidget() or self._window.focusWidget()
        return focus is not None and self._window.roster.isAncestorOf(focus)

    def one(self) -> str:
        """The marked row while the roster has the keys, else the active panel's session; empty if none is marked. Of
        several marked rows it is the current one, if that is one of them."""
        if self._held is None and not self.in_roster() and self._window.panels.current_id:
            return self._window.panels.current_id
        marked = self._marked()
        return marked[0] if len(marked) == 1 else self.chosen()

    def chosen(self) -> str:
        """The current row, if it is marked: Qt makes a neighbour current when the current row goes, and a row that Ctrl
        has just taken back stays so."""
        current = self._window.roster.tree.current_session()
        return current.session_id if current is not None and current.session_id in self._marked() else ""

    def several(self) -> list[str]:
        """The marked rows while the roster has the keys, if they are more than one."""
        marked = self._marked() if self._held is not None or self.in_roster() else []
        return marked if len(marked) > 1 else []

    def hold(self, menu: QMenu) -> None:
        """What a menu was opened for is what it is for, whatever becomes of the rows while it is open."""
        self._letting_go.stop()
        self._held = self._window.roster.tree.selected_ids()
        # A menu hides before it carries out what was chosen in it.
        menu.aboutToHide.connect(self._letting_go.start)

    def _let_go(self) -> None:
        self._held = None
        self.changed.emit()

    def _marked(self) -> list[str]:
        return self._window.roster.tree.selected_ids() if self._held is None else self._held
