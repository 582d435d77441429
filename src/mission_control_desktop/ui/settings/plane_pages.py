"""The pages about what a control plane keeps: its providers, launch profiles and retention, of the chosen one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt

from mission_control_desktop.client.fleet import HOME
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.plane_choice import offered
from mission_control_desktop.ui.planes import Planes
from mission_control_desktop.ui.roles import profiles_refusal
from mission_control_desktop.ui.settings.page import PlanePage
from mission_control_desktop.ui.settings.profiles import ProfilesPage
from mission_control_desktop.ui.settings.providers import ProvidersPage
from mission_control_desktop.ui.settings.providers_presenter import ProvidersPresenter
from mission_control_desktop.ui.settings.retention import RetentionPage, RetentionPresenter

if TYPE_CHECKING:
    from mission_control_desktop.ui.launch.flow import LaunchFlow
    from mission_control_desktop.ui.sessions import SessionStore
    from mission_control_desktop.ui.settings.dialog import SettingsDialog


class PlanePages(QObject):
    """Makes them for a dialog, and makes them anew when another control plane is chosen: nothing of one is ever shown
    or asked for under the name of another."""

    def __init__(self, planes: Planes, store: SessionStore, launch: LaunchFlow, tasks: Tasks) -> None:
        super().__init__()
        self._planes, self._store, self._launch, self._tasks = planes, store, launch, tasks
        self._dialog: SettingsDialog | None = None
        self._at, self._role = HOME, planes.home.role
        self._make()

    def _make(self) -> None:
        plane = self._planes.get(self._at) or self._planes.home
        self._at, self._role = plane.key, plane.role
        self.providers = ProvidersPage(plane.title if plane.here else f"the computer of {plane.title}")
        self._presenter = ProvidersPresenter(
            self.providers,
            self._store,
            plane.gateway,
            self._tasks,
            plane.role,
            plane=plane.key,
            where=plane.name,
            parent=self.providers,
        )
        self.profiles = ProfilesPage()
        self.profiles.set_refusal(profiles_refusal(plane.role, plane.name))
        self.profiles.show_profiles(self._launch.profiles(plane.key))
        self.profiles.turned_to.connect(lambda: self._launch.load(plane.key))
        self.profiles.add_requested.connect(lambda: self._launch.edit_profile(None, plane.key))
        self.profiles.edit_requested.connect(lambda name: self._launch.edit_profile(name, plane.key))
        self.retention = RetentionPage(plane.role)
        self._kept = RetentionPresenter(self.retention, plane.gateway, self._tasks)
        for page in self.all:
            page.plane.chosen.connect(self._turn_to)
        self._offer()

    @property
    def all(self) -> tuple[PlanePage, ...]:
        """As they are now."""
        return self.providers, self.profiles, self.retention

    def serve(self, dialog: SettingsDialog) -> None:
        """Be the pages of this dialog until it is closed."""
        self._dialog = dialog
        self.setParent(dialog)
        self._planes.changed.connect(self._on_planes)
        self._launch.profiles_read.connect(self._on_profiles)
        dialog.finished.connect(self._close)
        self._presenter.load()

    def _close(self) -> None:
        self._presenter.close()
        self._kept.close()
        self._planes.changed.disconnect(self._on_planes)
        self._launch.profiles_read.disconnect(self._on_profiles)

    def _offer(self) -> None:
        for page in self.all:
            page.plane.offer(offered(self._planes, lambda _plane: ""), self._at)

    def _on_planes(self) -> None:
        plane = self._planes.get(self._at)
        if plane is None or plane.role is not self._role:
            self._turn_to(self._at)
        else:
            self._offer()

    def _on_profiles(self, key: str) -> None:
        if key == self._at:
            self.profiles.show_profiles(self._launch.profiles(key))

    def _turn_to(self, key: str) -> None:
        self._presenter.close()
        self._kept.close()
        focus = None if self._dialog is None else self._dialog.focusWidget()
        with_focus = next((place for place, page in enumerate(self.all) if page.plane.box is focus), None)
        self._at = key
        self._make()
        if self._dialog is not None:
            self._dialog.replace(self.all)
            self._presenter.load()
        if with_focus is not None:
            self.all[with_focus].plane.box.setFocus(Qt.FocusReason.OtherFocusReason)
