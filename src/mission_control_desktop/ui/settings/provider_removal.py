"""Asks before a provider is removed, and says what remains."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from mission_control_desktop.domain.providers import ProviderView
from mission_control_desktop.ui import words
from mission_control_desktop.ui.dialogs.fitting import FittingDialog
from mission_control_desktop.ui.once import OnceButton


class ProviderRemoval(FittingDialog):
    """The button that acts is never the default one."""

    confirmed = Signal()

    def __init__(self, view: ProviderView, known: int, live: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("dialog.provider_removal")
        self.setWindowTitle(f"Remove {view.name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(520)
        title = QLabel(f"Remove the provider {view.name}?")
        title.setProperty("tone", "heading")
        sessions = f"Its {words.plural(known, 'session')}" if known else "Sessions that it had"
        self.what = QLabel(
            f"Forgotten: its address{' and its sealed credentials' if view.has_credentials else ''}. They cannot be "
            "brought back; to use it again, register it again.\n\n"
            f"Stays on record: {sessions[0].lower()}{sessions[1:]} with all messages (readable, as long as messages "
            "are kept here), and every row of the audit log.\n\n"
            + (
                f"Nothing is stopped: {words.plural(live, 'live session goes', 'live sessions go')} on there, and can "
                "no longer be watched or stopped from here. To stop them, use Kill All with this provider as its scope "
                "first."
                if live
                else "Nothing is stopped: what runs there goes on, and can no longer be stopped from here."
            )
            + "\n\nTo do without it for a while, disable it instead."
        )
        self.what.setWordWrap(True)
        self.error = QLabel()
        self.error.setProperty("tone", "error")
        self.error.setWordWrap(True)
        self.error.hide()
        self.cancel = QPushButton("Cancel")
        self.cancel.setAutoDefault(False)
        self.cancel.clicked.connect(self.reject)
        self.act = OnceButton("&Remove")
        self.act.setObjectName("removal.act")
        self.act.setProperty("kind", "danger")
        self.act.clicked.connect(self._on_act)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        for widget in (title, self.what, self.error):
            layout.addWidget(widget)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        buttons.addWidget(self.cancel)
        buttons.addStretch(1)
        buttons.addWidget(self.act)
        self.cancel.setFocus()

    def _on_act(self) -> None:
        self.act.setEnabled(False)
        self.error.hide()
        self.confirmed.emit()

    def failed(self, message: str) -> None:
        """It was not removed."""
        self.act.setEnabled(True)
        self.error.setText(message)
        self.error.show()
