"""The roster's place in the window: filter line, tree and what an empty tree says."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QModelIndex, QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QStackedLayout,
    QToolButton,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.roster.delegate import ACTIONS_WIDTH, RosterDelegate
from mission_control_desktop.ui.roster.filter import HELP, parse_filter
from mission_control_desktop.ui.roster.model import Column, RosterFilterModel, RosterModel
from mission_control_desktop.ui.sessions import SessionStore

_WIDE = 620
"""From this width on, all columns are shown and a row has one line."""
_EXPAND_UP_TO = 300
"""A tree of up to so many rows is opened as it grows."""


class RosterTree(QTreeView):
    """The tree itself. Enter and double click open a row; nothing that opens a row lies next to kill."""

    open_requested = Signal(str)
    kill_requested = Signal(str)
    pause_requested = Signal(str)
    menu_requested = Signal(str, QPoint)

    def __init__(
        self, model: RosterFilterModel, health: Mapping[str, ProviderHealth], parent: QWidget | None = None
    ) -> None:
        self._filtered = model
        self._delegate: RosterDelegate | None = None
        super().__init__(parent)
        self._delegate = RosterDelegate(health, self)
        self.setObjectName("roster.tree")
        self.setAccessibleName("Roster of all sessions")
        self.setModel(model)
        self.setItemDelegate(self._delegate)
        self.setUniformRowHeights(True)
        self.setIndentation(14)
        self.setMouseTracking(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setDragEnabled(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragOnly)
        self.setExpandsOnDoubleClick(False)
        self.setAllColumnsShowFocus(True)
        header = self.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(Column.SESSION, QHeaderView.ResizeMode.Stretch)
        for column, width in (
            (Column.STATUS, 116),
            (Column.PROVIDER, 92),
            (Column.ELAPSED, 74),
            (Column.SEEN, 96),
            (Column.ACTIONS, ACTIONS_WIDTH),
        ):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Interactive)
            header.resizeSection(column, width)
        header.setSectionResizeMode(Column.ACTIONS, QHeaderView.ResizeMode.Fixed)
        self._delegate.kill_clicked.connect(self.kill_requested)
        self._delegate.pause_clicked.connect(self.pause_requested)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._on_menu)
        self._ages = QTimer(self)
        self._ages.setInterval(1000)
        self._ages.timeout.connect(self._on_second)
        self._ages.start()
        theme.signals.theme_changed.connect(self._on_theme)
        self._lay_out()

    def current_session(self) -> AgentSession | None:
        """The session of the selected row."""
        return self._filtered.session_at(self.currentIndex())

    def select(self, session_id: str) -> bool:
        """Make a session the current row, opening what hides it; False if the filter hides it."""
        index = self._filtered.index_for(session_id)
        if not index.isValid():
            return False
        above = index.parent()
        while above.isValid():
            self.expand(above)
            above = above.parent()
        self.setCurrentIndex(index)
        self.scrollTo(index)
        return True

    def _lay_out(self) -> None:
        if self._delegate is None:
            return
        wide = self.width() >= _WIDE
        self._delegate.narrow = not wide
        for column in (Column.STATUS, Column.PROVIDER, Column.ELAPSED, Column.SEEN):
            self.setColumnHidden(column, not wide)
        self.setHeaderHidden(not wide)
        # Uniform heights are measured once; asking for a new measurement needs a relayout.
        self.scheduleDelayedItemsLayout()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._delegate is not None and self._delegate.narrow is (event.size().width() >= _WIDE):
            self._lay_out()

    def _on_theme(self) -> None:
        self.viewport().update()

    def _on_second(self) -> None:
        if self.isVisible():
            self.viewport().update()

    def _on_menu(self, spot: QPoint) -> None:
        under = self.indexAt(spot)
        index = under if under.isValid() else self.currentIndex()
        session = self._filtered.session_at(index)
        if session is not None:
            self.setCurrentIndex(index.siblingAtColumn(0))
            self.menu_requested.emit(session.session_id, self.viewport().mapToGlobal(spot))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            session = self.current_session()
            if session is not None:
                self.open_requested.emit(session.session_id)
            event.accept()
            return
        super().keyPressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        session = self._filtered.session_at(index)
        if session is not None and index.column() != Column.ACTIONS and event.button() is Qt.MouseButton.LeftButton:
            self.open_requested.emit(session.session_id)
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._delegate is not None:
            index = self.indexAt(event.position().toPoint())
            session = self._filtered.session_at(index)
            found = None
            if session is not None and index.column() == Column.ACTIONS:
                found = self._delegate.button_under(self.visualRect(index), session, event)
            if self._delegate.hover(found):
                self.viewport().update()
        super().mouseMoveEvent(event)


class RosterPane(QFrame):
    """Filter line, tree, and words for an empty tree."""

    open_requested = Signal(str)
    kill_requested = Signal(str)
    pause_requested = Signal(str)
    menu_requested = Signal(str, QPoint)
    selection_changed = Signal()
    new_agent_requested = Signal()

    def __init__(self, store: SessionStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("roster")
        self._store = store
        # A reset of the model forgets both; they are put back afterwards.
        self._open_branches: dict[str, None] = {}
        self._chosen = ""
        self.model = RosterModel(parent=self, health=store.health)
        self.filtered = RosterFilterModel(self.model, self)
        self.tree = RosterTree(self.filtered, store.health, self)
        self.filter_line = QLineEdit(self)
        self.filter_line.setObjectName("roster.filter")
        self.filter_line.setPlaceholderText("Filter: words, status:running, needs:me")
        self.filter_line.setToolTip(HELP)
        self.filter_line.setAccessibleName("Filter the roster")
        self.filter_line.setClearButtonEnabled(True)
        self.live_only = QToolButton(self)
        self.live_only.setObjectName("roster.live_only")
        self.live_only.setText("Live")
        self.live_only.setCheckable(True)
        self.live_only.setToolTip("Show only sessions that have not ended")
        self._title = QLabel("Roster", self)
        self._title.setProperty("tone", "heading")
        self._total = QLabel("", self)
        self._total.setProperty("tone", "muted")
        self._empty = QLabel("", self)
        self._empty.setProperty("tone", "muted")
        self._empty.setWordWrap(True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setMargin(24)

        head = QHBoxLayout()
        head.setContentsMargins(12, 8, 8, 4)
        head.setSpacing(8)
        head.addWidget(self._title)
        head.addWidget(self._total, 1)
        head.addWidget(self.live_only)
        line = QHBoxLayout()
        line.setContentsMargins(8, 0, 8, 6)
        line.addWidget(self.filter_line)
        holder = QWidget(self)
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self.tree)
        self._stack.addWidget(self._empty)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addLayout(line)
        layout.addWidget(holder, 1)
        self.setMinimumWidth(240)

        self._filter_later = QTimer(self)
        self._filter_later.setSingleShot(True)
        self._filter_later.setInterval(120)
        self._filter_later.timeout.connect(self.apply_filter)
        self.filter_line.textChanged.connect(lambda _text: self._filter_later.start())
        self.filter_line.returnPressed.connect(self._on_filter_entered)
        self.live_only.toggled.connect(lambda _on: self.apply_filter())
        for signal, own in (
            (self.tree.open_requested, self.open_requested),
            (self.tree.kill_requested, self.kill_requested),
            (self.tree.pause_requested, self.pause_requested),
            (self.tree.menu_requested, self.menu_requested),
        ):
            signal.connect(own)
        self.tree.selectionModel().currentChanged.connect(self._on_current)
        self.tree.expanded.connect(self._on_expanded)
        self.tree.collapsed.connect(self._on_collapsed)
        store.sessions_changed.connect(self._on_changed)
        store.sessions_removed.connect(self._on_removed)
        store.provider_changed.connect(self._on_provider)
        self.filtered.rowsInserted.connect(self._on_rows)
        self.filtered.modelReset.connect(self._on_reset)
        for again in (self.filtered.rowsRemoved, self.filtered.layoutChanged):
            again.connect(self._show_state)
        self.model.put(store.sessions.values())
        self._show_state()

    def sizeHint(self) -> QSize:
        return QSize(340, 600)

    def focus_filter(self) -> None:
        """Put the cursor into the filter line, its text selected."""
        self.filter_line.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.filter_line.selectAll()

    def apply_filter(self) -> None:
        """Put the filter line into effect now."""
        self._filter_later.stop()
        self.filtered.set_filter(parse_filter(self.filter_line.text(), live_only=self.live_only.isChecked()))
        if not self.filtered.session_filter.empty and self.filtered.matches() <= _EXPAND_UP_TO:
            self.tree.expandAll()
        self._show_state()

    def _on_filter_entered(self) -> None:
        self.apply_filter()
        if self.filtered.rowCount():
            self.tree.setFocus(Qt.FocusReason.OtherFocusReason)
            if not self.tree.currentIndex().isValid():
                self.tree.setCurrentIndex(self.filtered.index(0, 0))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.filter_line.text():
            self.filter_line.clear()
            self.apply_filter()
            return
        super().keyPressEvent(event)

    def _on_changed(self, session_ids: list[str]) -> None:
        self.model.put(self._store.sessions[i] for i in session_ids if i in self._store.sessions)
        self._show_state()

    def _on_removed(self, session_ids: list[str]) -> None:
        self.model.remove(session_ids)
        self._show_state()

    def _on_provider(self, _name: str) -> None:
        self.tree.viewport().update()

    def _on_rows(self, parent: QModelIndex, first: int, last: int) -> None:
        # Only when the first child comes: what a person closed stays closed.
        first_child = parent.isValid() and first == 0 and last + 1 == self.filtered.rowCount(parent)
        if first_child and len(self.model) <= _EXPAND_UP_TO:
            self.tree.expand(parent)
        self._show_state()

    def _on_reset(self) -> None:
        if len(self.model) <= _EXPAND_UP_TO:
            self.tree.expandAll()
        else:
            for session_id in self._open_branches:
                if (index := self.filtered.index_for(session_id)).isValid():
                    self.tree.expand(index)
        if self._chosen:
            self.tree.select(self._chosen)
        self._show_state()

    def _on_expanded(self, index: QModelIndex) -> None:
        if (session := self.filtered.session_at(index)) is not None:
            self._open_branches[session.session_id] = None

    def _on_collapsed(self, index: QModelIndex) -> None:
        if (session := self.filtered.session_at(index)) is not None:
            self._open_branches.pop(session.session_id, None)

    def _on_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        if (session := self.filtered.session_at(index)) is not None:
            self._chosen = session.session_id
        self.selection_changed.emit()

    def _show_state(self) -> None:
        total, shown = len(self.model), self.filtered.rowCount()
        self._total.setText(str(total) if total else "")
        if not total:
            self._empty.setText("No sessions yet.\nStart an agent and it appears here, with every sub-agent below it.")
        elif not shown:
            self._empty.setText("Nothing matches the filter.\nEsc clears it.")
        self._stack.setCurrentIndex(0 if shown else 1)
