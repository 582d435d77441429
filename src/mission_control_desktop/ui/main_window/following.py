"""Following the focus: one panel shows whatever session is chosen in the roster, until it is pinned."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, Signal

from mission_control_desktop.ui.commands import CommandActions
from mission_control_desktop.ui.main_window.docks import PanelGrid
from mission_control_desktop.ui.sessions import SessionStore

WAIT_MS = 120
"""Walking through the roster with the arrow keys opens no panel for each row that is passed."""


class FollowingFocus(QObject):
    """The mode, and the panel that is in it. Pinning a panel ends that for this panel; the next one is a new one."""

    followed = Signal()
    """A panel is to be seen."""
    changed = Signal()
    told = Signal(str, int)

    def __init__(
        self, store: SessionStore, panels: PanelGrid, commands: CommandActions, chosen: Callable[[], str],
        parent: QObject,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._store, self._panels, self._commands, self._chosen = store, panels, commands, chosen
        self.on = False
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(WAIT_MS)
        self._wait.timeout.connect(self._follow)
        panels.current_changed.connect(self.refresh)
        panels.layout_changed.connect(self.refresh)

    def set_on(self, on: bool) -> None:
        """Begin or end to follow. The panel that followed stays, as it is."""
        if not on:
            self._wait.stop()
            if self._panels.follower:
                self._panels.set_follower("")
        if on != self.on:
            self.on = on
            self.changed.emit()
        self.refresh()

    def toggle(self) -> None:
        """Begin to follow, or end it."""
        self.set_on(not self.on)
        if self.on:
            self._wait.start()
            self.told.emit("One panel now follows what you choose in the roster. Pin it to keep it.", 6000)
        else:
            self.told.emit("Panels stay with their sessions.", 4000)

    def toggle_pin(self) -> None:
        """Pin the active panel (the one that follows, while none was active), or let it follow the focus from now
        on."""
        current = self._panels.current_id or self._panels.follower
        if not current:
            return
        if current == self._panels.follower:
            self._panels.set_follower("")
            self.told.emit("Pinned: this panel keeps its session.", 4000)
        else:
            self._panels.set_follower(current)
            self.set_on(True)
            self.told.emit("This panel now follows what you choose in the roster.", 5000)
        self.refresh()

    def opened(self, session_id: str) -> None:
        """A person opened a session by name: if the panel that follows shows it, it is kept."""
        if session_id == self._panels.follower:
            self._panels.set_follower("")
            self.refresh()

    def chosen(self) -> None:
        """Another session was chosen."""
        if self.on:
            self._wait.start()

    def _follow(self) -> None:
        session = self._store.sessions.get(self._chosen())
        if self.on and session is not None:
            self.followed.emit()
            self._panels.follow(session)

    def refresh(self, *_ignored: object) -> None:
        """Level the commands' check marks."""
        self._commands["view.follow_focus"].setChecked(self.on)
        current = self._panels.current_id or self._panels.follower
        self._commands["panel.pin"].setChecked(bool(current) and current != self._panels.follower)
