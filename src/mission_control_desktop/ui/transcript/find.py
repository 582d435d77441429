"""Find in the transcript: a bar, and a search that never takes longer than a slice at a time."""

from __future__ import annotations

import time
from bisect import bisect_left
from functools import partial

from PySide6.QtCore import QModelIndex, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QToolButton, QWidget

from mission_control_desktop.ui import icons, theme
from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.row import Span
from mission_control_desktop.ui.transcript.search import Search, contains, nothing_text
from mission_control_desktop.ui.transcript.view import TranscriptView

SLICE_SECONDS = 0.004
DEBOUNCE_MS = 120


class FindBar(QFrame):
    """Searches what is loaded, and at its edge the rest of the record; Enter and Shift+Enter go from hit to hit."""

    closed = Signal()

    def __init__(self, view: TranscriptView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view = view
        self._needle = ""
        self._hits: list[str] = []
        """Messages that contain the text, oldest first."""
        self._next_row = 0
        self._at = -1
        self._places: list[Span] = []
        """Where the text stands in the message that the reader is at."""
        self._place = -1
        self._search: Search | None = None
        """What goes through the part of the record that is not loaded."""
        self.setProperty("surface", "bar")
        self._input = QLineEdit()
        self._input.setPlaceholderText("Find in transcript")
        self._input.setAccessibleName("Find in transcript")
        self._input.setClearButtonEnabled(True)
        self._input.textChanged.connect(self._on_text_changed)
        self._count = QLabel()
        self._count.setProperty("tone", "small")
        self._older = QPushButton("Search older")
        self._older.setProperty("kind", "quiet")
        self._older.setToolTip("Go on with the messages that are not loaded (Shift+Enter at the first hit)")
        self._older.clicked.connect(self._on_older)
        self._older.hide()
        self._up = self._button("Previous (Shift+Enter)", "chevron-up")
        self._down = self._button("Next (Enter)", "chevron-down")
        self._close = self._button("Close (Esc)", "close")
        self._up.clicked.connect(self.previous)
        self._down.clicked.connect(self.next)
        self._close.clicked.connect(self.close_bar)
        row = QHBoxLayout(self)
        theme.keep_distances(row, margins=("gap", 4, "gap", 4), spacing="gap_small")
        row.addWidget(self._input, 1)
        row.addWidget(self._count)
        row.addWidget(self._older)
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
        view.search_ended.connect(self._on_search_ended)
        model = view.transcript
        if model is not None:
            model.search_progress.connect(self._on_search_progress)
            model.modelReset.connect(self._on_window_changed)
            model.rowsInserted.connect(self._on_rows_inserted)
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
        self._give_up()
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
        icons.bind(button, name)
        return button

    def _on_text_changed(self) -> None:
        self._debounce.start()

    def _start(self) -> None:
        """Look through what is loaded, from its first message on."""
        self._debounce.stop()
        self._give_up()
        self._needle = self._input.text()
        self._hits, self._next_row, self._at = [], 0, -1
        self._places, self._place = [], -1
        self._view.set_needle(self._needle)
        if self._needle:
            self._slices.start()
        else:
            self._slices.stop()
            self._count.setText("")
            self._older.hide()

    def _on_slice(self) -> None:
        """Look through some more messages."""
        model = self._view.transcript
        entries = model.entries if model is not None else ()
        needle, end = self._needle.lower(), time.perf_counter() + SLICE_SECONDS
        while self._next_row < len(entries):
            entry = entries[self._next_row]
            self._next_row += 1
            if contains(entry, needle):
                self._hits.append(entry.message.message_id)
            if time.perf_counter() > end:
                return
        self._slices.stop()
        self._show_count()

    def _finish_slices(self) -> None:
        while self._slices.isActive():
            self._on_slice()

    def _go(self, by: int) -> None:
        if self._needle != self._input.text():
            self._start()
        self._finish_slices()
        model = self._view.transcript
        if not self._needle or model is None or self._search is not None:
            return
        if self._at >= 0 and self._places and 0 <= self._place + by < len(self._places):
            self._place += by
            self._show_hit()
            return
        beyond = self._next_hit(model, by)
        if beyond and (model.has_older if by < 0 or not self._hits else model.has_newer):
            self._search_record(forwards=by > 0 and bool(self._hits))
        elif self._hits:
            self._at %= len(self._hits)
            self._enter_hit(model, by)
        self._show_count()

    def _next_hit(self, model: TranscriptModel, by: int) -> bool:
        """Go on to another message; True if that is beyond the last one that is loaded."""
        if not self._hits:
            return True
        if self._at < 0:
            first = self._view.visible_rows().start
            rows = [row if (row := model.row_of(hit)) is not None else -1 for hit in self._hits]
            below = [place for place, row in enumerate(rows) if row >= first]
            self._at = (below[0] if below else 0) if by > 0 else ((below[0] if below else len(rows)) - 1)
        else:
            self._at += by
        return not 0 <= self._at < len(self._hits)

    def _enter_hit(self, model: TranscriptModel, by: int) -> None:
        row = model.row_of(self._hits[self._at])
        if row is None:
            self._places, self._place = [], -1
            return
        self._places = self._view.reveal(row, self._needle)
        self._place = 0 if by > 0 else len(self._places) - 1
        if not self._places:
            self._view.select_row(row)
        self._show_hit()

    def _show_hit(self) -> None:
        model = self._view.transcript
        row = model.row_of(self._hits[self._at]) if model is not None else None
        if row is not None and 0 <= self._place < len(self._places):
            self._view.select_span(row, self._places[self._place])
        self._show_count()

    # -- beyond what is loaded ---------------------------------------------------------------------------------------

    def _on_older(self) -> None:
        if self._search is not None:
            self._give_up()
            self._show_count()
        elif self._needle:
            self._search_record(forwards=False)

    def _search_record(self, *, forwards: bool) -> None:
        needle = self._needle.lower()
        self._search = Search(partial(contains, needle=needle), forwards, f"“{self._needle}”")
        self._older.setText("Stop")
        self._older.show()
        self._count.setText("Searching the record…")
        self._view.search(self._search)

    def _give_up(self) -> None:
        if self._search is not None:
            self._search = None
            self._older.setText("Search older")
            self._view.stop_search()

    def _on_search_progress(self, looked: int) -> None:
        if self._search is not None:
            self._count.setText(f"Searching the record… {looked:,} messages")

    def _on_search_ended(self, search: Search, found: bool) -> None:
        if search is not self._search:
            return
        self._search = None
        self._older.setText("Search older")
        model = self._view.transcript
        if not found or model is None:
            self._at = max(-1, min(self._at, len(self._hits) - 1))
            self._show_count()
            self._count.setText(nothing_text(search.what, forwards=search.forwards))
            self._older.hide()
            return
        self._finish_slices()
        hit = model.entry(self._view.currentIndex().row()).message.message_id
        self._at = self._hits.index(hit) if hit in self._hits else -1
        if self._at >= 0:
            self._enter_hit(model, 1 if search.forwards else -1)

    def _on_window_changed(self) -> None:
        """Another part of the record is shown: what is in it is found anew."""
        if self.isVisible() and self._needle:
            self._hits, self._next_row, self._at = [], 0, -1
            self._places, self._place = [], -1
            self._slices.start()

    def _on_rows_inserted(self, parent: QModelIndex, first: int, last: int) -> None:
        """What came in front is looked through, too; what came at the end is come to by itself."""
        if not self.isVisible() or not self._needle:
            return
        if first >= self._next_row:
            self._slices.start()
            return
        model = self._view.require_transcript()
        needle = self._needle.lower()
        new = [e.message.message_id for e in model.entries[first : last + 1] if contains(e, needle)]
        self._next_row += last - first + 1
        if new:
            rows = [row if (row := model.row_of(hit)) is not None else -1 for hit in self._hits]
            place = bisect_left(rows, first)
            self._hits[place:place] = new
            self._at += len(new) if self._at >= place else 0
        self._show_count()

    def _show_count(self) -> None:
        model = self._view.transcript
        older = model is not None and model.has_older
        self._older.setVisible(self._search is not None or (older and bool(self._needle)))
        if self._search is not None:
            return
        where = " in what is loaded" if older or (model is not None and model.has_newer) else ""
        if not self._hits:
            self._count.setText(f"Nothing found{where}")
        elif self._at >= 0:
            here = f", {self._place + 1} of {len(self._places)} in it" if len(self._places) > 1 else ""
            self._count.setText(f"{self._at + 1} of {len(self._hits)}{here}")
        else:
            self._count.setText(f"{len(self._hits)} found{where}")
