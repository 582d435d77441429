"""A label that gives way: it shortens its text with an ellipsis instead of pushing others out."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget


class ElidedLabel(QLabel):
    """One line; the whole text is in the tool tip while it does not fit."""

    def __init__(
        self,
        text: str = "",
        parent: QWidget | None = None,
        *,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        least: int = 24,
    ) -> None:
        self._mode = mode
        self._least = least
        self._tip = ""
        self._short = ""
        super().__init__(text, parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def set_short(self, short: str) -> None:
        """Words to be seen in place of the text, which stays what is told; empty: the text itself."""
        if short != self._short:
            self._short = short
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        if not self._short:
            return hint
        return QSize(self.fontMetrics().horizontalAdvance(self._short) + 2, hint.height())

    def minimumSizeHint(self) -> QSize:
        if self._short:
            return self.sizeHint()
        hint = super().minimumSizeHint()
        return QSize(min(self._least, hint.width()), hint.height())

    def set_tip(self, tip: str) -> None:
        """What the tool tip says besides the text."""
        self._tip = tip
        self.setToolTip(tip)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        area = self.contentsRect()
        text = self.fontMetrics().elidedText(self._short or self.text(), self._mode, area.width())
        short = text != self.text()
        tip = f"{self.text()}\n{self._tip}".strip() if short else self._tip
        if tip != self.toolTip():
            self.setToolTip(tip)
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(area, self.alignment().value, text)
