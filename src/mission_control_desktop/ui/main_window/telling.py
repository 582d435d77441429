"""Desktop notifications of a window: what they are about, where a click on one leads, and what a person chose."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from mission_control_desktop.ui.notifications.rules import NewsCause, Note, Rules
from mission_control_desktop.ui.notifications.teller import NOTIFICATIONS, Teller

if TYPE_CHECKING:
    from mission_control_desktop.ui.main_window.window import MainWindow
    from mission_control_desktop.ui.notifications.bus import DesktopBus


class Telling(QObject):
    """Tells over the desktop's bus while this window is open; without the bus the tray tells."""

    front_wanted = Signal()
    """A notification was clicked: the window is to be seen."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._bus: DesktopBus | None = None
        self.teller = Teller(window.store, window.attention, self, seen=self._seen)
        self.teller.rules = Rules.of(window.state.get(NOTIFICATIONS))
        self.teller.note_ready.connect(self._on_note)

    async def run(self) -> None:
        """Tell until cancelled. Without a bus of the desktop nothing is told from here."""
        self.teller.start()
        if not sys.platform.startswith("linux"):
            return
        # Imported late: the first paint does not wait for it.
        from mission_control_desktop.ui.notifications.bus import DesktopBus

        self._bus = DesktopBus(self.on_clicked)
        await self._bus.run()

    @property
    def how(self) -> str:
        """How notifications reach a person here, in words."""
        if self._bus is not None and self._bus.available:
            return "They come from the desktop's own notification service."
        return (
            "The desktop's notification service does not answer. Where there is a system tray, its entry shows them "
            "instead; the window always shows what needs you."
        )

    def choose(self, rules: Rules) -> None:
        """Put rules into effect and remember them."""
        self.teller.rules = rules
        self._window.state.put(NOTIFICATIONS, rules.stored())

    def attempt(self) -> None:
        """Show a notification as it would come, whatever the hour."""
        self._on_note(Note(NewsCause.STOPPED, "This is how Mission Control tells you", "Nothing has happened."))

    def on_clicked(self, session_id: str | None) -> None:
        """A notification was clicked."""
        self.front_wanted.emit()
        if session_id is not None:
            self._window.open_session(session_id)
        elif not self._window.attending.shown and self._window.attention.items():
            self._window.attending.toggle()

    def _on_note(self, note: Note) -> None:
        if self._bus is not None and self._bus.available:
            self._bus.show(note)

    def _seen(self) -> tuple[str, ...]:
        return (self._window.panels.current_id,) if self._window.isActiveWindow() else ()
