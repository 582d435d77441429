"""The program: from its arguments to a window on a control plane, and out again without ending an agent."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qasync
import structlog
from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QMessageBox, QSystemTrayIcon

from mission_control_desktop.client.engine import EngineHost
from mission_control_desktop.client.inbox import Inbox, Link, LinkState
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import detached, later, theme, words
from mission_control_desktop.ui.bridge import Bridge
from mission_control_desktop.ui.connection import Connection, Opener, Reached
from mission_control_desktop.ui.control import GatewayPort, StateDrafts, StatePlaces
from mission_control_desktop.ui.desk.presenter import DeskPresenter
from mission_control_desktop.ui.failures import Failures
from mission_control_desktop.ui.garbage import collected_here
from mission_control_desktop.ui.local_state import APPEARANCE, TRAY, LocalState
from mission_control_desktop.ui.main_window.meter import Meter
from mission_control_desktop.ui.main_window.presenter import WindowPresenter
from mission_control_desktop.ui.main_window.window import MainWindow
from mission_control_desktop.ui.panels import Panels
from mission_control_desktop.ui.plane_book import PlaneBook
from mission_control_desktop.ui.planes import Plane, Planes
from mission_control_desktop.ui.presence import Presence
from mission_control_desktop.ui.process import configure_logs, is_headless, make_app, on_end_signals
from mission_control_desktop.ui.roster.flow import RosterFlow
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.transcript.scheduler import shared_scheduler

if TYPE_CHECKING:
    from mission_control_desktop.client.starting import Begun
    from mission_control_desktop.ui.audit.presenter import AuditPresenter, AuditSource
    from mission_control_desktop.ui.dialogs.kill_flow import Otherwise
    from mission_control_desktop.ui.dialogs.stop_by_file import Living, Sweep

log = structlog.get_logger(__name__)

CLOSING_SAID = "closing_said"
HEADLESS_SECONDS = 60.0
THIS_COMPUTER = "local"
"""Names this computer's control plane in what the window keeps: its address is another one with each start."""
PANEL = "mission_control_desktop.ui.panel.panel"
"""Imported after the first paint, while the control plane is being reached."""
LOST_AFTER = 3
"""Attempts of the workspace's stream to come back before the control plane is looked for elsewhere."""
RECOVER_SECONDS = 5.0
"""Pause after a search that failed; the next failing attempt of the stream begins another one."""


def headless_seconds(environ: Mapping[str, str]) -> float:
    """How long the demo runs without a display; MISSION_CONTROL_HEADLESS_SECONDS says otherwise."""
    text = environ.get("MISSION_CONTROL_HEADLESS_SECONDS", "")
    try:
        return max(1.0, float(text)) if text else HEADLESS_SECONDS
    except ValueError:
        return HEADLESS_SECONDS


def run(
    arguments: argparse.Namespace,
    folder: Path,
    *,
    in_process: Opener | None = None,
    begun: Begun | None = None,
    living: Living | None = None,
    sweep: Sweep | None = None,
) -> int:
    """Run the program until its window is closed; returns the exit code.

    `folder` is the data directory. `in_process` makes the control plane of `--in-process`; it is called on the engine's
    loop. `begun`: the control plane that is being started. `living` looks at what lives on this computer when its
    control plane cannot be asked, `sweep` ends what has no keeper.
    """
    if arguments.in_process and in_process is None:
        sys.stderr.write("mission-control-desktop: --in-process is not available in this build\n")
        return 2
    configure_logs()
    headless = is_headless(os.environ)
    if headless:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        os.environ.setdefault("QT_LOGGING_RULES", "qt.qpa.*=false")
    app = make_app()
    loop = qasync.QEventLoop(app)
    asyncio.set_event_loop(loop)
    try:
        with loop, collected_here():
            desktop = Desktop(
                folder,
                connect=arguments.connect,
                in_process=in_process if arguments.in_process else None,
                begun=begun,
                living=living,
                sweep=sweep,
            )
            if headless:
                from mission_control_desktop.ui.headless import run_headless

                return int(loop.run_until_complete(run_headless(desktop, headless_seconds(os.environ))))
            return int(loop.run_until_complete(desktop.main(demo=arguments.demo)))
    finally:
        asyncio.set_event_loop(None)


