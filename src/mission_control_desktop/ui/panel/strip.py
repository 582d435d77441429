"""Receipts of the messages that are on their way: one line each, the ladder in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.panel.elided import ElidedLabel
from mission_control_desktop.ui.transcript.row import receipt_text

SHOWN = 3
"""Lines at most; how many more there are is said."""
MOST = 12
"""Lines when all are wanted; a small panel must still show its transcript."""
KEPT_AFTER = timedelta(seconds=6)
"""How long a finished message stays to be seen."""
FRESH = timedelta(minutes=2)
"""A receipt that finished longer ago than this, and whose message was not sent from here, is not shown."""

_ENDS = frozenset({ReceiptState.ANSWERED, ReceiptState.FAILED, ReceiptState.WITHDRAWN})


def ladder_text(receipt: Receipt) -> str:
    """`stored → queued #2`: the steps so far."""
    if receipt.state in (ReceiptState.FAILED, ReceiptState.WITHDRAWN):
        return receipt_text(receipt)
    if receipt.state is ReceiptState.STORED:
        return "stored"
    steps = ["stored"]
    if receipt.state is ReceiptState.QUEUED:
        return f"stored → {receipt_text(receipt)}"
    steps.append("delivered")
    if receipt.state is ReceiptState.ANSWERED:
        steps.append("answered")
    return " → ".join(steps)


@dataclass
class _Known:
    receipt: Receipt
    text: str
    since: datetime


class _Line(QWidget):
    def __init__(self, strip: ReceiptStrip, injection_id: str) -> None:
        super().__init__()
        self._strip, self._id = strip, injection_id
        self.text = ElidedLabel(least=60)
        self.text.setProperty("tone", "small")
        self.state = QLabel()
        self.state.setTextFormat(Qt.TextFormat.PlainText)
        self.button = QPushButton()
        self.button.setProperty("kind", "quiet")
        self.button.clicked.connect(self._on_clicked)
        policy = self.button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.button.setSizePolicy(policy)
        self.edit = QPushButton("Edit")
        self.edit.setProperty("kind", "quiet")
        self.edit.setToolTip(
            "Take the message back and put its words into the input; sent again, it is the last in line"
        )
        self.edit.clicked.connect(self._on_edit)
        self.edit.hide()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        theme.keep_distances(row, spacing="gap")
        row.addWidget(self.text, 1)
        row.addWidget(self.state)
        row.addWidget(self.edit)
        row.addWidget(self.button)

    def show_known(self, known: _Known, *, editable: bool) -> None:
        state = known.receipt.state
        self.edit.setVisible(editable and state in (ReceiptState.QUEUED, ReceiptState.STORED))
        self.edit.setAccessibleName(f"Edit the message: {known.text}")
        self.button.setAccessibleName(f"{'Put back' if state is ReceiptState.FAILED else 'Withdraw'}: {known.text}")
        self.text.setText(known.text or "Message")
        self.state.setText(ladder_text(known.receipt))
        self.state.setProperty("tone", "error" if state is ReceiptState.FAILED else "small")
        self.state.style().unpolish(self.state)
        self.state.style().polish(self.state)
        self.button.setVisible(state in (ReceiptState.QUEUED, ReceiptState.STORED, ReceiptState.FAILED))
        self.button.setText("Put back" if state is ReceiptState.FAILED else "Withdraw")
        self.button.setToolTip(
            "Put the words back into the input"
            if state is ReceiptState.FAILED
            else "Take the message back before it is delivered"
        )

    def _on_clicked(self) -> None:
        self._strip.clicked(self._id)

    def _on_edit(self) -> None:
        self._strip.edit_wanted.emit(self._id)


class ReceiptStrip(QFrame):
    """What became of the newest messages."""

    withdraw_wanted = Signal(str)
    put_back_wanted = Signal(str)
    edit_wanted = Signal(str)
    """Take the message back, and let its words be written anew."""
    queued_changed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._known: dict[str, _Known] = {}
        self._texts: dict[str, str] = {}
        self._lines: dict[str, _Line] = {}
        self._queued = 0
        self._may_act = True
        self._column = QVBoxLayout(self)
        theme.keep_distances(self._column, margins=("margin", 4, "gap", 0))
        self._column.setSpacing(0)
        self._rest = QPushButton()
        self._rest.setProperty("kind", "quiet")
        self._rest.clicked.connect(self._on_rest)
        self._all = False
        self._column.addWidget(self._rest, 0, Qt.AlignmentFlag.AlignLeft)
        self.hide()

    def set_may_act(self, may_act: bool) -> None:
        self._may_act = may_act

    def note_text(self, injection_id: str, text: str) -> None:
        """The words of a message, for its line."""
        self._texts[injection_id] = text
        short = " ".join(text[:400].split())[:160]
        while len(self._texts) > 100:
            del self._texts[next(iter(self._texts))]
        if (known := self._known.get(injection_id)) is not None and known.text != short:
            known.text = short
            self._show()

    def text_of(self, injection_id: str) -> str:
        """The words of a message, as far as they are known here."""
        return self._texts.get(injection_id, "")

    def take(self, receipt: Receipt, *, own: bool = False) -> None:
        """The newest receipt of a message."""
        known = self._known.get(receipt.injection_id)
        now = datetime.now(UTC)
        if known is None:
            if receipt.state in _ENDS and not own and now - receipt.at > FRESH:
                return
            self._known[receipt.injection_id] = _Known(
                receipt, " ".join(self._texts.get(receipt.injection_id, "")[:400].split())[:160], now
            )
        elif known.receipt != receipt:
            known.receipt, known.since = receipt, now
        self._show()

    def tick(self) -> None:
        """Let finished ones go. Failed ones stay until somebody did something about them."""
        now = datetime.now(UTC)
        gone = [
            key
            for key, known in self._known.items()
            if known.receipt.state in (ReceiptState.ANSWERED, ReceiptState.WITHDRAWN) and now - known.since > KEPT_AFTER
        ]
        for key in gone:
            del self._known[key]
        if gone:
            self._show()

    def clicked(self, injection_id: str) -> None:
        known = self._known.get(injection_id)
        if known is None:
            return
        if known.receipt.state is ReceiptState.FAILED:
            del self._known[injection_id]
            self._show()
            self.put_back_wanted.emit(injection_id)
        else:
            self.withdraw_wanted.emit(injection_id)

    def set_busy(self, injection_id: str, busy: bool) -> None:
        if (line := self._lines.get(injection_id)) is not None:
            line.button.setEnabled(not busy)
            line.edit.setEnabled(not busy)

    def lines(self) -> list[str]:
        """What is shown, as text."""
        return [f"{line.text.text()}: {line.state.text()}" for line in self._lines.values()]

    @staticmethod
    def _place(receipt: Receipt) -> tuple[bool, int]:
        return receipt.state in _ENDS, receipt.position or 0

    def _on_rest(self) -> None:
        self._all = not self._all
        self._show()

    def _show(self) -> None:
        # Open ones first, in the order in which they go out: they are what can still be changed.
        order = sorted(self._known, key=lambda key: self._place(self._known[key].receipt))
        shown = order[: MOST if self._all else SHOWN]
        for key in [key for key in self._lines if key not in shown]:
            line = self._lines.pop(key)
            self._column.removeWidget(line)
            line.deleteLater()
        for key in shown:
            if key not in self._lines:
                self._lines[key] = _Line(self, key)
                self._column.insertWidget(self._column.count() - 1, self._lines[key])
            self._lines[key].show_known(self._known[key], editable=self._may_act and bool(self._texts.get(key)))
            if not self._may_act:
                self._lines[key].button.hide()
        for place, key in enumerate(shown):
            if self._column.indexOf(self._lines[key]) != place:
                self._column.insertWidget(place, self._lines[key])
        rest = len(order) - len(shown)
        self._rest.setText(f"and {rest} more" if not self._all or rest else "show less")
        self._rest.setVisible(rest > 0 or (self._all and len(order) > SHOWN))
        self.setVisible(bool(order))
        queued = sum(
            known.receipt.state in (ReceiptState.QUEUED, ReceiptState.STORED) for known in self._known.values()
        )
        if queued != self._queued:
            self._queued = queued
            self.queued_changed.emit(queued)
