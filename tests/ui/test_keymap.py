"""Keys that a person chooses: conflicts are named, nothing is taken in silence, and every window has them at once."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel

from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.commands import BY_ID, COMMANDS, Keymap
from mission_control_desktop.ui.commands.keymap import refusal
from mission_control_desktop.ui.dialogs.keys import KeysDialog
from mission_control_desktop.ui.panel import enter
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from mission_control_desktop.ui.settings.keys import KeysPage
from support.rig import Rig, dialog, press, until
from support.scripted_plane import ScriptedPlane, session

CTRL, SHIFT, ALT = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.AltModifier,
)


@pytest.mark.parametrize("key", ["Ctrl+Alt+Q", "F9", "Shift+F9", "Ctrl+Shift+Tab", "Meta+A", "Ctrl+;"])
def test_keys_that_a_command_can_have(key: str) -> None:
    assert refusal(key) == ""


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("A", "write"),
        ("1", "answer"),
        ("Shift+A", "write"),
        ("Esc", "alone"),
        ("Ctrl+C", "copies"),
        ("Ctrl+Return", "message input"),
        ("Alt+M", "menu Mission"),
        ("Ctrl+K, X", "not one key"),
        ("nonsense", "not one key"),
        ("", "not one key"),
    ],
)
def test_keys_that_a_command_cannot_have_are_refused_in_words(key: str, word: str) -> None:
    assert word in refusal(key)
    with pytest.raises(ValueError, match=word):
        Keymap().set("view.roster", [key])


def unique(keymap: Keymap) -> bool:
    keys = [key for command in COMMANDS for key in keymap.keys(command.id)]
    return len(keys) == len(set(keys))


def test_no_key_belongs_to_two_and_reset_gives_back() -> None:
    keymap = Keymap()
    keymap.set("view.roster", ["Ctrl+J", "F9"])
    assert keymap.owner("Ctrl+J") == "view.roster"
    assert keymap.keys("mission.next_attention") == ("F8",)
    assert unique(keymap)
    assert keymap.in_the_way_of_reset("mission.next_attention") == ["view.roster"]
    keymap.reset("mission.next_attention")
    assert keymap.keys("view.roster") == ("F9",)
    assert unique(keymap)
    keymap.reset_all()
    assert keymap.chosen() == {}
    assert all(keymap.is_default(command.id) for command in COMMANDS)


def test_what_was_kept_is_read_again_whatever_stands_there() -> None:
    keymap = Keymap()
    keymap.set("view.roster", ["Ctrl+J"])
    keymap.set("help.keys", [])
    assert Keymap(keymap.chosen()).chosen() == keymap.chosen()
    damaged: Any = {
        "gone.command": ["F9"],
        "view.roster": "F9",
        "view.audit": ["F9", 7, "A", "F9"],
        "view.filter": ["F9"],
        "help.keys": ["?"],
    }
    read = Keymap(damaged)
    assert read.keys("view.audit") == ("F9",)
    assert read.keys("view.filter") == ()
    assert read.keys("help.keys") == ("?",)
    assert read.keys("view.roster") == BY_ID["view.roster"].keys
    assert unique(read)


def test_enter_does_one_thing_for_each_key() -> None:
    keys = enter.EnterKeys().with_act("Enter", enter.Act.LINE)
    assert keys.acts == (enter.Act.LINE, enter.Act.OTHER, enter.Act.SEND)
    assert enter.EnterKeys.of(keys.stored()) == keys
    for wrong in (None, "send", ["send"], ["send", "send", "line"], ["send", "other", 3]):
        assert enter.EnterKeys.of(wrong) == enter.EnterKeys()


async def keys_page(desk: Desktop) -> KeysPage:
    desk.window.settings_requested.emit("keys")
    shown = await dialog(SettingsDialog, desk.window)
    page = shown.page(KeysPage)
    shown.activateWindow()
    await until(shown.isActiveWindow)
    await until(page.isVisible)
    return page


def test_a_key_is_changed_by_keyboard_and_by_mouse_and_kept(rig: Rig) -> None:
    plane = ScriptedPlane()
    plane.tell(session("a"), session("b"))

    async def first() -> None:
        desk = await rig.open(plane.open)
        window = desk.window
        await until(lambda: window.panels.count == 2)
        window.activateWindow()
        page = await keys_page(desk)
        # By keyboard: find it, change it.
        page.search.setFocus()
        QTest.keyClicks(page.search, "roster view")
        shown = [r for r in range(page.table.rowCount()) if not page.table.isRowHidden(r)]
        assert "view.roster" in {COMMANDS[r].id for r in shown}
        assert len(shown) < 6
        page.choose("view.roster")
        page.change.setFocus()
        press(page.change, Qt.Key.Key_Space)
        assert QApplication.focusWidget() is page.catcher
        press(page.catcher, Qt.Key.Key_R)
        assert "alone is used to write" in page.said.text()
        press(page.catcher, Qt.Key.Key_J, CTRL)
        assert "Go to the next session that needs you" in page.said.text()
        assert window.commands.keymap.owner("Ctrl+J") == "mission.next_attention", "nothing is taken in silence"
        assert QApplication.focusWidget() is page.no
        press(page.no, Qt.Key.Key_Space)
        assert window.commands.keymap.is_default("view.roster")
        # By mouse, and this time taken.
        QTest.mouseClick(page.change, Qt.MouseButton.LeftButton)
        press(page.catcher, Qt.Key.Key_J, CTRL)
        QTest.mouseClick(page.yes, Qt.MouseButton.LeftButton)
        assert window.commands.keymap.keys("view.roster") == ("Ctrl+J",)
        assert window.commands.keymap.keys("mission.next_attention") == ("F8",)
        QTest.mouseClick(page.add, Qt.MouseButton.LeftButton)
        press(page.catcher, Qt.Key.Key_F9)
        assert "F9" in page.said.text()
        assert "Ctrl+J" not in window.header.attention.toolTip()
        # Given up.
        QTest.mouseClick(page.change, Qt.MouseButton.LeftButton)
        press(page.catcher, Qt.Key.Key_Escape)
        assert page.catcher.isHidden()
        page.enter["Enter"].setCurrentIndex(2)
        page.enter["Enter"].activated.emit(2)
        assert page.enter["Shift+Enter"].currentText() == "send"
        page.window().close()
        await until(lambda: not any(d.isVisible() for d in window.findChildren(SettingsDialog)))

        # At once, here and in a panel's own window.
        window.activateWindow()
        await until(window.isActiveWindow)
        window.panels.activate("internal:a")
        press(window, Qt.Key.Key_J, CTRL)
        assert window.roster.isHidden()
        press(window, Qt.Key.Key_B, CTRL)
        assert window.roster.isHidden(), "the former key does nothing"
        window.panels.float_or_dock()
        panel = desk.panels.get("internal:a")
        assert panel is not None
        await until(lambda: panel.window() is not window)
        panel.window().activateWindow()
        await until(panel.window().isActiveWindow)
        press(panel.pane.view, Qt.Key.Key_F9)
        assert window.roster.isVisible()
        panel.composer.edit.setFocus()
        QTest.keyClicks(panel.composer.edit, "one")
        press(panel.composer.edit, Qt.Key.Key_Return)
        assert panel.composer.edit.toPlainText() == "one\n", "Enter starts a line now"

        # What is active here, with the keys as they are.
        window.commands["help.keys"].trigger()
        overlay = await dialog(KeysDialog, window)
        texts = [label.text() for label in overlay.findChildren(QLabel)]
        assert "Here: the message input" in texts
        assert texts[texts.index("Enter") + 1] == "New line"
        assert "Ctrl+J or F9" in texts
        overlay.close()
        await desk.close()

    async def second() -> None:
        enter.set_current(enter.EnterKeys())
        desk = await rig.open(plane.open)
        assert desk.window.commands["view.roster"].shortcut().toString() == "Ctrl+J"
        assert enter.current().act(SHIFT) is enter.Act.SEND
        page = await keys_page(desk)
        page.choose("mission.next_attention")
        assert page.reset.isEnabled()
        QTest.mouseClick(page.reset, Qt.MouseButton.LeftButton)
        assert "R" in page.said.text()
        QTest.mouseClick(page.no, Qt.MouseButton.LeftButton)
        QTest.mouseClick(page.reset_all, Qt.MouseButton.LeftButton)
        QTest.mouseClick(page.yes, Qt.MouseButton.LeftButton)
        assert desk.window.commands.keymap.chosen() == {}
        assert desk.state.get("keys") is None
        assert desk.window.commands["view.roster"].shortcut().toString() == "Ctrl+B"
        await desk.close()

    try:
        rig.run(first)
        rig.run(second)
    finally:
        enter.set_current(enter.EnterKeys())
