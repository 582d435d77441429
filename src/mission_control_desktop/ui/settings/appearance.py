"""How the window looks, and whether it leaves an entry in the system tray."""

from __future__ import annotations

from typing import cast

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QRadioButton, QWidget

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.settings.page import SettingsPage

TRAY = "tray"
"""Preference: whether the window starts an entry in the system tray."""
_WORDS = {"system": "As the system", "light": "Light", "dark": "Dark"}


class AppearancePage(SettingsPage):
    key, title = "appearance", "Appearance"

    scheme_chosen = Signal(str)
    tray_chosen = Signal(bool)

    def __init__(self, parent: QWidget | None = None, *, tray: bool = True) -> None:
        super().__init__(parent)
        for name in theme.SCHEMES:
            button = QRadioButton(_WORDS.get(name, name.capitalize()))
            button.setObjectName(f"scheme.{name}")
            button.setChecked(theme.scheme() == name)
            button.toggled.connect(lambda on, n=name: self.scheme_chosen.emit(cast(str, n)) if on else None)
            self.column.addWidget(button)
        self.tray = QCheckBox("Stay in the system tray when the window is closed, with Kill All at hand")
        self.tray.setObjectName("tray")
        self.tray.setChecked(tray)
        self.tray.setToolTip("From the next start of the window on. To end the tray now, choose Quit in its menu.")
        self.tray.toggled.connect(self.tray_chosen)
        self.column.addSpacing(16)
        self.column.addWidget(self.tray)
        self.column.addStretch(1)
