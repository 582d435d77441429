"""One provider at length: how its connection is, and the stages of its check with what leads to the mend."""

from __future__ import annotations

import re
from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from mission_control_desktop.domain.providers import CheckReport, CheckStage, StageName, StageState
from mission_control_desktop.ui import theme, times
from mission_control_desktop.ui.once import OnceButton
from mission_control_desktop.ui.provider_words import ProviderLook

STAGE_WORDS = {
    StageName.REACHABLE: "Reachable",
    StageName.PROTOCOL: "Protocol",
    StageName.AUTHENTICATED: "Authenticated",
    StageName.SCOPES: "Scopes",
    StageName.SESSIONS: "Sessions seen",
}
CANCELLED = "The check was cancelled."
_STATES = {
    StageState.OK: ("ok", "ok"),
    StageState.FAILED: ("error", "failed"),
    StageState.SKIPPED: ("none", "not tried"),
}
_COPIED_MS = 2_000
_QUOTED = re.compile(r"`([^`]+)`")
_COMMAND = re.compile(r"[a-z][a-z0-9-]+ [a-z]")


def commands_in(text: str) -> list[str]:
    """The commands that a text tells a person to run: what stands in backquotes and is a program with a verb."""
    return list(dict.fromkeys(found for found in _QUOTED.findall(text) if _COMMAND.match(found)))


class CommandLine(QWidget):
    """A command to be copied."""

    def __init__(self, command: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = QLineEdit(command)
        self.line.setReadOnly(True)
        theme.keep_font(self.line, mono=True)
        self.line.setCursorPosition(0)
        self.line.setAccessibleName("Command to run")
        self.copy = OnceButton("Copy")
        self.copy.setAccessibleName(f"Copy the command {command}")
        self.copy.clicked.connect(self._on_copy)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 2)
        layout.addWidget(self.line, 1)
        layout.addWidget(self.copy)

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self.line.text())
        self.copy.setText("Copied")
        QTimer.singleShot(_COPIED_MS, self.copy, lambda: self.copy.setText("Copy"))


class _Commands:
    """Commands to be copied, below each other in a `layout`."""

    def __init__(self) -> None:
        self.layout = QVBoxLayout()
        self._lines: list[CommandLine] = []

    def show(self, commands: list[str]) -> None:
        """Exactly these stand there."""
        if [one.line.text() for one in self._lines] == commands:
            return
        for one in self._lines:
            self.layout.removeWidget(one)
            one.hide()
            one.deleteLater()
        self._lines = [CommandLine(command) for command in commands]
        for one in self._lines:
            self.layout.addWidget(one)
            one.show()


