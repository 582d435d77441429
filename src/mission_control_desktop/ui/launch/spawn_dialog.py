"""Starts an agent below another one."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFormLayout, QVBoxLayout, QWidget

from mission_control_desktop.domain.profiles import ProfileView
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.ui import words
from mission_control_desktop.ui.dialogs.fitting import FittingDialog
from mission_control_desktop.ui.launch.start_form import StartForm


class SpawnDialog(FittingDialog):
    """Profile, first words, folder; the new session gets the given one as its parent."""

    start_requested = Signal(object)

    def __init__(
        self, parent_session: AgentSession, profiles: Sequence[ProfileView], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("dialog.spawn")
        self.setWindowTitle(f"Start an agent below {words.name(parent_session)}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(520)
        self._profiles = list(profiles)
        self.profile = QComboBox()
        self.profile.setObjectName("profile")
        for profile in self._profiles:
            self.profile.addItem(f"{profile.title or profile.name}{' (demo)' if profile.demo else ''}")
        self.form = StartForm(parent_session=parent_session.session_id)
        self.form.cancelled.connect(self.reject)
        self.form.start_requested.connect(self.start_requested)
        self.profile.currentIndexChanged.connect(self._on_profile)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        row = QFormLayout()
        layout.addLayout(row)
        row.addRow("&Agent", self.profile)
        layout.addWidget(self.form)
        self._on_profile(self.profile.currentIndex())

    def _on_profile(self, index: int) -> None:
        self.form.show_profile(self._profiles[index] if 0 <= index < len(self._profiles) else None)
