"""What the roster says of the sessions that it does not have: how far the reading is, and what was left out."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from mission_control_desktop.ui.plane_reading import Extent

TYPE_FIRST = "Type a word into the filter first: sessions with it are looked for"


class RosterReach(QFrame):
    """Seen only while many are read, and where older sessions were left out: in words, with the way to them."""

    older_wanted = Signal(str)
    """Sessions with these words are to be looked for on the control plane."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("roster.reach")
        self.text = QLabel(self)
        self.text.setObjectName("roster.left_out")
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setWordWrap(True)
        self.said = QLabel(self)
        self.said.setObjectName("roster.found")
        self.said.setTextFormat(Qt.TextFormat.PlainText)
        self.said.setProperty("tone", "muted")
        self.said.setWordWrap(True)
        self.said.hide()
        self.search = QToolButton(self)
        self.search.setObjectName("roster.older")
        self.search.setText("Search older sessions")
        self.search.setAccessibleName("Search older sessions on the control plane")
        self.search.clicked.connect(self._on_search)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 0, 8, 6)
        column.setSpacing(4)
        column.addWidget(self.text)
        line = QHBoxLayout()
        column.addLayout(line)
        line.addWidget(self.search)
        line.addStretch(1)
        column.addWidget(self.said)
        self._words = ""
        self.set_words("")
        self.hide()

    def show_extent(self, extent: Extent) -> None:
        """Say what was left out, if something was."""
        if extent.reading:
            self.text.setText(reading_words(extent))
        elif extent.left_out:
            of = f" of {extent.total:,}" if extent.total is not None and extent.total > extent.read else ""
            self.text.setText(f"The newest {extent.read:,}{of} sessions are here, and older ones that have not ended.")
        self.search.setVisible(extent.left_out)
        self.said.setVisible(extent.left_out and bool(self.said.text()))
        self.setVisible(extent.left_out or (extent.reading and extent.read > 0))

    def set_words(self, words: str) -> None:
        """What the filter looks for; empty: nothing that a control plane could look for."""
        if words != self._words:
            self.show_said("")
        self._words = words
        self.search.setEnabled(bool(words))
        tip = f"Look for “{words}” among the sessions that are not here" if words else TYPE_FIRST
        self.search.setToolTip(tip)
        self.search.setAccessibleDescription(tip)

    def show_said(self, text: str) -> None:
        """What came of a search."""
        self.said.setText(text)
        self.said.setVisible(bool(text))
        self.search.setEnabled(bool(self._words))

    def _on_search(self) -> None:
        self.show_said("Searching …")
        self.search.setEnabled(False)
        self.older_wanted.emit(self._words)


def reading_words(extent: Extent) -> str:
    """How far the reading is."""
    of = "" if extent.total is None else f" of {max(extent.total, extent.read):,}"
    return f"Reading … {extent.read:,}{of} sessions"
