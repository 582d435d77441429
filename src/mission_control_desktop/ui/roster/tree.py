"""The tree itself: keys, mouse, and what stays where it was when rows come and go."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QPoint, QRect, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTreeView, QWidget

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.choosing import choose_row
from mission_control_desktop.ui.roster.delegate import ACTIONS_WIDTH, OPENS_FROM_BUTTONS, RosterDelegate
from mission_control_desktop.ui.roster.index import Node, Row
from mission_control_desktop.ui.roster.model import Column, RosterModel

WIDE = 780
"""From this width on, columns are shown and a row has one line."""
WIDTHS = {
    Column.STATUS: 124,
    Column.PROVIDER: 92,
    Column.TASK: 96,
    Column.PROFILE: 96,
    Column.ELAPSED: 74,
    Column.SEEN: 128,
    Column.USAGE: 104,
}
"""Of the columns that can be hidden, at first."""
AGES_MS = 1_000
AGE_PARTS = 8
"""Rows grow older by turns, every eighth one with each: a screen full of them takes longer to paint than a key may
wait."""
HIDDEN_AT_FIRST = frozenset({Column.TASK, Column.PROFILE})


class RosterTree(QTreeView):
    """Enter and double click open a row; nothing that opens a row lies next to pause or kill."""

    open_requested = Signal(list)
    """Session ids."""
    kill_requested = Signal(str)
    pause_requested = Signal(str)
    menu_requested = Signal(str, QPoint)
    chosen_changed = Signal()
    """The current row or the selected rows are others."""
    columns_changed = Signal()

    def __init__(self, model: RosterModel, health: Mapping[str, ProviderHealth], parent: QWidget | None = None) -> None:
        self._model = model
        self._delegate: RosterDelegate | None = None
        self._kept: tuple[str, list[str], str, int] | None = None
        self._chosen = ""
        self._hidden = set(HIDDEN_AT_FIRST)
        self._part = 0
        self._shown: list[dict[str, tuple[str, str]]] = [{} for _ in range(AGE_PARTS)]
        """What the rows of each part say of their times."""
        self._pressed: tuple[str, str] | None = None
        super().__init__(parent)
        self._delegate = RosterDelegate(model, health, self)
        self.setObjectName("roster.tree")
        self.setAccessibleName("Roster of all sessions")
        self.setModel(model)
        self.setItemDelegate(self._delegate)
        self.setUniformRowHeights(True)
        # Branches are the model's: what the view holds is a flat list.
        self.setIndentation(0)
        self.setRootIsDecorated(False)
        self.setItemsExpandable(False)
        self.setMouseTracking(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setDragEnabled(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragOnly)
        self.setExpandsOnDoubleClick(False)
        self.setAllColumnsShowFocus(True)
        header = self.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(24)
        header.setSectionsMovable(False)
        header.setSectionsClickable(True)
        header.setSortIndicatorClearable(False)
        header.setSectionResizeMode(Column.SESSION, QHeaderView.ResizeMode.Stretch)
        for column, width in (*WIDTHS.items(), (Column.ACTIONS, ACTIONS_WIDTH)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Interactive)
            header.resizeSection(column, width)
        header.setSectionResizeMode(Column.ACTIONS, QHeaderView.ResizeMode.Fixed)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.sectionResized.connect(self._on_section_resized)
        self._delegate.kill_clicked.connect(self.kill_requested)
        self._delegate.pause_clicked.connect(self.pause_requested)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._on_menu)
        self.selectionModel().currentChanged.connect(self._on_current)
        self.selectionModel().selectionChanged.connect(self._on_selection)
        model.rows_about_to_change.connect(self._on_rows_about_to_change)
        model.rows_changed.connect(self._on_rows_changed)
        model.refreshed.connect(self._on_refreshed)
        self._ages = QTimer(self)
        self._ages.setInterval(AGES_MS // AGE_PARTS)
        self._ages.timeout.connect(self._on_ages)
        self._ages.start()
        theme.signals.theme_changed.connect(self._on_theme)
        self._lay_out()

    # -- asking

    def current_session(self) -> AgentSession | None:
        """The session of the current row."""
        return self._model.session_at(self.currentIndex())

    def selected_ids(self) -> list[str]:
        """Ids of the selected sessions, from the top down. What is not seen is not selected."""
        chosen = self.selectionModel().selection()
        parts = (chosen.at(number) for number in range(chosen.count()))
        rows = sorted(row for part in parts if part.left() == 0 for row in range(part.top(), part.bottom() + 1))
        found = (self._model.row(row) for row in dict.fromkeys(rows))
        return [node.session.session_id for node in found if isinstance(node, Node)]

    def visible_rows(self) -> range:
        """Row numbers that are at least partly on the screen."""
        height = self.viewport().height()
        first = self.indexAt(QPoint(1, 0)).row()
        if first < 0 or height <= 0:
            return range(0)
        last = self.indexAt(QPoint(1, height - 1)).row()
        return range(first, (last if last >= 0 else self._model.rowCount() - 1) + 1)

    @property
    def narrow(self) -> bool:
        """Whether columns are folded into two lines a row."""
        return self._delegate is None or self._delegate.narrow

    # -- acting

    def select(self, session_id: str) -> bool:
        """Make a session the current row, opening what hides it; False if the filter hides it."""
        if not self._model.reveal(session_id):
            return False
        index = self._model.index_for(session_id)
        choose_row(self, index)
        self.scrollTo(index)
        return True

    def take_focus(self, reason: Qt.FocusReason) -> None:
        """Have the keys, with a row marked: an order needs one."""
        self.setFocus(reason)
        if not self.selectionModel().hasSelection() and self._model.rowCount():
            current = self.currentIndex()
            choose_row(self, current if current.isValid() else self._model.index(0, 0))

    def select_ids(self, session_ids: list[str]) -> None:
        """Select these rows, as far as they are seen."""
        chosen = QItemSelection()
        rows = sorted(index.row() for i in session_ids if (index := self._model.index_for(i)).isValid())
        last = Column.ACTIONS
        begin = 0
        for place, row in enumerate(rows):
            if place + 1 == len(rows) or rows[place + 1] != row + 1:
                chosen.select(self._model.index(rows[begin], 0), self._model.index(row, last))
                begin = place + 1
        self.selectionModel().select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def toggle(self, index: QModelIndex) -> None:
        """Open or close a branch."""
        row = self._model.row(index.row())
        if row is not None and self._model.index_of_sessions.has_branch(row):
            self._model.set_open(row, not self._model.index_of_sessions.is_open(row))

    def set_may_act(self, why_not: Callable[[str], str]) -> None:
        """Rows have the buttons that their sessions allow; where `why_not` has a reason, none."""
        if self._delegate is not None:
            self._delegate.why_not = why_not
            self.viewport().update()

    # -- columns

    @property
    def hidden_columns(self) -> set[int]:
        """Columns that a person does not want to see, where there is room for columns."""
        return set(self._hidden)

    def set_column_wanted(self, column: int, wanted: bool) -> None:
        """Show a column, or hide it."""
        (self._hidden.discard if wanted else self._hidden.add)(Column(column))
        self._lay_out()
        self.columns_changed.emit()

    def column_widths(self) -> dict[int, int]:
        """Widths that a person can change, in pixels."""
        if self.narrow:
            return {}
        return {int(c): self.columnWidth(c) for c in WIDTHS if not self.isColumnHidden(c)}

    def set_columns(self, hidden: set[int], widths: Mapping[int, int]) -> None:
        """Take what was remembered; what does not exist any more is ignored."""
        self._hidden = {column for column in WIDTHS if column in hidden}
        for column, width in widths.items():
            if column in WIDTHS and 24 <= width <= 2_000:
                self.header().resizeSection(column, width)
        self._lay_out()

    def _on_section_resized(self, column: int, before: int, now: int) -> None:
        if column in WIDTHS and before and now and not self.narrow:
            self.columns_changed.emit()

    def _lay_out(self) -> None:
        if self._delegate is None:
            return
        wide = self.width() >= WIDE
        self._delegate.narrow = not wide
        for column in WIDTHS:
            self.setColumnHidden(column, not wide or column in self._hidden)
        self.setHeaderHidden(not wide)
        # Uniform heights are measured once; asking for a new measurement needs a relayout.
        self.scheduleDelayedItemsLayout()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._delegate is not None and self._delegate.narrow is (event.size().width() >= WIDE):
            self._lay_out()

    # -- following the model

    def _on_rows_about_to_change(self) -> None:
        current = self.current_session()
        top = self.indexAt(QPoint(1, 0))
        anchor = self._model.session_at(top)
        # At the top, the top is what is looked at; further down, the row that stands there.
        scrolled = anchor is not None and self.verticalScrollBar().value() > 0
        self._kept = (
            current.session_id if current is not None else "",
            self.selected_ids(),
            anchor.session_id if scrolled and anchor is not None else "",
            self.visualRect(top).top() if scrolled else 0,
        )

    def _on_rows_changed(self) -> None:
        if self._kept is None:
            return
        (current, selected, anchor, offset), self._kept = self._kept, None
        selection = self.selectionModel()
        index = self._model.index_for(current or self._chosen)
        if index.isValid() and self.currentIndex().row() != index.row():
            selection.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)
            selected = selected or [current or self._chosen]
        seen = [i for i in selected if self._model.index_for(i).isValid()]
        if seen != self.selected_ids():
            self.select_ids(seen)
        if anchor and (place := self._model.index_for(anchor)).isValid():
            self.executeDelayedItemsLayout()
            bar = self.verticalScrollBar()
            bar.setValue(bar.value() + self.visualRect(place).top() - offset)
        self.chosen_changed.emit()

    def _on_refreshed(self, rows: list[int]) -> None:
        visible = self.visible_rows()
        for row in rows:
            if row in visible:
                self._repaint_row(row)

    def _repaint_row(self, row: int) -> None:
        rect = self.visualRect(self._model.index(row, 0))
        self.viewport().update(QRect(0, rect.top(), self.viewport().width(), rect.height()))

    def _on_ages(self) -> None:
        self._part = (self._part + 1) % AGE_PARTS
        self._refresh_part(self._part)

    def refresh_ages(self) -> list[int]:
        """Repaint the rows on the screen whose times read differently now, and no others; returns which."""
        return sorted(number for part in range(AGE_PARTS) for number in self._refresh_part(part))

    def _refresh_part(self, part: int) -> list[int]:
        if not self.isVisible():
            return []
        shown: dict[str, tuple[str, str]] = {}
        aged: list[int] = []
        now, rows, before = words.utc_now(), self.visible_rows(), self._shown[part]
        for number in range(rows.start + (part - rows.start) % AGE_PARTS, rows.stop, AGE_PARTS):
            session = self._model.session_at(self._model.index(number, 0))
            if session is None:
                continue
            says = (words.elapsed(session, now), words.evidence_age(session, now))
            shown[session.session_id] = says
            if before.get(session.session_id) != says or self._tells_provider_age(session):
                self._repaint_row(number)
                aged.append(number)
        self._shown[part] = shown
        return aged

    def _tells_provider_age(self, session: AgentSession) -> bool:
        return self._delegate is not None and self._delegate.tells_provider_age(session)

    def _on_theme(self) -> None:
        self.viewport().update()

    def _on_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        if self._kept is not None:
            return
        session = self._model.session_at(index)
        if session is not None:
            self._chosen = session.session_id
        self.chosen_changed.emit()

    def _on_selection(self, _now: QItemSelection, _before: QItemSelection) -> None:
        if self._kept is None:
            self.chosen_changed.emit()

    # -- keys and mouse

    def _on_menu(self, spot: QPoint) -> None:
        under = self.indexAt(spot)
        index = under if under.isValid() else self.currentIndex()
        session = self._model.session_at(index)
        if session is not None:
            if not self.selectionModel().isRowSelected(index.row(), QModelIndex()):
                choose_row(self, index.siblingAtColumn(0))
            self.menu_requested.emit(session.session_id, self.viewport().mapToGlobal(spot))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        index, key = self.currentIndex(), event.key()
        plain = not event.modifiers() & ~(Qt.KeyboardModifier.KeypadModifier | Qt.KeyboardModifier.ShiftModifier)
        row = self._model.row(index.row()) if index.isValid() else None
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open_chosen(row)
        elif row is None or not plain or not self._branch_key(index, row, Qt.Key(key)):
            super().keyPressEvent(event)
            return
        event.accept()

    def _open_chosen(self, row: Row | None) -> None:
        if row is not None and not isinstance(row, Node):
            self.toggle(self._model.index_of_row(row))
        elif ids := self.selected_ids():
            self.open_requested.emit(ids)
        elif row is not None:
            self.open_requested.emit([row.session.session_id])

    def _branch_key(self, index: QModelIndex, row: Row, key: Qt.Key) -> bool:
        """As trees do: right opens, then goes in; left closes, then goes out."""
        known = self._model.index_of_sessions
        branch = known.has_branch(row)
        match key:
            case Qt.Key.Key_Right if branch and not known.is_open(row):
                self._model.set_open(row, True)
            case Qt.Key.Key_Right if branch:
                choose_row(self, self._model.index(index.row() + 1, 0))
            case Qt.Key.Key_Left if branch and known.is_open(row):
                self._model.set_open(row, False)
            case Qt.Key.Key_Left:
                if (above := self._model.above(index)).isValid():
                    choose_row(self, above)
            case Qt.Key.Key_Plus | Qt.Key.Key_Minus if branch:
                self._model.set_open(row, key is Qt.Key.Key_Plus)
            case Qt.Key.Key_Asterisk | Qt.Key.Key_Slash if branch:
                self._model.set_open(row, key is Qt.Key.Key_Asterisk, all_below=True)
            case Qt.Key.Key_Right | Qt.Key.Key_Plus | Qt.Key.Key_Minus | Qt.Key.Key_Asterisk | Qt.Key.Key_Slash:
                pass
            case _:
                return False
        return True

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if self._delegate is not None and event.button() is Qt.MouseButton.LeftButton:
            index = self.indexAt(event.position().toPoint())
            self._pressed = self._button_at(event)
            if self._pressed is not None:
                # A press on a button chooses nothing: the selection stays what it was.
                event.accept()
                return
            if self._on_branch(index, event):
                self.toggle(index)
                event.accept()
                return
        super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        pressed, self._pressed = self._pressed, None
        if pressed is not None and self._delegate is not None:
            if self._button_at(event) == pressed:
                session_id, which = pressed
                (self._delegate.kill_clicked if which == "kill" else self._delegate.pause_clicked).emit(session_id)
            event.accept()
            return
        super().mouseReleaseEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """The second press on a button does nothing: who clicks twice means once."""
        spot = event.position().toPoint()
        index = self.indexAt(spot)
        row = self._model.row(index.row()) if index.isValid() else None
        event.accept()
        if row is None or event.button() is not Qt.MouseButton.LeftButton:
            return
        if self._on_branch(index, event) or not isinstance(row, Node):
            self.toggle(index)
        elif spot.x() < self.opens_up_to(index):
            self.open_requested.emit([row.session.session_id])

    def opens_up_to(self, index: QModelIndex) -> int:
        """A double click left of this x opens the row; the rest keeps a distance from pause and kill."""
        return self.visualRect(index.siblingAtColumn(Column.ACTIONS)).left() - OPENS_FROM_BUTTONS

    def _on_branch(self, index: QModelIndex, event: QMouseEvent) -> bool:
        row = self._model.row(index.row()) if index.isValid() else None
        if row is None or self._delegate is None or index.column() != Column.SESSION:
            return False
        box = self._delegate.branch_box(self.visualRect(index), row)
        return box.contains(event.position().toPoint()) and self._model.index_of_sessions.has_branch(row)

    def _button_at(self, event: QMouseEvent) -> tuple[str, str] | None:
        index = self.indexAt(event.position().toPoint())
        session = self._model.session_at(index)
        if session is None or self._delegate is None or index.column() != Column.ACTIONS:
            return None
        return self._delegate.button_under(self.visualRect(index), session, event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._delegate is not None and self._delegate.hover(self._button_at(event)):
            self.viewport().update()
        if self._pressed is None:
            super().mouseMoveEvent(event)
