"""The tray's way to the control plane: it finds the one that runs, follows it, and finds it again; it never starts one.

Less is read than for a window: what lives comes with the workspace's stream, and only open questions are asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import structlog
from PySide6.QtCore import QObject, Signal

from mission_control_desktop.client.engine import EngineHost
from mission_control_desktop.client.inbox import WORKSPACE, InboxItem, Link, LinkState
from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.events import EventType, StreamEvent
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.bridge import Bridge
from mission_control_desktop.ui.connection import Connection
from mission_control_desktop.ui.sessions import SessionStore

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
LOST_AFTER = 3
"""Attempts of the stream to come back before the control plane is looked for elsewhere."""
MAX_ENDED = 500
"""Sessions that have ended and are still kept; a tray lives for weeks."""


class Following(QObject):
    """Feeds the store. `run` goes on until it is cancelled."""

    changed = Signal()
    """Something of `connected`, `problem` or `role` is different."""

    def __init__(self, folder: Path, url: str | None, host: EngineHost, bridge: Bridge, store: SessionStore) -> None:
        super().__init__()
        self._connection = Connection(host, folder, url=url, in_process=None, start=False)
        self._host, self._store = host, store
        self._tasks = Tasks(lambda name, error: log.error("tray task failed", task=name, exc_info=error))
        self._lost = asyncio.Event()
        self._refused = False
        self.connected = False
        self.problem = "looking for the control plane"
        self.role: Role | None = None
        bridge.listen(WORKSPACE, self._on_items)

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
            if await self._connection.find_again() is None:
                return  # the same one: its stream comes back by itself
        else:
            await self._connection.reach(lambda _text: None)
        self._store.replace_live([])
        self._host.open_workspace()
        me = await self._host.call(lambda mc: mc.me())
        self.role = me.role
        await self._read_approvals()
        await self._read_failures()
        self.changed.emit()

    async def _read_approvals(self) -> None:
        found = await self._host.call(lambda mc: mc.approvals(state=ApprovalState.OPEN))
        self._store.replace_approvals(found.items)

    async def _read_failures(self) -> None:
        """What failed before needs a person still; the stream brings only what lives."""
        found = await self._host.call(lambda mc: mc.sessions(status=SessionStatus.FAILED, limit=MAX_ENDED))
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
                self._store.replace_live([])
                self._tasks.start(self._try_approvals(), name="open questions")
            else:
                events.append(item.event)
        if events:
            self._store.apply(events)
        if len(self._store.sessions) - self._store.live_count > MAX_ENDED:
            failed = [s for s in self._store.sessions.values() if s.status is SessionStatus.FAILED]
            self._store.replace_live([*self._store.live(), *failed[-MAX_ENDED // 2 :]])

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