class Desktop(QObject):
    """One window with everything behind it. `show` paints, `reach` finds a control plane, `close` lets go."""

    def __init__(
        self,
        folder: Path,
        *,
        connect: str | None = None,
        in_process: Opener | None = None,
        begun: Begun | None = None,
        living: Living | None = None,
        sweep: Sweep | None = None,
    ) -> None:
        super().__init__()
        self._living, self._sweep = living, sweep
        self._recovering: asyncio.Task[Any] | None = None
        self._closed = asyncio.Event()
        self._retry = asyncio.Event()
        self._notes: list[str] = []
        self._prepared = False
        self._folder, self._url = folder, connect
        self.failures = Failures(self)
        self.failures.install()
        earlier = self.failures.watch_crashes(folder)
        if earlier is not None:
            self._notes.append(f"The window crashed the last time. No agent was ended. The trace is in {earlier}.")
        self.state = LocalState(folder, problem=self._on_state_problem)
        theme.set_appearance(theme.Appearance.of(self.state.get(APPEARANCE)))
        self.tasks = Tasks(self.failures.on_task)
        self.presence = Presence(folder, self)
        self.store = SessionStore(self)
        self.window = MainWindow(self.store, self.state)
        if not self.window.restore_layout():
            self._notes.append(
                "Part of the saved layout was damaged. It was set aside, and the window starts without it; nothing "
                "else is lost."
            )
        self.failures.reported.connect(self._on_failure)
        self.inbox = Inbox()
        self.bridge = Bridge(self.inbox, self, handed=shared_scheduler().at_once)
        self.host = EngineHost(self.inbox, on_error=self.failures.on_task)
        home = Connection(self.host, folder, url=connect, in_process=in_process, begun=begun)
        self.planes = Planes(self.host, home, self.store, self.bridge, self.tasks, self)
        self.panels = Panels(
            self.store,
            GatewayPort(self.host),
            StateDrafts(self.state),
            StatePlaces(self.state),
            self.host,
            self.planes,
            self.bridge,
            self.tasks,
            self,
        )
        self.window.panels.set_factory(self.panels.make, self.panels.may_go)
        self.window.panels.panel_released.connect(self.panels.closed)
        self.meter = Meter(
            self.inbox.stats, self.inbox.take_lag, shared_scheduler(), self.window.flow_label, self.window
        )
        self.book = PlaneBook(self.planes, self.state, folder)
        # Only the agents of this computer have keepers that look for the file.
        self.presenter = WindowPresenter(
            self.window, self.planes, self.book, self.panels, self.tasks, self._stop_by_file if home.own else None
        )
        self.roster = RosterFlow(self.window.roster, self.planes, self.tasks)
        self.planes.link_changed.connect(self._on_link)
        self.desks = DeskPresenter(self.window, self.tasks)
        self.planes.came_or_went.connect(self._on_planes)
        self.window.audit_shown.connect(lambda: self.audit.reload())
        self.window.close_requested.connect(self._on_close_requested)
        self.presence.front_wanted.connect(self._on_front_wanted)
        self.presence.session_wanted.connect(self.window.telling.on_clicked)
        self.window.telling.front_wanted.connect(self._on_front_wanted)
        self.window.starting.retry_requested.connect(self._retry.set)

    @cached_property
    def audit(self) -> AuditPresenter:
        """Made with its drawer when that is first shown, or soon after the window is usable."""
        from mission_control_desktop.ui.audit.presenter import AuditPresenter

        made = AuditPresenter(self._audit_sources(), self.store, self.window.audit, self.state, self.tasks)
        made.session_wanted.connect(self._on_session_wanted)
        return made

    def _stop_by_file(self) -> Otherwise | None:
        if self._living is None:
            return None
        from mission_control_desktop.ui.dialogs.stop_by_file import StopByFile

        return StopByFile(self._folder, self.store, self._living, self._sweep)

    def _on_planes(self) -> None:
        if "audit" in vars(self):
            self.audit.set_sources(self._audit_sources())

    def _audit_sources(self) -> list[AuditSource]:
        from mission_control_desktop.ui.audit.presenter import AuditSource

        return [AuditSource(p.connection.url or THIS_COMPUTER, p.title, p.gateway, p.key) for p in self.planes]

    # -- the whole run

    async def main(self, *, demo: bool = False) -> int:
        """Show the window, connect, and stay until it is closed."""
        self._catch_signals()
        asyncio.get_running_loop().set_exception_handler(self.failures.on_loop)
        await self.show()
        connecting = self.tasks.start(self._connect_until_done(demo=demo), name="connect")
        try:
            await self._closed.wait()
        finally:
            connecting.cancel()
            await self.close()
        return 0

    async def show(self) -> None:
        """Show the window; returns after its first paint."""
        painted = asyncio.Event()
        self.window.first_painted.connect(painted.set)
        self.window.show()
        for note in self._notes:
            self.window.notices.show_notice(note)
        await painted.wait()

    async def reach(self) -> None:
        """Find or start the control plane and read what is there. Raises the tree of `domain.errors`."""
        self.book.open_saved()
        try:
            reached, _ = await asyncio.gather(
                self.planes.home.connection.reach(self.window.starting.show_progress), self._import_panel()
            )
            await self._take(reached)
        finally:
            if not self._prepared and not self.window.closing:
                self._prepared = True
                self.tasks.start(later.prepare(self), name="prepare what is not seen yet")

    @staticmethod
    async def _import_panel() -> None:
        await asyncio.sleep(0)  # the engine's thread begins first
        importlib.import_module(PANEL)

    async def _take(self, reached: Reached) -> None:
        """Read what a control plane has that was just connected."""
        if reached.note:
            self.window.notices.show_notice(reached.note)
        if reached.started:
            self.window.statusBar().showMessage("The control plane was started; it goes on without this window.", 8000)
        await self.planes.home.follow(reached)

    # -- the control plane is gone

    def _on_link(self, plane: Plane, link: Link) -> None:
        if link.state in (LinkState.CONNECTED, LinkState.RECONNECTING):
            if "audit" in vars(self):
                self.audit.note_link(plane.key, link.state is LinkState.CONNECTED)
            self.window.telling.teller.note_link(plane.title, connected=link.state is LinkState.CONNECTED)
        if plane is not self.planes.home:
            return
        if link.state is LinkState.RECONNECTING and link.attempt >= LOST_AFTER and plane.connection.can_move:
            if self._recovering is None or self._recovering.done():
                self._recovering = self.tasks.start(self._recover(), name="find the control plane again")
        elif link.state is LinkState.CONNECTED:
            self.window.notices.dismiss("recover")

    async def _recover(self) -> None:
        """The control plane of this computer may have crashed: the one that is there now (started, if there is none)
        knows the same sessions, and its agents have gone on."""
        try:
            reached = await self.planes.home.connection.find_again()
            if reached is not None:
                await self._take(reached)
        except MissionControlError as error:
            self.window.notices.show_notice(
                f"The control plane is away: {error.message} Agents go on without it, and it is looked for again and "
                "again.",
                error=True,
                key="recover",
            )
            await asyncio.sleep(RECOVER_SECONDS)

    async def _connect_until_done(self, *, demo: bool) -> None:
        while True:
            self._retry.clear()
            try:
                await self.reach()
            except MissionControlError as error:
                self.window.starting.show_problem(error.message)
                if self.window.pages.currentWidget() is not self.window.starting:
                    self.window.notices.show_notice(
                        f"Not connected: {error.message}", error=True, action="Try again", key="connect"
                    ).acted.connect(self._retry.set)
                await self._retry.wait()
                self.window.notices.dismiss("connect")
            else:
                break
        if demo and not self.store.demo_count:
            self.presenter.start_demo()
        self.tasks.start(self.window.telling.run(), name="desktop notifications")
        await self._start_tray()

    async def _start_tray(self) -> None:
        """The entry that stops everything when this window cannot. One that runs already goes on instead."""
        if not self.state.get(TRAY, True) or not QSystemTrayIcon.isSystemTrayAvailable():
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, detached.start_tray, self._folder, self._url)
        except MissionControlError as error:
            log.warning("the tray was not started", error=error.message)

    async def close(self) -> None:
        """Let go of everything: agents and the control plane go on."""
        self.window.finish()
        self.presence.close()
        await self.panels.close()
        await self.tasks.close()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.host.stop)
        await loop.run_in_executor(None, self.state.close)
        self.failures.uninstall()
        self.window.deleteLater()

    def _on_front_wanted(self) -> None:
        if self.window.isMinimized():
            self.window.showNormal()
        self.window.show()
        self.window.raise_()
        self.window.activateWindow()

    def _on_session_wanted(self, session_id: str, moment: datetime) -> None:
        self.window.set_audit(False)
        self.panels.show_at(session_id, moment)
        self.window.open_session(session_id)

    # -- closing

    def _on_close_requested(self) -> None:
        live = self.store.live_count
        if not live or self.state.get(CLOSING_SAID):
            self._closed.set()
            return
        box = QMessageBox(self.window)
        box.setObjectName("dialog.closing")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle("Close the window")
        box.setText(f"{words.plural(live, 'agent keeps', 'agents keep')} running.")
        box.setInformativeText(
            "Closing the window ends no agent: the control plane goes on, and the next window shows every session with "
            "its whole transcript. To end agents, use Terminate, Kill or Kill All. This is said once."
        )
        close = box.addButton("Close the window", QMessageBox.ButtonRole.AcceptRole)
        box.setDefaultButton(close)
        box.setEscapeButton(box.addButton("Stay", QMessageBox.ButtonRole.RejectRole))
        box.buttonClicked.connect(lambda button: self._on_closing_answered(button is close))
        box.open()

    def _on_closing_answered(self, close: bool) -> None:
        if close:
            self.state.put(CLOSING_SAID, True)
            self._closed.set()

    def _catch_signals(self) -> None:
        on_end_signals(self._closed.set)

    # -- what went wrong

    def _on_failure(self, text: str, details: str) -> None:
        self.window.notices.show_notice(text, error=True, detail=details)

    def _on_state_problem(self, text: str) -> None:
        """On any thread; before the window is there the text waits."""
        log.warning("local state", problem=text)
        if hasattr(self, "window"):
            self.failures.reported.emit(text, "")
        else:
            self._notes.append(text)
