"""The palette on a real control plane: by keyboard and by mouse, over each window, and never past a confirmation."""

from __future__ import annotations

import time

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.dialogs.kill_all import KillAllDialog
from mission_control_desktop.ui.dialogs.reason import ReasonDialog
from mission_control_desktop.ui.palette.palette import Palette
from support.rig import Rig, dialog, press, until
from support.scripted_plane import ScriptedPlane, session
from support.served import Served

LONG = 60.0


def opened(desk: Desktop) -> Palette:
    """Open it by its key."""
    palette = desk.window.command_palette
    press(QApplication.focusWidget() or desk.window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    assert palette.isVisible()
    return palette


def in_front(window: QWidget) -> bool:
    """Ask for it until it is so: one that is just being shown may miss the first call."""
    window.activateWindow()
    return window.isActiveWindow()


def chosen_by_key(palette: Palette, text: str) -> str:
    QTest.keyClicks(palette.line, text)
    title = palette.found[0].title
    press(palette.line, Qt.Key.Key_Return)
    return title


def test_it_leads_everywhere_on_a_real_control_plane(rig: Rig, house: Served) -> None:
    one = house.spawn(title="Fix the gateway tests")
    two = house.spawn(title="Write the release notes")
    house.until(one, status="waiting")
    house.until(two, status="waiting")

    async def scenario() -> None:
        desk = await rig.open()
        window = desk.window
        await until(lambda: len(desk.store.sessions) == 2, "both", LONG)
        window.opening.open_sessions([one, two])  # they rest: their panels do not open by themselves
        await until(lambda: window.panels.count == 2, "their panels", LONG)
        window.activateWindow()

        # A session whose panel was closed, by letters that stand apart.
        window.panels.close_panel(one)
        window.panels.activate(two)
        panel = desk.panels.get(two)
        assert panel is not None
        panel.composer.edit.setFocus()
        palette = opened(desk)
        assert chosen_by_key(palette, "@fxgtw") == "Fix the gateway tests"
        await until(lambda: window.panels.current_id == one)
        assert palette.isHidden()
        assert panel.composer.edit.toPlainText() == "", "nothing was typed behind it"

        # A panel, by mouse.
        palette = opened(desk)
        QTest.keyClicks(palette.line, "#notes")
        place = palette.list.visualRect(palette.model.index(0)).center()
        QTest.mouseClick(palette.list.viewport(), Qt.MouseButton.LeftButton, pos=place)
        assert window.panels.current_id == two

        # Over a panel's own window.
        window.panels.float_or_dock()
        own = window.panels.panel(window.panels.current_id)
        assert own is not None
        await until(lambda: own.window() is not window, "its own window")
        await until(lambda: in_front(own.window()), "its own window in front")
        window.activateWindow()
        await until(window.isActiveWindow, "the window in front of it")
        assert own.window().isVisible(), "it stands behind, and is not gone"
        await until(lambda: in_front(own.window()), "its own window in front again")
        palette = opened(desk)
        assert palette.window() is own.window()
        press(palette.line, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
        assert palette.isHidden()
        assert palette.window() is window
        window.panels.float_or_dock()
        window.activateWindow()
        await until(window.isActiveWindow, "the window in front")

        # What kills asks first, here as everywhere.
        palette = opened(desk)
        assert chosen_by_key(palette, ">kill all") == "Kill All…"
        board = await dialog(KillAllDialog, window)
        board.reject()
        palette = opened(desk)
        assert chosen_by_key(palette, ">kill ses").startswith("Kill")
        asking = await dialog(ReasonDialog, window)
        asking.reject()
        assert len(desk.store.live()) == 2

        # What was used comes first, also in the next window.
        palette = opened(desk)
        assert palette.found[0].title == "Kill…"
        press(palette.line, Qt.Key.Key_Escape)
        assert palette.isHidden()
        await desk.close()

    async def later() -> None:
        desk = await rig.open()
        desk.window.activateWindow()
        palette = opened(desk)
        await until(lambda: desk.store.sessions)
        assert palette.found[0].title == "Kill…"
        await desk.close()

    rig.run(scenario)
    rig.run(later)


def test_what_cannot_be_used_says_why_and_does_nothing(rig: Rig) -> None:
    async def scenario() -> None:
        desk = await rig.open(ScriptedPlane().open)
        window = desk.window
        window.activateWindow()
        palette = opened(desk)
        QTest.keyClicks(palette.line, ">full screen on")
        assert palette.found[0].why_not == "only when a panel is open"
        assert palette.foot.text() == "Not now: only when a panel is open."
        press(palette.line, Qt.Key.Key_Return)
        assert palette.isVisible()
        # Keys that are commands elsewhere are not carried out behind it.
        press(palette.line, Qt.Key.Key_B, Qt.KeyboardModifier.ControlModifier)
        assert window.roster.isVisible()
        window.roster.filter_line.setFocus()
        assert palette.isHidden(), "who goes elsewhere leaves it"
        QTest.keyClicks(opened(desk).line, "zzzqqq")
        assert palette.foot.text().startswith("Nothing is called so")
        press(palette.line, Qt.Key.Key_Return)
        press(palette.line, Qt.Key.Key_Escape)
        await desk.close()

    rig.run(scenario)


def test_ten_thousand_sessions_are_found_between_two_keystrokes(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await rig.open(plane.open)
        desk.store.put(session(f"s{n:05d}", title=f"Task {n} of the fleet", status="completed") for n in range(10_000))
        desk.window.activateWindow()
        palette = opened(desk)
        began = time.perf_counter()
        QTest.keyClicks(palette.line, "task 9999")
        took = time.perf_counter() - began
        assert palette.found[0].title == "Task 9999 of the fleet"
        assert took < 10, "nine keystrokes"
        await desk.close()

    rig.run(scenario)
