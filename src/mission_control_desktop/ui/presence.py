"""That this window is open, for the tray; and the tray's wish to see it."""

from __future__ import annotations

from pathlib import Path

import structlog
from PySide6.QtCore import QFileSystemWatcher, QObject, Signal

from mission_control_desktop.client.windows import OpenWindow

log = structlog.get_logger(__name__)


class Presence(QObject):
    """Holds the window's file until it is closed; without it the window works, the tray just opens another one."""

    front_wanted = Signal()
    session_wanted = Signal(str)
    """In front, with this session."""

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._watcher: QFileSystemWatcher | None = None
        self._held: OpenWindow | None = None
        try:
            self._held = OpenWindow(folder)
        except OSError as error:
            log.warning("the tray will not find this window", error=str(error))
            return
        self._watcher = QFileSystemWatcher([str(self._held.folder)], self)
        self._watcher.directoryChanged.connect(self._on_changed)

    def _on_changed(self, _path: str) -> None:
        wish = self._held.take_request() if self._held is not None else None
        if wish is not None:
            self.front_wanted.emit()
        if wish:
            self.session_wanted.emit(wish)

    def close(self) -> None:
        """The window is no longer open."""
        if self._watcher is not None:
            self._watcher.deleteLater()
            self._watcher = None
        if self._held is not None:
            self._held.close()
            self._held = None
