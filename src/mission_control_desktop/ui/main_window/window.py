"""The main window: puts header, roster, panels and drawer together, and remembers how they stood."""

from __future__ import annotations

import base64
from typing import Any

from PySide6.QtCore import QByteArray, QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QGuiApplication, QMoveEvent, QResizeEvent
from PySide6.QtWidgets import QApplication, QLabel, QMainWindow, QMenu, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import icons, theme, words
from mission_control_desktop.ui.audit.drawer import AuditDrawer
from mission_control_desktop.ui.audit.model import AuditModel
from mission_control_desktop.ui.commands import CommandActions, When
from mission_control_desktop.ui.launch.screen import LaunchScreen
from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.main_window.docks import PanelGrid
from mission_control_desktop.ui.main_window.empty import EmptyPanels, Starting
from mission_control_desktop.ui.main_window.grid import GRIDS
from mission_control_desktop.ui.main_window.header import Header
from mission_control_desktop.ui.main_window.notices import Notices
from mission_control_desktop.ui.roster import RosterPane
from mission_control_desktop.ui.sessions import SessionStore

LAYOUT_KEY = "layout"
LAYOUT_VERSION = 1
AUTO_OPEN = 6
"""Panels of root sessions open by themselves up to so many."""
MAX_REMEMBERED_CLOSED = 500


