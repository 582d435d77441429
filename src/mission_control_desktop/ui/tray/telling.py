"""Desktop notifications of the tray: for the time when no window is open, and where the desktop has no service for
them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QSystemTrayIcon

from mission_control_desktop.ui.notifications.rules import Note, Rules
from mission_control_desktop.ui.notifications.teller import Teller
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.tray.entry import TrayEntry

if TYPE_CHECKING:
    from mission_control_desktop.ui.notifications.bus import DesktopBus


class TrayTelling(QObject):
    """Keeps up all the time, so that nothing is told twice when the window has been closed."""

    open_wanted = Signal(str)
    """A notification was clicked: the window is wanted, with this session (empty: none in particular)."""

    def __init__(self, store: SessionStore, entry: TrayEntry, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._entry = entry
        self._bus: DesktopBus | None = None
        self._clicked_leads: str | None = None
        self.window_open = True
        """Whether a window is open; it tells then, where the desktop has a service."""
        self.teller = Teller(store, entry.attention, self)
        self.teller.note_ready.connect(self._on_note)
        entry.icon.messageClicked.connect(self._on_message_clicked)

    async def run(self) -> None:
        """Serve the desktop's bus until cancelled."""
        if sys.platform.startswith("linux"):
            from mission_control_desktop.ui.notifications.bus import DesktopBus

            self._bus = DesktopBus(self._on_clicked)
            await self._bus.run()

    def choose(self, stored: Any) -> None:
        """The rules as the window has stored them."""
        self.teller.rules = Rules.of(stored)

    def note_link(self, name: str, *, connected: bool) -> None:
        """Whether a control plane answers. What needs a person is known when one first does."""
        if connected:
            self.teller.start()
        self.teller.note_link(name, connected=connected)

    def _on_note(self, note: Note) -> None:
        if self._bus is not None and self._bus.available:
            if not self.window_open:
                self._bus.show(note)
        else:
            self._clicked_leads = note.session_id
            self._entry.icon.showMessage(note.title, note.body, QSystemTrayIcon.MessageIcon.NoIcon)

    def _on_clicked(self, session_id: str | None) -> None:
        self.open_wanted.emit(session_id or "")

    def _on_message_clicked(self) -> None:
        self._on_clicked(self._clicked_leads)
