"""Panels on several monitors, desks as files and after a crash, by hand: the real window on a real control plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent, QCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QMenu, QWidget

from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.desk.arrangement import panels_of
from support.file_dialogs import answer_file_dialog
from support.hands import ALT, CTRL, LEFT, SHIFT, by_menu, choose, click, in_front, keys, opened_menu
from support.rig import Rig, killed, move, press, until
from support.screens import Screen, connect, monitors
from support.served import Served

LONG = 60.0
NEAR, FAR = Screen("left", 0, 0, 1920, 1080), Screen("right", 1920, 0, 2560, 1440)


@pytest.fixture
def two_monitors(qapp: QApplication) -> Iterator[None]:
    with monitors(NEAR, FAR):
        yield


def own_windows(desk: Desktop) -> list[Any]:
    return list(desk.window.panels.manager.floatingWidgets())


def tab_of(desk: Desktop, session_id: str) -> QWidget:
    tab: QWidget = desk.window.panels._docks[session_id].tabWidget()
    return tab


async def menu_of_tab(desk: Desktop, session_id: str) -> QMenu:
    """The right button on a tab."""
    tab = tab_of(desk, session_id)
    spot = QPoint(24, tab.height() // 2)
    QApplication.sendEvent(tab, QContextMenuEvent(QContextMenuEvent.Reason.Mouse, spot, tab.mapToGlobal(spot)))
    return await opened_menu()


async def monitor_menu() -> QMenu:
    def found() -> QMenu | None:
        shown = QApplication.activePopupWidget()
        return shown if isinstance(shown, QMenu) and shown.objectName() == "menu.monitors" else None

    menu: QMenu = await until(found, "the monitors")
    return menu


async def all_live(desk: Desktop, ids: list[str]) -> None:
    await until(lambda: all(desk.panels.get(i) is not None for i in ids), "a live panel for each", LONG)


@pytest.mark.timeout(240)
def test_monitors_edges_and_files_by_hand(rig: Rig, house: Served, two_monitors: None, tmp_path: Path) -> None:
    ids = [house.spawn(title=title) for title in ("One", "Two", "Three")]
    for session_id in ids:
        house.until(session_id, status="waiting")

    async def scenario() -> None:
        desk = await rig.open()
        desk.window.setGeometry(100, 100, 1280, 800)
        await until(lambda: set(ids) <= set(desk.store.sessions), "the sessions", LONG)
        await in_front(desk.window)
        click(desk.window.empty.open_all)
        await until(lambda: desk.window.panels.count == 3, "the panels", LONG)
        await all_live(desk, ids)
        await a_monitor_by_key(desk, ids)
        await a_monitor_by_mouse(desk, ids)
        await to_an_edge(desk, ids)
        await as_files(desk, tmp_path)
        await a_monitor_goes_and_comes_back(desk, ids)
        desk.state.put("closing_said", True)
        await desk.close()

    async def after_a_crash() -> None:
        said = killed(_KILLED, rig.folder, *ids, seconds=110)
        desk = rig.desktop()
        panels, book = desk.window.panels, desk.window.desks.book
        assert book.current.name == "Night"
        assert repr(panels.open_ids()) == said, "before the first paint"
        arrangement = panels.arrangement()
        assert [list(panels_of(w.content)) for w in arrangement.windows] == [[ids[1]]]
        assert arrangement.windows[0].place.monitor == "right"
        await desk.show()
        await desk.reach()
        await all_live(desk, panels.open_ids())
        (own,) = own_windows(desk)
        assert own.isVisible()
        assert own.geometry().left() >= FAR.x
        assert desk.window.notices.texts() == []
        await desk.close()

    rig.run(scenario, seconds=240)
    rig.run(after_a_crash, seconds=240)
    assert {house.session(i)["status"] for i in ids} == {"waiting"}, "none of it touches a session"


async def a_monitor_by_key(desk: Desktop, ids: list[str]) -> None:
    window, panels = desk.window, desk.window.panels
    await in_front(window)
    keys(desk, Qt.Key.Key_1, CTRL)
    first = panels.current_id
    assert first in ids
    keys(desk, Qt.Key.Key_M, CTRL | ALT)
    menu = await monitor_menu()
    assert ["this one" in a.text() for a in menu.actions() if a.isEnabled()] == [True, False]
    press(menu, Qt.Key.Key_2)
    await until(lambda: len(own_windows(desk)) == 1, "its own window")
    (own,) = own_windows(desk)
    assert FAR.x <= own.geometry().left() < FAR.x + FAR.width
    assert own.width() >= 720, "large enough to be read"
    press(own, Qt.Key.Key_F, CTRL | ALT)
    await until(lambda: not own_windows(desk), "back in the grid")
    await in_front(window)
    panels.activate(first)
    keys(desk, Qt.Key.Key_F11, SHIFT)
    menu = await monitor_menu()
    press(menu, Qt.Key.Key_Down)
    press(menu, Qt.Key.Key_Return)
    await until(lambda: panels.full.monitor_of(first) == "right", "the other monitor")
    shown: Any = panels.panel(first)
    assert shown.window().geometry().topLeft() == QPoint(FAR.x, FAR.y)
    assert shown.window().width() == FAR.width
    press(shown.window(), Qt.Key.Key_Escape)
    await until(lambda: first not in panels.full and shown.window() is window, "back in the grid")


async def a_monitor_by_mouse(desk: Desktop, ids: list[str]) -> None:
    window, panels = desk.window, desk.window.panels
    _one, two, three = ids
    await in_front(window)
    await choose(await menu_of_tab(desk, three), "Full screen on a monitor")
    await choose(await monitor_menu(), "2  right")
    await until(lambda: panels.full.monitor_of(three) == "right", "the other monitor")
    # A second one on the same monitor takes its place.
    await in_front(window)
    click(tab_of(desk, two), QPoint(24, 8))
    await until(lambda: panels.current_id == two)
    await by_menu(window, "panel.full_screen_on")
    await choose(await monitor_menu(), "2  right")
    await until(lambda: panels.full.monitor_of(two) == "right" and three not in panels.full, "one panel a monitor")
    shown: Any = panels.panel(two)
    press(shown.window(), Qt.Key.Key_F11)
    await until(lambda: two not in panels.full, "back in the grid")
    await in_front(window)
    await choose(await menu_of_tab(desk, two), "Own window on a monitor")
    await choose(await monitor_menu(), "2  right")
    await until(lambda: len(own_windows(desk)) == 1 and own_windows(desk)[0].geometry().left() >= FAR.x)
    await choose(await menu_of_tab(desk, two), "Own window")
    await until(lambda: not own_windows(desk), "back in the grid")


async def a_monitor_goes_and_comes_back(desk: Desktop, ids: list[str]) -> None:
    """A panel fills it; another one is closed while it is away. (What becomes of windows that stand on it is tested
    where nothing else happens: the off-screen platform does not always survive that they are destroyed later.)"""
    window, panels = desk.window, desk.window.panels
    one, two, three = ids
    await in_front(window)
    click(tab_of(desk, three), QPoint(24, 8))
    await until(lambda: panels.current_id == three)
    keys(desk, Qt.Key.Key_F11, SHIFT)
    press(await monitor_menu(), Qt.Key.Key_2)
    await until(lambda: panels.full.monitor_of(three) == "right")
    before = panels.arrangement()
    connect(NEAR)
    await until(lambda: window.monitors.settled and window.monitors.keys() == ["left"], "the monitor that is left")
    await until(lambda: three not in panels.full, "the panel is back in the grid")
    await in_front(window)
    click(tab_of(desk, one), QPoint(24, 8))
    await until(lambda: panels.current_id == one)
    keys(desk, Qt.Key.Key_W, CTRL)
    await until(lambda: one not in panels.open_ids(), "closed")
    connect(NEAR, FAR)
    await until(lambda: panels.full.monitor_of(three) == "right", "it fills the monitor again")
    assert panels.arrangement().full == before.full
    assert set(panels.open_ids()) == {two, three}, "what was closed meanwhile stays closed"
    await all_live(desk, [two, three])
    shown: Any = panels.panel(three)
    press(shown.window(), Qt.Key.Key_Escape)
    await until(lambda: three not in panels.full)


async def to_an_edge(desk: Desktop, ids: list[str]) -> None:
    """A tab, dragged to the signs that show over another panel while it is dragged: each edge, then its tabs."""
    panels = desk.window.panels
    one, two, three = ids
    await in_front(desk.window)
    keys(desk, Qt.Key.Key_2, CTRL | ALT)
    await until(lambda: len(panels.manager.openedDockAreas()) == 2)
    for edge in ("below", "right", "above", "left"):
        await drag_tab_to(desk, one, three, edge)
        await until(lambda: panels.area_of(one) is not panels.area_of(three), "a place of its own")

        def stands(edge: str = edge) -> bool:
            mine, other = (rect_of(panels.area_of(i), panels) for i in (one, three))
            beside = mine.top() == other.top() and mine.height() == other.height()
            over = mine.left() == other.left() and mine.width() == other.width()
            so: dict[str, bool] = {
                "below": over and mine.top() > other.bottom(),
                "above": over and mine.bottom() < other.top(),
                "right": beside and mine.left() > other.right(),
                "left": beside and mine.right() < other.left(),
            }
            return so[edge]

        await until(stands, f"{edge} of the other")
        assert set(panels.open_ids()) == {one, two, three}
    await drag_tab_to(desk, one, three, "in")
    await until(lambda: panels.area_of(one) is panels.area_of(three), "in its tabs")
    await all_live(desk, [one])


def rect_of(area: Any, within: QWidget) -> Any:
    rect = area.rect()
    rect.moveTopLeft(area.mapTo(within, QPoint(0, 0)))
    return rect


def signs() -> list[QPoint]:
    """Where, on the screen, the docking library shows its signs while a panel is dragged over another one."""
    crosses = [w for w in QApplication.allWidgets() if w.metaObject().className() == "ads::CDockOverlayCross"]
    shown = [sign for cross in crosses if cross.isVisible() for sign in cross.findChildren(QLabel) if sign.isVisible()]
    return [sign.mapToGlobal(sign.rect().center()) for sign in shown]


async def drag_tab_to(desk: Desktop, session_id: str, other: str, edge: str) -> None:
    tab, area = tab_of(desk, session_id), cast(QWidget, desk.window.panels.area_of(other))
    start = QPoint(24, tab.height() // 2)
    middle = area.mapToGlobal(area.rect().center())
    QTest.mousePress(tab, LEFT, pos=start)

    def to(spot: QPoint) -> None:
        here = tab.mapFromGlobal(QCursor.pos())
        for step in range(1, 5):
            there = here + (tab.mapFromGlobal(spot) - here) * step / 4
            QCursor.setPos(tab.mapToGlobal(there))
            move(tab, there)

    QCursor.setPos(tab.mapToGlobal(start))
    to(middle)
    near = [p for p in signs() if area.rect().contains(area.mapFromGlobal(p))]
    wanted = {
        "above": min(near, key=lambda p: (p.y(), abs(p.x() - middle.x()))),
        "below": max(near, key=lambda p: (p.y(), -abs(p.x() - middle.x()))),
        "left": min(near, key=lambda p: (p.x(), abs(p.y() - middle.y()))),
        "right": max(near, key=lambda p: (p.x(), -abs(p.y() - middle.y()))),
        "in": min(near, key=lambda p: (p - middle).manhattanLength()),
    }[edge]
    to(wanted)
    QTest.mouseRelease(tab, LEFT, pos=tab.mapFromGlobal(wanted))


async def as_files(desk: Desktop, folder: Path) -> None:
    """A desk to a file and back: by mouse through the menu, by keyboard through the palette."""
    window, book = desk.window, desk.window.desks.book
    shape = window.panels.arrangement().docked
    for by_key, path in ((False, folder / "by-mouse.desks.json"), (True, folder / "by-key.desks.json")):

        async def asked(command: str, text: str, by_key: bool = by_key) -> None:
            await in_front(window)
            if by_key:
                keys(desk, Qt.Key.Key_K, CTRL)
                QTest.keyClicks(window.command_palette.line, text)
                press(window.command_palette.line, Qt.Key.Key_Return)
            else:
                await by_menu(window, command)

        await asked("desk.export", ">export this desk")
        await answer_file_dialog(window, path, by_key=by_key)
        await until(path.exists, "the file")
        await in_front(window)
        keys(desk, Qt.Key.Key_1, CTRL | ALT)
        await until(lambda: len(window.panels.manager.openedDockAreas()) == 1)
        known = len(book.ids())
        await asked("desk.import", ">import desks")
        await answer_file_dialog(window, path, by_key=by_key)
        await until(lambda n=known: len(book.ids()) == n + 1, "one desk more")  # type: ignore[misc]
        assert book.current.name.startswith("Main (")
        await until(lambda: window.panels.arrangement().docked == shape, "as it stood")


_KILLED = """
import os, signal, sys
from pathlib import Path
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from support.hands import ALT, CTRL, in_front
from support.rig import Rig, dialog, press, until
from support.screens import Screen, connect
from mission_control_desktop.ui.desk.dialogs import NameDialog
from mission_control_desktop.ui.local_state import LocalState

