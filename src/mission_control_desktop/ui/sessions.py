"""The window's one copy of what its control planes say: sessions, approvals, kills and provider health.

Fed with batches on the GUI thread; everything that shows sessions listens here and asks no one else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from PySide6.QtCore import QObject, Signal

from mission_control_desktop.client.fleet import plane_of
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.audit import AuditEntry
from mission_control_desktop.domain.events import ProviderHealth, StreamEvent
from mission_control_desktop.domain.kill import KillAll
from mission_control_desktop.domain.providers import REMOVED
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, WaitingFor
from mission_control_desktop.ui import words


class SessionStore(QObject):
    """Sessions by id, in order of arrival. Signals come once per batch, after the state is complete."""

    sessions_changed = Signal(object)
    """Ids (list of str) of sessions that are new or different: one list for all who listen, as it is. As `list`, Qt
    would copy it id by id for each of them."""
    sessions_removed = Signal(object)
    """Ids (list of str)."""
    approvals_changed = Signal()
    kill_changed = Signal(str)
    provider_changed = Signal(str)
    audit_arrived = Signal(list, str)
    """New `AuditEntry` rows, and the name of the control plane whose log they are in."""
    receipts_arrived = Signal(list)
    """`Receipt`s of messages into any session, as they change."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.sessions: dict[str, AgentSession] = {}
        self.approvals: dict[str, Approval] = {}
        self.kills: dict[str, KillAll] = {}
        self.health: dict[str, ProviderHealth] = {}
        self.counts: Counter[SessionStatus] = Counter()
        self.demo_count = 0
        """Sessions of the demo mission that have not ended."""
        self._children: dict[str, set[str]] = {}
        self._live: dict[str, None] = {}
        """Ids of sessions that have not ended: what looks at them again and again does not go through all."""

    # -- feeding

    def apply(self, events: Iterable[StreamEvent], *, plane: str = "") -> None:
        """Take a batch of events of a control plane's workspace."""
        self.put((event.data for event in events), plane=plane)

    def put(self, items: Iterable[object], *, plane: str = "") -> None:
        """Take records as they are; the last one of an id wins. Other records (messages, deltas) are not ours."""
        changed: dict[str, None] = {}
        kills: dict[str, None] = {}
        providers: dict[str, None] = {}
        audit: list[AuditEntry] = []
        receipts: list[Receipt] = []
        approvals = False
        for item in items:
            if isinstance(item, AgentSession):
                if self._put_session(item):
                    changed[item.session_id] = None
            elif isinstance(item, Approval):
                approvals = True
                if item.state is ApprovalState.OPEN:
                    self.approvals[item.approval_id] = item
                else:
                    self.approvals.pop(item.approval_id, None)
            elif isinstance(item, KillAll):
                self.kills[item.kill_id] = item
                kills[item.kill_id] = None
            elif isinstance(item, ProviderHealth):
                if item.state == REMOVED:
                    self.health.pop(item.provider, None)
                else:
                    self.health[item.provider] = item
                providers[item.provider] = None
            elif isinstance(item, AuditEntry):
                audit.append(item)
            elif isinstance(item, Receipt):
                receipts.append(item)
        if changed:
            self.sessions_changed.emit(list(changed))
        if approvals:
            self.approvals_changed.emit()
        for kill_id in kills:
            self.kill_changed.emit(kill_id)
        for provider in providers:
            self.provider_changed.emit(provider)
        if audit:
            self.audit_arrived.emit(audit, plane)
        if receipts:
            self.receipts_arrived.emit(receipts)

    def put_answer(self, known: AgentSession | None, answer: AgentSession) -> None:
        """Take what an order was answered with. `known` is what was known of the session when the order went out: if
        the stream has told something since, that counts, for what comes there comes in order, and an answer that was
        on its way meanwhile may be older (a session that has ended would wait again, for ever)."""
        if self.sessions.get(answer.session_id) is known:
            self.put([answer])

    def _put_session(self, session: AgentSession) -> bool:
        old = self.sessions.get(session.session_id)
        if old == session:
            return False
        self.demo_count += _live_demo(session) - _live_demo(old)
        if old is not None:
            self.counts[old.status] -= 1
            if old.parent_session_id and old.parent_session_id != session.parent_session_id:
                self._children.get(old.parent_session_id, set()).discard(session.session_id)
        self.counts[session.status] += 1
        if session.status.final:
            self._live.pop(session.session_id, None)
        else:
            self._live[session.session_id] = None
        self.sessions[session.session_id] = session
        if session.parent_session_id:
            self._children.setdefault(session.parent_session_id, set()).add(session.session_id)
        return True

    def replace_live(self, items: Iterable[AgentSession]) -> None:
        """Take a full reading of the control plane: sessions that it no longer has are dropped."""
        sessions = list(items)
        keep = {session.session_id for session in sessions}
        gone = [session_id for session_id in self.sessions if session_id not in keep]
        for session_id in gone:
            session = self.sessions.pop(session_id)
            self._live.pop(session_id, None)
            self.demo_count -= _live_demo(session)
            self.counts[session.status] -= 1
            if session.parent_session_id:
                self._children.get(session.parent_session_id, set()).discard(session_id)
        if gone:
            self.sessions_removed.emit(gone)
        self.put(sessions)

    def replace_approvals(self, items: Iterable[Approval], *, plane: str = "") -> None:
        """Take the full list of a control plane's open approvals."""
        others = {key: a for key, a in self.approvals.items() if plane_of(a.session_id) != plane}
        self.approvals = others | {a.approval_id: a for a in items if a.state is ApprovalState.OPEN}
        self.approvals_changed.emit()

    # -- asking

    def sub_agents(self, session_id: str) -> list[AgentSession]:
        """Direct sub-agents, in no order."""
        return [self.sessions[c] for c in self._children.get(session_id, ()) if c in self.sessions]

    def descendants(self, session_id: str) -> list[AgentSession]:
        """All sessions below one; safe against loops in what was reported."""
        found: dict[str, AgentSession] = {}
        todo = [session_id]
        while todo:
            for child in self.sub_agents(todo.pop()):
                if child.session_id not in found and child.session_id != session_id:
                    found[child.session_id] = child
                    todo.append(child.session_id)
        return list(found.values())

    @property
    def live_count(self) -> int:
        """How many sessions have not ended."""
        return sum(count for status, count in self.counts.items() if not status.final)

    def live(self, provider: str | None = None) -> list[AgentSession]:
        """Sessions that have not ended, of one provider or of all."""
        found = (self.sessions[session_id] for session_id in self._live)
        return [session for session in found if provider is None or session.provider == provider]

    def idle(self) -> list[str]:
        """Ids of sessions that wait for an operator's words, longest first."""
        waiting = [s for s in self.live() if s.status is SessionStatus.WAITING and s.waiting_for is WaitingFor.OPERATOR]
        return [s.session_id for s in sorted(waiting, key=lambda s: s.evidence.last_event_at)]


def _live_demo(session: AgentSession | None) -> int:
    return int(session is not None and not session.status.final and words.is_demo(session))
