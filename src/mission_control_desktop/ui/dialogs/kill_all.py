"""Kill All: a scope, what it hits, typed words, a reason; then the board: what has become of each target, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import Any, NamedTuple

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QScrollArea,
    QStackedWidget,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.client.fleet import EVERYWHERE
from mission_control_desktop.domain.kill import CONFIRM_WORDS, KillAll, KillState, TargetState
from mission_control_desktop.domain.limits import MAX_REASON_CHARS
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.dialogs.fitting import FittingDialog
from mission_control_desktop.ui.dialogs.kill_scopes import ALONE, KillPlane, left_out, scopes, targets
from mission_control_desktop.ui.sessions import SessionStore

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()

STATE_WORDS = {
    TargetState.FROZEN: "frozen, not dead yet",
    TargetState.DEAD: "dead",
    TargetState.ASKED: "asked, not verified",
    TargetState.UNREACHABLE: "unreachable",
    TargetState.CAME_BACK: "came back",
}

STATE_MARKS = {
    TargetState.FROZEN: "‖",
    TargetState.DEAD: "■",
    TargetState.ASKED: "…",
    TargetState.UNREACHABLE: "?",
    TargetState.CAME_BACK: "▲",
}
"""Shapes, so that no state is told by its colour alone."""


_WORRIES = (TargetState.CAME_BACK, TargetState.UNREACHABLE, TargetState.ASKED, TargetState.FROZEN)


SCOPES_A_ROW = 4
_LOWER, _LOWER_MOST = 84, 220
"""Heights (device-independent pixels) of what is asked, and at most of what is told."""
_RESULTS = (3, 4)
"""Columns that have something to tell only when the order is given."""


class _Row(NamedTuple):
    name: str
    provider: str
    now: str
    after: str
    detail: str
    state: TargetState | None = None
    story: str = ""


class TargetsModel(QAbstractTableModel):
    """Sessions in the scope, and after the order each one's result."""

    COLUMNS = ("Session", "Provider", "Now", "After", "Detail")
    NOW = 2

    def __init__(self, parent: QObject | None = None) -> None:
        self._rows: list[_Row] = []
        super().__init__(parent)

    def show_sessions(self, sessions: Sequence[AgentSession]) -> None:
        """List what the order would hit."""
        self._replace([_Row(words.name(s), s.provider, theme.status_text(s), "", "") for s in sessions])

    def show_result(self, kill: KillAll, names: Mapping[str, str]) -> None:
        """List what has become of each target, and how long after the order."""
        self._replace(
            [
                _Row(
                    names.get(t.session_id, t.session_id),
                    t.provider,
                    f"{STATE_MARKS[t.state]}  {STATE_WORDS[t.state]}",
                    _after(kill, t.at),
                    t.detail or "",
                    t.state,
                    "\n".join(
                        f"{_after(kill, step.at)}  {STATE_WORDS[step.state]}"
                        + (f": {step.detail}" if step.detail else "")
                        for step in t.steps
                    ),
                )
                for t in kill.targets
            ]
        )

    def _replace(self, rows: list[_Row]) -> None:
        if len(rows) == len(self._rows):
            self._rows = rows
            if rows:
                self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(self.COLUMNS) - 1))
            return
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def rowCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self.COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DisplayRole and orientation is Qt.Orientation.Horizontal:
            return self.COLUMNS[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.story if row.story and index.column() >= self.NOW else row[index.column()]
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == self.NOW and row.state is not None:
            look = theme.current()
            if row.state is TargetState.DEAD:
                return look.text
            return look.attention if row.state in (TargetState.ASKED, TargetState.FROZEN) else look.error
        return None


def _after(kill: KillAll, at: datetime) -> str:
    return f"{max(0.0, (at - kill.started_at).total_seconds()):.1f} s"


class KillAllDialog(FittingDialog):
    """Emits what was confirmed; whoever carries it out calls `started` or `failed`, and the store brings results.

    From then on it is the board. While the control plane watches the targets, closing it ends the watch.
    """

    confirmed = Signal(str, str)
    """Scope, reason."""
    undo_requested = Signal(str)
    """Kill id."""
    watch_ended = Signal(str)
    """Kill id: the board is closed, targets that come back are no longer to be hit."""

    def __init__(
        self,
        store: SessionStore,
        parent: QWidget | None = None,
        *,
        planes: tuple[KillPlane, ...] = ALONE,
        now: Callable[[], datetime] = words.utc_now,
    ) -> None:
        super().__init__(parent)
        self._store = store
        self._planes = planes
        self._now = now
        self._kill_id = ""
        self._busy = False
        self._names: dict[str, str] = {}
        self._scopes: dict[str, QRadioButton] = {}
        self.setObjectName("dialog.kill_all")
        self.setWindowTitle("Kill All")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumSize(660, 560)

        title = QLabel("Kill All")
        title.setProperty("tone", "title")
        self._what = QLabel(
            "Ends every agent in the scope at once, with everything below it. Work in progress is lost. "
            "To end one agent gracefully, use Terminate in its panel."
        )
        self._what.setWordWrap(True)
        self.model = TargetsModel(self)
        self.table = _targets_table(self.model)
        self.summary = QLabel()
        self.summary.setProperty("tone", "heading")
        self.summary.setWordWrap(True)
        self.reason = QLineEdit()
        self.reason.setObjectName("reason")
        self.reason.setMaxLength(MAX_REASON_CHARS)
        self.reason.setPlaceholderText("Why? It goes into the audit log.")
        self.typed = QLineEdit()
        self.typed.setObjectName("typed")
        self.typed.setPlaceholderText(CONFIRM_WORDS)
        self.typed.setAccessibleName(f"Type {CONFIRM_WORDS} to confirm")
        self.error = QLabel()
        self.error.setProperty("tone", "error")
        self.error.setWordWrap(True)
        self.error.hide()
        self.cancel = QPushButton("Cancel")
        self.cancel.setAutoDefault(False)
        self.cancel.clicked.connect(self.reject)
        self.act = QPushButton("Kill All")
        self.act.setObjectName("act")
        self.act.setProperty("kind", "danger")
        self.act.setAutoDefault(False)
        self.act.clicked.connect(self._on_act)
        self._result = QLabel()
        self._result.setWordWrap(True)
        self.undo = QPushButton("Undo")
        self.undo.setObjectName("undo")
        self.undo.setProperty("kind", "primary")
        self.undo.setAutoDefault(False)
        self.undo.setToolTip("Thaw everything that is frozen; nothing is killed")
        self.undo.clicked.connect(self._on_undo)
        self.undo.hide()
        self._countdown = QTimer(self)
        self._countdown.setInterval(250)
        self._countdown.timeout.connect(self._on_tick)
        self._lower = QStackedWidget()
        self._lay_out(title)

        self.typed.textChanged.connect(lambda _t: self._refresh())
        self.reason.textChanged.connect(lambda _t: self._refresh())
        store.sessions_changed.connect(self._on_sessions)
        store.kill_changed.connect(self._on_kill)
        self._refresh()
        self.reason.setFocus()

    def _lay_out(self, title: QLabel) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        layout.addWidget(title)
        layout.addWidget(self._what)
        choices = QGridLayout()
        layout.addLayout(choices)
        choices.setHorizontalSpacing(16)
        choices.setVerticalSpacing(4)
        for number, scope in enumerate(scopes(self._store, self._planes)):
            button = QRadioButton(scope.text)
            button.setObjectName(f"scope.{scope.name}")
            button.setEnabled(not scope.refusal)
            button.setToolTip(scope.refusal)
            self._scopes[scope.name] = button
            choices.addWidget(button, number // SCOPES_A_ROW, number % SCOPES_A_ROW)
        choices.setColumnStretch(SCOPES_A_ROW, 1)
        first = next((button for button in self._scopes.values() if button.isEnabled()), None)
        (first or next(iter(self._scopes.values()))).setChecked(True)
        for button in self._scopes.values():
            button.toggled.connect(lambda on: self._refresh() if on else None)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("&Reason", self.reason)
        form.addRow(f"&Type {CONFIRM_WORDS}", self.typed)
        ask = QWidget()
        ask.setLayout(form)
        self._lower.addWidget(ask)
        self._told = QScrollArea()
        self._told.setFrameShape(QFrame.Shape.NoFrame)
        self._told.setWidgetResizable(True)
        self._told.setWidget(self._result)
        self._told.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._lower.addWidget(self._told)
        self._lower.setFixedHeight(_LOWER)
        layout.addWidget(self.summary)
        layout.addWidget(self.table, 1)
        layout.addWidget(self._lower)
        layout.addWidget(self.error)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        buttons.addWidget(self.cancel)
        buttons.addStretch(1)
        buttons.addWidget(self.undo)
        buttons.addWidget(self.act)

    @property
    def scope(self) -> str:
        """The chosen scope: `all`, a provider's name, or one of `kill_scopes`."""
        return next(scope for scope, button in self._scopes.items() if button.isChecked())

    def _on_sessions(self, _ids: list[str]) -> None:
        if not self._kill_id:
            self._refresh()

    def _refresh(self) -> None:
        if self._kill_id:
            return
        for scope in scopes(self._store, self._planes):
            if scope.name in self._scopes:
                self._scopes[scope.name].setText(scope.text)
        hit = targets(self._store, self.scope, self._planes)
        self.model.show_sessions(hit)
        text = f"{words.plural(len(hit), 'agent')} will be killed" if hit else "No agent in this scope is alive"
        if self.scope == EVERYWHERE and (rest := left_out(self._planes)):
            text = f"{text}. {rest}"
        self.summary.setText(text)
        typed, reason = self.typed.text() == CONFIRM_WORDS, bool(self.reason.text().strip())
        allowed = self._scopes[self.scope].isEnabled()
        for field in (self.typed, self.reason):
            field.setEnabled(allowed)
            field.setToolTip("" if allowed else self._scopes[self.scope].toolTip())
        self.act.setEnabled(typed and reason and allowed and not self._busy)
        missing = [w for w, ok in (("a reason", reason), (f"the words {CONFIRM_WORDS}", typed)) if not ok]
        needs = f"Needs {' and '.join(missing)}" if missing else ""
        self.act.setToolTip(needs if allowed else self._scopes[self.scope].toolTip())

    def _on_act(self) -> None:
        self._busy = True
        self._names = {s.session_id: words.name(s) for s in self._store.sessions.values()}
        self.error.hide()
        self.act.setText("Killing…")
        self._refresh()
        self.confirmed.emit(self.scope, self.reason.text().strip())

    def started(self, kill: KillAll) -> None:
        """The control plane has taken the order; from now on its results are shown."""
        self._kill_id = kill.kill_id
        for button in self._scopes.values():
            button.setEnabled(False)
        self.setWindowTitle("Kill All: board")
        self.act.hide()
        self.cancel.setText("Close")
        self.cancel.setFocus()
        self._what.hide()
        self._lower.setCurrentWidget(self._told)
        for column in _RESULTS:
            self.table.setColumnHidden(column, False)
        self._store.kills.setdefault(kill.kill_id, kill)
        self._show(self._store.kills[kill.kill_id])

    def failed(self, message: str) -> None:
        """The order was not taken."""
        self._busy = False
        self.act.setText("Kill All")
        self.error.setText(message)
        self.error.show()
        self._refresh()

    def _on_kill(self, kill_id: str) -> None:
        if kill_id == self._kill_id:
            self._show(self._store.kills[kill_id])

    def _show(self, kill: KillAll) -> None:
        self.model.show_result(kill, self._names)
        total = len(kill.targets)
        dead = sum(t.state is TargetState.DEAD for t in kill.targets)
        self.summary.setText(_counted(kill))
        frozen = kill.state is KillState.FROZEN and kill.undo_until is not None
        match kill.state:
            case KillState.FROZEN if frozen:
                self.summary.setText(f"{words.plural(total, 'agent')} frozen")
                text = "Everything in the scope is stopped and will be killed. Until then it can be undone."
            case KillState.UNDONE:
                self.summary.setText("Undone")
                text = "What was frozen runs again. Nothing was killed."
            case KillState.DONE if dead < total:
                left = words.plural(total - dead, "target")
                text = f"{_took(kill)} {left} could not be verified dead: see the table, and look at the panels."
            case KillState.DONE:
                text = f"{_took(kill)} Every target is verified dead." if total else "Finished. Nothing was alive."
            case _:
                text = "Killing. Results come in as each target is verified."
        watched = kill.watching_until is not None
        if watched:
            text += " What comes back is hit again until you close this board."
        self.cancel.setText("Close and end the watch" if watched else "Close")
        if kill.by:
            text += f"\nOrdered by {kill.by}: {kill.reason}"
        self._result.setText(f"{text}\n{kill.detail}" if kill.detail else text)
        self._make_room()
        self.undo.setVisible(frozen)
        if frozen:
            self.undo.setEnabled(True)
            self._countdown.start()
            self._on_tick()
        else:
            self._countdown.stop()

    def _make_room(self) -> None:
        """For what is told: several control planes have a line each. What is beyond scrolls."""
        need = self._result.heightForWidth(max(1, self._lower.width()))
        self._lower.setFixedHeight(min(max(_LOWER, need), _LOWER_MOST))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._kill_id:
            self._make_room()

    def _on_tick(self) -> None:
        kill = self._store.kills.get(self._kill_id)
        if kill is None or kill.undo_until is None:
            return
        left = (kill.undo_until - self._now()).total_seconds()
        self.undo.setText(f"Undo ({max(0, ceil(left))} s)")
        if left <= 0:
            self.undo.setEnabled(False)
            self._countdown.stop()

    def done(self, result: int) -> None:
        kill = self._store.kills.get(self._kill_id)
        if kill is not None and kill.watching_until is not None:
            self.watch_ended.emit(self._kill_id)
        super().done(result)

    def _on_undo(self) -> None:
        self.undo.setEnabled(False)
        self._countdown.stop()
        self.undo_requested.emit(self._kill_id)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        # Return presses nothing here, whatever has the focus; a press must be meant.
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.accept()
            return
        super().keyPressEvent(event)


def _counted(kill: KillAll) -> str:
    """How many targets are in which state, the verified first."""
    found = Counter(target.state for target in kill.targets)
    rest = ", ".join(f"{found[state]} {STATE_WORDS[state]}" for state in _WORRIES if found[state])
    return f"{found[TargetState.DEAD]} of {len(kill.targets)} verified dead" + (f"; {rest}" if rest else "")


def _took(kill: KillAll) -> str:
    return "Finished." if kill.finished_at is None else f"Finished after {_after(kill, kill.finished_at)}."


def _targets_table(model: TargetsModel) -> QTableView:
    table = QTableView()
    table.setModel(model)
    table.setAccessibleName("Targets")
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.verticalHeader().hide()
    theme.keep(table.verticalHeader(), lambda header: header.setDefaultSectionSize(theme.metrics.row - 4))
    table.setShowGrid(False)
    table.setTabKeyNavigation(False)
    header = table.horizontalHeader()
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    header.setSectionResizeMode(4, QHeaderView.ResizeMode.Stretch)
    header.setHighlightSections(False)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    # The names of sessions have the room that is left; until the order there is nothing else to tell of them.
    header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
    table.setColumnWidth(2, 170)
    table.setColumnWidth(3, 64)
    for column in _RESULTS:
        table.setColumnHidden(column, True)
    return table
