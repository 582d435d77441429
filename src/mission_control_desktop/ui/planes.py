"""The control planes of this window: which there are, who the person is on each, and how the way to it is doing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog
from PySide6.QtCore import QObject, Signal

from mission_control_desktop.client.engine import EngineHost
from mission_control_desktop.client.fleet import HOME, plane_of, workspace_topic
from mission_control_desktop.client.inbox import InboxItem, Link, LinkState
from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.events import EventType, ProviderHealth, StopChannel, StreamEvent
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.providers import REMOVED
from mission_control_desktop.domain.sessions import AgentSession, Freshness
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import words
from mission_control_desktop.ui.bridge import Bridge
from mission_control_desktop.ui.connection import Connection, Reached
from mission_control_desktop.ui.error_words import unread
from mission_control_desktop.ui.health_words import degraded, record_words
from mission_control_desktop.ui.plane_reading import Extent, find_sessions, read_sessions
from mission_control_desktop.ui.provider_words import UNREACHABLE
from mission_control_desktop.ui.roles import watching
from mission_control_desktop.ui.sessions import SessionStore

log = structlog.get_logger(__name__)

MAX_FOUND = 5_000
"""Sessions beyond the reading's limit that are held because somebody looked for them."""
HEALTH_SECONDS = 10.0
AWAY_AFTER = 2
"""Attempts of the workspace's stream to come back before its sessions count as unreachable."""
TRY_SECONDS = 5.0
"""Pause before a control plane that could not be reached at all is tried again."""

_replace = msgspec.structs.replace


