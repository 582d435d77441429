"""`mission-control-desktop --tray`: the process behind the entry in the system tray."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import qasync
import structlog
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QSystemTrayIcon
from shiboken6 import isValid

from mission_control_desktop.client import paths, windows
from mission_control_desktop.client.engine import EngineHost
from mission_control_desktop.client.inbox import Inbox
from mission_control_desktop.client.locks import hold
from mission_control_desktop.client.tokens import in_thread
from mission_control_desktop.domain.errors import MissionControlError, Unavailable
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import detached, theme
from mission_control_desktop.ui.attention.center import PREFIX
from mission_control_desktop.ui.bridge import Bridge
from mission_control_desktop.ui.connection import Connection
from mission_control_desktop.ui.dialogs.kill_all import KillAllDialog
from mission_control_desktop.ui.dialogs.kill_flow import KillAllFlow
from mission_control_desktop.ui.dialogs.kill_scopes import KillPlane
from mission_control_desktop.ui.dialogs.stop_by_file import Living, StopByFile, Sweep
from mission_control_desktop.ui.failures import Failures
from mission_control_desktop.ui.garbage import collected_here
from mission_control_desktop.ui.local_state import APPEARANCE, LocalState, stored
from mission_control_desktop.ui.notifications.teller import NOTIFICATIONS
from mission_control_desktop.ui.plane_book import SAVED, kept_planes
from mission_control_desktop.ui.process import configure_logs, is_headless, make_app, on_end_signals
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.tray.entry import TrayEntry
from mission_control_desktop.ui.tray.following import Following
from mission_control_desktop.ui.tray.planes import TrayPlanes
from mission_control_desktop.ui.tray.telling import TrayTelling

log = structlog.get_logger(__name__)

FRONT_SECONDS = 3.0
"""How long an open window may take to come to the front before it is taken for hung."""
OPENING_SECONDS = 30.0
UNNEEDED_SECONDS = 60.0
"""With no window open and no agent alive for so long the tray ends, so that the control plane can."""
LOOK_SECONDS = 5.0
DECIDED_SECONDS = 2.0
"""How often is read what was acknowledged or shelved in a window."""


def run(argv: Sequence[str], *, living: Living, sweep: Sweep | None = None) -> int:
    """Stay in the tray until it is quit or not needed any more; the exit code. 1 if it cannot be there: no display, no
    tray, or another one of this data
    directory. `living` looks at what lives when the control plane cannot be asked, `sweep` ends what has no keeper."""
    parser = argparse.ArgumentParser(prog="mission-control-desktop --tray")
    parser.add_argument("--tray", action="store_true")
    parser.add_argument("--connect", metavar="URL", help="use the control plane at this address")
    arguments = parser.parse_args(list(argv))
    configure_logs()
    if is_headless(os.environ):
        return _cannot("there is no display, so there is no tray. Without one: mission-control kill-all")
    folder = paths.data_dir()
    try:
        held = hold(paths.make_private_dir(folder) / paths.TRAY_LOCK_FILE)
    except OSError as error:
        return _cannot(f"the data directory {folder} cannot be used: {error.strerror}")
    if held is None:
        return _cannot(f"a tray of {folder} runs already")
    try:
        app = make_app()
        if not QSystemTrayIcon.isSystemTrayAvailable():
            return _cannot("this desktop has no system tray. Without one: mission-control kill-all")
        loop = qasync.QEventLoop(app)
        asyncio.set_event_loop(loop)
        try:
            with loop, collected_here():
                desk = TrayDesk(folder, living, sweep=sweep, connect=arguments.connect)
                return int(loop.run_until_complete(desk.main()))
        finally:
            asyncio.set_event_loop(None)
    finally:
        os.close(held)


def _cannot(text: str) -> int:
    sys.stderr.write(f"mission-control-desktop: {text}\n")
    return 1


class TrayDesk(QObject):
    """The entry with everything behind it."""

    def __init__(self, folder: Path, living: Living, *, sweep: Sweep | None = None, connect: str | None = None) -> None:
        super().__init__()
        self._folder, self._connect = folder, connect
        self._closed = asyncio.Event()
        self._opening: asyncio.Task[None] | None = None
        self._dialog: KillAllDialog | None = None
        self.failures = Failures(self)
        self.failures.install()
        state = LocalState(folder, problem=lambda text: log.warning("local state", problem=text))
        theme.set_appearance(theme.Appearance.of(state.get(APPEARANCE)))
        self.tasks = Tasks(self.failures.on_task)
        self.store = SessionStore(self)
        self.entry = TrayEntry(self.store, self)
        self.failures.reported.connect(lambda text, _details: self.entry.tell(text))
        self.telling = TrayTelling(self.store, self.entry, self)
        inbox = Inbox()
        self._bridge = Bridge(inbox, self)
        self.host = EngineHost(inbox, on_error=self.failures.on_task)
        home = Connection(self.host, folder, url=connect, in_process=None, start=False)
        self.planes = TrayPlanes(folder, home, self.host, self._bridge, self.store, self.tasks)
        self.planes.changed.connect(self._on_planes)
        self.planes.link_changed.connect(self._on_link)
        self.planes.left.connect(lambda one: self.telling.note_link(one.title, connected=True))
        # Only the agents of this computer have keepers that look for the file.
        otherwise = StopByFile(folder, self.store, living, sweep) if home.own else None
        self._flow = KillAllFlow(
            self.store,
            self.host,
            self.tasks,
            self.entry.tell,
            self,
            otherwise=otherwise,
            planes=lambda: tuple(KillPlane(one.key, one.title, one.refusal) for one in self.planes),
        )
        self.telling.open_wanted.connect(self._on_open)
        self.entry.open_wanted.connect(self._on_open)
        self.entry.kill_all_wanted.connect(self.ask_kill_all)
        self.entry.quit_wanted.connect(self._closed.set)

    async def main(self) -> int:
        """Stay until it is quit or not needed."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self.failures.on_loop)
        on_end_signals(self._closed.set)
        self.entry.show()
        self.follow()
        self.tasks.start(self._watch_need(), name="is the tray needed")
        try:
            await self._closed.wait()
        finally:
            await self.close()
        return 0

    def follow(self) -> None:
        """Begin to look for the control planes."""
        self.planes.start()
        self.tasks.start(self._watch_decisions(), name="what persons decided in windows")
        self.tasks.start(self.telling.run(), name="desktop notifications")

    async def _watch_decisions(self) -> None:
        while True:
            try:
                kept = await in_thread(lambda: stored(self._folder, PREFIX, NOTIFICATIONS, SAVED))
            except Unavailable as error:  # a window writes it just now: what was read before holds
                log.debug("the window's file was not read", error=error.message)
            else:
                self.entry.attention.merge(kept)
                self.telling.choose(kept.get(NOTIFICATIONS))
                await self.planes.keep(kept_planes(kept.get(SAVED)))
            self.telling.window_open = await in_thread(self._any_window)
            await asyncio.sleep(DECIDED_SECONDS)

    async def close(self) -> None:
        """Let go of everything: agents, the control plane and windows go on."""
        self.telling.teller.stop()
        if self._dialog is not None and isValid(self._dialog):
            self._dialog.close()
        await self.tasks.close()
        await asyncio.get_running_loop().run_in_executor(None, self.host.stop)
        self.failures.uninstall()
        self.entry.close()

    def _on_planes(self) -> None:
        self.entry.set_planes([one.followed for one in self.planes])

    def _on_link(self, one: Following) -> None:
        self.telling.note_link(one.title, connected=one.connected)

    # -- kill all

    def ask_kill_all(self) -> KillAllDialog:
        """Open the dialog; the open one comes to the front."""
        if self._dialog is None or not isValid(self._dialog) or not self._dialog.isVisible():
            self._dialog = self._flow.ask()
        self._dialog.raise_()
        self._dialog.activateWindow()
        return self._dialog

    # -- the window

    def _on_open(self, session_id: str = "") -> None:
        if self._opening is None or self._opening.done():
            self._opening = self.tasks.start(self._open_window(session_id), name="open the window")

    async def _open_window(self, session_id: str) -> None:
        """Bring an open window to the front, with a session if one is named; start one if there is none, or if it
        hangs."""
        folder = self._folder
        if await in_thread(self._any_window):
            await in_thread(lambda: windows.ask_to_front(folder, session_id))
            if await _comes(lambda: windows.was_taken(folder), FRONT_SECONDS):
                return
            await in_thread(lambda: windows.withdraw(folder))
            self.entry.tell("The window does not answer. Another one is opened beside it; agents go on.")
        try:
            await in_thread(lambda: detached.start_window(folder, self._connect))
        except MissionControlError as error:
            self.entry.tell(f"The window was not opened: {error.message} Agents go on; Kill All is in this menu, too.")
            return
        if await _comes(self._any_window, OPENING_SECONDS) and session_id:
            await in_thread(lambda: windows.ask_to_front(folder, session_id))

    def _any_window(self) -> bool:
        return windows.any_open(self._folder)

    # -- the end

    async def _watch_need(self) -> None:
        loop = asyncio.get_running_loop()
        needed = loop.time()
        while True:
            board = self._dialog is not None and isValid(self._dialog) and self._dialog.isVisible()
            opening = self._opening is not None and not self._opening.done()
            if self.store.live_count or board or opening or await in_thread(self._any_window):
                needed = loop.time()
            elif loop.time() - needed > UNNEEDED_SECONDS:
                log.info("nobody needs the tray: no window is open and no agent lives")
                self._closed.set()
                return
            await asyncio.sleep(LOOK_SECONDS)


async def _comes(about: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes so in time. `about` looks at files, off this loop."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not await in_thread(about):
        if loop.time() > end:
            return False
        await asyncio.sleep(0.1)
    return True
