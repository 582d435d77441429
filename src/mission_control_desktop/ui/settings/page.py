"""What a page of the settings is to the frame around it."""

from __future__ import annotations

from typing import ClassVar

from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from mission_control_desktop.ui.plane_choice import PlaneChoice


class SettingsPage(QWidget):
    """One page. `key` names it to whoever opens the settings at it, `title` stands in the list of pages."""

    key: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(f"settings.{self.key}")
        heading = QLabel(self.title)
        heading.setProperty("tone", "title")
        self.column = QVBoxLayout(self)
        """Where a page puts what it shows, below its title."""
        self.column.setContentsMargins(20, 16, 20, 8)
        self.column.setSpacing(10)
        self.column.addWidget(heading)

    def shown(self) -> None:
        """The page was turned to."""


class PlanePage(SettingsPage):
    """A page about one control plane; of several it is chosen at the top."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plane = PlaneChoice("&Of the control plane")
        self.column.addWidget(self.plane)
