"""One dialog with three pages. Changes take effect at once; there is nothing to confirm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QRadioButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop import __version__
from mission_control_desktop.domain.profiles import ProfileView
from mission_control_desktop.ui import theme

TRAY = "tray"
"""Preference: whether the window starts an entry in the system tray."""

_WORDS = {"system": "As the system", "light": "Light", "dark": "Dark"}


class SettingsDialog(QDialog):
    """Appearance, connection and launch profiles."""

    scheme_chosen = Signal(str)
    tray_chosen = Signal(bool)
    add_profile_requested = Signal()
    edit_profile_requested = Signal(str)

    def __init__(
        self, facts: Sequence[tuple[str, str]], parent: QWidget | None = None, *, page: str = "", tray: bool = True
    ) -> None:
        super().__init__(parent)
        self.setObjectName("dialog.settings")
        self.setWindowTitle("Settings")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(620, 440)
        self.pages = QTabWidget()
        self.pages.addTab(self._appearance(tray), "&Appearance")
        self.pages.addTab(self._profiles_page(), "&Launch profiles")
        self.pages.addTab(self._connection(facts), "A&bout and connection")
        if page == "about":
            self.pages.setCurrentIndex(2)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.pages)
        layout.addWidget(buttons)

    def _appearance(self, tray: bool) -> QWidget:
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(16, 16, 16, 16)
        for name in theme.SCHEMES:
            button = QRadioButton(_WORDS[name])
            button.setObjectName(f"scheme.{name}")
            button.setChecked(theme.scheme() == name)
            button.toggled.connect(lambda on, n=name: self.scheme_chosen.emit(cast(str, n)) if on else None)
            layout.addWidget(button)
        self.tray = QCheckBox("Stay in the system tray when the window is closed, with Kill All at hand")
        self.tray.setObjectName("tray")
        self.tray.setChecked(tray)
        self.tray.setToolTip("From the next start of the window on. To end the tray now, choose Quit in its menu.")
        self.tray.toggled.connect(self.tray_chosen)
        layout.addSpacing(16)
        layout.addWidget(self.tray)
        layout.addStretch(1)
        return page

    def _profiles_page(self) -> QWidget:
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(16, 16, 16, 16)
        self.list = QListWidget()
        self.list.setAccessibleName("Launch profiles")
        self.list.itemActivated.connect(self._on_edit)
        row = QHBoxLayout()
        add = QPushButton("&New profile…")
        add.setAutoDefault(False)
        add.clicked.connect(self.add_profile_requested)
        edit = QPushButton("&Edit…")
        edit.setAutoDefault(False)
        edit.clicked.connect(lambda: self._on_edit(self.list.currentItem()))
        row.addWidget(add)
        row.addWidget(edit)
        row.addStretch(1)
        layout.addWidget(self.list)
        layout.addLayout(row)
        return page

    def show_profiles(self, profiles: Sequence[ProfileView]) -> None:
        """List the profiles that can be started."""
        self.list.clear()
        for profile in profiles:
            kind = "demo" if profile.demo else "found here" if profile.detected else "your own"
            item = QListWidgetItem(f"{profile.title or profile.name}  ({kind})\n{' '.join(profile.command)}")
            item.setData(Qt.ItemDataRole.UserRole, None if profile.demo else profile.name)
            self.list.addItem(item)

    def _on_edit(self, item: QListWidgetItem | None) -> None:
        if item is not None and (name := item.data(Qt.ItemDataRole.UserRole)):
            self.edit_profile_requested.emit(name)

    def _connection(self, facts: Sequence[tuple[str, str]]) -> QWidget:
        page = QWidget()
        form = QFormLayout(page)
        form.setContentsMargins(16, 16, 16, 16)
        for name, text in (("Mission Control Desktop", __version__), *facts):
            label = QLabel(text)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            label.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
            form.addRow(name, label)
        return page
