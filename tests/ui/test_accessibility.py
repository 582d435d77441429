"""Every room of the real window as a screen reader meets it: names, roles, values, the way of the Tab key."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QLabel,
    QLineEdit,
    QMenu,
    QProgressBar,
    QRadioButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.settings.dialog import SettingsDialog
from support.accessible import clipped, faults, focusable, overlapping, tab_chain
from support.rig import Rig, dialog, dialogs, press, until
from support.rooms import dialog_kinds, every_room
from support.scripted_plane import ScriptedPlane, session
from support.served import Served, served
from support.wrappers import watch


@pytest.fixture
def house(rig: Rig, kept: object) -> Iterator[Served]:
    """With what fills lists: two sessions at work, and a provider that nobody answers for."""
    with served(rig.folder) as made:
        made.double()
        for title in ("Fix the gateway tests", "Write the release notes"):
            made.spawn("[wait]", title=title)
        away = {"name": "team-b", "provider": "orchestrator", "gatewayUrl": "http://127.0.0.1:9", "isActive": False}
        answer = made.admin.post("/api/agent-providers", json={**away, "credentials": {"token": "mc_x"}})
        assert answer.status_code == 201, answer.text
        yield made


class Rooms:
    """Collects what is wrong in each room, so that a run tells all of it."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def check(self, root: QWidget, room: str, least: int) -> None:
        found, count = faults(root)
        self.wrong += [f"{room}: {one}" for one in found]
        self.wrong += [f"{room}: cut off: {one}" for one in clipped(root)]
        self.wrong += [f"{room}: over each other: {one}" for one in overlapping(root)]
        watch.check()
        if count < least:
            self.wrong.append(f"{room}: only {count} controls were looked at")

    async def walk(self, root: QWidget, room: str) -> None:
        self.wrong += [f"{room}: {one}" for one in await walk(root)]

    def end(self) -> None:
        assert not self.wrong, "\n".join(dict.fromkeys(self.wrong))


async def laid_out(root: QWidget) -> None:
    """Give words that have just come the time to be laid out; what stays cut off is for the check to tell."""
    await asyncio.sleep(0.02)
    end = asyncio.get_running_loop().time() + 5.0
    while clipped(root) and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.05)


async def walk(root: QWidget) -> list[str]:
    """The Tab key goes to each control once, comes round and is caught nowhere."""
    wanted = focusable(root)
    order = [w for w in tab_chain(root) if w in wanted]
    if not order:
        return []
    order[0].setFocus(Qt.FocusReason.TabFocusReason)
    visited: list[QWidget] = []
    while (now := root.window().focusWidget()) is not None and now not in visited:
        visited.append(now)
        press(now, Qt.Key.Key_Tab)
        await asyncio.sleep(0)
    # One of a group of radio buttons stands for the group.
    missing = [w for w in order if w not in visited and not isinstance(w, QRadioButton)]
    wrong = [f"the Tab key does not reach {type(w).__name__}#{w.objectName()} {w.accessibleName()}" for w in missing]
    if now is not visited[0]:
        wrong.append(f"the Tab key goes in a circle from {type(now).__name__}")
    return wrong


def at_rest(desk: Desktop, native: str) -> bool:
    panel = desk.panels.get(f"internal:{native}")
    return panel is not None and panel.presenter.at_rest


async def desk_with_sessions(rig: Rig, plane: ScriptedPlane) -> Desktop:
    plane.tell(session("a"), session("b", parent_session_id="internal:a"), session("c"))
    desk = await rig.open(plane.open)
    await until(lambda: all(at_rest(desk, native) for native in "ac"), "what panels load first")
    desk.window.open_session("internal:a")
    desk.window.activateWindow()
    desk.window.resize(1200, 760)
    return desk


def test_the_window_and_its_panes(rig: Rig) -> None:
    rooms = Rooms()

    async def scenario() -> None:
        desk = await desk_with_sessions(rig, ScriptedPlane())
        window = desk.window
        rooms.check(window, "panels", 30)
        for command in ("mission.attention", "view.audit"):
            window.commands[command].trigger()
            await asyncio.sleep(0.05)
            rooms.check(window, command, 30)
            window.commands[command].trigger()
        window.show_launch()
        await until(lambda: window.launch.isVisible())
        rooms.check(window, "launch", 20)
        window.leave_launch()
        window.notices.show_notice("Something failed: do this.", error=True, action="Try again")
        await asyncio.sleep(0)
        rooms.check(window, "notice", 30)
        await desk.close()

    rig.run(scenario)
    rooms.end()


