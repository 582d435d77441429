"""Desks in the real window: switched, saved, followed across monitors, carried as files; what leaves is given back."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt
from PySide6.QtGui import QContextMenuEvent, QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QMenu, QMessageBox, QPushButton, QWidget

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.desk.arrangement import Split, Tabs, panels_of
from mission_control_desktop.ui.desk.dialogs import GridDialog, NameDialog
from mission_control_desktop.ui.desk.switcher import DeskSwitcher
from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.main_window.dropping import DropGuide
from mission_control_desktop.ui.roster.model import MIME_TYPE
from mission_control_desktop.ui.transcript.place import ReadingPlace
from support.rig import Rig, dialog, dialogs, killed, press, until
from support.screens import Screen, connect, monitors
from support.scripted_plane import ScriptedPlane, message, session

LEFT, RIGHT = Screen("left", 0, 0, 1920, 1080), Screen("right", 1920, 0, 2560, 1440)
CTRL, ALT, SHIFT = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ShiftModifier,
)


@pytest.fixture
def two_monitors(qapp: QApplication) -> Iterator[None]:
    with monitors(LEFT, RIGHT):
        yield


async def opened(rig: Rig, plane: ScriptedPlane, natives: str) -> Desktop:
    plane.tell(*(session(n, title=f"Agent {n}") for n in natives))
    desk = await rig.open(plane.open)
    desk.window.resize(1280, 800)
    await until(lambda: desk.window.panels.count == min(len(natives), 6))
    for native in natives:
        desk.window.open_session(f"internal:{native}")
    await all_live(desk, natives)
    return desk


async def all_live(desk: Desktop, natives: str) -> None:
    await until(lambda: all(desk.panels.get(f"internal:{n}") for n in natives), "a live panel for each")


def ids(natives: str) -> list[str]:
    return [f"internal:{n}" for n in natives]


def docked(desk: Desktop) -> Any:
    return desk.window.panels.arrangement().docked


def shape(desk: Desktop) -> Any:
    """How the docked panels stand, whatever their sizes in pixels."""

    def of(tree: Any) -> Any:
        if isinstance(tree, Tabs):
            return (*tree.panels, f"front {tree.front}")
        return ("across" if tree.across else "down", *map(of, tree.parts))

    return of(docked(desk))


async def popup(kind: str) -> QMenu:
    def found() -> QMenu | None:
        menus = (w for w in QApplication.topLevelWidgets() if isinstance(w, QMenu) and w.isVisible())
        return next((menu for menu in menus if kind in menu.objectName()), None)

    menu: QMenu = await until(found, f"the menu {kind}")
    return menu


# -- desks


def test_desks_are_made_switched_and_removed_by_key_and_by_mouse(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await opened(rig, plane, "abcd")
        window, book = desk.window, desk.window.desks.book
        window.activateWindow()
        window.commands["layout.2"].trigger()
        before = shape(desk)
        press(window, Qt.Key.Key_N, CTRL | ALT)
        asked = await dialog(NameDialog, window)
        asked.name.setText("main")
        press(asked.name, Qt.Key.Key_Return)
        assert "already" in asked.problem.text(), "the name is taken, and the dialog says so"
        asked.name.setText("Wall")
        asked.keep.setChecked(False)
        press(asked.name, Qt.Key.Key_Return)
        await until(lambda: book.current.name == "Wall")
        await until(lambda: window.panels.count == 0)
        assert window.pages.currentWidget() is window.empty
        window.open_session("internal:b")
        press(window, Qt.Key.Key_1, ALT)
        assert book.current.name == "Main"
        assert shape(desk) == before
        await all_live(desk, "bd")
        switcher = window.header.findChild(DeskSwitcher)
        assert switcher is not None
        assert switcher.text() == "Desk: Main ▾"
        switcher.menu().aboutToShow.emit()
        wall = next(a for a in switcher.menu().actions() if "Wall" in a.text())
        assert not wall.isChecked()
        wall.trigger()
        assert window.panels.open_ids() == ids("b")
        assert desk.panels.get("internal:b") is not None, "a panel of both desks stays what it is"
        window.commands["desk.remove"].trigger()
        box = await dialog(QMessageBox, window)
        press(box.focusWidget(), Qt.Key.Key_Return)
        await until(lambda: not dialogs(window))
        assert len(book.ids()) == 2, "Enter keeps it"
        window.commands["desk.remove"].trigger()
        box = await dialog(QMessageBox, window)
        await until(lambda: any(button.hasFocus() for button in box.findChildren(QPushButton)))
        theme.set_scheme("dark")
        await asyncio.sleep(0.3)  # Qt arranges the buttons anew
        press(box.focusWidget(), Qt.Key.Key_Return)
        await until(lambda: not dialogs(window))
        assert len(book.ids()) == 2, "also when the scheme changed meanwhile"
        theme.set_scheme("light")
        window.commands["desk.remove"].trigger()
        box = await dialog(QMessageBox, window)
        remove = next(b for b in box.findChildren(QPushButton) if b.text() == "Remove")
        QTest.mouseClick(remove, Qt.MouseButton.LeftButton)
        await until(lambda: len(book.ids()) == 1)
        assert book.current.name == "Main"
        assert shape(desk) == before
        assert [name for name, _ in plane.calls if name in ("kill", "terminate", "pause")] == []
        await desk.close()

    rig.run(scenario)


def test_the_last_change_of_the_panels_is_undone_by_key(rig: Rig) -> None:
    async def scenario() -> None:
        desk = await opened(rig, ScriptedPlane(), "abc")
        window = desk.window
        window.desks.save()
        before = shape(desk)
        window.panels.activate("internal:a")
        window.commands["panel.close"].trigger()
        window.desks.save()
        window.panels.activate("internal:b")
        window.commands["panel.float"].trigger()
        window.activateWindow()
        press(window, Qt.Key.Key_Z, CTRL | ALT)
        assert window.panels.arrangement().windows == ()
        assert set(window.panels.open_ids()) == set(ids("bc"))
        press(window, Qt.Key.Key_Z, CTRL | ALT)
        assert shape(desk) == before
        press(window, Qt.Key.Key_Z, CTRL | ALT)
        assert "Nothing to undo" in window.statusBar().currentMessage()
        await desk.close()

    rig.run(scenario)


def test_sixteen_panels_under_streams_come_and_go_with_their_desk(rig: Rig) -> None:
    natives = "abcdefghijklmnop"

    async def scenario() -> None:
        plane = ScriptedPlane()
        for native in natives:
            plane.tell(*(message(f"internal:{native}", n) for n in range(1, 40)))
        desk = await opened(rig, plane, natives)
        window = desk.window
        window.commands["layout.all"].trigger()
        before, said = shape(desk), dict.fromkeys(natives, 0)

        async def stream() -> None:
            while True:
                for native in natives:
                    said[native] += 1
                    plane.tell(message(f"internal:{native}", 100 + said[native], f"word {said[native]}"))
                await asyncio.sleep(0.05)

        streaming = desk.tasks.start(stream(), name="streams")
        try:
            window.desks.add("Empty", copy=False)
            await until(lambda: not any(desk.panels.get(i) for i in ids(natives)), "all panels given back")
            for _ in range(3):
                window.commands["desk.previous"].trigger()
                window.commands["desk.next"].trigger()
            window.commands["desk.go_1"].trigger()
            assert shape(desk) == before
            await all_live(desk, natives)
        finally:
            streaming.cancel()

        def whole(native: str) -> bool:
            panel = desk.panels.get(f"internal:{native}")
            texts = [] if panel is None else [e.text for e in panel.model.entries]
            return texts[-1:] == [f"word {said[native]}"] and texts.count(texts[-1]) == 1

        await until(lambda: all(whole(n) for n in natives), "nothing lost and nothing doubled")
        await desk.close()

    rig.run(scenario)


def test_desks_travel_as_a_file_and_a_damaged_one_is_refused_in_words(rig: Rig, tmp_path: Path) -> None:
    async def scenario() -> None:
        desk = await opened(rig, ScriptedPlane(), "abc")
        window, book = desk.window, desk.window.desks.book
        window.commands["layout.2"].trigger()
        before = shape(desk)
        path = tmp_path / "main.desks.json"
        window.commands["desk.export"].trigger()
        asked = await dialog(QFileDialog, window)
        asked.fileSelected.emit(str(path))
        asked.reject()
        await until(path.exists)
        window.commands["layout.1"].trigger()
        window.commands["desk.import"].trigger()
        asked = await dialog(QFileDialog, window)
        asked.fileSelected.emit(str(path))
        asked.reject()
        await until(lambda: book.current.name == "Main (2)")
        assert shape(desk) == before
        plain = json.loads(path.read_text())
        assert "Agent a" in path.read_text()
        plain["desks"][0]["panels"][0]["sessionId"] = 7
        path.write_text(json.dumps(plain))
        window.commands["desk.import"].trigger()
        asked = await dialog(QFileDialog, window)
        asked.fileSelected.emit(str(path))
        asked.reject()
        await until(lambda: window.notices.texts())
        assert "desks[0].panels[0].sessionId" in window.notices.texts()[0]
        assert len(book.ids()) == 2
        await desk.close()

    rig.run(scenario)


_KILLED = """
import os, signal, sys
from pathlib import Path
from PySide6.QtWidgets import QApplication
from support.rig import Rig, until
from support.scripted_plane import ScriptedPlane, session
from mission_control_desktop.ui.local_state import LocalState

