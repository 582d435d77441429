"""The real window on an event loop, for one test: engine thread, inbox, bridge, local file, all as in the program."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import qasync
from PySide6.QtCore import QCoreApplication, QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QWidget
from shiboken6 import isValid

from mission_control_desktop.orchestrator.living import living_sessions
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.application import Desktop
from mission_control_desktop.ui.connection import Opener
from support.wrappers import watch

W = TypeVar("W", bound=QWidget)

PATIENCE = 20.0


class Rig:
    """`run` one scenario; `await until(...)` in it polls, it never just waits."""

    def __init__(self, app: QApplication, folder: Path) -> None:
        self.app = app
        self.folder = folder
        self._desks: list[Desktop] = []
        self.failures: list[str] = []
        self.expected_failures = False

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]], *, seconds: float = 100) -> None:
        """Run a scenario on a Qt event loop of its own; fails on anything that the window reported as failed."""
        self.app.setQuitOnLastWindowClosed(False)
        loop = qasync.QEventLoop(self.app)
        asyncio.set_event_loop(loop)
        try:
            with loop:
                loop.run_until_complete(asyncio.wait_for(self._whole(scenario), seconds))
        finally:
            asyncio.set_event_loop(None)
            QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        if not self.expected_failures:
            assert self.failures == []

    async def _whole(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await scenario()
        finally:
            for desk in self._desks:
                if isValid(desk.window) and not desk.window.closing:
                    await desk.close()

    def desktop(self, opener: Opener | None = None, *, url: str | None = None) -> Desktop:
        """A window, not shown yet."""
        made = Desktop(self.folder, connect=url, in_process=opener, living=living_sessions)
        made.failures.reported.connect(lambda text, details: self.failures.append(f"{text}\n{details}"))
        made.window.resize(1280, 800)
        self._desks.append(made)
        return made

    async def open(self, opener: Opener | None = None, *, url: str | None = None) -> Desktop:
        """A window that is shown and connected."""
        made = self.desktop(opener, url=url)
        await made.show()
        await made.reach()
        theme.set_scheme("light")
        return made


def killed(program: str, folder: Path, *arguments: str, seconds: float = 90) -> str:
    """Run a window in a process of its own, which kills itself with SIGKILL; the last line that it printed. The program
    finds `folder` and the arguments in `sys.argv`, and may import `support`."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *(p for p in sys.path if p)])
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return (done.stdout.strip().splitlines() or [""])[-1]


async def until(done: Callable[[], Any], what: str = "the awaited state", patience: float = PATIENCE) -> Any:
    """Poll until something is so; its (true) value. Fails if Python holds items of layouts by then."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while not (value := done()):
        if loop.time() > end:
            raise AssertionError(f"{what} did not come within {patience:g} s")
        await asyncio.sleep(0.01)
    watch.check()
    return value


async def dialog(kind: type[W], parent: QWidget) -> W:
    """The open dialog of a kind, once it is there."""

    def found() -> W | None:
        return next((d for d in parent.findChildren(kind) if d.isVisible()), None)

    answer: W = await until(found, f"a {kind.__name__}")
    return answer


def press(widget: QWidget, keys: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """One key press, as a person makes it."""
    QTest.keyClick(widget, keys, modifier)


def second_click(widget: QWidget) -> None:
    """The second press of a double click, let go again: it goes to what is under the pointer by then."""
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    place = QPointF(widget.rect().center())
    there = QPointF(widget.mapToGlobal(widget.rect().center()))
    for kind, held in ((QEvent.Type.MouseButtonDblClick, left), (QEvent.Type.MouseButtonRelease, none)):
        QApplication.sendEvent(widget, QMouseEvent(kind, place, there, left, held, Qt.KeyboardModifier.NoModifier))


def move(widget: QWidget, spot: QPoint, held: Qt.MouseButton = Qt.MouseButton.LeftButton) -> None:
    """Move the pointer, with a button held. (`QTest.mouseMove` lets the event loop run, which no coroutine may.)"""
    kind, none = QEvent.Type.MouseMove, Qt.KeyboardModifier.NoModifier
    place, there = QPointF(spot), QPointF(widget.mapToGlobal(spot))
    QApplication.sendEvent(widget, QMouseEvent(kind, place, there, Qt.MouseButton.NoButton, held, none))


def drag(widget: QWidget, start: QPoint, end: QPoint, *, let_go: bool = True) -> None:
    """Press, move and release the left button, as a person drags: in steps. Both places are in the widget's terms, and
    may lie outside of it."""
    left = Qt.MouseButton.LeftButton
    QTest.mousePress(widget, left, pos=start)
    for step in range(1, 5):
        move(widget, start + (end - start) * step / 4)
    if let_go:
        QTest.mouseRelease(widget, left, pos=end)


def dialogs(parent: QWidget) -> list[QDialog]:
    """All open dialogs."""
    return [d for d in parent.findChildren(QDialog) if d.isVisible()]
