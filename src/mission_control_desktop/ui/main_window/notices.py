"""Bars below the header that say what went wrong or is worth knowing. They never block anything."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from mission_control_desktop.ui import icons, theme

MAX_BARS = 3


class NoticeBar(QFrame):
    """One message with an optional action; Esc or the cross dismisses it."""

    dismissed = Signal()
    acted = Signal()

    def __init__(
        self, text: str, *, error: bool, action: str = "", detail: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.text = text
        self.error = error
        self.setProperty("surface", "error" if error else "notice")
        self.setObjectName("notice")
        self._label = QLabel(text, self)
        self._label.setWordWrap(True)
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self._icon = QLabel(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 6, 6)
        layout.setSpacing(8)
        layout.addWidget(self._icon)
        layout.addWidget(self._label, 1)
        if detail:
            copy = QPushButton("Copy details", self)
            copy.setProperty("kind", "quiet")
            copy.clicked.connect(lambda: QApplication.clipboard().setText(f"{text}\n\n{detail}"))
            layout.addWidget(copy)
        if action:
            button = QPushButton(action, self)
            button.clicked.connect(self.acted)
            layout.addWidget(button)
        close = QToolButton(self)
        close.setProperty("kind", "quiet")
        close.setAccessibleName("Dismiss this message")
        close.setToolTip("Dismiss")
        close.clicked.connect(self.dismissed)
        self._close = close
        layout.addWidget(close)
        theme.signals.theme_changed.connect(self._on_theme)
        self._on_theme()

    def _on_theme(self) -> None:
        look = theme.current()
        self._icon.setPixmap(icons.pixmap("attention", 16, look.error if self.error else look.attention, ratio=2))
        self._close.setIcon(icons.icon("close"))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.dismissed.emit()
            return
        super().keyPressEvent(event)


class Notices(QWidget):
    """The bars, newest at the top. The same text is shown once; the oldest makes room for a fourth."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self._bars: list[tuple[str, NoticeBar]] = []
        self.hide()

    def show_notice(
        self, text: str, *, error: bool = False, action: str = "", detail: str = "", key: str | None = None
    ) -> NoticeBar:
        """Show a message; one with the same `key` (else the same text) is replaced."""
        name = key or text
        self.dismiss(name)
        bar = NoticeBar(text, error=error, action=action, detail=detail, parent=self)
        bar.dismissed.connect(lambda: self.dismiss(name))
        self._layout.insertWidget(0, bar)
        self._bars.insert(0, (name, bar))
        for old, _ in self._bars[MAX_BARS:]:
            self.dismiss(old)
        self.show()
        return bar

    def dismiss(self, key: str) -> None:
        """Take a message away."""
        for entry in [entry for entry in self._bars if entry[0] == key]:
            self._bars.remove(entry)
            self._layout.removeWidget(entry[1])
            entry[1].hide()
            entry[1].deleteLater()
        self.setVisible(bool(self._bars))

    def texts(self) -> list[str]:
        """What is shown now, newest first."""
        return [bar.text for _, bar in self._bars]
