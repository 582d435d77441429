"""The main window: puts header, roster, panels and drawer together, and says which of them is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QMoveEvent, QResizeEvent
from PySide6.QtWidgets import QApplication, QLabel, QMainWindow, QMenu, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from mission_control_desktop.ui import icons, theme, words
from mission_control_desktop.ui.attention import Attention
from mission_control_desktop.ui.commands import CommandActions, Keymap, When
from mission_control_desktop.ui.desk.desks import Desks
from mission_control_desktop.ui.desk.monitors import Monitors
from mission_control_desktop.ui.desk.switcher import DeskSwitcher
from mission_control_desktop.ui.launch.screen import LaunchScreen
from mission_control_desktop.ui.local_state import APPEARANCE, LocalState
from mission_control_desktop.ui.main_window.attending import Attending
from mission_control_desktop.ui.main_window.binding import bind
from mission_control_desktop.ui.main_window.docks import PanelGrid
from mission_control_desktop.ui.main_window.empty import EmptyPanels, Starting
from mission_control_desktop.ui.main_window.following import FollowingFocus
from mission_control_desktop.ui.main_window.grid import square
from mission_control_desktop.ui.main_window.header import Header
from mission_control_desktop.ui.main_window.notices import Notices
from mission_control_desktop.ui.main_window.opening import Opening
from mission_control_desktop.ui.main_window.target import Target
from mission_control_desktop.ui.main_window.telling import Telling
from mission_control_desktop.ui.main_window.walking import Walking
from mission_control_desktop.ui.panel import enter
from mission_control_desktop.ui.roster import RosterPane
from mission_control_desktop.ui.sessions import SessionStore

if TYPE_CHECKING:
    # Made when they are first asked for: the first paint does not wait for what is not seen then.
    from mission_control_desktop.ui.attention.pane import AttentionPane
    from mission_control_desktop.ui.audit.drawer import AuditDrawer
    from mission_control_desktop.ui.audit.model import AuditModel
    from mission_control_desktop.ui.palette.palette import Palette

KEYS = "keys"
"""Preference: the keys of commands that a person has chosen."""


class MainWindow(QMainWindow):
    """Shows and asks; what is asked for goes out as signals, which the presenter carries out."""

    close_requested = Signal()
    """The window may go now; it ends no agent."""
    session_action = Signal(str, str)
    """Session id and what to do: pause_resume, cancel_turn, terminate, kill, message, find, spawn_below."""
    several_requested = Signal(list, str)
    """Session ids and what to do to all of them: `SeveralFlow.act`."""
    kill_all_requested = Signal()
    settings_requested = Signal(str)
    keys_requested = Signal()
    approvals_requested = Signal()
    new_agent_shown = Signal()
    audit_shown = Signal()
    first_painted = Signal()

    def __init__(self, store: SessionStore, state: LocalState) -> None:
        super().__init__()
        self.store = store
        self.state = state
        self._connected = False
        self._may_act = True
        self._may_act_on: Callable[[str], bool] = lambda _session_id: True
        self._refusal: Callable[[str], str] = lambda _session_id: ""
        self._launch_wanted = False
        self._painted = False
        self._closing = False
        self.setObjectName("main")
        self.setWindowTitle("Mission Control")
        self.setWindowIcon(icons.app_icon())
        self.setMinimumSize(600, 340)
        self.commands = CommandActions(self, Keymap(kept if isinstance(kept := state.get(KEYS), dict) else None))
        enter.set_current(enter.EnterKeys.of(state.get(enter.PREFERENCE)))
        self.commands.fill(self.menuBar())
        self.menuBar().setAccessibleName("Menus")
        self.attention = Attention(store, state, self)
        self.header = Header(store, self.attention, self.commands)
        self.notices = Notices()
        self.roster = RosterPane(store, state)
        self.monitors = Monitors(self)
        self.panels = PanelGrid(self.monitors)
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
        self.record_label = QLabel()
        self.flow_label = QLabel()
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().setContentsMargins(8, 0, 12, 0)
        self.statusBar().addPermanentWidget(self.record_label)
        self.statusBar().addPermanentWidget(self.flow_label)
        self.opening = Opening(store, self.attention, self.panels, self)
        self.attending = Attending(self)
        self.telling = Telling(self)
        self.walking = Walking(self)
        self.target = Target(self)
        self.following_focus = FollowingFocus(store, self.panels, self.commands, self.target.chosen, self)
        self.desks = Desks(self, self.monitors)
        bind(self)
        self.header.add_desks(DeskSwitcher(self.desks, self.commands))
        self.commands["view.roster"].setChecked(True)
        self._listen()
        self.show_page()
        self._conditions()

    # -- parts that are made when they are first asked for

    @cached_property
    def audit_model(self) -> AuditModel:
        from mission_control_desktop.ui.audit.model import AuditModel

        return AuditModel(self._name_of, self)

    @cached_property
    def audit(self) -> AuditDrawer:
        """The drawer with the audit log, over the panels."""
        from mission_control_desktop.ui.audit.drawer import AuditDrawer

        made = AuditDrawer(self.audit_model, self._below)
        made.closed.connect(lambda: self.set_audit(False))
        return made

    @cached_property
    def attention_pane(self) -> AttentionPane:
        """The list of what needs a person, over the panels."""
        from mission_control_desktop.ui.attention.pane import AttentionPane

        made = AttentionPane(self.attention, self.commands, self._below)
        made.closed.connect(self.attending.close)
        made.open_requested.connect(self.attending.open)
        return made

    @cached_property
    def command_palette(self) -> Palette:
        from mission_control_desktop.ui.palette.palette import Palette

        return Palette(self, self.state)

    def is_seen(self, part: str) -> bool:
        """Whether one of them was made, and is visible."""
        made = vars(self).get(part)
        return made is not None and made.isVisible()

    def _listen(self) -> None:
        self.header.attention_clicked.connect(self.attending.toggle)
        self.header.connection_clicked.connect(lambda: self.settings_requested.emit("connections"))
        self.header.providers_clicked.connect(lambda: self.settings_requested.emit("providers"))
        self.roster.open_requested.connect(self.opening.open_sessions)
        self.roster.kill_requested.connect(lambda i: self.session_action.emit(i, "kill"))
        self.roster.pause_requested.connect(lambda i: self.session_action.emit(i, "pause_resume"))
        self.roster.menu_requested.connect(self._on_roster_menu)
        self.roster.selection_changed.connect(self._on_chosen)
        self.target.changed.connect(self._conditions)
        self.roster.several_requested.connect(self.several_requested)
        self.panels.current_changed.connect(self._on_current)
        self.panels.layout_changed.connect(self.desks.note_change)
        self.panels.menu_wanted.connect(self._on_panel_menu)
        self.panels.dropping.watch(self.pages)
        self.splitter.splitterMoved.connect(self.desks.note_change)
        self.desks.told.connect(self.statusBar().showMessage)
        self.following_focus.told.connect(self.statusBar().showMessage)
        self.following_focus.followed.connect(self.show_panels)
        self.following_focus.changed.connect(self.desks.note_change)
        self.opening.panels_wanted.connect(self.show_panels)
        self.opening.opened_by_name.connect(self.following_focus.opened)
        self.opening.told.connect(self.statusBar().showMessage)
        self.opening.changed.connect(self._on_panels_changed)
        self.empty.new_agent_requested.connect(self.show_launch)
        self.empty.arrange_requested.connect(self.opening.open_live)
        self.launch.closed.connect(self._leave_launch)
        self.store.sessions_removed.connect(self.show_page)
        theme.signals.theme_changed.connect(self._on_theme)
        app = QApplication.instance()
        if isinstance(app, QApplication):
            # A method, not a lambda: the application outlives this window.
            app.focusChanged.connect(self._on_focus_changed)

    def _on_focus_changed(self, _old: QWidget | None, _new: QWidget | None) -> None:
        # While a window is destroyed the focus moves on, after its actions are gone.
        if not self._closing:
            self._conditions()

    # -- sessions

    def _name_of(self, session_id: str) -> str:
        session = self.store.sessions.get(session_id)
        return words.name(session) if session is not None else session_id

    def current_session_id(self) -> str:
        """What the Session menu acts on; empty: nothing."""
        return self.target.one()

    def several_ids(self) -> list[str]:
        """What the Session menu acts on if several rows are selected and the roster has the focus; else none."""
        return self.target.several()

    def why_not(self, session_id: str) -> str:
        """Why nothing can be done to a session from here; empty if it can."""
        if not self._connected:
            return "Not connected"
        return "" if self._may_act_on(session_id) else self._refusal(session_id)

    def message_several(self) -> None:
        """Write to the sessions that are selected in the roster, else to the one that the Session menu acts on."""
        chosen = self.roster.tree.selected_ids()
        if len(chosen) < 2:
            chosen = [i for i in [self.current_session_id()] if i]
        if chosen:
            self.several_requested.emit(chosen, "message")
        else:
            self.statusBar().showMessage(
                "Select sessions in the roster first: Shift or Ctrl with arrows, or Ctrl+A.", 6000
            )

    def open_session(self, session_id: str) -> None:
        """Open a session's panel and go there."""
        self.opening.open_session(session_id)

    def next_attention(self) -> None:
        """Go to the next session that needs a person."""
        self.opening.next_attention()

    def _on_panels_changed(self) -> None:
        self.empty.set_live(self.store.live_count)
        self.show_page()
        self._conditions()

    def _on_current(self, session_id: str) -> None:
        if session_id:
            self.attention.seen(session_id)
            if not self.target.in_roster():
                self.roster.tree.select(session_id)
        self._conditions()

    def _on_chosen(self) -> None:
        self._conditions()
        if self.target.in_roster():
            self.following_focus.chosen()

    @property
    def following(self) -> bool:
        """Whether a panel follows the focus."""
        return self.following_focus.on

    def set_following(self, on: bool) -> None:
        """Let a panel follow the focus, or none."""
        self.following_focus.set_on(on)

    def _on_panel_menu(self, session_id: str, spot: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for group in (("pin",), ("left", "right", "up", "down", "tab"), ("float", "float_on"),
                      ("full_screen", "full_screen_on"), ("close",)):  # fmt: skip
            for name in group:
                menu.addAction(self.commands[f"panel.{name}"])
            menu.addSeparator()
        menu.popup(spot)

    def add_panel_actions(self, session_id: str, menu: QMenu) -> None:
        """What can be done with a panel as such, in the menu of its own header: where it fills a monitor there is no
        other place for the mouse."""
        self.panels.make_current(session_id)
        menu.addSeparator()
        if session_id in self.panels.full:
            menu.addAction("Leave full screen", self.panels.toggle_full_screen)
        else:
            menu.addActions([self.commands[f"panel.{name}"] for name in ("full_screen", "float", "pin")])
        menu.addAction(self.commands["panel.close"])

    def ask_monitor(self, title: str, chosen: Callable[[str], None]) -> None:
        """Ask on which monitor the active panel is to be shown."""
        panel = self.panels.panel(self.panels.current_id) or self.panels
        from mission_control_desktop.ui.desk.dialogs import monitor_menu

        menu = monitor_menu(title, self.monitors, self.monitors.of(panel), chosen, self)
        menu.popup(panel.mapToGlobal(panel.rect().center()))

    def ask_grid(self) -> None:
        """Ask for the columns and rows of a grid."""
        from mission_control_desktop.ui.desk.dialogs import GridDialog

        count = self.panels.count
        dialog = GridDialog(count, *square(count, self.panels.width(), self.panels.height()), parent=self)
        dialog.chosen.connect(self.panels.arrange_in)
        dialog.open()

    def _on_roster_menu(self, session_id: str, spot: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for group in (
            ("open", "message", "broadcast", "spawn_below"),
            ("pause_resume", "cancel_turn"),
            ("copy_id",),
            ("terminate", "kill"),
        ):
            for name in group:
                menu.addAction(self.commands[f"session.{name}"])
            menu.addSeparator()
        self.target.hold(menu)
        menu.popup(spot)

    # -- pages

    def set_connected(self, connected: bool) -> None:
        """Whether there is (or was, and is being reached again) a control plane."""
        first = connected and not self._connected
        self._connected = connected
        self.roster.set_may_act(self.why_not)
        self.show_page()
        page = self.pages.currentWidget()
        if first and page is not None:
            self.walking.focus_region(page)
        self._conditions()

    def set_may_act(self, may_act: bool, on: Callable[[str], bool], refusal: Callable[[str], str]) -> None:
        """Observers only watch; the control plane refuses them whatever the window does. `may_act`: whether there is
        anything to act on; `on`: whether a session is, and `refusal` why not."""
        self._may_act, self._may_act_on, self._refusal = may_act, on, refusal
        self.roster.set_may_act(self.why_not)
        self._conditions()

    def show_page(self) -> None:
        """Turn to the page that has something to show."""
        if not self._connected and not self.panels.count:
            page: QWidget = self.starting
        elif self._launch_wanted and self._connected:
            page = self.launch
        elif self.panels.count:
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
        elif page is self.empty and ((focus := self.focusWidget()) is None or self.header.isAncestorOf(focus)):
            # The last panel had the focus: Qt gave it to the first control that it found.
            self.empty.focus_first()

    def show_panels(self) -> None:
        """Turn to the page with the panels."""
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
        self._turn_to(self.panels if self.panels.count else self.empty)

    def leave_launch(self) -> None:
        """An agent was started: back to the panels."""
        self._launch_wanted = False
        self.show_page()

    # -- keyboard

    def _conditions(self) -> None:
        holds = set()
        if self._connected and self._may_act:
            holds.add(When.CONNECTED)
        if self.panels.count:
            holds.add(When.PANEL)
        session = self.store.sessions.get(self.current_session_id())
        if session is not None:
            holds.add(When.SESSION)
            # Of several that are selected, one that can be acted on is enough: the others are left out by name.
            ids = self.several_ids() or [session.session_id]
            chosen = [one for i in ids if (one := self.store.sessions.get(i)) is not None]
            if any(not one.status.final and self._may_act_on(one.session_id) for one in chosen):
                holds.add(When.LIVE_SESSION)
        anywhere = "" if self._may_act else self._refusal("")
        here = anywhere if session is None else self._refusal(session.session_id)
        self.commands.set_conditions(holds, {When.CONNECTED: anywhere, When.LIVE_SESSION: here})

    def focus_filter(self) -> None:
        """Show the roster and write into its filter."""
        self.set_roster(True)
        self.roster.focus_filter()

    def toggle_roster(self) -> None:
        """Show or hide the roster."""
        self.set_roster(self.roster.isHidden())

    def set_roster(self, on: bool) -> None:
        """Show the roster, or hide it."""
        self.roster.setVisible(on)
        self.commands["view.roster"].setChecked(on)
        self.desks.note_change()

    def toggle_audit(self) -> None:
        """Show or hide the audit drawer; one that is just leaving comes back."""
        self.set_audit(not ("audit" in vars(self) and self.audit.wanted))

    def set_audit(self, on: bool) -> None:
        """Let the audit drawer in or out."""
        if on:
            self.attending.hide()
        self.commands["view.audit"].setChecked(on)
        if on or "audit" in vars(self):
            self.audit.slide(show=on)
        if on:
            self.audit_shown.emit()
        elif self.panels.current_id:
            self.panels.activate(self.panels.current_id)

    def toggle_appearance(self) -> None:
        """From light to dark, or back."""
        self.choose_scheme("light" if theme.current().dark else "dark")

    def choose_scheme(self, name: str) -> None:
        """Put a colour scheme into effect and remember it."""
        for scheme in theme.SCHEMES:
            if scheme == name:
                self.choose_appearance(replace(theme.appearance(), scheme=scheme))

    def choose_appearance(self, chosen: theme.Appearance) -> None:
        """Put a choice into effect and remember it."""
        theme.set_appearance(chosen)
        self.state.put(APPEARANCE, chosen.stored())

    def keep_keys(self) -> None:
        """Remember the keys as they are."""
        self.state.put(KEYS, self.commands.keymap.chosen() or None)

    def choose_enter(self, keys: enter.EnterKeys) -> None:
        """Put what Enter does in the message input into effect, and remember it."""
        enter.set_current(keys)
        self.state.put(enter.PREFERENCE, keys.stored())

    def step_text(self, steps: int) -> None:
        """Make all text larger or (negative) smaller by so many steps, within what can be chosen; 0: as delivered."""
        sizes, now = theme.TEXT_SIZES, theme.appearance()
        place = min(max(sizes.index(now.text) + steps, 0), len(sizes) - 1)
        self.choose_appearance(replace(now, text=sizes[place] if steps else theme.Appearance().text))
        self.statusBar().showMessage(f"Text is {theme.metrics.text} pixels high.", 3000)

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
        self.desks.save()

    def restore_layout(self) -> bool:
        """Bring back what was remembered; False, with everything as by default, if it was damaged. Call before the
        window is shown."""
        return self.desks.restore()

    # -- Qt

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.isVisible():
            self.desks.note_change()

    def moveEvent(self, event: QMoveEvent) -> None:
        super().moveEvent(event)
        if self.isVisible():
            self.desks.note_change()

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
        self._closing = self.opening.quiet = True
        self.panels.leave_full_screen()
        for floating in self.panels.manager.floatingWidgets():
            floating.hide()
        self.close()
