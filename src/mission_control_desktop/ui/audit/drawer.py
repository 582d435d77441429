"""The drawer that slides in over the panels."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from PySide6.QtCore import QEasingCurve, QEvent, QObject, QPropertyAnimation, QRect, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPlainTextEdit,
    QPushButton,
    QStackedWidget,
    QStyle,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.domain.audit import AuditEntry
from mission_control_desktop.ui import icons, theme, times
from mission_control_desktop.ui.audit.chain import ChainRow
from mission_control_desktop.ui.audit.exporting import ExportRow
from mission_control_desktop.ui.audit.filters import AuditFilters
from mission_control_desktop.ui.audit.model import AuditColumn, AuditModel
from mission_control_desktop.ui.choosing import choose_row

_MIN_WIDTH, _MAX_WIDTH = 640, 1040


class AuditTable(QTableView):
    """Enter shows the whole row."""

    entered = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.entered.emit()
            event.accept()
            return
        super().keyPressEvent(event)


class AuditDrawer(QFrame):
    """Lies over its parent's right side. The presenter loads; this shows."""

    filter_changed = Signal()
    refresh_requested = Signal()
    export_requested = Signal(bool)
    """Whether only what the filters find is wanted."""
    plane_chosen = Signal(str)
    """Key of the control plane whose log is to be shown."""
    jump_requested = Signal(object)
    """The `AuditEntry` whose session is to be opened, at its time."""
    closed = Signal()

    def __init__(self, model: AuditModel, parent: QWidget) -> None:
        super().__init__(parent)
        self.model = model
        self._host = parent
        self._slide: QPropertyAnimation | None = None
        self._wanted = False
        self.setObjectName("audit")
        self.setProperty("surface", "drawer")
        self.setAccessibleName("Audit log")
        title = QLabel("Audit log")
        title.setProperty("tone", "heading")
        self.note = QLabel()
        self.note.setProperty("tone", "muted")
        self.refresh = self._tool("refresh", "Read again")
        self.refresh.clicked.connect(self.refresh_requested)
        self._close = self._tool("close", "Close the audit log (Esc)")
        self._close.clicked.connect(self.closed)
        self.plane = QComboBox()
        self.plane.setAccessibleName("Control plane whose log is shown")
        self.plane.currentIndexChanged.connect(lambda _i: self.plane_chosen.emit(str(self.plane.currentData() or "")))
        self.plane.hide()
        self.export = QPushButton("E&xport")
        self.export.setAutoDefault(False)
        self.export.setToolTip("Write the log to a file that only you can read")
        menu = QMenu(self.export)
        self.export_all = menu.addAction("The &whole log…")
        self.export_all.triggered.connect(lambda: self.export_requested.emit(False))
        self.export_found = menu.addAction("What the &filters find…")
        self.export_found.triggered.connect(lambda: self.export_requested.emit(True))
        self.export.setMenu(menu)

        self.filters = AuditFilters()
        self.filters.changed.connect(self.filter_changed)
        self.filters.steps_changed.connect(model.set_steps)

        self.away = QLabel()
        self.away.setProperty("tone", "attention")
        self.away.setWordWrap(True)
        self.away.setContentsMargins(12, 0, 12, 0)
        self.away.hide()
        self.table = self._make_table()
        self.chain = ChainRow()
        self.exporting = ExportRow()
        self._empty = QLabel()
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setProperty("tone", "muted")
        self._stack = QStackedWidget()
        self._stack.addWidget(self.table)
        self._stack.addWidget(self._empty)
        self.detail = QPlainTextEdit()
        self.detail.setReadOnly(True)
        theme.keep_font(self.detail, "text_small", mono=True)
        self.detail.setTabChangesFocus(True)
        self.detail.setAccessibleName("The whole row")
        self.detail.setFixedHeight(180)
        self.jump = QPushButton("&Go to the session at this time")
        self.jump.setAutoDefault(False)
        self.jump.clicked.connect(self._on_jump)
        self._detail_box = QWidget()
        box = QVBoxLayout(self._detail_box)
        box.setContentsMargins(12, 0, 12, 0)
        box.addWidget(self.detail)
        box.addWidget(self.jump, 0, Qt.AlignmentFlag.AlignLeft)
        self._detail_box.hide()

        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 0, 0, 8)
        layout.setSpacing(8)
        head = QHBoxLayout()
        layout.addLayout(head)
        head.setContentsMargins(12, 8, 8, 0)
        head.addWidget(title)
        head.addWidget(self.plane)
        head.addWidget(self.note, 1)
        head.addWidget(self.export)
        head.addWidget(self.refresh)
        head.addWidget(self._close)
        layout.addWidget(self.filters)
        layout.addWidget(self.away)
        layout.addWidget(self._stack, 1)
        layout.addWidget(self._detail_box)
        layout.addWidget(self.exporting)
        layout.addWidget(self.chain)

        for signal in (model.modelReset, model.rowsInserted, model.rowsRemoved):
            signal.connect(self._on_rows)
        theme.signals.theme_changed.connect(self._on_theme)
        parent.installEventFilter(self)
        self._on_rows()
        self._on_theme()
        self.hide()

    def _make_table(self) -> AuditTable:
        table = AuditTable()
        table.setObjectName("audit.table")
        table.setModel(self.model)
        table.setAccessibleName("Audit rows, newest first")
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        theme.keep(table.verticalHeader(), lambda header: header.setDefaultSectionSize(theme.metrics.row - 2))
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(AuditColumn.CONTENT, QHeaderView.ResizeMode.Stretch)
        for column, width in (
            (AuditColumn.TIME, 76),
            (AuditColumn.PERSON, 84),
            (AuditColumn.ACTION, 118),
            (AuditColumn.SESSION, 130),
            (AuditColumn.OUTCOME, 76),
        ):
            table.setColumnWidth(column, width)
        table.entered.connect(self.show_detail)
        table.doubleClicked.connect(lambda _i: self.show_detail())
        table.selectionModel().currentRowChanged.connect(lambda _a, _b: self._follow())
        return table

    def _tool(self, name: str, tip: str) -> QToolButton:
        button = QToolButton()
        button.setProperty("kind", "quiet")
        button.setProperty("icon_name", name)
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        return button

    # -- what is said

    def say(self, text: str) -> None:
        """A short note beside the title, e.g. how many rows are loaded."""
        self.note.setText(text)

    def set_planes(self, planes: Sequence[tuple[str, str]], chosen: str) -> None:
        """Keys and names of the control planes; a single one is not offered to be chosen."""
        self.plane.blockSignals(True)
        self.plane.clear()
        for key, name in planes:
            self.plane.addItem(name, key)
        self.plane.setCurrentIndex(max(0, self.plane.findData(chosen)))
        self.plane.blockSignals(False)
        self.plane.setVisible(len(planes) > 1)

    def set_empty_text(self, text: str) -> None:
        """What stands in the table's place when it has no rows."""
        self._empty.setText(text)

    @property
    def empty_text(self) -> str:
        """What stands there while the table has no rows."""
        return self._empty.text()

    def choose(self, seq: int) -> bool:
        """Make a row the current one and show it whole; False if it is not among those shown."""
        row = self.model.row_of(seq)
        if row is None:
            return False
        choose_row(self.table, self.model.index(row, 0))
        self.show_detail()
        return True

    def set_away(self, text: str) -> None:
        """Say that these rows are not fresh; empty when they are."""
        self.away.setText(text)
        self.away.setVisible(bool(text))

    # -- one row

    def show_detail(self) -> None:
        """Show the current row whole."""
        if self.model.entry(self.table.currentIndex()) is not None:
            self._detail_box.show()
            self._follow()

    def _follow(self) -> None:
        entry = self.model.entry(self.table.currentIndex())
        if entry is None or self._detail_box.isHidden():
            return
        self.detail.setPlainText(detail_text(entry, self.model.content(entry)))
        self.jump.setVisible(entry.session_id is not None)

    def _on_jump(self) -> None:
        entry = self.model.entry(self.table.currentIndex())
        if entry is not None and entry.session_id is not None:
            self.jump_requested.emit(entry)

    def _on_rows(self) -> None:
        focused = self.hasFocus() or self.table.hasFocus()
        self._stack.setCurrentIndex(0 if self.model.rowCount() else 1)
        if not self.table.currentIndex().isValid():
            self._detail_box.hide()
        if focused:
            self.take_focus(Qt.FocusReason.OtherFocusReason)

    def take_focus(self, reason: Qt.FocusReason) -> None:
        """Have the keys: the rows, or the drawer itself until some come."""
        if not self.model.rowCount():
            self.setFocus(reason)
            return
        if not self.table.currentIndex().isValid():
            choose_row(self.table, self.model.index(0, 0))
        self.table.setFocus(reason)

    # -- sliding

    @property
    def wanted(self) -> bool:
        """Whether it is here or on its way in; False while it leaves."""
        return self._wanted

    def slide(self, *, show: bool) -> None:
        """Come in from the right, or go; who is on the way turns round."""
        self._wanted, on_the_way = show, self.isVisible()
        target, away = self._places()
        duration = self.style().styleHint(QStyle.StyleHint.SH_Widget_Animation_Duration)
        if self._slide is not None:
            self._slide.stop()
            self._slide = None
        if show:
            self.show()
            self.raise_()
            self.take_focus(Qt.FocusReason.OtherFocusReason)
        if theme.appearance().still or duration <= 0 or not self._host.isVisible():
            self.setGeometry(target)
            self.setVisible(show)
            return
        slide = QPropertyAnimation(self, b"geometry", self)
        slide.setDuration(min(160, duration))
        slide.setEasingCurve(QEasingCurve.Type.OutCubic)
        slide.setStartValue(self.geometry() if on_the_way else away)
        slide.setEndValue(target if show else away)
        if not show:
            slide.finished.connect(self.hide)
        slide.start(QPropertyAnimation.DeletionPolicy.KeepWhenStopped)
        self._slide = slide

    def _places(self) -> tuple[QRect, QRect]:
        parent = self._host
        width = min(parent.width(), max(_MIN_WIDTH, min(_MAX_WIDTH, parent.width() * 11 // 20)))
        target = QRect(parent.width() - width, 0, width, parent.height())
        return target, target.translated(width, 0)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is QEvent.Type.Resize and self.isVisible():
            if self._slide is not None:
                self._slide.stop()
                self._slide = None
            self.setGeometry(self._places()[0])
            # On its way out nothing but the stopped slide would have hidden it.
            self.setVisible(self._wanted)
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            if self._detail_box.isVisible():
                self._detail_box.hide()
                self.table.setFocus(Qt.FocusReason.OtherFocusReason)
            else:
                self.closed.emit()
            return
        super().keyPressEvent(event)

    def _on_theme(self) -> None:
        for button in (self.refresh, self._close):
            button.setIcon(icons.icon(button.property("icon_name")))
        self.table.viewport().update()


def detail_text(entry: AuditEntry, content: str) -> str:
    """A row as a person reads it whole."""
    lines = [
        f"{times.exact(entry.created_at)}   row {entry.seq}",
        f"{entry.user_id} ({entry.actor_kind.value}): {entry.action.value}, {entry.outcome.value}",
    ]
    if entry.session_id:
        lines.append(entry.session_id)
    elif entry.provider:
        lines.append(f"provider {entry.provider}")
    if content:
        lines += ["", content]
    if entry.metadata:
        lines += ["", msgspec.json.format(msgspec.json.encode(entry.metadata), indent=2).decode()]
    lines += ["", f"hash {entry.hash}", f"prev {entry.prev_hash}"]
    return "\n".join(lines)
