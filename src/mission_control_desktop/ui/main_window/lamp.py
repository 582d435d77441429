"""The stop lamp: whether a stop would reach everything, by a test of a short while ago."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from PySide6.QtCore import QRectF, QTimer
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from mission_control_desktop.domain.events import ProviderHealth, StopState
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.stop_words import FIRST_TEST, lamp_view


class StopLamp(QWidget):
    """A shape and two words; each provider stands in the tool tip. Only what is abnormal is coloured."""

    WIDEST = "Stop degraded"

    def __init__(
        self,
        health: Mapping[str, ProviderHealth],
        parent: QWidget | None = None,
        *,
        now: Callable[[], datetime] = words.utc_now,
    ) -> None:
        super().__init__(parent)
        self._health = health
        self._now = now
        self._connected = False
        self._due: datetime | None = now() + FIRST_TEST
        self._short = False
        self.view = lamp_view({}, now(), connected=False)
        self.setObjectName("header.stop_lamp")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._ages = QTimer(self)
        self._ages.setInterval(5_000)
        self._ages.timeout.connect(self.refresh)
        self._ages.start()
        theme.signals.theme_changed.connect(self._on_theme)
        self.refresh()

    def set_connected(self, connected: bool) -> None:
        """Whether the window is connected at all."""
        if connected != self._connected:
            self._connected = connected
            self._due = self._now() + FIRST_TEST if connected else None
        self.refresh()

    def refresh(self) -> None:
        """Look at what the providers say now."""
        self.view = lamp_view(self._health, self._now(), connected=self._connected, due=self._due)
        self.setToolTip(self.view.detail)
        self.setAccessibleName(f"{self.view.text}. {self.view.detail}")
        self._on_theme()

    def set_short(self, short: bool) -> None:
        """Whether there is no room for the words: the shape and the tool tip stay."""
        if short != self._short:
            self._short = short
            self._on_theme()

    def width_of_words(self) -> int:
        """How much wider it is with them."""
        return QFontMetrics(theme.ui_font(theme.metrics.text_small)).horizontalAdvance(self.WIDEST) + 4

    def _on_theme(self) -> None:
        self.setFixedSize(18 + (0 if self._short else self.width_of_words()), theme.metrics.high(24))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        look = theme.current()
        painter = QPainter(self)
        box = QRectF(0, self.height() / 2 - 6, 12, 12)
        match self.view.state:
            case StopState.ARMED:
                ink = look.text_muted
                theme.paint_status(painter, box, SessionStatus.COMPLETED, color=ink)
            case StopState.DEGRADED:
                ink = look.error
                theme.paint_status(painter, box, SessionStatus.FAILED, color=ink)
            case _:
                ink = look.warning if self.view.abnormal else look.text_muted
                theme.paint_status(painter, box, SessionStatus.WAITING, color=ink)
        if self._short:
            return
        painter.setFont(theme.ui_font(theme.metrics.text_small))
        painter.setPen(ink)
        baseline = (self.height() + painter.fontMetrics().ascent() - painter.fontMetrics().descent()) // 2
        painter.drawText(18, baseline, self.view.text)
