"""How the providers are doing, in the header: quiet while all is well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QPushButton, QSizePolicy, QWidget

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.provider_words import summary

_NARROWEST = 96
_AROUND = 44
"""Icon, padding and border."""


class ProviderChip(QPushButton):
    """Hidden where there is only the built-in provider and it does well. Where there is little room its words are cut;
    the tool tip has all of them."""

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
        self.words = ""
        """What it says where there is room."""
        self.setObjectName("header.providers")
        self.setAutoDefault(False)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(_NARROWEST)
        self._ages = QTimer(self)
        self._ages.setInterval(1_000)
        self._ages.timeout.connect(self.refresh)
        self._ages.start()
        theme.signals.theme_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Look at what the providers say now."""
        look = summary(self._health, self._now())
        self.setVisible(look is not None)
        if look is None:
            return
        kind = "quiet" if look.level == "ok" else "attention"
        if self.property("kind") != kind:
            self.setProperty("kind", kind)
            self.style().unpolish(self)
            self.style().polish(self)
        self.setIcon(theme.level_icon(look.level))
        self.words = look.text
        self.setToolTip(f"{look.text}\n\n{look.detail}" if look.level != "ok" else look.detail)
        self.setAccessibleName(f"Providers: {look.text}")
        self.setAccessibleDescription(look.detail)
        self._cut()
        self.updateGeometry()

    def _cut(self) -> None:
        room = max(0, self.width() - _AROUND)
        self.setText(self.fontMetrics().elidedText(self.words, Qt.TextElideMode.ElideMiddle, room))

    def sizeHint(self) -> QSize:
        return QSize(self.fontMetrics().horizontalAdvance(self.words) + _AROUND + 2, super().sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._cut()
