"""Widgets that fill lines like text: for buttons whose number and length are not ours to choose."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPoint, QRect, QSize
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QStyle, QWidget

_MOVING = (QEvent.Type.LayoutRequest, QEvent.Type.ContentsRectChange, QEvent.Type.LayoutDirectionChange)


class Flow(QWidget):
    """Left to right (where one reads so), then the next line. None gets smaller than it would like to be, but for one
    that is wider than the whole.

    It is no `QLayout`: that would be given layout items to keep, which Python must not hold (`docs/development.md`).
    """

    def __init__(self, *, spacing: int) -> None:
        """`spacing` in pixels, between neighbours and between lines."""
        super().__init__()
        self._spacing = spacing
        self._widgets: list[QWidget] = []
        policy = self.sizePolicy()
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def put(self, widget: QWidget) -> None:
        """Behind the others; the widget is its from then on."""
        self._widgets.append(widget)
        widget.setParent(self)
        if self.isVisible():
            widget.show()
        self._fit()

    def clear(self) -> None:
        """None is left; they are deleted as soon as nothing uses them."""
        widgets, self._widgets = self._widgets, []
        for widget in widgets:
            widget.setParent(None)
            widget.deleteLater()
        self._fit()

    def heightForWidth(self, width: int) -> int:
        margins = self.contentsMargins()
        width -= margins.left() + margins.right()
        places = self._places(width)
        high = max((place.y() + place.height() for _widget, place in places), default=0)
        return high + margins.top() + margins.bottom()

    def sizeHint(self) -> QSize:
        return self.minimumSizeHint()

    def minimumSizeHint(self) -> QSize:
        size = QSize(0, 0)
        for widget in self._shown():
            size = size.expandedTo(_wish(widget))
        return size.grownBy(self.contentsMargins())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def event(self, event: QEvent) -> bool:
        handled = super().event(event)
        if event.type() in _MOVING:
            self._fit()
        return handled

    def _fit(self) -> None:
        self._arrange()
        self.updateGeometry()

    def _arrange(self) -> None:
        area = self.contentsRect()
        for widget, place in self._places(area.width()):
            there = place.translated(area.topLeft())
            widget.setGeometry(QStyle.visualRect(self.layoutDirection(), area, there))

    def _shown(self) -> list[QWidget]:
        return [widget for widget in self._widgets if not widget.isHidden()]

    def _places(self, width: int) -> list[tuple[QWidget, QRect]]:
        """Where each of them goes, from the top left corner of what is inside the margins."""
        places: list[tuple[QWidget, QRect]] = []
        x, y, line = 0, 0, 0
        for widget in self._shown():
            wish = _wish(widget)
            wide = min(wish.width(), width)
            if x > 0 and x + wide > width:
                x, y, line = 0, y + line + self._spacing, 0
            places.append((widget, QRect(QPoint(x, y), QSize(wide, wish.height()))))
            x += wide + self._spacing
            line = max(line, wish.height())
        return places


def _wish(widget: QWidget) -> QSize:
    size = widget.sizeHint().expandedTo(widget.minimumSizeHint())
    return size.boundedTo(widget.maximumSize()).expandedTo(widget.minimumSize())
