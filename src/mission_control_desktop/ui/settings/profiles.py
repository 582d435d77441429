"""What agents can be started from."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QListWidget, QListWidgetItem, QPushButton, QWidget

from mission_control_desktop.domain.profiles import ProfileView
from mission_control_desktop.ui.settings.page import PlanePage


class ProfilesPage(PlanePage):
    key, title = "profiles", "Launch profiles"

    turned_to = Signal()
    add_requested = Signal()
    edit_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.list = QListWidget()
        self.list.setAccessibleName("Launch profiles")
        self.list.setProperty("surface", "card")
        self.list.itemActivated.connect(self._on_edit)
        row = QHBoxLayout()
        self.add = add = QPushButton("&New profile…")
        add.setAutoDefault(False)
        add.clicked.connect(self.add_requested)
        self.edit = edit = QPushButton("&Edit…")
        edit.setAutoDefault(False)
        edit.clicked.connect(lambda: self._on_edit(self.list.currentItem()))
        row.addWidget(add)
        row.addWidget(edit)
        row.addStretch(1)
        self.refusal = QLabel()
        self.refusal.setProperty("tone", "attention")
        self.refusal.setWordWrap(True)
        self.refusal.hide()
        self.column.addWidget(self.refusal)
        self.column.addWidget(self.list)
        self.column.addLayout(row)

    def shown(self) -> None:
        self.turned_to.emit()

    def show_profiles(self, profiles: Sequence[ProfileView]) -> None:
        """List the profiles that can be started."""
        row = self.list.currentRow()
        self.list.clear()
        for profile in profiles:
            kind = "demo" if profile.demo else "found here" if profile.detected else "your own"
            item = QListWidgetItem(f"{profile.title or profile.name}  ({kind})\n{' '.join(profile.command)}")
            item.setData(Qt.ItemDataRole.UserRole, None if profile.demo else profile.name)
            self.list.addItem(item)
        self.list.setCurrentRow(min(row, self.list.count() - 1))

    def set_refusal(self, why: str) -> None:
        """Why the person may change none; empty if they may."""
        self.refusal.setText(why)
        self.refusal.setVisible(bool(why))
        for button in (self.add, self.edit):
            button.setEnabled(not why)
            button.setToolTip(why)

    def _on_edit(self, item: QListWidgetItem | None) -> None:
        if self.edit.isEnabled() and item is not None and (name := item.data(Qt.ItemDataRole.UserRole)):
            self.edit_requested.emit(name)
