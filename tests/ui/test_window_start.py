"""From nothing to a window on a control plane, and out again."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication, QMessageBox

from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.domain.mission_control import MissionControl
from mission_control_desktop.domain.people import Role
from mission_control_desktop.ui.application import headless_seconds
from mission_control_desktop.ui.arguments import parse
from mission_control_desktop.ui.panel.panel import OrchestratorPanel
from mission_control_desktop.ui.process import is_headless
from support.rig import Rig, dialog, until
from support.scripted_plane import ScriptedPlane, session


def test_first_run_offers_the_agents_and_the_demo(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        desk = await rig.open(plane.open)
        launch = desk.window.launch
        await until(lambda: launch.profile("codex"))
        assert desk.window.pages.currentWidget() is launch
        assert launch.title.text() == "Start your first agent"
        assert "no key" in launch.form.about.text()
        assert desk.window.header.counts.text() == "no sessions"
        await desk.close()

    rig.run(scenario)


def test_the_window_is_painted_before_the_control_plane_is_there(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        gate = asyncio.Event()
        loop = asyncio.get_running_loop()
        begun = asyncio.Event()

        async def slow() -> MissionControl:
            loop.call_soon_threadsafe(begun.set)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(gate.wait(), loop))
            opened: MissionControl = await plane.open()
            return opened

        desk = rig.desktop(slow)
        await desk.show()
        reaching = asyncio.get_running_loop().create_task(desk.reach())
        await begun.wait()
        assert desk.window.isVisible()
        assert desk.window.pages.currentWidget() is desk.window.starting
        assert not desk.window.commands.in_effect("mission.kill_all")
        gate.set()
        await reaching
        assert desk.window.commands.in_effect("mission.kill_all")
        await desk.close()

    rig.run(scenario)


def test_a_control_plane_that_cannot_be_reached_is_explained_and_tried_again(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        answers = [Unavailable("The disk is full."), None]

        async def opener() -> MissionControl:
            error = answers.pop(0)
            if error is not None:
                raise error
            opened: MissionControl = await plane.open()
            return opened

        desk = rig.desktop(opener)
        running = asyncio.get_running_loop().create_task(desk.main())
        starting = desk.window.starting
        await until(lambda: starting.text.text() == "The disk is full.")
        assert starting.retry.isVisible()
        starting.retry.click()
        await until(lambda: desk.window.pages.currentWidget() is desk.window.launch)
        desk.window.commands["mission.close"].trigger()
        assert await running == 0

    rig.run(scenario)


def test_sessions_open_as_panels_with_what_they_said(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a", title="Alpha"), session("b", title="Beta", parent_session_id="internal:a"))
        desk = await rig.open(plane.open)
        await until(lambda: desk.window.panels.open_ids() == ["internal:a"])
        panel = desk.window.panels.panel("internal:a")
        assert isinstance(panel, OrchestratorPanel)
        assert len(desk.window.roster.model) == 2
        assert "2 running" in desk.window.header.counts.text()
        await desk.close()

    rig.run(scenario)


def test_closing_says_once_that_agents_go_on(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a"))
        for time in (1, 2):
            desk = rig.desktop(plane.open)
            running = asyncio.get_running_loop().create_task(desk.main())
            await until(desk.window.panels.open_ids)
            desk.window.close()
            if time == 1:
                box = await dialog(QMessageBox, desk.window)
                assert "1 agent keeps running" in box.text()
                box.defaultButton().click()
            assert await running == 0
        assert [name for name, _ in plane.calls if name in ("kill", "terminate", "kill_all")] == []

    rig.run(scenario)


def test_staying_is_possible(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a"))
        desk = await rig.open(plane.open)
        desk.window.close()
        box = await dialog(QMessageBox, desk.window)
        box.escapeButton().click()
        await until(lambda: not box.isVisible() if _valid(box) else True)
        assert desk.window.isVisible()
        await desk.close()

    rig.run(scenario)


def _valid(widget: Any) -> bool:
    from shiboken6 import isValid

    return bool(isValid(widget))


def test_an_observer_sees_everything_and_can_do_nothing(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane(role=Role.OBSERVER)
        plane.tell(session("a"))
        desk = await rig.open(plane.open)
        await until(lambda: desk.window.panels.open_ids())
        desk.window.panels.activate("internal:a")
        for command in ("mission.kill_all", "mission.new_agent", "session.kill", "session.pause_resume"):
            assert not desk.window.commands.in_effect(command), command
        assert desk.window.commands.in_effect("session.open")
        await desk.close()

    rig.run(scenario)


def test_failures_anywhere_are_shown_and_do_not_end_the_window(rig: Rig) -> None:
    rig.expected_failures = True

    async def scenario() -> None:
        desk = await rig.open(ScriptedPlane().open)

        async def broken() -> None:
            raise RuntimeError("boom in a task")

        desk.tasks.start(broken(), name="broken")
        await until(lambda: any("boom in a task" in text for text in desk.window.notices.texts()))
        desk.failures.report("Something odd", ValueError("odd"))
        await until(lambda: any("odd" in text for text in desk.window.notices.texts()))
        assert desk.window.isVisible()
        await desk.close()

    rig.run(scenario)


def test_our_files_are_private(rig: Rig) -> None:
    async def scenario() -> None:
        desk = await rig.open(ScriptedPlane().open)
        desk.window.save_layout()
        await desk.close()

    rig.run(scenario)
    for name in ("desktop.sqlite3", "desktop-crash.log"):
        assert stat.S_IMODE(os.stat(rig.folder / name).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(rig.folder).st_mode) == 0o700


def test_a_crash_of_the_last_window_is_mentioned(rig: Rig) -> None:
    rig.folder.mkdir()
    (rig.folder / "desktop-crash.log").write_text("Fatal Python error: Segmentation fault")

    async def scenario() -> None:
        desk = await rig.open(ScriptedPlane().open)
        assert any("crashed the last time" in text for text in desk.window.notices.texts())
        await desk.close()

    rig.run(scenario)


@pytest.mark.parametrize(
    ("environ", "headless"),
    [
        ({}, True),
        ({"DISPLAY": ":0"}, False),
        ({"WAYLAND_DISPLAY": "wayland-0"}, False),
        ({"QT_QPA_PLATFORM": "offscreen"}, False),
        ({"DISPLAY": ""}, True),
    ],
)
def test_where_there_is_no_display(environ: dict[str, str], headless: bool) -> None:
    assert is_headless(environ, "linux") is headless
    assert not is_headless(environ, "darwin")


def test_arguments(capsys: Any) -> None:
    assert parse(["--demo", "--connect", "http://x:1"]).connect == "http://x:1"
    with pytest.raises(SystemExit) as stop:
        parse(["--connect", "http://x", "--in-process"])
    assert stop.value.code == 2
    assert "exclude" in capsys.readouterr().err
    assert headless_seconds({"MISSION_CONTROL_HEADLESS_SECONDS": "3"}) == 3
    assert headless_seconds({"MISSION_CONTROL_HEADLESS_SECONDS": "soon"}) == headless_seconds({}) == 60


def test_the_clipboard_gets_the_id(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a"))
        desk = await rig.open(plane.open)
        await until(lambda: desk.window.panels.open_ids())
        desk.window.panels.activate("internal:a")
        desk.window.commands["session.copy_id"].trigger()
        assert QApplication.clipboard().text() == "internal:a"
        await desk.close()

    rig.run(scenario)


LATER = ("httpx", "rich", "click", "typing_extensions", "sqlalchemy", "keyring", "markdown_it", "pygments")
"""Libraries that are no part of the first paint."""


def test_the_first_paint_imports_nothing_that_is_not_seen_then() -> None:
    program = (
        "import sys\n"
        "from mission_control_desktop.programs import lean_imports, lean_qt\n"
        "lean_imports()\n"
        "lean_qt()\n"
        "import mission_control_desktop.ui.application\n"
        "print(*sys.modules)\n"
        "import mission_control_desktop.client.http\n"
        "print(*sys.modules)\n"
        "import linecache\n"
        "print(*linecache.cache, sep=chr(0))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    *modules, sources = told.stdout.splitlines()
    first, connected = (set(line.split()) for line in modules)
    assert not [path for path in sources.split(chr(0)) if "mission_control_desktop" in path], "sources are read"
    assert not first & set(LATER)
    ours = {name.removeprefix("mission_control_desktop.ui.").split(".")[0] for name in first}
    assert not ours & {"audit", "dialogs", "palette", "settings", "several"}
    assert "httpx" in connected
    assert not connected & {"rich", "click"}
