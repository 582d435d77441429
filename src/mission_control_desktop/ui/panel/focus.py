"""Where the keys go in a panel when nobody said so: a part that has them goes out of use, or an answer comes late.

Left to itself, Qt hands the focus along the tab chain, which leads into the next panel: there the rest of what somebody
types presses buttons and answers questions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QFocusEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QApplication, QLineEdit, QPlainTextEdit, QWidget

from mission_control_desktop.ui import theme

if TYPE_CHECKING:
    _Widget = QWidget
else:
    _Widget = object


class Ringed(_Widget):
    """Goes before a widget's own class: a ring shows that the widget itself has the keys, and no part of it."""

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self.hasFocus():
            painter = QPainter(self)
            painter.setPen(QPen(theme.current().focus, 2))
            painter.drawRect(self.rect().adjusted(1, 1, -1, -1))


def usable(place: QWidget, panel: QWidget) -> bool:
    """Whether it can have the focus, as far as the panel itself is seen."""
    return place.isEnabled() and place.isVisibleTo(panel)


def refuge(lost: QWidget, panel: QWidget, otherwise: QWidget) -> QWidget:
    """The nearest place around a widget that Tab leads to."""
    around = lost.parentWidget()
    while around is not None and around is not panel:
        if around.focusPolicy() & Qt.FocusPolicy.TabFocus and usable(around, panel):
            return around
        around = around.parentWidget()
    return otherwise


def may_be_taken(panel: QWidget) -> bool:
    """Whether the focus may be moved to a place of the panel by what comes late: it is in the panel already and nobody
    writes there, or it is nowhere."""
    # Where another program has the keys, the window gives them back to whom it remembers.
    focus: QWidget | None = QApplication.focusWidget() or panel.window().focusWidget()
    if focus is None:
        return True
    writes = isinstance(focus, QLineEdit | QPlainTextEdit) and not focus.isReadOnly()
    return panel.isAncestorOf(focus) and not writes
