"""Whether the log is whole: what the last check of its chain found, and when that was."""

from __future__ import annotations

from datetime import datetime

import msgspec
from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from mission_control_desktop.domain.audit import ChainReport
from mission_control_desktop.ui import words

VERIFY, CANCEL = "Verify the &chain", "Cancel the &check"


class Checked(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A check that was made from this workstation. `head` is where the chain ended then: the next check asks for it
    again, so that a log that was cut off or made anew since is found out."""

    at: datetime
    valid: bool
    rows: int
    head: str
    first_bad: int | None = None
    problem: str = ""


def checked(report: ChainReport, at: datetime) -> Checked:
    """What is kept of a report."""
    bad = report.first_bad
    return Checked(
        at=at,
        valid=report.valid,
        rows=report.rows,
        head=str(report.head),
        first_bad=bad.seq if bad is not None else None,
        problem=f"{bad.fault.value}: {bad.problem}" if bad is not None else "",
    )


def chain_words(known: Checked | None, now: datetime, newest: int = 0) -> tuple[str, str]:
    """How it stands in words, and in which tone. `newest` is the last row of the log that is known of."""
    if known is None:
        return "?  Chain not checked yet from this computer", "muted"
    age = words.duration((now - known.at).total_seconds())
    if known.valid:
        since = newest - int(known.head.partition(":")[0])
        rest = f"; {words.plural(since, 'row')} since not checked" if since > 0 else ""
        return f"✓  Chain valid: {words.plural(known.rows, 'row')}, checked {age} ago{rest}", ""
    at = "" if known.first_bad is None else f" at row {known.first_bad}"
    return f"✕  Chain BROKEN{at}, checked {age} ago. {known.problem}", "error"


class ChainRow(QWidget):
    """The line below the table. `check_requested` asks for a check, `cancel_requested` calls it off while it is under
    way; the row that does not fit can be shown."""

    check_requested = Signal()
    cancel_requested = Signal()
    row_wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._known: Checked | None = None
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setAccessibleName("State of the chain")
        self.show_row = QPushButton("Show the &row")
        self.show_row.setAutoDefault(False)
        self.show_row.clicked.connect(self._on_row)
        self.check = QPushButton()
        self.check.setAutoDefault(False)
        self.check.clicked.connect(self._on_check)
        self._began = words.utc_now()
        self._rows = 0
        self._ages = QTimer(self)
        self._ages.setInterval(1_000)
        self._ages.timeout.connect(self._tell_checking)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 0, 12, 0)
        layout.addWidget(self.label, 1)
        layout.addWidget(self.show_row)
        layout.addWidget(self.check)
        self.show_known(None)

    def show_known(self, known: Checked | None, newest: int = 0) -> None:
        """What the last check found; `newest` is the last row of the log that is known of."""
        self._known = known
        text, tone = chain_words(known, words.utc_now(), newest)
        self._say(text, tone)
        self._ages.stop()
        self.check.setText(VERIFY)
        self.check.setToolTip("Have the control plane check every row, and that the log still leads on from here")
        self.show_row.setVisible(known is not None and not known.valid and known.first_bad is not None)

    def show_checking(self, newest: int = 0) -> None:
        """A check is under way; `newest` is the last row of the log that is known of."""
        self._began, self._rows = words.utc_now(), newest
        self._ages.start()
        self.check.setText(CANCEL)
        self.check.setToolTip("Do not wait for it any longer. A check changes nothing")
        self.show_row.hide()
        self._tell_checking()

    def _tell_checking(self) -> None:
        # The control plane answers once, at the end: how far it is nobody knows here.
        rows = f"all {self._rows:,} rows" if self._rows else "every row"
        gone = words.duration((words.utc_now() - self._began).total_seconds())
        self._say(f"…  Checking {rows} of the log, for {gone}", "muted")

    def show_failed(self, why: str) -> None:
        """It was not checked; what was known before stays known."""
        self.show_known(self._known)
        text, _ = chain_words(self._known, words.utc_now())
        self._say(f"{why}\n{text}", "attention")

    def _on_check(self) -> None:
        (self.cancel_requested if self._ages.isActive() else self.check_requested).emit()

    def _say(self, text: str, tone: str) -> None:
        self.label.setText(text)
        self.label.setProperty("tone", tone)
        self.label.style().unpolish(self.label)
        self.label.style().polish(self.label)

    def _on_row(self) -> None:
        if self._known is not None and self._known.first_bad is not None:
            self.row_wanted.emit(self._known.first_bad)
