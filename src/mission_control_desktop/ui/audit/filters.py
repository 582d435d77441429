"""What is looked for in the log: by whom, where, what, with which outcome, when, and with which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from PySide6.QtCore import QDate, QTimer, QTimeZone, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QDateTimeEdit, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.mission_control import AuditFilter
from mission_control_desktop.ui import theme, words

TYPING_MS = 300
BETWEEN = "between"
SPANS: tuple[tuple[str, timedelta | str | None], ...] = (
    ("Any time", None),
    ("Last hour", timedelta(hours=1)),
    ("Last 24 hours", timedelta(hours=24)),
    ("Last 7 days", timedelta(days=7)),
    ("Last 30 days", timedelta(days=30)),
    ("Between…", BETWEEN),
)


class AuditFilters(QWidget):
    """The row of fields. The control plane judges all of them but the text, which is looked for in what was read: the
    words of the log are sealed on its disk."""

    changed = Signal()
    text_changed = Signal(str)
    steps_changed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = _field("Text", "Find text in the rows")
        self.person = _field("Person", "Filter by person")
        self.session = _field("Session id", "Filter by session id")
        self.action = _choices("Any action", [a.value for a in AuditAction if a is not AuditAction.UNREADABLE])
        self.outcome = _choices("Any outcome", [o.value for o in AuditOutcome])
        self.time = QComboBox()
        self.time.setAccessibleName("Filter by time")
        for title, span in SPANS:
            self.time.addItem(title, span)
        self.since = _moment("From this time on (local time)")
        self.until = _moment("Up to this time (local time)")
        self.steps = QCheckBox("Steps")
        self.steps.setToolTip("Show an order and its outcome as two rows, as they stand in the log")
        self.steps.toggled.connect(self.steps_changed)
        self._between = QWidget()
        between = QHBoxLayout(self._between)
        between.setContentsMargins(0, 0, 0, 0)
        for label, edit in (("From", self.since), ("to", self.until)):
            name = QLabel(label)
            name.setProperty("tone", "muted")
            name.setBuddy(edit)
            between.addWidget(name)
            between.addWidget(edit)
        between.addStretch(1)
        self._between.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 0, 12, 0)
        layout.setSpacing(6)
        first, second = QHBoxLayout(), QHBoxLayout()
        layout.addLayout(first)
        for widget, stretch in ((self.text, 3), (self.person, 2), (self.session, 3)):
            first.addWidget(widget, stretch)
        layout.addLayout(second)
        for box in (self.action, self.outcome, self.time):
            second.addWidget(box, 2)
        second.addWidget(self.steps)
        layout.addWidget(self._between)

        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(TYPING_MS)
        self._later.timeout.connect(self.changed)
        for field in (self.person, self.session):
            field.textChanged.connect(lambda _t: self._later.start())
        for edit in (self.since, self.until):
            edit.dateTimeChanged.connect(lambda _t: self._later.start())
        for box in (self.action, self.outcome):
            box.currentIndexChanged.connect(lambda _i: self.changed.emit())
        self.time.currentIndexChanged.connect(self._on_time)
        self._text_later = QTimer(self)
        self._text_later.setSingleShot(True)
        self._text_later.setInterval(TYPING_MS)
        self._text_later.timeout.connect(lambda: self.text_changed.emit(self.words))
        self.text.textChanged.connect(lambda _t: self._text_later.start())

    @property
    def words(self) -> str:
        """The text that is looked for; empty for none."""
        return self.text.text().strip()

    def filter(self) -> AuditFilter:
        """What the control plane is asked for, as the fields stand now."""
        since, until = self._range()
        return AuditFilter(
            user=self.person.text().strip() or None,
            session=self.session.text().strip() or None,
            action=self.action.currentData(),
            outcome=self.outcome.currentData(),
            from_=since,
            to=until,
        )

    def _range(self) -> tuple[datetime | None, datetime | None]:
        span = self.time.currentData()
        if isinstance(span, timedelta):
            return words.utc_now() - span, None
        if span == BETWEEN:
            return _utc(self.since), _utc(self.until)
        return None, None

    def _on_time(self) -> None:
        between = self.time.currentData() == BETWEEN
        self._between.setVisible(between)
        self.changed.emit()
        if between:
            self.since.setFocus()


def passes(entry: AuditEntry, filters: AuditFilter) -> bool:
    """Whether a row passes a filter, as the control plane would judge."""
    return (
        filters.user in (None, entry.user_id)
        and filters.session in (None, entry.session_id)
        and filters.action in (None, entry.action.value)
        and filters.outcome in (None, entry.outcome.value)
        and filters.provider in (None, entry.provider)
        and (filters.from_ is None or entry.created_at >= filters.from_)
        and (filters.to is None or entry.created_at < filters.to)
    )


def contains(entry: AuditEntry, text: str) -> bool:
    """Whether a row has these words anywhere in what a person wrote or is shown of it. `text` in lower case."""
    shown = (entry.user_id, entry.action.value, entry.outcome.value, entry.session_id, entry.provider, entry.content)
    if any(part is not None and text in part.lower() for part in shown):
        return True
    return bool(entry.metadata) and text in msgspec.json.encode(entry.metadata).decode().lower()


def _field(placeholder: str, name: str) -> QLineEdit:
    field = QLineEdit()
    field.setPlaceholderText(placeholder)
    field.setAccessibleName(name)
    field.setToolTip(name)
    field.setClearButtonEnabled(True)
    return field


def _moment(name: str) -> QDateTimeEdit:
    edit = QDateTimeEdit()
    edit.setDisplayFormat("yyyy-MM-dd HH:mm")
    edit.setCalendarPopup(True)
    edit.setAccessibleName(name)
    edit.setToolTip(name)
    today = QDate.currentDate()
    edit.setDateTime((today.addDays(-1) if name.startswith("From") else today.addDays(1)).startOfDay())
    theme.keep(edit, _in_shown_zone)
    return edit


def _in_shown_zone(edit: QDateTimeEdit) -> None:
    """The same moment, in the zone that times are shown in."""
    moment = edit.dateTime()
    zone = QTimeZone(QTimeZone.Initialization.UTC if theme.appearance().utc else QTimeZone.Initialization.LocalTime)
    edit.setTimeZone(zone)
    edit.setDateTime(moment.toTimeZone(zone))


def _utc(edit: QDateTimeEdit) -> datetime:
    return datetime.fromtimestamp(edit.dateTime().toSecsSinceEpoch(), UTC)


def _choices(every: str, values: list[str]) -> QComboBox:
    box = QComboBox()
    box.addItem(every, None)
    for value in values:
        box.addItem(value, value)
    box.setAccessibleName(every)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box
