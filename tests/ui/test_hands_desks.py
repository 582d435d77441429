"""Panels and desks by hand, in the real window on a real control plane: all of it by mouse, then by keyboard alone."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent, QCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMessageBox, QPushButton, QSpinBox, QToolButton, QWidget

from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.desk.dialogs import GridDialog, NameDialog
from support.hands import (
    ALT,
    CTRL,
    LEFT,
    SHIFT,
    by_menu,
    choose,
    click,
    double_click,
    drag_rows,
    dragged_rows,
    drop,
    in_front,
    open_menu_of,
    opened_menu,
    row_spot,
)
from support.rig import Rig, W, dialog, move, press, until
from support.served import Served

LONG = 60.0


def places(desk: Desktop) -> int:
    return len(desk.window.panels.manager.openedDockAreas())


def tab_of(desk: Desktop, session_id: str) -> QWidget:
    tab: QWidget = desk.window.panels._docks[session_id].tabWidget()
    return tab


def own_windows(desk: Desktop) -> list[Any]:
    return list(desk.window.panels.manager.floatingWidgets())


def on_words(tab: QWidget) -> QPoint:
    return QPoint(24, tab.height() // 2)


async def menu_of_tab(desk: Desktop, session_id: str, entry: str) -> None:
    """The right button on a tab, then an entry."""
    tab = tab_of(desk, session_id)
    spot = on_words(tab)
    QApplication.sendEvent(tab, QContextMenuEvent(QContextMenuEvent.Reason.Mouse, spot, tab.mapToGlobal(spot)))
    await choose(await opened_menu(), entry)


async def drag_tab(desk: Desktop, session_id: str, target: QWidget, spot: QPoint) -> None:
    """Drag a panel by its tab; the docking library asks the pointer where it is."""
    tab = tab_of(desk, session_id)
    start = on_words(tab)
    end = tab.mapFromGlobal(target.mapToGlobal(spot))
    QTest.mousePress(tab, LEFT, pos=start)
    for step in range(1, 9):
        here = start + (end - start) * step / 8
        QCursor.setPos(tab.mapToGlobal(here))
        move(tab, here)
    QTest.mouseRelease(tab, LEFT, pos=end)


def turn(box: QSpinBox, wanted: int) -> None:
    """By the arrows at its end."""
    while box.value() != wanted:
        before = box.value()
        click(box, QPoint(box.width() - 8, 8 if before < wanted else box.height() - 8))
        assert box.value() != before


async def all_live(desk: Desktop, ids: list[str]) -> None:
    await until(lambda: all(desk.panels.get(i) is not None for i in ids), "a live panel for each", LONG)


def test_all_of_it_by_mouse_and_then_by_keyboard(rig: Rig, house: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [house.spawn(title=title) for title in ("One", "Two", "Three", "Four")]
    for session_id in ids:
        house.until(session_id, status="waiting")
    left_open: list[str] = []

    async def scenario() -> None:
        desk = await rig.open()
        await until(lambda: set(ids) <= set(desk.store.sessions), "the sessions", LONG)
        await in_front(desk.window)
        assert desk.window.panels.count == 0, "what rests does not open by itself"
        click(desk.window.empty.open_all)
        await until(lambda: desk.window.panels.count == 4, "the panels", LONG)
        await all_live(desk, ids)
        await grid_by_mouse(desk, ids)
        with dragged_rows(monkeypatch) as given:
            await roster_to_grid(desk, ids, given)
        await desks_by_mouse(desk, ids)
        await by_keyboard(desk, ids)
        left_open.extend(desk.window.panels.open_ids())
        desk.state.put("closing_said", True)
        await desk.close()

    async def next_window() -> None:
        desk = rig.desktop()
        assert [desk.window.desks.book.desk(i).name for i in desk.window.desks.book.ids()] == ["Main", "Night"]
        assert desk.window.panels.open_ids() == left_open
        await desk.show()
        await desk.reach()
        await all_live(desk, left_open)
        await desk.close()

    rig.run(scenario, seconds=240)
    rig.run(next_window)
    assert {house.session(i)["status"] for i in ids} == {"waiting"}, "none of it touches a session"


async def grid_by_mouse(desk: Desktop, ids: list[str]) -> None:
    """Presets, tabs, own window, full screen, and a panel that is closed."""
    window, panels = desk.window, desk.window.panels
    one, two, three, four = ids
    for command, count in (("layout.1", 1), ("layout.2", 2), ("layout.4", 4), ("layout.1", 1), ("layout.all", 4)):
        await by_menu(window, command)
        await until(lambda n=count: places(desk) == n, f"{count} places")  # type: ignore[misc]
    await by_menu(window, "layout.n")
    asked = await dialog(GridDialog, window)
    turn(asked.columns, 4)
    turn(asked.rows, 1)
    click(next(b for b in asked.findChildren(QPushButton) if b.text() == "Arrange"))
    await until(lambda: places(desk) == 4 and len({tab_of(desk, i).mapTo(window, QPoint()).y() for i in ids}) == 1)

    await by_menu(window, "layout.4")
    await until(lambda: places(desk) == 4)
    area: Any = panels.area_of(two)
    await drag_tab(desk, one, area, area.rect().center())
    await until(lambda: panels.area_of(one) is panels.area_of(two), "that they share tabs")
    assert places(desk) == 3
    click(tab_of(desk, two), on_words(tab_of(desk, two)))
    await until(lambda: panels.current_id == two and panels._docks[two].isCurrentTab())

    await menu_of_tab(desk, three, "Own window")
    await until(lambda: len(own_windows(desk)) == 1, "its own window")
    await menu_of_tab(desk, three, "Own window")
    await until(lambda: not own_windows(desk), "back in the grid")

    # Where a panel fills the monitor it has no tab and the window no menu: the way back is in its header.
    await menu_of_tab(desk, four, "Full screen")
    await until(lambda: four in panels.full)
    shown = desk.panels.get(four)
    assert shown is not None
    await until(lambda: shown.window() is not window and shown.isVisible())
    more = shown.header.findChild(QToolButton, "menu")
    assert isinstance(more, QToolButton)
    await choose(await open_menu_of(more), "Leave full screen")
    await until(lambda: shown.window() is window, "back in the grid")

    cross: Any = tab_of(desk, four).findChild(QWidget, "tabCloseButton")
    click(tab_of(desk, four), on_words(tab_of(desk, four)))
    await until(cross.isVisible)
    click(cross)
    await until(lambda: four not in panels.open_ids(), "closed")
    await until(lambda: desk.panels.get(four) is None)


async def roster_to_grid(desk: Desktop, ids: list[str], given: list[Any]) -> None:
    """Sessions dragged from the roster, with what the roster hands over: to an edge, into tabs, several at once."""
    panels, tree = desk.window.panels, desk.window.roster.tree
    one, two, three, four = ids
    data = await drag_rows(tree, four, given)
    area: Any = panels.area_of(three)
    edge = area.mapTo(panels, QPoint(area.width() // 2, area.height() - 6))
    drop(panels, edge, data)
    await until(lambda: four in panels.open_ids(), "where it was dropped", LONG)
    await all_live(desk, ids)
    assert panels.area_of(four) is not panels.area_of(three)
    above, below = (tab_of(desk, i).mapTo(panels, QPoint()).y() for i in (three, four))
    assert above < below, "in the lower half"

    click(tree.viewport(), row_spot(tree, one))
    click(tree.viewport(), row_spot(tree, two), CTRL)
    assert set(tree.selected_ids()) == {one, two}
    data = await drag_rows(tree, two, given)
    area = panels.area_of(four)
    drop(panels, area.mapTo(panels, area.rect().center()), data)
    await until(lambda: panels.area_of(one) is panels.area_of(two) is panels.area_of(four), "both in its tabs")
    assert panels.dropping.guide is None


async def desks_by_mouse(desk: Desktop, ids: list[str]) -> None:
    """Made, switched, renamed and removed from the button in the header."""
    window, book = desk.window, desk.window.desks.book
    switcher = window.header.findChild(QToolButton, "header.desk")
    assert isinstance(switcher, QToolButton)
    before = window.panels.arrangement()
    await choose(await open_menu_of(switcher), "New desk")
    asked = await dialog(NameDialog, window)
    QTest.keyClicks(asked.name, "Wall")
    click(asked.keep, QPoint(10, asked.keep.height() // 2))
    click(asked.act)
    await until(lambda: book.current.name == "Wall" and window.panels.count == 0, "an empty desk")
    assert window.pages.currentWidget() is window.empty
    tree = window.roster.tree
    double_click(tree.viewport(), row_spot(tree, ids[2]))
    await until(lambda: window.panels.open_ids() == [ids[2]])
    await choose(await open_menu_of(switcher), "1  Main")
    await until(lambda: book.current.name == "Main")
    assert window.panels.arrangement().docked == before.docked
    await choose(await open_menu_of(switcher), "2  Wall")
    await until(lambda: window.panels.open_ids() == [ids[2]], "the other desk")
    # One panel follows what is clicked in the roster, until it is pinned.
    await in_front(window)
    await by_menu(window, "view.follow_focus")
    click(tree.viewport(), row_spot(tree, ids[3]))
    await until(lambda: window.panels.follower == ids[3])
    click(tree.viewport(), row_spot(tree, ids[0]))
    await until(lambda: window.panels.follower == ids[0])
    assert set(window.panels.open_ids()) == {ids[0], ids[2]}, "it is the same panel"
    await menu_of_tab(desk, ids[0], "Pin")
    await until(lambda: window.panels.follower == "", "pinned")
    await by_menu(window, "view.follow_focus")
    assert not window.following
    await choose(await open_menu_of(switcher), "Rename this desk")
    asked = await dialog(NameDialog, window)
    asked.name.selectAll()
    QTest.keyClicks(asked.name, "Corner")
    click(asked.act)
    await until(lambda: book.current.name == "Corner")
    assert switcher.text() == "Desk: Corner ▾"
    await choose(await open_menu_of(switcher), "Remove this desk")
    box = await dialog(QMessageBox, window)
    click(next(b for b in box.findChildren(QPushButton) if b.text() == "Remove"))
    await until(lambda: len(book.ids()) == 1)
    assert window.panels.arrangement().docked == before.docked


async def from_palette(desk: Desktop, text: str, kind: type[W]) -> W:
    """A command that has no key of its own, and the dialog that it opens."""
    press(QApplication.focusWidget() or desk.window, Qt.Key.Key_K, CTRL)
    palette = desk.window.command_palette
    assert palette.isVisible()
    QTest.keyClicks(palette.line, text)
    press(palette.line, Qt.Key.Key_Return)
    return await dialog(kind, desk.window)


async def by_keyboard(desk: Desktop, ids: list[str]) -> None:
    """The same without the mouse."""
    window, panels, book = desk.window, desk.window.panels, desk.window.desks.book
    one, two, _three, four = ids

    def keys(key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        press(QApplication.focusWidget() or window, key, modifier)

    await in_front(window)
    for key, count in ((Qt.Key.Key_1, 1), (Qt.Key.Key_2, 2), (Qt.Key.Key_4, 4)):
        keys(key, CTRL | ALT)
        await until(lambda n=count: places(desk) == n, f"{count} places")  # type: ignore[misc]
    keys(Qt.Key.Key_G, CTRL | ALT)
    asked = await dialog(GridDialog, window)
    for _ in range(asked.columns.value() - 1):
        press(asked.columns, Qt.Key.Key_Down)
    press(asked.columns, Qt.Key.Key_Tab)
    for _ in range(4 - asked.rows.value()):
        press(asked.rows, Qt.Key.Key_Up)
    assert (asked.columns.value(), asked.rows.value()) == (1, 4)
    press(asked.rows, Qt.Key.Key_Return)
    await until(lambda: len({tab_of(desk, i).mapTo(window, QPoint()).x() for i in ids}) == 1, "one below the other")
    keys(Qt.Key.Key_4, CTRL | ALT)
    await until(lambda: places(desk) == 4)
    keys(Qt.Key.Key_1, CTRL)
    first = panels.current_id
    assert first == panels.open_ids()[0]
    keys(Qt.Key.Key_Right, CTRL | ALT)
    await until(lambda: panels.open_ids()[0] != first, "that it moved")
    keys(Qt.Key.Key_T, CTRL | ALT)
    await until(lambda: places(desk) == 3, "tabs")
    keys(Qt.Key.Key_F, CTRL | ALT)
    await until(lambda: len(own_windows(desk)) == 1, "its own window")
    keys(Qt.Key.Key_F, CTRL | ALT)
    await until(lambda: not own_windows(desk), "back in the grid")
    await in_front(window)
    keys(Qt.Key.Key_F11)
    await until(lambda: first in panels.full)
    shown: Any = panels.panel(first)
    press(shown.window(), Qt.Key.Key_Escape)
    await until(lambda: first not in panels.full, "back in the grid")
    await in_front(window)
    before = panels.current_id
    keys(Qt.Key.Key_Tab, CTRL)
    assert panels.current_id != before
    closed = panels.current_id
    window.desks.save()
    keys(Qt.Key.Key_W, CTRL)
    await until(lambda: closed not in panels.open_ids(), "closed")
    keys(Qt.Key.Key_Z, CTRL | ALT)
    await until(lambda: closed in panels.open_ids(), "undone")

    # A desk, walked to and fro; on it one panel that follows what is chosen in the roster, until it is pinned.
    keys(Qt.Key.Key_N, CTRL | ALT)
    name = await dialog(NameDialog, window)
    QTest.keyClicks(name.name, "Evening")
    press(name.name, Qt.Key.Key_Tab)
    press(name.keep, Qt.Key.Key_Space)
    press(name.name, Qt.Key.Key_Return)
    await until(lambda: book.current.name == "Evening" and panels.count == 0, "an empty desk")
    keys(Qt.Key.Key_1, ALT)
    await until(lambda: panels.count == 4)
    keys(Qt.Key.Key_PageDown, CTRL | ALT)
    await until(lambda: book.current.name == "Evening")
    await in_front(window)
    name = await from_palette(desk, ">rename this desk", NameDialog)
    name.name.selectAll()
    QTest.keyClicks(name.name, "Night")
    press(name.name, Qt.Key.Key_Return)
    await until(lambda: book.current.name == "Night")
    await in_front(window)
    keys(Qt.Key.Key_N, CTRL | ALT)
    name = await dialog(NameDialog, window)
    QTest.keyClicks(name.name, "Short")
    press(name.name, Qt.Key.Key_Return)
    await until(lambda: book.current.name == "Short")
    await in_front(window)
    box = await from_palette(desk, ">remove this desk", QMessageBox)
    press(next(b for b in box.findChildren(QPushButton) if b.text() == "Remove"), Qt.Key.Key_Space)
    await until(lambda: len(book.ids()) == 2, "removed")
    if book.current.name != "Night":
        keys(Qt.Key.Key_2, ALT)
    await until(lambda: book.current.name == "Night")
    tree = window.roster.tree
    tree.setFocus()
    tree.select(one)
    keys(Qt.Key.Key_F, CTRL | SHIFT)
    tree.select(four)
    tree.select(one)
    await until(lambda: panels.follower == one)
    press(tree, Qt.Key.Key_Down)
    await until(lambda: panels.follower == two)
    assert panels.count == 1
    keys(Qt.Key.Key_P, CTRL | ALT)
    await until(lambda: panels.follower == "", "pinned")
    keys(Qt.Key.Key_F, CTRL | SHIFT)
    tree.select(four)
    press(tree, Qt.Key.Key_Return)
    await until(lambda: set(panels.open_ids()) == {two, four})
    window.desks.save()
