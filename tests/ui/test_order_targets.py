"""An order goes to the session that is marked where the keys are, whatever rows and windows do meanwhile."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu

from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.roster.order import GroupBy
from support.rig import Rig, press, until
from support.scripted_plane import ScriptedPlane, session

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
ORDERS = ("pause", "resume", "cancel_turn", "kill", "terminate")


async def opened(rig: Rig, plane: ScriptedPlane, *natives: str) -> Desktop:
    plane.tell(*(session(n, title=f"Agent {n}") for n in natives))
    desk = await rig.open(plane.open)
    window = desk.window
    await until(lambda: window.panels.count == len(natives) and window.roster.model.rowCount() == len(natives))
    window.activateWindow()
    return desk


def orders(plane: ScriptedPlane) -> list[tuple[str, object]]:
    return [(name, value) for name, value in plane.calls if name in ORDERS]


def click_row(desk: Desktop, native: str, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    tree = desk.window.roster.tree
    spot = tree.visualRect(desk.window.roster.model.index_for(f"internal:{native}")).center()
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, modifier, spot)


async def on_a_running_row(rig: Rig, plane: ScriptedPlane) -> Desktop:
    """Three sessions, of which the roster lists what runs; the second one is marked."""
    desk = await opened(rig, plane, "a", "b", "c")
    desk.window.roster.filter_line.setText("status:running")
    desk.window.roster.apply_filter()
    click_row(desk, "b")
    return desk


def test_a_panel_in_a_window_of_its_own_gets_its_orders(rig: Rig) -> None:
    """The main window goes on calling the roster its focus widget."""

    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await opened(rig, plane, "a", "b")
        window = desk.window
        panel: Any = desk.panels.get("internal:b")

        def gone_to_its_window() -> bool:
            panel.window().activateWindow()
            panel.pane.view.setFocus()
            focus = QApplication.focusWidget()
            return panel.window() is not window and focus is not None and panel.isAncestorOf(focus)

        for command in ("panel.float", "panel.full_screen"):
            window.panels.activate("internal:b")
            click_row(desk, "a")
            assert window.current_session_id() == "internal:a"
            window.commands[command].trigger()
            await until(lambda: panel.window() is not window)
            await until(gone_to_its_window, command)
            assert window.panels.current_id == "internal:b"
            assert window.current_session_id() == "internal:b"
            window.commands[command].trigger()
            await until(lambda: panel.window() is window)
            window.activateWindow()
        window.commands["session.pause_resume"].trigger()
        await until(lambda: orders(plane))
        assert [value for _, value in orders(plane)] == ["internal:b"]
        await desk.close()

    rig.run(scenario)


def test_a_row_that_goes_leaves_no_order_to_its_neighbour(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await on_a_running_row(rig, plane)
        window, tree = desk.window, desk.window.roster.tree
        pause = window.commands["session.pause_resume"]
        assert not pause.autoRepeat()
        pause.trigger()
        await until(lambda: window.roster.model.rowCount() == 2, "the paused one gone from the roster")
        assert tree.currentIndex().isValid()
        assert window.current_session_id() == ""
        assert not pause.isEnabled()
        assert [value for _, value in orders(plane)] == ["internal:b"]
        press(tree, Qt.Key.Key_Up)
        press(tree, Qt.Key.Key_Down)
        await until(pause.isEnabled)
        assert [window.current_session_id()] == tree.selected_ids()
        await desk.close()

    rig.run(scenario)


def test_the_marked_row_is_meant_not_the_one_with_the_focus_line(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await opened(rig, plane, "a", "b", "c")
        window, tree = desk.window, desk.window.roster.tree
        click_row(desk, "a")
        click_row(desk, "b", CTRL)
        assert window.several_ids() == ["internal:a", "internal:b"]
        click_row(desk, "b", CTRL)
        assert (tree.selected_ids(), window.several_ids()) == (["internal:a"], [])
        assert window.current_session_id() == "internal:a"
        press(tree, Qt.Key.Key_Down, CTRL)
        assert window.current_session_id() == "internal:a"
        window.panels.activate("internal:c")
        window.roster.model.set_group(GroupBy.PROVIDER)
        tree.setFocus()
        assert tree.select("internal:a")
        press(tree, Qt.Key.Key_Up, SHIFT)
        assert tree.current_session() is None, "on the heading of the group"
        assert window.current_session_id() == "internal:a"
        await desk.close()

    rig.run(scenario)


def test_a_menu_is_for_the_row_that_it_was_opened_for(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await on_a_running_row(rig, plane)
        window, tree = desk.window, desk.window.roster.tree
        tree.customContextMenuRequested.emit(tree.visualRect(window.roster.model.index_for("internal:b")).center())
        menu = await until(QApplication.activePopupWidget, "the menu")
        assert isinstance(menu, QMenu)
        plane.tell(session("b", title="Agent b", status="paused"))
        await until(lambda: window.roster.model.rowCount() == 2, "the row gone")
        assert window.current_session_id() == "internal:b"
        menu.setActiveAction(window.commands["session.pause_resume"])
        press(menu, Qt.Key.Key_Return)
        await until(lambda: orders(plane))
        assert orders(plane) == [("resume", "internal:b")]
        await until(lambda: window.current_session_id() == "", "nothing is meant any more")
        await desk.close()

    rig.run(scenario)
