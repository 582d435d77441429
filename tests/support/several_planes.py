"""One window on two control planes, each a process of its own: what tests of it have in common."""

from __future__ import annotations

from typing import Any

from keyring.backend import KeyringBackend
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.settings.connections import ConnectionsPage, PlaneForm
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from support.rig import dialog, press, until
from support.served import Served

LONG = 60.0


class Kept(KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self.held.pop((service, username), None)


def type_into(field: Any, text: str) -> None:
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, text)


async def connections(desk: Desktop) -> tuple[SettingsDialog, ConnectionsPage]:
    desk.window.settings_requested.emit("connections")
    shown = await dialog(SettingsDialog, desk.window)
    return shown, shown.page(ConnectionsPage)


async def add_team(desk: Desktop, team: Served, token: str) -> None:
    """By the settings, as a person does."""
    shown, page = await connections(desk)
    press(page.add, Qt.Key.Key_Space)
    form = await dialog(PlaneForm, page)
    type_into(form.name, "team")
    type_into(form.address, team.url)
    type_into(form.token, token)
    press(form.token, Qt.Key.Key_Return)
    await until(lambda: (plane := desk.planes.get("team")) is not None and plane.connected and plane.role, "team", LONG)
    shown.close()
