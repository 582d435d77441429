"""What can be done to the selected sessions: shown below the roster while several are selected."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout

from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.ui import icons

_BUTTONS = (
    ("panels", "Panels", "Open each as a panel (Enter)"),
    ("message", "Message…", "One message to all of them (Ctrl+Shift+M)"),
    ("pause", "Pause", "Pause those that can be paused"),
    ("resume", "Resume", "Resume those that are paused"),
    ("terminate", "Terminate…", "Ask them to end (asks first)"),
    ("kill", "Kill…", "End them at once, with everything below (asks for a reason)"),
)


class SelectionBar(QFrame):
    """Says how many are selected; a button is off where it would hit none, and says why. Kill stands alone."""

    acted = Signal(str)
    """One of the actions of `SeveralFlow.act`."""
    cleared = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("roster.selection")
        self.setProperty("surface", "card")
        self.setAccessibleName("Selected sessions")
        self._why_not: Callable[[str], str] = lambda _session_id: ""
        self._sessions: Sequence[AgentSession] = ()
        self.count = QLabel()
        self.count.setProperty("tone", "heading")
        clear = QToolButton()
        clear.setObjectName("roster.selection.clear")
        clear.setProperty("kind", "quiet")
        clear.setToolTip("Select one again (Esc)")
        clear.setAccessibleName("Clear the selection")
        icons.bind(clear, "close")
        clear.clicked.connect(self.cleared)
        self.buttons: dict[str, QPushButton] = {}
        for name, text, _tip in _BUTTONS:
            button = QPushButton(text)
            button.setObjectName(f"roster.selection.{name}")
            button.setAutoDefault(False)
            button.clicked.connect(lambda _on=False, name=name: self.acted.emit(name))
            self.buttons[name] = button
        self.buttons["kill"].setProperty("kind", "danger")
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 6, 10, 8)
        column.setSpacing(6)
        head = QHBoxLayout()
        column.addLayout(head)
        head.addWidget(self.count, 1)
        head.addWidget(clear)
        grid = QGridLayout()
        column.addLayout(grid)
        grid.setSpacing(6)
        for place, name in enumerate(("panels", "message", "terminate", "pause", "resume")):
            grid.addWidget(self.buttons[name], place // 3, place % 3)
        column.addSpacing(10)
        foot = QHBoxLayout()
        column.addLayout(foot)
        foot.addStretch(1)
        foot.addWidget(self.buttons["kill"])
        self.hide()

    def set_may_act(self, why_not: Callable[[str], str]) -> None:
        """`why_not` tells of a session id why nothing can be done to it; empty if it can."""
        self._why_not = why_not
        self._refresh()

    def show_sessions(self, sessions: Sequence[AgentSession]) -> None:
        """These are selected; the bar is seen for more than one."""
        self._sessions = sessions
        self.setVisible(len(sessions) > 1)
        if len(sessions) > 1:
            self._refresh()

    def _refresh(self) -> None:
        live = [s for s in self._sessions if not s.status.final]
        self.count.setText(f"{len(self._sessions):,} selected, {len(live):,} live")
        barred = [why for s in live if (why := self._why_not(s.session_id))]
        live = [s for s in live if not self._why_not(s.session_id)]
        paused = [s for s in live if s.status is SessionStatus.PAUSED or s.metadata.get("pausing")]
        reasons = {
            "panels": "",
            "message": "" if any(s.capabilities.inject for s in live) else "None of them takes messages",
            "pause": "" if any(s.capabilities.pause for s in live if s not in paused) else "None of them can be paused",
            "resume": "" if paused else "None of them is paused",
            "terminate": "" if any(s.capabilities.terminate for s in live) else "None of them can be terminated",
            "kill": "" if any(s.capabilities.kill for s in live) else "None of them can be killed",
        }
        for name, _text, tip in _BUTTONS:
            why = barred[0] if barred and not live and name != "panels" else reasons[name]
            self.buttons[name].setEnabled(not why)
            self.buttons[name].setToolTip(why or tip)
