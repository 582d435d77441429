"""The grid of panels: which sessions have a place in it, and how the places stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import PySide6QtAds as QtAds
from PySide6.QtCore import QEvent, QObject, QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget

from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.desk.arrangement import Arrangement, OwnWindow, fitted, panels_of
from mission_control_desktop.ui.desk.dock_state import STATE_VERSION, read_state
from mission_control_desktop.ui.desk.monitors import Monitors
from mission_control_desktop.ui.main_window import grid
from mission_control_desktop.ui.main_window.dock_style import dock_style_sheet
from mission_control_desktop.ui.main_window.dock_widgets import Placeholder, dress, make_dock, name_dock, show_state
from mission_control_desktop.ui.main_window.dropping import Dropping, DropTarget
from mission_control_desktop.ui.main_window.filling import Filling, PanelFactory
from mission_control_desktop.ui.main_window.full_screen import FullScreens
from mission_control_desktop.ui.main_window.moving import Moving

SETTLE_MS = 300
READABLE = (720, 560)
"""Least size of a window of its own, in device-independent pixels, where the monitor has room for it."""


class PanelGrid(QWidget):
    """Panels by session id. Closing one ends nothing; it only closes the view.

    A panel's widget goes back, without a parent, to whoever made it: `panel_released` is the time to delete it.
    """

    panel_opened = Signal(str)
    panel_closed = Signal(str)
    """A person closed it."""
    panel_released = Signal(str)
    """A panel is no longer shown: closed, out of sight for a while, or on another desk."""
    session_wanted = Signal(str)
    """A place is seen whose session is not known here."""
    current_changed = Signal(str)
    """Session id of the active panel, or empty."""
    layout_changed = Signal()
    sessions_dropped = Signal(list, object)
    """Session ids, and the `DropTarget` or None."""
    menu_wanted = Signal(str, QPoint)
    """The menu of a panel's tab, at a place on the screen."""

    _configured = False

    def __init__(self, monitors: Monitors | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        if not PanelGrid._configured:
            grid.configure_docking()
            PanelGrid._configured = True
        self.setObjectName("panels")
        self._docks: dict[str, Any] = {}
        self._titles: dict[str, str] = {}
        self._told: dict[str, tuple[object, ...]] = {}
        """What each tab says of its session: a session changes more often than that."""
        self._current = ""
        self._follower = ""
        self._restoring = False
        self.monitors = monitors or Monitors(self)
        self.manager = QtAds.CDockManager(self)
        if QGuiApplication.platformName() != "xcb":
            # Everywhere else it keeps own windows above this one by a flag that hides them when it is set: measured
            # with version 5.1.1, a panel's own window was gone as soon as the main window was activated.
            self.removeEventFilter(self.manager)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.manager)
        self.filling = Filling(self._docks, self)
        self.filling.released = self.panel_released.emit
        self.filling.unknown_seen = self.session_wanted.emit
        self.full = FullScreens(self._docks, self.monitors, self)
        self.full.fill = self.filling.fill
        self.full.activated.connect(self._set_current)
        self.full.ended.connect(self._on_full_ended)
        self.full.changed.connect(self._note_change)
        self.moving = Moving(self, self.manager, self._docks, self.open_ids)
        self.moving.lift = self.filling.lift
        self.moving.current = lambda: self.current_id
        self.moving.may_regrid = lambda: not self.full.all()
        self.moving.changed.connect(self._note_change)
        self.dropping = Dropping(lambda: list(self.manager.openedDockAreas()), self)
        self.dropping.dropped.connect(self.sessions_dropped)
        self.dropping.watch(self)
        self._changed_later = QTimer(self)
        self._changed_later.setSingleShot(True)
        self._changed_later.setInterval(SETTLE_MS)
        self._changed_later.timeout.connect(self._on_settled)
        self.manager.focusedDockWidgetChanged.connect(self._on_focused)
        if isinstance(app := QApplication.instance(), QApplication):
            app.focusChanged.connect(self._on_focus_moved)
        self.manager.dockAreaCreated.connect(self._note_change)
        self.manager.dockAreasRemoved.connect(self._note_change)
        self.manager.floatingWidgetCreated.connect(self._on_floating)
        theme.signals.theme_changed.connect(self._on_theme)
        self._on_theme()

    # -- what is open

    def set_factory(self, factory: PanelFactory, may_go: Callable[[str], bool] | None = None) -> None:
        """Who makes panels, and who says whether one may be let go. Until then placeholders stand there."""
        self.filling.set_factory(factory, may_go)

    def open_ids(self) -> list[str]:
        """Session ids of the open panels, in reading order (top to bottom, left to right, then own windows)."""

        def place(session_id: str) -> tuple[int, int, int, int]:
            dock = self._docks[session_id]
            area = dock.dockAreaWidget()
            if area is None:
                return (2, 0, 0, 0)
            origin = area.mapTo(area.window(), QPoint(0, 0))
            return (1 if dock.isInFloatingContainer() else 0, origin.y() // 24, origin.x(), area.index(dock))

        return sorted(self._docks, key=place)

    @property
    def count(self) -> int:
        """How many panels are open."""
        return len(self._docks)

    def titles(self) -> dict[str, str]:
        """Title by session id of what is open."""
        return {i: self._titles.get(i, "") for i in self.open_ids()}

    @property
    def current_id(self) -> str:
        """The active panel's session id, or empty."""
        return self._current if self._current in self._docks else ""

    def panel(self, session_id: str) -> QWidget | None:
        """The widget that shows a session, unless a placeholder stands there."""
        if (content := self.full.content(session_id)) is not None:
            return content
        return self.filling.content(session_id)

    def area_of(self, session_id: str) -> Any | None:
        """The dock area in which a session's panel stands."""
        dock = self._docks.get(session_id)
        return None if dock is None else dock.dockAreaWidget()

    # -- opening and closing

    def open(self, session: AgentSession, *, focus: bool = True, target: DropTarget | None = None) -> QWidget | None:
        """Open a session's panel (where it was dropped, if it was), or bring it to the front."""
        session_id = session.session_id
        if session_id not in self._docks:
            self.moving.place(self._make(session_id, words.name(session)), target)
            self.panel_opened.emit(session_id)
        elif target is not None:
            self.full.leave(session_id)
            self.moving.drop(self._docks[session_id], target)
        self.show_session(session)
        if focus:
            self.activate(session_id)
        self._note_change()
        return self.panel(session_id)

    def open_all(self, sessions: Sequence[AgentSession]) -> None:
        """Open several panels at once, without taking the focus: the grid is built one time."""
        fresh = [s for s in sessions if s.session_id not in self._docks]
        if len(fresh) < 2:
            for session in fresh:
                self.open(session, focus=False)
            return
        self.moving.place_all([self._make(session.session_id, words.name(session)) for session in fresh])
        for session in fresh:
            self.panel_opened.emit(session.session_id)
            self.show_session(session)
        self._note_change()

    def has(self, session_id: str) -> bool:
        """Whether a session's panel is open."""
        return session_id in self._docks

    def show_session(self, session: AgentSession) -> None:
        """Take a session's newest state: title, shape, and the panel in place of its placeholder once it is seen."""
        dock = self._docks.get(session.session_id)
        if dock is None:
            return
        self._titles[session.session_id] = words.name(session)
        follows = session.session_id == self._follower
        told = (words.name(session), session.status, session.waiting_for, theme.status_text(session), follows)
        if self._told.get(session.session_id) != told:
            self._told[session.session_id] = told
            show_state(dock, session, follows=follows)
        self.filling.take(session)

    def say(self, session_id: str, text: str) -> None:
        """Words in a placeholder, e.g. that its session is gone."""
        dock = self._docks.get(session_id)
        if dock is not None and isinstance(content := dock.widget(), Placeholder):
            content.label.setText(text)

    def close_panel(self, session_id: str) -> None:
        """Close a panel. Its session goes on."""
        self.full.leave(session_id)
        dock = self._docks.get(session_id)
        if dock is not None:
            dock.closeDockWidget()

    def activate(self, session_id: str) -> None:
        """Bring a panel to the front and put the focus into it."""
        dock = self._docks.get(session_id)
        if dock is None:
            return
        dock.setAsCurrentTab()
        self.filling.fill(session_id)
        full = self.full.content(session_id)
        if full is not None or dock.isInFloatingContainer():
            top = full.window() if full is not None else dock.window()
            top.raise_()
            top.activateWindow()
        self.manager.setDockWidgetFocused(dock)
        content = full or dock.widget()
        if content is not None:
            content.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._set_current(session_id)

    def make_current(self, session_id: str) -> None:
        """What is done to the active panel is meant for this one; the focus stays where it is."""
        if session_id in self._docks:
            self._set_current(session_id)

    def _make(self, session_id: str, title: str) -> Any:
        dock = make_dock(self.manager, session_id, title)
        dock.closed.connect(partial(self._on_closed, session_id))
        dock.topLevelChanged.connect(self._note_change)
        dock.tabWidget().installEventFilter(self)
        self._docks[session_id] = dock
        self._titles[session_id] = title
        self._told.pop(session_id, None)
        self.filling.watch(session_id, dock)
        return dock

    def _on_closed(self, session_id: str) -> None:
        if self._restoring or session_id not in self._docks:
            return
        self._forget(session_id)
        self.panel_closed.emit(session_id)
        self._note_change()

    def _forget(self, session_id: str) -> None:
        """A dock goes; what is in it goes back to who made it."""
        dock = self._docks.pop(session_id)
        self._titles.pop(session_id, None)
        self._told.pop(session_id, None)
        content = self.filling.take_out(session_id, dock)
        if content is not None:
            # Whoever made the panel still has to put its draft away; the dock is deleted before that.
            content.hide()
            if isinstance(content, Placeholder):
                content.deleteLater()
            else:
                self.panel_released.emit(session_id)
        if self._follower == session_id:
            self._follower = ""
        if self._current == session_id:
            self._set_current("")

    def _drop(self, session_id: str) -> None:
        """Take a panel away that nobody closed."""
        self.full.leave(session_id)
        dock = self._docks[session_id]
        self._forget(session_id)
        dock.closeDockWidget()

    # -- arrangement

    def arrange(self, cells: int) -> None:
        """Put all panels into a grid of `cells` (1, 2, 4, 6 or 9); more panels than cells share tabs."""
        self.arrange_in(*grid.GRIDS[cells])

    def arrange_in(self, columns: int, rows: int) -> None:
        """Put all panels into so many columns and rows; more panels than cells share tabs."""
        self.full.leave_all()
        self.moving.arrange(columns, rows)

    def arrange_all(self) -> None:
        """A grid in which each panel has a place of its own."""
        self.arrange_in(*grid.square(len(self._docks), self.width(), self.height()))

    def move_panel(self, direction: str) -> None:
        """Move the active panel `left`, `right`, `up` or `down`: out of its tabs, past its neighbour, or to the
        edge."""
        dock = self._docks.get(self.current_id)
        if dock is not None and self.current_id not in self.full:
            self.moving.move(dock, direction)
            self.activate(dock.objectName())

    def tab_with_next(self) -> None:
        """Put the active panel into the next panel's tabs."""
        dock = self._docks.get(self.current_id)
        if dock is not None and self.current_id not in self.full and self.moving.tab_with_next(dock):
            self.activate(dock.objectName())

    def float_or_dock(self) -> None:
        """Give the active panel a window of its own, or bring it back."""
        if dock := self._docks.get(self.current_id):
            self.full.leave(dock.objectName())
            self.moving.float_or_dock(dock)
            self.activate(dock.objectName())

    def float_on(self, monitor: str) -> None:
        """Give the active panel a window of its own on a monitor, or move its window there."""
        dock, area = self._docks.get(self.current_id), self.monitors.whole(monitor)
        if dock is None or area is None:
            return
        self.full.leave(dock.objectName())
        if not dock.isInFloatingContainer():
            self.moving.float_or_dock(dock)
        window = dock.floatingDockContainer()
        size = window.size().expandedTo(QSize(*READABLE)).boundedTo(area.size() * 0.9)
        window.resize(size)
        window.move(area.center() - window.rect().center())
        self.activate(dock.objectName())
        self._note_change()

    def toggle_full_screen(self) -> None:
        """Let the active panel fill the monitor that it is on, or bring it back."""
        if self.current_id in self.full:
            self.full.leave(self.current_id)
        elif self.current_id:
            self.full_screen_on("")

    def full_screen_on(self, monitor: str) -> None:
        """Let the active panel fill a monitor; empty: the one that it is on."""
        current = self.current_id
        if current and self.full.show(current, monitor):
            self._set_current(current)

    def leave_full_screen(self) -> None:
        """Bring all panels back that fill monitors."""
        self.full.leave_all()

    def _on_full_ended(self, session_id: str) -> None:
        if not self._restoring:
            self.activate(session_id)

    # -- following the focus

    @property
    def follower(self) -> str:
        """Session id of the panel that follows the focus, or empty."""
        return self._follower

    def set_follower(self, session_id: str) -> None:
        """Let an open panel follow the focus from now on; empty: none does, the former one is kept as it is."""
        old, self._follower = self._follower, session_id if session_id in self._docks else ""
        for changed in {old, self._follower} & self._docks.keys():
            name_dock(self._docks[changed], self._titles[changed], follows=changed == self._follower)
        self._note_change()

    def follow(self, session: AgentSession) -> None:
        """Show a session without taking the focus: where it is open, else in the panel that follows."""
        session_id = session.session_id
        if session_id in self._docks:
            self._docks[session_id].setAsCurrentTab()
            return
        old = self._follower if self._follower in self._docks else ""
        monitor = self.full.monitor_of(old)
        self._restoring, was = True, self._restoring
        try:
            dock = self._make(session_id, words.name(session))
            if old:
                self.full.leave(old)
                self.moving.replace(self._docks[old], dock)
                self._drop(old)
            else:
                self.moving.place(dock)
        finally:
            self._restoring = was
        self._follower = session_id
        self.show_session(session)
        dock.setAsCurrentTab()
        if monitor:
            self.full.show(session_id, monitor)
        self.panel_opened.emit(session_id)
        self._note_change()

    # -- remembering

    def arrangement(self) -> Arrangement:
        """How the panels stand now."""
        docked, windows = read_state(self.manager.saveState(STATE_VERSION).data())
        own = []
        for content in windows:
            dock = self._docks.get(next(panels_of(content)))
            window = None if dock is None else dock.floatingDockContainer()
            if window is not None:
                own.append(OwnWindow(content=content, place=self.monitors.place_of(window)))
        return Arrangement(
            docked=docked,
            windows=tuple(own),
            full=self.full.all(),
            current=self.current_id,
            follower=self._follower,
            by_hand=self.moving.by_hand,
        )

    def apply(self, arrangement: Arrangement, titles: Mapping[str, str]) -> None:
        """Stand as in an arrangement, with exactly the panels of `titles` (session ids). Panels that are open stay what
        they are; monitors that are gone give back what stood on them."""
        used = {full.monitor for full in arrangement.full} | {own.place.monitor for own in arrangement.windows}
        as_it_is = titles.keys() == self._docks.keys() and arrangement == self.arrangement()
        if as_it_is and used <= set(self.monitors.keys()):
            return
        self._restoring = self.moving.busy = True
        self.setUpdatesEnabled(False)
        try:
            self.full.leave_all()
            self.filling.lift()
            for session_id in [i for i in self._docks if i not in titles]:
                self._drop(session_id)
            fresh = [i for i in titles if i not in self._docks]
            for session_id in fresh:
                self._make(session_id, titles[session_id] or session_id)
            wanted = fitted(arrangement, titles)
            self._restore(wanted)
            self.moving.by_hand = wanted.by_hand
        finally:
            self._restoring = self.moving.busy = False
            self.setUpdatesEnabled(True)
        self._follower = wanted.follower
        for session_id, dock in self._docks.items():
            name_dock(dock, self._titles[session_id], follows=session_id == self._follower)
        self._set_current(wanted.current)
        for session_id in fresh:
            self.panel_opened.emit(session_id)
        for full in wanted.full:
            if self.monitors.whole(full.monitor) is not None:
                self.full.show(full.panel, full.monitor)
        if self.moving.by_hand is False:
            self.moving.regrid_soon()

    def _restore(self, wanted: Arrangement) -> None:
        self.moving.restore(wanted.docked, [window.content for window in wanted.windows])
        for window in wanted.windows:
            floating = self._docks[next(panels_of(window.content))].floatingDockContainer()
            if floating is not None:
                self.monitors.put(floating, window.place)

    # -- events

    def _on_focused(self, _old: Any, new: Any) -> None:
        if new is not None and not self._restoring and new.objectName() in self._docks:
            self._set_current(new.objectName())

    def _on_focus_moved(self, _old: Any, new: Any) -> None:
        """Back from a panel that fills a monitor to the one that had the focus before: for the docking library that is
        no change."""
        focused = self.manager.focusedDockWidget() if new is not None else None
        if focused is not None and focused.objectName() != self._current and focused.isAncestorOf(new):
            self._on_focused(None, focused)

    def _set_current(self, session_id: str) -> None:
        if session_id != self._current:
            self._current = session_id
            self.current_changed.emit(session_id)
            self._note_change()

    def _on_floating(self, floating: Any) -> None:
        floating.installEventFilter(self)
        self.dropping.watch(floating)
        grid.make_independent(floating)
        self.moving.by_hand = self.moving.by_hand or not self.moving.busy
        self._note_change()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind in (QEvent.Type.Move, QEvent.Type.Resize, QEvent.Type.WindowStateChange):
            if isinstance(watched, QWidget) and watched.isWindow():
                self._note_change()
        elif kind == QEvent.Type.MouseButtonPress:
            # The docking library tells of it only if it was not the last one that had the focus in its windows.
            self.make_current(self._with_tab(watched))
        elif kind == QEvent.Type.ContextMenu:
            session_id = self._with_tab(watched)
            if session_id:
                self.activate(session_id)
                self.menu_wanted.emit(session_id, event.globalPos())  # type: ignore[attr-defined]
                return True
        return super().eventFilter(watched, event)

    def _with_tab(self, tab: QObject) -> str:
        """Whose tab this is; empty: nobody's."""
        return next((i for i, dock in self._docks.items() if dock.tabWidget() is tab), "")

    def _on_settled(self) -> None:
        """A while after the last change: tell whether a person has moved panels, and have it remembered."""
        self.moving.notice()
        self.layout_changed.emit()

    def _note_change(self, *_ignored: object) -> None:
        if not self._restoring and not self._changed_later.isActive():
            self._changed_later.start()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.moving.regrid_soon()

    def _on_theme(self) -> None:
        self.manager.setStyleSheet(dock_style_sheet(theme.current()))
        self._told.clear()
        for session_id, dock in self._docks.items():
            dress(dock)
            if (session := self.filling.session(session_id)) is not None:
                self.show_session(session)
