"""Opens the settings and carries out what their pages ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.profiles import ProfileView
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.main_window.window import MainWindow
from mission_control_desktop.ui.plane_book import PlaneBook
from mission_control_desktop.ui.planes import Planes
from mission_control_desktop.ui.ports import Gateway
from mission_control_desktop.ui.settings.appearance import TRAY, AppearancePage
from mission_control_desktop.ui.settings.connections import ConnectionsPage
from mission_control_desktop.ui.settings.connections_presenter import ConnectionsPresenter
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from mission_control_desktop.ui.settings.keys import KeysPage
from mission_control_desktop.ui.settings.notifications import NotificationsPage
from mission_control_desktop.ui.settings.profiles import ProfilesPage, profiles_refusal
from mission_control_desktop.ui.settings.providers import ProvidersPage
from mission_control_desktop.ui.settings.providers_presenter import ProvidersPresenter
from mission_control_desktop.ui.settings.retention import RetentionPage, RetentionPresenter


@dataclass(frozen=True)
class Standing:
    """Who is connected to what. `role` is None before the first connection."""

    role: Role | None
    facts: tuple[tuple[str, str], ...]


class SettingsFlow(QObject):
    """At most one dialog at a time."""

    edit_profile_requested = Signal(object)
    """The name of a profile, or None for a new one."""

    def __init__(
        self,
        window: MainWindow,
        gateway: Gateway,
        tasks: Tasks,
        standing: Callable[[], Standing],
        planes: Planes,
        book: PlaneBook,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._planes, self._book = planes, book
        self._window, self._gateway, self._tasks, self._standing = window, gateway, tasks, standing
        self._dialog: SettingsDialog | None = None
        self._profiles: Sequence[ProfileView] = ()

    def show_profiles(self, profiles: Sequence[ProfileView]) -> None:
        """The profiles as they are now."""
        self._profiles = profiles
        if self._dialog is not None:
            self._dialog.page(ProfilesPage).show_profiles(profiles)

    def open(self, key: str = "") -> SettingsDialog:
        """Open the settings at a page, or turn to it if they are open."""
        if self._dialog is not None:
            if key:
                self._dialog.show_page(key)
            return self._dialog
        state, standing = self._window.state, self._standing()
        appearance = AppearancePage(tray=bool(state.get(TRAY, True)))
        appearance.chosen.connect(self._window.choose_appearance)
        appearance.tray_chosen.connect(lambda on: state.put(TRAY, on))
        keys = KeysPage(self._window.commands)
        keys.changed.connect(self._window.keep_keys)
        keys.enter_chosen.connect(self._window.choose_enter)
        profiles = ProfilesPage()
        profiles.set_refusal(profiles_refusal(standing.role))
        profiles.show_profiles(self._profiles)
        profiles.add_requested.connect(lambda: self.edit_profile_requested.emit(None))
        profiles.edit_requested.connect(self.edit_profile_requested.emit)
        connections = ConnectionsPage(standing.facts)
        ConnectionsPresenter(
            connections, self._book, self._planes, self._window.store, self._tasks, self._window.notices.show_notice
        )
        providers = ProvidersPage()
        presenter = ProvidersPresenter(
            providers, self._window.store, self._gateway, self._tasks, standing.role, parent=providers
        )
        telling = self._window.telling
        notifications = NotificationsPage(telling.teller.rules, how=telling.how)
        notifications.chosen.connect(telling.choose)
        notifications.try_requested.connect(telling.attempt)
        retention = RetentionPage(standing.role)
        kept = RetentionPresenter(retention, self._gateway, self._tasks)
        pages = (connections, providers, profiles, appearance, keys, notifications, retention)
        dialog = SettingsDialog(pages, self._window, page=key)
        dialog.finished.connect(presenter.close)
        dialog.finished.connect(kept.close)
        dialog.finished.connect(self._on_closed)
        self._dialog = dialog
        presenter.load()
        dialog.open()
        return dialog

    def _on_closed(self) -> None:
        self._dialog = None
