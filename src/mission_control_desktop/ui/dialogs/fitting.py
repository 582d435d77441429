"""Dialogs as high as their words need, and never larger than the screen: nothing is cut off or out of reach."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtWidgets import QApplication, QDialog, QFrame, QLayout, QScrollArea, QVBoxLayout, QWidget

_FRAME = QSize(16, 48)
"""What a window's frame and title may take, in device-independent pixels."""


class FittingDialog(QDialog):
    """Smaller than it would like to be where there is no room; where there is less than it needs, it scrolls."""

    _area: QScrollArea | None = None

    def setVisible(self, visible: bool) -> None:
        if visible and not self.isVisible():
            self._fit_into(self._room())
        super().setVisible(visible)

    def _room(self) -> QSize:
        """The screen's, or that of the window it belongs to if that one is larger: it was made so by somebody."""
        room = self.screen().availableGeometry().size() - _FRAME
        above = self.parentWidget()
        return room if above is None else room.expandedTo(above.window().size())

    def _fit_into(self, room: QSize) -> None:
        self.setMinimumSize(self.minimumSize().boundedTo(room))
        self.resize(self.size().boundedTo(room))
        layout = self.layout()
        if layout is None:
            return
        need = self._need(layout)
        if need.width() <= room.width() and need.height() <= room.height():
            self.resize(self.size().expandedTo(need))
            return
        # Below this dialog from the beginning, so that the Tab key goes through it in the same order.
        inside = QWidget(self)
        inside.setLayout(layout)
        area = QScrollArea(self)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidgetResizable(True)
        area.setWidget(inside)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(area)
        bars = area.style().pixelMetric(area.style().PixelMetric.PM_ScrollBarExtent)
        self._area = area
        app = QApplication.instance()
        if isinstance(app, QApplication):
            app.focusChanged.connect(self._on_focus)
        self.resize((need + QSize(bars, bars)).expandedTo(self.size()).boundedTo(room))

    def _need(self, layout: QLayout) -> QSize:
        """The least room in which nothing is cut off; Qt's own knows of words that wrap only how high they are wide."""
        need = layout.totalMinimumSize()
        if layout.hasHeightForWidth():
            need.setHeight(max(need.height(), layout.totalMinimumHeightForWidth(max(need.width(), self.width()))))
        return need

    def event(self, event: QEvent) -> bool:
        asked = event.type() is QEvent.Type.LayoutRequest
        handled = super().event(event)
        if asked and self.isVisible() and self._area is None and (layout := self.layout()) is not None:
            # A complaint at a field, say, that came while it is open.
            self.resize(self.size().expandedTo(self._need(layout).boundedTo(self._room())))
        return handled

    def _on_focus(self, _old: QWidget | None, now: QWidget | None) -> None:
        # The Tab key scrolls by itself; what is given the focus by a key of its own, or to show an error, does not.
        if self._area is not None and now is not None and self._area.isAncestorOf(now):
            self._area.ensureWidgetVisible(now)
