"""Which control planes the window is connected to, as whom; further ones are added here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop import __version__
from mission_control_desktop.ui.dialogs.fitting import FittingDialog
from mission_control_desktop.ui.launch.start_form import FieldErrors
from mission_control_desktop.ui.once import OnceButton
from mission_control_desktop.ui.settings.page import SettingsPage

TITLES = ("Name", "Address", "You are", "Connection")


class PlaneRow(NamedTuple):
    """One further control plane as it is shown. `problem` is the long form of its state."""

    name: str
    address: str
    who: str
    state: str
    problem: str = ""


class ConnectionsPage(SettingsPage):
    key, title = "connections", "Connections"

    add_requested = Signal()
    token_requested = Signal(str)
    """Another token is to be entered for this one."""
    remove_requested = Signal(str)

    def __init__(self, facts: Sequence[tuple[str, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        form = QFormLayout()
        self.column.addLayout(form)
        form.setHorizontalSpacing(20)
        form.setVerticalSpacing(8)
        for name, text in (("Mission Control Desktop", __version__), *facts):
            label = QLabel(text)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            label.setAccessibleName(name)
            label.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
            form.addRow(name, label)
        heading = QLabel("Further control planes")
        heading.setProperty("tone", "heading")
        what = QLabel(
            "Their sessions stand in the same roster, named by the control plane. What you may do there is decided "
            "there. Tokens are kept in the system's keyring."
        )
        what.setWordWrap(True)
        what.setProperty("tone", "muted")
        self.table = QTableWidget(0, len(TITLES))
        self.table.setObjectName("connections.planes")
        self.table.setAccessibleName("Further control planes")
        self.table.setHorizontalHeaderLabels(TITLES)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().hide()
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        for column, width in ((0, 130), (2, 170), (3, 150)):
            self.table.setColumnWidth(column, width)
        self.table.itemSelectionChanged.connect(self._refresh)
        self.none = QLabel(
            "None yet. Add the control plane of your team with the token that its admin gave you: its sessions then "
            "stand beside those of this computer, and one Kill All can stop both."
        )
        self.none.setObjectName("connections.none")
        self.none.setWordWrap(True)
        self.none.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        self.problem.setProperty("tone", "attention")
        self.problem.setTextFormat(Qt.TextFormat.PlainText)
        self.add = OnceButton("&Add a control plane…")
        self.add.clicked.connect(self.add_requested)
        self.token = OnceButton("&New token…")
        self.token.clicked.connect(lambda: self.token_requested.emit(self.current))
        self.remove = OnceButton("&Remove…")
        self.remove.clicked.connect(lambda: self.remove_requested.emit(self.current))
        self.column.addSpacing(8)
        self.column.addWidget(heading)
        self.column.addWidget(what)
        self.column.addWidget(self.none)
        self.column.addWidget(self.table, 1)
        self.column.addWidget(self.problem)
        buttons = QHBoxLayout()
        self.column.addLayout(buttons)
        for button in (self.add, self.token, self.remove):
            buttons.addWidget(button)
        buttons.addStretch(1)
        self.column.addStretch()
        self._rows: list[PlaneRow] = []
        self._refresh()

    @property
    def current(self) -> str:
        """The name of the chosen one; empty for none."""
        row = self.table.currentRow()
        return self._rows[row].name if 0 <= row < len(self._rows) and self.table.selectedItems() else ""

    def show_planes(self, rows: Sequence[PlaneRow]) -> None:
        """These, with the choice kept."""
        if list(rows) == self._rows:
            return
        chosen = self.current
        self._rows = list(rows)
        self.table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            for column, text in enumerate(row[: len(TITLES)]):
                item = QTableWidgetItem(text)
                item.setToolTip(row.problem or text)
                self.table.setItem(number, column, item)
            if row.name == chosen:
                self.table.selectRow(number)
        self._refresh()

    def _refresh(self) -> None:
        self.none.setVisible(not self._rows)
        self.table.setVisible(bool(self._rows))
        chosen = self.current
        row = next((row for row in self._rows if row.name == chosen), None)
        self.problem.setText(row.problem if row is not None else "")
        for button in (self.token, self.remove):
            button.setEnabled(row is not None)
            button.setToolTip("" if row is not None else "Choose a control plane in the table first")


class PlaneForm(FittingDialog):
    """Asks for a control plane, or (with a `name`) for another token for one. The caller answers with `failed` or
    `accept`."""

    entered = Signal(str, str, str)
    """Name, address, token."""

    def __init__(self, parent: QWidget | None = None, *, name: str = "", address: str = "") -> None:
        super().__init__(parent)
        self.setObjectName("dialog.plane")
        self.setWindowTitle(f"New token for {name}" if name else "Add a control plane")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(520)
        self.name = QLineEdit(name)
        self.name.setPlaceholderText("team")
        self.name.setAccessibleName("Name")
        self.name.setReadOnly(bool(name))
        self.address = QLineEdit(address)
        self.address.setPlaceholderText("https://mission-control.example:8443")
        self.address.setAccessibleName("Address")
        self.address.setReadOnly(bool(name))
        self.token = QLineEdit()
        self.token.setEchoMode(QLineEdit.EchoMode.Password)
        self.token.setAccessibleName("Token")
        self.token.setPlaceholderText("An admin there makes one: mission-control token create")
        where = QLabel("The token is tried, then kept in the system's keyring. It is not shown again.")
        where.setWordWrap(True)
        where.setProperty("tone", "muted")
        self.error = QLabel()
        self.error.setProperty("tone", "error")
        self.error.setWordWrap(True)
        self.error.setTextFormat(Qt.TextFormat.PlainText)
        self.error.hide()
        self._errors = FieldErrors()
        self.cancel = QPushButton("Cancel")
        self.cancel.setAutoDefault(False)
        self.cancel.clicked.connect(self.reject)
        self.act = QPushButton("&Save" if name else "C&onnect")
        self.act.setObjectName("plane.act")
        self.act.setProperty("kind", "primary")
        self.act.setDefault(True)
        self.act.clicked.connect(self._on_act)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        form = QFormLayout()
        layout.addLayout(form)
        for label, field, named in (
            ("&Name", self.name, "name"),
            ("&Address", self.address, "url"),
            ("&Token", self.token, "token"),
        ):
            form.addRow(label, field)
            form.addRow("", self._errors.label_for(named, field))
        layout.addWidget(where)
        layout.addWidget(self.error)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        buttons.addStretch(1)
        buttons.addWidget(self.cancel)
        buttons.addWidget(self.act)
        (self.token if name else self.name).setFocus()

    def _on_act(self) -> None:
        if not self.act.isEnabled():
            return
        self.act.setEnabled(False)
        self.error.hide()
        self._errors.clear()
        self.entered.emit(self.name.text().strip(), self.address.text().strip(), self.token.text().strip())

    def failed(self, field: str | None, message: str) -> None:
        """It was not taken: say so at the field that is wrong, which gets the focus."""
        self.act.setEnabled(True)
        if not self._errors.show(field, message):
            self.error.setText(message)
            self.error.show()
            self.token.setFocus()
        wrong = self.focusWidget()
        if isinstance(wrong, QLineEdit):
            wrong.selectAll()


class PlaneRemoval(FittingDialog):
    """Asks before one is forgotten. The button that acts is never the default one."""

    confirmed = Signal()

    def __init__(self, name: str, live: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("dialog.plane_removal")
        self.setWindowTitle(f"Remove {name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(480)
        going = f" {live} of its sessions are alive and go on there." if live else ""
        what = QLabel(
            f"This window lets go of the control plane {name}, and its token is forgotten.{going} "
            "Nothing ends there, and everything stays on record there."
        )
        what.setWordWrap(True)
        self.cancel = QPushButton("Cancel")
        self.cancel.setAutoDefault(False)
        self.cancel.clicked.connect(self.reject)
        self.act = OnceButton("&Remove")
        self.act.setObjectName("removal.act")
        self.act.setProperty("kind", "danger")
        self.act.clicked.connect(self.confirmed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        layout.addWidget(what)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        buttons.addWidget(self.cancel)
        buttons.addStretch(1)
        buttons.addWidget(self.act)
        self.cancel.setFocus()
