"""The grid of panels: splits, tabs, floats, presets; remembers its arrangement as text."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import PySide6QtAds as QtAds
import structlog
from PySide6.QtCore import QByteArray, QEvent, QObject, QPoint, QRect, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QSplitter, QVBoxLayout, QWidget
from shiboken6 import isValid

from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import icons, theme, words
from mission_control_desktop.ui.main_window import grid
from mission_control_desktop.ui.main_window.dock_style import dock_style_sheet
from mission_control_desktop.ui.main_window.full_screen import FullScreenHost
from mission_control_desktop.ui.roster.model import MIME_TYPE

log = structlog.get_logger(__name__)

STATE_VERSION = 1
PanelFactory = Callable[[AgentSession], QWidget]


class _Placeholder(QWidget):
    """Stands in a panel's place until its session is known."""

    def __init__(self, text: str) -> None:
        super().__init__()
        label = QLabel(text, self)
        label.setProperty("tone", "muted")
        label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        label.setWordWrap(True)
        self.label = label
        layout = QVBoxLayout(self)
        layout.addWidget(label)


class PanelGrid(QWidget):
    """Panels by session id. Closing one ends nothing; it only closes the view.

    A panel's widget goes back, without a parent, to whoever made it: `panel_closed` is the time to delete it.
    """

    panel_opened = Signal(str)
    panel_closed = Signal(str)
    current_changed = Signal(str)
    """Session id of the active panel, or empty."""
    layout_changed = Signal()
    sessions_dropped = Signal(list)

    _configured = False

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        if not PanelGrid._configured:
            grid.configure_docking()
            PanelGrid._configured = True
        self.setObjectName("panels")
        self.setAcceptDrops(True)
        self._factory: PanelFactory | None = None
        self._docks: dict[str, Any] = {}
        self._titles: dict[str, str] = {}
        self._current = ""
        self._restoring = False
        self._arranged = False
        self._structure: tuple[frozenset[str], tuple[tuple[str, ...], ...]] = (frozenset(), ())
        self._full: tuple[str, FullScreenHost] | None = None
        self.manager = QtAds.CDockManager(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.manager)
        self._changed_later = QTimer(self)
        self._changed_later.setSingleShot(True)
        self._changed_later.setInterval(300)
        self._changed_later.timeout.connect(self._on_settled)
        self._shape = (0, 0)
        self._regrid_later = QTimer(self)
        self._regrid_later.setSingleShot(True)
        self._regrid_later.setInterval(150)
        self._regrid_later.timeout.connect(self._regrid)
        self.manager.focusedDockWidgetChanged.connect(self._on_focused)
        self.manager.dockAreaCreated.connect(self._note_change)
        self.manager.dockAreasRemoved.connect(self._note_change)
        self.manager.floatingWidgetCreated.connect(self._on_floating)
        theme.signals.theme_changed.connect(self._on_theme)
        self._on_theme()

    # -- what is open

    def set_factory(self, factory: PanelFactory) -> None:
        """Who makes panels. Until then, and for sessions not known yet, a placeholder stands there."""
        self._factory = factory

    def open_ids(self) -> list[str]:
        """Session ids of the open panels, in reading order (top to bottom, left to right, then floating ones)."""

        def place(session_id: str) -> tuple[int, int, int, int]:
            dock = self._docks[session_id]
            area = dock.dockAreaWidget()
            if area is None:
                return (2, 0, 0, 0)
            origin = area.mapTo(area.window(), QPoint(0, 0))
            return (1 if dock.isInFloatingContainer() else 0, origin.y() // 24, origin.x(), area.index(dock))

        return sorted(self._docks, key=place)

    @property
    def current_id(self) -> str:
        """The active panel's session id, or empty."""
        return self._current if self._current in self._docks else ""

    def panel(self, session_id: str) -> QWidget | None:
        """The widget that shows a session, unless it is still a placeholder."""
        if self._full is not None and self._full[0] == session_id:
            return self._full[1].content
        dock = self._docks.get(session_id)
        content = dock.widget() if dock is not None else None
        return None if content is None or isinstance(content, _Placeholder) else content

    # -- opening and closing

    def open(self, session: AgentSession, *, focus: bool = True) -> QWidget | None:
        """Open a session's panel, or bring it to the front."""
        session_id = session.session_id
        if session_id not in self._docks:
            dock = self._make(session_id, words.name(session))
            self._place(dock)
            self.panel_opened.emit(session_id)
        self.show_session(session)
        if focus:
            self.activate(session_id)
        self._note_change()
        return self.panel(session_id)

    def open_all(self, sessions: Sequence[AgentSession]) -> None:
        """Open several panels at once, without taking the focus: the grid is built one time."""
        fresh = [s for s in sessions if s.session_id not in self._docks]
        if len(fresh) < 2 or self._arranged or len(self._docks) + len(fresh) > max(grid.GRIDS):
            for session in fresh:
                self.open(session, focus=False)
            return
        for session in fresh:
            self._make(session.session_id, words.name(session))
        self._grid(*self._fitting())
        for session in fresh:
            self.panel_opened.emit(session.session_id)
            self.show_session(session)
        self._note_change()

    def show_session(self, session: AgentSession) -> None:
        """Take a session's newest state: title, shape, and the panel in place of its placeholder."""
        dock = self._docks.get(session.session_id)
        if dock is None:
            return
        title = words.name(session)
        if self._titles.get(session.session_id) != title:
            self._titles[session.session_id] = title
            dock.setWindowTitle(title)
        dock.setIcon(theme.status_icon(session.status, session.waiting_for))
        dock.setTabToolTip(f"{title}\n{theme.status_text(session)}\n{session.session_id}")
        if isinstance(dock.widget(), _Placeholder) and self._factory is not None:
            old = dock.takeWidget()
            dock.setWidget(self._factory(session), QtAds.CDockWidget.eInsertMode.ForceNoScrollArea)
            if old is not None:
                old.deleteLater()

    def say(self, session_id: str, text: str) -> None:
        """Words in a placeholder, e.g. that its session is gone."""
        dock = self._docks.get(session_id)
        if dock is not None and isinstance(content := dock.widget(), _Placeholder):
            content.label.setText(text)

    def close_panel(self, session_id: str) -> None:
        """Close a panel. Its session goes on."""
        if self._full is not None and self._full[0] == session_id:
            self.leave_full_screen()
        dock = self._docks.get(session_id)
        if dock is not None:
            dock.closeDockWidget()

    def activate(self, session_id: str) -> None:
        """Bring a panel to the front and put the focus into it."""
        dock = self._docks.get(session_id)
        if dock is None:
            return
        dock.setAsCurrentTab()
        if dock.isInFloatingContainer():
            dock.window().raise_()
            dock.window().activateWindow()
        self.manager.setDockWidgetFocused(dock)
        content = dock.widget()
        if content is not None:
            content.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._set_current(session_id)

    def _make(self, session_id: str, title: str) -> Any:
        dock = QtAds.CDockWidget(self.manager, title)
        dock.setObjectName(session_id)
        feature = QtAds.CDockWidget.DockWidgetFeature
        dock.setFeature(feature.DockWidgetDeleteOnClose, True)
        dock.setFeature(feature.DockWidgetFocusable, True)
        dock.setFeature(feature.DockWidgetPinnable, False)
        dock.setMinimumSizeHintMode(QtAds.CDockWidget.eMinimumSizeHintMode.MinimumSizeHintFromDockWidget)
        dock.setWidget(
            _Placeholder(f"{title}\n\nWaiting for the control plane…"), QtAds.CDockWidget.eInsertMode.ForceNoScrollArea
        )
        dock.closed.connect(lambda: self._on_closed(session_id))
        dock.topLevelChanged.connect(self._note_change)
        self._dress(dock)
        self._docks[session_id] = dock
        self._titles[session_id] = title
        return dock

    def _on_closed(self, session_id: str) -> None:
        if self._restoring or session_id not in self._docks:
            return
        dock = self._docks.pop(session_id)
        self._titles.pop(session_id, None)
        content = dock.takeWidget()
        if content is not None:
            # Whoever made the panel still has to put its draft away; the dock is deleted before that.
            content.hide()
            if isinstance(content, _Placeholder):
                content.deleteLater()
        if self._current == session_id:
            self._set_current("")
        self.panel_closed.emit(session_id)
        self._note_change()

    # -- arrangement

    def _place(self, dock: Any) -> None:
        """A new panel joins the grid while a person has not arranged it, then splits the largest place."""
        others = [d for d in self._docks.values() if d is not dock]
        if not others:
            self.manager.addDockWidget(QtAds.CenterDockWidgetArea, dock)
            return
        if not self._arranged and len(self._docks) <= 9 and not any(d.isInFloatingContainer() for d in others):
            self._grid(*self._fitting())
            return
        grid.add_beside_largest(self.manager, dock)

    def arrange(self, cells: int) -> None:
        """Put all panels into a grid of `cells` (1, 2, 4, 6 or 9); more panels than cells share tabs."""
        self._grid(*grid.GRIDS[cells])
        self._arranged = cells < len(self._docks)
        self._note_change()

    def _fitting(self) -> tuple[int, int]:
        return grid.fitting(len(self._docks), self.width())

    def _grid(self, columns: int, rows: int) -> None:
        placed = [i for i in self.open_ids() if self._docks[i].dockAreaWidget() is not None]
        order = placed + [i for i in self._docks if i not in placed]
        if not order:
            return
        self._shape = (columns, rows)
        focus = QApplication.focusWidget()
        self._restoring = True
        self.setUpdatesEnabled(False)
        try:
            grid.build(self.manager, [self._docks[i] for i in order], columns, rows)
            self._structure = grid.structure(self.manager, self._docks)
            for splitter in self.manager.findChildren(QSplitter):
                splitter.splitterMoved.connect(self._on_splitter, Qt.ConnectionType.UniqueConnection)
        finally:
            self._restoring = False
            self.setUpdatesEnabled(True)
        if self._current in self._docks:
            self._docks[self._current].setAsCurrentTab()
        if focus is not None and isValid(focus) and focus.isVisible():
            # Moving panels must not take the cursor out of what a person is typing.
            focus.setFocus(Qt.FocusReason.OtherFocusReason)

    def move_panel(self, direction: str) -> None:
        """Move the active panel `left`, `right`, `up` or `down` past its neighbour, or to the edge."""
        dock = self._docks.get(self.current_id)
        if dock is None or dock.isInFloatingContainer():
            return
        side = grid.SIDES[direction]
        neighbour = grid.neighbour(self.manager, dock.dockAreaWidget(), direction)
        if neighbour is not None:
            self.manager.addDockWidget(side, dock, neighbour)
        elif len(self._docks) > 1:
            self.manager.addDockWidget(side, dock)
        self._arranged = True
        self.activate(dock.objectName())
        self._note_change()

    def tab_with_next(self) -> None:
        """Put the active panel into the next panel's tabs."""
        ids = self.open_ids()
        if self.current_id not in ids or len(ids) < 2:
            return
        dock = self._docks[self.current_id]
        others = [
            i
            for i in ids[ids.index(self.current_id) :] + ids
            if self._docks[i].dockAreaWidget() is not dock.dockAreaWidget()
        ]
        if others:
            self.manager.addDockWidget(QtAds.CenterDockWidgetArea, dock, self._docks[others[0]].dockAreaWidget())
            self._arranged = True
            self.activate(dock.objectName())
            self._note_change()

    def float_or_dock(self) -> None:
        """Give the active panel a window of its own, or bring it back."""
        dock = self._docks.get(self.current_id)
        if dock is None:
            return
        if dock.isInFloatingContainer():
            areas = [a for a in self.manager.openedDockAreas() if a.window() is self.window()]
            if areas:
                self.manager.addDockWidget(QtAds.RightDockWidgetArea, dock, max(areas, key=lambda a: a.width()))
            else:
                self.manager.addDockWidget(QtAds.CenterDockWidgetArea, dock)
        else:
            dock.setFloating()
        self._arranged = True
        self.activate(dock.objectName())
        self._note_change()

    def toggle_full_screen(self) -> None:
        """Show the active panel alone on this screen, or bring it back."""
        if self._full is not None:
            self.leave_full_screen()
            return
        dock = self._docks.get(self.current_id)
        if dock is None or isinstance(dock.widget(), _Placeholder):
            return
        # The geometry, not the screen: its Python wrapper does not outlive the changes of parents below.
        place = QRect(dock.window().screen().geometry())
        title = self._titles[self.current_id]
        content = dock.takeWidget()
        dock.setWidget(
            _Placeholder(f"{title}\n\nshown on the full screen; F11 or Esc brings it back"),
            QtAds.CDockWidget.eInsertMode.ForceNoScrollArea,
        )
        host = FullScreenHost(title, content)
        host.ended.connect(self.leave_full_screen)
        self._full = (self.current_id, host)
        host.setGeometry(place)
        host.showFullScreen()
        content.setFocus(Qt.FocusReason.OtherFocusReason)

    def leave_full_screen(self) -> None:
        """Bring a panel back from the full screen."""
        if self._full is None:
            return
        session_id, host = self._full
        self._full = None
        dock = self._docks.get(session_id)
        content = host.content
        host.ended.disconnect(self.leave_full_screen)
        if dock is not None:
            old = dock.takeWidget()
            dock.setWidget(content, QtAds.CDockWidget.eInsertMode.ForceNoScrollArea)
            if old is not None:
                old.deleteLater()
            self.activate(session_id)
        host.close()
        host.deleteLater()

    # -- remembering

    def save(self) -> dict[str, Any]:
        """The arrangement as plain data."""
        return {
            "version": STATE_VERSION,
            "panels": [{"id": i, "title": self._titles.get(i, "")} for i in self.open_ids()],
            "state": base64.b64encode(self.manager.saveState(STATE_VERSION).data()).decode(),
            "arranged": self._arranged,
            "current": self.current_id,
            "screens": [s.name() for s in QGuiApplication.screens()],
        }

    def restore(self, saved: Any) -> bool:
        """Bring an arrangement back; False, and nothing open, if it is damaged or of another version. Call before the
        window is shown."""
        try:
            if saved["version"] != STATE_VERSION:
                return False
            panels = [(str(p["id"]), str(p["title"])) for p in saved["panels"]]
            state = QByteArray(base64.b64decode(saved["state"], validate=True))
        except (KeyError, TypeError, ValueError):
            return False
        if not panels:
            return True
        self._restoring = True
        try:
            for session_id, title in panels:
                if session_id not in self._docks:
                    dock = self._make(session_id, title or session_id)
                    self.manager.addDockWidget(QtAds.CenterDockWidgetArea, dock)
            good = bool(self.manager.restoreState(state, STATE_VERSION))
        finally:
            self._restoring = False
        lost = [i for i, d in self._docks.items() if not good or d.isClosed() or d.dockAreaWidget() is None]
        self._drop(lost)
        if not good:
            return False
        self._arranged = bool(saved.get("arranged"))
        grid.keep_on_screen(self.manager)
        current = saved.get("current")
        self._set_current(current if current in self._docks else "")
        for session_id in self._docks:
            self.panel_opened.emit(session_id)
        return True

    def _drop(self, session_ids: list[str]) -> None:
        """Take docks away that could not be restored; nobody closed them, so nobody is told."""
        for session_id in session_ids:
            dock = self._docks.pop(session_id)
            self._titles.pop(session_id, None)
            dock.closeDockWidget()

    # -- events

    def _on_focused(self, _old: Any, new: Any) -> None:
        if new is not None and new.objectName() in self._docks:
            self._set_current(new.objectName())

    def _set_current(self, session_id: str) -> None:
        if session_id != self._current:
            self._current = session_id
            self.current_changed.emit(session_id)
            self._note_change()

    def _on_floating(self, floating: Any) -> None:
        floating.installEventFilter(self)
        self._arranged = self._arranged or not self._restoring
        self._note_change()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Move, QEvent.Type.Resize):
            self._note_change()
        return super().eventFilter(watched, event)

    def _on_settled(self) -> None:
        """A while after the last change: tell whether a person has moved panels, and have it remembered."""
        now = grid.structure(self.manager, self._docks)
        if now[0] == self._structure[0] and now[1] != self._structure[1]:
            self._arranged = True
        self._structure = now
        self.layout_changed.emit()

    def _note_change(self, *_ignored: object) -> None:
        if not self._restoring:
            self._changed_later.start()

    @Slot()
    def _on_splitter(self) -> None:
        self._arranged = True
        self._note_change()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._regrid_later.start()

    def _regrid(self) -> None:
        """While nobody has arranged the panels, their grid follows the window's size."""
        places = [len(area.openedDockWidgets()) for area in self.manager.openedDockAreas()]
        if self._arranged or self._full is not None or not places or max(places) > 1:
            return
        if any(dock.isInFloatingContainer() for dock in self._docks.values()):
            return
        if (fitting := self._fitting()) != self._shape:
            self._grid(*fitting)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasFormat(MIME_TYPE):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        raw = bytes(event.mimeData().data(MIME_TYPE).data())
        ids = [line for line in raw.decode(errors="replace").split("\n") if line]
        if ids:
            event.acceptProposedAction()
            self.sessions_dropped.emit(ids)

    def _on_theme(self) -> None:
        self.manager.setStyleSheet(dock_style_sheet(theme.current()))
        for dock in self._docks.values():
            self._dress(dock)

    @staticmethod
    def _dress(dock: Any) -> None:
        """Our own cross on the tab, and words on it: closing a panel ends nothing."""
        close = dock.tabWidget().findChild(QAbstractButton, "tabCloseButton")
        if close is not None:
            close.setIcon(icons.icon("close", theme.current().text_muted))
            close.setToolTip("Close the panel (ends nothing)")
            close.setAccessibleName("Close the panel")
