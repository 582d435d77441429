"""The log written to a file that the operator chooses: how far it is, and a way to call it off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QProgressBar, QPushButton, QWidget

from mission_control_desktop.client.audit_export import Exported, export_log
from mission_control_desktop.domain.audit import AuditEntry
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.mission_control import AuditFilter
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import times, words
from mission_control_desktop.ui.error_words import unread
from mission_control_desktop.ui.ports import Gateway

Keep = Callable[[AuditEntry], bool]


class ExportRow(QWidget):
    """Progress while it runs, then what came of it."""

    cancel_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.label.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # Tab leads to it: where the file is can be copied.
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.bar.setAccessibleName("Rows written")
        self.cancel = QPushButton("Cancel")
        self.cancel.setAutoDefault(False)
        self.cancel.setAccessibleName("Cancel the export")
        self.cancel.clicked.connect(self.cancel_requested)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 0, 12, 0)
        layout.addWidget(self.label, 1)
        layout.addWidget(self.bar, 1)
        layout.addWidget(self.cancel)
        self.hide()

    def show_progress(self, done: int, total: int) -> None:
        """So many rows of the log are behind us."""
        self.label.setText(f"Exporting: row {done:,} of {total:,}" if total else "Exporting…")
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.show()
        self.cancel.show()
        self.show()

    def show_end(self, text: str) -> None:
        """It is over."""
        self.label.setText(text)
        self.bar.hide()
        self.cancel.hide()
        self.show()


class Exporting(QObject):
    """One export at a time. Rows are read and written off the GUI thread."""

    progressed = Signal(int, int)

    def __init__(self, row: ExportRow, tasks: Tasks, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._row, self._tasks = row, tasks
        self._task: asyncio.Task[Any] | None = None
        row.cancel_requested.connect(self.cancel)
        self.progressed.connect(self._on_progress, Qt.ConnectionType.QueuedConnection)

    @property
    def busy(self) -> bool:
        """Whether one is under way."""
        return self._task is not None and not self._task.done()

    def ask(self, gateway: Gateway, wanted: AuditFilter, keep: Keep | None, parent: QWidget) -> QFileDialog:
        """Ask where to; then write."""
        part = "-part" if wanted != AuditFilter() or keep is not None else ""
        name = f"audit-{times.file_stamp(words.utc_now())}{part}.jsonl"
        dialog = QFileDialog(parent, "Export the audit log", str(Path.home() / name), "JSON Lines (*.jsonl)")
        dialog.setObjectName("dialog.audit_export")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        dialog.setDefaultSuffix("jsonl")
        dialog.selectFile(name)
        dialog.fileSelected.connect(lambda path: self.start(gateway, wanted, keep, Path(path)))
        dialog.open()
        return dialog

    def start(self, gateway: Gateway, wanted: AuditFilter, keep: Keep | None, target: Path) -> None:
        """Write to a file."""
        if self.busy:
            return
        self._row.show_progress(0, 0)
        self._task = self._tasks.start(self._export(gateway, wanted, keep, target), name="audit export")

    def cancel(self) -> None:
        """Give it up; a file that was there before stays as it was."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._row.show_end("Export cancelled. Nothing was written.")

    async def _export(self, gateway: Gateway, wanted: AuditFilter, keep: Keep | None, target: Path) -> None:
        try:
            done: Exported = await gateway.call(
                lambda mc: export_log(mc, wanted, target, keep=keep, told=self.progressed.emit)
            )
        except MissionControlError as error:
            self._task = None
            self._row.show_end(
                f"{unread('The log was not exported', error)} A file that was there before stays as it was: export "
                "again, or to another folder."
            )
            return
        self._task = None
        end = "A part of the log: it cannot be verified by itself." if done.part else f"Its end: {done.head}"
        self._row.show_end(f"{words.plural(done.rows, 'row')} written to {target}. {end}")

    def _on_progress(self, done: int, total: int) -> None:
        if self.busy:
            self._row.show_progress(done, total)