class MainWindow(QMainWindow):
    """Shows and asks; what is asked for goes out as signals, which the presenter carries out."""

    close_requested = Signal()
    """The window may go now; it ends no agent."""
    session_action = Signal(str, str)
    """Session id and what to do: pause_resume, cancel_turn, terminate, kill, message, spawn_below."""
    kill_all_requested = Signal()
    settings_requested = Signal(str)
    keys_requested = Signal()
    new_agent_shown = Signal()
    audit_shown = Signal()
    first_painted = Signal()

    def __init__(self, store: SessionStore, state: LocalState) -> None:
        super().__init__()
        self.store = store
        self.state = state
        self._connected = False
        self._may_act = True
        self._launch_wanted = False
        self._painted = False
        self._closing = False
        self._closed_by_hand: dict[str, None] = {}
        self._known_roots: set[str] = set()
        self.setObjectName("main")
        self.setWindowTitle("Mission Control")
        self.setWindowIcon(icons.app_icon())
        self.setMinimumSize(900, 560)
        self.commands = CommandActions(self)
        self.commands.fill(self.menuBar())
        self.header = Header(store, self.commands)
        self.notices = Notices()
        self.roster = RosterPane(store)
        self.panels = PanelGrid()
        self.starting = Starting()
        self.launch = LaunchScreen()
        self.empty = EmptyPanels()
        self.pages = QStackedWidget()
        for page in (self.starting, self.launch, self.empty, self.panels):
            self.pages.addWidget(page)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(1)
        self.splitter.addWidget(self.roster)
        self.splitter.addWidget(self.pages)
        self.splitter.setStretchFactor(0, 0)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setSizes([340, 940])
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.header)
        column.addWidget(self.notices)
        self._below = QWidget()
        below = QVBoxLayout(self._below)
        below.setContentsMargins(0, 0, 0, 0)
        below.addWidget(self.splitter)
        column.addWidget(self._below, 1)
        self.setCentralWidget(body)
        self.audit_model = AuditModel(self._name_of, self)
        self.audit = AuditDrawer(self.audit_model, self._below)
        self.record_label = QLabel()
        self.flow_label = QLabel()
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().setContentsMargins(8, 0, 12, 0)
        self.statusBar().addPermanentWidget(self.record_label)
        self.statusBar().addPermanentWidget(self.flow_label)

        self._save_later = QTimer(self)
        self._save_later.setSingleShot(True)
        self._save_later.setInterval(400)
        self._save_later.timeout.connect(self.save_layout)
        self._bind()
        self._listen()
        self._show_page()
        self._conditions()

    # -- binding

    def _bind(self) -> None:
        handle = self.commands.handle
        handle("mission.new_agent", self.show_launch)
        handle("mission.next_attention", self.next_attention)
        handle("mission.settings", lambda: self.settings_requested.emit(""))
        handle("mission.kill_all", self.kill_all_requested.emit)
        handle("mission.close", self.close_requested.emit)
        handle("session.open", lambda: self._with_session(self.open_session))
        for name in ("message", "spawn_below", "pause_resume", "cancel_turn", "terminate", "kill"):
            handle(f"session.{name}", lambda n=name: self._with_session(lambda i: self.session_action.emit(i, n)))  # type: ignore[misc]
        handle("session.copy_id", lambda: self._with_session(QApplication.clipboard().setText))
        handle("panel.close", lambda: self.panels.close_panel(self.panels.current_id))
        handle("panel.close_ended", self._close_ended)
        handle("panel.next", lambda: self._step(1))
        handle("panel.previous", lambda: self._step(-1))
        for way in ("left", "right", "up", "down"):
            handle(f"panel.{way}", lambda w=way: self.panels.move_panel(w))  # type: ignore[misc]
        handle("panel.tab", self.panels.tab_with_next)
        handle("panel.float", self.panels.float_or_dock)
        handle("panel.full_screen", self.panels.toggle_full_screen)
        for cells in GRIDS:
            handle(f"layout.{cells}", lambda c=cells: self.panels.arrange(c))  # type: ignore[misc]
        for n in range(1, 10):
            handle(f"panel.go_{n}", lambda k=n: self._go(k))  # type: ignore[misc]
        handle("view.next_region", lambda: self._next_region(1))
        handle("view.previous_region", lambda: self._next_region(-1))
        handle("view.filter", self._focus_filter)
        handle("view.roster", self._toggle_roster)
        handle("view.audit", self._toggle_audit)
        handle("view.appearance", self._toggle_appearance)
        handle("help.keys", self.keys_requested.emit)
        handle("help.about", lambda: self.settings_requested.emit("about"))
        self.commands["view.roster"].setChecked(True)

    def _listen(self) -> None:
        self.header.attention_clicked.connect(self.next_attention)
        self.header.connection_clicked.connect(lambda: self.settings_requested.emit("about"))
        self.roster.open_requested.connect(self.open_session)
        self.roster.kill_requested.connect(lambda i: self.session_action.emit(i, "kill"))
        self.roster.pause_requested.connect(lambda i: self.session_action.emit(i, "pause_resume"))
        self.roster.menu_requested.connect(self._on_roster_menu)
        self.roster.selection_changed.connect(self._conditions)
        self.panels.panel_opened.connect(self._on_panel_opened)
        self.panels.panel_closed.connect(self._on_panel_closed)
        self.panels.current_changed.connect(self._on_current)
        self.panels.layout_changed.connect(self._save_later.start)
        self.panels.sessions_dropped.connect(self._on_dropped)
        self.splitter.splitterMoved.connect(lambda _p, _i: self._save_later.start())
        self.empty.new_agent_requested.connect(self.show_launch)
        self.empty.arrange_requested.connect(self._open_live)
        self.launch.closed.connect(self._leave_launch)
        self.audit.closed.connect(lambda: self._set_audit(False))
        self.audit.jump_requested.connect(self._on_jump)
        self.store.sessions_changed.connect(self._on_sessions)
        self.store.sessions_removed.connect(self._on_removed)
        theme.signals.theme_changed.connect(self._on_theme)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            # A method, not a lambda: the application outlives this window.
            app.focusChanged.connect(self._on_focus_changed)

    def _on_focus_changed(self, _old: QWidget | None, _new: QWidget | None) -> None:
        self._conditions()

    # -- sessions

    def _name_of(self, session_id: str) -> str:
        session = self.store.sessions.get(session_id)
        return words.name(session) if session is not None else session_id

    def current_session_id(self) -> str:
        """What the Session menu acts on: the roster's row while the roster has the focus, else the active panel."""
        chosen = self.roster.tree.current_session()
        if chosen is not None and (self.roster.isAncestorOf(self.focusWidget() or self) or not self.panels.current_id):
            return chosen.session_id
        return self.panels.current_id

    def _with_session(self, act: Any) -> None:
        session_id = self.current_session_id()
        if session_id:
            act(session_id)

    def open_session(self, session_id: str) -> None:
        """Open a session's panel and go there."""
        session = self.store.sessions.get(session_id)
        if session is None:
            return
        self._closed_by_hand.pop(session_id, None)
        self._show_panels()
        self.panels.open(session)

    def _on_dropped(self, session_ids: list[str]) -> None:
        for session_id in session_ids:
            self.open_session(session_id)

    def next_attention(self) -> None:
        """Go to the next session that needs a person; without one, to the one that has waited longest for words."""
        wanted = self.store.attention() or self.store.idle()
        if not wanted:
            self.statusBar().showMessage("Nothing needs you.", 4000)
            return
        current = self.panels.current_id
        start = wanted.index(current) + 1 if current in wanted else 0
        self.open_session(wanted[start % len(wanted)])

    def _on_sessions(self, session_ids: list[str]) -> None:
        opened = set(self.panels.open_ids())
        wanted: list[AgentSession] = []
        for session_id in session_ids:
            session = self.store.sessions.get(session_id)
            if session is None:
                continue
            if session_id in opened:
                self.panels.show_session(session)
            elif self._opens_by_itself(session, len(opened) + len(wanted)):
                wanted.append(session)
        self.panels.open_all(wanted)
        self.empty.set_live(self.store.live_count)
        self._show_page()
        self._conditions()

    def _opens_by_itself(self, session: AgentSession, count: int) -> bool:
        known = session.session_id in self._known_roots
        if session.parent_session_id is not None or session.status.final or known:
            return False
        self._known_roots.add(session.session_id)
        return count < AUTO_OPEN and session.session_id not in self._closed_by_hand

    def _on_removed(self, session_ids: list[str]) -> None:
        self._known_roots.difference_update(session_ids)
        self._show_page()

    def _open_live(self) -> None:
        roots = [s for s in self.store.live() if s.parent_session_id is None] or self.store.live()
        for session in roots[:AUTO_OPEN]:
            self.open_session(session.session_id)

    def _close_ended(self) -> None:
        for session_id in self.panels.open_ids():
            session = self.store.sessions.get(session_id)
            if session is not None and session.status.final:
                self.panels.close_panel(session_id)

    def _on_panel_opened(self, session_id: str) -> None:
        self._known_roots.add(session_id)
        self._show_page()
        self._conditions()
        self._save_later.start()

    def _on_panel_closed(self, session_id: str) -> None:
        self._closed_by_hand[session_id] = None
        for old in list(self._closed_by_hand)[:-MAX_REMEMBERED_CLOSED]:
            del self._closed_by_hand[old]
        self._show_page()
        self._conditions()
        if not self._closing:
            self.statusBar().showMessage("Panel closed. Its session goes on; open it again from the roster.", 6000)
            self._save_later.start()

    def _on_current(self, session_id: str) -> None:
        if session_id:
            self.store.mark_seen(session_id)
            if not self.roster.isAncestorOf(self.focusWidget() or self):
                self.roster.tree.select(session_id)
        self._conditions()

    def _on_jump(self, session_id: str) -> None:
        self._set_audit(False)
        self.open_session(session_id)

    def _on_roster_menu(self, session_id: str, spot: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for group in (
            ("open", "message", "spawn_below"),
            ("pause_resume", "cancel_turn"),
            ("copy_id",),
            ("terminate", "kill"),
        ):
            for name in group:
                menu.addAction(self.commands[f"session.{name}"])
            menu.addSeparator()
        menu.popup(spot)

    # -- pages

    def set_connected(self, connected: bool) -> None:
        """Whether there is (or was, and is being reached again) a control plane."""
        first = connected and not self._connected
        self._connected = connected
        self._show_page()
        page = self.pages.currentWidget()
        if first and page is not None:
            self._focus_region(page)
        self._conditions()

    def set_may_act(self, may_act: bool) -> None:
        """Observers only watch; the control plane refuses them whatever the window does."""
        self._may_act = may_act
        self._conditions()

    def _show_page(self) -> None:
        if not self._connected and not self.panels.open_ids():
            page: QWidget = self.starting
        elif self._launch_wanted and self._connected:
            page = self.launch
        elif self.panels.open_ids():
            page = self.panels
        else:
            page = self.launch if self._first_run() else self.empty
        if page is self.launch:
            self.launch.set_first_run(self._first_run())
        self._turn_to(page)

    def _first_run(self) -> bool:
        return not self.store.sessions

    def _turn_to(self, page: QWidget) -> None:
        if self.pages.currentWidget() is page:
            return
        self.pages.setCurrentWidget(page)
        if page is self.launch:
            self.new_agent_shown.emit()

    def _show_panels(self) -> None:
        self._launch_wanted = False
        self._turn_to(self.panels)

    def show_launch(self) -> None:
        """Show what can be started."""
        self._launch_wanted = True
        self.launch.set_first_run(self._first_run())
        self._turn_to(self.launch)
        self.launch.focus_first()

    def _leave_launch(self) -> None:
        self._launch_wanted = False
        self._turn_to(self.panels if self.panels.open_ids() else self.empty)

    def leave_launch(self) -> None:
        """An agent was started: back to the panels."""
        self._launch_wanted = False
        self._show_page()

    # -- keyboard

    def _conditions(self) -> None:
        holds = set()
        if self._connected and self._may_act:
            holds.add(When.CONNECTED)
        if self.panels.open_ids():
            holds.add(When.PANEL)
        session = self.store.sessions.get(self.current_session_id())
        if session is not None:
            holds.add(When.SESSION)
            if not session.status.final and self._may_act:
                holds.add(When.LIVE_SESSION)
        self.commands.set_conditions(holds)

    def _step(self, by: int) -> None:
        ids = self.panels.open_ids()
        if ids:
            here = ids.index(self.panels.current_id) if self.panels.current_id in ids else -by
            self._go((here + by) % len(ids) + 1)

    def _go(self, number: int) -> None:
        ids = self.panels.open_ids()
        if number <= len(ids):
            self._show_panels()
            self.panels.activate(ids[number - 1])

    def _regions(self) -> list[QWidget]:
        found: list[QWidget] = [self.header]
        if self.roster.isVisible():
            found.append(self.roster)
        page = self.pages.currentWidget()
        if page is not None:
            found.append(page)
        if self.audit.isVisible():
            found.append(self.audit)
        return found

    def _next_region(self, by: int) -> None:
        regions = self._regions()
        focus = self.focusWidget()
        here = next((n for n, r in enumerate(regions) if focus is not None and r.isAncestorOf(focus)), 0)
        self._focus_region(regions[(here + by) % len(regions)])

    def _focus_region(self, region: QWidget) -> None:
        reason = Qt.FocusReason.ShortcutFocusReason
        if region is self.roster:
            self.roster.tree.setFocus(reason)
            if not self.roster.tree.currentIndex().isValid():
                self.roster.tree.setCurrentIndex(self.roster.filtered.index(0, 0))
        elif region is self.panels:
            ids = self.panels.open_ids()
            if ids:
                self.panels.activate(self.panels.current_id or ids[0])
        elif region is self.audit:
            self.audit.table.setFocus(reason)
        elif region is self.launch:
            self.launch.focus_first()
        elif region is self.header:
            self.header.attention.setFocus(reason)
        else:
            region.setFocus(reason)
            region.focusNextChild()

    def _focus_filter(self) -> None:
        self._set_roster(True)
        self.roster.focus_filter()

    def _toggle_roster(self) -> None:
        self._set_roster(self.roster.isHidden())

    def _set_roster(self, on: bool) -> None:
        self.roster.setVisible(on)
        self.commands["view.roster"].setChecked(on)
        self._save_later.start()

    def _toggle_audit(self) -> None:
        self._set_audit(not self.audit.isVisible())

    def _set_audit(self, on: bool) -> None:
        self.commands["view.audit"].setChecked(on)
        self.audit.slide(show=on)
        if on:
            self.audit_shown.emit()
        elif self.panels.current_id:
            self.panels.activate(self.panels.current_id)

    def _toggle_appearance(self) -> None:
        self.choose_scheme("light" if theme.current().dark else "dark")

    def choose_scheme(self, name: str) -> None:
        """Put a colour scheme into effect and remember it."""
        for scheme in theme.SCHEMES:
            if scheme == name:
                theme.set_scheme(scheme)
                self.state.put("scheme", scheme)

    def _on_theme(self) -> None:
        for session_id in self.panels.open_ids():
            session = self.store.sessions.get(session_id)
            if session is not None:
                self.panels.show_session(session)

    # -- remembering

    def sizeHint(self) -> QSize:
        return QSize(1280, 800)

    def save_layout(self) -> None:
        """Remember how everything stands; on disk a moment later."""
        self._save_later.stop()
        self.state.put(
            LAYOUT_KEY,
            {
                "version": LAYOUT_VERSION,
                "geometry": base64.b64encode(self.saveGeometry().data()).decode(),
                "splitter": self.splitter.sizes(),
                "roster": not self.roster.isHidden(),
                "panels": self.panels.save(),
                "closed": list(self._closed_by_hand),
            },
        )

    def restore_layout(self) -> bool:
        """Bring back what was remembered; False, with everything as by default, if it was damaged. Call before the
        window is shown."""
        saved = self.state.get(LAYOUT_KEY)
        self._default_size()
        if saved is None:
            return True
        try:
            if saved["version"] != LAYOUT_VERSION:
                raise ValueError("another version")
            geometry = QByteArray(base64.b64decode(saved["geometry"], validate=True))
            sizes = [int(n) for n in saved["splitter"]]
            closed = [str(i) for i in saved["closed"]]
            if not self.panels.restore(saved["panels"]):
                raise ValueError("the panels cannot be restored")
            if not self.restoreGeometry(geometry):
                self._default_size()
            if len(sizes) == 2 and min(sizes) >= 0:
                self.splitter.setSizes(sizes)
            self._closed_by_hand = dict.fromkeys(closed)
            self.roster.setVisible(bool(saved["roster"]))
            self.commands["view.roster"].setChecked(bool(saved["roster"]))
        except (KeyError, TypeError, ValueError):
            self.state.set_aside(LAYOUT_KEY)
            return False
        self._show_page()
        return True

    def _default_size(self) -> None:
        screen = QGuiApplication.primaryScreen()
        room = screen.availableGeometry().size() if screen is not None else self.sizeHint()
        self.resize(self.sizeHint().boundedTo(room))

    # -- Qt

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.isVisible():
            self._save_later.start()

    def moveEvent(self, event: QMoveEvent) -> None:
        super().moveEvent(event)
        if self.isVisible():
            self._save_later.start()

    def paintEvent(self, event: Any) -> None:
        super().paintEvent(event)
        if not self._painted:
            self._painted = True
            QTimer.singleShot(0, self.first_painted.emit)

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._closing:
            event.accept()
            return
        event.ignore()
        self.close_requested.emit()

    @property
    def closing(self) -> bool:
        """Whether `finish` was called."""
        return self._closing

    def finish(self) -> None:
        """Close for good; the layout is remembered as it stands."""
        self.save_layout()
        self._closing = True
        self.panels.leave_full_screen()
        self.close()
