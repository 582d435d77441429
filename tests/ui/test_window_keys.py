"""Everything by keyboard, and the table of commands as the one truth about keys."""

from __future__ import annotations

from collections import Counter

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QApplication, QLabel, QMenu

from mission_control_desktop.ui.commands import COMMANDS, Menu
from mission_control_desktop.ui.dialogs.keys import KeysDialog
from support.rig import Rig, dialog, press, until
from support.scripted_plane import ScriptedPlane, session


def test_keys_and_ids_are_unique_and_valid() -> None:
    assert max(Counter(c.id for c in COMMANDS).values()) == 1
    keys = [k for c in COMMANDS for k in c.keys]
    assert max(Counter(keys).values()) == 1
    for key in keys:
        assert QKeySequence(key).toString() == key, key


def test_access_keys_of_a_menu_are_unique() -> None:
    for menu in Menu:
        letters = [c.title.split("&", 1)[1][0].lower() for c in COMMANDS if c.menu is menu and "&" in c.title]
        assert max(Counter(letters).values()) == 1, (menu, letters)


def test_every_command_is_handled_and_in_a_menu(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a"))
        desk = await rig.open(plane.open)
        await until(lambda: desk.window.panels.open_ids())
        desk.window.panels.activate("internal:a")
        missing = {f"desk.go_{n}" for n in range(2, 10)}
        for command in COMMANDS:
            assert desk.window.commands.in_effect(command.id) is (command.id not in missing), command.id
        menus = [action.menu() for action in desk.window.menuBar().actions()]
        listed = {action for menu in menus if isinstance(menu, QMenu) for action in menu.actions()}
        assert all(desk.window.commands[c.id] in listed for c in COMMANDS)
        await desk.close()

    rig.run(scenario)


def test_f6_goes_round_all_regions(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a"))
        desk = await rig.open(plane.open)
        window = desk.window
        await until(lambda: window.panels.open_ids())
        window.activateWindow()
        window.roster.tree.setFocus()
        visited = []
        for _ in range(3):
            press(window, Qt.Key.Key_F6)
            focus = QApplication.focusWidget()
            assert focus is not None
            region = next(r for r in (window.header, window.roster, window.panels) if r.isAncestorOf(focus))
            visited.append(region.objectName())
        assert visited == ["panels", "header", "roster"]
        await desk.close()

    rig.run(scenario)


def test_the_help_lists_keys_and_says_why_some_are_off(rig: Rig) -> None:
    async def scenario() -> None:
        desk = await rig.open(ScriptedPlane().open)
        desk.window.commands["help.keys"].trigger()
        shown = await dialog(KeysDialog, desk.window)
        texts = {label.text() for label in shown.findChildren(QLabel)}
        assert "Ctrl+Shift+K" in texts
        assert "only when a panel is open" in texts
        press(shown, Qt.Key.Key_Escape)
        await desk.close()

    rig.run(scenario)


def test_a_question_mark_can_still_be_typed(rig: Rig) -> None:
    async def scenario() -> None:
        desk = await rig.open(ScriptedPlane().open)
        line = desk.window.roster.filter_line
        desk.window.activateWindow()
        line.setFocus()
        press(line, Qt.Key.Key_Question)
        assert line.text() == "?"
        assert not desk.window.findChildren(KeysDialog)
        await desk.close()

    rig.run(scenario)
