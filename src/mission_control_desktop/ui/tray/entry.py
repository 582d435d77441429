"""The icon in the system tray and its menu: what the store says in words, and four things to press."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QIcon, QPainter
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from mission_control_desktop.domain.events import StopState
from mission_control_desktop.ui import icons, theme, words
from mission_control_desktop.ui.attention import Attention
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.stop_words import LampView, lamp_view

_SIDES = (16, 22, 24, 32, 48, 64)
SMALLEST_COUNT = 22
"""Sides (pixels) from which on a number can be read in the icon; its words are in the tool tip."""
MOST = 100
REFRESH_MS = 5_000
"""How often ages are looked at: a test of the stop becomes old by itself."""


def agents_words(store: SessionStore, needed: int) -> str:
    """How many agents live, and how much the queue holds that needs a person."""
    live = store.live_count
    alive = f"{words.plural(live, 'agent lives', 'agents live')}" if live else "No agent lives"
    return f"{alive}, {words.plural(needed, 'needs', 'need')} a person" if needed else alive


class TrayEntry(QObject):
    """Shows a store; says what was pressed. `show` puts it into the tray; without a tray its actions work all the
    same."""

    open_wanted = Signal()
    kill_all_wanted = Signal()
    quit_wanted = Signal()

    def __init__(self, store: SessionStore, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self.attention = Attention(store, parent=self)
        """The window's queue; what was decided there is merged from its file."""
        self._connected = False
        self._problem = "looking for the control plane"
        self._refused = ""
        self._others: tuple[str, ...] = ()
        self.lamp: LampView = lamp_view({}, words.utc_now(), connected=False)
        self.menu = QMenu()
        self.menu.setToolTipsVisible(True)
        self.agents = self._said("agents")
        self.stop = self._said("stop")
        self.menu.addSeparator()
        self.open_window = self._pressed("open_window", "&Open Mission Control", self.open_wanted)
        self.kill_all = self._pressed("kill_all", "&Kill All…", self.kill_all_wanted)
        self.menu.addSeparator()
        self.leave = self._pressed("leave", "&Quit the tray", self.quit_wanted)
        self.leave.setToolTip("Ends no agent, and not the control plane. The next window brings the tray back.")
        self.icon = QSystemTrayIcon(self)
        self.icon.setContextMenu(self.menu)
        self.icon.activated.connect(self._on_activated)
        self._drawn: tuple[bool, bool, int] | None = None
        self._ages = QTimer(self)
        self._ages.setInterval(REFRESH_MS)
        self._ages.setTimerType(Qt.TimerType.VeryCoarseTimer)
        self._ages.timeout.connect(self.refresh)
        self._ages.start()
        for news in (store.sessions_changed, store.sessions_removed, store.approvals_changed, store.provider_changed):
            news.connect(self.refresh)
        self.attention.changed.connect(self.refresh)
        self.refresh()

    def _said(self, name: str) -> QAction:
        action = QAction(self.menu)
        action.setObjectName(f"tray.{name}")
        action.setEnabled(False)
        self.menu.addAction(action)
        return action

    def _pressed(self, name: str, text: str, signal: object) -> QAction:
        action = QAction(text, self.menu)
        action.setObjectName(f"tray.{name}")
        action.triggered.connect(lambda _on: signal.emit())  # type: ignore[attr-defined]
        self.menu.addAction(action)
        return action

    def show(self) -> None:
        """Put it into the tray."""
        self.icon.show()

    def close(self) -> None:
        """Leave the tray."""
        self.icon.hide()
        self._ages.stop()
        self.menu.deleteLater()
        self.deleteLater()

    def set_link(self, *, connected: bool, problem: str = "", refused: str = "") -> None:
        """Whether the control plane is there; if not, why. `refused`: why Kill All is not allowed here at all."""
        self._connected, self._problem, self._refused = connected, problem, refused
        self._level()
        self.refresh()

    def set_others(self, names: Sequence[str]) -> None:
        """Control planes that the windows are on as well: the tray neither counts nor stops what is there."""
        if tuple(names) == self._others:
            return
        self._others = tuple(names)
        where = " on this control plane" if names else ""
        self.kill_all.setText(f"&Kill All{where}…")
        self._level()
        self.refresh()

    def _level(self) -> None:
        elsewhere = (
            f"Here alone. Agents of {', '.join(self._others)} go on: they are stopped from the window."
            if self._others
            else ""
        )
        self.kill_all.setEnabled(not self._refused)
        self.kill_all.setToolTip(self._refused or elsewhere)

    def refresh(self, _what: object = None) -> None:
        """Say what the store says now."""
        self.lamp = lamp_view(self._store.health, words.utc_now(), connected=self._connected)
        said = agents_words(self._store, len(self.attention.items())) if self._connected else "Not connected"
        self.agents.setText(said)
        self.agents.setToolTip("" if self._connected else self._problem)
        self.stop.setText(self.lamp.text)
        self.stop.setToolTip(self.lamp.detail)
        tip = [f"Mission Control: {said}", self.lamp.text]
        if self._others:
            tip.append(f"Without {', '.join(self._others)}: see the window")
        if not self._connected and self._problem:
            tip.append(self._problem.splitlines()[0][:160])
        self.icon.setToolTip("\n".join(tip))
        self._draw()

    def tell(self, text: str) -> None:
        """Say something that a person should know now."""
        self.icon.showMessage("Mission Control", text, QSystemTrayIcon.MessageIcon.Warning)

    def _draw(self) -> None:
        needed = len(self.attention.items())
        worried = needed > 0 or self.lamp.state is StopState.DEGRADED
        state = (self._connected, worried, min(needed, MOST))
        if state != self._drawn:
            self._drawn = state
            self.icon.setIcon(_icon(connected=self._connected, worried=worried, needed=needed))

    def _on_activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason in (QSystemTrayIcon.ActivationReason.Trigger, QSystemTrayIcon.ActivationReason.DoubleClick):
            self.open_wanted.emit()


def _icon(*, connected: bool, worried: bool, needed: int) -> QIcon:
    """Ours; pale while not connected, with a disc in its corner where a person is needed and, where it is large enough
    to be read, how often."""
    result = QIcon()
    for side in _SIDES:
        drawn = icons.pixmap("app", side)
        if not connected:
            drawn = QIcon(drawn).pixmap(drawn.size(), QIcon.Mode.Disabled)
        elif worried:
            painter = QPainter(drawn)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(theme.current().surface)
            painter.setBrush(theme.current().attention)
            if needed and side >= SMALLEST_COUNT:
                box = QRectF(side * 0.3, side * 0.48, side * 0.7, side * 0.52).adjusted(0.5, 0.5, -0.5, -0.5)
                painter.drawRoundedRect(box, side * 0.2, side * 0.2)
                font = theme.ui_font()
                font.setPixelSize(round(side * 0.46))
                font.setBold(True)
                painter.setFont(font)
                painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), str(needed) if needed < MOST else "99+")
            else:
                painter.drawEllipse(QPointF(side * 0.76, side * 0.76), side * 0.2, side * 0.2)
            painter.end()
        result.addPixmap(drawn)
    return result
