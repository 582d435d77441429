"""What the window does: awaits the control plane, opens dialogs, paints nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QDialog

from mission_control_desktop.client.inbox import WORKSPACE, Inbox, InboxItem, Link, LinkState
from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.demo import DEMO_MISSION
from mission_control_desktop.domain.errors import BadInput, MissionControlError, NotFound
from mission_control_desktop.domain.events import EventType, StreamEvent
from mission_control_desktop.domain.mission_control import MissionControl, Page
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView, SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import words
from mission_control_desktop.ui.bridge import Bridge
from mission_control_desktop.ui.control import GatewayPort
from mission_control_desktop.ui.dialogs.keys import KeysDialog
from mission_control_desktop.ui.dialogs.kill_all import KillAllDialog
from mission_control_desktop.ui.dialogs.kill_flow import KillAllFlow
from mission_control_desktop.ui.dialogs.reason import ReasonDialog
from mission_control_desktop.ui.health_words import degraded, record_words
from mission_control_desktop.ui.launch.profile_form import ProfileForm
from mission_control_desktop.ui.launch.spawn_dialog import SpawnDialog
from mission_control_desktop.ui.main_window.header import connection_view
from mission_control_desktop.ui.main_window.window import MainWindow
from mission_control_desktop.ui.panels import Panels
from mission_control_desktop.ui.ports import Gateway
from mission_control_desktop.ui.settings.flow import SettingsFlow, Standing

log = structlog.get_logger(__name__)

PAGE = 500
MAX_SESSIONS = 10_000
"""Sessions read at the start, newest pages first; live ones come through the stream in any case."""
HEALTH_SECONDS = 10.0


class WindowPresenter(QObject):
    """One window's actions. Every failure of an action becomes words in the window."""

    link_changed = Signal(object)
    """A `Link`: how the workspace's stream is doing."""

    def __init__(
        self, window: MainWindow, gateway: Gateway, panels: Panels, bridge: Bridge, inbox: Inbox, tasks: Tasks
    ) -> None:
        super().__init__(window)
        self._window, self._gateway, self._panels = window, gateway, panels
        self._store = window.store
        self._port = GatewayPort(gateway)
        self._inbox, self._tasks = inbox, tasks
        self._profiles: tuple[ProfileView, ...] = ()
        self._link: Link | None = None
        self._where = ""
        self._version = ""
        self._role: Role | None = None
        self._user = ""
        self._degraded: str | None = None
        self._health_task: asyncio.Task[Any] | None = None
        self._settings = SettingsFlow(window, gateway, tasks, self._standing, self)
        self._settings.edit_profile_requested.connect(self._edit_profile)
        self._kill_flow = KillAllFlow(
            self._store, gateway, tasks, lambda text: window.notices.show_notice(text, error=True), self
        )
        bridge.listen(WORKSPACE, self._on_items)
        window.session_action.connect(self._on_session_action)
        window.kill_all_requested.connect(self.ask_kill_all)
        window.keys_requested.connect(self._on_keys)
        window.settings_requested.connect(self._settings.open)
        window.new_agent_shown.connect(self.load_profiles)
        window.launch.refresh_requested.connect(self.load_profiles)
        window.launch.start_requested.connect(self._on_start)
        window.launch.demo_requested.connect(self.start_demo)
        window.launch.own_requested.connect(lambda: self._edit_profile(None))
        window.launch.edit_requested.connect(self._edit_profile)
        panels.session_wanted.connect(window.open_session)
        window.panels.session_wanted.connect(self._on_session_needed)

    # -- connection

    async def connected(self, where: str) -> None:
        """Read what is there; call after the workspace's stream was opened. Raises the tree of `domain.errors`."""
        self._where = where
        me = await self._gateway.call(lambda mc: mc.me())
        self._role, self._user = me.role, me.user_id
        may_act = me.role is not Role.OBSERVER
        self._panels.set_may_act(may_act)
        self._window.set_may_act(may_act)
        await self._read_all()
        self._window.set_connected(True)
        self._panels.set_connected(True)
        self._name_missing()
        self._show_connection()
        self.load_profiles()
        if self._health_task is None:
            self._health_task = self._tasks.start(self._watch_health(), name="health")

    async def _read_all(self) -> None:
        cursor: str | None = None
        count = 0
        while count < MAX_SESSIONS:
            page = await self._gateway.call(partial(_sessions_page, cursor=cursor))
            self._take_read(page.items)
            count += len(page.items)
            cursor = page.next_cursor
            if cursor is None:
                break
        approvals = await self._gateway.call(lambda mc: mc.approvals(state=ApprovalState.OPEN))
        self._store.replace_approvals(approvals.items)

    def _take_read(self, sessions: Sequence[AgentSession]) -> None:
        """A page may be older than what the stream has brought meanwhile: the newer evidence counts."""
        fresh = []
        for session in sessions:
            known = self._store.sessions.get(session.session_id)
            if known is None or known.evidence.last_event_at <= session.evidence.last_event_at:
                fresh.append(session)
        self._store.put(fresh)

    def _name_missing(self) -> None:
        """Panels that were restored for sessions that are not among those read."""
        for session_id in self._window.panels.open_ids():
            if session_id not in self._store.sessions:
                self._tasks.start(self._read_one(session_id), name="read session")

    def _on_session_needed(self, session_id: str) -> None:
        """A place is seen whose session was not told: known here, or still to be read."""
        session = self._store.sessions.get(session_id)
        if session is not None:
            self._window.panels.show_session(session)
        elif self._role is not None:
            self._tasks.start(self._read_one(session_id), name="read session")

    async def _read_one(self, session_id: str) -> None:
        try:
            session = await self._gateway.call(lambda mc: mc.session(session_id))
        except NotFound:
            self._window.panels.say(session_id, "This session is no longer on record.")
        except MissionControlError as error:
            self._window.panels.say(session_id, error.message)
        else:
            self._store.put([session])
            self._window.panels.show_session(session)

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
            self._store.apply(events)

    async def _read_again(self) -> None:
        await self._act("The sessions could not be read again", self._read_all)

    def _on_link(self, link: Link) -> None:
        was = self._link
        self._link = link
        if link.state is LinkState.CONNECTED and was is not None and was.state is LinkState.RECONNECTING:
            self._window.notices.dismiss("link")
            self._tasks.start(self._read_again(), name="read again")
        elif link.state is LinkState.REFUSED:
            self._window.notices.show_notice(
                f"The control plane refused the connection: {link.error}", error=True, key="link"
            )
        self._show_connection()
        self.link_changed.emit(link)

    def _show_connection(self) -> None:
        link = self._link
        view = connection_view(
            link.state if link else None,
            where=self._where,
            attempt=link.attempt if link else 0,
            error=link.error if link else None,
            degraded=self._degraded,
        )
        self._window.header.set_connection(view)

    async def _watch_health(self) -> None:
        while True:
            try:
                health = await self._gateway.call(lambda mc: mc.health())
            except MissionControlError:
                # The stream's own link says that it is away.
                self._degraded = None
                self._window.record_label.setText("record: not known")
            else:
                self._version = health.version
                self._degraded = degraded(health)
                self._window.record_label.setText(record_words(health))
            self._show_connection()
            stats = self._inbox.stats()
            self._window.flow_label.setText(
                f"events {stats.drained:,} · merged {stats.merged:,} · relevelled {stats.relevelled:,}"
            )
            await asyncio.sleep(HEALTH_SECONDS)

    # -- sessions

    def _on_session_action(self, session_id: str, action: str) -> None:
        session = self._store.sessions.get(session_id)
        if session is None:
            return
        match action:
            case "message":
                self._window.open_session(session_id)
                panel = self._panels.get(session_id)
                if panel is not None:
                    panel.focus_input()
            case "pause_resume":
                self._tasks.start(self._pause_resume(session), name="pause or resume")
            case "cancel_turn":
                cancel = partial(self._port.cancel, session_id, expected_run_id=session.run_id)
                what = f"The turn of {words.name(session)} was not cancelled"
                self._tasks.start(self._act_on(what, cancel), name="cancel turn")
            case "terminate" | "kill":
                self._ask_end(session, kill=action == "kill")
            case "spawn_below":
                self._spawn_below(session)

    async def _pause_resume(self, session: AgentSession) -> None:
        session_id, run = session.session_id, session.run_id
        if session.status is SessionStatus.PAUSED or session.metadata.get("pausing"):
            await self._act_on(
                f"{words.name(session)} was not resumed", partial(self._port.resume, session_id, expected_run_id=run)
            )
        else:
            await self._act_on(
                f"{words.name(session)} was not paused",
                partial(self._port.pause, session_id, level=None, expected_run_id=run),
            )

    def _ask_end(self, session: AgentSession, *, kill: bool) -> None:
        dialog = ReasonDialog(session, self._store.descendants(session.session_id), kill=kill, parent=self._window)
        dialog.confirmed.connect(lambda reason: self._end(session, reason, kill=kill))
        dialog.open()

    def _end(self, session: AgentSession, reason: str, *, kill: bool) -> None:
        session_id, run = session.session_id, session.run_id
        if kill:
            what, call = "killed", partial(self._port.kill, session_id, reason=reason, expected_run_id=run)
        else:
            what = "terminated"
            call = partial(self._port.terminate, session_id, reason=reason or None, expected_run_id=run)
        self._tasks.start(self._act_on(f"{words.name(session)} was not {what}", call), name=what)

    async def _act_on(self, failure: str, call: Callable[[], Coroutine[Any, Any, AgentSession]]) -> None:
        session = await self._act(failure, call)
        if session is not None:
            self._store.put([session])

    async def _act(self, failure: str, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """The call's result; None after its failure was shown."""
        try:
            return await call()
        except MissionControlError as error:
            self._window.notices.show_notice(f"{failure}: {error.message}", error=True, key=failure)
            return None

    # -- kill all

    def ask_kill_all(self) -> KillAllDialog:
        """Open the dialog."""
        return self._kill_flow.ask(self._window)

    # -- starting

    def load_profiles(self) -> None:
        """Read the launch profiles again."""
        self._tasks.start(self._load_profiles(), name="profiles")

    async def _load_profiles(self) -> None:
        try:
            self._profiles = await self._gateway.call(lambda mc: mc.profiles())
        except MissionControlError as error:
            self._window.launch.show_profiles(self._profiles, note=f"The profiles cannot be read: {error.message}")
            return
        self._window.launch.show_profiles(self._profiles)
        self._settings.show_profiles(self._profiles)

    def _on_start(self, request: SpawnRequest) -> None:
        self._tasks.start(self._start(request, self._window.launch.form), name="start")

    async def _start(self, request: SpawnRequest, form: Any, dialog: QDialog | None = None) -> None:
        key = uuid.uuid4().hex
        try:
            session = await self._gateway.call(lambda mc: mc.spawn(request, idempotency_key=key))
        except MissionControlError as error:
            if _alive(form):
                form.failed(error.field if isinstance(error, BadInput) else None, error.message)
            return
        self._store.put([session] if session.session_id not in self._store.sessions else [])
        if _alive(form):
            form.started()
        if dialog is not None and _alive(dialog):
            dialog.accept()
        self._window.leave_launch()
        self._window.open_session(session.session_id)

    def start_demo(self) -> None:
        """Start the demo mission."""
        self._tasks.start(self._start_demo(), name="demo")

    async def _start_demo(self) -> None:
        form = self._window.launch.form
        for request in DEMO_MISSION:
            try:
                session = await self._gateway.call(partial(_spawn, request=request))
            except MissionControlError as error:
                form.failed(None, f"The demo mission could not be started: {error.message}")
                return
            if session.session_id not in self._store.sessions:
                self._store.put([session])
        form.started()
        self._window.leave_launch()

    def _spawn_below(self, session: AgentSession) -> None:
        dialog = SpawnDialog(session, self._profiles, self._window)
        dialog.start_requested.connect(
            lambda request: self._tasks.start(self._start(request, dialog.form, dialog), name="start")
        )
        self._open(dialog)

    def _edit_profile(self, name: str | None) -> None:
        known = next((p for p in self._profiles if p.name == name), None) if name else None
        form = ProfileForm(known, self._window)
        form.save_requested.connect(lambda p: self._tasks.start(self._save_profile(form, p), name="save profile"))
        form.remove_requested.connect(lambda n: self._tasks.start(self._remove_profile(form, n), name="remove profile"))
        self._open(form)

    async def _save_profile(self, form: ProfileForm, profile: LaunchProfile) -> None:
        try:
            await self._gateway.call(lambda mc: mc.put_profile(profile))
        except MissionControlError as error:
            if _alive(form):
                form.failed(error.field if isinstance(error, BadInput) else None, error.message)
            return
        if _alive(form):
            form.accept()
        await self._load_profiles()
        self._window.launch.choose(profile.name)

    async def _remove_profile(self, form: ProfileForm, name: str) -> None:
        try:
            await self._gateway.call(lambda mc: mc.delete_profile(name))
        except MissionControlError as error:
            if _alive(form):
                form.failed(None, error.message)
            return
        if _alive(form):
            form.accept()
        await self._load_profiles()

    # -- the rest

    def _on_keys(self) -> None:
        self._open(KeysDialog(self._window.commands, self._window))

    def _standing(self) -> Standing:
        facts = (
            ("Control plane", self._where or "not connected"),
            ("Its version", self._version or "not known"),
            ("You are", f"{self._user} ({self._role.value})" if self._role else "not known"),
            ("Connection", self._window.header.connection.text()),
        )
        return Standing(role=self._role, facts=facts)

    @staticmethod
    def _open(dialog: QDialog) -> None:
        dialog.open()


async def _sessions_page(mission_control: MissionControl, *, cursor: str | None) -> Page[AgentSession]:
    return await mission_control.sessions(limit=PAGE, cursor=cursor)


async def _spawn(mission_control: MissionControl, *, request: SpawnRequest) -> AgentSession:
    return await mission_control.spawn(request)


def _alive(widget: Any) -> bool:
    """Whether a widget was not deleted while something was awaited."""
    from shiboken6 import isValid

    return bool(isValid(widget))
