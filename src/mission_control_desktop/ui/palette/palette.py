"""The palette: a line and what it finds, over the window in which the person is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QModelIndex, QObject, QPersistentModelIndex, QPoint, Qt
from PySide6.QtGui import QFocusEvent, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QApplication, QFrame, QLabel, QLineEdit, QListView, QVBoxLayout, QWidget
from shiboken6 import isValid

from mission_control_desktop.ui.choosing import choose_row
from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.palette.entries import PREFIXES, Entries, Entry, Kind
from mission_control_desktop.ui.palette.lines import LineDelegate, LineModel
from mission_control_desktop.ui.palette.matching import Finder

if TYPE_CHECKING:
    from mission_control_desktop.ui.main_window.window import MainWindow

Index = QModelIndex | QPersistentModelIndex
FIRST_CHARACTERS = "First character  >  commands   @  sessions   #  panels   /  desks"
RECENT = "palette.recent"
"""Preference: keys of what was chosen, newest first."""
MAX_RECENT = 20
_WIDTH, _LINES = 720, 12
_WALK = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1, Qt.Key.Key_PageUp: -_LINES, Qt.Key.Key_PageDown: _LINES}


class PaletteLine(QLineEdit):
    """Takes every key while it has the focus, also those that are shortcuts elsewhere: what is typed here does nothing
    behind it."""

    def __init__(self, palette: Palette) -> None:
        self._owner = palette
        super().__init__(palette)

    def event(self, event: QEvent) -> bool:
        if event.type() is QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not self._owner.take_key(event):
            super().keyPressEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        if event.reason() is not Qt.FocusReason.PopupFocusReason:
            self._owner.leave(back=False)


class Palette(QFrame):
    """Opened by `come`; gone when something was chosen, on Esc, and when the focus goes elsewhere."""

    def __init__(self, window: MainWindow, state: LocalState) -> None:
        super().__init__(window)
        self._window, self._state = window, state
        self._entries = Entries(window)
        self._finders: dict[Kind | None, Finder[Entry]] = {}
        self._all: Sequence[Entry] = ()
        self._before: QWidget | None = None
        self._host: QWidget = window
        self.setObjectName("palette")
        self.setProperty("surface", "palette")
        self.setAccessibleName("Command palette")
        self.line = PaletteLine(self)
        self.line.setObjectName("palette.line")
        self.line.setPlaceholderText("Go to a session, panel or desk, or do something")
        self.line.setAccessibleName("What to go to or do")
        self.line.textChanged.connect(self._on_text)
        self.model = LineModel(self)
        self.list = QListView()
        self.list.setObjectName("palette.list")
        self.list.setAccessibleName("What was found")
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setUniformItemSizes(True)
        self.list.setMouseTracking(True)
        self.list.setModel(self.model)
        self.list.setItemDelegate(LineDelegate(self.list))
        self.list.clicked.connect(self._on_clicked)
        self.foot = QLabel()
        self.foot.setObjectName("palette.foot")
        self.foot.setProperty("tone", "small")
        self.foot.setTextFormat(Qt.TextFormat.PlainText)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 10, 10, 8)
        column.setSpacing(6)
        column.addWidget(self.line)
        column.addWidget(self.list)
        column.addWidget(self.foot)
        self.list.selectionModel().currentChanged.connect(self._say)
        self.hide()

    # -- coming and going

    def toggle(self) -> None:
        """Show it, or put it away."""
        if self.isVisible():
            self.leave()
        else:
            self.come()

    def come(self) -> None:
        """Over the active window, which may be a panel's own."""
        active = QApplication.activeWindow()
        host = active if active is not None and self._is_ours(active) else self._window
        self._before = QApplication.focusWidget()
        if self._host is not host:
            self.setParent(host)
            self._host = host
        host.installEventFilter(self)
        self._all, self._finders = self._entries.all(), {}
        self.line.clear()
        self._on_text("")
        self.show()
        self.raise_()
        self.line.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def leave(self, *, back: bool = True) -> None:
        """Put it away, and the focus back to where it was."""
        if self.isHidden():
            return
        self._host.removeEventFilter(self)
        before, self._before = self._before, None
        self.hide()
        if back and before is not None and isValid(before) and before.isVisible():
            before.setFocus(Qt.FocusReason.OtherFocusReason)
        if self._host is not self._window:
            # A panel's own window may be closed, and would take along what is in it.
            self.setParent(self._window)
            self._host = self._window
            self.hide()

    def _is_ours(self, host: QWidget) -> bool:
        panels = self._window.panels
        contents = (panels.panel(session_id) for session_id in panels.open_ids())
        return any(content is not None and content.window() is host for content in contents)

    def _place(self) -> None:
        host = self._host
        top, row = min(72, max(12, host.height() // 10)), max(1, self.list.sizeHintForRow(0))
        most = max(1, (host.height() - top - 110) // row)
        # Whole lines, and no more room than they need.
        lines = min(_LINES, most, self.model.rowCount())
        self.list.setFixedHeight(lines * row + 2 * self.list.frameWidth())
        self.list.setVisible(lines > 0)
        width = min(_WIDTH, host.width() - 24)
        self.setFixedWidth(width)
        self.setFixedHeight(self.sizeHint().height())
        self.move(QPoint((host.width() - width) // 2, top))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Resize and self.isVisible():
            self._place()
        elif event.type() in (QEvent.Type.Close, QEvent.Type.Hide):
            self.leave(back=False)
        return super().eventFilter(watched, event)

    # -- finding

    @property
    def found(self) -> Sequence[Entry]:
        """What is listed."""
        return self.model.entries

    def _on_text(self, text: str) -> None:
        kind = PREFIXES.get(text[:1])
        query = text[1:] if kind is not None else text
        if kind not in self._finders:
            finder: Finder[Entry] = Finder()
            finder.prepare(entry for entry in self._all if kind in (None, entry.kind))
            self._finders[kind] = finder
        found = self._finders[kind].find(query, self._recent())
        self.model.show_entries(found)
        self._place()
        if found:
            choose_row(self.list, self.model.index(0))
            self.list.scrollToTop()
        self._say()

    def _recent(self) -> list[str]:
        kept = self._state.get(RECENT, [])
        return [key for key in kept if isinstance(key, str)] if isinstance(kept, list) else []

    def _say(self, *_ignored: object) -> None:
        entry = self._current()
        if entry is None:
            self.foot.setText(f"Nothing is called so; less of the word finds more.  {FIRST_CHARACTERS}")
        elif entry.why_not:
            self.foot.setText(f"Not now: {entry.why_not}.")
        else:
            self.foot.setText(f"Enter: go.  {FIRST_CHARACTERS}")

    def _current(self) -> Entry | None:
        index = self.list.currentIndex()
        return self.model.entries[index.row()] if index.isValid() else None

    # -- choosing

    def take_key(self, event: QKeyEvent) -> bool:
        """A key of the line that means something to the palette."""
        key = Qt.Key(event.key())
        if key == Qt.Key.Key_Escape or self._is_own_key(event):
            self.leave()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._choose(self._current())
        elif key in _WALK:
            last = self.model.rowCount() - 1
            row = min(last, max(0, self.list.currentIndex().row() + _WALK[key]))
            if last >= 0:
                choose_row(self.list, self.model.index(row))
        else:
            # Tab would lead out of the palette, into what lies behind it.
            return key in (Qt.Key.Key_Tab, Qt.Key.Key_Backtab)
        return True

    def _is_own_key(self, event: QKeyEvent) -> bool:
        return QKeySequence(event.keyCombination()) in self._window.commands["view.palette"].shortcuts()

    def _on_clicked(self, index: Index) -> None:
        self._choose(self.model.entries[index.row()])

    def _choose(self, entry: Entry | None) -> None:
        if entry is None or entry.why_not:
            self._say()
            return
        recent = [entry.key, *(key for key in self._recent() if key != entry.key)]
        self._state.put(RECENT, recent[:MAX_RECENT])
        # First away, so that what is done finds the focus where the person was.
        self.leave()
        entry.act()
