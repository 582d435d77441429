"""Which keys are in effect, from the command table."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialogButtonBox, QGridLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.commands import COMMANDS, CommandActions, Menu
from mission_control_desktop.ui.dialogs.fitting import FittingDialog
from mission_control_desktop.ui.main_window.here import Here


class KeysDialog(FittingDialog):
    """First the keys of the place where the person is, then those of the commands. Commands that cannot be used now are
    muted, with the reason."""

    change_requested = Signal()

    def __init__(self, commands: CommandActions, here: Here | None = None, parent: QWidget | None = None) -> None:
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
        if here is not None:
            row = _section(grid, row, f"Here: {here.name}")
            for keys, text in here.lines:
                row = _line(grid, row, keys, text, "", muted=False)
        for menu in Menu:
            row = _section(grid, row, menu.value.replace("&", ""))
            for command in (c for c in COMMANDS if c.menu is menu and commands.keymap.keys(c.id)):
                first_of_row = _rows_as_delivered(commands, command.id)
                if first_of_row is not None and first_of_row != command.id:
                    continue
                why_not = commands.why_not(command.id)
                keys, title = commands.keys_text(command.id), command.title.replace("&", "")
                if first_of_row is not None:
                    last = commands.keys_text(f"{command.id[:-1]}9")
                    keys, title = f"{keys} … {last}", f"{title} … 9"
                    title = title.replace("1  Desk 1", "Go to desk 1")
                row = _line(grid, row, keys, title, why_not or command.hint, muted=bool(why_not))
        row = _section(grid, row, "Everywhere")
        row = _line(grid, row, "Esc", "Close a dialog, a list or a search; change nothing", "", muted=False)
        grid.setRowStretch(row, 1)
        grid.setColumnStretch(2, 1)
        area = QScrollArea()
        area.setAccessibleName("Keys in effect")
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(body)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        change = buttons.addButton("Change keys…", QDialogButtonBox.ButtonRole.ActionRole)
        change.setObjectName("keys.change")
        change.clicked.connect(self.change_requested)
        change.clicked.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 8, 12, 12)
        layout.addWidget(area)
        layout.addWidget(buttons)


def _rows_as_delivered(commands: CommandActions, command_id: str) -> str | None:
    """The first command of a row of nine that has its keys as delivered: they are shown as one line."""
    for row in ("panel.go_", "desk.go_"):
        if command_id.startswith(row) and all(commands.keymap.is_default(f"{row}{n}") for n in range(1, 10)):
            return f"{row}1"
    return None


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