app = QApplication([])
connect(Screen("left", 0, 0, 1920, 1080), Screen("right", 1920, 0, 2560, 1440))
rig = Rig(app, Path(sys.argv[1]))

async def scenario():
    desk = await rig.open()
    window, panels = desk.window, desk.window.panels
    wanted = sys.argv[2:]
    await until(lambda: set(wanted) <= set(desk.store.sessions), "the sessions", 60)

    def keys(key, modifier=Qt.KeyboardModifier.NoModifier):
        press(QApplication.focusWidget() or window, key, modifier)

    await in_front(window)
    keys(Qt.Key.Key_N, CTRL | ALT)
    name = await dialog(NameDialog, window)
    QTest.keyClicks(name.name, "Night")
    press(name.name, Qt.Key.Key_Return)
    await until(lambda: window.desks.book.current.name == "Night")
    await in_front(window)
    for session_id in wanted:
        window.roster.tree.setFocus()
        assert window.roster.tree.select(session_id)
        keys(Qt.Key.Key_Return)
        await until(lambda: panels.current_id == session_id)
    keys(Qt.Key.Key_4, CTRL | ALT)
    panels.activate(wanted[1])
    keys(Qt.Key.Key_M, CTRL | ALT)
    menu = await until(QApplication.activePopupWidget)
    press(menu, Qt.Key.Key_2)
    await until(lambda: panels.manager.floatingWidgets())
    panels.activate(wanted[2])
    await in_front(window)
    keys(Qt.Key.Key_W, CTRL)
    await until(lambda: wanted[2] not in panels.open_ids())
    now = repr(panels.open_ids())
    def on_disk():
        saved = LocalState(rig.folder, problem=print)
        try:
            index = saved.get("desks")
            desk_now = saved.get("desk:" + index["current"]) if index else None
        finally:
            saved.close()
        stands = list(desk_now["stands"].values()) if desk_now else []
        text = repr(stands[-1]) if stands else ""
        return "right" in text and len(stands[-1]["arrangement"]["windows"]) == 1 and wanted[2] not in text
    await until(on_disk, "what is on disk", 60)
    print(now, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

rig.run(scenario, seconds=100)
"""
