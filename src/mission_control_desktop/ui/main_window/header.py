"""The window's header: connection, counts, attention, and Kill All placed apart."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)

from mission_control_desktop.client.inbox import LinkState
from mission_control_desktop.domain.sessions import SessionStatus
from mission_control_desktop.ui import icons, theme
from mission_control_desktop.ui.attention import Attention
from mission_control_desktop.ui.commands import CommandActions
from mission_control_desktop.ui.main_window.lamp import StopLamp
from mission_control_desktop.ui.main_window.provider_chip import ProviderChip
from mission_control_desktop.ui.sessions import SessionStore

CALM_MS = 100
"""The counts are drawn so often at most: each time the whole line is laid out, and sessions are read 100 times a
second."""
_ORDER = (
    SessionStatus.SPAWNING,
    SessionStatus.RUNNING,
    SessionStatus.WAITING,
    SessionStatus.PAUSED,
    SessionStatus.FAILED,
    SessionStatus.KILLED,
    SessionStatus.COMPLETED,
)


@dataclass(frozen=True)
class ConnectionView:
    """What the header says of the connection. `level`: ok, busy, warning or error."""

    text: str
    level: str = "ok"
    detail: str = ""
    connected: bool = False


def connection_view(
    state: LinkState | None, *, where: str, attempt: int = 0, error: str | None = None, degraded: str | None = None
) -> ConnectionView:
    """Words for a state of the workspace's stream; `degraded` is what the control plane says of itself."""
    match state:
        case None:
            return ConnectionView("not connected", "busy", where)
        case LinkState.CONNECTING:
            return ConnectionView("connecting…", "busy", where)
        case LinkState.RECONNECTING:
            tries = f", attempt {attempt}" if attempt > 1 else ""
            return ConnectionView(f"reconnecting{tries}", "warning", error or where)
        case LinkState.REFUSED:
            return ConnectionView("refused", "error", error or where)
    if degraded:
        return ConnectionView("connected, degraded", "warning", degraded, connected=True)
    return ConnectionView("connected", "ok", where, connected=True)


class StatusCounts(QWidget):
    """How many sessions are in each status: shape, number, and the word where there is room."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._counts: list[tuple[SessionStatus, int]] = []
        self._calm = QTimer(self)
        """Runs after something was drawn; what comes meanwhile is drawn at its end."""
        self._calm.setSingleShot(True)
        self._calm.setInterval(CALM_MS)
        self._calm.timeout.connect(self._draw_late)
        self._late = False
        self.setToolTip("no sessions")
        self.setAccessibleName("Sessions: none")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(60)
        theme.signals.theme_changed.connect(self.update)

    def set_counts(self, counts: dict[SessionStatus, int]) -> None:
        """Show these numbers; statuses without sessions are left out."""
        shown = [(status, counts.get(status, 0)) for status in _ORDER if counts.get(status, 0)]
        if shown == self._counts:
            return
        self._counts = shown
        text = ", ".join(f"{count} {status.value}" for status, count in shown) or "no sessions"
        self.setToolTip(text)
        self.setAccessibleName(f"Sessions: {text}")
        if self._calm.isActive():
            self._late = True
        else:
            self._draw()

    def _draw(self) -> None:
        self.updateGeometry()
        self.update()
        self._calm.start()

    def _draw_late(self) -> None:
        if self._late:
            self._late = False
            self._draw()

    def text(self) -> str:
        """The counts in words."""
        return self.toolTip()

    def sizeHint(self) -> QSize:
        return QSize(self._width(True), 28)

    def minimumSizeHint(self) -> QSize:
        return QSize(60, 28)

    def _width(self, with_words: bool) -> int:
        metrics = QFontMetrics(theme.ui_font())
        return sum(
            14 + 5 + metrics.horizontalAdvance(f"{n} {s.value}" if with_words else str(n)) + 16 for s, n in self._counts
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        look = theme.current()
        with_words = self._width(True) <= self.width()
        painter.setFont(theme.ui_font())
        metrics = QFontMetrics(theme.ui_font())
        x = 0
        for status, count in self._counts:
            color = look.status_color(status)
            theme.paint_status(painter, QRectF(x, self.height() / 2 - 7, 14, 14), status)
            text = f"{count} {status.value}" if with_words else str(count)
            painter.setPen(color if status is SessionStatus.FAILED else look.text)
            width = metrics.horizontalAdvance(text)
            if x + 19 + width > self.width():
                break
            painter.drawText(QRectF(x + 19, 0, width + 2, self.height()), int(Qt.AlignmentFlag.AlignVCenter), text)
            x += 19 + width + 16
        if not self._counts:
            painter.setPen(look.text_muted)
            painter.drawText(self.rect(), int(Qt.AlignmentFlag.AlignVCenter), "no sessions")


class Dot(QWidget):
    """A small shape that goes with the connection's words: filled, ring, or triangle by level."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.level = "busy"
        self.setFixedSize(12, 12)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme.paint_level(QPainter(self), QRectF(0, 0, 12, 12), self.level)


