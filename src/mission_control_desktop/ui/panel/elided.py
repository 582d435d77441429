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
        self.shown = ""
        """What of it was to be seen when it was painted last."""
        self._short = self._brief = ""
        super().__init__(text, parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def set_short(self, short: str) -> None:
        """Words to be seen in place of the text, which stays what is told; empty: the text itself."""
        if short != self._short:
            self._short = short
            self.updateGeometry()
            self.update()

    def set_brief(self, brief: str) -> None:
        """Words to be seen where there is no room for the text; there is always room for them."""
        if brief != self._brief:
            self._brief = brief
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
        least = self.fontMetrics().horizontalAdvance(self._brief) + 2 if self._brief else self._least
        return QSize(min(least, hint.width()), hint.height())

    def set_tip(self, tip: str) -> None:
        """What the tool tip says besides the text."""
        self._tip = tip
        self.setToolTip(tip)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        area = self.contentsRect()
        text = self._short or self.text()
        if self._brief and self.fontMetrics().horizontalAdvance(text) > area.width():
            text = self._brief
        self.shown = text = self.fontMetrics().elidedText(text, self._mode, area.width())
        short = text != self.text()
        tip = f"{self.text()}\n{self._tip}".strip() if short else self._tip
        if tip != self.toolTip():
            self.setToolTip(tip)
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(area, self.alignment().value, text)
