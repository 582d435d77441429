"""Makes panels, gives each its session's stream, and takes it away again when the panel closes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget

from mission_control_desktop.client.inbox import InboxItem, Link, LinkState
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.events import EventType, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import Page
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.bridge import Bridge
from mission_control_desktop.ui.error_words import unread
from mission_control_desktop.ui.panel.at_time import page_at
from mission_control_desktop.ui.panel.port import DraftStore, PanelPort, PlaceStore
from mission_control_desktop.ui.planes import Plane, Planes
from mission_control_desktop.ui.ports import SessionFeeds
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.transcript.place import ReadingPlace

if TYPE_CHECKING:
    from mission_control_desktop.ui.panel.panel import OrchestratorPanel

log = structlog.get_logger(__name__)

Reading = tuple[ReadingPlace | None, Awaitable[Page[AgentMessage]]]
"""The place where the reader was, and the page around it (or the newest) that is on its way."""

BEFORE_PLACE = 100
AROUND_PLACE = 500
"""Messages read around the place where a reader was: so many from that many before it on."""
REPLAY = 200
"""Messages read at first, and repeated by the stream when it opens."""


class Panels(QObject):
    """Live panels by session id. The store brings what is known of a session, its own stream brings its words."""

    session_wanted = Signal(str)
    menu_wanted = Signal(str, object)
    """A panel's menu is about to be shown: its session and the menu, to be filled further."""

    def __init__(
        self,
        store: SessionStore,
        port: PanelPort,
        drafts: DraftStore,
        places: PlaceStore,
        feeds: SessionFeeds,
        planes: Planes,
        bridge: Bridge,
        tasks: Tasks,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._store, self._port, self._drafts = store, port, drafts
        self._places = places
        self._feeds, self._bridge, self._tasks = feeds, bridge, tasks
        self._live: dict[str, OrchestratorPanel] = {}
        self._filling: dict[str, asyncio.Task[Any]] = {}
        self._moments: dict[str, datetime] = {}
        self._planes = planes
        store.sessions_changed.connect(self._on_sessions)
        store.approvals_changed.connect(self._on_approvals)
        planes.came_or_went.connect(self._on_planes)

    def make(self, session: AgentSession) -> QWidget:
        """A panel for a session, its stream opened."""
        # Here, and not above: what a panel needs takes longer to import than all of the first paint.
        from mission_control_desktop.ui.panel.panel import OrchestratorPanel

        session_id = session.session_id
        connected = self._reached(session_id)
        # Asked for before the panel is made: the control plane answers meanwhile.
        coming = self._begin_reading(session_id) if connected and session_id not in self._moments else None
        panel = OrchestratorPanel(session, self._port, self._drafts, may_act=self._planes.may_act(session_id))
        panel.set_may_act(self._planes.may_act(session_id), self._planes.refusal(session_id))
        panel.session_wanted.connect(self.session_wanted)
        panel.menu_about_to_show.connect(partial(self.menu_wanted.emit, session_id))
        self._live[session_id] = panel
        panel.set_below(self._store.descendants(session_id))
        panel.set_approvals(self._store.approvals.values())
        panel.set_connection(connected)
        self._bridge.listen(session_id, lambda items: self._on_items(session_id, items))
        panel.start()
        if connected:
            self._start_filling(panel, coming)
        return panel

    def _begin_reading(self, session_id: str, *, again: bool = False) -> Reading:
        """What is read at first: around the place where the reader was, or else the newest."""
        place = None if again else self._places.load(session_id)
        if place is None:
            coming = self._port.messages(session_id, limit=REPLAY)
        else:
            coming = self._port.messages(session_id, limit=AROUND_PLACE, after=_before(place))
        return place, coming

    def _start_filling(self, panel: OrchestratorPanel, coming: Reading | None = None) -> None:
        self._filling[panel.session_id] = self._tasks.start(self._fill(panel, coming), name="open panel")

    async def _fill(self, panel: OrchestratorPanel, coming: Reading | None) -> None:
        """History first, then the stream, whose replay overlaps it: messages are known by their ids. Who left the
        session while reading comes back there."""
        session_id = panel.session_id
        if session_id in self._moments:
            await self._go_to(panel, self._moments.pop(session_id))
            if self._live.get(session_id) is panel:
                self._feeds.open_session(session_id)
            return
        place, page_coming = coming or self._begin_reading(session_id, again=bool(panel.model.rowCount()))
        try:
            page = await page_coming
        except MissionControlError as error:
            log.warning("history not read", session=session_id, error=error.message)
            panel.presenter.failed.emit("history", unread("What was said before could not be read", error))
        else:
            if self._live.get(session_id) is panel:
                more = page.next_cursor is not None
                if place is None:
                    panel.load(page.items, has_older=more)
                else:
                    panel.resume(page.items, place, has_older=_before(place) > 0, has_newer=more)
        if self._live.get(session_id) is panel:
            self._feeds.open_session(session_id)

    def show_at(self, session_id: str, moment: datetime) -> None:
        """Show a session's panel where its record is nearest to a moment: now if it is open, else when it opens."""
        panel = self._live.get(session_id)
        filling = self._filling.get(session_id)
        if panel is None or filling is None:
            self._moments[session_id] = moment
        else:
            self._tasks.start(self._go_when_filled(panel, filling, moment), name="go to a time")

    async def _go_when_filled(self, panel: OrchestratorPanel, filling: asyncio.Task[Any], moment: datetime) -> None:
        await asyncio.wait([filling])
        await self._go_to(panel, moment)

    async def _go_to(self, panel: OrchestratorPanel, moment: datetime) -> None:
        session_id = panel.session_id
        try:
            found = await page_at(self._port, session_id, moment, before=BEFORE_PLACE, around=AROUND_PLACE)
        except MissionControlError as error:
            log.warning("history not read", session=session_id, error=error.message)
            panel.presenter.failed.emit("history", unread("What was said at that time could not be read", error))
            return
        if found is None or self._live.get(session_id) is not panel:
            return
        page, begin, nearest = found
        panel.show_around(page.items, nearest, has_older=begin > 0, has_newer=page.next_cursor is not None)

    def closed(self, session_id: str) -> None:
        """The view of a session is gone; the session is not."""
        panel = self._live.pop(session_id, None)
        if panel is None:
            return
        self._filling.pop(session_id, None)
        self._note_place(panel)
        self._bridge.forget(session_id)
        self._feeds.close_session(session_id)
        self._tasks.start(self._close(panel), name="close panel")

    def _note_place(self, panel: OrchestratorPanel) -> None:
        if panel.model.rowCount():
            self._places.save(panel.session_id, panel.reading_place())

    def may_go(self, session_id: str) -> bool:
        """Whether a panel that is out of sight can be let go: nothing is under way in it."""
        panel = self._live.get(session_id)
        return panel is None or panel.at_rest

    @staticmethod
    async def _close(panel: OrchestratorPanel) -> None:
        await panel.close_panel()
        panel.deleteLater()

    def get(self, session_id: str) -> OrchestratorPanel | None:
        """The open panel of a session."""
        return self._live.get(session_id)

    async def close(self) -> None:
        """Close all; drafts are kept."""
        for session_id in list(self._live):
            panel = self._live.pop(session_id)
            self._note_place(panel)
            self._bridge.forget(session_id)
            await panel.close_panel()

    def _reached(self, session_id: str) -> bool:
        plane = self._planes.of(session_id)
        return plane is not None and plane.role is not None

    def _on_planes(self) -> None:
        """What is said of a role names its control plane where there are several."""
        for session_id, panel in self._live.items():
            panel.set_may_act(self._planes.may_act(session_id), self._planes.refusal(session_id))

    def plane_ready(self, plane: Plane) -> None:
        """A control plane was connected and read; streams come back by themselves after a passing fault."""
        for session_id, panel in self._live.items():
            if self._planes.of(session_id) is plane:
                panel.set_may_act(plane.may_act, plane.refusal)
                self._start_filling(panel)

    # -- from outside

    def _on_items(self, session_id: str, items: Sequence[InboxItem]) -> None:
        panel = self._live.get(session_id)
        if panel is None:
            return
        events: list[StreamEvent] = []
        for item in items:
            if isinstance(item.event, Link):
                self._on_link(panel, item.event)
            else:
                events.append(item.event)
        if events:
            panel.apply(events)
            # What only this stream said about the session and its questions is news for the rest of the window, too.
            self._store.apply(e for e in events if e.type in (EventType.SESSION, EventType.APPROVAL))

    @staticmethod
    def _on_link(panel: OrchestratorPanel, link: Link) -> None:
        match link.state:
            case LinkState.CONNECTED:
                panel.set_connection(True)
            case LinkState.RECONNECTING:
                panel.set_connection(False, f"Reconnecting: {link.error}" if link.error else "")
            case LinkState.REFUSED:
                panel.set_connection(False, link.error or "The control plane refused this stream.")
            case LinkState.CONNECTING:
                pass

    def _on_sessions(self, session_ids: list[str]) -> None:
        changed = set(session_ids)
        for session_id, panel in self._live.items():
            if session_id in changed:
                panel.set_session(self._store.sessions[session_id])
        if any(self._store.sessions[i].parent_session_id for i in changed if i in self._store.sessions):
            for session_id, panel in self._live.items():
                panel.set_below(self._store.descendants(session_id))

    def _on_approvals(self) -> None:
        for panel in self._live.values():
            panel.set_approvals(self._store.approvals.values())


def _before(place: ReadingPlace) -> int:
    """The `seq` after which is read what stands around a place."""
    return max(0, place.seq - BEFORE_PLACE)
