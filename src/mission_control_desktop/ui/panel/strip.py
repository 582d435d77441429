"""Receipts of the messages that are on their way: a line each. What waits can be edited there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QPushButton, QVBoxLayout, QWidget

from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.panel.elided import ElidedLabel
from mission_control_desktop.ui.panel.queue_drag import Place, QueueDrag
from mission_control_desktop.ui.panel.queue_line import WAITS, QueueLine, Shown
from mission_control_desktop.ui.panel.queue_moves import Moves
from mission_control_desktop.ui.panel.wording import Possible
from mission_control_desktop.ui.roles import ONLY_WATCHES

SHOWN = 3
"""Lines at most; how many more there are is said."""
MOST = 12
"""Lines when all are wanted; a small panel must still show its transcript."""
KEPT_DELIVERED = 100
"""Messages whose answer nobody reports: the newest are shown."""
KEPT_AFTER = timedelta(seconds=6)
"""How long a finished message stays to be seen."""
KEPT_TEXTS = 300
"""More than can wait in one session."""
FRESH = timedelta(minutes=2)
"""A receipt that finished longer ago than this, and whose message was not sent from here, is not shown."""

MOVES_NEXT = "moves next…"
"""What a line says whose move waits for another one."""

_ENDS = frozenset({ReceiptState.ANSWERED, ReceiptState.FAILED, ReceiptState.WITHDRAWN})


@dataclass
class _Known:
    receipt: Receipt
    text: str
    since: datetime


class ReceiptStrip(QFrame):
    """What became of the newest messages."""

    withdraw_wanted = Signal(str)
    put_back_wanted = Signal(str)
    take_back_wanted = Signal(str)
    """Take the message back, and let its words be written anew."""
    edit_wanted = Signal(str, str, str)
    """Give it other words in its place: message, new words, and those that they are to replace."""
    move_wanted = Signal(str, int)
    """Put it at this place, counted from 1."""
    too_many_moves = Signal(str)
    """A move is not noted, and why in words."""
    words_left = Signal(str)
    """Words that somebody wrote for a message that cannot have them any more."""
    queued_changed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._known: dict[str, _Known] = {}
        self._texts: dict[str, str] = {}
        self._lines: dict[str, QueueLine] = {}
        self._may_edit = Possible(False, "")
        self._busy: dict[str, str] = {}
        self._moves = Moves()
        self._tabbed: list[str] = []
        self._queued = 0
        self._may_act, self._why_not = True, ""
        self._column = QVBoxLayout(self)
        theme.keep_distances(self._column, margins=("margin", 4, "gap", 0))
        self._column.setSpacing(0)
        self._rest = QPushButton()
        self._rest.setProperty("kind", "quiet")
        self._rest.clicked.connect(self._on_rest)
        self._all = False
        self._column.addWidget(self._rest, 0, Qt.AlignmentFlag.AlignLeft)
        self.why = ElidedLabel(least=60)
        """Why what waits cannot be changed."""
        self.why.setProperty("tone", "small")
        self._column.addWidget(self.why)
        self.drag = QueueDrag(self, self._places, self._may_drag, self.move_by)
        self.hide()

    def set_may_act(self, may_act: bool, why: str = ONLY_WATCHES) -> None:
        self._may_act, self._why_not = may_act, why
        self._show()

    def set_may_edit(self, possible: Possible) -> None:
        """Whether what waits can be changed and moved, or why not."""
        if possible != self._may_edit:
            self._may_edit = possible
            self._show()

    def note_text(self, injection_id: str, text: str) -> None:
        """The words of a message, for its line."""
        self._texts[injection_id] = text
        while len(self._texts) > KEPT_TEXTS:
            del self._texts[next(iter(self._texts))]
        if (known := self._known.get(injection_id)) is not None and known.text != text:
            known.text = text
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
            self._known[receipt.injection_id] = _Known(receipt, self._texts.get(receipt.injection_id, ""), now)
        elif known.receipt != receipt:
            if known.receipt.state in WAITS and receipt.state not in WAITS:
                self._moves.left(self._waiting().index(receipt.injection_id))
            known.receipt, known.since = receipt, now
        delivered = [key for key, one in self._known.items() if one.receipt.state is ReceiptState.DELIVERED]
        for key in delivered[: max(0, len(delivered) - KEPT_DELIVERED)]:
            del self._known[key]
        self._order_next()
        self._show()

    def tick(self) -> None:
        """Let finished ones go. Failed ones stay until somebody did something about them."""
        now = datetime.now(UTC)
        gone = [
            key
            for key, known in self._known.items()
            if known.receipt.state in (ReceiptState.ANSWERED, ReceiptState.WITHDRAWN)
            and now - known.since > KEPT_AFTER
            and not ((line := self._lines.get(key)) is not None and line.writing)
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

    def set_busy(self, injection_id: str, what: str) -> None:
        """What is under way with a message, in a word; empty: nothing."""
        if what:
            self._busy[injection_id] = what
        else:
            self._busy.pop(injection_id, None)
            self._moves.answered(injection_id)
            self._order_next()
        self._show()

    def edited(self, injection_id: str, words: str) -> None:
        """The message has these words now."""
        if (line := self._lines.get(injection_id)) is not None:
            line.saved()
        self.note_text(injection_id, words)

    def not_edited(self, injection_id: str, why: str) -> None:
        if (line := self._lines.get(injection_id)) is not None:
            line.failed(why)

    def move_by(self, injection_id: str, places: int) -> None:
        """Ask for another place: as many further down, or up if it is negative. It is shown there at once;
        while another move is under way it waits for that."""
        order = self._waiting()
        if injection_id not in order or not self._may_act or not self._may_edit.can:
            return
        there = order.index(injection_id) + places
        if not 0 <= there < len(order):
            return
        if not self._moves.ask(injection_id, there):
            self.too_many_moves.emit("Not moved: too many moves are on their way already. Wait until they are made")
            return
        self._order_next(at_once=True)
        self._show()

    def give_up_moves(self) -> int:
        """Forget the moves that wait for the one that is under way; how many that are."""
        forgotten = self._moves.give_up()
        self._show()
        return forgotten

    def _order_next(self, *, at_once: bool = False) -> None:
        """Order the next move. One that follows another waits until all places are known anew: they are told one by
        one, before or after the answer."""
        order = self._on_record()
        places = sorted({place for key in order if (place := self._known[key].receipt.position) is not None})
        whole = len(places) == len(order)
        if not self._may_act or not self._may_edit.can:
            self._moves.give_up()
        if places and (whole or at_once) and (wish := self._moves.next(order)) is not None:
            self.move_wanted.emit(wish.key, places[wish.place] if whole else places[0] + wish.place)

    def lines(self) -> list[str]:
        """What is shown, as text."""
        return [f"{line.text.text()}: {line.state.text()}" for line in self._lines.values()]

    def _on_record(self) -> list[str]:
        """What waits, in the order in which it goes out."""
        waiting = [key for key, known in self._known.items() if known.receipt.state in WAITS]
        return sorted(waiting, key=lambda key: self._known[key].receipt.position or 0)

    def _waiting(self) -> list[str]:
        """The same, in the order that was asked for."""
        return self._moves.order(self._on_record())

    def _order(self) -> list[str]:
        """What is on its way, what waits and what is over."""
        rest = [key for key, known in self._known.items() if known.receipt.state not in WAITS]
        open_ = [key for key in rest if self._known[key].receipt.state not in _ENDS]
        return [*open_, *self._waiting(), *(key for key in rest if self._known[key].receipt.state in _ENDS)]

    def _places(self) -> list[Place]:
        """The lines that wait, as they stand."""
        waiting = {key: at for at, key in enumerate(self._waiting())}
        shown = [Place(key, waiting[key], line) for key, line in self._lines.items() if key in waiting]
        return sorted(shown, key=lambda place: self._column.indexOf(place.line))

    def _may_drag(self, key: str) -> bool:
        line = self._lines.get(key)
        return line is not None and line.movable

    def _line(self, key: str) -> QueueLine:
        line = QueueLine(key)
        self.drag.watch(line, key)
        line.withdraw_wanted.connect(self.clicked)
        line.take_back_wanted.connect(self.take_back_wanted)
        line.edit_wanted.connect(self.edit_wanted)
        line.move_wanted.connect(self.move_by)
        line.words_left.connect(self.words_left)
        return line

    def _order_of_tab(self, shown: list[str]) -> None:
        """Tab goes through the lines in the order in which they are seen."""
        if shown == self._tabbed:
            return
        self._tabbed = shown
        # The button has its place before the input from the start; the lines are brought there.
        widgets: list[QWidget] = [self._rest]
        for key in shown:
            line = self._lines[key]
            widgets += (line, line.up, line.down, line.edit, line.take_back, line.button, line.editor)
        for first, second in pairwise([*widgets, self._rest]):
            QWidget.setTabOrder(first, second)

    def _on_rest(self) -> None:
        self._all = not self._all
        self._show()

    def _show(self) -> None:
        order = self._order()
        shown = order[: MOST if self._all else SHOWN]
        held = [key for key in order if key not in shown and (line := self._lines.get(key)) and line.has_focus]
        shown += held  # What somebody works on is not taken from under their hands.
        for key in [key for key in self._lines if key not in shown]:
            gone = self._lines.pop(key)
            self._column.removeWidget(gone)
            gone.hide()  # What it had of the focus goes to its panel, not nowhere.
            gone.deleteLater()
        waiting = self._waiting()
        for place, key in enumerate(shown):
            if key not in self._lines:
                self._lines[key] = self._line(key)
                self._column.insertWidget(place, self._lines[key])
            elif self._column.indexOf(self._lines[key]) != place:
                self._column.insertWidget(place, self._lines[key])
            known = self._known[key]
            at = waiting.index(key) if key in waiting else -1
            self._lines[key].show_message(
                Shown(
                    receipt=known.receipt,
                    words=known.text,
                    may=self._may_edit,
                    acting=self._may_act,
                    why_not=self._why_not,
                    up=at > 0,
                    down=0 <= at < len(waiting) - 1,
                    busy=self._busy.get(key, MOVES_NEXT if key in self._moves else ""),
                    moving=key in self._moves,
                )
            )
        self._order_of_tab(shown)
        self.drag.look()
        rest = len(order) - len(shown)
        self._rest.setText(f"and {rest} more" if not self._all or rest else "show less")
        self._rest.setVisible(rest > 0 or (self._all and len(order) > SHOWN))
        self.why.setText("" if self._may_edit.can or not waiting or not self._may_act else self._may_edit.words)
        self.why.setVisible(bool(self.why.text()))
        self.setVisible(bool(order))
        queued = sum(
            known.receipt.state in (ReceiptState.QUEUED, ReceiptState.STORED) for known in self._known.values()
        )
        if queued != self._queued:
            self._queued = queued
            self.queued_changed.emit(queued)
