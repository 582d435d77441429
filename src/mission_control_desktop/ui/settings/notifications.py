"""What the desktop tells a person about, and when it is quiet. Every choice takes effect at once."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QTime, Signal
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QTimeEdit, QWidget

from mission_control_desktop.ui.notifications.rules import NewsCause, Rules
from mission_control_desktop.ui.once import OnceButton
from mission_control_desktop.ui.settings.page import SettingsPage

_WORDS = {
    NewsCause.APPROVAL: "An agent needs an approval",
    NewsCause.QUESTION: "An agent asks a question",
    NewsCause.UNREACHABLE: "An agent or its provider cannot be reached",
    NewsCause.STALLED: "An agent gives no sign of life",
    NewsCause.FAILED: "An agent has failed",
    NewsCause.STOPPED: "Kill All has ended",
    NewsCause.AWAY: "A control plane is away",
}


class NotificationsPage(SettingsPage):
    key, title = "notifications", "Notifications"

    chosen = Signal(object)
    """The `Rules` as they are now."""
    try_requested = Signal()

    def __init__(self, rules: Rules, *, how: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rules = rules
        self.on = QCheckBox("&Notify me on the desktop")
        self.on.setObjectName("notify.on")
        self.on.setChecked(rules.on)
        self.column.addWidget(self.on)
        about = QLabel("What comes within a moment of each other is told as one; a click brings the session up.")
        about.setProperty("tone", "muted")
        about.setWordWrap(True)
        self.column.addWidget(about)
        grid = QGridLayout()
        self.column.addLayout(grid)
        grid.setContentsMargins(22, 4, 0, 4)
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(8)
        self.causes: dict[NewsCause, QCheckBox] = {}
        for number, (cause, text) in enumerate(_WORDS.items()):
            box = QCheckBox(text)
            box.setObjectName(f"notify.{cause.value}")
            box.setChecked(cause in rules.causes)
            box.toggled.connect(self._on_changed)
            grid.addWidget(box, number // 2, number % 2)
            self.causes[cause] = box
        grid.setColumnStretch(2, 1)
        self.content = QCheckBox("Show &what an agent asks or says in the notification")
        self.content.setObjectName("notify.content")
        self.content.setToolTip("Others may see a notification, and the desktop keeps it. Names are always shown.")
        self.content.setChecked(rules.content)
        self.column.addWidget(self.content)
        self.quiet = QCheckBox("&Quiet hours, by this computer's time")
        self.quiet.setObjectName("notify.quiet")
        self.quiet.setChecked(rules.quiet)
        self.begin = _time("Quiet from", rules.quiet_from)
        self.end = _time("Quiet until", rules.quiet_to)
        line = QHBoxLayout()
        self.column.addLayout(line)
        line.setSpacing(8)
        for one in (self.quiet, QLabel("from"), self.begin, QLabel("to"), self.end):
            line.addWidget(one)
        line.addStretch(1)
        after = QLabel("What is still open at their end is told then. The window and the tray show it all the time.")
        after.setProperty("tone", "muted")
        after.setWordWrap(True)
        self.column.addWidget(after)
        self.attempt = OnceButton("&Try it")
        self.attempt.setObjectName("notify.try")
        self.attempt.setToolTip("Show a notification now")
        self.attempt.clicked.connect(self.try_requested)
        self.how = QLabel(how)
        self.how.setProperty("tone", "muted")
        self.how.setWordWrap(True)
        self.column.addSpacing(8)
        foot = QHBoxLayout()
        self.column.addLayout(foot)
        foot.setSpacing(12)
        foot.addWidget(self.attempt)
        foot.addWidget(self.how, 1)
        self.column.addStretch(1)
        for toggle in (self.on, self.content, self.quiet):
            toggle.toggled.connect(self._on_changed)
        for edit in (self.begin, self.end):
            edit.timeChanged.connect(self._on_changed)
        self._level()

    def _on_changed(self) -> None:
        self.rules = replace(
            self.rules,
            on=self.on.isChecked(),
            causes=frozenset(cause for cause, box in self.causes.items() if box.isChecked()),
            quiet=self.quiet.isChecked(),
            quiet_from=_minutes(self.begin),
            quiet_to=_minutes(self.end),
            content=self.content.isChecked(),
        )
        self._level()
        self.chosen.emit(self.rules)

    def _level(self) -> None:
        for one in (*self.causes.values(), self.content, self.quiet, self.attempt):
            one.setEnabled(self.rules.on)
        for edit in (self.begin, self.end):
            edit.setEnabled(self.rules.on and self.rules.quiet)


def _time(name: str, minutes: int) -> QTimeEdit:
    edit = QTimeEdit(QTime(minutes // 60, minutes % 60))
    edit.setDisplayFormat("HH:mm")
    edit.setAccessibleName(name)
    return edit


def _minutes(edit: QTimeEdit) -> int:
    return edit.time().hour() * 60 + edit.time().minute()
