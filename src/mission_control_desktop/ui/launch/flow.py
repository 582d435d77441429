"""Starting agents and keeping launch profiles, each on the control plane that was chosen for it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import msgspec
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QDialog
from shiboken6 import isValid

from mission_control_desktop.client.fleet import HOME
from mission_control_desktop.domain.demo import DEMO_MISSION
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView, SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.error_words import refused, told, unread
from mission_control_desktop.ui.panel.wording import uncertain
from mission_control_desktop.ui.plane_choice import offered
from mission_control_desktop.ui.planes import Plane, Planes
from mission_control_desktop.ui.roles import profiles_refusal

if TYPE_CHECKING:
    # Imported with the first press, or before it while the window idles (`ui.later`).
    from mission_control_desktop.ui.launch.profile_form import ProfileForm
    from mission_control_desktop.ui.launch.start_form import StartForm
    from mission_control_desktop.ui.main_window.window import MainWindow

LAST = "launch.plane"
"""The control plane on which an agent was started last."""


class LaunchFlow(QObject):
    """The screen behind "New agent", the dialog for an agent below another one, and the form of a profile."""

    profiles_read = Signal(str)
    """Those of this control plane were read anew."""

    def __init__(self, window: MainWindow, planes: Planes, tasks: Tasks, parent: QObject) -> None:
        super().__init__(parent)
        self._window, self._planes, self._tasks = window, planes, tasks
        self._store, self._state = window.store, window.state
        self._screen = window.launch
        self._profiles: dict[str, tuple[ProfileView, ...]] = {}
        self._at = HOME
        self._unsure: dict[tuple[str, bytes], str] = {}
        """Keys under which something was asked to be started, as long as it is not known what became of it."""
        self._begun_demos: dict[str, dict[SpawnRequest, str]] = {}
        """Of a demo mission that could not be started whole, what runs already; by control plane."""
        planes.changed.connect(self._on_planes)
        planes.ready.connect(self._on_ready)
        window.new_agent_shown.connect(self._on_shown)
        screen = self._screen
        screen.plane.chosen.connect(self._turn_to)
        screen.refresh_requested.connect(lambda: self.load(self._at))
        screen.start_requested.connect(self._on_start)
        screen.demo_requested.connect(lambda: self.start_demo(self._at))
        screen.own_requested.connect(lambda: self.edit_profile(None, self._at))
        screen.edit_requested.connect(lambda name: self.edit_profile(name, self._at))

    def profiles(self, plane: str) -> tuple[ProfileView, ...]:
        """Those of a control plane, as far as they were read."""
        return self._profiles.get(plane, ())

    # -- which control plane

    def _on_shown(self) -> None:
        self._turn_to(self._wanted())

    def _wanted(self) -> str:
        """That of the session that one is at; else the last one where an agent was started; else the first where
        the person may start one."""
        session_id = self._window.current_session_id()
        at = self._planes.of(session_id) if session_id else None
        for plane in (at, self._planes.get(str(self._state.get(LAST, HOME))), *self._planes):
            if plane is not None and plane.role is not None and plane.may_act:
                return str(plane.key)
        return HOME

    def _turn_to(self, key: str) -> None:
        self._at = key
        plane = self._plane(key)
        self._screen.set_place(plane.title, here=plane.here)
        self._screen.show_profiles(self.profiles(key), note="" if key in self._profiles else "Reading the profiles…")
        self._show_planes()
        self.load(key)

    def _on_planes(self) -> None:
        if self._planes.get(self._at) is None:
            self._turn_to(self._wanted())
            return
        self._show_planes()

    def _show_planes(self) -> None:
        plane = self._plane(self._at)
        self._screen.plane.offer(offered(self._planes, lambda one: one.refusal), self._at)
        self._screen.set_refusals(plane.refusal, profiles_refusal(plane.role))

    def _on_ready(self, plane: Plane) -> None:
        self._profiles.pop(plane.key, None)
        self._window.empty.set_refusal("" if self._planes.any_may_act else self._planes.home.refusal)
        if self._planes.get(self._at) is plane:
            self._turn_to(plane.key if plane.may_act else self._wanted())

    def _plane(self, key: str) -> Plane:
        """Home, where one was let go of."""
        return self._planes.get(key) or self._planes.home

    # -- profiles

    def load(self, key: str) -> None:
        """Read a control plane's launch profiles again."""
        self._tasks.start(self._load(key), name="profiles")

    async def _load(self, key: str) -> None:
        plane = self._plane(key)
        problem = ""
        try:
            self._profiles[key] = await plane.gateway.call(lambda mc: mc.profiles())
        except MissionControlError as error:
            problem = unread("The profiles cannot be read", error)
        if key == self._at:
            self._screen.show_profiles(self.profiles(key), note=problem)
        if not problem:
            self.profiles_read.emit(key)

    def edit_profile(self, name: str | None, key: str) -> None:
        """Open the form of a profile of a control plane; None: a new one."""
        from mission_control_desktop.ui.launch.profile_form import ProfileForm

        plane = self._plane(key)
        known = next((p for p in self.profiles(key) if p.name == name), None) if name else None
        form = ProfileForm(known, self._window, where="" if len(self._planes) == 1 else plane.title)
        form.save_requested.connect(lambda p: self._tasks.start(self._save(form, p, plane), name="save profile"))
        form.remove_requested.connect(lambda n: self._tasks.start(self._remove(form, n, plane), name="remove profile"))
        form.open()

    async def _save(self, form: ProfileForm, profile: LaunchProfile, plane: Plane) -> None:
        try:
            await plane.gateway.call(lambda mc: mc.put_profile(profile))
        except MissionControlError as error:
            if isValid(form):
                form.failed(*refused(f"The profile {profile.name} was not saved", error))
            return
        if isValid(form):
            form.accept()
        await self._load(plane.key)
        if plane.key == self._at:
            self._screen.choose(profile.name)

    async def _remove(self, form: ProfileForm, name: str, plane: Plane) -> None:
        try:
            await plane.gateway.call(lambda mc: mc.delete_profile(name))
        except MissionControlError as error:
            if isValid(form):
                form.failed(None, told(f"The profile {name} was not removed", error))
            return
        if isValid(form):
            form.accept()
        await self._load(plane.key)

    # -- starting

    def _on_start(self, request: SpawnRequest) -> None:
        plane = self._plane(self._at)
        self._tasks.start(self._start(request, plane, self._screen.form), name="start")

    async def _start(self, request: SpawnRequest, plane: Plane, form: StartForm, dialog: QDialog | None = None) -> None:
        try:
            session = await self._spawn(plane, request)
        except MissionControlError as error:
            if isValid(form):
                form.failed(*_not_started(error))
            return
        if isValid(form):
            form.started()
        if dialog is not None:
            if isValid(dialog):
                dialog.accept()
        else:
            self._state.put(LAST, plane.key or None)
        self._window.leave_launch()
        self._window.open_session(session.session_id)

    async def _spawn(self, plane: Plane, request: SpawnRequest) -> AgentSession:
        """Start it; asked for again while nobody knows what became of it, it is not started twice."""
        same = plane.key, msgspec.json.encode(request)
        key = self._unsure.setdefault(same, uuid.uuid4().hex)
        try:
            session = await plane.gateway.call(lambda mc: mc.spawn(request, idempotency_key=key))
        except MissionControlError as error:
            if not uncertain(error):
                self._unsure.pop(same, None)
            raise
        self._unsure.pop(same, None)
        if session.session_id not in self._store.sessions:
            self._store.put([session])
        return session

    def start_demo(self, key: str = HOME) -> None:
        """Start the demo mission on a control plane."""
        self._tasks.start(self._start_demo(self._plane(key)), name="demo")

    async def _start_demo(self, plane: Plane) -> None:
        form = self._screen.form
        begun = self._begun_demos.setdefault(plane.key, {})
        for request in DEMO_MISSION:
            if self._lives(begun.get(request)):
                continue
            try:
                begun[request] = (await self._spawn(plane, request)).session_id
            except MissionControlError as error:
                missing = len(DEMO_MISSION) - sum(self._lives(session_id) for session_id in begun.values())
                form.failed(None, told(_demo_not_started(missing), error))
                return
        del self._begun_demos[plane.key]
        form.started()
        self._window.leave_launch()

    def _lives(self, session_id: str | None) -> bool:
        session = self._store.sessions.get(session_id or "")
        return session is not None and not session.status.final

    def spawn_below(self, session: AgentSession) -> None:
        """Ask what is to be started below a session, on its own control plane."""
        plane = self._planes.of(session.session_id)
        if plane is not None:
            self._tasks.start(self._spawn_below(session, plane), name="start below")

    async def _spawn_below(self, session: AgentSession, plane: Plane) -> None:
        from mission_control_desktop.ui.launch.spawn_dialog import SpawnDialog

        if plane.key not in self._profiles:
            try:
                self._profiles[plane.key] = await plane.gateway.call(lambda mc: mc.profiles())
            except MissionControlError as error:
                text = unread(f"The profiles of {plane.title} cannot be read", error)
                self._window.notices.show_notice(text, error=True, key="profiles")
                return
        dialog = SpawnDialog(session, self.profiles(plane.key), self._window)
        dialog.form.set_place(plane.title, here=plane.here)
        dialog.start_requested.connect(
            lambda request: self._tasks.start(self._start(request, plane, dialog.form, dialog), name="start")
        )
        dialog.open()


def _demo_not_started(missing: int) -> str:
    if missing == len(DEMO_MISSION):
        return "The demo mission could not be started"
    return f"{missing} of the demo mission's {len(DEMO_MISSION)} agents could not be started. The next start adds them"


def _not_started(error: MissionControlError) -> tuple[str | None, str]:
    if not uncertain(error):
        return refused("Nothing was started", error)
    return None, f"{error.message} It may have been started all the same: start it again, and it is there once."
