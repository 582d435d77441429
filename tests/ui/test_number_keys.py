"""A number key answers an agent's question only where it is meant to: not past a menu, a dialog or another window."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QWindow
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu, QWidget

from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.dialogs.keys import KeysDialog
from mission_control_desktop.ui.dialogs.reason import ReasonDialog
from support.rig import Rig, dialog, until
from support.served import Served

LONG = 60.0


async def type_key(window: QWidget, key: Qt.Key) -> None:
    """A key as the system brings it: to the window, which finds who is meant. Not out of a task: events are handled
    before it returns, and the loop must not begin one task inside another."""
    handle = window.window().windowHandle()
    assert isinstance(handle, QWindow)
    done = asyncio.Event()

    def click() -> None:
        QTest.keyClick(handle, key)
        done.set()

    QTimer.singleShot(0, click)
    await done.wait()


def test_only_where_it_is_meant(rig: Rig, house: Served) -> None:
    one = house.spawn("[permission]")
    house.until(one, waitingFor="approval")

    async def scenario() -> None:
        desk = await rig.open()
        window = desk.window
        await until(lambda: desk.store.approvals, "the request", LONG)
        window.activateWindow()
        window.open_session(one)
        panel = desk.panels.get(one)
        assert panel is not None
        await until(lambda: panel.approvals.ready, "that it takes answers")
        asked: list[tuple[str, str]] = []
        panel.approvals.answer_wanted.connect(lambda *what: asked.append(what))

        async def unanswered(what: str) -> None:
            await asyncio.sleep(0.02)  # what was posted is delivered
            assert asked == [], what

        panel.focus_transcript()
        menu = panel.findChild(QMenu) or QMenu(panel)
        menu.addAction("One")
        menu.popup(panel.mapToGlobal(panel.rect().center()))
        await type_key(window, Qt.Key.Key_1)
        await unanswered("a menu is open")
        menu.close()

        window.commands["help.keys"].trigger()
        shown = await dialog(KeysDialog, window)
        await type_key(window, Qt.Key.Key_1)
        await type_key(shown, Qt.Key.Key_1)
        await unanswered("a modal dialog is open")
        shown.close()
        await until(lambda: not shown_dialogs(window))

        panel.ask_kill()
        asking = await dialog(ReasonDialog, panel)
        window.activateWindow()
        panel.focus_transcript()
        await type_key(window, Qt.Key.Key_1)
        await unanswered("a dialog is open beside the window")
        asking.reject()
        await until(lambda: panel.kill_dialog is None)

        window.activateWindow()
        for elsewhere in (panel.composer.edit, window.roster.filter_line, panel.header.pause_button):
            elsewhere.setFocus()
            await type_key(window, Qt.Key.Key_1)
            await unanswered(f"the focus is in {elsewhere}")
        panel.composer.edit.clear()
        window.roster.filter_line.clear()

        foreign = QWidget()
        foreign.show()
        foreign.activateWindow()
        await until(foreign.isActiveWindow)
        QTest.keyClick(panel.pane.view, Qt.Key.Key_1)
        await unanswered("another window is active")
        foreign.close()
        window.activateWindow()
        await until(window.isActiveWindow)
        await answers(desk, one, lambda: panel.focus_transcript())

    rig.run(scenario)


def shown_dialogs(window: QWidget) -> bool:
    return any(d.isVisible() for d in window.findChildren(KeysDialog))


async def answers(desk: Desktop, session_id: str, focus: Callable[[], Any]) -> None:
    """From the transcript it answers, and the agent goes on."""
    focus()
    (approval,) = desk.store.approvals.values()
    await type_key(desk.window, Qt.Key.Key_1)
    await until(lambda: approval.approval_id not in desk.store.approvals, "the answer", LONG)
    panel = desk.panels.get(session_id)
    assert panel is not None
    await until(lambda: panel.approvals.words().startswith("Answered by"), "who answered", LONG)
    await desk.close()