class Header(QFrame):
    """One line over the whole window."""

    attention_clicked = Signal()
    connection_clicked = Signal()
    providers_clicked = Signal()

    def __init__(
        self, store: SessionStore, attention: Attention, commands: CommandActions, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._store = store
        self._queue = attention
        self._commands = commands
        self._tips: dict[QPushButton, str] = {}
        self.setObjectName("header")
        self.setProperty("surface", "bar")
        self._logo = QLabel(self)
        self._logo.setPixmap(icons.pixmap("app", 24, ratio=2))
        self._title = QLabel("Mission Control", self)
        self._title.setProperty("tone", "heading")
        self._dot = Dot(self)
        self.connection = QToolButton(self)
        self.connection.setObjectName("header.connection")
        self.connection.setProperty("kind", "quiet")
        self.connection.clicked.connect(self.connection_clicked)
        self.providers = ProviderChip(store.health, self)
        self.providers.clicked.connect(self.providers_clicked)
        self.demo = QLabel("DEMO", self)
        self.demo.setProperty("tone", "demo")
        self.demo.setToolTip("A demo mission runs: scripted agents, real child processes")
        self.demo.hide()
        self.counts = StatusCounts(self)
        self.attention = QPushButton(self)
        self.attention.setObjectName("header.attention")
        self.attention.clicked.connect(self.attention_clicked)
        self.new_agent = self._button("mission.new_agent", "New agent", "plus", primary=True)
        self.audit = self._button("view.audit", "Audit", "audit")
        self.audit.setCheckable(True)
        self.appearance = QToolButton(self)
        self.appearance.setObjectName("header.appearance")
        self.appearance.setProperty("kind", "quiet")
        self.appearance.setAccessibleName("Switch light and dark")
        self.appearance.clicked.connect(commands["view.appearance"].trigger)
        self.kill_all = self._button("mission.kill_all", "Kill All…", "kill")
        self.kill_all.setProperty("kind", "danger-outline")

        self.lamp = StopLamp(store.health, self)

        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 6, 12, 6)
        layout.setSpacing(8)
        layout.addWidget(self._logo)
        layout.addWidget(self._title)
        layout.addSpacing(8)
        layout.addWidget(self._dot)
        layout.addWidget(self.connection)
        layout.addWidget(self.providers)
        layout.addWidget(self.demo, 0, Qt.AlignmentFlag.AlignVCenter)
        self._desk_place = layout.count()
        layout.addSpacing(8)
        layout.addWidget(self.counts, 1)
        layout.addWidget(self.attention)
        layout.addWidget(self.new_agent)
        layout.addWidget(self.audit)
        layout.addWidget(self.appearance)
        # Apart from everything that is used often.
        layout.addSpacing(24)
        layout.addWidget(self.lamp)
        layout.addWidget(self.kill_all)
        theme.keep(self, lambda header: header.setFixedHeight(theme.metrics.header))
        self._row = layout
        self._shown: tuple[int, bool, theme.Theme] | None = None
        self._link = self._needs = ""
        self._short = 0
        """How many of those that give their words where there is no room have given them."""

        store.sessions_changed.connect(self._on_sessions)
        store.sessions_removed.connect(self._on_sessions)
        attention.changed.connect(self.refresh)
        store.provider_changed.connect(self._on_provider)
        commands["view.audit"].toggled.connect(self.audit.setChecked)
        for command_id in ("mission.kill_all", "mission.new_agent"):
            commands[command_id].changed.connect(self._on_actions)
        theme.signals.theme_changed.connect(self._on_theme)
        commands.keys_changed.connect(self._on_keys)
        self._on_keys()
        self._on_theme()
        self.refresh()
        self._on_actions()
        self.set_connection(connection_view(None, where="starting"))

    def _button(self, command_id: str, text: str, icon_name: str, *, primary: bool = False) -> QPushButton:
        action = self._commands[command_id]
        button = QPushButton(text, self)
        button.setObjectName(f"header.{command_id}")
        button.setAccessibleName(text)
        button.setProperty("icon_name", icon_name)
        if primary:
            button.setProperty("kind", "primary")
        self._tips[button] = command_id
        button.clicked.connect(action.trigger)
        button.setAutoDefault(False)
        return button

    def _givers(self) -> list[tuple[QWidget, str, str]]:
        """Who gives words first where there is no room, the words, and what is left of them; icons, names and tips
        stay."""
        count = str(self._queue.count or "")
        return [
            (self._title, self._title.text(), ""),
            (self.audit, "Audit", ""),
            (self.new_agent, "New agent", ""),
            (self.attention, self._needs, count),
            (self.lamp, self.lamp.WIDEST, ""),
            (self.connection, self._link, ""),
            (self._logo, "", ""),
        ]

    def _width_of(self, giver: QWidget, words: str, left: str) -> int:
        """How much room it gives."""
        if isinstance(giver, QLabel):
            return giver.sizeHint().width() + self._row.spacing()
        if giver is self.lamp:
            return self.lamp.width_of_words()
        metrics = giver.fontMetrics()
        return metrics.horizontalAdvance(words) - metrics.horizontalAdvance(left) + (0 if left else 4)

    def _least(self) -> int:
        return self._row.minimumSize().width() - sum(self._width_of(*giver) for giver in self._givers()[self._short :])

    def minimumSizeHint(self) -> QSize:
        return QSize(self._least(), self.height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        givers = self._givers()
        wide = [self._width_of(*giver) for giver in givers]
        needed, short = self._least() + sum(wide), 0
        while short < len(givers) and needed > self.width():
            needed -= wide[short]
            short += 1
        self._short = short
        self._put()

    def _put(self) -> None:
        for place, (one, words, left) in enumerate(self._givers()):
            text = left if place < self._short else words
            if isinstance(one, QLabel):
                one.setVisible(place >= self._short)
            elif one is self.lamp:
                self.lamp.set_short(place < self._short)
            elif isinstance(one, QAbstractButton) and one.text() != text:
                one.setText(text)

    def add_desks(self, switcher: QWidget) -> None:
        """Put the button of the desks beside the connection."""
        self._row.insertWidget(self._desk_place, switcher)
        QWidget.setTabOrder(self.providers, switcher)
        self._fit()

    def _on_keys(self) -> None:
        commands = self._commands
        for button, command_id in self._tips.items():
            action = commands[command_id]
            tip = commands.tip(command_id, action.text().replace("&", ""))
            button.setToolTip(str(action.property("why_not") or tip))
        self.appearance.setToolTip(commands.tip("view.appearance", "Switch light and dark"))
        shown = commands.tip("mission.attention", "Show what needs you")
        self.attention.setToolTip(f"{shown}; {commands.tip('mission.next_attention', 'go to the next one')}")

    def _on_actions(self) -> None:
        for button, command_id in ((self.kill_all, "mission.kill_all"), (self.new_agent, "mission.new_agent")):
            button.setEnabled(self._commands[command_id].isEnabled())
        self._on_keys()

    def _on_provider(self, _name: str) -> None:
        self.lamp.refresh()
        self.providers.refresh()

    def _on_sessions(self, _ids: list[str]) -> None:
        self.refresh()

    def set_connection(self, view: ConnectionView) -> None:
        """Show how the connection is."""
        self._link = view.text
        self._put()
        self.connection.setToolTip(view.detail)
        self.connection.setAccessibleName(f"Connection: {view.text}. {view.detail}")
        self.lamp.set_connected(view.connected)
        self._dot.level = view.level
        self._fit()
        self._dot.update()

    def refresh(self) -> None:
        """Take the numbers from the store."""
        self.counts.set_counts(dict(self._store.counts))
        self.demo.setVisible(self._store.demo_count > 0)
        needed = self._queue.count
        look = (needed, self._store.demo_count > 0, theme.current())
        if look == self._shown:
            return
        self._shown = look
        self._needs = f"{needed} {'needs' if needed == 1 else 'need'} you" if needed else "Nothing needs you"
        self._put()
        self.attention.setAccessibleName(self._needs)
        wanted = "attention" if needed else "quiet"
        if self.attention.property("kind") != wanted:
            self.attention.setProperty("kind", wanted)
            self.attention.style().unpolish(self.attention)
            self.attention.style().polish(self.attention)
        self.attention.setIcon(icons.icon("attention", theme.current().attention) if needed else theme.level_icon("ok"))
        self._fit()

    def _on_theme(self) -> None:
        look = theme.current()
        self.appearance.setIcon(icons.icon("appearance"))
        self.new_agent.setIcon(icons.icon("plus", look.on_accent))
        self.audit.setIcon(icons.icon("audit"))
        self.kill_all.setIcon(icons.icon("kill", look.error))
        self.refresh()
        self._fit()
