"""What the window does: awaits the control plane, opens dialogs, paints nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QDialog

from mission_control_desktop.client.inbox import Link, LinkState
from mission_control_desktop.domain.demo import DEMO_MISSION
from mission_control_desktop.domain.errors import BadInput, MissionControlError, NotFound
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView, SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import words
from mission_control_desktop.ui.approvals.listing import ApprovalsFlow
from mission_control_desktop.ui.control import GatewayPort
from mission_control_desktop.ui.dialogs.keys import KeysDialog
from mission_control_desktop.ui.dialogs.kill_all import KillAllDialog
from mission_control_desktop.ui.dialogs.kill_flow import KillAllFlow
from mission_control_desktop.ui.dialogs.kill_scopes import KillPlane
from mission_control_desktop.ui.dialogs.reason import ReasonDialog
from mission_control_desktop.ui.error_words import told
from mission_control_desktop.ui.launch.profile_form import ProfileForm
from mission_control_desktop.ui.launch.spawn_dialog import SpawnDialog
from mission_control_desktop.ui.main_window.here import here
from mission_control_desktop.ui.main_window.planes_view import plane_view, planes_view
from mission_control_desktop.ui.main_window.window import MainWindow
from mission_control_desktop.ui.panels import Panels
from mission_control_desktop.ui.plane_book import PlaneBook
from mission_control_desktop.ui.planes import Plane, Planes
from mission_control_desktop.ui.ports import Gateway
from mission_control_desktop.ui.settings.flow import SettingsFlow, Standing
from mission_control_desktop.ui.settings.profiles import profiles_refusal
from mission_control_desktop.ui.several.flow import SeveralFlow

log = structlog.get_logger(__name__)


class WindowPresenter(QObject):
    """One window's actions. Every failure of an action becomes words in the window."""

    def __init__(self, window: MainWindow, planes: Planes, book: PlaneBook, panels: Panels, tasks: Tasks) -> None:
        super().__init__(window)
        gateway: Gateway = planes.host
        self._window, self._planes, self._gateway, self._panels = window, planes, gateway, panels
        self._store = window.store
        self._port = GatewayPort(gateway)
        self._tasks = tasks
        self._profiles: tuple[ProfileView, ...] = ()
        self._settings = SettingsFlow(window, gateway, tasks, self._standing, planes, book, self)
        self._settings.edit_profile_requested.connect(self._edit_profile)
        self._kill_flow = KillAllFlow(
            self._store,
            gateway,
            tasks,
            lambda text: window.notices.show_notice(text, error=True),
            self,
            planes=lambda: tuple(KillPlane(plane.key, plane.title, plane.refusal) for plane in planes),
        )
        self.several = SeveralFlow(window, gateway, tasks, self)
        planes.changed.connect(self._show_connection)
        planes.ready.connect(self._on_ready)
        planes.link_changed.connect(self._on_link)
        planes.failed.connect(lambda text: window.notices.show_notice(text, error=True, key="read"))
        window.session_action.connect(self._on_session_action)
        window.kill_all_requested.connect(self.ask_kill_all)
        window.keys_requested.connect(self._on_keys)
        self._approvals = ApprovalsFlow(window, planes, self._port, tasks, self)
        window.approvals_requested.connect(self._approvals.open)
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

    def _on_ready(self, plane: Plane) -> None:
        self._window.set_may_act(self._planes.any_may_act, self._planes.may_act, self._planes.refusal)
        self._window.set_connected(True)
        self._panels.plane_ready(plane)
        self._name_missing(plane)
        self._show_connection()
        if plane is self._planes.home:
            self._window.launch.set_refusals(plane.refusal, profiles_refusal(plane.role))
            self._window.empty.set_refusal(plane.refusal)
            self.load_profiles()

    def _name_missing(self, plane: Plane) -> None:
        """Panels that were restored for sessions that are not among those read."""
        for session_id in self._window.panels.open_ids():
            if self._planes.of(session_id) is plane and session_id not in self._store.sessions:
                self._tasks.start(self._read_one(session_id), name="read session")

    def _on_session_needed(self, session_id: str) -> None:
        """A place is seen whose session was not told: known here, or still to be read."""
        session = self._store.sessions.get(session_id)
        if session is not None:
            self._window.panels.show_session(session)
        elif (plane := self._planes.of(session_id)) is None:
            self._window.panels.say(session_id, self._planes.refusal(session_id) + ".")
        elif plane.role is not None:
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

    def _on_link(self, plane: Plane, link: Link) -> None:
        key = f"link {plane.key}".strip()
        if link.state is LinkState.CONNECTED:
            self._window.notices.dismiss(key)
        elif link.state is LinkState.REFUSED:
            name = f"The control plane {plane.key}" if plane.key else "The control plane"
            self._window.notices.show_notice(
                f"{name} refused the connection: {link.error}. Agents go on, but what is seen here is old. Enter a "
                "valid token, or ask an admin for one.",
                error=True,
                action="Connections…",
                key=key,
            ).acted.connect(self._on_connections)

    def _on_connections(self) -> None:
        self._window.settings_requested.emit("connections")

    def _show_connection(self) -> None:
        self._window.header.set_connection(planes_view(self._planes))
        self._window.record_label.setText(self._planes.home.record)

    # -- sessions

    def _on_session_action(self, session_id: str, action: str) -> None:
        session = self._store.sessions.get(session_id)
        if session is None:
            return
        if action != "message" and (refusal := self._planes.refusal(session_id)):
            self._window.notices.show_notice(f"{words.name(session)}: {refusal}.", key="refusal")
            return
        match action:
            case "message":
                self._window.open_session(session_id)
                panel = self._panels.get(session_id)
                if panel is not None:
                    panel.focus_input()
            case "find":
                self._window.open_session(session_id)
                panel = self._panels.get(session_id)
                if panel is not None:
                    panel.pane.open_find()
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
            self._window.notices.show_notice(told(failure, error), error=True, key=failure)
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
        dialog = KeysDialog(self._window.commands, here(self._window), self._window)
        dialog.change_requested.connect(lambda: self._settings.open("keys"))
        self._open(dialog)

    def _standing(self) -> Standing:
        home = self._planes.home
        facts = (
            ("Control plane", home.where or "not connected"),
            ("Its version", home.version or "not known"),
            ("You are", f"{home.user} ({home.role.value})" if home.role else "not known"),
            ("Connection", plane_view(home).text),
        )
        return Standing(role=home.role, facts=facts)

    @staticmethod
    def _open(dialog: QDialog) -> None:
        dialog.open()


async def _spawn(mission_control: MissionControl, *, request: SpawnRequest) -> AgentSession:
    return await mission_control.spawn(request)


def _alive(widget: Any) -> bool:
    """Whether a widget was not deleted while something was awaited."""
    from shiboken6 import isValid

    return bool(isValid(widget))
