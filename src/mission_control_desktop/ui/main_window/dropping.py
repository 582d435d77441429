"""Sessions dragged from the roster into the grid: where they would land is shown, and where they landed is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import PySide6QtAds as QtAds
from PySide6.QtCore import QEvent, QObject, QPoint, QRect, Qt, Signal
from PySide6.QtGui import QDragMoveEvent, QDropEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget
from shiboken6 import isValid

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.main_window.grid import SIDES
from mission_control_desktop.ui.roster.model import MIME_TYPE

EDGE = 0.28
"""Share of a panel's width or height, from an edge, within which a drop splits it; in the middle it joins the tabs."""


@dataclass(frozen=True)
class DropTarget:
    """A place in the grid: `side` of a dock area; the middle is `tabs`."""

    area: Any
    side: str

    @property
    def dock_area(self) -> Any:
        """The docking library's word for the side."""
        return QtAds.CenterDockWidgetArea if self.side == "tabs" else SIDES[self.side]


def side_at(size: QRect, spot: QPoint) -> str:
    """Which side of an area a spot in it means: left, right, up, down, or tabs in the middle."""
    width, height = max(1, size.width()), max(1, size.height())
    distances = {
        "left": spot.x() / width,
        "right": 1 - spot.x() / width,
        "up": spot.y() / height,
        "down": 1 - spot.y() / height,
    }
    side = min(distances, key=lambda name: distances[name])
    return side if distances[side] < EDGE else "tabs"


def part_of(area: QRect, side: str) -> QRect:
    """The part of an area that a drop on its side would take."""
    half_width, half_height = area.width() // 2, area.height() // 2
    match side:
        case "left":
            return QRect(area.left(), area.top(), half_width, area.height())
        case "right":
            return QRect(area.right() + 1 - half_width, area.top(), half_width, area.height())
        case "up":
            return QRect(area.left(), area.top(), area.width(), half_height)
        case "down":
            return QRect(area.left(), area.bottom() + 1 - half_height, area.width(), half_height)
    return area


class DropGuide(QWidget):
    """Shows over a panel where a session would land."""

    def __init__(self, target: DropTarget) -> None:
        super().__init__(target.area)
        self.target = target
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setObjectName("drop_guide")
        self.setGeometry(part_of(target.area.rect(), target.side))
        self.show()
        self.raise_()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        color = theme.current().focus
        painter.setOpacity(0.18)
        painter.fillRect(self.rect(), color)
        painter.setOpacity(1.0)
        painter.setPen(QPen(color, 2))
        painter.drawRect(self.rect().adjusted(1, 1, -1, -1))


class Dropping(QObject):
    """Lets sessions be dropped on the widgets that it watches."""

    dropped = Signal(list, object)
    """Session ids, and the `DropTarget` or None."""

    def __init__(self, areas: Callable[[], list[Any]], parent: QObject) -> None:
        super().__init__(parent)
        self._areas = areas
        self._guide: DropGuide | None = None

    def watch(self, widget: QWidget) -> None:
        """Take drops on a widget and all that is in it."""
        widget.setAcceptDrops(True)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind in (QEvent.Type.DragEnter, QEvent.Type.DragMove) and isinstance(event, QDragMoveEvent):
            if not event.mimeData().hasFormat(MIME_TYPE):
                return False
            self._show(self._target(watched, event.position().toPoint()))
            event.acceptProposedAction()
            return True
        if kind == QEvent.Type.DragLeave:
            self._show(None)
        elif kind == QEvent.Type.Drop and isinstance(event, QDropEvent) and event.mimeData().hasFormat(MIME_TYPE):
            target = self._target(watched, event.position().toPoint())
            self._show(None)
            raw = bytes(event.mimeData().data(MIME_TYPE).data())
            ids = [line for line in raw.decode(errors="replace").split("\n") if line]
            event.acceptProposedAction()
            if ids:
                self.dropped.emit(ids, target)
            return True
        return False

    @property
    def guide(self) -> DropGuide | None:
        """What shows where a drop would land, during a drag."""
        return self._guide if self._guide is not None and isValid(self._guide) else None

    def _target(self, watched: QObject, spot: QPoint) -> DropTarget | None:
        if not isinstance(watched, QWidget):
            return None
        there = watched.mapToGlobal(spot)
        for area in self._areas():
            local = area.mapFromGlobal(there)
            if area.isVisible() and area.window() is watched.window() and area.rect().contains(local):
                return DropTarget(area, side_at(area.rect(), local))
        return None

    def _show(self, target: DropTarget | None) -> None:
        guide = self.guide
        if guide is not None and guide.target == target:
            return
        if guide is not None:
            guide.hide()
            guide.deleteLater()
        self._guide = None if target is None else DropGuide(target)
