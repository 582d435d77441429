"""Panels that fill a monitor, each alone in a window; their places in the grid are kept for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QCloseEvent, QKeyEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from mission_control_desktop.ui.desk.arrangement import FullPanel
from mission_control_desktop.ui.desk.monitors import Monitors
from mission_control_desktop.ui.main_window.dock_widgets import Placeholder, put


class FullScreenHost(QWidget):
    """A window of its own for a panel; Esc or F11 brings it back. A docked panel has no window to enlarge."""

    ended = Signal(str)
    activated = Signal(str)

    def __init__(self, session_id: str, title: str, content: QWidget, monitor: str) -> None:
        super().__init__()
        self.session_id, self.monitor = session_id, monitor
        self.setWindowTitle(title)
        self.content = content
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(content)
        content.show()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_F11):
            self.ended.emit(self.session_id)
            return
        super().keyPressEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        self.ended.emit(self.session_id)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.ActivationChange and self.isActiveWindow():
            self.activated.emit(self.session_id)


class FullScreens(QObject):
    """At most one panel a monitor: another one on the same monitor takes its place."""

    ended = Signal(str)
    """Session id of a panel that is back in the grid."""
    activated = Signal(str)
    changed = Signal()

    def __init__(self, docks: dict[str, Any], monitors: Monitors, parent: QObject) -> None:
        super().__init__(parent)
        self._docks, self._monitors = docks, monitors
        self._hosts: dict[str, FullScreenHost] = {}
        self.fill: Callable[[str], None] = lambda _session_id: None
        """Makes the panel of a session if it is not made yet."""

    def __contains__(self, session_id: object) -> bool:
        return session_id in self._hosts

    def content(self, session_id: str) -> QWidget | None:
        """The panel of a session while it fills a monitor."""
        host = self._hosts.get(session_id)
        return None if host is None else host.content

    def monitor_of(self, session_id: str) -> str:
        """Which monitor a session's panel fills, or empty."""
        host = self._hosts.get(session_id)
        return "" if host is None else host.monitor

    def all(self) -> tuple[FullPanel, ...]:
        """What fills monitors now."""
        return tuple(FullPanel(panel=i, monitor=host.monitor) for i, host in self._hosts.items())

    def show(self, session_id: str, monitor: str = "") -> bool:
        """Let a panel fill a monitor (the one it is on, if none is named). False: there is no panel yet, or no such
        monitor."""
        dock = self._docks.get(session_id)
        if dock is None:
            return False
        target = monitor or (self.monitor_of(session_id) or self._monitors.of(dock))
        area = self._monitors.whole(target)
        if area is None:
            return False
        if self.monitor_of(session_id) == target:
            return True
        self.leave(session_id)
        for other in [i for i, host in self._hosts.items() if host.monitor == target]:
            self.leave(other)
        self.fill(session_id)
        if isinstance(dock.widget(), Placeholder):
            return False
        title = dock.windowTitle()
        text = f"{title}\n\nfills {self._monitors.name(target)}; F11 or Esc there brings it back"
        content = put(dock, Placeholder(text, away=True))
        if content is None:
            return False
        host = FullScreenHost(session_id, title, content, target)
        host.ended.connect(self.leave)
        host.activated.connect(self.activated)
        self._hosts[session_id] = host
        self._monitors.assign(host, target)
        host.setGeometry(area)
        host.showFullScreen()
        host.activateWindow()
        content.setFocus(Qt.FocusReason.OtherFocusReason)
        self.changed.emit()
        return True

    def leave(self, session_id: str) -> None:
        """Bring a panel back to its place."""
        host = self._hosts.pop(session_id, None)
        if host is None:
            return
        dock = self._docks.get(session_id)
        host.ended.disconnect(self.leave)
        if dock is not None:
            old = put(dock, host.content)
            if old is not None:
                old.deleteLater()
        host.close()
        host.deleteLater()
        self.ended.emit(session_id)
        self.changed.emit()

    def leave_all(self) -> None:
        """Bring all of them back."""
        for session_id in list(self._hosts):
            self.leave(session_id)