def test_the_first_run_and_the_search_for_a_control_plane(rig: Rig) -> None:
    rooms = Rooms()

    async def scenario() -> None:
        desk = rig.desktop(ScriptedPlane().open)
        await desk.show()
        rooms.check(desk.window, "starting", 10)
        desk.window.starting.show_problem("Nothing answers.")
        rooms.check(desk.window, "not connected", 10)
        await desk.reach()
        await until(lambda: desk.window.launch.isVisible() and not clipped(desk.window), "the first run, laid out")
        rooms.check(desk.window, "first run", 15)
        await desk.close()

    rig.run(scenario)
    rooms.end()


@pytest.mark.timeout(300)
def test_every_room_and_every_dialog(rig: Rig, house: Served) -> None:
    """On a real control plane, so that no list of providers, profiles or connections is empty."""
    rooms = Rooms()
    met: set[type[QWidget]] = set()

    async def scenario() -> None:
        desk = await rig.open()
        # The same one by another address: a further control plane.
        await desk.book.add("team", house.url.replace("127.0.0.1", "localhost"), house.process.token)
        await until(lambda: len(desk.store.live()) == 4, "two sessions, seen twice")
        first = next(i for i in desk.store.sessions if "/" not in i)
        async for name, shown in every_room(desk, first):
            if isinstance(shown, QFileDialog):
                continue  # Qt's, or the desktop's own.
            met.add(type(shown))
            assert shown is desk.window or not shown.isWindow() or isinstance(shown, QMenu) or shown.windowTitle(), name
            rooms.check(shown, name, 1)
            if isinstance(shown, QDialog) and focusable(shown):
                await rooms.walk(shown, name)
        await desk.close()

    rig.run(scenario)
    rooms.end()
    assert dialog_kinds() <= met, "a dialog that was not looked at"


def test_the_tab_key_goes_through_the_window(rig: Rig) -> None:
    rooms = Rooms()

    async def scenario() -> None:
        desk = await desk_with_sessions(rig, ScriptedPlane())
        await rooms.walk(desk.window, "window")
        await desk.close()

    rig.run(scenario)
    rooms.end()


@pytest.mark.parametrize("size", [11, 20])
def test_nothing_is_cut_off_at_the_ends_of_the_sizes_of_text(rig: Rig, size: int) -> None:
    rooms = Rooms()

    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await desk_with_sessions(rig, plane)
        theme.set_appearance(theme.Appearance("contrast", "compact", size))
        await laid_out(desk.window)
        rooms.check(desk.window, "panels", 30)
        desk.window.commands["mission.attention"].trigger()
        await laid_out(desk.window)
        rooms.check(desk.window, "attention", 30)
        desk.window.commands["mission.settings"].trigger()
        shown = await dialog(SettingsDialog, desk.window)
        for row in range(shown.list.count()):
            shown.list.setCurrentRow(row)
            await laid_out(shown)
            rooms.check(shown, shown.current.key, 4)
        shown.reject()
        for command in ("mission.kill_all", "session.kill", "session.spawn_below", "layout.n"):
            desk.window.panels.activate("internal:a")
            desk.window.commands[command].trigger()
            await asyncio.sleep(0.05)
            for one in dialogs(desk.window):
                await laid_out(one)
                rooms.check(one, command, 3)
                one.reject()
        await desk.close()

    rig.run(scenario)
    rooms.end()


def test_the_window_is_whole_at_twice_the_size() -> None:
    """A screen of 200 %: the same rooms in a process of its own, since Qt reads the factor once."""
    names = "test_the_window_and_its_panes"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", names, __file__]
    done = subprocess.run(
        command, env=os.environ | {"QT_SCALE_FACTOR": "2"}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "1 passed" in done.stdout


def bare() -> QWidget:
    widget = QWidget()
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return widget


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (QToolButton, "no name"),
        (QLineEdit, "no name"),
        (bare, "has no role"),
    ],
)
def test_the_check_finds_what_is_wrong(qt: Any, make: Callable[[], QWidget], fault: str) -> None:
    window = QWidget()
    qt.addWidget(window)
    column = QVBoxLayout(window)
    words = QLabel("words")
    column.addWidget(words)
    progress = QProgressBar()
    progress.setAccessibleName("Progress")
    column.addWidget(progress)
    bad = make()
    column.addWidget(bad)
    window.show()
    assert any(fault in one for one in faults(window)[0])
    bad.hide()
    assert clipped(window) == []
    words.setFixedWidth(10)
    assert len(clipped(window)) == 1
    assert faults(window)[0] == []


def test_the_check_finds_what_lies_over_each_other(qt: Any) -> None:
    window = QWidget()
    qt.addWidget(window)
    column = QVBoxLayout(window)
    column.setSizeConstraint(QVBoxLayout.SizeConstraint.SetNoConstraint)
    for words in ("Working directory", "First words"):
        label = QLabel(words)
        label.setFixedHeight(30)
        column.addWidget(label)
    window.resize(200, 40)
    window.show()
    assert len(overlapping(window)) == 1
    window.resize(200, 120)
    qt.waitUntil(lambda: not overlapping(window))
