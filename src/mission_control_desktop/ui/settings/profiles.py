"""What agents can be started from."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QListWidget, QListWidgetItem, QPushButton, QWidget

from mission_control_desktop.domain.profiles import ProfileView
from mission_control_desktop.ui.choosing import choose_row
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
        self.list.currentItemChanged.connect(lambda _now, _before: self._level())
        self._why = ""
        self.add = add = QPushButton("&New profile…")
        add.setAutoDefault(False)
        add.clicked.connect(self.add_requested)
        self.edit = edit = QPushButton("&Edit…")
        edit.setAutoDefault(False)
        edit.clicked.connect(lambda: self._on_edit(self.list.currentItem()))
        self.refusal = QLabel()
        self.refusal.setProperty("tone", "attention")
        self.refusal.setWordWrap(True)
        self.refusal.hide()
        self.column.addWidget(self.refusal)
        self.column.addWidget(self.list)
        row = QHBoxLayout()
        self.column.addLayout(row)
        row.addWidget(add)
        row.addWidget(edit)
        row.addStretch(1)
        self._level()

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
        choose_row(self.list, self.list.model().index(min(max(row, 0), self.list.count() - 1), 0))
        self._level()

    def set_refusal(self, why: str) -> None:
        """Why the person may change none; empty if they may."""
        self.refusal.setText(why)
        self.refusal.setVisible(bool(why))
        self._why = why
        self._level()

    def _level(self) -> None:
        """Edit is for what can be edited, and says why it is not."""
        item = self.list.currentItem()
        fixed = "Choose a profile first" if item is None else "The demo mission stays as it is"
        name = None if item is None else item.data(Qt.ItemDataRole.UserRole)
        for button, why in ((self.add, self._why), (self.edit, self._why or ("" if name else fixed))):
            button.setEnabled(not why)
            button.setToolTip(why)

    def _on_edit(self, item: QListWidgetItem | None) -> None:
        if self.edit.isEnabled() and item is not None and (name := item.data(Qt.ItemDataRole.UserRole)):
            self.edit_requested.emit(name)
