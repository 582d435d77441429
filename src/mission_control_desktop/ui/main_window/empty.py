"""What stands in the panels' place when none is open, and while the control plane starts."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget


class EmptyPanels(QFrame):
    """No panel is open: says how to open one."""

    new_agent_requested = Signal()
    arrange_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("surface", "window")
        self.setObjectName("empty")
        self._any: bool | None = None
        title = QLabel("No panel is open")
        title.setProperty("tone", "title")
        title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._text = QLabel()
        self._text.setProperty("tone", "muted")
        self._text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._text.setWordWrap(True)
        self.open_all = QPushButton("&Open the running ones")
        self.open_all.setProperty("kind", "primary")
        self.open_all.clicked.connect(self.arrange_requested)
        self.new = new = QPushButton("&New agent…")
        new.clicked.connect(self.new_agent_requested)
        layout = QVBoxLayout(self)
        layout.addStretch(2)
        layout.addWidget(title)
        layout.addWidget(self._text)
        layout.addSpacing(8)
        row = QHBoxLayout()
        layout.addLayout(row)
        row.addStretch(1)
        row.addWidget(self.open_all)
        row.addWidget(new)
        row.addStretch(1)
        layout.addStretch(3)
        self.set_live(0)

    def set_refusal(self, why: str) -> None:
        """Why the person may start none; empty if they may."""
        self.new.setEnabled(not why)
        self.new.setToolTip(why)

    def focus_first(self) -> None:
        """Put the focus on what leads on."""
        (self.new if self.open_all.isHidden() else self.open_all).setFocus(Qt.FocusReason.OtherFocusReason)

    def set_live(self, count: int) -> None:
        """How many sessions could be opened."""
        if self._any is bool(count):
            return
        self._any = bool(count)
        self.open_all.setVisible(self._any)
        self.new.setProperty("kind", None if count else "primary")
        self.new.style().unpolish(self.new)
        self.new.style().polish(self.new)
        self._text.setText(
            "Double-click a session in the roster, or press Enter on it. Closing a panel ended nothing."
            if count
            else "Sessions that have ended are in the roster; Enter opens their transcript."
        )


class Starting(QFrame):
    """While the control plane is looked for or started; then what went wrong, and what can be done."""

    retry_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("surface", "window")
        self.setObjectName("starting")
        self.title = QLabel("Starting")
        self.title.setProperty("tone", "title")
        self.title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text = QLabel()
        self.text.setProperty("tone", "muted")
        self.text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Looking for the control plane")
        self.progress.setRange(0, 0)
        self.progress.setTextVisible(False)
        self.progress.setFixedWidth(320)
        self.progress.setFixedHeight(6)
        self.retry = QPushButton("&Try again")
        self.retry.setProperty("kind", "primary")
        self.retry.clicked.connect(self.retry_requested)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(48, 24, 48, 24)
        layout.setSpacing(12)
        layout.addStretch(2)
        layout.addWidget(self.title)
        layout.addWidget(self.text)
        layout.addWidget(self.progress, 0, Qt.AlignmentFlag.AlignCenter)
        layout.addWidget(self.retry, 0, Qt.AlignmentFlag.AlignCenter)
        layout.addStretch(3)
        self.show_progress("Looking for the control plane on this computer…")

    def show_progress(self, text: str) -> None:
        """Something is under way."""
        self.title.setText("Starting")
        self.text.setText(text)
        self.progress.show()
        self.retry.hide()

    def show_problem(self, text: str) -> None:
        """It did not work."""
        self.title.setText("Not connected")
        self.text.setText(text)
        self.progress.hide()
        self.retry.show()
