"""The roster's rows as a Qt model: what is seen, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QByteArray, QMimeData, QModelIndex, QObject, QPersistentModelIndex, Qt, QTimer, Signal
from PySide6.QtGui import QStandardItemModel

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import theme, times, words
from mission_control_desktop.ui.provider_words import abnormal, provider_look
from mission_control_desktop.ui.roster.filter import SessionFilter
from mission_control_desktop.ui.roster.index import Group, Node, RosterIndex, Row
from mission_control_desktop.ui.roster.order import RESTLESS, GroupBy, SortBy
from mission_control_desktop.ui.roster.severity import SEVERITY_WORDS, Severity
from mission_control_desktop.ui.roster.usage import usage_detail, usage_text

Index = QModelIndex | QPersistentModelIndex
SESSION_ROLE = Qt.ItemDataRole.UserRole
MIME_TYPE = "application/x-mission-control-sessions"
_ROOT = QModelIndex()


class Column(IntEnum):
    SESSION = 0
    STATUS = 1
    PROVIDER = 2
    TASK = 3
    PROFILE = 4
    ELAPSED = 5
    SEEN = 6
    USAGE = 7
    ACTIONS = 8


TITLES = ("Session", "Status", "Provider", "Task", "Profile", "Elapsed", "Last sign", "Usage", "")
SETTLE_FROM = 1_000
"""With more sessions than this, new rows come together after `SETTLE_MS`: one rebuild takes some milliseconds."""
SETTLE_MS = 60
FILL_MS = 1_000
"""The same while many are being read: the first rows are there at once, the others come in a few steps, so that rows
stand still between them."""
RESTLESS_MS = 1_000
RESET_FROM = 500
"""More rows than this that come or go at once are one reset."""


class RosterModel(QStandardItemModel):
    """One row for each session and group that is seen.

    Qt's own model holds the structure (rows without items): a view asks for an index of every row whenever it lays
    itself out, which takes 90 ms for 10,000 rows in Python and 1 ms here. Sessions and all that is said of them come
    from `RosterIndex`.
    """

    rows_about_to_change = Signal()
    """Rows will come, go or move; a view keeps what it wants to find again."""
    rows_changed = Signal()
    refreshed = Signal(object)
    """Row numbers (list of int) whose sessions look different now."""

    def __init__(
        self,
        now: Callable[[], datetime] = words.utc_now,
        parent: QObject | None = None,
        *,
        health: Mapping[str, ProviderHealth] | None = None,
    ) -> None:
        self._now = now
        self._health: Mapping[str, ProviderHealth] = {} if health is None else health
        self.index_of_sessions = RosterIndex()
        self._rows: list[Row] = []
        self._pending: list[Row] | None = None
        super().__init__(0, len(Column), parent)
        # The first to hear of it: whoever asks while rows come and go gets the rows that Qt has then.
        self.rowsRemoved.connect(self._on_rows_removed)
        self.rowsInserted.connect(self._on_rows_inserted)
        self._filling = False
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self.settle)

    # -- changing

    def put(self, sessions: Iterable[AgentSession]) -> None:
        """Insert or update sessions."""
        self.index_of_sessions.put_all(sessions)
        self._follow()

    def remove(self, session_ids: Iterable[str]) -> None:
        """Drop sessions; what stood below them goes to the top."""
        self.index_of_sessions.remove(session_ids)
        self._follow()

    def set_filter(self, wanted: SessionFilter) -> None:
        """Show only sessions that match, with their ancestors."""
        if wanted != self.index_of_sessions.session_filter:
            self.index_of_sessions.set_filter(wanted)
            self.settle()

    @property
    def session_filter(self) -> SessionFilter:
        return self.index_of_sessions.session_filter

    def set_sort(self, by: SortBy, *, descending: bool = False) -> None:
        """Sort siblings."""
        self.index_of_sessions.set_sort(by, descending=descending)
        self.settle()

    def set_group(self, by: GroupBy) -> None:
        """Put sessions together."""
        self.index_of_sessions.set_group(by)
        self.settle()

    def set_open(self, row: Row, opened: bool, *, all_below: bool = False) -> None:
        """Open or close a branch, with `all_below` everything in it."""
        if all_below:
            self.index_of_sessions.open_below(row, opened)
        else:
            self.index_of_sessions.set_open(row, opened)
        self.settle()

    def set_all_open(self, opened: bool) -> None:
        """Open or close every branch."""
        self.index_of_sessions.open_below(None, opened)
        self.settle()

    def reveal(self, session_id: str) -> bool:
        """Open what hides a session; False if there is none or the filter hides it."""
        self.settle()
        found = self.index_of_sessions.reveal(session_id)
        if self.index_of_sessions.stale:
            self.settle()
        return found and self.index_for(session_id).isValid()

    def set_filling(self, filling: bool) -> None:
        """Many sessions are about to come, or all of them have come."""
        if self._filling and not filling:
            self._filling = False
            self.settle()
        self._filling = filling

    def sift_again(self) -> None:
        """What passes may have changed by time alone, or with a provider."""
        self.index_of_sessions.stale = True
        self.settle()

    def _follow(self) -> None:
        index = self.index_of_sessions
        if index.stale:
            if index.sort[0] in RESTLESS and self._rows:
                self._settle_after(RESTLESS_MS)
            elif self._rows and (self._filling or len(index) > SETTLE_FROM):
                self._settle_after(FILL_MS if self._filling else SETTLE_MS)
            else:
                self.settle()
        if not (self._filling and self._settle.isActive()):
            self._tell_touched()

    def _tell_touched(self) -> None:
        index = self.index_of_sessions
        rows = [node.row for node in index.touched if node.row >= 0]
        index.touched.clear()
        if rows:
            self._tell(rows)

    def _settle_after(self, milliseconds: int) -> None:
        if not self._settle.isActive():
            self._settle.start(milliseconds)

    def _tell(self, rows: list[int]) -> None:
        for row in rows[:RESET_FROM]:
            changed = self.index(row, 0)
            self.dataChanged.emit(changed, changed)
        self.refreshed.emit(rows)

    def settle(self) -> None:
        """Level the rows with what is known, now."""
        self._settle.stop()
        index = self.index_of_sessions
        if not index.stale:
            return
        old, new = self._rows, index.build(self._now(), self._health)
        self.rows_about_to_change.emit()
        first, behind = _common(old, new)
        gone, come = len(old) - first - behind, len(new) - first - behind
        self._pending = new
        if max(gone, come) > RESET_FROM:
            self.beginResetModel()
            self.blockSignals(True)
            self.setRowCount(len(new))
            self.blockSignals(False)
            self._rows = new
            self.endResetModel()
        else:
            if gone:
                self.removeRows(first, gone)
            if come:
                self.insertRows(first, come)
            self._rows = new
        self._pending = None
        self.rows_changed.emit()
        self._tell_touched()

    def _on_rows_removed(self, _parent: QModelIndex, first: int, last: int) -> None:
        self._rows = self._rows[:first] + self._rows[last + 1 :]

    def _on_rows_inserted(self, _parent: QModelIndex, _first: int, _last: int) -> None:
        if self._pending is not None:
            self._rows = self._pending

    # -- asking

    def row(self, row: int) -> Row | None:
        """What stands in a row."""
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def node_at(self, index: Index) -> Node | None:
        """The node behind an index; None for a group."""
        found = self.row(index.row()) if index.isValid() else None
        return found if isinstance(found, Node) else None

    def session_at(self, index: Index) -> AgentSession | None:
        """The session behind an index."""
        node = self.node_at(index)
        return node.session if node is not None else None

    def index_for(self, session_id: str) -> QModelIndex:
        """A session's index; invalid if it is unknown, filtered out or in a closed branch."""
        node = self.index_of_sessions.node(session_id)
        return self.index(node.row, 0) if node is not None and node.row >= 0 else QModelIndex()

    def index_of_row(self, row: Row) -> QModelIndex:
        """The index of a row as it stands now."""
        return self.index(row.row, 0) if row.row >= 0 else QModelIndex()

    def above(self, index: Index) -> QModelIndex:
        """The row that this one stands below."""
        here = self.row(index.row())
        if here is None:
            return QModelIndex()
        for row in range(index.row() - 1, -1, -1):
            if self._rows[row].level < here.level:
                return self.index(row, 0)
        return QModelIndex()

    def __len__(self) -> int:
        return len(self.index_of_sessions)

    # -- Qt's questions

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is Qt.Orientation.Horizontal and 0 <= section < len(TITLES):
            if role == Qt.ItemDataRole.DisplayRole:
                return TITLES[section]
            if role == Qt.ItemDataRole.ToolTipRole and section == Column.SEEN:
                return "Age of the newest sign of life of the session"
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = self.row(index.row()) if index.isValid() else None
        if row is None:
            return None
        if isinstance(row, Group):
            if index.column() == 0 and role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
                state = "open" if self.index_of_sessions.is_open(row) else "closed"
                return f"{row.title}, {words.plural(row.count, 'session')}, {state}"
            return None
        if role == SESSION_ROLE:
            return row.session
        if role == Qt.ItemDataRole.DisplayRole:
            return self.text(row.session, index.column())
        if role == Qt.ItemDataRole.AccessibleTextRole and index.column() == Column.SESSION:
            return self._spoken(row)
        if role == Qt.ItemDataRole.AccessibleTextRole and index.column() == Column.ACTIONS:
            return "Pause and kill" if not row.session.status.final else "No actions: it has ended"
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(row)
        return None

    def text(self, session: AgentSession, column: int) -> str:
        """What a cell says."""
        match column:
            case Column.SESSION:
                return words.name(session)
            case Column.STATUS:
                return theme.status_text(session)
            case Column.PROVIDER:
                return session.provider
            case Column.TASK:
                return session.task_id or ""
            case Column.PROFILE:
                return str(session.metadata.get("profile") or "")
            case Column.ELAPSED:
                return words.elapsed(session, self._now())
            case Column.SEEN:
                return words.evidence_age(session, self._now())
            case Column.USAGE:
                return usage_text(session)
        return ""

    def _spoken(self, node: Node) -> str:
        session = node.session
        health = self._health.get(session.provider)
        away = f" {provider_look(health, self._now()).text}" if health is not None and abnormal(health) else ""
        parts = [words.name(session), theme.status_text(session), f"provider {session.provider}{away}"]
        if age := words.evidence_age(session, self._now()):
            parts.append(f"last sign {age}" if age[0].isdigit() else age)
        if node.below:
            parts.append(f"{words.plural(node.below, 'agent')} below{worst_words(node)}")
            parts.append("open" if self.index_of_sessions.is_open(node) else "closed")
        if node.level:
            parts.append(f"level {node.level + 1}")
        return ", ".join(parts)

    def _tip(self, node: Node) -> str:
        session = node.session
        lines = [words.name(session), theme.status_text(session), session.session_id]
        if words.is_demo(session):
            lines.insert(1, "Demo: a scripted agent")
        if session.task_id and session.task_id != words.name(session):
            lines.append(f"Task {session.task_id}")
        if session.error:
            lines.append(session.error[:400])
        health = self._health.get(session.provider)
        if health is not None and abnormal(health):
            look = provider_look(health, self._now())
            lines.append(f"Provider {session.provider}: {look.text}. {look.detail}")
        if node.below:
            lines.append(f"{words.plural(node.below, 'agent')} below it{worst_words(node)}")
        if used := usage_detail(session):
            lines.append(used)
        lines.append(f"Last sign of life {times.wall(session.evidence.last_event_at)} ({session.evidence.source})")
        return "\n".join(lines)

    # -- dragging a row to the panels

    def mimeTypes(self) -> list[str]:
        return [MIME_TYPE]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        ids = dict.fromkeys(s.session_id for i in indexes if (s := self.session_at(i)) is not None)
        data = QMimeData()
        data.setData(MIME_TYPE, QByteArray("\n".join(ids).encode()))
        return data


def worst_words(node: Node) -> str:
    """`, 2 failed`: the worst of what is below."""
    worst = node.worst
    return f", {node.tally[worst]} {SEVERITY_WORDS[worst]}" if worst is not Severity.NORMAL else ""


def _common(old: Sequence[Row], new: Sequence[Row]) -> tuple[int, int]:
    """How many rows are the same at the beginning and at the end."""
    least = min(len(old), len(new))
    first = 0
    while first < least and old[first] is new[first]:
        first += 1
    behind = 0
    while behind < least - first and old[-1 - behind] is new[-1 - behind]:
        behind += 1
    return first, behind
