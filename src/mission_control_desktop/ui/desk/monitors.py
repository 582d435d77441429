"""Which monitors are connected, and where things stand on them."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from PySide6.QtCore import QObject, QPoint, QRect, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QScreen
from PySide6.QtWidgets import QWidget

from mission_control_desktop.ui.desk.arrangement import Place

SETTLE_MS = 400
"""Monitors come and go in several steps; so long after the last one they count as settled."""
State = Literal["normal", "maximized", "full"]
_STATES: dict[State, Qt.WindowState] = {
    "normal": Qt.WindowState.WindowNoState,
    "maximized": Qt.WindowState.WindowMaximized,
    "full": Qt.WindowState.WindowFullScreen,
}
SEEN = 48
"""Pixels of a window that must be on some monitor: enough to take hold of it."""


class Monitors(QObject):
    """The connected monitors by key: what a monitor says of itself; of two alike, its plug too."""

    changing = Signal()
    """A monitor comes, goes or changes its size. Windows still stand where they stood; what is saved must be saved
    now."""
    changed = Signal()
    """They have settled; `key` and `names` are those of now."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._known: dict[str, tuple[str, QRect, QRect]] = {}
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._on_settled)
        app = QGuiApplication.instance()
        if isinstance(app, QGuiApplication):
            app.screenAdded.connect(self._on_added)
            app.screenRemoved.connect(self._on_changing)
        for screen in QGuiApplication.screens():
            screen.geometryChanged.connect(self._on_changing)
        self._read()

    @property
    def settled(self) -> bool:
        """Whether no change is under way."""
        return not self._settle.isActive()

    @property
    def key(self) -> str:
        """The set of monitors, whatever their order."""
        return " + ".join(sorted(self._known))

    def keys(self) -> list[str]:
        """Each monitor's key, from left to right."""
        return list(self._known)

    def name(self, key: str) -> str:
        """What a person reads: its name and size."""
        known = self._known.get(key)
        if known is None:
            return key
        name, whole, _ = known
        return f"{name}  {whole.width()} × {whole.height()}"

    def words(self) -> str:
        """All of them in words."""
        count = len(self._known)
        return f"{count} monitor{'' if count == 1 else 's'} ({', '.join(name for name, _, _ in self._known.values())})"

    def whole(self, key: str) -> QRect | None:
        """A monitor's area; None if it is not connected."""
        known = self._known.get(key)
        return None if known is None else QRect(known[1])

    def of(self, widget: QWidget) -> str:
        """The monitor on which most of a window stands."""
        return self._at(widget.window().geometry())

    def _at(self, area: QRect) -> str:
        def shared(key: str) -> int:
            common = self._known[key][1].intersected(area)
            return common.width() * common.height() if common.isValid() else -_distance(self._known[key][1], area)

        return max(self._known, key=shared, default="")

    def screen(self, key: str) -> QScreen | None:
        """The screen of a monitor, to be used at once: Qt deletes it when the monitor goes."""
        known = self._known.get(key)
        return next((s for s in QGuiApplication.screens() if known is not None and s.geometry() == known[1]), None)

    def assign(self, window: QWidget, key: str) -> None:
        """Tell a new window on which monitor it is going to be shown; where windows cannot be placed, only this
        counts."""
        if (screen := self.screen(key)) is not None:
            window.setScreen(screen)

    # -- places

    def place_of(self, window: QWidget) -> Place:
        """Where a window stands now; of a maximized one, where it comes back to."""
        state: State = "full" if window.isFullScreen() else "maximized" if window.isMaximized() else "normal"
        area = window.geometry()
        monitor = self._at(area)
        if state != "normal" and window.normalGeometry().isValid():
            area = window.normalGeometry()
        known = self._known.get(monitor)
        origin = known[1].topLeft() if known is not None else QPoint(0, 0)
        spot = area.topLeft() - origin
        limit = 60_000
        return Place(
            monitor=monitor,
            x=max(-limit, min(limit, spot.x())),
            y=max(-limit, min(limit, spot.y())),
            width=max(1, min(limit, area.width())),
            height=max(1, min(limit, area.height())),
            state=state,
        )

    def put(self, window: QWidget, place: Place) -> None:
        """Put a window where it stood; where its monitor is gone, onto the one that is nearest to its size."""
        known = self._known.get(place.monitor)
        if known is None:
            known = self._known.get(self._primary())
        if known is None:
            window.resize(place.width, place.height)
            return
        _, whole, room = known
        area = QRect(whole.topLeft() + QPoint(place.x, place.y), QRect(0, 0, place.width, place.height).size())
        if place.monitor not in self._known or not self._visible(area):
            area = _within(area, room)
        if window.windowState() & (Qt.WindowState.WindowMaximized | Qt.WindowState.WindowFullScreen):
            window.setWindowState(Qt.WindowState.WindowNoState)
        window.setGeometry(area)
        if place.state != "normal":
            window.setWindowState(_STATES[place.state])

    def keep_visible(self, window: QWidget) -> None:
        """Bring a window whose monitor is gone to one that is there."""
        if not self._visible(window.geometry()) and (known := self._known.get(self._primary())) is not None:
            window.setGeometry(_within(window.geometry(), known[2]))

    def _visible(self, area: QRect) -> bool:
        """Whether enough of the upper edge is on some monitor."""
        edge = QRect(area.left(), area.top(), area.width(), min(SEEN, area.height()))
        for _, _, room in self._known.values():
            common = room.intersected(edge)
            if common.width() >= min(SEEN, area.width()) and common.height() > 0:
                return True
        return False

    def _primary(self) -> str:
        screen = QGuiApplication.primaryScreen()
        return "" if screen is None else self._at(screen.geometry())

    # -- events

    def _read(self) -> None:
        screens = sorted(QGuiApplication.screens(), key=lambda s: (s.geometry().x(), s.geometry().y()))
        alike = Counter(_identity(screen) for screen in screens)
        self._known = {}
        for number, screen in enumerate(screens):
            key = _identity(screen)
            if alike[key] > 1:
                key = f"{key} at {screen.name() or number}"
            name = screen.model() or screen.name() or f"Monitor {number + 1}"
            self._known[key] = (name, QRect(screen.geometry()), QRect(screen.availableGeometry()))

    def _on_added(self, screen: QScreen) -> None:
        screen.geometryChanged.connect(self._on_changing)
        self._on_changing()

    def _on_changing(self, *_ignored: object) -> None:
        if not self._settle.isActive():
            self.changing.emit()
        self._settle.start()

    def _on_settled(self) -> None:
        self._read()
        self.changed.emit()


def _identity(screen: QScreen) -> str:
    """Maker, model and serial number where the monitor gives one; else its plug, with its model if known."""
    said = " ".join(part.strip() for part in (screen.manufacturer(), screen.model()) if part.strip())
    if screen.serialNumber().strip():
        return f"{said} {screen.serialNumber().strip()}".strip()
    return f"{said} {screen.name()}".strip() or "monitor"


def _distance(one: QRect, other: QRect) -> int:
    return (one.center() - other.center()).manhattanLength()


def _within(area: QRect, room: QRect) -> QRect:
    """The area moved and, if need be, made smaller, so that all of it is in the room."""
    width, height = min(area.width(), room.width()), min(area.height(), room.height())
    x = max(room.left(), min(area.x(), room.right() + 1 - width))
    y = max(room.top(), min(area.y(), room.bottom() + 1 - height))
    return QRect(x, y, width, height)
