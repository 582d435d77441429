"""Find in the transcript: a bar, and a search that never takes longer than a slice at a time."""

from __future__ import annotations

import time

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QToolButton, QWidget

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.icons import icon
from mission_control_desktop.ui.transcript.blocks import collapsible
from mission_control_desktop.ui.transcript.view import TranscriptView

SLICE_SECONDS = 0.004
DEBOUNCE_MS = 120


class FindBar(QFrame):
    """Searches what is loaded; Enter and Shift+Enter go from hit to hit."""

    closed = Signal()

    def __init__(self, view: TranscriptView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view = view
        self._needle = ""
        self._hits: list[str] = []
        """Messages that contain the text, oldest first."""
        self._next_row = 0
        self._at = -1
        self.setProperty("surface", "bar")
        self._input = QLineEdit()
        self._input.setPlaceholderText("Find in transcript")
        self._input.setAccessibleName("Find in transcript")
        self._input.setClearButtonEnabled(True)
        self._input.textChanged.connect(self._on_text_changed)
        self._count = QLabel()
        self._count.setProperty("tone", "small")
        self._up = self._button("Previous (Shift+Enter)", "chevron-up")
        self._down = self._button("Next (Enter)", "chevron-down")
        self._close = self._button("Close (Esc)", "close")
        self._up.clicked.connect(self.previous)
        self._down.clicked.connect(self.next)
        self._close.clicked.connect(self.close_bar)
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.metrics.gap, 4, theme.metrics.gap, 4)
        row.setSpacing(theme.metrics.gap_small)
        row.addWidget(self._input, 1)
        row.addWidget(self._count)
        row.addWidget(self._up)
        row.addWidget(self._down)
        row.addWidget(self._close)
        self._debounce = QTimer(self)
        self._debounce.setSingleShot(True)
        self._debounce.setInterval(DEBOUNCE_MS)
        self._debounce.timeout.connect(self._start)
        self._slices = QTimer(self)
        self._slices.setInterval(0)
        self._slices.timeout.connect(self._on_slice)
        self.hide()

    def open_bar(self) -> None:
        """Show it, with what is selected as the text to find."""
        text = self._view.selected_text().strip()
        if text and "\n" not in text and len(text) < 100:
            self._input.setText(text)
        self.show()
        self._input.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self._input.selectAll()
        if self._input.text():
            self._start()

    def close_bar(self) -> None:
        self._slices.stop()
        self._debounce.stop()
        self._view.set_needle("")
        self.hide()
        self._view.setFocus(Qt.FocusReason.OtherFocusReason)
        self.closed.emit()

    def next(self) -> None:
        self._go(1)

    def previous(self) -> None:
        self._go(-1)

    @property
    def hits(self) -> int:
        return len(self._hits)

    def count_text(self) -> str:
        return self._count.text()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.close_bar()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) or event.key() == Qt.Key.Key_F3:
            self._go(-1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1)
        else:
            super().keyPressEvent(event)

    def _button(self, tip: str, name: str) -> QToolButton:
        button = QToolButton()
        button.setProperty("kind", "quiet")
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.setIcon(icon(name))
        return button

    def _on_text_changed(self) -> None:
        self._debounce.start()

    def _start(self) -> None:
        self._needle = self._input.text()
        self._hits, self._next_row, self._at = [], 0, -1
        self._view.set_needle(self._needle)
        if self._needle:
            self._slices.start()
        else:
            self._slices.stop()
            self._count.setText("")

    def _on_slice(self) -> None:
        """Look through some more messages."""
        model = self._view.transcript
        entries = model.entries if model is not None else ()
        needle, end = self._needle.casefold(), time.perf_counter() + SLICE_SECONDS
        while self._next_row < len(entries):
            entry = entries[self._next_row]
            self._next_row += 1
            title = entry.message.metadata.get("title")
            if needle in entry.text.casefold() or (isinstance(title, str) and needle in title.casefold()):
                self._hits.append(entry.message.message_id)
            if time.perf_counter() > end:
                return
        self._slices.stop()
        self._show_count()

    def _go(self, by: int) -> None:
        if self._needle != self._input.text():
            self._start()
        while self._slices.isActive():
            self._on_slice()
        model = self._view.transcript
        if not self._hits or model is None:
            return
        if self._at < 0:
            first = self._view.visible_rows().start
            rows = [row if (row := model.row_of(hit)) is not None else -1 for hit in self._hits]
            below = [place for place, row in enumerate(rows) if row >= first]
            self._at = (below[0] if below else 0) if by > 0 else ((below[0] if below else len(rows)) - 1)
        else:
            self._at += by
        self._at %= len(self._hits)
        row = model.row_of(self._hits[self._at])
        if row is not None:
            if collapsible(model.entry(row)) and not self._view.is_expanded(row):
                self._view.set_expanded(row, True)
            self._view.select_row(row)
        self._show_count()

    def _show_count(self) -> None:
        if not self._hits:
            self._count.setText("Nothing found")
        elif self._at >= 0:
            self._count.setText(f"{self._at + 1} of {len(self._hits)}")
        else:
            self._count.setText(f"{len(self._hits)} found")
