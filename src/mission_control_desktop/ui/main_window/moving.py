"""How panels come to stand where they stand: presets, moves, tabs, own windows; and the grid that arranges itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import PySide6QtAds as QtAds
from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QApplication, QSplitter, QWidget
from shiboken6 import isValid

from mission_control_desktop.ui.desk.arrangement import Tree
from mission_control_desktop.ui.desk.dock_state import STATE_VERSION, write_state
from mission_control_desktop.ui.main_window import grid
from mission_control_desktop.ui.main_window.dropping import DropTarget

GROWS_TO = 9
"""While nobody has arranged them, so many panels stand in a grid of their own; a further one splits the largest."""
FEW = 4
"""Of several new panels, so many get places of their own in what a person has arranged."""


class Moving(QObject):
    """Moves docks about. `by_hand` says that a person has done so: then they do not rearrange themselves any more."""

    changed = Signal()

    def __init__(self, host: QWidget, manager: Any, docks: dict[str, Any], order: Callable[[], list[str]]) -> None:
        super().__init__(host)
        self._host, self._manager, self._docks, self._order = host, manager, docks, order
        self.by_hand = False
        self.busy = False
        """Docks are being moved by the program: what comes of it is no person's doing."""
        self._shape = (0, 0)
        self._structure: tuple[frozenset[str], tuple[tuple[str, ...], ...]] = (frozenset(), ())
        self.current: Callable[[], str] = lambda: ""
        self.lift: Callable[[], None] = lambda: None
        """Takes the panels out of the docks; they come back by themselves."""
        self.may_regrid: Callable[[], bool] = lambda: True
        self._regrid_later = QTimer(self)
        self._regrid_later.setSingleShot(True)
        self._regrid_later.setInterval(150)
        self._regrid_later.timeout.connect(self._regrid)

    # -- new panels

    def place(self, dock: Any, target: DropTarget | None = None) -> None:
        """A new panel joins the grid while a person has not arranged it, then splits the largest place."""
        others = [d for d in self._docks.values() if d is not dock]
        if target is not None and isValid(target.area):
            self.drop(dock, target)
        elif not others:
            self._manager.addDockWidget(QtAds.CenterDockWidgetArea, dock)
        elif not self.by_hand and len(self._docks) <= GROWS_TO and not any(d.isInFloatingContainer() for d in others):
            self.fit()
        else:
            grid.add_beside_largest(self._manager, dock)

    def place_all(self, fresh: Sequence[Any]) -> None:
        """Several new panels in one step: one after the other, each would lay out and style all of them again. They
        join the grid, with tabs where there is no room to read; beside what a person has arranged they share tabs."""
        floating = any(dock.isInFloatingContainer() for dock in self._docks.values())
        if not self.by_hand and not floating:
            if len(self._docks) <= GROWS_TO:
                self.fit()
            else:
                self.arrange(*grid.readable(self._host.width(), self._host.height()))
            return
        for dock in fresh[:FEW]:
            self.place(dock)
        area = fresh[0].dockAreaWidget()
        for dock in fresh[FEW:]:
            self._manager.addDockWidget(QtAds.CenterDockWidgetArea, dock, area)

    def drop(self, dock: Any, target: DropTarget) -> None:
        """Put a dock where it was dropped."""
        area = target.area
        if dock.dockAreaWidget() is area and (target.side == "tabs" or len(area.openedDockWidgets()) < 2):
            return
        self._manager.addDockWidget(target.dock_area, dock, area)
        self.by_hand = True
        self.changed.emit()

    def replace(self, old: Any, new: Any) -> None:
        """Put a new dock exactly where an old one is; the old one is the caller's to remove."""
        area = old.dockAreaWidget()
        if area is None:
            self.place(new)
            return
        self._manager.addDockWidgetTabToArea(new, area, area.index(old))

    # -- presets

    def fit(self) -> None:
        """A grid with as many columns and rows as the window has room for."""
        self._grid(*grid.fitting(len(self._docks), self._host.width()))

    def arrange(self, columns: int, rows: int) -> None:
        """Put all panels into a grid; more panels than cells share tabs."""
        self._grid(columns, rows)
        self.by_hand = columns * rows < len(self._docks)
        self.changed.emit()

    def _grid(self, columns: int, rows: int) -> None:
        placed = [i for i in self._order() if self._docks[i].dockAreaWidget() is not None]
        order = placed + [i for i in self._docks if i not in placed]
        if not order:
            return
        self._shape = (columns, rows)
        fronts = [i for i in order if self._docks[i].isCurrentTab()]
        # Who is active is seen, wherever tabs are shared.
        fronts.sort(key=lambda session_id: session_id != self.current())
        self.restore(grid.tree(order, columns, rows, fronts), [])

    def restore(self, docked: Tree | None, windows: list[Tree]) -> None:
        """Let all docks stand as in these trees, in one step: moved one by one, each would be styled and laid out as
        often as there are docks. Raises ValueError if they cannot."""
        focus = QApplication.focusWidget()
        self.lift()
        was, self.busy = self.busy, True
        # Hidden and shown again as a whole: shown piece by piece, nothing of it could take the focus back at once.
        shown = not self._manager.isHidden()
        self._manager.setVisible(False)
        try:
            for dock in [d for d in self._docks.values() if d.dockAreaWidget() is None]:
                # The manager restores only what it was given once.
                self._manager.addDockWidget(QtAds.CenterDockWidgetArea, dock)
            good = self._manager.restoreState(write_state(docked, windows), STATE_VERSION)
            for dock in [d for d in self._docks.values() if d.isClosed() or d.dockAreaWidget() is None]:
                grid.add_beside_largest(self._manager, dock)
                dock.toggleView(True)
            self.take_structure()
        finally:
            self.busy = was
            self._manager.setVisible(shown)
        if focus is not None and isValid(focus):
            self._focus_again(focus)
        if not good:
            raise ValueError("the docks refused their state")

    def _focus_again(self, focus: QWidget) -> None:
        """Moving panels must not take the cursor out of what a person is typing."""
        dock = next((d for d in self._docks.values() if d.isAncestorOf(focus)), None)
        if dock is not None and dock.isCurrentTab():
            # Qt shows what got a new parent with the next turn of the event loop: too late for the next key.
            around = dock
            hidden = []
            while around is not None and around is not self._manager:
                hidden.append(around)
                around = around.parentWidget()
            for widget in reversed(hidden):
                widget.show()
        if focus.isVisible():
            focus.setFocus(Qt.FocusReason.OtherFocusReason)

    def regrid_soon(self) -> None:
        """The window has another size."""
        self._regrid_later.start()

    def _regrid(self) -> None:
        """While nobody has arranged the panels, their grid follows the window's size."""
        places = [len(area.openedDockWidgets()) for area in self._manager.openedDockAreas()]
        if self.by_hand or not places or max(places) > 1 or len(self._docks) > GROWS_TO or not self.may_regrid():
            return
        if any(dock.isInFloatingContainer() for dock in self._docks.values()):
            return
        if grid.fitting(len(self._docks), self._host.width()) != self._shape:
            self.fit()

    # -- one panel

    def move(self, dock: Any, direction: str) -> None:
        """Move a dock `left`, `right`, `up` or `down`: out of its tabs, past its neighbour, or to the edge."""
        side, area = grid.SIDES[direction], dock.dockAreaWidget()
        if area is not None and len(area.openedDockWidgets()) > 1:
            self._manager.addDockWidget(side, dock, area)
        elif dock.isInFloatingContainer() and len(dock.floatingDockContainer().dockWidgets()) < 2:
            return
        elif (neighbour := grid.neighbour(self._manager, area, direction)) is not None:
            self._manager.addDockWidget(side, dock, neighbour)
        elif not dock.isInFloatingContainer() and len(self._docks) > 1:
            self._manager.addDockWidget(side, dock)
        self.by_hand = True
        self.changed.emit()

    def tab_with_next(self, dock: Any) -> bool:
        """Put a dock into the next one's tabs; False if it stands alone."""
        ids = self._order()
        here = ids.index(dock.objectName())
        others = [i for i in ids[here:] + ids if self._docks[i].dockAreaWidget() is not dock.dockAreaWidget()]
        if not others:
            return False
        self._manager.addDockWidget(QtAds.CenterDockWidgetArea, dock, self._docks[others[0]].dockAreaWidget())
        self.by_hand = True
        self.changed.emit()
        return True

    def float_or_dock(self, dock: Any) -> None:
        """Give a dock a window of its own, or bring it back."""
        if dock.isInFloatingContainer():
            areas = [a for a in self._manager.openedDockAreas() if a.window() is self._host.window()]
            if areas:
                self._manager.addDockWidget(QtAds.RightDockWidgetArea, dock, max(areas, key=lambda a: a.width()))
            else:
                self._manager.addDockWidget(QtAds.CenterDockWidgetArea, dock)
        else:
            dock.setFloating()
        self.by_hand = True
        self.changed.emit()

    # -- noticing

    def take_structure(self) -> None:
        """What stands now was put there by the program."""
        self._structure = grid.structure(self._manager, self._docks)
        for splitter in self._manager.findChildren(QSplitter):
            splitter.splitterMoved.connect(self._on_splitter, Qt.ConnectionType.UniqueConnection)

    def notice(self) -> None:
        """A while after the last change: has a person moved panels?"""
        now = grid.structure(self._manager, self._docks)
        if now[0] == self._structure[0] and now[1] != self._structure[1]:
            self.by_hand = True
        self._structure = now

    @Slot()
    def _on_splitter(self) -> None:
        if not self.busy:
            self.by_hand = True
            self.changed.emit()