class Plane(QObject):
    """One control plane: reads it into the store, follows it, and says how that goes."""

    ready = Signal()
    """Everything there was read, for the first time or anew."""
    changed = Signal()
    """Something that is said of it is different."""
    link_changed = Signal(object)
    """A `Link`: how the workspace's stream is doing."""
    extent_changed = Signal()
    """More of its sessions was read, or all of them."""
    failed = Signal(str)
    """In words for a person: it could not be read again."""

    def __init__(
        self,
        key: str,
        host: EngineHost,
        connection: Connection,
        store: SessionStore,
        bridge: Bridge,
        tasks: Tasks,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.key = key
        self.connection = connection
        self.gateway = host.plane(key)
        self._host, self._store, self._tasks, self._bridge = host, store, tasks, bridge
        self.several = False
        """Whether the window is on others, too."""
        self.where = ""
        self.role: Role | None = None
        self.user = ""
        self.version = ""
        self.record = ""
        """How its record is doing, in words."""
        self.degraded: str | None = None
        self.link: Link | None = None
        self.problem = ""
        """Why it is not connected, where the stream was never opened."""
        self.away_since: datetime | None = None
        self.extent = Extent()
        """How many of its sessions are here."""
        self._found = 0
        self._health_task: asyncio.Task[Any] | None = None
        self._trying: asyncio.Task[Any] | None = None
        self._once_more = False
        self._before: dict[str, tuple[AgentSession, AgentSession]] = {}
        self._health_before: dict[str, tuple[ProviderHealth, ProviderHealth]] = {}
        bridge.listen(workspace_topic(key), self._on_items)

    @property
    def title(self) -> str:
        """What a person calls it."""
        return self.connection.title

    @property
    def here(self) -> bool:
        """Whether its agents are on this computer, as far as its address tells."""
        return self.connection.here

    @property
    def name(self) -> str:
        """Its title where there are several; nothing needs saying where it is the only one."""
        return self.title if self.several else ""

    @property
    def connected(self) -> bool:
        """Whether its events come in."""
        return self.link is not None and self.link.state is LinkState.CONNECTED

    @property
    def may_act(self) -> bool:
        """Whether the person may intervene there. Until that is known nothing is withheld: the control plane judges."""
        return self.role is not Role.OBSERVER

    @property
    def refusal(self) -> str:
        """Why the person may not intervene; empty where they may."""
        return watching(self.role, self.name)

    # -- coming and going

    async def follow(self, reached: Reached) -> None:
        """Follow a control plane that was just connected, and read what is there. Raises the tree of
        `domain.errors`."""
        self.where, self.problem = reached.where, ""
        self._host.open_workspace(self.key)
        me = await self.gateway.call(lambda mc: mc.me())
        self.role, self.user = me.role, me.user_id
        await self.read_all()
        if self._health_task is None:
            self._health_task = self._tasks.start(self._watch_health(), name="health")
        self.changed.emit()
        self.ready.emit()

    def keep_trying(self) -> None:
        """Connect in the background, again and again until it is there; for those that are not home. Once more, with
        the token that is kept now, if that is under way."""
        self._once_more = True
        if self._trying is None or self._trying.done():
            self._trying = self._tasks.start(self._try(), name=f"connect {self.key}")

    async def _try(self) -> None:
        while self._once_more:
            self._once_more = False
            try:
                await self.follow(await self.connection.reach(lambda _text: None))
            except MissionControlError as error:
                self.problem = error.message
                self.changed.emit()
                self._once_more = True
                await asyncio.sleep(TRY_SECONDS)

    async def leave(self) -> None:
        """Let go of it, and of everything that was known of it here. Nothing ends there."""
        for task in (self._trying, self._health_task):
            if task is not None:
                task.cancel()
        self._bridge.forget(workspace_topic(self.key))
        await self._host.disconnect(self.key)
        store = self._store
        store.replace_live([s for s in store.sessions.values() if plane_of(s.session_id) != self.key])
        store.replace_approvals([], plane=self.key)
        gone = [h for h in store.health.values() if plane_of(h.provider) == self.key]
        store.put([_replace(health, state=REMOVED) for health in gone])

    # -- reading

    async def read_all(self) -> None:
        """Read the sessions and what is asked of persons. Raises the tree of `domain.errors`."""
        try:
            await read_sessions(self.gateway, self._take_read, self._set_extent)
        finally:
            if self.extent.reading:  # broken off: what was read stays, and nothing claims to go on
                self._set_extent(_replace(self.extent, reading=False))
        approvals = await self.gateway.call(lambda mc: mc.approvals(state=ApprovalState.OPEN))
        self._store.replace_approvals(approvals.items, plane=self.key)

    def _set_extent(self, extent: Extent) -> None:
        self.extent = extent
        self.extent_changed.emit()

    async def find_older(self, text: str) -> str:
        """Ask the control plane for sessions with these words that were not read, and hold them; what came of it, in
        words. Raises the tree of `domain.errors`."""
        if self._found >= MAX_FOUND:
            return f"No more than {MAX_FOUND:,} older sessions are held: start the window again to look for others."
        page = await find_sessions(self.gateway, text)
        new = [session for session in page.items if session.session_id not in self._store.sessions]
        self._found += len(new)
        self._take_read(new)
        more = " There are more: look for something that fewer have." if page.next_cursor is not None else ""
        if not new:
            return f"No older session was found.{more}"
        return f"{words.plural(len(new), 'older session')} found.{more}"

    def _take_read(self, sessions: Sequence[AgentSession]) -> None:
        """A page may be older than what the stream has brought meanwhile: the newer evidence counts."""
        fresh = []
        for session in sessions:
            known = self._store.sessions.get(session.session_id)
            if known is None or known.evidence.last_event_at <= session.evidence.last_event_at:
                fresh.append(session)
        self._store.put(fresh)

    async def _read_again(self) -> None:
        try:
            await self.read_all()
        except MissionControlError as error:
            self.failed.emit(
                f"{unread(f'The sessions of {self.title} could not be read again', error)} They are read anew when the "
                "connection comes back."
            )

    def _on_items(self, items: Sequence[InboxItem]) -> None:
        events: list[StreamEvent] = []
        for item in items:
            if isinstance(item.event, Link):
                self._on_link(item.event)
            elif item.event.type is EventType.RESET:
                self._tasks.start(self._read_again(), name="read again")
            else:
                events.append(item.event)
        if events:
            self._store.apply(events, plane=self.key)

    # -- how the way there is doing

    def _on_link(self, link: Link) -> None:
        was, self.link = self.link, link
        if link.state is LinkState.CONNECTED:
            self._mark_back()
            if was is not None and was.state is LinkState.RECONNECTING:
                self._tasks.start(self._read_again(), name="read again")
        elif link.state is LinkState.REFUSED or (link.state is LinkState.RECONNECTING and link.attempt >= AWAY_AFTER):
            self._mark_away()
        self.changed.emit()
        self.link_changed.emit(link)

    def _mark_away(self) -> None:
        """Nothing is known of its sessions any more but what was: they are drawn so, with the age of what is known."""
        if self.away_since is not None:
            return
        self.away_since = words.utc_now()
        why = f"The control plane {self.key} is away." if self.key else "The control plane is away."
        for session in self._mine(self._store.live()):
            evidence = _replace(session.evidence, freshness=Freshness.UNREACHABLE)
            self._before[session.session_id] = (session, _replace(session, evidence=evidence))
        for health in self._store.health.values():
            if plane_of(health.provider) == self.key:
                away = ProviderHealth(
                    provider=health.provider,
                    state=UNREACHABLE,
                    detail=why,
                    stop=StopChannel(detail=why),
                    since=self.away_since,
                )
                self._health_before[health.provider] = (health, away)
        self._store.put([*(now for _, now in self._before.values()), *(now for _, now in self._health_before.values())])

    def _mark_back(self) -> None:
        """What was marked and has not changed since is as it was; the stream and the record say the rest."""
        if self.away_since is None:
            return
        self.away_since = None
        sessions, health = self._store.sessions, self._store.health
        back: list[object] = [old for key, (old, marked) in self._before.items() if sessions.get(key) is marked]
        back += [old for key, (old, marked) in self._health_before.items() if health.get(key) is marked]
        self._before, self._health_before = {}, {}
        self._store.put(back)

    def _mine(self, sessions: Iterable[AgentSession]) -> list[AgentSession]:
        return [session for session in sessions if plane_of(session.session_id) == self.key]

    async def _watch_health(self) -> None:
        while True:
            try:
                health = await self.gateway.call(lambda mc: mc.health())
            except MissionControlError:
                # The stream's own link says that it is away.
                self.degraded, self.record = None, "record: not known"
            else:
                self.version = health.version
                self.degraded, self.record = degraded(health), record_words(health)
            self.changed.emit()
            await asyncio.sleep(HEALTH_SECONDS)


class Planes(QObject):
    """All of them, home first."""

    changed = Signal()
    """One came or went, or something that is said of one is different."""
    came_or_went = Signal()
    ready = Signal(object)
    """A `Plane` was read."""
    extent_changed = Signal()
    link_changed = Signal(object, object)
    """A `Plane` and its `Link`."""
    failed = Signal(str)

    def __init__(
        self, host: EngineHost, home: Connection, store: SessionStore, bridge: Bridge, tasks: Tasks, parent: QObject
    ) -> None:
        super().__init__(parent)
        self.host = host
        self._store, self._bridge, self._tasks = store, bridge, tasks
        self._planes: dict[str, Plane] = {}
        self.home = self.add(HOME, home)

    def __iter__(self) -> Any:
        return iter(tuple(self._planes.values()))

    def __len__(self) -> int:
        return len(self._planes)

    def add(self, key: str, connection: Connection) -> Plane:
        """One more; `follow` or `keep_trying` brings it in."""
        plane = Plane(key, self.host, connection, self._store, self._bridge, self._tasks, self)
        self._planes[key] = plane
        self._count()
        plane.changed.connect(self.changed)
        plane.failed.connect(self.failed)
        plane.extent_changed.connect(self.extent_changed)
        plane.ready.connect(lambda: self.ready.emit(plane))
        plane.link_changed.connect(lambda link: self.link_changed.emit(plane, link))
        self.changed.emit()
        self.came_or_went.emit()
        return plane

    async def remove(self, key: str) -> None:
        """Let go of one that is not home."""
        plane = self._planes.pop(key)
        self._count()
        await plane.leave()
        plane.deleteLater()
        self.changed.emit()
        self.came_or_went.emit()

    def _count(self) -> None:
        for plane in self:
            plane.several = len(self) > 1

    def get(self, key: str) -> Plane | None:
        """The one of that name."""
        return self._planes.get(key)

    def of(self, identifier: str) -> Plane | None:
        """The one that a session (approval, kill, provider) belongs to; None if it is not connected to this window."""
        return self._planes.get(plane_of(identifier))

    def may_act(self, identifier: str) -> bool:
        """Whether the person may intervene in a session."""
        plane = self.of(identifier)
        return plane is not None and plane.may_act

    def refusal(self, identifier: str) -> str:
        """Why they may not; empty where they may."""
        plane = self.of(identifier)
        return "This window is not connected to its control plane" if plane is None else plane.refusal

    @property
    def any_may_act(self) -> bool:
        """Whether there is anything here that the person may intervene in."""
        return any(plane.may_act for plane in self)

    @property
    def extent(self) -> Extent:
        """How many sessions of all of them are here."""
        return Extent.of_all(plane.extent for plane in self)

    async def find_older(self, text: str) -> str:
        """Ask those of which not all was read; what came of it, in words. Raises the tree of `domain.errors`."""
        asked = [plane for plane in self if plane.extent.left_out]
        told = [(plane.title, await plane.find_older(text)) for plane in asked]
        return told[0][1] if len(told) == 1 else "\n".join(f"{title}: {said}" for title, said in told)
