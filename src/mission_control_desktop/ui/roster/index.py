"""The roster without Qt: the tree of all sessions, what is counted in it, and the rows that are to be seen.

Rows are kept as one flat list, rebuilt as a whole when its structure changes: for 10,000 sessions that takes less than
Qt needs to ask a model in Python for as many rows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui.roster.filter import Check, SessionFilter, haystack
from mission_control_desktop.ui.roster.order import SORT_KEYS, GroupBy, SortBy, SortKey, group_of
from mission_control_desktop.ui.roster.severity import Severity, severity

OPEN_UP_TO = 300
"""In a tree of up to so many sessions a branch is open from its beginning."""
_KINDS = len(Severity)


class Node:
    """One session in the tree. `tally` counts the sessions below it by severity; `row` is -1 where it is not seen."""

    __slots__ = (
        "below", "children", "group", "haystack", "key", "level", "matched", "opened", "parent", "row", "session",
        "severity", "stamp", "tally",
    )  # fmt: skip

    def __init__(self, session: AgentSession) -> None:
        self.session = session
        self.parent: Node | None = None
        self.children: list[Node] = []
        self.key: SortKey = ()
        self.group: tuple[int, str] = (0, "")
        self.haystack = ""
        self.severity = Severity.NORMAL
        self.below = 0
        self.tally = [0] * _KINDS
        self.opened: bool | None = None
        self.level = 0
        self.row = -1
        self.matched = True
        self.stamp = 0

    @property
    def worst(self) -> Severity:
        """The worst of what is below it."""
        return Severity(next((kind for kind in range(_KINDS - 1, 0, -1) if self.tally[kind]), 0))


class Group:
    """The row above the sessions of one group."""

    __slots__ = ("count", "key", "level", "row", "tally")

    def __init__(self, key: tuple[int, str]) -> None:
        self.key = key
        self.count = 0
        self.tally = [0] * _KINDS
        self.level = 0
        self.row = -1

    @property
    def title(self) -> str:
        return self.key[1]


Row = Node | Group


class RosterIndex:
    """Sessions under their parents, in any order of arrival.

    A session whose parent is unknown stands at the top until the parent arrives; a parent that would make a loop is
    ignored. `stale` says that the rows have to be built again; `touched` are nodes whose row looks different.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._tops: list[Node] = []
        self._orphans: dict[str, set[str]] = {}
        self._rows: list[Row] = []
        self._groups: dict[tuple[int, str], Group] = {}
        self._closed_groups: set[tuple[int, str]] = set()
        self._closed_here: set[str] = set()
        """Branches that a person closed under the filter that is in effect."""
        self._filter = SessionFilter()
        self._passes: Check = _passes_all
        self._sort, self._descending, self._group_by = SortBy.STARTED, False, GroupBy.NONE
        self._stamp = 0
        self._matches = 0
        self._coming = 0
        """How many new sessions come at once."""
        self.stale = False
        self.touched: dict[Node, None] = {}

    # -- changing

    def put_all(self, sessions: Iterable[AgentSession]) -> None:
        """Insert or update sessions. Those that come with many others begin closed."""
        items = list(sessions)
        self._coming = sum(session.session_id not in self._nodes for session in items)
        if self._coming > 1:
            items.sort(key=_spawned_at)  # parents first: whoever comes before its parent is moved when that comes
        for session in items:
            self.put(session)
        self._coming = 0

    def put(self, session: AgentSession) -> None:
        """Insert or update one session."""
        node = self._nodes.get(session.session_id)
        if node is None:
            self._add(session)
            return
        moved = node.session.parent_session_id != session.parent_session_id
        node.session = session
        self.touched[node] = None
        node.haystack = haystack(session)
        found = severity(session)
        if found is not node.severity:
            self._recount(node, found)
        if moved:
            self._forget_orphan(session.session_id)
            self._move(node, self._parent_for(node))
        key = SORT_KEYS[self._sort](session)
        if key != node.key:
            self._reposition(node, key)
        if self._group_by is not GroupBy.NONE and (group := group_of(session, self._group_by)) != node.group:
            node.group = group
            self.stale = True
        if not self.stale and self._filter.terms and self._passes(session, node.haystack) is not node.matched:
            self.stale = True

    def remove(self, session_ids: Iterable[str]) -> None:
        """Drop sessions; what stood below them goes to the top."""
        for session_id in session_ids:
            node = self._nodes.pop(session_id, None)
            if node is None:
                continue
            for child in list(node.children):
                self._orphans.setdefault(session_id, set()).add(child.session.session_id)
                self._move(child, None)
            self._detach(node)
            self._forget_orphan(session_id)
            self.touched.pop(node, None)
            self.stale = True

    def _add(self, session: AgentSession) -> None:
        node = Node(session)
        node.haystack = haystack(session)
        node.severity = severity(session)
        node.key = SORT_KEYS[self._sort](session)
        node.group = group_of(session, self._group_by)
        parent = self._parent_for(node)
        self._nodes[session.session_id] = node
        self._attach(node, parent)
        for child_id in sorted(self._orphans.pop(session.session_id, ())):
            child = self._nodes.get(child_id)
            if child is not None:
                self._move(child, self._parent_for(child))
        self.stale = True

    def _parent_for(self, node: Node) -> Node | None:
        session = node.session
        parent_id = session.parent_session_id
        if parent_id is None:
            return None
        parent = self._nodes.get(parent_id)
        if parent is None:
            self._orphans.setdefault(parent_id, set()).add(session.session_id)
            return None
        if node.children or parent_id == session.session_id:  # else nothing can be below itself
            above: Node | None = parent
            while above is not None:
                if above is node:
                    return None
                above = above.parent
        return parent

    def _forget_orphan(self, session_id: str) -> None:
        for waiting in self._orphans.values():
            waiting.discard(session_id)

    def _move(self, node: Node, target: Node | None) -> None:
        if node.parent is target:
            return
        self._detach(node)
        self._attach(node, target)
        self.stale = True

    def _attach(self, node: Node, parent: Node | None) -> None:
        node.parent = parent
        siblings = self._siblings(parent)
        if parent is not None and not siblings and parent.opened is None and self._is_small():
            parent.opened = True
        # New sessions are nearly always the last, and those that are read nearly always the first.
        if not siblings or siblings[-1].key <= node.key:
            siblings.append(node)
        elif node.key <= siblings[0].key:
            siblings.insert(0, node)
        else:
            siblings.insert(bisect_left(siblings, node.key, key=_key), node)
        self._count(node, parent, 1)

    def _is_small(self) -> bool:
        return max(self._coming, len(self._nodes)) <= OPEN_UP_TO

    def _detach(self, node: Node) -> None:
        siblings = self._siblings(node.parent)
        place = 0 if siblings[0] is node else bisect_left(siblings, node.key, key=_key)
        if place < len(siblings) and siblings[place] is node:
            del siblings[place]
        else:
            siblings.remove(node)
        self._count(node, node.parent, -1)
        node.parent = None

    def _siblings(self, parent: Node | None) -> list[Node]:
        return self._tops if parent is None else parent.children

    def _count(self, node: Node, above: Node | None, sign: int) -> None:
        if above is None:
            return
        below = sign * (1 + node.below)
        kinds = [(kind, sign * count) for kind, count in enumerate(node.tally) if count] if node.below else ()
        while above is not None:
            above.below += below
            above.tally[node.severity] += sign
            for kind, count in kinds:
                above.tally[kind] += count
            self.touched[above] = None
            above = above.parent

    def _recount(self, node: Node, found: Severity) -> None:
        above = node.parent
        while above is not None:
            above.tally[node.severity] -= 1
            above.tally[found] += 1
            self.touched[above] = None
            above = above.parent
        if (group := self._groups.get(node.group)) is not None:
            group.tally[node.severity] -= 1
            group.tally[found] += 1
        node.severity = found

    def _reposition(self, node: Node, key: SortKey) -> None:
        siblings = self._siblings(node.parent)
        place = bisect_left(siblings, node.key, key=_key)
        if place >= len(siblings) or siblings[place] is not node:
            place = siblings.index(node)
        node.key = key
        before, after = place == 0 or siblings[place - 1].key <= key, place + 1 == len(siblings)
        if before and (after or key <= siblings[place + 1].key):
            return
        del siblings[place]
        siblings.insert(bisect_left(siblings, key, key=_key), node)
        self.stale = True

    # -- what is to be seen

    @property
    def session_filter(self) -> SessionFilter:
        return self._filter

    def set_filter(self, wanted: SessionFilter) -> None:
        """Show only sessions that pass, with their ancestors."""
        self._filter = wanted
        if not wanted.terms:
            for node in self._nodes.values():
                node.matched = True
        self._closed_here.clear()
        self.stale = True

    @property
    def sort(self) -> tuple[SortBy, bool]:
        """By what siblings are sorted, and whether from the last to the first."""
        return self._sort, self._descending

    def set_sort(self, by: SortBy, *, descending: bool = False) -> None:
        """Sort siblings."""
        self.stale = True
        self._descending = descending
        if by is self._sort:
            return
        self._sort = by
        key = SORT_KEYS[by]
        for node in self._nodes.values():
            node.key = key(node.session)
        self._tops.sort(key=_key)
        for node in self._nodes.values():
            if len(node.children) > 1:
                node.children.sort(key=_key)

    @property
    def group_by(self) -> GroupBy:
        return self._group_by

    def set_group(self, by: GroupBy) -> None:
        """Put sessions together."""
        self._group_by = by
        self._closed_groups.clear()
        for node in self._nodes.values():
            node.group = group_of(node.session, by)
        self.stale = True

    def has_branch(self, row: Row) -> bool:
        """Whether something below the row could be seen if it were open."""
        if isinstance(row, Group):
            return True
        return any(self._stands_below(child, row) for child in row.children)

    def is_open(self, row: Row) -> bool:
        """Whether what is below the row is shown. A filter opens the way to everything that passes."""
        if isinstance(row, Group):
            return row.key not in self._closed_groups
        if self._filter.terms:
            return row.session.session_id not in self._closed_here
        return bool(row.opened)

    def set_open(self, row: Row, opened: bool) -> None:
        """Open or close one branch."""
        if isinstance(row, Group):
            (self._closed_groups.discard if opened else self._closed_groups.add)(row.key)
        elif self._filter.terms:
            (self._closed_here.discard if opened else self._closed_here.add)(row.session.session_id)
        else:
            row.opened = opened
        self.stale = True

    def open_below(self, row: Row | None, opened: bool = True) -> None:
        """Open or close a branch with all branches in it; None means everything."""
        if row is None or isinstance(row, Group):
            todo = list(self._tops) if row is None else [n for n in self._nodes.values() if n.group == row.key]
            for group in self._groups.values() if row is None else [row]:
                self.set_open(group, opened)
        else:
            todo = [row]
        while todo:
            node = todo.pop()
            if node.children:
                self.set_open(node, opened)
                todo.extend(node.children)
        self.stale = True

    def reveal(self, session_id: str) -> bool:
        """Open what hides a session; False if there is none or the filter hides it."""
        node = self._nodes.get(session_id)
        if node is None or (self._filter.terms and node.stamp != self._stamp):
            return False
        if self._group_by is not GroupBy.NONE and node.group in self._closed_groups:
            self._closed_groups.discard(node.group)
            self.stale = True
        above = node.parent
        while above is not None and above.group == node.group:
            if not self.is_open(above):
                self.set_open(above, True)
            above = above.parent
        return True

    def build(self, now: datetime, health: Mapping[str, ProviderHealth]) -> list[Row]:
        """The rows as they are to be seen now."""
        for row in self._rows:
            row.row = -1
        self._stamp += 1
        self._sift(now, health)
        rows: list[Row] = []
        self._groups = {}
        if self._group_by is GroupBy.NONE:
            self._walk(self._tops, 0, rows)
        else:
            self._walk_groups(rows)
        self._rows = rows
        self.stale = False
        return rows

    def _sift(self, now: datetime, health: Mapping[str, ProviderHealth]) -> None:
        """Stamp what passes the filter, with the way to it."""
        if not self._filter.terms:
            self._matches = len(self._nodes)
            return
        passes = self._passes = self._filter.check(now, health)
        stamp, matches, grouped = self._stamp, 0, self._group_by is not GroupBy.NONE
        for node in self._nodes.values():
            matched = node.matched = passes(node.session, node.haystack)
            if not matched:
                continue
            matches += 1
            up: Node | None = node
            while up is not None and up.stamp != stamp:
                up.stamp = stamp
                above = up.parent
                up = None if grouped and above is not None and above.group != up.group else above
        self._matches = matches

    def _stands_below(self, child: Node, parent: Node) -> bool:
        return child.group == parent.group and (not self._filter.terms or child.stamp == self._stamp)

    def _walk(self, tops: Sequence[Node], level: int, rows: list[Row]) -> None:
        if not tops:
            return
        sifted, stamp, is_open, group = bool(self._filter.terms), self._stamp, self.is_open, tops[0].group
        stack: list[Iterator[Node]] = [self._ordered(tops)]
        while stack:
            for node in stack[-1]:
                if (sifted and node.stamp != stamp) or node.group != group:
                    continue
                node.level = level + len(stack) - 1
                node.row = len(rows)
                rows.append(node)
                if node.children and is_open(node):
                    stack.append(self._ordered(node.children))
                    break
            else:
                stack.pop()

    def _ordered(self, siblings: Sequence[Node]) -> Iterator[Node]:
        return reversed(siblings) if self._descending else iter(siblings)

    def _walk_groups(self, rows: list[Row]) -> None:
        """A group's tops are its sessions whose parent is not in it."""
        tops: dict[tuple[int, str], list[Node]] = {}
        for node in self._nodes.values():
            if self._filter.terms and node.stamp != self._stamp:
                continue
            group = self._groups.get(node.group)
            if group is None:
                group = self._groups[node.group] = Group(node.group)
            if node.matched or not self._filter.terms:
                group.count += 1
                group.tally[node.severity] += 1
            if node.parent is None or node.parent.group != node.group:
                tops.setdefault(node.group, []).append(node)
        for key in sorted(self._groups):
            group = self._groups[key]
            group.row = len(rows)
            rows.append(group)
            if key not in self._closed_groups:
                self._walk(sorted(tops[key], key=_key), 1, rows)

    # -- asking

    @property
    def matches(self) -> int:
        """How many sessions pass the filter by themselves."""
        return self._matches

    def node(self, session_id: str) -> Node | None:
        """A session's node."""
        return self._nodes.get(session_id)

    def nodes(self) -> Iterable[Node]:
        """All nodes, in no order."""
        return self._nodes.values()

    def __len__(self) -> int:
        return len(self._nodes)


def _key(node: Node) -> SortKey:
    return node.key


def _spawned_at(session: AgentSession) -> datetime:
    return session.spawned_at


def _passes_all(_session: AgentSession, _haystack: str) -> bool:
    return True
