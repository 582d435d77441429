"""The small questions about desks and grids."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.ui import words
from mission_control_desktop.ui.desk.book import MAX_DESK_NAME
from mission_control_desktop.ui.desk.monitors import Monitors
from mission_control_desktop.ui.dialogs.fitting import FittingDialog

MAX_CELLS = 8
"""Columns or rows of a grid that a person asks for."""


class NameDialog(FittingDialog):
    """Asks for a desk's name. What is wrong with it is said in the dialog, which stays open."""

    def __init__(
        self, title: str, act: str, on_name: Callable[[str, bool], None], *, name: str = "", offer: str = "",
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self._on_name = on_name
        self.setObjectName("dialog.desk_name")
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(420)
        self.name = QLineEdit(name)
        self.name.setObjectName("name")
        self.name.setMaxLength(MAX_DESK_NAME)
        self.name.setAccessibleName("Name of the desk")
        self.name.setPlaceholderText("e.g. Wall, Laptop, Night watch")
        self.name.selectAll()
        label = QLabel("&Name")
        label.setBuddy(self.name)
        self.keep = QCheckBox(offer)
        self.keep.setObjectName("keep")
        self.keep.setChecked(True)
        self.keep.setVisible(bool(offer))
        self.problem = QLabel()
        self.problem.setProperty("tone", "error")
        self.problem.setWordWrap(True)
        self.problem.hide()
        cancel, self.act = QPushButton("Cancel"), QPushButton(act)
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.reject)
        self.act.setProperty("kind", "primary")
        self.act.setDefault(True)
        self.act.clicked.connect(self._on_act)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        for widget in (label, self.name, self.keep, self.problem):
            layout.addWidget(widget)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(self.act)
        self.name.setFocus()

    def _on_act(self) -> None:
        try:
            self._on_name(self.name.text(), self.keep.isChecked())
        except MissionControlError as error:
            self.problem.setText(error.message)
            self.problem.show()
            self.name.setFocus()
            self.name.selectAll()
        else:
            self.accept()


class GridDialog(FittingDialog):
    """Asks for columns and rows."""

    chosen = Signal(int, int)

    def __init__(self, panels: int, columns: int, rows: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._panels = panels
        self.setObjectName("dialog.grid")
        self.setWindowTitle("Grid")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.columns, self.rows = QSpinBox(), QSpinBox()
        for box, name, value in ((self.columns, "columns", columns), (self.rows, "rows", rows)):
            box.setRange(1, MAX_CELLS)
            box.setValue(min(MAX_CELLS, value))
            box.setObjectName(name)
            box.setAccessibleName(name.title())
            box.setAccelerated(True)
            box.valueChanged.connect(self._say)
        self._text = QLabel()
        self._text.setProperty("tone", "muted")
        self._text.setWordWrap(True)
        cancel, act = QPushButton("Cancel"), QPushButton("Arrange")
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.reject)
        act.setProperty("kind", "primary")
        act.setDefault(True)
        act.clicked.connect(self._on_act)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        form = QFormLayout()
        layout.addLayout(form)
        form.addRow("&Columns", self.columns)
        form.addRow("&Rows", self.rows)
        layout.addWidget(self._text)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(act)
        self.setMinimumWidth(360)
        self._say()
        self.columns.setFocus()
        self.columns.selectAll()

    def _say(self) -> None:
        cells = self.columns.value() * self.rows.value()
        text = f"{words.plural(self._panels, 'panel')} in {words.plural(cells, 'place')}"
        self._text.setText(f"{text}; some share tabs" if self._panels > cells else text)

    def _on_act(self) -> None:
        self.chosen.emit(self.columns.value(), self.rows.value())
        self.accept()


class _NumberedMenu(QMenu):
    """A menu in which number keys choose. They belong to it while it is open: a panel below has shortcuts on them."""

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        number = event.key() - Qt.Key.Key_0
        actions = [action for action in self.actions() if action.isEnabled()]
        if not event.modifiers() and 1 <= number <= len(actions):
            self.close()
            actions[number - 1].trigger()
            return
        super().keyPressEvent(event)


def monitor_menu(title: str, monitors: Monitors, here: str, chosen: Callable[[str], None], parent: QWidget) -> QMenu:
    """A menu of the connected monitors, from left to right; the number keys choose. `here` is said to be this one.

    The parent is a window and no panel: a panel may be moved meanwhile, and its menus would close.
    """
    menu = _NumberedMenu(title, parent)
    menu.setObjectName("menu.monitors")
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    heading = menu.addAction(title)  # a section's words are not drawn where separators have a style
    heading.setEnabled(False)
    for number, key in enumerate(monitors.keys(), start=1):
        action = QAction(f"&{number}  {monitors.name(key)}{'  (this one)' if key == here else ''}", menu)
        action.setData(key)
        action.triggered.connect(lambda _checked=False, k=key: chosen(k))
        menu.addAction(action)
    menu.setActiveAction(menu.actions()[1])
    return menu
