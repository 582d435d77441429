"""The tree of sessions as a Qt model: incremental, and indifferent to the order in which sessions arrive."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QByteArray,
    QMimeData,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import theme, times, words
from mission_control_desktop.ui.provider_words import abnormal, provider_look
from mission_control_desktop.ui.roster.filter import SessionFilter

Index = QModelIndex | QPersistentModelIndex
SESSION_ROLE = Qt.ItemDataRole.UserRole
BELOW_ROLE = Qt.ItemDataRole.UserRole + 1
MIME_TYPE = "application/x-mission-control-sessions"
_ROOT = QModelIndex()


class Column(IntEnum):
    SESSION = 0
    STATUS = 1
    PROVIDER = 2
    ELAPSED = 3
    SEEN = 4
    ACTIONS = 5


RESET_FROM = 48
"""A batch with more new sessions than this is one reset: row by row would take longer than a frame."""
TITLES = ("Session", "Status", "Provider", "Elapsed", "Last sign", "")


class _Node:
    __slots__ = ("below", "children", "key", "parent", "row", "serial", "session")

    def __init__(self, serial: int, session: AgentSession | None) -> None:
        self.serial = serial
        self.session = session
        self.parent: _Node | None = None
        self.children: list[_Node] = []
        self.row = 0
        self.below = 0
        self.key: tuple[datetime, str] | None = (session.spawned_at, session.session_id) if session else None


def _key(node: _Node) -> tuple[datetime, str]:
    if node.key is None:
        raise ValueError("the root has no place among its children")
    return node.key


class RosterModel(QAbstractItemModel):
    """Sessions under their parents, oldest first.

    A session whose parent is unknown stands at the top until the parent arrives; a parent that would make a loop is
    ignored. Indexes carry serial numbers, never pointers, so that a stale index is merely invalid.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = words.utc_now,
        parent: QObject | None = None,
        *,
        health: Mapping[str, ProviderHealth] | None = None,
    ) -> None:
        self._now = now
        self._health: Mapping[str, ProviderHealth] = {} if health is None else health
        self._root = _Node(0, None)
        self._nodes: dict[str, _Node] = {}
        self._by_serial: dict[int, _Node] = {0: self._root}
        self._orphans: dict[str, set[str]] = {}
        self._next = 1
        super().__init__(parent)

    # -- changing

    def put(self, sessions: Iterable[AgentSession]) -> None:
        """Insert or update sessions."""
        items = list(sessions)
        if sum(session.session_id not in self._nodes for session in items) > RESET_FROM:
            self.beginResetModel()
            for session in items:
                self._put(session, quiet=True)
            self.endResetModel()
            return
        for session in items:
            self._put(session, quiet=False)

    def remove(self, session_ids: Iterable[str]) -> None:
        """Drop sessions; what stood below them goes to the top."""
        for session_id in session_ids:
            node = self._nodes.get(session_id)
            if node is None:
                continue
            for child in list(node.children):
                self._orphans.setdefault(session_id, set()).add(_session(child).session_id)
                self._move(child, self._root, quiet=False)
            parent = _parent(node)
            self.beginRemoveRows(self._index_of(parent), node.row, node.row)
            self._detach(node)
            del self._nodes[session_id]
            del self._by_serial[node.serial]
            self.endRemoveRows()

    def _put(self, session: AgentSession, *, quiet: bool) -> None:
        node = self._nodes.get(session.session_id)
        if node is not None:
            moved = _session(node).parent_session_id != session.parent_session_id
            node.session = session
            if moved:
                self._forget_orphan(session.session_id)
                self._move(node, self._parent_for(session), quiet=quiet)
            if not quiet:
                index = self._index_of(node)
                self.dataChanged.emit(index, index.siblingAtColumn(Column.ACTIONS))
            return
        node = _Node(self._next, session)
        self._next += 1
        parent = self._parent_for(session)
        row = self._place(parent, node)
        if not quiet:
            self.beginInsertRows(self._index_of(parent), row, row)
        self._nodes[session.session_id] = node
        self._by_serial[node.serial] = node
        self._attach(node, parent, row)
        if not quiet:
            self.endInsertRows()
            self._ancestors_changed(node)
        for child_id in sorted(self._orphans.pop(session.session_id, ())):
            child = self._nodes.get(child_id)
            if child is not None:
                self._move(child, self._parent_for(_session(child)), quiet=quiet)

    def _parent_for(self, session: AgentSession) -> _Node:
        parent_id = session.parent_session_id
        if parent_id is None:
            return self._root
        parent = self._nodes.get(parent_id)
        if parent is None:
            self._orphans.setdefault(parent_id, set()).add(session.session_id)
            return self._root
        above: _Node | None = parent
        while above is not None and above.session is not None:
            if above.session.session_id == session.session_id:
                return self._root
            above = above.parent
        return parent

    def _forget_orphan(self, session_id: str) -> None:
        for waiting in self._orphans.values():
            waiting.discard(session_id)

    def _move(self, node: _Node, target: _Node, *, quiet: bool) -> None:
        source = _parent(node)
        if source is target:
            return
        row = self._place(target, node)
        if not quiet and not self.beginMoveRows(
            self._index_of(source), node.row, node.row, self._index_of(target), row
        ):
            return
        self._detach(node)
        self._attach(node, target, row)
        if not quiet:
            self.endMoveRows()
            self._ancestors_changed(node)

    @staticmethod
    def _place(parent: _Node, node: _Node) -> int:
        """Where a node belongs among its siblings; new sessions are nearly always the last."""
        if not parent.children or _key(parent.children[-1]) <= _key(node):
            return len(parent.children)
        return bisect_left(parent.children, _key(node), key=_key)

    @staticmethod
    def _attach(node: _Node, parent: _Node, row: int) -> None:
        node.parent = parent
        parent.children.insert(row, node)
        for position in range(row, len(parent.children)):
            parent.children[position].row = position
        above: _Node | None = parent
        while above is not None:
            above.below += 1 + node.below
            above = above.parent

    @staticmethod
    def _detach(node: _Node) -> None:
        parent = _parent(node)
        del parent.children[node.row]
        for position in range(node.row, len(parent.children)):
            parent.children[position].row = position
        above: _Node | None = parent
        while above is not None:
            above.below -= 1 + node.below
            above = above.parent
        node.parent = None

    def _ancestors_changed(self, node: _Node) -> None:
        above = node.parent
        while above is not None and above.session is not None:
            index = self._index_of(above)
            self.dataChanged.emit(index, index, [BELOW_ROLE])
            above = above.parent

    # -- asking

    def session_at(self, index: Index) -> AgentSession | None:
        """The session behind an index of this model."""
        node = self._node(index)
        return node.session if node is not None else None

    def index_for(self, session_id: str) -> QModelIndex:
        """A session's index, invalid if there is none."""
        node = self._nodes.get(session_id)
        return self._index_of(node) if node is not None else QModelIndex()

    def sessions(self) -> Iterable[AgentSession]:
        """All sessions, in no order."""
        return map(_session, self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def _node(self, index: Index) -> _Node | None:
        return self._by_serial.get(int(index.internalId())) if index.isValid() else self._root

    def _index_of(self, node: _Node) -> QModelIndex:
        return QModelIndex() if node is self._root else self.createIndex(node.row, 0, node.serial)

    # -- Qt's questions

    def index(self, row: int, column: int, parent: Index = _ROOT) -> QModelIndex:
        above = self._node(parent)
        if above is None or (parent.isValid() and parent.column() != 0):
            return QModelIndex()
        if 0 <= row < len(above.children) and 0 <= column < len(Column):
            return self.createIndex(row, column, above.children[row].serial)
        return QModelIndex()

    def parent(self, index: Index | None = None) -> Any:
        if index is None:
            return QObject.parent(self)
        node = self._node(index) if index.isValid() else None
        if node is None or node.parent is None:
            return QModelIndex()
        return self._index_of(node.parent)

    def rowCount(self, parent: Index = _ROOT) -> int:
        if parent.isValid() and parent.column() != 0:
            return 0
        node = self._node(parent)
        return len(node.children) if node is not None else 0

    def hasChildren(self, parent: Index = _ROOT) -> bool:
        return self.rowCount(parent) > 0

    def columnCount(self, parent: Index = _ROOT) -> int:
        return len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is Qt.Orientation.Horizontal and 0 <= section < len(TITLES):
            if role == Qt.ItemDataRole.DisplayRole:
                return TITLES[section]
            if role == Qt.ItemDataRole.ToolTipRole and section == Column.SEEN:
                return "Age of the newest sign of life of the session"
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsDragEnabled

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        node = self._node(index) if index.isValid() else None
        if node is None or node.session is None:
            return None
        session = node.session
        if role == SESSION_ROLE:
            return session
        if role == BELOW_ROLE:
            return node.below
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(session, index.column())
        if role == Qt.ItemDataRole.AccessibleTextRole and index.column() == Column.SESSION:
            below = f", {words.plural(node.below, 'agent')} below" if node.below else ""
            health = self._health.get(session.provider)
            state = f" {provider_look(health, self._now()).text}" if health is not None and abnormal(health) else ""
            return f"{words.name(session)}, {theme.status_text(session)}, provider {session.provider}{state}{below}"
        if role == Qt.ItemDataRole.AccessibleTextRole and index.column() == Column.ACTIONS:
            return "Pause and kill" if not session.status.final else "No actions: it has ended"
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(session, node.below)
        return None

    def _text(self, session: AgentSession, column: int) -> str:
        match column:
            case Column.SESSION:
                return words.name(session)
            case Column.STATUS:
                return theme.status_text(session)
            case Column.PROVIDER:
                return session.provider
            case Column.ELAPSED:
                return words.elapsed(session, self._now())
            case Column.SEEN:
                return words.evidence_age(session, self._now())
        return ""

    def _tip(self, session: AgentSession, below: int) -> str:
        lines = [words.name(session), theme.status_text(session), session.session_id]
        if words.is_demo(session):
            lines.insert(1, "Demo: a scripted agent")
        if session.error:
            lines.append(session.error[:400])
        health = self._health.get(session.provider)
        if health is not None and abnormal(health):
            look = provider_look(health, self._now())
            lines.append(f"Provider {session.provider}: {look.text}. {look.detail}")
        if below:
            lines.append(f"{words.plural(below, 'agent')} below it")
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


def _session(node: _Node) -> AgentSession:
    if node.session is None:
        raise ValueError("the root is no session")
    return node.session


def _parent(node: _Node) -> _Node:
    if node.parent is None:
        raise ValueError("the root has no parent")
    return node.parent


class RosterFilterModel(QSortFilterProxyModel):
    """What passes the filter, with the ancestors of everything that passes."""

    def __init__(self, model: RosterModel, parent: QObject | None = None) -> None:
        self._model = model
        self._filter = SessionFilter()
        self._all_pass = True
        super().__init__(parent)
        self.setRecursiveFilteringEnabled(True)
        self.setSourceModel(model)

    @property
    def session_filter(self) -> SessionFilter:
        return self._filter

    def set_filter(self, wanted: SessionFilter) -> None:
        """Show only sessions that match."""
        if wanted == self._filter:
            return
        self.beginFilterChange()
        self._filter = wanted
        self._all_pass = wanted.empty
        self.endFilterChange(QSortFilterProxyModel.Direction.Rows)

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:
        if self._all_pass:
            return True
        session = self._model.session_at(self._model.index(source_row, 0, source_parent))
        return session is not None and self._filter.matches(session)

    def matches(self) -> int:
        """How many sessions pass by themselves."""
        return len(self._model) if self._all_pass else sum(map(self._filter.matches, self._model.sessions()))

    def session_at(self, index: Index) -> AgentSession | None:
        """The session behind an index of this model."""
        return self._model.session_at(self.mapToSource(index)) if index.isValid() else None

    def index_for(self, session_id: str) -> QModelIndex:
        """A session's index here; invalid if it is unknown or filtered out."""
        return self.mapFromSource(self._model.index_for(session_id))
