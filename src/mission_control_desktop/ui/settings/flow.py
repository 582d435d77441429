"""Opens the settings and carries out what their pages ask for."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject

from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.launch.flow import LaunchFlow
from mission_control_desktop.ui.local_state import TRAY
from mission_control_desktop.ui.main_window.window import MainWindow
from mission_control_desktop.ui.plane_book import PlaneBook
from mission_control_desktop.ui.planes import Planes
from mission_control_desktop.ui.settings.appearance import AppearancePage
from mission_control_desktop.ui.settings.connections import ConnectionsPage
from mission_control_desktop.ui.settings.connections_presenter import ConnectionsPresenter
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from mission_control_desktop.ui.settings.keys import KeysPage
from mission_control_desktop.ui.settings.notifications import NotificationsPage
from mission_control_desktop.ui.settings.plane_pages import PlanePages


class SettingsFlow(QObject):
    """At most one dialog at a time."""

    def __init__(
        self,
        window: MainWindow,
        tasks: Tasks,
        facts: Callable[[], tuple[tuple[str, str], ...]],
        planes: Planes,
        book: PlaneBook,
        launch: LaunchFlow,
        parent: QObject | None = None,
    ) -> None:
        """`facts`: what is said of the window's own connection."""
        super().__init__(parent)
        self._planes, self._book, self._launch = planes, book, launch
        self._window, self._tasks, self._facts = window, tasks, facts
        self._dialog: SettingsDialog | None = None

    def open(self, key: str = "") -> SettingsDialog:
        """Open the settings at a page, or turn to it if they are open."""
        if self._dialog is not None:
            if key:
                self._dialog.show_page(key)
            return self._dialog
        state = self._window.state
        appearance = AppearancePage(tray=bool(state.get(TRAY, True)))
        appearance.chosen.connect(self._window.choose_appearance)
        appearance.tray_chosen.connect(lambda on: state.put(TRAY, on))
        keys = KeysPage(self._window.commands)
        keys.changed.connect(self._window.keep_keys)
        keys.enter_chosen.connect(self._window.choose_enter)
        connections = ConnectionsPage(self._facts())
        ConnectionsPresenter(
            connections, self._book, self._planes, self._window.store, self._tasks, self._window.notices.show_notice
        )
        telling = self._window.telling
        notifications = NotificationsPage(telling.teller.rules, how=telling.how)
        notifications.chosen.connect(telling.choose)
        notifications.try_requested.connect(telling.attempt)
        of_plane = PlanePages(self._planes, self._window.store, self._launch, self._tasks)
        providers, profiles, retention = of_plane.all
        pages = (connections, providers, profiles, appearance, keys, notifications, retention)
        dialog = SettingsDialog(pages, self._window, page=key)
        dialog.finished.connect(self._on_closed)
        self._dialog = dialog
        of_plane.serve(dialog)
        dialog.open()
        return dialog

    def _on_closed(self) -> None:
        self._dialog = None
