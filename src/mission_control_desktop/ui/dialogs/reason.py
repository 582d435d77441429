"""Asks before a session is terminated or killed."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.domain.limits import MAX_REASON_CHARS
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.dialogs.fitting import FittingDialog
from mission_control_desktop.ui.panel.wording import ending_means

_LISTED = 12


def affected_text(session: AgentSession, below: Sequence[AgentSession]) -> str:
    """What the stop hits, in words: the session and the live ones under it."""
    live = [s for s in below if not s.status.final]
    lines = [f"{words.name(session)} ({theme.status_text(session)})"]
    lines += [f"  {words.name(s)} ({theme.status_text(s)})" for s in live[:_LISTED]]
    if len(live) > _LISTED:
        lines.append(f"  and {len(live) - _LISTED} more")
    return "\n".join(lines)


class ReasonDialog(FittingDialog):
    """Kill needs a reason; terminate offers one. The button that acts is never the default one, and Return presses
    nothing."""

    confirmed = Signal(str)

    def __init__(
        self, session: AgentSession, below: Sequence[AgentSession], *, kill: bool, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._kill = kill
        verb = "Kill" if kill else "Terminate"
        self.setObjectName("dialog.kill" if kill else "dialog.terminate")
        self.setWindowTitle(f"{verb} {words.name(session)}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(480)
        live = [s for s in below if not s.status.final]
        tail = f" and {words.plural(len(live), 'agent')} below it" if live else ""
        title = QLabel(f"{verb} “{words.name(session)}”{tail}")
        title.setTextFormat(Qt.TextFormat.PlainText)
        title.setProperty("tone", "heading")
        title.setWordWrap(True)
        means = ending_means(kill=kill)
        milder = " To let it finish its step, use Terminate instead." if kill else ""
        what = QLabel(f"{means[0].upper()}{means[1:]}.{milder}")
        what.setWordWrap(True)
        hit = QPlainTextEdit(affected_text(session, below))
        hit.setReadOnly(True)
        hit.setAccessibleName("What will be ended")
        hit.setTabChangesFocus(True)
        hit.setFixedHeight(min(160, 30 + 18 * (1 + min(_LISTED + 1, len(live)))))
        self.reason = QLineEdit()
        self.reason.setObjectName("reason")
        self.reason.setMaxLength(MAX_REASON_CHARS)
        self.reason.setPlaceholderText("Why? It goes into the audit log.")
        self.reason.setAccessibleName("Reason")
        self.act = QPushButton(verb)
        self.act.setObjectName("act")
        if kill:
            self.act.setProperty("kind", "danger")
        self.act.setAutoDefault(False)
        self.cancel = QPushButton("Cancel")
        self.cancel.setAutoDefault(False)
        self.cancel.clicked.connect(self.reject)
        self.act.clicked.connect(self._on_act)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        label = QLabel("&Reason" if kill else "&Reason (optional)")
        label.setBuddy(self.reason)
        for widget in (title, what, hit, label, self.reason):
            layout.addWidget(widget)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        buttons.addWidget(self.cancel)
        buttons.addStretch(1)
        buttons.addWidget(self.act)
        self.reason.textChanged.connect(lambda _text: self._refresh())
        self._refresh()
        self.reason.setFocus()

    def _refresh(self) -> None:
        ready = bool(self.reason.text().strip()) or not self._kill
        self.act.setEnabled(ready)
        self.act.setToolTip("" if ready else "Needs a reason")

    def _on_act(self) -> None:
        self.confirmed.emit(self.reason.text().strip())
        self.accept()
