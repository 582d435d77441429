"""What the window does: awaits the control plane, opens dialogs, paints nothing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import structlog
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QDialog

from mission_control_desktop.client.inbox import Link, LinkState
from mission_control_desktop.domain.errors import MissionControlError, NotFound
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import words
from mission_control_desktop.ui.approvals.listing import ApprovalsFlow
from mission_control_desktop.ui.control import GatewayPort
from mission_control_desktop.ui.error_words import told, unread
from mission_control_desktop.ui.launch.flow import LaunchFlow
from mission_control_desktop.ui.main_window.here import here
from mission_control_desktop.ui.main_window.planes_view import plane_view, planes_view
from mission_control_desktop.ui.main_window.window import MainWindow
from mission_control_desktop.ui.panels import Panels
from mission_control_desktop.ui.plane_book import PlaneBook
from mission_control_desktop.ui.planes import Plane, Planes
from mission_control_desktop.ui.ports import Gateway

if TYPE_CHECKING:
    # What answers a press is imported with the first one, or before it while the window idles (`ui.later`): the first
    # paint does not wait for it.
    from mission_control_desktop.ui.dialogs.kill_all import KillAllDialog
    from mission_control_desktop.ui.dialogs.kill_flow import KillAllFlow, Otherwise
    from mission_control_desktop.ui.settings.flow import SettingsFlow
    from mission_control_desktop.ui.several.flow import SeveralFlow

log = structlog.get_logger(__name__)


class WindowPresenter(QObject):
    """One window's actions. Every failure of an action becomes words in the window."""

    def __init__(
        self,
        window: MainWindow,
        planes: Planes,
        book: PlaneBook,
        panels: Panels,
        tasks: Tasks,
        stop_here: Callable[[], Otherwise | None] | None = None,
    ) -> None:
        """`stop_here` makes what stops the agents of this computer when their control plane does not answer."""
        super().__init__(window)
        self._stop_here = stop_here
        gateway: Gateway = planes.host
        self._window, self._planes, self._gateway, self._panels = window, planes, gateway, panels
        self._store = window.store
        self._port = GatewayPort(gateway)
        self._tasks = tasks
        self._launch = LaunchFlow(window, planes, tasks, self)
        self._book = book
        planes.changed.connect(self._show_connection)
        planes.ready.connect(self._on_ready)
        planes.came_or_went.connect(self._weigh)
        planes.link_changed.connect(self._on_link)
        planes.failed.connect(lambda text: window.notices.show_notice(text, error=True, key="read"))
        window.session_action.connect(self._on_session_action)
        window.kill_all_requested.connect(self.ask_kill_all)
        window.keys_requested.connect(self._on_keys)
        self._approvals = ApprovalsFlow(window, planes, self._port, tasks, self)
        window.approvals_requested.connect(self._approvals.open)
        window.settings_requested.connect(lambda page: self._settings.open(page))
        window.several_requested.connect(lambda ids, action: self.several.act(ids, action))
        panels.session_wanted.connect(window.open_session)
        panels.menu_wanted.connect(window.add_panel_actions)
        window.panels.session_wanted.connect(self._on_session_needed)

    @cached_property
    def _settings(self) -> SettingsFlow:
        from mission_control_desktop.ui.settings.flow import SettingsFlow

        return SettingsFlow(self._window, self._tasks, self._facts, self._planes, self._book, self._launch, self)

    @cached_property
    def _kill_flow(self) -> KillAllFlow:
        from mission_control_desktop.ui.dialogs.kill_flow import KillAllFlow
        from mission_control_desktop.ui.dialogs.kill_scopes import KillPlane

        return KillAllFlow(
            self._store,
            self._gateway,
            self._tasks,
            lambda text: self._window.notices.show_notice(text, error=True),
            self,
            otherwise=self._stop_here() if self._stop_here is not None else None,
            planes=lambda: tuple(KillPlane(plane.key, plane.title, plane.refusal) for plane in self._planes),
        )

    @cached_property
    def several(self) -> SeveralFlow:
        """What is done to several sessions at once."""
        from mission_control_desktop.ui.several.flow import SeveralFlow

        return SeveralFlow(self._window, self._gateway, self._tasks, self)

    # -- connection

    def _weigh(self) -> None:
        """What the person may do where, as it is known now."""
        self._window.set_may_act(self._planes.any_may_act, self._planes.may_act, self._planes.refusal)

    def _on_ready(self, plane: Plane) -> None:
        self._weigh()
        self._window.set_connected(True)
        self._panels.plane_ready(plane)
        self._name_missing(plane)
        self._show_connection()
        self.several.offer_unfinished()

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
            self._window.panels.say(session_id, unread("This session cannot be read", error))
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
                self._tasks.start(self._act_on(session, what, cancel), name="cancel turn")
            case "terminate" | "kill":
                self._ask_end(session, kill=action == "kill")
            case "spawn_below":
                self._launch.spawn_below(session)

    async def _pause_resume(self, session: AgentSession) -> None:
        session_id, run = session.session_id, session.run_id
        if session.status is SessionStatus.PAUSED or session.metadata.get("pausing"):
            await self._act_on(
                session,
                f"{words.name(session)} was not resumed",
                partial(self._port.resume, session_id, expected_run_id=run),
            )
        else:
            await self._act_on(
                session,
                f"{words.name(session)} was not paused",
                partial(self._port.pause, session_id, level=None, expected_run_id=run),
            )

    def _ask_end(self, session: AgentSession, *, kill: bool) -> None:
        from mission_control_desktop.ui.dialogs.reason import ReasonDialog

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
        self._tasks.start(self._act_on(session, f"{words.name(session)} was not {what}", call), name=what)

    async def _act_on(
        self, session: AgentSession, failure: str, call: Callable[[], Coroutine[Any, Any, AgentSession]]
    ) -> None:
        known = self._store.sessions.get(session.session_id)
        answer = await self._act(failure, call)
        if answer is not None:
            self._store.put_answer(known, answer)

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

    def start_demo(self) -> None:
        """Start the demo mission on the window's own control plane."""
        self._launch.start_demo()

    # -- the rest

    def _on_keys(self) -> None:
        from mission_control_desktop.ui.dialogs.keys import KeysDialog

        dialog = KeysDialog(self._window.commands, here(self._window), self._window)
        dialog.change_requested.connect(lambda: self._settings.open("keys"))
        self._open(dialog)

    def _facts(self) -> tuple[tuple[str, str], ...]:
        home = self._planes.home
        return (
            ("Control plane", home.where or "not connected"),
            ("Its version", home.version or "not known"),
            ("You are", f"{home.user} ({home.role.value})" if home.role else "not known"),
            ("Connection", plane_view(home).text),
        )

    @staticmethod
    def _open(dialog: QDialog) -> None:
        dialog.open()
