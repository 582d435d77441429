"""How the roster is shown: the menu that groups, sorts, opens and hides, and the same by a press on the header."""

from __future__ import annotations

from PySide6.QtCore import QObject, QPoint, Qt, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QMenu, QToolButton

from mission_control_desktop.ui import icons
from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.roster.memory import RosterLook, load_look, save_look
from mission_control_desktop.ui.roster.model import TITLES, Column, RosterModel
from mission_control_desktop.ui.roster.order import GROUP_TITLES, SORT_TITLES, GroupBy, SortBy
from mission_control_desktop.ui.roster.tree import WIDTHS, RosterTree

_SORT_OF = {
    Column.SESSION: SortBy.NAME,
    Column.STATUS: SortBy.STATUS,
    Column.PROVIDER: SortBy.PROVIDER,
    Column.ELAPSED: SortBy.STARTED,
    Column.SEEN: SortBy.SIGN,
    Column.USAGE: SortBy.USAGE,
}


class RosterOptions(QObject):
    """Puts a look into effect and remembers it. `button` opens the menu."""

    toggles_changed = Signal()

    def __init__(self, model: RosterModel, tree: RosterTree, state: LocalState | None, live: QToolButton,
                 unusual: QToolButton) -> None:  # fmt: skip
        super().__init__(tree)
        self._model, self._tree, self._state = model, tree, state
        self._live, self._unusual = live, unusual
        self._loading = True
        self.button = QToolButton()
        self.button.setObjectName("roster.options")
        self.button.setProperty("kind", "quiet")
        self.button.setToolTip("Group, sort, columns")
        self.button.setAccessibleName("How the roster is shown")
        self.button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        icons.bind(self.button, "menu")
        self._sorts: dict[SortBy, QAction] = {}
        self._groups: dict[GroupBy, QAction] = {}
        self._columns: dict[Column, QAction] = {}
        self.menu = QMenu(self.button)
        self._fill()
        self.button.setMenu(self.menu)
        header = tree.header()
        header.sectionClicked.connect(self._on_section)
        header.customContextMenuRequested.connect(self._on_header_menu)
        tree.columns_changed.connect(self.save)
        for toggle in (live, unusual):
            toggle.toggled.connect(lambda _on: self.save())
        self._take(load_look(state))
        self._loading = False

    def _fill(self) -> None:
        grouping = self.menu.addMenu("&Group by")
        group = QActionGroup(grouping)
        for by, title in GROUP_TITLES.items():
            action = _choice(grouping, title, group)
            action.triggered.connect(lambda _on, by=by: self.set_group(by))
            self._groups[by] = action
        sorting = self.menu.addMenu("&Sort by")
        order = QActionGroup(sorting)
        for sort, title in SORT_TITLES.items():
            action = _choice(sorting, title, order)
            action.triggered.connect(lambda _on, by=sort: self.set_sort(by))
            self._sorts[sort] = action
        sorting.addSeparator()
        self.descending = sorting.addAction("&From the last to the first")
        self.descending.setCheckable(True)
        self.descending.triggered.connect(lambda on: self.set_sort(self._model.index_of_sessions.sort[0], on))
        self.columns_menu = self.menu.addMenu("&Columns")
        self.columns_menu.setToolTipsVisible(True)
        for column in WIDTHS:
            action = self.columns_menu.addAction(TITLES[column])
            action.setCheckable(True)
            action.setToolTip("Seen where the roster is wide enough for columns")
            action.triggered.connect(lambda on, column=column: self._tree.set_column_wanted(column, on))
            self._columns[column] = action
        self.menu.addSeparator()
        self.menu.addAction("&Open all branches").triggered.connect(lambda: self._model.set_all_open(True))
        self.menu.addAction("C&lose all branches").triggered.connect(lambda: self._model.set_all_open(False))

    # -- acting

    def set_planes(self, count: int) -> None:
        """How many control planes there are: with one there is nothing to group by it."""
        chosen = self._model.index_of_sessions.group_by is GroupBy.PLANE
        self._groups[GroupBy.PLANE].setVisible(count > 1 or chosen)

    def set_group(self, by: GroupBy) -> None:
        """Put sessions together."""
        self._model.set_group(by)
        self._groups[by].setChecked(True)
        self.save()

    def set_sort(self, by: SortBy, descending: bool | None = None) -> None:
        """Sort siblings; without `descending`, in the direction in which they were sorted."""
        way = self._model.index_of_sessions.sort[1] if descending is None else descending
        self._model.set_sort(by, descending=way)
        self._sorts[by].setChecked(True)
        self.descending.setChecked(way)
        column = next(column for column, sort in _SORT_OF.items() if sort is by)
        header = self._tree.header()
        header.setSortIndicator(column, Qt.SortOrder.DescendingOrder if way else Qt.SortOrder.AscendingOrder)
        header.setSortIndicatorShown(True)
        self.save()

    def _on_section(self, column: int) -> None:
        by = _SORT_OF.get(Column(column))
        if by is None:
            self.set_sort(self._model.index_of_sessions.sort[0])
            return
        now, descending = self._model.index_of_sessions.sort
        self.set_sort(by, not descending if by is now else False)

    def _on_header_menu(self, spot: QPoint) -> None:
        self.columns_menu.popup(self._tree.header().mapToGlobal(spot))

    # -- remembering

    def _take(self, look: RosterLook) -> None:
        hidden = self._tree.hidden_columns if look.hidden is None else set(look.hidden)
        self._tree.set_columns(hidden, look.widths)
        self._widths = dict(look.widths)
        self._live.setChecked(look.live_only)
        self._unusual.setChecked(look.abnormal_only)
        self.set_sort(look.sort, look.descending)
        self.set_group(look.group)
        for column, action in self._columns.items():
            action.setChecked(column not in self._tree.hidden_columns)

    def save(self) -> None:
        """Remember how it stands."""
        if self._loading:
            return
        for column, action in self._columns.items():
            action.setChecked(column not in self._tree.hidden_columns)
        self._widths |= self._tree.column_widths()
        known = self._model.index_of_sessions
        look = RosterLook(
            hidden=tuple(sorted(self._tree.hidden_columns)),
            widths=self._widths,
            sort=known.sort[0],
            descending=known.sort[1],
            group=known.group_by,
            live_only=self._live.isChecked(),
            abnormal_only=self._unusual.isChecked(),
        )
        save_look(self._state, look)


def _choice(menu: QMenu, title: str, group: QActionGroup) -> QAction:
    action = menu.addAction(title)
    action.setCheckable(True)
    group.addAction(action)
    return action
