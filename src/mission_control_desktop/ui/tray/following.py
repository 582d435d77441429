"""The tray's way to a control plane: it finds the one that runs, follows it, and finds it again; it never starts one.

Less is read than for a window: what lives comes with the workspace's stream, and only open questions are asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec
import structlog
from PySide6.QtCore import QObject, Signal

from mission_control_desktop.client.engine import EngineHost
from mission_control_desktop.client.fleet import plane_of, workspace_topic
from mission_control_desktop.client.inbox import InboxItem, Link, LinkState
from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.errors import MissionControlError, Unavailable
from mission_control_desktop.domain.events import EventType, StreamEvent
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.providers import REMOVED
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.bridge import Bridge
from mission_control_desktop.ui.connection import Connection
from mission_control_desktop.ui.roles import watching
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.tray.entry import LOOKING, Followed

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
LOST_AFTER = 3
"""Attempts of the stream to come back before the control plane is looked for elsewhere."""
MAX_ENDED = 500
"""Sessions that have ended and are still kept; a tray lives for weeks."""


class Following(QObject):
    """Feeds the store with one control plane. `run` goes on until it is cancelled."""

    changed = Signal()
    """Something of `connected`, `problem` or `role` is different."""

    def __init__(
        self,
        key: str,
        connection: Connection,
        host: EngineHost,
        bridge: Bridge,
        store: SessionStore,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.key = key
        self.connection = connection
        self._host, self._store, self._bridge = host, store, bridge
        self._gateway = host.plane(key)
        self._tasks = Tasks(lambda name, error: log.error("tray task failed", task=name, exc_info=error))
        self._lost = asyncio.Event()
        self._refused = False
        self.connected = False
        self.problem = LOOKING
        self.role: Role | None = None
        bridge.listen(workspace_topic(key), self._on_items)

    @property
    def title(self) -> str:
        """What a person calls it."""
        return self.connection.title

    @property
    def followed(self) -> Followed:
        """As the entry shows it."""
        return Followed(self.key, self.title, self.connected, self.problem, self.refusal)

    @property
    def refusal(self) -> str:
        """Why the person may not stop anything there; empty where they may, and while that is not known."""
        return watching(self.role, self.key)

    async def run(self) -> None:
        """Connect, and again whenever it is lost."""
        again = False
        try:
            while True:
                try:
                    await self._connect(again=again)
                except MissionControlError as error:
                    self._set(connected=False, problem=error.message)
                    again = False
                    await asyncio.sleep(LOOK_SECONDS)
                    continue
                again = True
                await self._lost.wait()
                self._lost.clear()
                if self._refused:
                    # The feed has ended for good: with the token that is there now, a new one is begun.
                    self._refused, again = False, False
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._tasks.close()

    async def _connect(self, *, again: bool) -> None:
        if again:
            if await self.connection.find_again() is None:
                return  # the same one: its stream comes back by itself
        else:
            await self.connection.reach(lambda _text: None)
        self._replace([])
        self._host.open_workspace(self.key)
        me = await self._gateway.call(lambda mc: mc.me())
        self.role = me.role
        await self._read_approvals()
        await self._read_failures()
        self.changed.emit()

    async def _read_approvals(self) -> None:
        found = await self._gateway.call(lambda mc: mc.approvals(state=ApprovalState.OPEN))
        self._store.replace_approvals(found.items, plane=self.key)

    async def _read_failures(self) -> None:
        """What failed before needs a person still; the stream brings only what lives."""
        found = await self._gateway.call(lambda mc: mc.sessions(status=SessionStatus.FAILED, limit=MAX_ENDED))
        self._store.put(found.items)

    async def _try_approvals(self) -> None:
        try:
            await self._read_approvals()
            await self._read_failures()
        except MissionControlError as error:
            log.warning("open questions not read", error=error.message)

    def _on_items(self, items: Sequence[InboxItem]) -> None:
        events: list[StreamEvent] = []
        for item in items:
            if isinstance(item.event, Link):
                self._on_link(item.event)
            elif item.event.type is EventType.RESET:
                # The stream begins anew, with everything that lives.
                events.clear()
                self._replace([])
                self._tasks.start(self._try_approvals(), name="open questions")
            else:
                events.append(item.event)
        if events:
            self._store.apply(events, plane=self.key)
        store = self._store
        if len(store.sessions) - store.live_count > MAX_ENDED:
            failed = [session for session in store.sessions.values() if session.status is SessionStatus.FAILED]
            store.replace_live([*store.live(), *failed[-MAX_ENDED // 2 :]])

    def _replace(self, sessions: Sequence[AgentSession]) -> None:
        """These are its sessions now; those of other control planes stay."""
        others = [s for s in self._store.sessions.values() if plane_of(s.session_id) != self.key]
        self._store.replace_live([*others, *sessions])

    async def leave(self) -> None:
        """Let go of it, after `run` was cancelled, and of all that was known of it. Nothing ends there."""
        self._bridge.forget(workspace_topic(self.key))
        with contextlib.suppress(Unavailable):  # the engine never ran
            await self._host.disconnect(self.key)
        self._replace([])
        self._store.replace_approvals([], plane=self.key)
        gone = [health for health in self._store.health.values() if plane_of(health.provider) == self.key]
        self._store.put([msgspec.structs.replace(health, state=REMOVED) for health in gone])

    def _on_link(self, link: Link) -> None:
        match link.state:
            case LinkState.CONNECTED:
                if not self.connected and self.role is not None:
                    self._tasks.start(self._try_approvals(), name="open questions")
                self._set(connected=True, problem="")
            case LinkState.RECONNECTING:
                self._set(connected=False, problem=link.error or "the connection was lost")
                if link.attempt >= LOST_AFTER:
                    self._lost.set()
            case LinkState.REFUSED:
                self._set(connected=False, problem=f"The control plane refused the connection: {link.error}")
                self._refused = True
                self._lost.set()
            case LinkState.CONNECTING:
                return

    def _set(self, *, connected: bool, problem: str) -> None:
        if (connected, problem) != (self.connected, self.problem):
            self.connected, self.problem = connected, problem
            self.changed.emit()
