"""The registered providers as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any

import msgspec
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from mission_control_desktop.domain.providers import DISABLED, CheckReport, ProviderView
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.provider_words import ProviderLook, provider_look

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()


class Column(IntEnum):
    NAME = 0
    KIND = 1
    ADDRESS = 2
    ENABLED = 3
    CONNECTION = 4
    SESSIONS = 5
    CHECKED = 6


TITLES = ("Name", "Kind", "Address", "Enabled", "Connection", "Sessions", "Checked")


def look_of(view: ProviderView, now: datetime) -> ProviderLook:
    """How its connection is; what was switched off has none."""
    state = DISABLED if not view.is_active else view.health.state
    return provider_look(msgspec.structs.replace(view.health, state=state), now)


def checked_words(report: CheckReport | None, now: datetime) -> str:
    """When it was checked, and how that ended."""
    if report is None:
        return "not yet"
    if report.under_way:
        return "checking…"
    ago = words.duration((now - report.checked_at).total_seconds())
    return f"{'ok' if report.ok else 'failed'}, {ago} ago"


class ProvidersModel(QAbstractTableModel):
    """Ages are told as of the last `refresh`."""

    def __init__(
        self, place: str = "this computer", now: Callable[[], datetime] = words.utc_now, parent: QObject | None = None
    ) -> None:
        """`place`: where the built-in provider's agents run."""
        self._place = place
        self._now = now
        self._views: list[ProviderView] = []
        self._kinds: Mapping[str, str] = {}
        self._counts: Mapping[str, tuple[int, int]] = {}
        super().__init__(parent)

    def show_views(self, views: Sequence[ProviderView], kinds: Mapping[str, str]) -> None:
        """Providers, and what people call their kinds. Rows stay rows as long as they are the same providers."""
        self._kinds = kinds
        if [one.id for one in views] == [one.id for one in self._views]:
            self._views = list(views)
            self.refresh()
            return
        self.beginResetModel()
        self._views = list(views)
        self.endResetModel()

    def show_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """By name: sessions that are known, and how many of them have not ended."""
        self._counts = counts
        self.refresh()

    def refresh(self) -> None:
        """Tell ages anew."""
        if self._views:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._views) - 1, len(Column) - 1))

    def view_at(self, row: int) -> ProviderView | None:
        """The provider of a row."""
        return self._views[row] if 0 <= row < len(self._views) else None

    def row_of(self, provider_id: str) -> int:
        """-1 if there is none."""
        return next((row for row, one in enumerate(self._views) if one.id == provider_id), -1)

    def kind_title(self, view: ProviderView) -> str:
        """What people call a provider's kind."""
        return "Built in" if view.built_in else self._kinds.get(view.provider, view.provider)

    def sessions_words(self, name: str) -> str:
        """How many sessions of a provider the window knows."""
        known, live = self._counts.get(name, (0, 0))
        return f"{known} ({live} live)" if known else "none"

    def rowCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._views)

    def columnCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DisplayRole and orientation is Qt.Orientation.Horizontal:
            return TITLES[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        view = self.view_at(index.row()) if index.isValid() else None
        if view is None:
            return None
        now, column = self._now(), index.column()
        look = look_of(view, now)
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(view, column, look, now)
            case Qt.ItemDataRole.DecorationRole if column == Column.CONNECTION:
                return theme.level_icon(look.level)
            case Qt.ItemDataRole.ForegroundRole:
                colors = theme.current()
                if column == Column.CONNECTION and look.level in ("warning", "error"):
                    return colors.attention if look.level == "warning" else colors.error
                if not view.is_active:
                    return colors.text_muted
                failed = view.last_check is not None and not view.last_check.ok
                return colors.error if column == Column.CHECKED and failed else None
            case Qt.ItemDataRole.ToolTipRole:
                detail = f". {look.detail}" if look.detail and column == Column.CONNECTION else ""
                return self._text(view, column, look, now) + detail
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{TITLES[column]}: {self._text(view, column, look, now)}"
        return None

    def _text(self, view: ProviderView, column: int, look: ProviderLook, now: datetime) -> str:
        match column:
            case Column.NAME:
                return view.name
            case Column.KIND:
                return self.kind_title(view)
            case Column.ADDRESS:
                return view.gateway_url or self._place
            case Column.ENABLED:
                return "yes" if view.is_active else "no"
            case Column.CONNECTION:
                return look.text
            case Column.SESSIONS:
                return self.sessions_words(view.name)
            case _:
                return "" if view.built_in else checked_words(view.last_check, now)


def providers_table(model: ProvidersModel) -> QTableView:
    """The view; one row at a time."""
    table = QTableView()
    table.setObjectName("providers.table")
    table.setAccessibleName("Providers")
    table.setModel(model)
    table.setProperty("surface", "card")
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setTabKeyNavigation(False)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.verticalHeader().hide()
    theme.keep(table.verticalHeader(), lambda header: header.setDefaultSectionSize(theme.metrics.row))
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    for column, width in (
        (Column.NAME, 104),
        (Column.KIND, 174),
        (Column.ENABLED, 68),
        (Column.CONNECTION, 178),
        (Column.SESSIONS, 90),
        (Column.CHECKED, 146),
    ):
        table.setColumnWidth(column, width)
    header.setSectionResizeMode(Column.ADDRESS, QHeaderView.ResizeMode.Stretch)
    return table
