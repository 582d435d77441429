"""The transcript with what belongs to it: find bar, the way back to the end, and the question before a link opens."""

from __future__ import annotations

from functools import cached_property
from urllib.parse import urlsplit

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.transcript.find import FindBar
from mission_control_desktop.ui.transcript.highlight import Highlighter
from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.scheduler import FlushScheduler
from mission_control_desktop.ui.transcript.search import Search, nothing_text
from mission_control_desktop.ui.transcript.view import TranscriptView

OPENABLE = frozenset({"http", "https", "mailto"})
"""Schemes that a link may have to be opened; any other can only be copied."""
HINT_MS = 2_500


def openable(target: str) -> bool:
    """Whether a link may be handed to the desktop."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return False
    return parts.scheme.lower() in OPENABLE and bool(parts.netloc or parts.scheme.lower() == "mailto")


class LinkBar(QFrame):
    """Shows where a link leads before anything is opened."""

    opened = Signal(str)
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._target = ""
        self.setProperty("surface", "notice")
        self._text = QLabel()
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._open = QPushButton("Open")
        self._open.clicked.connect(self._on_open)
        copy = QPushButton("Copy")
        copy.clicked.connect(self._on_copy)
        cancel = QPushButton("Cancel")
        cancel.clicked.connect(self.dismiss)
        row = QHBoxLayout(self)
        theme.keep_distances(row, margins=("margin", 6, "gap", 6))
        row.addWidget(self._text, 1)
        for button in (self._open, copy, cancel):
            row.addWidget(button)
        self.hide()

    def ask(self, target: str) -> None:
        """Show the target; nothing is opened yet."""
        self._target = target
        allowed = openable(target)
        # Long addresses are broken where they can be, and never hide their end.
        shown = "\u200b".join(target[at : at + 24] for at in range(0, min(len(target), 600), 24))
        self._text.setText(
            f"Open this link?\n{shown}" if allowed else f"This kind of link is not opened here:\n{shown}"
        )
        self._open.setVisible(allowed)
        self.show()
        if allowed:
            self._open.setFocus(Qt.FocusReason.OtherFocusReason)

    def dismiss(self) -> None:
        self.hide()
        self.closed.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.dismiss()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._open.hasFocus():
            self._on_open()
        else:
            super().keyPressEvent(event)

    def _on_open(self) -> None:
        if openable(self._target):
            self.opened.emit(self._target)
        self.dismiss()

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(self._target)
        self.dismiss()


class TranscriptPane(QWidget):
    """One transcript, ready to be put somewhere."""

    question_chosen = Signal(str)

    def __init__(
        self,
        model: TranscriptModel,
        parent: QWidget | None = None,
        *,
        scheduler: FlushScheduler | None = None,
        highlighter: Highlighter | None = None,
    ) -> None:
        super().__init__(parent)
        self.model = model
        self.view = TranscriptView(scheduler=scheduler, highlighter=highlighter)
        self.view.set_transcript(model)
        # Where room is short, the question and the input come first.
        self.view.setMinimumHeight(12)
        self._pill = QPushButton(self.view)
        self._pill.setProperty("kind", "primary")
        self._pill.setCursor(Qt.CursorShape.PointingHandCursor)
        self._pill.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._pill.hide()
        self._hint = QLabel(self.view)
        self._hint.setProperty("tone", "badge")
        self._hint.setAutoFillBackground(True)
        self._hint.hide()
        self._hint_timer = QTimer(self)
        self._hint_timer.setSingleShot(True)
        self._hint_timer.setInterval(HINT_MS)
        self._hint_timer.timeout.connect(self._hint.hide)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.view, 1)
        self._column = column
        self.view.following_changed.connect(self._on_following_changed)
        self.view.unread_changed.connect(self._on_unread_changed)
        self.view.find_wanted.connect(self.open_find)
        self.view.find_next_wanted.connect(self._on_find_next)
        self.view.link_chosen.connect(self._on_link_chosen)
        self.view.question_chosen.connect(self.question_chosen)
        self.view.nothing_found.connect(self.show_hint)
        self.view.search_ended.connect(self._on_search_ended)
        model.search_progress.connect(self._on_search_progress)
        self._pill.clicked.connect(self.view.follow)
        self.view.viewport().installEventFilter(self)

    # Both bars are made when they are first wanted: half of the widgets of a panel would be theirs.

    @cached_property
    def find_bar(self) -> FindBar:
        """The bar above the transcript; hidden until it is opened."""
        bar = FindBar(self.view)
        self._column.insertWidget(0, bar)
        return bar

    @cached_property
    def link_bar(self) -> LinkBar:
        """The bar below the transcript; hidden until a link was chosen."""
        bar = LinkBar()
        bar.opened.connect(self._on_link_opened)
        bar.closed.connect(self._on_link_closed)
        self._column.addWidget(bar)
        return bar

    def open_find(self) -> None:
        """Open the find bar and put the focus into it."""
        self.find_bar.open_bar()

    @property
    def _finding(self) -> bool:
        return "find_bar" in self.__dict__ and self.find_bar.isVisible()

    def pill_text(self) -> str:
        """What the way back to the end says; empty while it is not shown."""
        return "" if self._pill.isHidden() else self._pill.text()

    def show_hint(self, text: str) -> None:
        """A few words that go away by themselves."""
        self._hint.setText(text)
        self._hint.adjustSize()
        self._hint.show()
        self._hint.raise_()
        self._place()
        self._hint_timer.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Resize:
            self._place()
        return False

    def _place(self) -> None:
        area = self.view.viewport().geometry()
        pill = self._pill.size()
        self._pill.move(area.center().x() - pill.width() // 2, area.bottom() - pill.height() - 10)
        self._hint.move(area.center().x() - self._hint.width() // 2, area.top() + 10)

    def _on_following_changed(self, following: bool) -> None:
        self._show_pill()

    def _on_unread_changed(self, unread: int) -> None:
        self._show_pill()

    def _show_pill(self) -> None:
        if self.view.following:
            self._pill.hide()
            return
        unread = self.view.unread
        self._pill.setText(f"↓  {unread:,} new" if unread else "↓  To the end")
        self._pill.setAccessibleName(f"{unread} new messages, go to the end" if unread else "Go to the end")
        self._pill.adjustSize()
        self._pill.show()
        self._place()
        self._pill.raise_()

    def _on_search_progress(self, looked: int) -> None:
        if not self._finding:
            self.show_hint(f"Searching the record… {looked:,} messages (Esc stops)")

    def _on_search_ended(self, search: Search, found: bool) -> None:
        if self._finding:
            return
        if found:
            self._hint.hide()
        else:
            self.show_hint(nothing_text(search.what, forwards=search.forwards))

    def _on_find_next(self, backwards: bool) -> None:
        if self._finding:
            self.find_bar.previous() if backwards else self.find_bar.next()
        else:
            self.find_bar.open_bar()

    def _on_link_chosen(self, target: str) -> None:
        self.link_bar.ask(target)

    def _on_link_opened(self, target: str) -> None:
        QDesktopServices.openUrl(QUrl(target))

    def _on_link_closed(self) -> None:
        self.view.setFocus(Qt.FocusReason.OtherFocusReason)
