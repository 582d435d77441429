"""How the window looks, and whether it leaves an entry in the system tray. Every choice takes effect at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QRadioButton,
    QSizePolicy,
    QWidget,
)

from mission_control_desktop.ui import theme, times, words
from mission_control_desktop.ui.settings.page import SettingsPage

_SCHEMES = {"system": "As the system", "light": "Light", "dark": "Dark", "contrast": "High contrast"}
_DENSITIES = {"comfortable": "Comfortable", "compact": "Compact"}
_ZONES = {False: "This computer's time", True: "UTC"}


class AppearancePage(SettingsPage):
    key, title = "appearance", "Appearance"

    chosen = Signal(object)
    """An `Appearance`."""
    tray_chosen = Signal(bool)

    def __init__(self, parent: QWidget | None = None, *, tray: bool = True) -> None:
        super().__init__(parent)
        self._levelling = False
        form = QFormLayout()
        self.column.addLayout(form)
        form.setHorizontalSpacing(20)
        form.setVerticalSpacing(12)
        self.schemes = self._choice(form, "Colours", "scheme", _SCHEMES.items())
        self.densities = self._choice(form, "Density", "density", _DENSITIES.items())
        self.text = QComboBox()
        self.text.setObjectName("text_size")
        for size in theme.TEXT_SIZES:
            plain = size == theme.Appearance().text
            self.text.addItem(f"{size} pixels (as delivered)" if plain else f"{size} pixels", size)
        self.text.currentIndexChanged.connect(self._on_text)
        self.text.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        form.addRow("Size of &text", self.text)
        self.zones = self._choice(form, "Times", "zone", _ZONES.items())
        self.sample = QLabel()
        self.sample.setProperty("tone", "muted")
        form.addRow("", self.sample)
        self.still = QCheckBox("&Reduce motion: panes come and go without sliding")
        self.still.setObjectName("still")
        self.still.toggled.connect(lambda on: self._choose(still=on))
        self.tray = QCheckBox("Stay in the s&ystem tray when the window is closed, with Kill All at hand")
        self.tray.setObjectName("tray")
        self.tray.setChecked(tray)
        self.tray.setToolTip("From the next start of the window on. To end the tray now, choose Quit in its menu.")
        self.tray.toggled.connect(self.tray_chosen)
        self.column.addSpacing(8)
        self.column.addWidget(self.still)
        self.column.addWidget(self.tray)
        self.column.addStretch(1)
        theme.signals.theme_changed.connect(self.level)
        self.level()

    def _choice(
        self, form: QFormLayout, label: str, name: str, choices: Iterable[tuple[Any, str]]
    ) -> dict[Any, QRadioButton]:
        line, buttons, group = QHBoxLayout(), {}, QButtonGroup(self)
        form.addRow(label, line)
        line.setSpacing(16)
        for value, text in choices:
            button = QRadioButton(text)
            button.setObjectName(f"{name}.{value}")
            button.setAccessibleName(f"{label}: {text}")
            button.toggled.connect(lambda on, n=name, v=value: self._choose(**{_FIELDS[n]: v}) if on else None)
            group.addButton(button)
            line.addWidget(button)
            buttons[value] = button
        line.addStretch(1)
        return buttons

    def level(self) -> None:
        """Show what is in effect."""
        chosen = theme.appearance()
        self._levelling = True
        self.schemes[chosen.scheme].setChecked(True)
        self.densities[chosen.density].setChecked(True)
        self.zones[chosen.utc].setChecked(True)
        self.text.setCurrentIndex(self.text.findData(chosen.text))
        self.still.setChecked(chosen.still)
        self._levelling = False
        self.sample.setText(f"Now it is {times.exact(words.utc_now(), 'seconds')}")

    def _on_text(self, index: int) -> None:
        self._choose(text=self.text.itemData(index))

    def _choose(self, **change: Any) -> None:
        if not self._levelling:
            self.chosen.emit(replace(theme.appearance(), **change))


_FIELDS = {"scheme": "scheme", "density": "density", "zone": "utc"}