app = QApplication([])
rig = Rig(app, Path(sys.argv[1]))

async def scenario():
    plane = ScriptedPlane()
    plane.tell(*(session(n, title=n) for n in "abcd"))
    desk = await rig.open(plane.open)
    await until(lambda: desk.window.panels.count == 4)
    desk.window.desks.add("Wall", copy=True)
    desk.window.panels.activate("internal:c")
    desk.window.commands["panel.tab"].trigger()
    desk.window.panels.activate("internal:b")
    desk.window.commands["panel.float"].trigger()
    await until(lambda: desk.window.panels.manager.floatingWidgets())
    def on_disk():
        saved = LocalState(rig.folder, problem=print)
        index = saved.get("desks")
        desk_now = saved.get("desk:" + index["current"]) if index else None
        stands = list(desk_now["stands"].values()) if desk_now else []
        return bool(stands) and len(stands[-1]["arrangement"]["windows"]) == 1
    await until(on_disk)
    print(repr(desk.window.panels.open_ids()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

rig.run(scenario)
"""


def test_a_window_that_is_killed_comes_back_as_it_stood(rig: Rig) -> None:
    last_open = killed(_KILLED, rig.folder)
    plane = ScriptedPlane()
    plane.tell(*(session(n, title=n) for n in "abcd"))

    async def scenario() -> None:
        desk = rig.desktop(plane.open)
        window = desk.window
        assert repr(window.panels.open_ids()) == last_open, "before the first paint"
        assert window.desks.book.current.name == "Wall"
        assert [window.desks.book.desk(i).name for i in window.desks.book.ids()] == ["Main", "Wall"]
        arrangement = window.panels.arrangement()
        assert [list(panels_of(w.content)) for w in arrangement.windows] == [ids("b")]
        await desk.show()
        await desk.reach()
        await until(lambda: desk.panels.get("internal:b"))
        assert window.notices.texts() == []
        await desk.close()

    rig.run(scenario)


# -- monitors


def test_a_monitor_goes_and_comes_back(rig: Rig, two_monitors: None) -> None:
    async def scenario() -> None:
        desk = await opened(rig, ScriptedPlane(), "abcd")
        window, panels = desk.window, desk.window.panels
        window.setGeometry(100, 100, 1280, 800)
        panels.activate("internal:a")
        panels.float_on(window.monitors.keys()[1])
        panels.activate("internal:b")
        panels.full_screen_on(window.monitors.keys()[1])
        await until(lambda: "internal:b" in panels.full)
        window.desks.save()
        before = panels.arrangement()
        assert before.windows[0].place.monitor == "right"
        assert [full.panel for full in before.full] == ids("b")
        connect(LEFT)
        await until(lambda: window.monitors.settled and window.monitors.keys() == ["left"])
        await until(lambda: "internal:b" not in panels.full, "the panel is back in the grid")
        floating = panels.manager.floatingWidgets()[0]
        assert LEFT.width > floating.geometry().left() >= 0, "its window came to the monitor that is left"
        panels.activate("internal:c")
        window.commands["panel.close"].trigger()
        window.commands["layout.1"].trigger()
        window.desks.save()
        connect(LEFT, RIGHT)
        await until(lambda: "internal:b" in panels.full, "the full screen is back")
        after = panels.arrangement()
        assert after.full == before.full
        assert after.windows == before.windows
        assert set(panels.open_ids()) == set(ids("abd")), "what was closed meanwhile stays closed"
        assert isinstance(after.docked, Split), "the grid of this set of monitors, not that of the other"
        await desk.close()

    rig.run(scenario)


def test_each_set_of_monitors_has_the_desk_last_used_on_it(rig: Rig, two_monitors: None) -> None:
    async def scenario() -> None:
        desk = await opened(rig, ScriptedPlane(), "ab")
        window, book = desk.window, desk.window.desks.book
        window.desks.save()
        connect(LEFT)
        await until(lambda: window.monitors.settled and window.monitors.keys() == ["left"])
        window.desks.add("Laptop", copy=False)
        connect(LEFT, RIGHT)
        await until(lambda: book.current.name == "Main")
        assert "2 monitors" in window.statusBar().currentMessage()
        connect(LEFT)
        await until(lambda: book.current.name == "Laptop")
        await desk.close()

    rig.run(scenario)


def test_full_screen_and_own_window_on_a_chosen_monitor(rig: Rig, two_monitors: None) -> None:
    async def scenario() -> None:
        desk = await opened(rig, ScriptedPlane(), "ab")
        window, panels = desk.window, desk.window.panels
        window.setGeometry(100, 100, 1280, 800)
        window.activateWindow()
        panels.activate("internal:a")
        press(window, Qt.Key.Key_F11, SHIFT)
        menu = await popup("menu.monitors")
        assert ["right" in a.text() for a in menu.actions() if a.isEnabled()] == [False, True]
        press(menu, Qt.Key.Key_2)
        await until(lambda: panels.full.monitor_of("internal:a") == "right")
        shown = panels.panel("internal:a")
        assert shown is not None
        assert shown.window().geometry().left() == RIGHT.x
        assert shown.window().size().width() == RIGHT.width
        panels.activate("internal:b")
        panels.full_screen_on("left")
        assert len(panels.full.all()) == 2, "one panel a monitor"
        press(shown.window(), Qt.Key.Key_Escape)
        assert shown.window() is window
        panels.leave_full_screen()
        tab = panels._docks["internal:a"].tabWidget()
        QApplication.sendEvent(
            tab, QContextMenuEvent(QContextMenuEvent.Reason.Mouse, QPoint(5, 5), tab.mapToGlobal(QPoint(5, 5)))
        )
        window.commands["panel.float_on"].trigger()
        menu = await popup("menu.monitors")
        right = next(a for a in menu.actions() if "right" in a.text())
        QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(right).center())
        await until(lambda: panels.manager.floatingWidgets())
        own = panels.manager.floatingWidgets()[0]
        assert own.geometry().left() >= RIGHT.x
        assert own.width() >= 720, "large enough to read, however small its place in the grid was"
        assert own.windowHandle().transientParent() is None, "a window like any other"
        press(own, Qt.Key.Key_F, CTRL | ALT)
        await until(lambda: not panels.manager.floatingWidgets(), "the keys work there, too")
        await desk.close()

    rig.run(scenario)


# -- the grid


def drag(widget: QWidget, spot: QPoint, session_ids: list[str], *, drop: bool = True) -> None:
    """What the window gets when rows of the roster are dragged over it."""
    data = QMimeData()
    data.setData(MIME_TYPE, "\n".join(session_ids).encode())
    action, button, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    for event in (
        QDragEnterEvent(spot, action, data, button, none),
        QDragMoveEvent(spot, action, data, button, none),
        *((QDropEvent(QPointF(spot), action, data, button, none),) if drop else ()),
    ):
        QApplication.sendEvent(widget, event)
        assert event.isAccepted()


def test_sessions_dragged_from_the_roster_land_where_they_are_dropped(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await opened(rig, plane, "ab")
        window, panels = desk.window, desk.window.panels
        plane.tell(*(session(n, title=n, parent_session_id="internal:a") for n in "xyz"))
        await until(lambda: "internal:z" in desk.store.sessions)
        area = panels.area_of("internal:b")
        assert area is not None

        def at(x: float, y: float) -> QPoint:
            spot: QPoint = area.mapTo(panels, QPoint(int(area.width() * x), int(area.height() * y)))
            return spot

        drag(panels, at(0.5, 0.95), ids("x"), drop=False)
        guide = area.findChild(DropGuide)
        assert guide is not None
        assert guide.geometry().top() >= area.height() // 2 - 1, "it shows the lower half"
        drag(panels, at(0.5, 0.95), ids("xy"))
        assert panels.dropping.guide is None
        assert docked(desk).parts[1] == Split(
            across=False,
            parts=(Tabs(panels=("internal:b",), front="internal:b"), Tabs(panels=tuple(ids("xy")), front="internal:y")),
            sizes=docked(desk).parts[1].sizes,
        )
        drag(panels, at(0.5, 0.5), ids("a"))
        assert panels.area_of("internal:a") is panels.area_of("internal:b"), "an open panel moves"
        for session_id in panels.open_ids():
            panels.close_panel(session_id)
        await until(lambda: window.pages.currentWidget() is window.empty)
        drag(window.pages, QPoint(200, 200), ids("z"))
        assert panels.open_ids() == ids("z")
        await desk.close()

    rig.run(scenario)


def test_grids_of_any_size_by_key_and_dialog(rig: Rig) -> None:
    async def scenario() -> None:
        desk = await opened(rig, ScriptedPlane(), "abcdefghijkl")
        window, panels = desk.window, desk.window.panels
        window.activateWindow()
        for key, areas in ((Qt.Key.Key_6, 6), (Qt.Key.Key_1, 1), (Qt.Key.Key_0, 12), (Qt.Key.Key_9, 9)):
            press(window, key, CTRL | ALT)
            await until(lambda n=areas: len(panels.manager.openedDockAreas()) == n, f"{areas} places")  # type: ignore[misc]
        press(window, Qt.Key.Key_G, CTRL | ALT)
        asked = await dialog(GridDialog, window)
        asked.columns.setValue(5)
        asked.rows.setValue(1)
        press(asked, Qt.Key.Key_Return)
        await until(lambda: len(panels.manager.openedDockAreas()) == 5)
        assert set(panels.open_ids()) == set(ids("abcdefghijkl"))
        await desk.close()

    rig.run(scenario)


def test_one_panel_follows_the_focus_until_it_is_pinned(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await opened(rig, plane, "a")
        window, panels = desk.window, desk.window.panels
        plane.tell(*(session(n, title=n, parent_session_id="internal:a") for n in "xyz"))
        await until(lambda: len(window.roster.model) == 4)
        window.activateWindow()
        press(window, Qt.Key.Key_F, CTRL | SHIFT)
        assert window.commands["view.follow_focus"].isChecked()
        tree = window.roster.tree
        tree.setFocus()
        for native in "xy":
            tree.select(f"internal:{native}")
            await until(lambda n=native: panels.follower == f"internal:{n}")  # type: ignore[misc]
            assert panels.count == 2, "the same panel shows the next session"
            assert QApplication.focusWidget() is tree, "the focus stays in the roster"
        assert panels._docks["internal:y"].windowTitle() == "→ y"
        panels.activate("internal:y")
        press(window, Qt.Key.Key_P, CTRL | ALT)
        assert panels.follower == ""
        assert panels._docks["internal:y"].windowTitle() == "y"
        tree.setFocus()
        tree.select("internal:z")
        await until(lambda: panels.follower == "internal:z")
        assert set(panels.open_ids()) == set(ids("ayz"))
        window.desks.save()
        pin = window.commands["panel.pin"]
        panels.activate("internal:a")
        assert pin.isChecked()
        pin.trigger()
        assert panels.follower == "internal:a", "an ordinary panel can be let go, too"
        await desk.close()

    rig.run(scenario)


# -- what leaves the screen


def rows_of(desk: Desktop, session_id: str) -> int:
    panel = desk.panels.get(session_id)
    return 0 if panel is None else panel.model.rowCount()


def scrolled(desk: Desktop) -> tuple[ReadingPlace, list[Any]]:
    """Read in the middle of a transcript, and begin to write; the place, and what is to go with the panel."""
    panel = desk.panels.get("internal:a")
    assert panel is not None
    row = panel.model.row_of("internal:a/150")
    assert row is not None
    view = panel.pane.view
    view.scrollTo(panel.model.index(row), view.ScrollHint.PositionAtTop)
    panel.composer.edit.setPlainText("half a thought")
    place = view.reading_place()
    assert place is not None
    return place, [weakref.ref(panel), weakref.ref(panel.model), weakref.ref(view.layout_of(row))]


def test_a_panel_behind_a_tab_is_given_back_and_comes_back_where_the_reader_was(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(*(message("internal:a", n, f"line {n}\n\n" * 4) for n in range(1, 300)))
        desk = await opened(rig, plane, "ab")
        window, panels = desk.window, desk.window.panels
        await until(lambda: rows_of(desk, "internal:a") >= 200)
        place, gone = scrolled(desk)
        panels.filling.release_after = 0.0
        panels.activate("internal:b")
        window.commands["layout.1"].trigger()
        await until(lambda: desk.panels.get("internal:a") is None, "its panel is let go")

        def released() -> bool:
            gc.collect()
            return not any(ref() for ref in gone)

        await until(released, "its documents and rows are gone")
        assert desk.panels.get("internal:b") is not None, "who is seen stays"
        plane.tell(*(message("internal:a", n, f"line {n}") for n in range(300, 305)))
        panels.filling.release_after = 60.0
        panels.activate("internal:a")
        again = desk.panels.get("internal:a")
        assert again is not None
        await until(lambda: again.pane.view.reading_place() is not None and again.pane.view.unread == 5)
        now = again.pane.view.reading_place()
        assert now is not None
        assert (now.seq, round(now.share, 1)) == (place.seq, round(place.share, 1))
        assert now.read_seq == place.read_seq
        assert again.pane.pill_text() == "↓  5 new"
        await until(lambda: again.composer.edit.toPlainText() == "half a thought")
        await desk.close()

    rig.run(scenario)


def test_a_hidden_panel_stays_while_something_is_under_way(rig: Rig) -> None:
    async def scenario() -> None:
        desk = await opened(rig, ScriptedPlane(), "ab")
        panels = desk.window.panels
        panel = desk.panels.get("internal:a")
        assert panel is not None
        panel.ask_kill()
        panels.activate("internal:b")
        desk.window.commands["layout.1"].trigger()
        panels.filling.release_after = 0.0
        panels.filling.release_hidden()
        assert desk.panels.get("internal:a") is panel, "somebody is about to answer its question"
        assert panel.kill_dialog is not None
        panel.kill_dialog.reject()
        await until(lambda: desk.panels.get("internal:a") is None)
        await desk.close()

    rig.run(scenario)


def test_a_layout_of_the_first_version_becomes_the_first_desk(rig: Rig) -> None:
    state = LocalState(rig.folder, problem=rig.failures.append)
    state.put("layout", FIRST_LAYOUT)
    state.close()

    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(*(session(n, title=n) for n in "abc"))
        desk = rig.desktop(plane.open)
        assert desk.window.panels.open_ids() == ids("ab")
        assert docked(desk) == Split(
            across=False,
            parts=(Tabs(panels=("internal:a",), front="internal:a"), Tabs(panels=("internal:b",), front="internal:b")),
            sizes=docked(desk).sizes,
        )
        assert desk.window.roster.isHidden()
        await desk.show()
        await desk.reach()
        assert desk.window.notices.texts() == []
        assert "internal:c" not in desk.window.panels.open_ids(), "what was closed stays closed"
        await desk.close()

    rig.run(scenario)


FIRST_STATE = (
    "AAABsHjahZBNa8MwDIbv+xXC9zbZAmUbjktJybFlpN3OTiKKmSMP2yndfv2UZIQOVnayPl49ryy5vnQWzuiDcZSL+2UqAKlxraFT"
    "Lo6HcvEo1kq+xE171tRgu3XNO/eqzxCxg9d5UMAxoL/OC0dRG+LKmJau6cM0/2baE8ZcGIroSdvnWig5y6G0TsfRP+V69WFNZB3s"
    "vUGWxJG/GPg9MeSBNRuPGg66npyK3nuka75mzWQKO93hrw4U1vFeg1miZDKg/gfWN4H138DKfGFQ2VMGWboCmUw5vz+/43A+AMc3"
    "7q3uvgFT7pAS"
)
FIRST_LAYOUT = {
    "version": 1,
    "geometry": "AdnQywADAAAAAAAAAAAAAAAABQMAAAMjAAAAAgAAAAIAAAUBAAADIQAAAAAAAAAAAyAAAAACAAAAAgAABQEAAAMh",
    "splitter": [340, 939],
    "roster": False,
    "panels": {
        "version": 1,
        "panels": [{"id": "internal:a", "title": "A"}, {"id": "internal:b", "title": "B"}],
        "state": FIRST_STATE,
        "arranged": True,
        "current": "internal:b",
        "screens": [""],
    },
    "closed": ["internal:c"],
}
"""As the first version wrote it."""
