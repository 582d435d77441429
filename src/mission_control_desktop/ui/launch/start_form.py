"""What is asked before an agent is started."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFocusEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.domain.profiles import ProfileView, SpawnRequest
from mission_control_desktop.ui import icons, theme


class FolderLine(QWidget):
    """A folder: typed, or chosen in a dialog."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = QLineEdit(self)
        self.line.setObjectName("cwd")
        self.line.textChanged.connect(lambda _t: self.changed.emit())
        self.choose = QPushButton("Choose…", self)
        icons.bind(self.choose, "folder")
        self.choose.setAutoDefault(False)
        self.choose.clicked.connect(self._on_choose)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line, 1)
        layout.addWidget(self.choose)
        self.line.setAccessibleName("Working directory")
        self.choose.setAccessibleName("Choose the working directory")

    def focusInEvent(self, event: QFocusEvent) -> None:
        # No focus proxy: with one the Tab key passes over everything else in here.
        self.line.setFocus(event.reason())

    def _on_choose(self) -> None:
        start = self.line.text().strip()
        dialog = QFileDialog(self.window(), "Working directory", start if Path(start).is_dir() else str(Path.home()))
        # The native one runs its own loop; this one is opened and answers by signal.
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog, True)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly, True)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.line.setText)
        dialog.open()


class FieldErrors:
    """Shows the server's complaint at the field that it names."""

    def __init__(self) -> None:
        self._fields: dict[str, tuple[QWidget, QLabel]] = {}

    def label_for(self, name: str, widget: QWidget) -> QLabel:
        """The (hidden) line below a field."""
        label = QLabel()
        label.setProperty("tone", "error")
        label.setWordWrap(True)
        label.setObjectName(f"error.{name}")
        label.hide()
        self._fields[name] = (widget, label)
        return label

    def clear(self) -> None:
        """Take all complaints away."""
        for widget, label in self._fields.values():
            label.hide()
            _mark(widget, invalid=False)

    def show(self, name: str | None, message: str) -> bool:
        """Show a message at a field and put the focus there; False if there is no such field."""
        key = (name or "").split(".")[0].split("[")[0]
        found = self._fields.get(key)
        if found is None:
            return False
        widget, label = found
        label.setText(message)
        label.show()
        _mark(widget, invalid=True)
        widget.setFocus(Qt.FocusReason.OtherFocusReason)
        return True


def _mark(widget: QWidget, *, invalid: bool) -> None:
    target = widget.line if isinstance(widget, FolderLine) else widget
    if bool(target.property("invalid")) != invalid:
        target.setProperty("invalid", "true" if invalid else None)
        target.style().unpolish(target)
        target.style().polish(target)


