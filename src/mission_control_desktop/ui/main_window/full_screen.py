"""A panel alone on a screen."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent, QKeyEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget


class FullScreenHost(QWidget):
    """A window of its own for a panel; Esc or F11 brings it back. A docked panel has no window to enlarge."""

    ended = Signal()

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__()
        self.setWindowTitle(title)
        self.content = content
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(content)
        content.show()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_F11):
            self.ended.emit()
            return
        super().keyPressEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:
        self.ended.emit()
