"""Asks for the reason of a kill. Never executed, never modal: everything else goes on meanwhile."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from mission_control_desktop.domain.limits import MAX_REASON_CHARS
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.dialogs.fitting import FittingDialog


class KillDialog(FittingDialog):
    """Which session, what it means, and why. Enter does not kill while the reason is empty."""

    confirmed = Signal(str)

    def __init__(self, session: AgentSession, sub_agents: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Kill session")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowModality(Qt.WindowModality.NonModal)
        title = QLabel(f"Kill “{words.name(session)}”?")
        title.setTextFormat(Qt.TextFormat.PlainText)
        title.setWordWrap(True)
        title.setProperty("tone", "heading")
        below = f" and {words.plural(sub_agents, 'agent')} below it" if sub_agents else ""
        what = QLabel(f"Ends the agent{below} now, with all processes. This cannot be undone.")
        what.setWordWrap(True)
        self._reason = QLineEdit()
        self._reason.setMaxLength(MAX_REASON_CHARS)
        self._reason.setPlaceholderText("Why? This goes into the audit log")
        self._reason.setAccessibleName("Reason")
        self._reason.textChanged.connect(self._on_text)
        self._reason.returnPressed.connect(self._on_confirm)
        self._kill = QPushButton("Kill")
        self._kill.setProperty("kind", "danger")
        self._kill.setEnabled(False)
        self._kill.setAutoDefault(False)
        self._kill.clicked.connect(self._on_confirm)
        cancel = QPushButton("Cancel")
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.reject)
        buttons = QHBoxLayout()
        buttons.addWidget(cancel)
        buttons.addStretch(1)
        buttons.addWidget(self._kill)
        column = QVBoxLayout(self)
        column.setContentsMargins(*(theme.metrics.gap_large,) * 4)
        column.setSpacing(theme.metrics.gap)
        column.addWidget(title)
        column.addWidget(what)
        column.addWidget(self._reason)
        column.addSpacing(theme.metrics.gap)
        column.addLayout(buttons)
        self.setMinimumWidth(380)
        self._reason.setFocus(Qt.FocusReason.OtherFocusReason)

    @property
    def reason_input(self) -> QLineEdit:
        return self._reason

    @property
    def kill_button(self) -> QPushButton:
        return self._kill

    def _on_text(self, text: str) -> None:
        self._kill.setEnabled(bool(text.strip()))

    def _on_confirm(self) -> None:
        if reason := self._reason.text().strip():
            self.confirmed.emit(reason)
            self.accept()
