"""Every room and dialog of the real window, opened and left again as persons do it, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from PySide6.QtWidgets import QApplication, QDialog, QMenu, QMessageBox, QPushButton, QWidget

from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.commands import COMMANDS
from mission_control_desktop.ui.dialogs.fitting import FittingDialog
from mission_control_desktop.ui.dialogs.reason import ReasonDialog
from mission_control_desktop.ui.launch.profile_form import ProfileForm
from mission_control_desktop.ui.settings.connections import ConnectionsPage, PlaneForm, PlaneRemoval
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from mission_control_desktop.ui.settings.profiles import ProfilesPage
from mission_control_desktop.ui.settings.provider_form import ProviderForm
from mission_control_desktop.ui.settings.provider_removal import ProviderRemoval
from mission_control_desktop.ui.settings.providers import ProvidersPage
from mission_control_desktop.ui.several.ending import EndSeveralDialog
from support.rig import W, dialog, dialogs, until

Room = tuple[str, QWidget]
PANES = ("mission.attention", "view.audit")


async def every_room(desk: Desktop, session_id: str) -> AsyncIterator[Room]:
    """A name for each room and the widget that is it, while it is open. `session_id` is alive, and what dialogs about
    one session are about. Nothing is ordered: whatever asks is told no."""
    for rooms in (_of_commands, _settings, _panes, _about_several, _of_a_panel, _on_leaving):
        async for room in rooms(desk, session_id):
            yield room


def dialog_kinds() -> set[type[QDialog]]:
    """All kinds of dialogs that the window has, and that have been imported."""
    found, todo = set(), list(QDialog.__subclasses__())
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind.__module__.startswith("mission_control_desktop.ui.") and kind is not FittingDialog:
            found.add(kind)
    return found


async def _of_commands(desk: Desktop, session_id: str) -> AsyncIterator[Room]:
    """What the commands open that end in an ellipsis, and the help."""
    window = desk.window
    window.desks.add("Second", copy=True)  # the last desk is not asked about: it stays
    for command in COMMANDS:
        action = window.commands[command.id]
        if not (command.title.endswith("…") or command.id.startswith("help.")):
            continue
        window.open_session(session_id)
        window.roster.tree.select_ids([session_id])
        assert action.isEnabled(), command.id
        action.trigger()
        await asyncio.sleep(0.02)
        shown = [*dialogs(window), *_menus()]
        if window.pages.currentWidget() is window.launch:
            shown.append(window.launch)
        assert len(shown) == 1, f"{command.id} opens {shown}"
        yield command.id, shown[0]
        if shown[0] is window.launch:
            window.launch.own_requested.emit()
            async for room in _asked("a profile of one's own", ProfileForm, window):
                yield room
            window.leave_launch()
        else:
            _leave(shown[0])
        await asyncio.sleep(0)


async def _settings(desk: Desktop, _session_id: str) -> AsyncIterator[Room]:
    desk.window.commands["mission.settings"].trigger()
    shown = await dialog(SettingsDialog, desk.window)
    for row in range(shown.list.count()):
        shown.list.setCurrentRow(row)
        await asyncio.sleep(0.02)
        yield f"settings, {shown.current.key}", shown
    profiles = shown.page(ProfilesPage)
    shown.show_page(profiles.key)
    profiles.add.click()
    async for room in _asked("settings, profiles, new", ProfileForm, desk.window):
        yield room
    providers = shown.page(ProvidersPage)
    shown.show_page(providers.key)
    await until(lambda: providers.kinds and providers.model.rowCount(), "the list of providers")
    providers.register_.click()
    async for room in _asked("settings, providers, register", ProviderForm, shown):
        yield room
    for row in range(providers.model.rowCount()):
        view = providers.model.view_at(row)
        if view is None or view.built_in:
            continue
        providers.choose(view.id)
        await until(providers.edit.isEnabled, "a provider that can be changed")
        providers.edit.click()
        async for room in _asked("settings, providers, edit", ProviderForm, shown):
            yield room
        providers.remove.click()
        async for room in _asked("settings, providers, remove", ProviderRemoval, shown):
            yield room
    connections = shown.page(ConnectionsPage)
    shown.show_page(connections.key)
    connections.add.click()
    async for room in _asked("settings, connections, add", PlaneForm, shown):
        yield room
    if connections.table.rowCount():
        connections.table.selectRow(0)
        connections.token.click()
        async for room in _asked("settings, connections, token", PlaneForm, shown):
            yield room
        connections.remove.click()
        async for room in _asked("settings, connections, remove", PlaneRemoval, shown):
            yield room
    shown.reject()


async def _panes(desk: Desktop, _session_id: str) -> AsyncIterator[Room]:
    """What stands beside or over the panels."""
    window = desk.window
    for command in PANES:
        window.commands[command].trigger()
        await asyncio.sleep(0.05)
        yield command, window
        window.commands[command].trigger()
    palette = window.command_palette
    window.activateWindow()
    for text in ("", ">", "@", "#", "/", "zzzqqq"):
        if palette.isHidden():
            window.commands["view.palette"].trigger()
        palette.line.setText(text)
        await asyncio.sleep(0)
        yield f"palette {text}", palette
    palette.leave()
    notice = window.notices.show_notice("Something failed: do this.", error=True, action="Try again", key="a room")
    yield "notice", notice
    window.notices.dismiss("a room")


async def _about_several(desk: Desktop, session_id: str) -> AsyncIterator[Room]:
    window = desk.window
    chosen = [session_id, *(s.session_id for s in desk.store.live() if s.session_id != session_id)][:3]
    for action in ("terminate", "kill"):
        window.several_requested.emit(chosen, action)
        async for room in _asked(f"several, {action}", EndSeveralDialog, window):
            yield room


async def _of_a_panel(desk: Desktop, session_id: str) -> AsyncIterator[Room]:
    desk.window.open_session(session_id)
    panel: Any = await until(lambda: desk.panels.get(session_id), "a live panel")
    panel.pane.open_find()
    yield "find in a panel", panel
    panel.pane.find_bar.close_bar()
    panel.header.kill_button.click()
    async for room in _asked("kill in a panel", ReasonDialog, panel):
        yield room


async def _on_leaving(desk: Desktop, _session_id: str) -> AsyncIterator[Room]:
    desk.window.close()
    shown = await dialog(QMessageBox, desk.window)
    yield "on leaving", shown
    stay = next(b for b in shown.findChildren(QPushButton) if b.text() == "Stay")
    stay.click()
    await until(lambda: not dialogs(desk.window), "that the window stays")


async def _asked(name: str, kind: type[W], parent: QWidget) -> AsyncIterator[Room]:
    shown = await dialog(kind, parent)
    yield name, shown
    _leave(shown)
    await until(lambda: not any(d.isVisible() for d in parent.findChildren(kind)), f"the end of {name}")


def _menus() -> list[QMenu]:
    return [w for w in QApplication.topLevelWidgets() if isinstance(w, QMenu) and w.isVisible()]


def _leave(shown: QWidget) -> None:
    if isinstance(shown, QDialog):
        shown.reject()
    else:
        shown.close()
