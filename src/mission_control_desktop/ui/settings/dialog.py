"""The frame: a list of pages at the left, the chosen page beside it. Changes take effect at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QShowEvent
from PySide6.QtWidgets import (
    QDialogButtonBox,
    QFrame,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.ui.choosing import choose_row
from mission_control_desktop.ui.dialogs.fitting import FittingDialog
from mission_control_desktop.ui.settings.page import SettingsPage

P = TypeVar("P", bound=SettingsPage)


class SettingsDialog(FittingDialog):
    """Shows the pages that it is given, and no others."""

    def __init__(self, pages: Sequence[SettingsPage], parent: QWidget | None = None, *, page: str = "") -> None:
        super().__init__(parent)
        self._pages = tuple(pages)
        self.setObjectName("dialog.settings")
        self.setWindowTitle("Settings")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumSize(820, 520)
        self.resize(1140, 700)
        self.list = QListWidget()
        self.list.setObjectName("settings.pages")
        self.list.setAccessibleName("Pages of the settings")
        self.list.setProperty("surface", "pages")
        self.list.setFixedWidth(176)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.stack = QStackedWidget()
        for one in self._pages:
            item = QListWidgetItem(one.title)
            item.setData(Qt.ItemDataRole.UserRole, one.key)
            self.list.addItem(item)
            self.stack.addWidget(one)
        self.list.currentRowChanged.connect(self._turn_to)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close = buttons.button(QDialogButtonBox.StandardButton.Close)
        close.setAutoDefault(False)
        buttons.rejected.connect(self.reject)
        line = QFrame()
        line.setProperty("surface", "rule")
        line.setFixedWidth(1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.list)
        layout.addWidget(line)
        right = QVBoxLayout()
        layout.addLayout(right, 1)
        right.setSpacing(8)
        right.addWidget(self.stack, 1)
        foot = QHBoxLayout()
        right.addLayout(foot)
        foot.setContentsMargins(20, 0, 20, 14)
        foot.addWidget(buttons)
        self.show_page(page or self._pages[0].key)
        self.list.setFocus()

    @property
    def current(self) -> SettingsPage:
        """The page that is turned to."""
        return self._pages[self.stack.currentIndex()]

    def page(self, kind: type[P]) -> P:
        """The page of a kind. LookupError if it is not among them."""
        for one in self._pages:
            if isinstance(one, kind):
                return one
        raise LookupError(kind.__name__)

    def replace(self, pages: Sequence[SettingsPage]) -> None:
        """Others in place of those of the same keys, which go."""
        row = self.stack.currentIndex()
        made = {one.key: one for one in pages}
        for place, old in enumerate(self._pages):
            if (new := made.get(old.key)) is not None:
                self.stack.removeWidget(old)
                self.stack.insertWidget(place, new)
                old.hide()
                old.deleteLater()
        self._pages = tuple(made.get(one.key, one) for one in self._pages)
        self._turn_to(row)

    def show_page(self, key: str) -> None:
        """Turn to a page; to the first one if there is none of this key."""
        keys = [one.key for one in self._pages]
        choose_row(self.list, self.list.model().index(keys.index(key) if key in keys else 0, 0))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        # A dialog presses the default button of what lies below it, of a form that the same key has just opened too.
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.accept()
            return
        super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        # What was laid out before it had its style is as high as without it.
        self.list.doItemsLayout()
        super().showEvent(event)

    def _turn_to(self, row: int) -> None:
        self.stack.setCurrentIndex(row)
        self._pages[row].shown()
