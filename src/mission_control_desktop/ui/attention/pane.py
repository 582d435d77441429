"""The list of what needs a person, over the right side of the window."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QStackedWidget,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.ui import icons, theme
from mission_control_desktop.ui.approvals.flow import Flow
from mission_control_desktop.ui.attention.center import Attention
from mission_control_desktop.ui.attention.model import AttentionModel, Column
from mission_control_desktop.ui.attention.queue import Need
from mission_control_desktop.ui.choosing import choose_row
from mission_control_desktop.ui.commands import CommandActions

_BUTTONS = (
    ("mission.acknowledge", "Acknowledge"),
    ("mission.shelve_5", "5 minutes"),
    ("mission.shelve_30", "30 minutes"),
    ("mission.shelve_change", "Until it changes"),
)
_MIN_WIDTH, _MAX_WIDTH = 680, 960
AGES_MS = 1_000


class AttentionTable(QTableView):
    """Enter goes to what the row names."""

    entered = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.entered.emit()
            event.accept()
            return
        super().keyPressEvent(event)


class AttentionPane(QFrame):
    """Lies over its parent's right side."""

    open_requested = Signal(object)
    """A `Need`: go to what it is about."""
    closed = Signal()

    def __init__(self, attention: Attention, commands: CommandActions, parent: QWidget) -> None:
        super().__init__(parent)
        self._attention, self._host = attention, parent
        self.setObjectName("attention")
        self.setProperty("surface", "drawer")
        self.setAccessibleName("What needs you")
        title = QLabel("What needs you")
        title.setProperty("tone", "heading")
        self.note = QLabel()
        self.note.setProperty("tone", "muted")
        self._close = QToolButton()
        self._close.setProperty("kind", "quiet")
        self._close.setToolTip("Close what needs you (Esc)")
        self._close.setAccessibleName("Close what needs you")
        self._close.clicked.connect(self.closed)

        self.model = AttentionModel(self)
        self.table = self._make_table()
        empty = QLabel("Nothing needs you.\nApprovals, questions, failures and what stands still appear here.")
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        empty.setProperty("tone", "muted")
        self.stack = QStackedWidget()
        self.stack.addWidget(self.table)
        self.stack.addWidget(empty)

        self.go = QPushButton("Go there")
        self.go.setObjectName("attention.go")
        self.go.setProperty("kind", "primary")
        self.go.setToolTip("Open the session, or the settings of the provider (Enter)")
        self.go.clicked.connect(self._on_open)
        foot = Flow(spacing=8)
        foot.setContentsMargins(12, 0, 12, 0)
        foot.put(self.go)
        self.buttons: list[QPushButton] = [self.go]
        tips: list[tuple[QPushButton, str, str]] = []
        for command_id, text in _BUTTONS:
            if command_id == "mission.shelve_5":
                shelve = QLabel("Shelve")
                shelve.setProperty("tone", "muted")
                shelve.setContentsMargins(12, 4, 0, 0)
                foot.put(shelve)
            action = commands[command_id]
            button = QPushButton(text)
            button.setObjectName(f"attention.{command_id}")
            said = action.text().replace("&", "")
            button.setAccessibleName(said)
            tips.append((button, command_id, said))
            button.clicked.connect(action.trigger)
            foot.put(button)
            self.buttons.append(button)
        for button in self.buttons:
            button.setAutoDefault(False)

        def name_keys() -> None:
            for button, command_id, said in tips:
                button.setToolTip(commands.tip(command_id, said))

        commands.keys_changed.connect(name_keys)
        name_keys()

        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 0, 0, 8)
        layout.setSpacing(8)
        head = QHBoxLayout()
        layout.addLayout(head)
        head.setContentsMargins(12, 8, 8, 0)
        head.setSpacing(12)
        head.addWidget(title)
        head.addWidget(self.note, 1)
        head.addWidget(self._close)
        layout.addWidget(self.stack, 1)
        layout.addWidget(foot)
        self._ages = QTimer(self)
        self._ages.setInterval(AGES_MS)
        self._ages.timeout.connect(self.model.refresh_ages)
        attention.changed.connect(self._take)
        theme.signals.theme_changed.connect(self._on_theme)
        parent.installEventFilter(self)
        self._on_theme()
        self._take()
        self.hide()

    def _make_table(self) -> AttentionTable:
        table = AttentionTable()
        table.setObjectName("attention.table")
        table.setModel(self.model)
        table.setAccessibleName("What needs you, the most urgent first")
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        theme.keep(table.verticalHeader(), lambda header: header.setDefaultSectionSize(theme.metrics.row + 2))
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for column, width in ((Column.CAUSE, 118), (Column.PROVIDER, 92), (Column.AGE, 72), (Column.BLOCKED, 76),
                              (Column.OPENS, 90)):  # fmt: skip
            table.setColumnWidth(column, width)
        header.setSectionResizeMode(Column.SESSION, QHeaderView.ResizeMode.Stretch)
        table.entered.connect(self._on_open)
        table.doubleClicked.connect(lambda _i: self._on_open())
        return table

    # -- asking

    def chosen(self) -> list[Need]:
        """The chosen rows, top down."""
        rows = sorted(index.row() for index in self.table.selectionModel().selectedRows())
        return [self.model.needs[row] for row in rows]

    def come(self) -> None:
        """Come in, at the most urgent row."""
        self._place()
        self.show()
        self.raise_()
        if self.model.needs:
            choose_row(self.table, self.model.index(0, 0))
        (self.table if self.model.needs else self._close).setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_open(self) -> None:
        index = self.table.currentIndex()
        if index.isValid():
            self.open_requested.emit(self.model.needs[index.row()])

    # -- following

    def _take(self) -> None:
        """The chosen rows stay chosen; where they went away, the one that took their place is."""
        kept = {need.key for need in self.chosen()}
        row = max(0, self.table.currentIndex().row())
        current = self.model.needs[row].key if row < len(self.model.needs) else ""
        self.model.take(self._attention.items())
        needs = self.model.needs
        self.stack.setCurrentIndex(0 if needs else 1)
        self.note.setText(f"{len(needs)} in the order of what waiting costs" if needs else "")
        for button in self.buttons:
            button.setEnabled(bool(needs))
        # What is the same for all rows says nothing: the room is better given to the question.
        self.table.setColumnHidden(Column.BLOCKED, not any(need.blocked for need in needs))
        self.table.setColumnHidden(Column.OPENS, all(need.session_id is not None for need in needs))
        self.model.select(self.table, kept, current, row)

    def _place(self) -> None:
        host = self._host
        width = min(host.width(), max(_MIN_WIDTH, min(_MAX_WIDTH, host.width() // 2)))
        self.setGeometry(host.width() - width, 0, width, host.height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Resize and self.isVisible():
            self._place()
        return super().eventFilter(watched, event)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.model.refresh_ages()
        self._ages.start()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._ages.stop()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
            return
        super().keyPressEvent(event)

    def _on_theme(self) -> None:
        self._close.setIcon(icons.icon("close"))
        self.table.viewport().update()