class _Shape(QLabel):
    """The icon of a level, in the theme's colours."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._level = "none"
        self.setFixedWidth(18)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setContentsMargins(0, 2, 0, 0)
        theme.signals.theme_changed.connect(self._draw)

    def set_level(self, level: str) -> None:
        self._level = level
        self._draw()

    def _draw(self) -> None:
        self.setPixmap(theme.level_icon(self._level).pixmap(14, 14))


class CheckView(QFrame):
    """`cancel_requested`: the person does not want to wait for the check that is under way."""

    cancel_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("providers.detail")
        self._shape = _Shape()
        self.state = _words("providers.state")
        self.state.setProperty("tone", "heading")
        self.why = _words("providers.why")
        self._why_commands = _Commands()
        self.heading = _words("providers.check")
        self.heading.setProperty("tone", "heading")
        self.cancel = OnceButton("Cance&l the check")
        self.cancel.setObjectName("providers.cancel_check")
        self.cancel.clicked.connect(self.cancel_requested)
        self.cancel.hide()
        self.rows: dict[StageName, tuple[_Shape, QLabel, QLabel, _Commands]] = {}
        self._stages = QWidget()
        self._grid = QGridLayout(self._stages)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(6)
        self._grid.setColumnMinimumWidth(1, 116)
        self._grid.setColumnMinimumWidth(2, 84)
        self._grid.setColumnStretch(3, 1)
        for number, stage in enumerate(StageName):
            self._add(number, stage)
        self._part = QWidget()
        part = QVBoxLayout(self._part)
        part.setContentsMargins(0, 8, 0, 0)
        part.setSpacing(6)
        top = QHBoxLayout()
        part.addLayout(top)
        top.addWidget(self.heading, 1)
        top.addWidget(self.cancel)
        part.addWidget(self._stages)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 8, 0)
        layout.setSpacing(6)
        state = QHBoxLayout()
        layout.addLayout(state)
        state.setSpacing(4)
        state.addWidget(self._shape)
        state.addWidget(self.state, 1)
        layout.addWidget(self.why)
        layout.addLayout(self._why_commands.layout)
        layout.addWidget(self._part)
        layout.addStretch(1)

    def _add(self, number: int, stage: StageName) -> None:
        shape, title, state = _Shape(), QLabel(STAGE_WORDS[stage]), QLabel()
        detail, commands = _words(f"stage.{stage.value}"), _Commands()
        for label in (title, state, detail):
            label.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self._grid.addWidget(shape, number, 0)
        self._grid.addWidget(title, number, 1)
        self._grid.addWidget(state, number, 2)
        found = QVBoxLayout()
        self._grid.addLayout(found, number, 3)
        found.setSpacing(2)
        found.addWidget(detail)
        found.addLayout(commands.layout)
        self.rows[stage] = (shape, state, detail, commands)

    def show_state(self, name: str, look: ProviderLook) -> None:
        """How the connection is now, as the control plane sees it."""
        self._shape.set_level(look.level)
        self.state.setText(f"{name}: {look.text}")
        self.why.setText(look.detail)
        self.why.setVisible(bool(look.detail))
        self._why_commands.show(commands_in(look.detail))

    def show_report(self, report: CheckReport | None, *, waiting: bool = False, problem: str = "") -> None:
        """The stages of a check: the last one, or the one that this window waits for."""
        under_way = waiting or (report is not None and report.under_way)
        self.cancel.setVisible(waiting)
        self._stages.setVisible(report is not None or waiting)
        self.heading.setText(_heading(report, under_way=under_way, problem=problem))
        tone = "error" if problem and problem != CANCELLED else "heading"
        if self.heading.property("tone") != tone:
            self.heading.setProperty("tone", tone)
            self.heading.style().unpolish(self.heading)
            self.heading.style().polish(self.heading)
        self._show_stages(() if report is None else report.stages, under_way=under_way)

    def show_checks(self, on: bool) -> None:
        """Whether it is one that can be checked."""
        self._part.setVisible(on)

    def _show_stages(self, stages: Sequence[CheckStage], *, under_way: bool) -> None:
        told = {one.stage: one for one in stages}
        open_ = under_way and all(one.state is not StageState.FAILED for one in stages)
        for stage, (shape, state, detail, commands) in self.rows.items():
            one = told.get(stage)
            if one is not None:
                level, text = _STATES[one.state]
            elif open_:
                level, text, open_ = "busy", "trying…", False
            else:
                level, text = "none", "to come" if under_way else "not tried"
            shape.set_level(level)
            state.setText(text)
            said = "" if one is None else one.detail
            if detail.text() != said:
                detail.setText(said)
                commands.show(commands_in(said) if one is not None and one.state is StageState.FAILED else [])
            for label in (state, detail):
                tone = "error" if level == "error" and label is state else "muted" if level == "none" else None
                if label.property("tone") != tone:
                    label.setProperty("tone", tone)
                    label.style().unpolish(label)
                    label.style().polish(label)

    def commands(self) -> list[str]:
        """The commands that are offered to be copied."""
        return [one.line.text() for one in self.findChildren(CommandLine) if one.isVisibleTo(self)]


def _heading(report: CheckReport | None, *, under_way: bool, problem: str) -> str:
    if problem:
        return problem
    if under_way:
        return "Checking…"
    if report is None:
        return "Not checked yet, or not since it was changed."
    when = times.wall(report.checked_at)
    failed = next((one.stage for one in report.stages if one.state is StageState.FAILED), None)
    if failed is None:
        return f"Checked {when}: it works."
    return f"Checked {when}: failed at “{STAGE_WORDS[failed]}”."


def _words(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
    )
    return label
