"""The rows of the pane."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QRectF,
    Qt,
)
from PySide6.QtGui import QIcon, QPainter
from PySide6.QtWidgets import QTableView

from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.attention.queue import Cause, Need

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()


class Column(IntEnum):
    CAUSE = 0
    SESSION = 1
    PROVIDER = 2
    AGE = 3
    BLOCKED = 4
    OPENS = 5


TITLES = ("Cause", "Session", "Provider", "For", "Waiting", "Opens")
CAUSE_WORDS = {
    Cause.APPROVAL: "approval",
    Cause.QUESTION: "question",
    Cause.UNREACHABLE: "unreachable",
    Cause.STALLED: "stalled",
    Cause.FAILED: "failed",
}


def paint_cause(painter: QPainter, rect: QRectF, cause: Cause) -> None:
    """The cause's shape: an approval's ring with a mark, a question's ring, and a shape of its own for each other."""
    match cause:
        case Cause.APPROVAL:
            theme.paint_status(painter, rect, SessionStatus.WAITING, WaitingFor.APPROVAL, theme.current().attention)
        case Cause.QUESTION:
            theme.paint_status(painter, rect, SessionStatus.WAITING, None, theme.current().attention)
        case Cause.UNREACHABLE:
            theme.paint_level(painter, rect, "warning")
        case Cause.STALLED:
            theme.paint_status(painter, rect, SessionStatus.PAUSED, None, theme.current().attention)
        case Cause.FAILED:
            theme.paint_status(painter, rect, SessionStatus.FAILED)


class AttentionModel(QAbstractTableModel):
    """`needs`: the rows, the most urgent first."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.needs: list[Need] = []

    def take(self, needs: Sequence[Need]) -> None:
        """Show these."""
        self.beginResetModel()
        self.needs = list(needs)
        self.endResetModel()

    def refresh_ages(self) -> None:
        """Time has passed."""
        if self.needs:
            self.dataChanged.emit(self.index(0, Column.AGE), self.index(len(self.needs) - 1, Column.AGE))

    def select(self, table: QTableView, kept: set[str], current: str, row: int) -> None:
        """Choose again what was chosen; if all of that is gone, the row that took the place of the current one."""
        if not self.needs:
            return
        rows = [number for number, need in enumerate(self.needs) if need.key in kept]
        here = next((n for n, need in enumerate(self.needs) if need.key == current), min(row, len(self.needs) - 1))
        chosen = QItemSelection()
        for number in rows or [here]:
            chosen.select(self.index(number, 0), self.index(number, len(TITLES) - 1))
        flags = QItemSelectionModel.SelectionFlag
        model = table.selectionModel()
        model.setCurrentIndex(self.index(rows[0] if rows and here not in rows else here, 0), flags.NoUpdate)
        model.select(chosen, flags.ClearAndSelect)

    def rowCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self.needs)

    def columnCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(TITLES)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DisplayRole and orientation is Qt.Orientation.Horizontal:
            return TITLES[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self.needs):
            return None
        need, column = self.needs[index.row()], Column(index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(need, column)
        if role == Qt.ItemDataRole.DecorationRole and column is Column.CAUSE:
            return _icon(need.cause)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{need.name}\n{need.detail}" if need.detail else need.name
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{TITLES[column]}: {_text(need, column) or 'none'}"
        return None


def _text(need: Need, column: Column) -> str:
    match column:
        case Column.CAUSE:
            return CAUSE_WORDS[need.cause]
        case Column.SESSION:
            first = need.detail.strip().splitlines()
            return f"{need.name} — {first[0][:200]}" if first else need.name
        case Column.PROVIDER:
            return need.provider
        case Column.AGE:
            return words.duration((words.utc_now() - need.since).total_seconds())
        case Column.BLOCKED:
            return words.plural(need.blocked, "agent") if need.blocked else ""
        case Column.OPENS:
            return "its settings" if need.session_id is None else "its panel"


def _icon(cause: Cause) -> QIcon:
    modes = (QIcon.Mode.Normal, QIcon.Mode.Selected)
    return theme.painted_icon(("cause", cause), lambda painter, box: paint_cause(painter, box, cause), modes=modes)
