"""Buttons whose press is meant once: for what changes what stands under the pointer."""

from __future__ import annotations

from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QPushButton, QToolButton, QWidget


class OnceButton(QPushButton):
    """A double click on it is one click: what it asks for is asked for once. So it is where the first click was on
    another button, which has left its place to this one."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setAutoDefault(False)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        event.accept()


class OnceToolButton(QToolButton):
    """The same, as a tool button."""

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        event.accept()
