"""The roster's place in the window: filter line, tree, what is chosen in it and what an empty tree says."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QStackedLayout, QToolButton, QVBoxLayout, QWidget

from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.panel.elided import ElidedLabel
from mission_control_desktop.ui.plane_reading import Extent
from mission_control_desktop.ui.roster.filter import HELP, parse_filter
from mission_control_desktop.ui.roster.model import RosterModel
from mission_control_desktop.ui.roster.options import RosterOptions
from mission_control_desktop.ui.roster.reach import RosterReach
from mission_control_desktop.ui.roster.selection_bar import SelectionBar
from mission_control_desktop.ui.roster.tree import RosterTree
from mission_control_desktop.ui.sessions import SessionStore

TYPING_MS = 60
"""Keys that come within so long are one filter."""
SIFT_MS = 5_000
"""How often it is looked for what passes or does not pass by time alone."""


class RosterPane(QFrame):
    """Shows the store's sessions. `state` remembers the look; without it the look lives as long as the pane."""

    open_requested = Signal(list)
    """Session ids."""
    kill_requested = Signal(str)
    pause_requested = Signal(str)
    menu_requested = Signal(str, QPoint)
    selection_changed = Signal()
    several_requested = Signal(list, str)
    """Ids of the selected sessions, and what is to be done to them."""

    def __init__(self, store: SessionStore, state: LocalState | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("roster")
        self.setAccessibleName("Roster")
        self._store = store
        self.model = RosterModel(parent=self, health=store.health)
        self.tree = RosterTree(self.model, store.health, self)
        self.filter_line = QLineEdit(self)
        self.filter_line.setObjectName("roster.filter")
        self.filter_line.setPlaceholderText("Filter: words, status:running, needs:me")
        self.filter_line.setToolTip(HELP)
        self.filter_line.setAccessibleName("Filter the roster")
        self.filter_line.setClearButtonEnabled(True)
        self.problem = QLabel(self)
        self.problem.setObjectName("roster.problem")
        self.problem.setProperty("tone", "error")
        self.problem.setTextFormat(Qt.TextFormat.PlainText)
        self.problem.setWordWrap(True)
        self.problem.setContentsMargins(10, 0, 8, 6)
        self.problem.hide()
        self.reach = RosterReach(self)
        self._extent = Extent()
        self.live_only = _toggle("roster.live_only", "Live", "Show only sessions that have not ended", self)
        self.abnormal_only = _toggle(
            "roster.abnormal_only",
            "Abnormal",
            "Show only what has failed, waits for a person or gives no sign of life",
            self,
        )
        self._total = ElidedLabel("", self, least=30)
        self._total.setProperty("tone", "heading")
        self._empty = QLabel("", self)
        self._empty.setProperty("tone", "muted")
        self._empty.setWordWrap(True)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setMargin(24)
        self.selection = SelectionBar()
        self.options = RosterOptions(self.model, self.tree, state, self.live_only, self.abnormal_only)
        self._lay_out()

        self._filter_later = QTimer(self)
        self._filter_later.setSingleShot(True)
        self._filter_later.setInterval(TYPING_MS)
        self._filter_later.timeout.connect(self.apply_filter)
        self._sift = QTimer(self)
        self._sift.setInterval(SIFT_MS)
        self._sift.setTimerType(Qt.TimerType.VeryCoarseTimer)
        self._sift.timeout.connect(self.model.sift_again)
        self.filter_line.textChanged.connect(lambda _text: self._filter_later.start())
        self.filter_line.returnPressed.connect(self._on_filter_entered)
        for toggle in (self.live_only, self.abnormal_only):
            toggle.toggled.connect(lambda _on: self.apply_filter())
        for signal, own in (
            (self.tree.open_requested, self.open_requested),
            (self.tree.kill_requested, self.kill_requested),
            (self.tree.pause_requested, self.pause_requested),
            (self.tree.menu_requested, self.menu_requested),
        ):
            signal.connect(own)
        self.tree.chosen_changed.connect(self._on_chosen)
        self.selection.acted.connect(lambda what: self.several_requested.emit(self.tree.selected_ids(), what))
        self.selection.cleared.connect(self.select_one)
        store.sessions_changed.connect(self._on_changed)
        store.sessions_removed.connect(self._on_removed)
        store.provider_changed.connect(self._on_provider)
        self.model.rows_changed.connect(self._show_state)
        self.model.put(store.sessions.values())
        self.apply_filter()

    def _lay_out(self) -> None:
        holder = QWidget(self)
        self._stack = QStackedLayout(holder)
        self._stack.addWidget(self.tree)
        self._stack.addWidget(self._empty)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(0)
        head = QHBoxLayout()
        self.column.addLayout(head)
        head.setContentsMargins(12, 8, 8, 4)
        head.setSpacing(6)
        head.addWidget(self._total, 1)
        head.addWidget(self.live_only)
        head.addWidget(self.abnormal_only)
        head.addWidget(self.options.button)
        line = QHBoxLayout()
        self.column.addLayout(line)
        line.setContentsMargins(8, 0, 8, 6)
        line.addWidget(self.filter_line)
        self.column.addWidget(self.problem)
        self.column.addWidget(self.reach)
        self.column.addWidget(holder, 1)
        self.column.addWidget(self.selection)
        self.setMinimumWidth(260)

    def sizeHint(self) -> QSize:
        return QSize(340, 600)

    def set_may_act(self, why_not: Callable[[str], str]) -> None:
        """`why_not` tells of a session id why nothing can be done to it; empty if it can."""
        self.tree.set_may_act(why_not)
        self.selection.set_may_act(why_not)

    def show_extent(self, extent: Extent) -> None:
        """Say how far the reading is, and what it has left out."""
        self._extent = extent
        self.model.set_filling(extent.reading)
        self.reach.show_extent(extent)
        self._show_state()

    def select_one(self) -> None:
        """Only the current row stays selected."""
        if (session := self.tree.current_session()) is not None:
            self.tree.select_ids([session.session_id])
        else:
            self.tree.clearSelection()
        self.tree.setFocus(Qt.FocusReason.OtherFocusReason)

    def focus_filter(self) -> None:
        """Put the cursor into the filter line, its text selected."""
        self.filter_line.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.filter_line.selectAll()

    def apply_filter(self) -> None:
        """Put the filter line into effect now."""
        self._filter_later.stop()
        wanted = parse_filter(
            self.filter_line.text(),
            live_only=self.live_only.isChecked(),
            abnormal_only=self.abnormal_only.isChecked(),
        )
        self.problem.setText("\n".join(wanted.problems))
        self.problem.setVisible(bool(wanted.problems))
        self.filter_line.setAccessibleDescription(self.problem.text())
        self.reach.set_words(wanted.words)
        self.model.set_filter(wanted)
        if wanted.timed:
            self._sift.start()
        else:
            self._sift.stop()
        self._show_state()

    def _on_filter_entered(self) -> None:
        self.apply_filter()
        if self.model.rowCount():
            self.tree.take_focus(Qt.FocusReason.OtherFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            if self.selection.isVisible():
                self.select_one()
                return
            if self.filter_line.text():
                self.filter_line.clear()
                self.apply_filter()
                return
        super().keyPressEvent(event)

    def _on_chosen(self) -> None:
        self._show_selection()
        self.selection_changed.emit()

    def _show_selection(self) -> None:
        sessions = self._store.sessions
        self.selection.show_sessions([sessions[i] for i in self.tree.selected_ids() if i in sessions])

    def _on_changed(self, session_ids: list[str]) -> None:
        self.model.put(self._store.sessions[i] for i in session_ids if i in self._store.sessions)
        if self.selection.isVisible():
            self._show_selection()

    def _on_removed(self, session_ids: list[str]) -> None:
        self.model.remove(session_ids)
        self._show_state()

    def _on_provider(self, _name: str) -> None:
        if self.model.session_filter.timed:
            self.model.sift_again()
        self.tree.viewport().update()

    def _show_state(self) -> None:
        known, shown = self.model.index_of_sessions, self.model.rowCount()
        total = len(known)
        filtered = not self.model.session_filter.empty
        of = f"{known.matches:,} of " if filtered and total else ""
        self._total.setText(of + (f"{total:,} session{'s' if total > 1 else ''}" if total else "No sessions"))
        if not total and self._extent.reading:
            self._empty.setText("Reading the sessions …")
        elif not total:
            self._empty.setText("No sessions yet.\nStart an agent and it appears here, with every sub-agent below it.")
        elif not shown:
            self._empty.setText(self._nothing_words())
        self._stack.setCurrentIndex(0 if shown else 1)

    def _nothing_words(self) -> str:
        """Why nothing is seen, and what to do about it."""
        pressed = [toggle.text() for toggle in (self.live_only, self.abnormal_only) if toggle.isChecked()]
        if self.filter_line.text().strip():
            also = f"\n“{' and '.join(pressed)}” is on, too." if pressed else ""
            return f"Nothing matches the filter.\nEsc clears it.{also}"
        if self.abnormal_only.isChecked():
            return "Nothing is abnormal.\nPress “Abnormal” again to see all sessions."
        return "No session is live.\nPress “Live” again to see those that have ended."


def _toggle(name: str, text: str, tip: str, parent: QWidget) -> QToolButton:
    button = QToolButton(parent)
    button.setObjectName(name)
    button.setText(text)
    button.setCheckable(True)
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    return button
