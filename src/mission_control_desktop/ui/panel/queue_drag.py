"""Messages that wait are put into another order with the mouse: a line is taken by its grip, or by its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, QSize, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QWidget
from shiboken6 import isValid

from mission_control_desktop.ui import theme

GRIP = 12
"""Width of a grip, in device-independent pixels."""
GIVEN_UP = 48
"""Whoever lets go further from the lines than so many pixels leaves the order as it was."""
_DOT = 1.4


@dataclass(frozen=True)
class Place:
    """A line that waits: its message, where it stands among all that wait (from 0), and the line itself."""

    key: str
    at: int
    line: QWidget


class Grip(QWidget):
    """Six dots at the beginning of a line that can be dragged."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedWidth(GRIP)
        self.setToolTip("Drag it to another place in the line (Alt+Up, Alt+Down)")

    def set_usable(self, usable: bool) -> None:
        self.setEnabled(usable)
        self.setCursor(Qt.CursorShape.OpenHandCursor if usable else Qt.CursorShape.ArrowCursor)

    def sizeHint(self) -> QSize:
        return QSize(GRIP, GRIP)

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self.isEnabled():
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.current().text_muted)
        middle = self.rect().center()
        for x in (middle.x() - 2.5, middle.x() + 2.5):
            for y in (middle.y() - 4.5, middle.y() + 0.5, middle.y() + 5.5):
                painter.drawEllipse(QPointF(x, y), _DOT, _DOT)


class Mark(QWidget):
    """A bar between two lines: there a line would land."""

    def __init__(self, strip: QWidget) -> None:
        super().__init__(strip)
        self._strip = strip
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setObjectName("queue.mark")
        self.hide()

    def show_at(self, y: int) -> None:
        whole = self._strip.rect()
        self.setGeometry(4, max(0, min(y - 2, whole.height() - 4)), whole.width() - 8, 4)
        self.show()
        self.raise_()

    def paintEvent(self, event: QPaintEvent) -> None:
        QPainter(self).fillRect(self.rect(), theme.current().focus)


class QueueDrag(QObject):
    """Watches lines for a drag. Esc, another button, or letting go far away leave the order as it was."""

    def __init__(
        self,
        strip: QWidget,
        places: Callable[[], list[Place]],
        may_drag: Callable[[str], bool],
        move_by: Callable[[str, int], None],
    ) -> None:
        """`places` gives the shown lines that wait, from above; `move_by` moves a message so many places down."""
        super().__init__(strip)
        self._strip, self._places, self._may_drag, self._move_by = strip, places, may_drag, move_by
        self._mark = Mark(strip)
        self._key = ""
        self._line: QWidget | None = None
        self._from = QPoint()
        self._dragging = False

    @property
    def dragging(self) -> str:
        """The message whose line is being dragged, or empty."""
        return self._key if self._dragging else ""

    def watch(self, line: QWidget, key: str) -> None:
        """Let a line be dragged."""
        line.setProperty("message", key)
        line.installEventFilter(self)

    def look(self) -> None:
        """The lines are others now: a drag of one that does not wait any more is over."""
        if self._key and not self._may_drag(self._key):
            self.end()

    def end(self) -> None:
        """Nothing is dragged any more."""
        line, was = self._line, self._dragging
        self._key, self._line, self._dragging = "", None, False
        self._mark.hide()
        if was and line is not None and isValid(line):
            line.unsetCursor()
            line.update()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if isinstance(event, QMouseEvent) and isinstance(watched, QWidget):
            if kind == QEvent.Type.MouseButtonPress:
                return self._on_press(watched, event)
            if self._key and kind == QEvent.Type.MouseMove:
                return self._on_move(event)
            if self._key and kind == QEvent.Type.MouseButtonRelease:
                return self._on_release(event)
        elif self._dragging and isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Escape:
            # Both times: as a shortcut it would leave something else.
            if kind == QEvent.Type.KeyPress:
                self.end()
            event.accept()
            return True
        return False

    def _on_press(self, line: QWidget, event: QMouseEvent) -> bool:
        key = str(line.property("message"))
        if self._key or event.button() is not Qt.MouseButton.LeftButton or not self._may_drag(key):
            self.end()
            return False
        line.setFocus(Qt.FocusReason.MouseFocusReason)
        self._key, self._line, self._from = key, line, event.globalPosition().toPoint()
        event.accept()
        return True

    def _on_move(self, event: QMouseEvent) -> bool:
        spot = event.globalPosition().toPoint()
        line = self._line
        if line is None or not event.buttons() & Qt.MouseButton.LeftButton:
            self.end()
            return False
        if not self._dragging and (spot - self._from).manhattanLength() < QApplication.startDragDistance():
            return True
        if not self._dragging:
            self._dragging = True
            line.setCursor(Qt.CursorShape.ClosedHandCursor)
            line.update()
        found = self._target(spot)
        if found is None or not found[0]:
            self._mark.hide()
        else:
            self._mark.show_at(found[1])
        return True

    def _on_release(self, event: QMouseEvent) -> bool:
        if event.button() is not Qt.MouseButton.LeftButton:
            return False
        found = self._target(event.globalPosition().toPoint()) if self._dragging else None
        key = self._key
        self.end()
        if found is not None and found[0]:
            self._move_by(key, found[0])
        return True

    def _target(self, spot: QPoint) -> tuple[int, int] | None:
        """How many places further down a spot on the screen means, and where that is in the strip; None far away."""
        local = self._strip.mapFromGlobal(spot)
        away = GIVEN_UP
        if not self._strip.rect().adjusted(-away, -away, away, away).contains(local):
            return None
        places = self._places()
        mine = next((place for place in places if place.key == self._key), None)
        if mine is None:
            return None
        below = next((p for p in places if p.line.geometry().center().y() >= local.y()), None)
        to, y = (places[-1].at + 1, places[-1].line.geometry().bottom() + 1)
        if below is not None:
            to, y = below.at, below.line.geometry().top()
        return to - mine.at - (to > mine.at), y
