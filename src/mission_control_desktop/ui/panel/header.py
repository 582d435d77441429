"""The top of a panel: what the session is, how it stands and how sure we are, and what can be done to it."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, WaitingFor
from mission_control_desktop.ui import theme, times, words
from mission_control_desktop.ui.icons import icon
from mission_control_desktop.ui.panel.elided import ElidedLabel
from mission_control_desktop.ui.panel.focus import Ringed
from mission_control_desktop.ui.panel.wording import (
    FREEZE,
    HOLD,
    Possible,
    State,
    ending_possible,
    pause_name,
    pausing_possible,
    resuming_possible,
)
from mission_control_desktop.ui.roles import ONLY_WATCHES


class StatusShape(QWidget):
    """The status's shape, painted."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self._status = SessionStatus.SPAWNING
        self._waiting_for: WaitingFor | None = None
        super().__init__(parent)
        self.setFixedSize(16, 16)

    def set_status(self, status: SessionStatus, waiting_for: WaitingFor | None) -> None:
        if (status, waiting_for) != (self._status, self._waiting_for):
            self._status, self._waiting_for = status, waiting_for
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        theme.paint_status(painter, QRectF(self.rect()), self._status, self._waiting_for)


class PanelHeader(Ringed, QFrame):
    """Shows a session; its buttons only say what was asked for. It has the focus itself when a part of the panel that
    had it went out of use."""

    input_toggled = Signal(bool)
    pause_wanted = Signal(str)
    resume_wanted = Signal()
    terminate_wanted = Signal()
    kill_wanted = Signal()
    menu_about_to_show = Signal(object)
    """The panel's QMenu: who embeds the panel may add to it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: AgentSession | None = None
        self._may_act, self._why_not = True, ""
        self._busy: set[str] = set()
        self._sub_agents = 0
        self._is_demo = self._tight = False
        self._controls = QWidget(self)
        self._shape = StatusShape()
        self._status = ElidedLabel()
        theme.keep_font(self._status, bold=True)
        self._evidence = ElidedLabel(least=30)
        self._evidence.setProperty("tone", "attention")
        self._provider = ElidedLabel(least=36)
        self._provider.setProperty("tone", "badge")
        self._provider.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._demo = QLabel("DEMO")
        self._demo.setProperty("tone", "demo")
        self._demo.setToolTip("This session belongs to the demo mission: no model is asked, nothing real is changed")
        self._below = QLabel()
        self._below.setProperty("tone", "small")
        self._elapsed = QLabel()
        self._elapsed.setProperty("tone", "small")
        self._elapsed.setToolTip("Time since the session started")
        self._title = ElidedLabel(least=40)
        theme.keep_font(self._title, "text_large", bold=True)
        self._input = self._button("inject", "Message to the agent")
        self._input.setCheckable(True)
        self._input.toggled.connect(self.input_toggled)
        self._pause = self._button("pause", "Pause")
        self._pause.clicked.connect(self._on_pause_clicked)
        self._levels = QMenu(self._pause)
        self._levels.setToolTipsVisible(True)
        self._freeze = self._levels.addAction("")
        self._freeze.triggered.connect(self._on_freeze)
        self._hold = self._levels.addAction("")
        self._hold.triggered.connect(self._on_hold)
        self._resume = self._levels.addAction("Resume")
        self._resume.triggered.connect(self.resume_wanted)
        self._pause.setMenu(self._levels)
        self._pause.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._resume_button = self._button("resume", "Resume")
        self._resume_button.clicked.connect(self.resume_wanted)
        self._terminate = self._button("terminate", "Terminate")
        self._terminate.clicked.connect(self.terminate_wanted)
        self._kill = self._button("kill", "Kill")
        self._kill.setProperty("danger", "true")
        self._kill.clicked.connect(self.kill_wanted)
        self._more = self._button("menu", "More")
        self._menu = QMenu(self._more)
        self._menu.aboutToShow.connect(self._on_menu)
        self._more.setMenu(self._menu)
        self._more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._lay_out()
        theme.signals.theme_changed.connect(self._on_theme_changed)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        theme.keep(column, _distances)
        column.setSpacing(2)
        self._first, self._second = first, second = QHBoxLayout(), QHBoxLayout()
        column.addLayout(first)
        first.setSpacing(6)
        first.addWidget(self._shape)
        first.addWidget(self._status)
        first.addWidget(self._evidence)
        first.addStretch(1)
        first.addWidget(self._provider)
        first.addWidget(self._demo, 0, Qt.AlignmentFlag.AlignVCenter)
        first.addWidget(self._below)
        first.addWidget(self._elapsed)
        row = QHBoxLayout(self._controls)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self._input)
        row.addWidget(self._pause)
        row.addWidget(self._resume_button)
        row.addWidget(self._more)
        # What ends an agent stands apart from what does not.
        row.addSpacing(16)
        row.addWidget(self._terminate)
        row.addSpacing(6)
        row.addWidget(self._kill)
        column.addLayout(second)
        second.setSpacing(0)
        second.addWidget(self._title, 1)
        second.addWidget(self._controls)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def set_tight(self, tight: bool) -> None:
        """In a low panel one row is enough: the title stands in the tab above it, the rest in the roster."""
        if tight == self._tight:
            return
        self._tight = tight
        self._title.setVisible(not tight)
        (self._first if tight else self._second).addWidget(self._controls)
        self._make_room()

    def set_may_act(self, may_act: bool, why: str = ONLY_WATCHES) -> None:
        """Observers see the controls disabled, with the reason."""
        self._may_act, self._why_not = may_act, why
        self._update_controls()

    def set_session(self, session: AgentSession) -> None:
        self._session = session
        self._shape.set_status(session.status, session.waiting_for)
        self._title.setText(words.name(session))
        about = [f"Session {session.session_id}"]
        about += [f"Agent: {session.agent_type}"] if session.agent_type else []
        about += [f"Task: {session.task_id}"] if session.task_id else []
        about += [f"Mission: {session.mission_id}"] if session.mission_id else []
        self._title.set_tip("\n".join(about))
        self._provider.setText(session.provider)
        self._provider.set_tip(f"Provider {session.provider}")
        self._is_demo = words.is_demo(session)
        self._demo.setVisible(self._is_demo)
        self._update_controls()

    def set_state(self, state: State, now: datetime) -> None:
        """How it stands, in words, and how long it has run."""
        session = self._session
        if session is None:
            return
        if self._status.text() != state.words:
            self._status.setText(state.words)
            self._status.set_brief(state.brief)
            self._shape.setAccessibleName(state.words)
        if self._evidence.text() != state.evidence:
            self._evidence.setText(state.evidence)
        self._evidence.setVisible(bool(state.evidence))
        self._make_room()
        self._status.set_tip(_status_tip(session))
        elapsed = words.elapsed(session, now)
        if self._elapsed.text() != elapsed:
            self._elapsed.setText(elapsed)

    def set_sub_agents(self, count: int) -> None:
        self._below.setText(f"{count} below" if count else "")
        self._sub_agents = count
        self._make_room()
        self._below.setToolTip(f"{words.plural(count, 'agent')} below this one")

    def set_input_shown(self, shown: bool) -> None:
        self._input.blockSignals(True)
        self._input.setChecked(shown)
        self._input.blockSignals(False)

    def set_busy(self, action: str, busy: bool) -> None:
        """An action is under way: its button says so and cannot be pressed again."""
        (self._busy.add if busy else self._busy.discard)(action)
        self._update_controls()

    @property
    def kill_button(self) -> QToolButton:
        return self._kill

    @property
    def terminate_button(self) -> QToolButton:
        return self._terminate

    @property
    def pause_button(self) -> QToolButton:
        return self._pause

    @property
    def resume_button(self) -> QToolButton:
        return self._resume_button

    @property
    def input_button(self) -> QToolButton:
        return self._input

    @property
    def status_label(self) -> ElidedLabel:
        return self._status

    @property
    def evidence_label(self) -> ElidedLabel:
        return self._evidence

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._make_room()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _button(self, name: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setObjectName(name)
        button.setProperty("kind", "quiet")
        button.setProperty("iconName", name)
        button.setIcon(icon(name))
        button.setIconSize(QSize(16, 16))
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        return button

    def _make_room(self) -> None:
        """In a narrow panel, how sure we are comes before where the session runs and how many are below it."""
        left = self.width() - 2 * theme.metrics.margin - 16 - self._status.sizeHint().width() - 7 * 6
        if not self._evidence.isHidden():
            left -= self._evidence.sizeHint().width()
        if self._tight:
            left -= self._controls.sizeHint().width()
        for one, wanted, least, gives_way in (
            (self._demo, self._is_demo, None, self._tight),
            (self._elapsed, True, None, self._tight),
            (self._below, bool(self._sub_agents), None, True),
            (self._provider, True, 70, True),
        ):
            width = one.sizeHint().width()
            shown = wanted and (not gives_way or left >= min(width, least or width))
            left -= width if shown else 0
            if one.isHidden() == shown:
                one.setVisible(shown)

    def _update_controls(self) -> None:
        session = self._session
        if session is None:
            return
        freeze, hold = pausing_possible(session, FREEZE), pausing_possible(session, HOLD)
        resume = resuming_possible(session)
        paused = resume.can
        self._freeze.setText(pause_name(session, FREEZE))
        self._hold.setText(pause_name(session, HOLD))
        for action, possible in ((self._freeze, freeze), (self._hold, hold), (self._resume, resume)):
            action.setEnabled(self._allowed(possible, "pause", "resume"))
            action.setToolTip(self._reason(possible))
        self._resume.setVisible(paused)
        self._pause.setVisible(not paused)
        self._resume_button.setVisible(paused)
        either = freeze if freeze.can else hold
        self._enable(self._pause, "Pause", either, "pause", f"{pause_name(session, FREEZE)} or hold at the next step")
        self._enable(self._resume_button, "Resume", resume, "resume", resume.words)
        terminate, kill = ending_possible(session, "terminate"), ending_possible(session, "kill")
        self._enable(self._terminate, "Terminate", terminate, "terminate", terminate.words)
        self._enable(self._kill, "Kill", kill, "kill", kill.words)

    def _enable(self, button: QToolButton, name: str, possible: Possible, action: str, words_if_can: str) -> None:
        busy = action in self._busy
        button.setEnabled(self._allowed(possible, action))
        tip = (
            f"{name}: under way…"
            if busy
            else words_if_can
            if possible.can and self._may_act
            else self._reason(possible)
        )
        button.setToolTip(tip)
        button.setAccessibleName(name)
        button.setAccessibleDescription(tip)

    def _allowed(self, possible: Possible, *actions: str) -> bool:
        return possible.can and self._may_act and not self._busy.intersection(actions)

    def _reason(self, possible: Possible) -> str:
        return possible.words if self._may_act else self._why_not

    def _on_pause_clicked(self) -> None:
        self._pause.showMenu()

    def _on_freeze(self) -> None:
        self.pause_wanted.emit(FREEZE)

    def _on_hold(self) -> None:
        self.pause_wanted.emit(HOLD)

    def _on_menu(self) -> None:
        self._menu.clear()
        self.menu_about_to_show.emit(self._menu)

    def _on_theme_changed(self) -> None:
        for button in self.findChildren(QToolButton):
            if name := button.property("iconName"):
                button.setIcon(icon(str(name)))


def _distances(column: QVBoxLayout) -> None:
    gap = theme.metrics.gap
    column.setContentsMargins(theme.metrics.margin + 3, gap, gap, max(3, gap - 2))


def _status_tip(session: AgentSession) -> str:
    lines = [f"From {session.evidence.source}, {times.wall(session.evidence.last_event_at)}"]
    if session.error:
        lines.append(session.error)
    return "\n".join(lines)
