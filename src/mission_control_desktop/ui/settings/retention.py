"""How long the workspace keeps what agents said. An admin chooses; everybody sees it."""

from __future__ import annotations

import asyncio
from typing import Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSpinBox, QWidget

from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.limits import RETENTION_DAYS_MAX
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.retention import Workspace
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import times, words
from mission_control_desktop.ui.error_words import told, unread
from mission_control_desktop.ui.once import OnceButton
from mission_control_desktop.ui.ports import Gateway
from mission_control_desktop.ui.settings.page import PlanePage

ABOUT = (
    "Messages, receipts and questions that are older, and the files of sessions that ended before, are removed once a "
    "day and cannot be brought back. The audit log and the list of sessions stay."
)


def why_not(role: Role | None) -> str:
    """Why this role may not choose the period; empty if it may."""
    match role:
        case Role.ADMIN:
            return ""
        case None:
            return "The window is not connected: how long messages are kept is not known. Connect, then look again."
    return f"You are an {role.value}: how long messages are kept is an admin's choice. Ask one to change it."


class RetentionPage(PlanePage):
    key, title = "retention", "Retention"

    wanted = Signal()
    """The page is looked at: read what is chosen."""
    apply_requested = Signal(object)
    """Days, or None for the default period."""

    def __init__(self, role: Role | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._refused = why_not(role)
        self._workspace: Workspace | None = None
        self._busy = False
        about = _plain(ABOUT, "muted")
        self.default = QCheckBox("The &default period")
        self.default.setObjectName("retention.default")
        self.default.toggled.connect(self._level)
        self.days = QSpinBox()
        self.days.setObjectName("retention.days")
        self.days.setAccessibleName("Days that messages are kept")
        self.days.setRange(1, RETENTION_DAYS_MAX)
        self.days.setSuffix(" days")
        self.days.valueChanged.connect(self._level)
        self.warning = _plain("", "attention")
        self.apply = OnceButton("&Keep so")
        self.apply.setObjectName("retention.apply")
        self.apply.setProperty("kind", "primary")
        self.apply.clicked.connect(self._on_apply)
        self.last = _plain("", "muted")
        self.state = _plain("", "muted")
        self.column.addWidget(about)
        line = QHBoxLayout()
        self.column.addLayout(line)
        line.setSpacing(12)
        line.addWidget(QLabel("Keep messages for"))
        line.addWidget(self.days)
        line.addWidget(self.default)
        line.addStretch(1)
        self.column.addWidget(self.warning)
        foot = QHBoxLayout()
        self.column.addLayout(foot)
        foot.addWidget(self.apply)
        foot.addStretch(1)
        self.column.addWidget(self.state)
        self.column.addWidget(self.last)
        self.column.addStretch(1)
        self._say(self._refused or "Reading what is chosen…")
        self._level()

    def shown(self) -> None:
        self.wanted.emit()

    def show_workspace(self, workspace: Workspace) -> None:
        """What is in effect."""
        self._workspace, self._busy = workspace, False
        own = workspace.message_retention_days
        self.default.setText(f"The &default period ({words.plural(workspace.default_retention_days, 'day')})")
        self.default.setChecked(own is None)
        self.days.setValue(workspace.default_retention_days if own is None else own)
        run = workspace.last_retention
        if run is None:
            self.last.setText("Nothing has been removed so far.")
        else:
            gone = words.plural(run.messages, "message")
            self.last.setText(f"Last removed: {gone} from before {times.day(run.cutoff)}, on {times.day(run.at)}.")
        self._say(self._refused)
        self._level()

    def show_done(self, workspace: Workspace) -> None:
        """The choice was taken."""
        self.show_workspace(workspace)
        self._say("Kept so from now on. What is older goes with the next run.")

    def show_problem(self, text: str) -> None:
        """What went wrong, in whole words."""
        self._busy = False
        self._say(text, "error")
        self._level()

    @property
    def chosen(self) -> int | None:
        """Days, or None for the default period."""
        return None if self.default.isChecked() else self.days.value()

    def _on_apply(self) -> None:
        self._busy = True
        self._say("Asking the control plane…")
        self._level()
        self.apply_requested.emit(self.chosen)

    def _level(self) -> None:
        may = not self._refused and self._workspace is not None and not self._busy
        self.default.setEnabled(may)
        self.days.setEnabled(may and not self.default.isChecked())
        known = self._workspace
        self.apply.setEnabled(may and known is not None and self.chosen != known.message_retention_days)
        for field in (self.default, self.days):
            field.setToolTip(self._refused)
        self.apply.setToolTip(self._refused or "Takes effect with the next run")
        now = 0 if known is None else known.message_retention_days or known.default_retention_days
        then = 0 if known is None else self.chosen or known.default_retention_days
        self.warning.setText(
            f"This removes everything older than {words.plural(then, 'day')} for good; now it is kept for {now}."
            if then < now
            else ""
        )
        self.warning.setVisible(then < now)

    def _say(self, text: str, tone: str = "muted") -> None:
        self.state.setText(text)
        self.state.setVisible(bool(text))
        if self.state.property("tone") != tone:
            self.state.setProperty("tone", tone)
            self.state.style().unpolish(self.state)
            self.state.style().polish(self.state)


def _plain(text: str, tone: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setProperty("tone", tone)
    return label


class RetentionPresenter(QObject):
    """Reads and writes the period while its page is there."""

    def __init__(self, page: RetentionPage, gateway: Gateway, tasks: Tasks) -> None:
        super().__init__(page)
        self._page, self._gateway, self._tasks = page, gateway, tasks
        self._running: asyncio.Task[Any] | None = None
        self._gone = False
        page.wanted.connect(self._on_wanted)
        page.apply_requested.connect(self._on_apply)

    def close(self) -> None:
        """The page goes: what was asked for is carried out, nothing is shown of it."""
        self._gone = True

    def _on_wanted(self) -> None:
        if self._running is None or self._running.done():
            self._running = self._tasks.start(self._read(), name="read retention")

    def _on_apply(self, days: int | None) -> None:
        self._running = self._tasks.start(self._write(days), name="change retention")

    async def _read(self) -> None:
        try:
            found = await self._gateway.call(lambda mc: mc.workspace())
        except MissionControlError as error:
            if not self._gone:
                self._page.show_problem(f"{unread('What is chosen cannot be read', error)}\nTurn here again to retry.")
            return
        if not self._gone:
            self._page.show_workspace(found)

    async def _write(self, days: int | None) -> None:
        try:
            found = await self._gateway.call(lambda mc: mc.set_message_retention(days))
        except MissionControlError as error:
            if not self._gone:
                self._page.show_problem(told("The change was not taken", error))
            return
        if not self._gone:
            self._page.show_done(found)
