"""Audit rows as a table, newest first. An order and its outcome are two rows of the log and one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from mission_control_desktop.client.fleet import HOME, qualified
from mission_control_desktop.domain.audit import AuditEntry, AuditOutcome
from mission_control_desktop.ui import theme, times
from mission_control_desktop.ui.audit.filters import contains

Index = QModelIndex | QPersistentModelIndex
ENTRY_ROLE = Qt.ItemDataRole.UserRole
_ROOT = QModelIndex()
MAX_ROWS = 20_000
"""Rows held at most; further pages are not asked for then, and the drawer says so."""


class AuditColumn(IntEnum):
    TIME = 0
    PERSON = 1
    ACTION = 2
    SESSION = 3
    OUTCOME = 4
    CONTENT = 5


TITLES = ("Time", "Person", "Action", "Session", "Outcome", "Content or reason")


class AuditModel(QAbstractTableModel):
    """Rows by sequence number. Qt asks for more when the end comes into view; the presenter brings it."""

    more_wanted = Signal()

    def __init__(self, name_of: Callable[[str], str], parent: QObject | None = None) -> None:
        self._entries: dict[int, AuditEntry] = {}
        self._shown: list[AuditEntry] = []
        self._intents: dict[str, AuditEntry] = {}
        self._name_of = name_of
        self._plane = HOME
        self._more = False
        self._asked = False
        self._steps = False
        self._text = ""
        self.newest_seq = 0
        """The last row of the log that was read."""
        super().__init__(parent)

    def _name(self, session_id: str) -> str:
        return self._name_of(qualified(self._plane, session_id))

    # -- changing

    def set_plane(self, plane: str) -> None:
        """Whose log it is: its sessions' names are looked up there."""
        self._plane = plane

    def replace(self, entries: Iterable[AuditEntry], *, more: bool) -> None:
        """Show these rows and no others."""
        self.beginResetModel()
        self._entries = {e.seq: e for e in entries}
        self._more, self._asked = more, False
        self._rebuild()
        self.endResetModel()

    def add_page(self, entries: Iterable[AuditEntry], *, more: bool) -> None:
        """Older rows."""
        self._more, self._asked = more and len(self._entries) < MAX_ROWS, False
        self._merge(entries)

    def add_new(self, entries: Iterable[AuditEntry]) -> None:
        """Rows that have just been written."""
        self._merge(entries)

    def set_steps(self, on: bool) -> None:
        """Show orders that have an outcome as rows of their own, too."""
        self.beginResetModel()
        self._steps = on
        self._rebuild()
        self.endResetModel()

    def set_text(self, text: str) -> None:
        """Show only rows in which this text is, in them or in the order that they close."""
        self.beginResetModel()
        self._text = text.lower()
        self._rebuild()
        self.endResetModel()

    @property
    def read_count(self) -> int:
        """Rows that were read, shown or not."""
        return len(self._entries)

    def row_of(self, seq: int) -> int | None:
        """Where a row of the log is shown."""
        return next((row for row, entry in enumerate(self._shown) if entry.seq == seq), None)

    def page_failed(self) -> None:
        """The page that was asked for did not come; it may be asked for again."""
        self._asked = False

    def _merge(self, entries: Iterable[AuditEntry]) -> None:
        fresh = {e.seq: e for e in entries if e.seq not in self._entries}
        if not fresh:
            return
        self._entries |= fresh
        old = self._shown
        new = self._visible()
        first, last = 0, 0
        while first < min(len(old), len(new)) and old[first] is new[first]:
            first += 1
        while last < min(len(old), len(new)) - first and old[-1 - last] is new[-1 - last]:
            last += 1
        # Everything between a common head and a common tail is replaced.
        if len(old) - last > first:
            self.beginRemoveRows(QModelIndex(), first, len(old) - last - 1)
            self._shown = old[:first] + old[len(old) - last :]
            self.endRemoveRows()
        if len(new) - last > first:
            self.beginInsertRows(QModelIndex(), first, len(new) - last - 1)
            self._shown = new
            self.endInsertRows()

    def _rebuild(self) -> None:
        self._shown = self._visible()

    def _visible(self) -> list[AuditEntry]:
        ordered = [self._entries[seq] for seq in sorted(self._entries, reverse=True)]
        self.newest_seq = ordered[0].seq if ordered else 0
        self._intents = {e.id: e for e in ordered if e.outcome is AuditOutcome.INTENDED}
        if not self._steps:
            closed = {e.metadata.get("intentId") for e in ordered}
            ordered = [e for e in ordered if e.outcome is not AuditOutcome.INTENDED or e.id not in closed]
        return [e for e in ordered if self._has_text(e)] if self._text else ordered

    def _has_text(self, entry: AuditEntry) -> bool:
        intent = self._intents.get(str(entry.metadata.get("intentId")))
        name = self._name(entry.session_id) if entry.session_id else ""
        return (
            self._text in name.lower()
            or contains(entry, self._text)
            or (intent is not None and contains(intent, self._text))
        )

    # -- asking

    def entry(self, index: Index) -> AuditEntry | None:
        """The row behind an index."""
        return self._shown[index.row()] if index.isValid() and index.row() < len(self._shown) else None

    def content(self, entry: AuditEntry) -> str:
        """What was said, or why: of the row, else of the order that it closes."""
        intent = self._intents.get(str(entry.metadata.get("intentId")))
        for row in (entry, intent):
            if row is not None:
                text = row.content or row.metadata.get("reason")
                if text:
                    return str(text)
        return str(entry.metadata.get("error") or entry.metadata.get("detail") or "")

    # -- Qt's questions

    def rowCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(TITLES)

    def canFetchMore(self, parent: Index) -> bool:
        return not parent.isValid() and self._more and not self._asked

    def fetchMore(self, parent: Index) -> None:
        if self.canFetchMore(parent):
            self._asked = True
            self.more_wanted.emit()

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DisplayRole and orientation is Qt.Orientation.Horizontal:
            return TITLES[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        entry = self.entry(index)
        if entry is None:
            return None
        if role == ENTRY_ROLE:
            return entry
        if role == Qt.ItemDataRole.DisplayRole:
            return self._shown_text(entry, index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            if index.column() == AuditColumn.TIME:
                return times.exact(entry.created_at)
            return self._shown_text(entry, index.column(), full=True)
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == AuditColumn.OUTCOME:
            look = theme.current()
            match entry.outcome:
                case AuditOutcome.FAILED:
                    return look.error
                case AuditOutcome.REFUSED | AuditOutcome.INTENDED:
                    return look.attention
            return look.text_muted
        return None

    def _shown_text(self, entry: AuditEntry, column: int, *, full: bool = False) -> str:
        match column:
            case AuditColumn.TIME:
                return times.wall(entry.created_at)
            case AuditColumn.PERSON:
                return entry.user_id
            case AuditColumn.ACTION:
                return entry.action.value
            case AuditColumn.SESSION:
                return self._name(entry.session_id) if entry.session_id else entry.provider or ""
            case AuditColumn.OUTCOME:
                return "open" if entry.outcome is AuditOutcome.INTENDED else entry.outcome.value
            case AuditColumn.CONTENT:
                text = self.content(entry)
                return text[:2000] if full else " ".join(text[:300].split())
        return ""
