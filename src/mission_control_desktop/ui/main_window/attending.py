"""The pane of what needs a person, in the window: in, out, to what a row names, and what is decided by key."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from mission_control_desktop.ui.attention import Need

if TYPE_CHECKING:
    from mission_control_desktop.ui.main_window.window import MainWindow

SHELVES: tuple[tuple[str, timedelta | None], ...] = (
    ("shelve_5", timedelta(minutes=5)),
    ("shelve_30", timedelta(minutes=30)),
    ("shelve_change", None),
)
"""Commands that shelve, and for how long; None: until something changes."""


class Attending(QObject):
    """Decides about the chosen rows while the pane has the focus, else about the session that a person is at."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window

    @property
    def shown(self) -> bool:
        """Whether the pane is seen."""
        return self._window.is_seen("attention_pane")

    def toggle(self) -> None:
        """Show the pane, or hide it."""
        if self.shown:
            self.close()
        else:
            self._window.set_audit(False)
            self._window.commands["mission.attention"].setChecked(True)
            self._window.attention_pane.come()

    def hide(self) -> None:
        """Hide the pane; the focus goes elsewhere by itself."""
        self._window.commands["mission.attention"].setChecked(False)
        if self.shown:
            self._window.attention_pane.hide()

    def close(self) -> None:
        """Hide the pane and go back to the panel that was in front."""
        self.hide()
        if current := self._window.panels.current_id:
            self._window.panels.activate(current)

    def open(self, need: Need) -> None:
        """Go to what a need is about: its session's panel, or the settings of its provider."""
        self.hide()
        if need.session_id is None:
            self._window.settings_requested.emit("providers")
        else:
            self._window.open_session(need.session_id)

    def acknowledge(self) -> None:
        """What is meant needs nobody else."""
        if keys := self._meant():
            self._window.attention.acknowledge(keys)
            self._window.statusBar().showMessage("Acknowledged. It comes back with a new cause only.", 4000)

    def shelve(self, duration: timedelta | None) -> None:
        """Put away what is meant for a time, or (None) until something changes."""
        if keys := self._meant():
            self._window.attention.shelve(keys, duration)
            when = "when something changes" if duration is None else f"in {duration.seconds // 60} minutes"
            self._window.statusBar().showMessage(f"Shelved. It comes back {when}.", 4000)

    def _meant(self) -> list[str]:
        if self.shown:
            keys = [need.key for need in self._window.attention_pane.chosen()]
        else:
            here = self._window.current_session_id()
            keys = [need.key for need in self._window.attention.items() if here and need.session_id == here]
        if not keys:
            self._window.statusBar().showMessage("Nothing here needs you.", 4000)
        return keys
