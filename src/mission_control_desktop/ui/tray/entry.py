"""The icon in the system tray and its menu: what the store says in words, and four things to press."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from PySide6.QtCore import QObject, QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QIcon, QPainter
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from mission_control_desktop.client.fleet import HOME, plane_of
from mission_control_desktop.domain.events import StopState
from mission_control_desktop.ui import icons, theme, words
from mission_control_desktop.ui.attention import Attention
from mission_control_desktop.ui.connection import HERE
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.stop_words import LampView, lamp_view

_SIDES = (16, 22, 24, 32, 48, 64)
SMALLEST_COUNT = 22
"""Sides (pixels) from which on a number can be read in the icon; its words are in the tool tip."""
MOST = 100
LOOKING = "looking for the control plane"
REFRESH_MS = 5_000
"""How often ages are looked at: a test of the stop becomes old by itself."""


class Followed(NamedTuple):
    """A control plane as the tray shows it. `problem`: why it is not connected; `refusal`: why Kill All is not allowed
    there."""

    key: str
    title: str
    connected: bool = False
    problem: str = ""
    refusal: str = ""


def agents_words(live: int, needed: int) -> str:
    """How many agents live, and how much the queue holds that needs a person."""
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
        self._planes: tuple[Followed, ...] = (Followed(HOME, HERE, problem=LOOKING),)
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

    def set_planes(self, planes: Sequence[Followed]) -> None:
        """How the way to each control plane is, home first."""
        self._planes = tuple(planes)
        refused = [f"{one.title} ({one.refusal})" for one in planes if one.refusal]
        self.kill_all.setEnabled(len(refused) < len(self._planes))
        if not self.kill_all.isEnabled():
            self.kill_all.setToolTip("; ".join(refused) if self._several else self._planes[0].refusal)
        elif refused:
            self.kill_all.setToolTip(f"Without {'; '.join(refused)}")
        else:
            names = " and ".join(one.title for one in self._planes)
            self.kill_all.setToolTip(f"Of {names}, or of one of them" if self._several else "")
        self.refresh()

    @property
    def _several(self) -> bool:
        return len(self._planes) > 1

    def _there(self) -> set[str]:
        return {one.key for one in self._planes if one.connected}

    def _needed(self) -> int:
        """What is known of a control plane that is away may be long over: it is not counted."""
        there = self._there()
        return sum(plane_of(need.session_id or need.provider) in there for need in self.attention.items())

    def refresh(self, _what: object = None) -> None:
        """Say what the store says now."""
        there = self._there()
        away = [one for one in self._planes if not one.connected]
        health = {name: one for name, one in self._store.health.items() if plane_of(name) in there}
        missing = [one.title for one in away] if self._several else []
        self.lamp = lamp_view(health, words.utc_now(), connected=bool(there), missing=missing)
        said = "Not connected"
        if there:
            live = Counter(plane_of(session.session_id) for session in self._store.live())
            said = agents_words(sum(live[key] for key in there), self._needed())
            said += f" (without {', '.join(one.title for one in away)})" if away else ""
        self.agents.setText(said)
        problems = [f"{one.title}: {one.problem}" if self._several else one.problem for one in away]
        self.agents.setToolTip("\n".join(problems))
        self.stop.setText(self.lamp.text)
        self.stop.setToolTip(self.lamp.detail)
        tip = [f"Mission Control: {said}", self.lamp.text]
        tip += [problem.splitlines()[0][:160] for problem in problems if problem]
        self.icon.setToolTip("\n".join(tip))
        self._draw()

    def tell(self, text: str) -> None:
        """Say something that a person should know now."""
        self.icon.showMessage("Mission Control", text, QSystemTrayIcon.MessageIcon.Warning)

    def _draw(self) -> None:
        needed, connected = self._needed(), bool(self._there())
        worried = needed > 0 or self.lamp.state is StopState.DEGRADED
        state = (connected, worried, min(needed, MOST))
        if state != self._drawn:
            self._drawn = state
            self.icon.setIcon(_icon(connected=connected, worried=worried, needed=needed))

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
