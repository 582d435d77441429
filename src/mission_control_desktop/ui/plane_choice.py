"""The choice of a control plane, seen only where there are several."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QWidget

from mission_control_desktop.client.fleet import HOME
from mission_control_desktop.ui.planes import Plane


class Offered(NamedTuple):
    """One control plane that can be chosen, or cannot: `refusal` says why not."""

    key: str
    title: str
    refusal: str = ""


def offered(planes: Iterable[Plane], refusal: Callable[[Plane], str]) -> tuple[Offered, ...]:
    """All of them, home first. One that is not connected cannot be chosen, whatever the role there."""
    return tuple(
        Offered(plane.key, plane.title, refusal(plane) if plane.role is not None else "not connected yet")
        for plane in planes
    )


class PlaneChoice(QWidget):
    """A selector with its label. What cannot be chosen is passed over by the keys and says why."""

    chosen = Signal(str)
    """A person chose this control plane."""

    def __init__(self, label: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._offered: tuple[Offered, ...] = ()
        self.box = QComboBox()
        self.box.setObjectName("plane")
        self.box.setAccessibleName("Control plane")
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.box.currentIndexChanged.connect(self._on_index)
        named = QLabel(label)
        named.setBuddy(self.box)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(named)
        row.addWidget(self.box)
        row.addStretch(1)
        self.hide()

    @property
    def current(self) -> str:
        """The key of the chosen one."""
        row = self.box.currentIndex()
        return self._offered[row].key if 0 <= row < len(self._offered) else HOME

    def offer(self, planes: tuple[Offered, ...], current: str) -> None:
        """Show these, with one of them chosen; nothing is emitted."""
        if planes != self._offered:
            self._offered = planes
            with QSignalBlocker(self.box):
                self.box.clear()
                for place, one in enumerate(planes):
                    self.box.addItem(f"{one.title} ({one.refusal})" if one.refusal else one.title)
                    self.box.setItemData(place, one.refusal or one.title, Qt.ItemDataRole.ToolTipRole)
                    model = self.box.model()
                    if one.refusal and isinstance(model, QStandardItemModel):
                        model.item(place).setEnabled(False)
        keys = [one.key for one in planes]
        with QSignalBlocker(self.box):
            self.box.setCurrentIndex(keys.index(current) if current in keys else 0)
        self.setVisible(len(planes) > 1)

    def _on_index(self, row: int) -> None:
        if 0 <= row < len(self._offered) and not self._offered[row].refusal:
            self.chosen.emit(self._offered[row].key)
