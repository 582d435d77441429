"""Puts desks into effect: saves the current one as it changes, switches, and follows the monitors."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from PySide6.QtCore import QByteArray, QObject, QTimer, Signal
from PySide6.QtGui import QGuiApplication

from mission_control_desktop.ui.desk.arrangement import Arrangement, Split, Tabs, Tree, beside_each_other
from mission_control_desktop.ui.desk.book import Desk, DeskBook, Stand
from mission_control_desktop.ui.desk.dock_state import read_state
from mission_control_desktop.ui.desk.monitors import Monitors

if TYPE_CHECKING:
    from mission_control_desktop.ui.main_window.window import MainWindow

log = structlog.get_logger(__name__)

LAYOUT_KEY = "layout"
LAYOUT_VERSION = 2
SAVE_MS = 400
MAX_UNDO = 20


class Desks(QObject):
    """The desks of one window. `restore` before it is shown; afterwards every change is saved a moment later."""

    changed = Signal()
    """Another desk is the current one, or names have changed."""
    told = Signal(str, int)
    """Words for the status bar, and for how long (milliseconds)."""

    def __init__(self, window: MainWindow, monitors: Monitors) -> None:
        super().__init__(window)
        self._window, self._state, self._monitors = window, window.state, monitors
        self.book = DeskBook(window.state)
        self._applying = False
        self._undo: list[tuple[Arrangement, dict[str, str]]] = []
        self._stood: tuple[Arrangement, dict[str, str]] | None = None
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(SAVE_MS)
        self._later.timeout.connect(self.save)
        monitors.changing.connect(self.save)
        monitors.changed.connect(self._on_monitors_changed)

    # -- saving

    def note_change(self, *_ignored: object) -> None:
        """Something moved; it is saved a moment later, also while more of it comes."""
        if not self._window.closing and not self._applying and not self._later.isActive():
            self._later.start()

    def save(self) -> None:
        """Remember how everything stands; on disk a moment later."""
        window = self._window
        self._later.stop()
        if self._applying or window.closing:
            return
        if not self._monitors.settled:
            # Windows are on their way from one monitor to another: that is no arrangement.
            self._later.start()
            return
        arrangement, titles = window.panels.arrangement(), window.panels.titles()
        self._note_undo(arrangement, titles)
        self.book.record(
            self._monitors.key,
            Stand(
                arrangement=arrangement,
                window=self._monitors.place_of(window),
                roster=not window.roster.isHidden(),
                splitter=tuple(window.splitter.sizes()),
                following=window.following,
                monitors=self._monitors.words(),
            ),
            titles,
        )
        self._state.put(LAYOUT_KEY, {"version": LAYOUT_VERSION, "closed": window.opening.closed_by_hand()})

    def _note_undo(self, arrangement: Arrangement, titles: dict[str, str]) -> None:
        stood, self._stood = self._stood, (arrangement, titles)
        if stood is not None and _shape(stood[0]) != _shape(arrangement):
            self._undo.append(stood)
            del self._undo[:-MAX_UNDO]

    # -- restoring

    def restore(self) -> bool:
        """Bring back what was remembered; False if something of it was damaged, and then the rest as far as it goes."""
        window = self._window
        self._default_size()
        whole = self.book.damaged == 0
        saved = self._state.get(LAYOUT_KEY)
        try:
            if isinstance(saved, dict) and saved.get("version") == 1:
                self._take_first_layout(saved)
            elif saved is not None:
                if saved["version"] != LAYOUT_VERSION:
                    raise ValueError("another version")
                window.opening.set_closed_by_hand([str(i) for i in saved["closed"]])
        except (KeyError, TypeError, ValueError, zlib.error):
            self._state.set_aside(LAYOUT_KEY)
            whole = False
        last = self.book.last_on(self._monitors.key)
        if last and last != self.book.current_id:
            self.book.select(last)
        whole = self._apply(self.book.current) and whole
        self.changed.emit()
        return whole

    def _take_first_layout(self, saved: dict[str, Any]) -> None:
        """The layout of versions that knew one arrangement only becomes the first desk."""
        panels = saved["panels"]
        titles = {str(p["id"]): str(p["title"]) for p in panels["panels"]}
        state = base64.b64decode(panels["state"], validate=True)
        docked, _ = read_state(state if state.startswith(b"<?xml") else zlib.decompress(state[4:]))
        geometry = QByteArray(base64.b64decode(saved["geometry"], validate=True))
        sizes = tuple(max(0, int(n)) for n in saved["splitter"])
        self._window.opening.set_closed_by_hand([str(i) for i in saved["closed"]])
        if not self._window.restoreGeometry(geometry):
            self._default_size()
        stand = Stand(
            arrangement=Arrangement(docked=docked, by_hand=bool(panels.get("arranged"))),
            window=self._monitors.place_of(self._window),
            roster=bool(saved["roster"]),
            splitter=sizes[:2],
        )
        self.book.record(self._monitors.key, stand, titles)

    def _apply(self, desk: Desk) -> bool:
        window, panels = self._window, self._window.panels
        stand = desk.stand(self._monitors.key)
        titles = desk.titles()
        arrangement = stand.arrangement if stand is not None else Arrangement(docked=beside_each_other(titles))
        good = True
        self._applying = True
        try:
            if stand is not None:
                if stand.window is not None and self._monitors.place_of(window) != stand.window:
                    self._monitors.put(window, stand.window)
                window.set_roster(stand.roster)
                if len(stand.splitter) == 2 and min(stand.splitter) > 0:
                    window.splitter.setSizes(list(stand.splitter))
                window.set_following(stand.following)
            try:
                panels.apply(arrangement, titles)
            except ValueError as error:
                log.warning("a desk could not be put into effect", desk=desk.name, error=str(error))
                panels.apply(Arrangement(docked=beside_each_other(titles)), titles)
                good = False
        finally:
            self._applying = False
        self._undo.clear()
        self._stood = None
        window.show_page()
        return good

    def _default_size(self) -> None:
        window, screen = self._window, QGuiApplication.primaryScreen()
        room = screen.availableGeometry().size() if screen is not None else window.sizeHint()
        window.resize(window.sizeHint().boundedTo(room))

    # -- switching

    def switch(self, desk_id: str) -> None:
        """Go to a desk. Panels that it shares with the present one stay as they are. Raises NotFound."""
        if desk_id == self.book.current_id:
            self.changed.emit()
            return
        self.save()
        desk = self.book.select(desk_id)
        self._go_to(desk)

    def _go_to(self, desk: Desk, why: str = "") -> None:
        focused = self._window.panels.isAncestorOf(self._window.focusWidget() or self._window)
        good = self._apply(desk)
        current = self._window.panels.current_id
        if focused and current:
            self._window.panels.activate(current)
        self.save()
        self.changed.emit()
        text = f"Desk “{desk.name}”{why}"
        self.told.emit(
            text if good else f"{text}: its arrangement could not be restored; its panels are all there", 5000
        )

    def step(self, by: int) -> None:
        """To the next desk, or (-1) the former one."""
        ids = self.book.ids()
        self.switch(ids[(ids.index(self.book.current_id) + by) % len(ids)])

    def go(self, number: int) -> None:
        """To the n-th desk, from 1; nothing if there are fewer."""
        ids = self.book.ids()
        if number <= len(ids):
            self.switch(ids[number - 1])

    def undo(self) -> None:
        """Back to how the panels stood before the last change: moved, closed, opened or arranged."""
        self.save()
        if not self._undo:
            self.told.emit("Nothing to undo: the panels of this desk stand as they stood when you came to it.", 5000)
            return
        left = self._undo[:-1]
        arrangement, titles = self._undo[-1]
        self._applying = True
        try:
            self._window.panels.apply(arrangement, titles)
        finally:
            self._applying = False
        self._undo, self._stood = left, None
        self._window.show_page()
        if self._window.panels.current_id:
            self._window.panels.activate(self._window.panels.current_id)
        self.save()
        self.told.emit("The panels stand as before.", 4000)

    # -- the set of desks

    def add(self, name: str, *, copy: bool) -> None:
        """Make a desk, as this one is or empty, and go there. Raises BadInput, Conflict."""
        self.save()
        self.switch(self.book.add(name, copy_of=self.book.current_id if copy else ""))

    def rename(self, name: str) -> None:
        """Give the current desk another name. Raises BadInput, Conflict."""
        self.book.rename(self.book.current_id, name)
        self.changed.emit()

    def remove(self) -> None:
        """Remove the current desk and go to another one. Its sessions go on. Raises Conflict for the last one."""
        gone = self.book.current
        self.book.remove(self.book.current_id)
        self._go_to(self.book.current, f"; “{gone.name}” was removed, its sessions go on")

    def take_in(self, desks: tuple[Desk, ...]) -> None:
        """Add desks that were imported and go to the first. Raises BadInput, Conflict."""
        self.save()
        added = self.book.take_in(desks)
        self.switch(added[0])

    def exported(self, *, everything: bool) -> tuple[Desk, ...]:
        """The current desk, or all of them, as they stand now."""
        self.save()
        return tuple(self.book.desk(i) for i in self.book.ids()) if everything else (self.book.current,)

    # -- monitors

    def _on_monitors_changed(self) -> None:
        if self._window.closing:
            return
        last = self.book.last_on(self._monitors.key)
        if last and last != self.book.current_id:
            self.book.select(last)
        self._go_to(self.book.current, f" on {self._monitors.words()}")


def _shape(arrangement: Arrangement) -> object:
    """What a person would call another arrangement: not sizes, not which panel is active."""
    return (
        None if arrangement.docked is None else _bare(arrangement.docked),
        tuple(_bare(window.content) for window in arrangement.windows),
        arrangement.full,
    )


def _bare(tree: Tree) -> Tree:
    if isinstance(tree, Tabs):
        return msgspec.structs.replace(tree, front="")
    return Split(across=tree.across, parts=tuple(_bare(part) for part in tree.parts))
