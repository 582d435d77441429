"""Which keys are in effect, from the command table."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.commands import COMMANDS, CommandActions, Menu

EXTRA = (
    ("In the roster", "Enter", "Open as a panel"),
    ("In the roster", "Right, Left", "Open or close a branch"),
    ("In dialogs", "Esc", "Cancel"),
)


class KeysDialog(QDialog):
    """Commands that cannot be used now are muted, with the reason."""

    def __init__(self, commands: CommandActions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("dialog.keys")
        self.setWindowTitle("Keys in effect")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(860, 680)
        body = QWidget()
        grid = QGridLayout(body)
        grid.setContentsMargins(20, 8, 20, 16)
        grid.setHorizontalSpacing(20)
        grid.setVerticalSpacing(4)
        row = 0
        for menu in Menu:
            row = _section(grid, row, menu.value.replace("&", ""))
            for command in (c for c in COMMANDS if c.menu is menu and c.keys):
                if command.id.startswith(("panel.go_", "desk.go_")) and not command.id.endswith("_1"):
                    continue
                on = commands.in_effect(command.id)
                native = QKeySequence.SequenceFormat.NativeText
                keys = " or ".join(QKeySequence(k).toString(native) for k in command.keys)
                title = command.title.replace("&", "")
                if command.id == "panel.go_1":
                    keys, title = "Ctrl+1 … Ctrl+9", "Go to panel 1 … 9"
                if command.id == "desk.go_1":
                    keys, title = "Alt+1 … Alt+9", "Go to desk 1 … 9"
                note = command.hint if on else f"when {command.when.value}"
                row = _line(grid, row, keys, title, note, muted=not on)
        section = ""
        for where, key, text in EXTRA:
            if where != section:
                row = _section(grid, row, where)
                section = where
            row = _line(grid, row, key, text, "", muted=False)
        grid.setRowStretch(row, 1)
        grid.setColumnStretch(2, 1)
        area = QScrollArea()
        area.setAccessibleName("Keys in effect")
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(body)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 8, 12, 12)
        layout.addWidget(area)
        layout.addWidget(buttons)


def _section(grid: QGridLayout, row: int, title: str) -> int:
    label = QLabel(title)
    label.setProperty("tone", "heading")
    label.setContentsMargins(0, 10, 0, 2)
    grid.addWidget(label, row, 0, 1, 3)
    return row + 1


def _line(grid: QGridLayout, row: int, keys: str, title: str, note: str, *, muted: bool) -> int:
    for column, text in enumerate((keys, title, note)):
        label = QLabel(text)
        if column == 0:
            theme.keep_font(label, mono=True)
        if muted or column == 2:
            label.setProperty("tone", "muted")
        if column == 2:
            label.setWordWrap(True)
        grid.addWidget(label, row, column)
    return row + 1
