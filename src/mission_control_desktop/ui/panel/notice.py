"""Lines at the top of a panel: what failed, and what is wrong just now."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton, QWidget

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.icons import icon


class NoticeBar(QFrame):
    """One text at a time, the newest; each has a key under which it is replaced and cleared."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._texts: dict[str, tuple[str, bool]] = {}
        self.setProperty("surface", "error")
        self._label = QLabel()
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setWordWrap(True)
        self._close = QToolButton()
        self._close.setProperty("kind", "quiet")
        self._close.setIcon(icon("close"))
        self._close.setToolTip("Dismiss")
        self._close.setAccessibleName("Dismiss")
        self._close.clicked.connect(self._on_close)
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.metrics.margin, 4, 4, 4)
        row.addWidget(self._label, 1)
        row.addWidget(self._close, 0, Qt.AlignmentFlag.AlignTop)
        theme.signals.theme_changed.connect(self._on_theme_changed)
        self.hide()

    def text(self) -> str:
        """What is shown; empty if nothing is."""
        return "" if self.isHidden() else self._label.text()

    def show_text(self, key: str, text: str, *, dismissable: bool = False) -> None:
        self._texts.pop(key, None)
        self._texts[key] = (text, dismissable)
        self._show()

    def clear(self, key: str) -> None:
        if self._texts.pop(key, None) is not None:
            self._show()

    def _show(self) -> None:
        self.setVisible(bool(self._texts))
        if self._texts:
            text, dismissable = list(self._texts.values())[-1]
            self._label.setText(text)
            self._close.setVisible(dismissable)

    def _on_close(self) -> None:
        if self._texts:
            self.clear(list(self._texts)[-1])

    def _on_theme_changed(self) -> None:
        self._close.setIcon(icon("close"))
