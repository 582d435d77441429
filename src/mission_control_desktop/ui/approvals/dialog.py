"""All permission questions in one list: those that wait, answered here, and what became of earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QIcon, QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialogButtonBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from mission_control_desktop.ui import theme, times
from mission_control_desktop.ui.approvals.bar import ApprovalBar
from mission_control_desktop.ui.approvals.rows import Row
from mission_control_desktop.ui.dialogs.fitting import FittingDialog

_COLUMNS = ("State", "Session", "Question", "Asked", "Answered", "Answer")
_SHAPES = {
    "open": (SessionStatus.WAITING, WaitingFor.APPROVAL),
    "stale": (SessionStatus.PAUSED, None),
    "expired": (SessionStatus.SPAWNING, None),
    "answered": (SessionStatus.COMPLETED, None),
}


class QuestionTable(QTableWidget):
    """Enter goes to the session, a number answers."""

    entered = Signal()
    number_pressed = Signal(int)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        number = event.key() - Qt.Key.Key_0
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier == Qt.KeyboardModifier.NoModifier
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.entered.emit()
        elif 1 <= number <= 9 and plain:
            if not event.isAutoRepeat():
                self.number_pressed.emit(number)
        else:
            super().keyPressEvent(event)
            return
        event.accept()


class ApprovalsDialog(FittingDialog):
    """Shows what it is given; what is asked for goes out as signals."""

    answer_wanted = Signal(str, str)
    """Approval id and option id."""
    session_wanted = Signal(str)
    older_wanted = Signal()
    """More of what was asked before."""

    def __init__(
        self,
        name_of: Callable[[str], str],
        parent: QWidget | None = None,
        *,
        refusal: Callable[[str], str] = lambda _session_id: "",
    ) -> None:
        """`refusal` says of a session why its questions cannot be answered here; empty if they can."""
        super().__init__(parent)
        self._refusal = refusal
        self._name_of = name_of
        self._rows: list[Row] = []
        self._on_older = False
        self.setObjectName("dialog.approvals")
        self.setWindowTitle("Approvals")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumSize(720, 480)
        self.resize(1080, 680)
        self.note = QLabel("Reading what was asked before…")
        self.note.setObjectName("approvals.note")
        self.note.setProperty("tone", "muted")
        self.note.setWordWrap(True)
        self.table = self._make_table()
        self.bar = ApprovalBar(keeps_detail=True)
        self.bar.answer_wanted.connect(self.answer_wanted)
        self.table.number_pressed.connect(self.bar.answer_number)
        self.refused = QLabel()
        self.refused.setObjectName("approvals.refused")
        self.refused.setProperty("tone", "attention")
        self.refused.setWordWrap(True)
        self.refused.hide()
        self.go = QPushButton("&Go to the session")
        self.go.setObjectName("approvals.go")
        self.go.setAutoDefault(False)
        self.go.clicked.connect(self._on_go)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.button(QDialogButtonBox.StandardButton.Close).setAutoDefault(False)
        buttons.rejected.connect(self.reject)
        self.older = QPushButton("Show &older questions")
        self.older.setObjectName("approvals.older")
        self.older.setAutoDefault(False)
        self.older.clicked.connect(self.older_wanted)
        column = QVBoxLayout(self)
        column.addWidget(self.note)
        column.addWidget(self.table, 1)
        column.addWidget(self.bar)
        column.addWidget(self.refused)
        foot = QHBoxLayout()
        column.addLayout(foot)
        foot.addWidget(self.go)
        foot.addWidget(self.older)
        foot.addStretch(1)
        foot.addWidget(buttons)
        theme.signals.theme_changed.connect(self._fill_all)

    def _make_table(self) -> QuestionTable:
        table = QuestionTable(0, len(_COLUMNS))
        table.setObjectName("approvals.table")
        table.setAccessibleName("Questions of agents, those that wait first")
        table.setProperty("surface", "card")
        table.setHorizontalHeaderLabels(list(_COLUMNS))
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setTabKeyNavigation(False)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.verticalHeader().hide()
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for place, width in ((0, 110), (1, 200), (3, 90), (4, 90), (5, 250)):
            table.setColumnWidth(place, width)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        table.itemSelectionChanged.connect(self._on_selected)
        table.entered.connect(self._on_go)
        table.itemDoubleClicked.connect(lambda _item: self._on_go())
        return table

    # -- outside

    @property
    def rows(self) -> Sequence[Row]:
        """What is listed."""
        return self._rows

    def show_rows(self, rows: Sequence[Row], note: str) -> None:
        """List these; the chosen one stays chosen, also when it was answered and moved."""
        chosen = self.chosen()
        self._rows = list(rows)
        self.note.setText(note)
        self.table.blockSignals(True)
        self.table.setRowCount(len(rows))
        self._fill_all()
        keys = [row.key for row in rows]
        if chosen is None and rows:
            self.table.selectRow(0)
        elif chosen is not None and chosen.key in keys:
            self.table.selectRow(keys.index(chosen.key))
        else:
            # Another one in its place would be answered by mistake.
            self.table.clearSelection()
            self.table.setCurrentCell(-1, -1)
        self.table.blockSignals(False)
        self._show_chosen(by_person=False)

    def show_older(self, more: bool, *, busy: bool) -> None:
        """Whether there is more to be read; `busy`: it is being read."""
        self._on_older |= self.older.hasFocus()
        self.older.setEnabled(more and not busy)
        if self._on_older and not busy:
            # A button that is disabled loses the focus; the keys go on from where they were.
            self._on_older = False
            (self.older if more else self.table).setFocus()
        self.older.setText("Reading…" if busy else "Show &older questions")
        self.older.setToolTip("" if more or busy else "All that is on record is listed")

    def chosen(self) -> Row | None:
        """The row that is turned to."""
        place = self.table.currentRow()
        return self._rows[place] if 0 <= place < len(self._rows) else None

    def failed(self, approval_id: str, why: str) -> None:
        """The answer was not taken."""
        self.bar.failed(approval_id, why)

    # -- inside

    def _fill_all(self) -> None:
        """Also after a change of the theme: an item keeps the colours that it was given."""
        for place, row in enumerate(self._rows):
            self._fill(place, row)

    def _fill(self, place: int, row: Row) -> None:
        def moment(value: object) -> str:
            return "" if value is None else times.wall(value)  # type: ignore[arg-type]

        texts = (
            row.state,
            self._name_of(row.session_id),
            row.title,
            moment(row.asked),
            moment(row.answered),
            row.outcome,
        )
        grey = not row.is_open or bool(row.stale)
        for column, text in enumerate(texts):
            item = QTableWidgetItem(" ".join(text.split())[:400])
            item.setToolTip(text[:2_000])
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{_COLUMNS[column]}: {text or 'none'}")
            if grey:
                item.setForeground(theme.current().text_muted)
            if column == 0:
                item.setIcon(_icon(row.state))
            self.table.setItem(place, column, item)

    def _on_selected(self) -> None:
        self._show_chosen(by_person=True)

    def _show_chosen(self, *, by_person: bool) -> None:
        row = self.chosen()
        self.go.setEnabled(row is not None and bool(row.session_id))
        why = "" if row is None or not row.is_open else self._refusal(row.session_id)
        self.bar.set_may_act(not why, why)
        self.bar.show_one(None if row is None else row.approval, chosen=by_person)
        self.refused.setText(f"{why}. The question is answered by others." if why else "")
        self.refused.setVisible(bool(why))

    def _on_go(self) -> None:
        row = self.chosen()
        if row is not None and row.session_id:
            self.accept()
            self.session_wanted.emit(row.session_id)


def _icon(state: str) -> QIcon:
    status, waiting = _SHAPES[state]
    color = None if state == "open" else theme.current().text_muted
    return theme.painted_icon(
        ("question", state),
        lambda painter, box: theme.paint_status(painter, box, status, waiting, color),
        modes=(QIcon.Mode.Normal, QIcon.Mode.Selected),
    )
