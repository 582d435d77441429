"""Lines at the top of a panel: what failed, and what is wrong just now."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QWidget

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.icons import icon


class _Text(NamedTuple):
    text: str
    dismissable: bool
    offer: tuple[str, Callable[[], None]] | None


class NoticeBar(QFrame):
    """One text at a time, the newest; each has a key under which it is replaced and cleared."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._texts: dict[str, _Text] = {}
        self._built = False
        self.setProperty("surface", "error")
        theme.signals.theme_changed.connect(self._on_theme_changed)
        self.hide()

    def _build(self) -> None:
        """What it consists of, at its first text: most panels never have one."""
        self._built = True
        self._label = QLabel()
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._label.setWordWrap(True)
        self.act = QPushButton()
        self.act.setProperty("kind", "quiet")
        self.act.setAutoDefault(False)
        self.act.clicked.connect(self._on_act)
        self._close = QToolButton()
        self._close.setProperty("kind", "quiet")
        self._close.setIcon(icon("close"))
        self._close.setToolTip("Dismiss")
        self._close.setAccessibleName("Dismiss")
        self._close.clicked.connect(self._on_close)
        row = QHBoxLayout(self)
        theme.keep_distances(row, margins=("margin", 4, 4, 4))
        row.addWidget(self._label, 1)
        row.addWidget(self.act, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._close, 0, Qt.AlignmentFlag.AlignTop)

    def text(self) -> str:
        """What is shown; empty if nothing is."""
        return self._label.text() if self._built and not self.isHidden() else ""

    def show_text(
        self, key: str, text: str, *, dismissable: bool = False, offer: tuple[str, Callable[[], None]] | None = None
    ) -> None:
        """`offer`: what can be done about it, in a word or two, and how."""
        self._texts.pop(key, None)
        self._texts[key] = _Text(text, dismissable, offer)
        self._show()

    def says(self, key: str) -> bool:
        """Whether there is a text under this key."""
        return key in self._texts

    def clear(self, key: str) -> None:
        if self._texts.pop(key, None) is not None:
            self._show()

    def _show(self) -> None:
        if self._texts and not self._built:
            self._build()
        self.setVisible(bool(self._texts))
        if self._texts:
            newest = list(self._texts.values())[-1]
            self._label.setText(newest.text)
            self._close.setVisible(newest.dismissable)
            self.act.setVisible(newest.offer is not None)
            if newest.offer is not None:
                self.act.setText(newest.offer[0])

    def _on_act(self) -> None:
        if self._texts and (offer := list(self._texts.values())[-1].offer) is not None:
            offer[1]()

    def _on_close(self) -> None:
        if self._texts:
            self.clear(list(self._texts)[-1])

    def _on_theme_changed(self) -> None:
        if self._built:
            self._close.setIcon(icon("close"))
