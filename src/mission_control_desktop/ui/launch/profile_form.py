"""A launch profile of one's own: name, command, working directory, environment, mode."""

from __future__ import annotations

import shlex

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.dialogs.fitting import FittingDialog
from mission_control_desktop.ui.launch.start_form import FieldErrors, FolderLine


def parse_command(text: str) -> tuple[str, ...]:
    """A command line as a shell would split it. BadInput if its quotes do not match."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise BadInput("command", f"The command cannot be read: {error}.") from error


def parse_environment(text: str) -> dict[str, str]:
    """`NAME=value` lines. BadInput names the first line that is none."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise BadInput("env", f"Line {number} is not NAME=value.")
        found[name.strip()] = value
    return found


class ProfileForm(FittingDialog):
    """Checks what only the window can know (quotes, NAME=value); the control plane judges the rest."""

    save_requested = Signal(object)
    remove_requested = Signal(str)

    def __init__(self, profile: ProfileView | None = None, parent: QWidget | None = None, *, where: str = "") -> None:
        """`where`: the control plane that keeps it, if there are several."""
        super().__init__(parent)
        self._known_env = profile.env_names if profile else ()
        self._errors = FieldErrors()
        own = profile is not None and not profile.detected
        self.setObjectName("dialog.profile")
        self.setWindowTitle("Launch profile")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(560)
        on = f" on {where}" if where else ""
        title = QLabel(f"Edit launch profile{on}" if own else f"New launch profile{on}")
        title.setProperty("tone", "heading")
        about = QLabel("A command that speaks the Agent Client Protocol over standard input and output.")
        about.setProperty("tone", "muted")
        about.setWordWrap(True)
        self.name = QLineEdit()
        self.name.setObjectName("name")
        self.name.setPlaceholderText("lower-case letters, digits and hyphens")
        self.command = QLineEdit()
        self.command.setObjectName("command")
        theme.keep_font(self.command, mono=True)
        self.command.setPlaceholderText("my-agent --acp")
        self.cwd = FolderLine()
        self.cwd.line.setPlaceholderText("optional; else asked at each start")
        self.env = QPlainTextEdit()
        self.env.setObjectName("env")
        theme.keep_font(self.env, mono=True)
        self.env.setPlaceholderText("NAME=value, one a line. Values are never shown again.")
        self.env.setTabChangesFocus(True)
        self.env.setFixedHeight(84)
        self.mode = QLineEdit()
        self.mode.setObjectName("mode")
        self.mode.setPlaceholderText("a mode that the agent offers, e.g. plan (optional)")
        self.title = QLineEdit()
        self.title.setObjectName("title")
        self.title.setPlaceholderText("Shown on its card (optional)")
        self._env_note = QLabel()
        self._env_note.setProperty("tone", "muted")
        self._env_note.setWordWrap(True)
        self.error = QLabel()
        self.error.setProperty("tone", "error")
        self.error.setWordWrap(True)
        self.error.hide()
        self.save = QPushButton("&Save")
        self.save.setObjectName("save")
        self.save.setProperty("kind", "primary")
        self.save.setDefault(True)
        self.save.clicked.connect(self._on_save)
        cancel = QPushButton("Cancel")
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.reject)
        self.remove = QPushButton("&Remove")
        self.remove.setAutoDefault(False)
        self.remove.setVisible(own)
        self.remove.clicked.connect(lambda: self.remove_requested.emit(self.name.text().strip()))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        layout.addWidget(title)
        layout.addWidget(about)
        form = QFormLayout()
        layout.addLayout(form)
        for label, name, widget in (
            ("&Name", "name", self.name),
            ("&Command", "command", self.command),
            ("&Working directory", "cwd", self.cwd),
            ("&Environment", "env", self.env),
            ("&Mode", "mode", self.mode),
            ("&Title", "title", self.title),
        ):
            form.addRow(label, widget)
            form.addRow("", self._errors.label_for(name, widget))
        layout.addWidget(self._env_note)
        layout.addWidget(self.error)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        buttons.addWidget(self.remove)
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(self.save)
        if profile is not None:
            self.name.setText(profile.name)
            self.name.setReadOnly(own)
            self.command.setText(shlex.join(profile.command))
            self.cwd.line.setText(profile.cwd or "")
            self.mode.setText(profile.mode or "")
            self.title.setText(profile.title or "")
        if self._known_env:
            self._env_note.setText(
                f"Set now: {', '.join(self._known_env)}. Saving replaces them all; enter again what should stay."
            )
        self._env_note.setVisible(bool(self._known_env))

    def _on_save(self) -> None:
        self._errors.clear()
        self.error.hide()
        try:
            profile = LaunchProfile(
                name=self.name.text().strip(),
                command=parse_command(self.command.text()),
                cwd=self.cwd.line.text().strip() or None,
                env=parse_environment(self.env.toPlainText()),
                mode=self.mode.text().strip() or None,
                title=self.title.text().strip() or None,
            )
        except BadInput as problem:
            self.failed(problem.field, problem.message)
            return
        self.save.setEnabled(False)
        self.save_requested.emit(profile)

    def failed(self, field: str | None, message: str) -> None:
        """The control plane refused: say so at the field that it names."""
        self.save.setEnabled(True)
        if not self._errors.show(field, message):
            self.error.setText(message)
            self.error.show()
