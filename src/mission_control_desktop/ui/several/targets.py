"""The list of several sessions: what will happen to each, or why it is left out; afterwards what happened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import theme, words

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()


class TargetColumn(IntEnum):
    SESSION = 0
    PROVIDER = 1
    WILL = 2
    DID = 3


@dataclass(frozen=True)
class Target:
    """One session of several. `can` is whether it can be hit at all, `wanted` whether it is to be; `level` is one of
    `theme.level_icon`, of what it `did`."""

    session_id: str
    name: str
    provider: str
    will: str
    can: bool = True
    wanted: bool = True
    did: str = ""
    level: str = ""
    detail: str = ""

    @property
    def included(self) -> bool:
        """Whether it is to be hit."""
        return self.can and self.wanted


def target(session: AgentSession, *, can: bool, will: str) -> Target:
    """A session as a target, nothing done yet."""
    return Target(session.session_id, words.name(session), session.provider, will, can)


class TargetsModel(QAbstractTableModel):
    """One row for each session. Those that can be hit have a check mark until it has begun."""

    wanted_changed = Signal()

    def __init__(self, titles: tuple[str, str], parent: QObject | None = None) -> None:
        self._titles = ("Session", "Provider", *titles)
        self._targets: list[Target] = []
        self._rows: dict[str, int] = {}
        self._fixed = False
        super().__init__(parent)

    @property
    def targets(self) -> list[Target]:
        """All of them, in the order in which they are listed."""
        return list(self._targets)

    def get(self, session_id: str) -> Target | None:
        """The target of a session."""
        row = self._rows.get(session_id)
        return None if row is None else self._targets[row]

    def take(self, targets: Iterable[Target]) -> None:
        """List these. What a person unchecked stays so."""
        unwanted = {one.session_id for one in self._targets if not one.wanted}
        found = [replace(one, wanted=one.session_id not in unwanted) for one in targets]
        if [one.session_id for one in found] == [one.session_id for one in self._targets]:
            for row, one in enumerate(found):
                self._set(row, one)
            return
        self.beginResetModel()
        self._targets = found
        self._rows = {one.session_id: row for row, one in enumerate(found)}
        self.endResetModel()

    def fix(self) -> None:
        """It has begun: who is hit can no longer be chosen."""
        self._fixed = True
        if self._targets:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._targets) - 1, 0))

    def tell(self, session_id: str, did: str, level: str, detail: str = "") -> None:
        """What has become of one."""
        row = self._rows.get(session_id)
        if row is not None:
            self._set(row, replace(self._targets[row], did=did, level=level, detail=detail))

    def _set(self, row: int, changed: Target) -> None:
        if changed != self._targets[row]:
            self._targets[row] = changed
            self.dataChanged.emit(self.index(row, 0), self.index(row, TargetColumn.DID))

    # -- Qt's questions

    def rowCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._targets)

    def columnCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(TargetColumn)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DisplayRole and orientation is Qt.Orientation.Horizontal:
            return self._titles[section]
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.isValid() and index.column() == 0 and self._targets[index.row()].can and not self._fixed:
            flags |= Qt.ItemFlag.ItemIsUserCheckable
        return flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        one, column = self._targets[index.row()], index.column()
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return (one.name, one.provider, one.will, one.did)[column]
            case Qt.ItemDataRole.ToolTipRole:
                return (one.session_id, one.provider, one.will, one.detail or one.did)[column]
            case Qt.ItemDataRole.CheckStateRole if column == 0 and one.can and not self._fixed:
                return Qt.CheckState.Checked if one.wanted else Qt.CheckState.Unchecked
            case Qt.ItemDataRole.DecorationRole if column == TargetColumn.DID and one.level:
                return theme.level_icon(one.level)
            case Qt.ItemDataRole.ForegroundRole:
                return self._ink(one, column)
            case Qt.ItemDataRole.AccessibleTextRole if column == 0:
                return ", ".join(part for part in (one.name, one.provider, one.will, one.did) if part)
        return None

    @staticmethod
    def _ink(one: Target, column: int) -> Any:
        look = theme.current()
        if column == TargetColumn.DID and one.level in ("error", "warning"):
            return look.error if one.level == "error" else look.attention
        return look.text if one.included else look.text_muted

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != Qt.ItemDataRole.CheckStateRole or not self.flags(index) & Qt.ItemFlag.ItemIsUserCheckable:
            return False
        wanted = Qt.CheckState(value) is Qt.CheckState.Checked
        self._set(index.row(), replace(self._targets[index.row()], wanted=wanted))
        self.wanted_changed.emit()
        return True


class TargetsTable(QTableView):
    """Space checks or unchecks a session, wherever in its row."""

    def __init__(self, model: TargetsModel, name: str) -> None:
        super().__init__()
        self.setModel(model)
        self.setAccessibleName(name)
        self.setProperty("surface", "card")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(theme.metrics.high(26))
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(TargetColumn.WILL, QHeaderView.ResizeMode.Stretch)
        self.setColumnWidth(TargetColumn.SESSION, 210)
        self.setColumnWidth(TargetColumn.PROVIDER, 96)

    def resizeEvent(self, event: QResizeEvent) -> None:
        # What will happen is said in a sentence, what did in a word or two.
        rest = (
            self.viewport().width() - self.columnWidth(TargetColumn.SESSION) - self.columnWidth(TargetColumn.PROVIDER)
        )
        self.setColumnWidth(TargetColumn.DID, max(90, rest * 3 // 10))
        super().resizeEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        index = self.currentIndex()
        if event.key() == Qt.Key.Key_Space and index.isValid():
            model, cell = self.model(), index.siblingAtColumn(TargetColumn.SESSION)
            now = model.data(cell, Qt.ItemDataRole.CheckStateRole)
            turned = Qt.CheckState.Unchecked if now is Qt.CheckState.Checked else Qt.CheckState.Checked
            model.setData(cell, turned, Qt.ItemDataRole.CheckStateRole)
            event.accept()
            return
        super().keyPressEvent(event)
