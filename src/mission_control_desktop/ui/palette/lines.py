"""The lines of the palette: what an entry is called, what it is, its keys or why it cannot be used now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.palette.entries import Entry, Kind

Index = QModelIndex | QPersistentModelIndex
ENTRY_ROLE = Qt.ItemDataRole.UserRole
_NO_INDEX = QModelIndex()
_KIND_WIDTH, _MARGIN = 76, 8


class LineModel(QAbstractListModel):
    """What was found."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.entries: Sequence[Entry] = ()

    def show_entries(self, entries: Sequence[Entry]) -> None:
        self.beginResetModel()
        self.entries = entries
        self.endResetModel()

    def rowCount(self, parent: Index = _NO_INDEX) -> int:
        return 0 if parent.isValid() else len(self.entries)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        entry = self.entries[index.row()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return entry.title
            case Qt.ItemDataRole.AccessibleTextRole:
                why = f"not now: {entry.why_not}" if entry.why_not else ""
                return ", ".join(part for part in (entry.title, entry.kind.value, entry.note, entry.keys, why) if part)
            case Qt.ItemDataRole.ToolTipRole:
                return f"Not now: {entry.why_not}" if entry.why_not else entry.title
            case _ if role == ENTRY_ROLE:
                return entry
        return None


class LineDelegate(QStyledItemDelegate):
    """One line: kind, shape of a session, title, and at the right its keys, its note, or why it cannot be used."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(200, max(32, QFontMetrics(theme.ui_font()).height() + 12))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        entry = index.data(ENTRY_ROLE)
        if not isinstance(entry, Entry):
            return
        look, rect, state = theme.current(), QRect(option.rect), option.state
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, look.selection)
            painter.fillRect(QRect(rect.left(), rect.top(), 3, rect.height()), look.focus)
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, look.hover)
        muted = look.text if state & QStyle.StateFlag.State_Selected else look.text_muted
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.setFont(theme.ui_font(theme.metrics.text_small))
        painter.setPen(muted)
        inner = rect.adjusted(_MARGIN + 4, 0, -_MARGIN, 0)
        painter.drawText(QRect(inner.left(), inner.top(), _KIND_WIDTH, inner.height()), left, entry.kind.value)
        said = f"not now: {entry.why_not}" if entry.why_not else (entry.keys or entry.note)
        small = QFontMetrics(painter.font())
        said = small.elidedText(said, Qt.TextElideMode.ElideRight, inner.width() // 2)
        width = small.horizontalAdvance(said)
        right = QRect(inner.right() - width, inner.top(), width + 1, inner.height())
        painter.drawText(right, left, said)
        place = QRect(
            inner.left() + _KIND_WIDTH, inner.top(), right.left() - inner.left() - _KIND_WIDTH - 12, rect.height()
        )
        if entry.kind in (Kind.SESSION, Kind.PANEL):
            if entry.session is not None:
                shape = QRectF(place.left(), place.center().y() - 7, 14, 14)
                theme.paint_status(painter, shape, entry.session.status, entry.session.waiting_for)
            place.setLeft(place.left() + 22)
        painter.setFont(theme.ui_font())
        painter.setPen(muted if entry.why_not else look.text)
        title = QFontMetrics(painter.font()).elidedText(entry.title, Qt.TextElideMode.ElideRight, place.width())
        painter.drawText(place, left, title)
        painter.restore()
