"""What a person's hands do to the window, with real mouse events: menus, buttons that open menus, drags that leave a
widget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, QModelIndex, QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QAction, QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu, QWidget
from shiboken6 import isValid

from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.main_window.window import MainWindow
from mission_control_desktop.ui.roster.model import RosterModel
from mission_control_desktop.ui.roster.tree import RosterTree
from support.rig import drag, press, until

LEFT = Qt.MouseButton.LeftButton
CTRL, ALT, SHIFT = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ShiftModifier,
)
NONE = Qt.KeyboardModifier.NoModifier


def click(widget: QWidget, spot: QPoint | None = None, modifier: Qt.KeyboardModifier = NONE) -> None:
    """A press and a release of the left button, in the middle unless told otherwise."""
    assert widget.isVisible(), f"{widget} cannot be seen"
    assert widget.isEnabled(), f"{widget} is out of use: {widget.toolTip()}"
    QTest.mouseClick(widget, LEFT, modifier, widget.rect().center() if spot is None else spot)


def double_click(widget: QWidget, spot: QPoint) -> None:
    """Both presses, as a mouse makes them."""
    QTest.mouseClick(widget, LEFT, NONE, spot)
    QTest.mouseDClick(widget, LEFT, NONE, spot)


def keys(desk: Desktop, key: Qt.Key, modifier: Qt.KeyboardModifier = NONE) -> None:
    """Press it where the focus is."""
    press(QApplication.focusWidget() or desk.window, key, modifier)


async def in_front(window: QWidget) -> None:
    """Ask for it until it is so: a window that is just being shown may miss the first call."""

    def asked() -> bool:
        window.activateWindow()
        return window.isActiveWindow()

    await until(asked, "the window in front")


async def opened_menu() -> QMenu:
    """The menu that is open and in front."""

    def found() -> QMenu | None:
        shown = QApplication.activePopupWidget()
        return shown if isinstance(shown, QMenu) else None

    menu: QMenu = await until(found, "a menu")
    return menu


async def choose(menu: QMenu, text: str) -> None:
    """Click the entry that begins so (access keys left out)."""
    action = next((a for a in menu.actions() if plain(a).startswith(text)), None)
    assert action is not None, f"no {text} in {[plain(a) for a in menu.actions()]}"
    await choose_action(menu, action)


async def choose_action(menu: QMenu, action: QAction) -> None:
    assert action.isVisible(), f"{plain(action)} is hidden"
    assert action.isEnabled(), f"{plain(action)} is out of use"
    QTest.mouseClick(menu, LEFT, pos=menu.actionGeometry(action).center())
    await until(lambda: not isValid(menu) or not menu.isVisible(), "that the menu closes")


def plain(action: QAction) -> str:
    """Its title without access keys."""
    return action.text().replace("&&", "\0").replace("&", "").replace("\0", "&")


async def by_menu(window: MainWindow, command: str) -> None:
    """Carry out a command as the mouse does: its menu in the menu bar, then its entry."""
    action, bar = window.commands[command], window.menuBar()
    for title in bar.actions():
        menu: Any = title.menu()
        if action in menu.actions():
            QTest.mouseClick(bar, LEFT, pos=bar.actionGeometry(title).center())
            await until(menu.isVisible, f"the menu {plain(title)}")
            await choose_action(menu, action)
            return
    raise AssertionError(f"{command} stands in no menu")


async def open_menu_of(button: QWidget) -> QMenu:
    """Click a button that opens a menu. Its menu has a loop of its own, which must not be started by a coroutine."""
    await in_front(button.window())
    QTimer.singleShot(0, lambda: click(button))
    return await opened_menu()


@contextmanager
def dragged_rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[QMimeData]]:
    """What the roster hands to the drags that begin. The off-screen platform ends each drag at once."""
    given: list[QMimeData] = []
    made = RosterModel.mimeData

    def noted(model: RosterModel, indexes: list[QModelIndex]) -> QMimeData:
        data = made(model, indexes)
        copy = QMimeData()
        for kind in data.formats():
            copy.setData(kind, data.data(kind))
        given.append(copy)
        return data

    with monkeypatch.context() as patch:
        patch.setattr(RosterModel, "mimeData", noted)
        yield given


def row_spot(tree: RosterTree, session_id: str) -> QPoint:
    """On a row's words, left of its middle."""
    index = tree.model().index_for(session_id)  # type: ignore[attr-defined]
    rect = tree.visualRect(index)
    assert rect.isValid(), f"{session_id} is not on the screen"
    return QPoint(rect.left() + 60, rect.center().y())


async def drag_rows(tree: RosterTree, session_id: str, given: list[QMimeData]) -> QMimeData:
    """Begin to drag, at this session's row, what is selected; what is dragged."""
    before = len(given)
    spot = row_spot(tree, session_id)
    QTimer.singleShot(0, lambda: drag(tree.viewport(), spot, spot + QPoint(240, 10)))
    await until(lambda: len(given) > before, "that a drag begins")
    return given[-1]


def drop(widget: QWidget, spot: QPoint, data: QMimeData) -> None:
    """What the window system sends when a drag comes, moves and ends over a widget."""
    action = Qt.DropAction.CopyAction
    for event in (
        QDragEnterEvent(spot, action, data, LEFT, NONE),
        QDragMoveEvent(spot, action, data, LEFT, NONE),
        QDropEvent(QPointF(spot), action, data, LEFT, NONE),
    ):
        QApplication.sendEvent(widget, event)
        assert event.isAccepted()


def listed(desk: Desktop) -> list[str]:
    """Titles of the roster's rows, from above."""
    model = desk.window.roster.model
    found = (model.session_at(model.index(row, 0)) for row in range(model.rowCount()))
    return [one.title or "" for one in found if one is not None]


def status(desk: Desktop, session_id: str) -> str:
    """Of a session, as the window has it."""
    return desk.store.sessions[session_id].status.value