class StartForm(QWidget):
    """First words, folder and title for a chosen profile; emits a `SpawnRequest`."""

    start_requested = Signal(object)
    demo_requested = Signal()
    edit_requested = Signal(str)
    cancelled = Signal()

    def __init__(self, *, parent_session: str | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._profile: ProfileView | None = None
        self._parent_session = parent_session
        self._errors = FieldErrors()
        self._busy = False
        self._refusal = ""
        self._place, self._here = "this computer", True
        self.heading = QLabel()
        self.heading.setProperty("tone", "heading")
        self.heading.setWordWrap(True)
        self.about = QLabel()
        self.about.setProperty("tone", "muted")
        self.about.setWordWrap(True)
        self.about.setTextFormat(Qt.TextFormat.PlainText)
        self.command = QLabel()
        theme.keep_font(self.command, "text_small", mono=True)
        self.command.setWordWrap(True)
        self.command.setTextFormat(Qt.TextFormat.PlainText)
        self.command.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.prompt = QPlainTextEdit()
        self.prompt.setObjectName("prompt")
        self.prompt.setPlaceholderText("What should it do? Without words it starts and waits for you.")
        self.prompt.setTabChangesFocus(True)
        self.prompt.setMinimumHeight(96)
        self.cwd = FolderLine()
        self.cwd.line.setPlaceholderText("Folder in which the agent works")
        self.title = QLineEdit()
        self.title.setObjectName("title")
        self.title.setPlaceholderText("Shown in the roster (optional)")
        self._fields = QWidget()
        form = QFormLayout(self._fields)
        form.setContentsMargins(0, 0, 0, 0)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapAllRows)
        form.addRow("&First words", self.prompt)
        form.addRow(self._errors.label_for("prompt", self.prompt))
        form.addRow("&Working directory", self.cwd)
        form.addRow(self._errors.label_for("cwd", self.cwd))
        form.addRow("T&itle", self.title)
        form.addRow(self._errors.label_for("title", self.title))
        self.error = QLabel()
        self.error.setProperty("tone", "error")
        self.error.setWordWrap(True)
        self.error.setTextFormat(Qt.TextFormat.PlainText)
        self.error.hide()
        self.start = QPushButton("&Start")
        self.start.setObjectName("start")
        self.start.setProperty("kind", "primary")
        self.start.setAutoDefault(False)
        self.start.clicked.connect(self._on_start)
        self.edit = QPushButton("&Edit profile…", self)
        self.edit.setAutoDefault(False)
        self.edit.clicked.connect(self._on_edit)
        self.cancel = QPushButton("Cancel", self)
        self.cancel.setAutoDefault(False)
        self.cancel.clicked.connect(self.cancelled)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(10)
        for widget in (self.heading, self.about, self.command, self._fields, self.error):
            layout.addWidget(widget)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        if parent_session is None:
            self.cancel.hide()
            buttons.addWidget(self.start)
            buttons.addWidget(self.edit)
            buttons.addStretch(1)
        else:  # in a dialog, where a choice of the profile stands above
            self.heading.hide()
            self.edit.hide()
            buttons.addStretch(1)
            buttons.addWidget(self.cancel)
            buttons.addWidget(self.start)
        layout.addStretch(1)
        for former, following in ((self.title, self.cancel), (self.cancel, self.start), (self.start, self.edit)):
            QWidget.setTabOrder(former, following)
        self.show_profile(None)

    def show_profile(self, profile: ProfileView | None) -> None:
        """Ask for what this profile needs."""
        changed = (profile.name if profile else "") != (self._profile.name if self._profile else "")
        self._profile = profile
        # Below another agent the demo agent is started like any other.
        demo = profile is not None and profile.demo and self._parent_session is None
        self._fields.setVisible(profile is not None and not demo)
        self.start.setVisible(profile is not None)
        self.edit.setVisible(profile is not None and not demo and self._parent_session is None)
        self.command.setVisible(profile is not None and not demo)
        if changed:
            self._errors.clear()
            self.error.hide()
        if profile is None:
            self.heading.setText("Choose an agent")
            self.about.setText("")
            return
        self.heading.setText("Demo mission" if demo else profile.title or profile.name)
        self.command.setText(" ".join(profile.command))
        if demo:
            self.about.setText(
                f"Three scripted agents with sub-agents: real child processes on {self._place} that stream words, "
                "call tools, ask for permission and react to what you tell them. A demo: no model, no key, no network. "
                "Everything it does is marked DEMO."
            )
            self.start.setText("&Start the demo mission")
        else:
            found = f"Found on {self._place}"
            kind = "Demo agent" if profile.demo else found if profile.detected else "Your own profile"
            self.about.setText(f"{kind}{f', version {profile.version}' if profile.version else ''}.")
            self.start.setText("&Start")
            self.edit.setText("&Make a profile of it…" if profile.detected else "&Edit profile…")
            if changed or not self.cwd.line.text():
                self.cwd.line.setText(profile.cwd or (str(Path.home()) if self._here else ""))

    def set_place(self, name: str, *, here: bool) -> None:
        """On which control plane it is started. Folders of another one than the window's own cannot be looked into."""
        if (name, here) == (self._place, self._here):
            return
        self._place, self._here = name, here
        self.cwd.choose.setVisible(here)
        self.cwd.line.setPlaceholderText(
            "Folder in which the agent works" if here else f"A folder on {name}; without one, the home folder there"
        )
        self.cwd.line.clear()
        self.show_profile(self._profile)

    def set_refusals(self, start: str, edit: str) -> None:
        """Why the person may not start an agent, and why they may not change a profile; empty if they may."""
        self._refusal = start
        self.start.setToolTip(start)
        self.start.setEnabled(not start)
        self.edit.setToolTip(edit)
        self.edit.setEnabled(not edit)

    def set_busy(self, busy: bool) -> None:
        """While the control plane works on it, the button waits."""
        self._busy = busy
        self.start.setEnabled(not busy and not self._refusal)

    def started(self) -> None:
        """It worked: be ready for the next one."""
        self.set_busy(False)
        self.prompt.clear()
        self.title.clear()

    def failed(self, field: str | None, message: str) -> None:
        """It did not work: say so, at the field if one is named."""
        self.set_busy(False)
        if not self._errors.show(field, message):
            self.error.setText(message)
            self.error.show()

    def _on_edit(self) -> None:
        if self._profile is not None:
            self.edit_requested.emit(self._profile.name)

    def _on_start(self) -> None:
        if self._profile is None or self._busy:
            return
        self._errors.clear()
        self.error.hide()
        self.set_busy(True)
        if self._profile.demo and self._parent_session is None:
            self.demo_requested.emit()
            return
        self.start_requested.emit(
            SpawnRequest(
                profile=self._profile.name,
                prompt=self.prompt.toPlainText().strip() or None,
                cwd=self.cwd.line.text().strip() or None,
                title=self.title.text().strip() or None,
                parent_agent_id=self._parent_session,
            )
        )
