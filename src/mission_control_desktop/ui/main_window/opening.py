"""Which sessions have a panel: opened by hand, by a drop, by themselves; what was closed by hand stays closed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import QObject, Signal

from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, WaitingFor
from mission_control_desktop.ui.attention import Attention
from mission_control_desktop.ui.main_window.docks import PanelGrid
from mission_control_desktop.ui.main_window.dropping import DropTarget
from mission_control_desktop.ui.sessions import SessionStore

AUTO_OPEN = 6
"""Panels of root sessions that are at work open by themselves up to so many."""
MAX_REMEMBERED_CLOSED = 500


class Opening(QObject):
    """Opens and closes panels of the grid as sessions come and persons ask."""

    panels_wanted = Signal()
    """Somebody asked for a panel: the page with the panels is to be seen."""
    told = Signal(str, int)
    """Words for the status bar, and for how long (milliseconds)."""
    opened_by_name = Signal(str)
    """Somebody opened this session: its panel is to stay."""
    changed = Signal()
    """The set of open panels is another one."""

    def __init__(
        self, store: SessionStore, attention: Attention, panels: PanelGrid, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._store, self._attention, self._panels = store, attention, panels
        self._closed_by_hand: dict[str, None] = {}
        self._known_roots: set[str] = set()
        """Those that had their turn to open by themselves."""
        self.quiet = False
        """The window closes: what closes with it was not closed by a person."""
        panels.panel_opened.connect(self._on_panel_opened)
        panels.panel_closed.connect(self._on_panel_closed)
        panels.sessions_dropped.connect(self._on_dropped)
        store.sessions_changed.connect(self._on_sessions)
        store.sessions_removed.connect(self._known_roots.difference_update)

    def open_session(self, session_id: str, target: DropTarget | None = None) -> None:
        """Open a session's panel, where it was dropped if it was, and go there."""
        session = self._store.sessions.get(session_id)
        if session is None:
            return
        self._closed_by_hand.pop(session_id, None)
        self.panels_wanted.emit()
        self._panels.open(session, target=target)
        self.opened_by_name.emit(session_id)

    def open_sessions(self, session_ids: Sequence[str]) -> None:
        """Open several, the last one in front."""
        known = [i for i in session_ids if i in self._store.sessions]
        for session_id in known[:-1]:
            self._closed_by_hand.pop(session_id, None)
        if len(known) > 1:
            self.panels_wanted.emit()
            self._panels.open_all([self._store.sessions[i] for i in known])
            for session_id in known[:-1]:
                self.opened_by_name.emit(session_id)
        for session_id in known[-1:]:
            self.open_session(session_id)

    def open_live(self) -> None:
        """Open what runs: root sessions, up to six."""
        roots = [s for s in self._store.live() if s.parent_session_id is None] or self._store.live()
        self.open_sessions([session.session_id for session in roots[:AUTO_OPEN]])

    def next_attention(self) -> None:
        """Go to the next session in the queue of what needs a person; without one, to the one that has waited longest
        for words. The queue names providers too; those are opened from its pane."""
        wanted = self._attention.sessions() or self._store.idle()
        if not wanted:
            self.told.emit("Nothing needs you.", 4000)
            return
        current = self._panels.current_id
        start = wanted.index(current) + 1 if current in wanted else 0
        self.open_session(wanted[start % len(wanted)])

    def close_ended(self) -> None:
        """Close the panels of sessions that have ended."""
        for session_id in self._panels.open_ids():
            session = self._store.sessions.get(session_id)
            if session is not None and session.status.final:
                self._panels.close_panel(session_id)

    # -- remembering

    def closed_by_hand(self) -> list[str]:
        """Sessions whose panel a person closed: it does not open again by itself."""
        return list(self._closed_by_hand)

    def set_closed_by_hand(self, session_ids: Iterable[str]) -> None:
        """Take what was remembered."""
        self._closed_by_hand = dict.fromkeys(session_ids)

    # -- from outside

    def _on_dropped(self, session_ids: list[str], target: DropTarget | None) -> None:
        """The first one splits what it was dropped on; the others join its tabs."""
        for number, session_id in enumerate(session_ids):
            self.open_session(session_id, target)
            if number == 0 and target is not None and (area := self._panels.area_of(session_id)) is not None:
                target = DropTarget(area, "tabs")

    def _on_sessions(self, session_ids: list[str]) -> None:
        wanted: list[AgentSession] = []
        for session_id in session_ids:
            session = self._store.sessions.get(session_id)
            if session is None:
                continue
            if self._panels.has(session_id):
                self._panels.show_session(session)
            elif self._opens_by_itself(session, self._panels.count + len(wanted)):
                wanted.append(session)
        self._panels.open_all(wanted)
        self.changed.emit()

    def _opens_by_itself(self, session: AgentSession, count: int) -> bool:
        known = session.session_id in self._known_roots
        if session.parent_session_id is not None or known or not _at_work(session):
            return False
        self._known_roots.add(session.session_id)
        return count < AUTO_OPEN and session.session_id not in self._closed_by_hand

    def _on_panel_opened(self, session_id: str) -> None:
        self._known_roots.add(session_id)
        if session_id in self._store.sessions:
            self._panels.show_session(self._store.sessions[session_id])
        self.changed.emit()

    def _on_panel_closed(self, session_id: str) -> None:
        self._closed_by_hand[session_id] = None
        for old in list(self._closed_by_hand)[:-MAX_REMEMBERED_CLOSED]:
            del self._closed_by_hand[old]
        self.changed.emit()
        if not self.quiet:
            self.told.emit("Panel closed. Its session goes on; open it again from the roster.", 6000)


def _at_work(session: AgentSession) -> bool:
    """Whether it runs, or waits for its agents or for a person's leave. What rests is not put before anybody: a gateway
    may have hundreds of sessions that have not been spoken to for weeks."""
    match session.status:
        case SessionStatus.SPAWNING | SessionStatus.RUNNING:
            return True
        case SessionStatus.WAITING:
            return session.waiting_for in (WaitingFor.APPROVAL, WaitingFor.CHILDREN)
    return False
