"""One message to several sessions: who gets it and how is listed first; then what is known of each delivery."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from mission_control_desktop.domain.limits import MAX_INJECT_CHARS
from mission_control_desktop.domain.receipts import RECEIPT_TRANSITIONS, Receipt, ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, Delivery
from mission_control_desktop.ui import words
from mission_control_desktop.ui.dialogs.fitting import FittingDialog
from mission_control_desktop.ui.panel.queue_line import ladder_text
from mission_control_desktop.ui.panel.wording import (
    DELIVERY_NAMES,
    default_delivery,
    delivery_possible,
    sending_possible,
    what_happens,
)
from mission_control_desktop.ui.sessions import SessionStore
from mission_control_desktop.ui.several.targets import Target, TargetsModel, TargetsTable, target

SAVE_MS = 400
UNSEEN = "The window ended before the answer came"
GENTLEST = "The gentlest way of each"
_WAYS: tuple[Delivery | None, ...] = (None, *DELIVERY_NAMES)
"""The rows of the selector; None: each one's gentlest."""
_LEVELS = {
    ReceiptState.STORED: "busy",
    ReceiptState.QUEUED: "busy",
    ReceiptState.DELIVERED: "ok",
    ReceiptState.ANSWERED: "ok",
    ReceiptState.FAILED: "error",
    ReceiptState.WITHDRAWN: "off",
}


@dataclass(frozen=True)
class Letter:
    """The message to one session. The same key with the same body cannot arrive twice."""

    session_id: str
    text: str
    delivery: Delivery | None
    run_id: str | None
    key: str


@dataclass
class _Way:
    """What is known of one session's message."""

    letter: Letter
    injection_id: str = ""
    receipt: Receipt | None = None
    refused: str = ""
    uncertain: bool = False

    @property
    def failed(self) -> bool:
        return bool(self.refused) or (self.receipt is not None and self.receipt.state is ReceiptState.FAILED)


class LetterEdit(QPlainTextEdit):
    """Enter starts a line, Ctrl+Enter sends: what goes to several is not sent by a slip."""

    send_wanted = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.send_wanted.emit()
            event.accept()
            return
        super().keyPressEvent(event)


class BroadcastDialog(FittingDialog):
    """Asks for letters to be sent (`send_requested`); is told of each what came of it."""

    send_requested = Signal(list)
    """`Letter`s."""
    dropped = Signal(list)
    """`Letter`s that were begun by an earlier window and are not to be finished."""
    text_changed = Signal(str)
    """What stands in the input and was not sent, some moments after the last key."""

    def __init__(
        self,
        store: SessionStore,
        session_ids: Sequence[str],
        text: str = "",
        parent: QWidget | None = None,
        *,
        why_not: Callable[[str], str] = lambda _session_id: "",
        new_key: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        super().__init__(parent)
        self._store, self._ids, self._new_key = store, list(session_ids), new_key
        self._why_not = why_not
        self._ways: dict[str, _Way] = {}
        self._early: dict[str, Receipt] = {}
        """Receipts that came before the answer that says whose they are."""
        self.setObjectName("dialog.broadcast")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumSize(720, 480)
        self.resize(980, 600)
        self._title = QLabel()
        self._title.setProperty("tone", "title")
        self._note = QLabel()
        self._note.setProperty("tone", "muted")
        self._note.setWordWrap(True)
        self.model = TargetsModel(("What will happen", "Receipt"), self)
        self.table = TargetsTable(self.model, "Recipients")
        self.way = QComboBox()
        self.way.setObjectName("way")
        self.way.addItems([GENTLEST if way is None else DELIVERY_NAMES[way] for way in _WAYS])
        self.edit = LetterEdit(text)
        self.edit.setObjectName("text")
        self.edit.setAccessibleName("Message to all recipients")
        self.edit.setPlaceholderText("Message to all recipients")
        self.edit.setTabChangesFocus(True)
        self.edit.setFixedHeight(120)
        self._error = QLabel()
        self._error.setProperty("tone", "error")
        self._error.setWordWrap(True)
        self._error.hide()
        self.close_button = QPushButton("Cancel")
        self.close_button.clicked.connect(self.reject)
        self.retry = QPushButton()
        self.retry.setObjectName("retry")
        self.retry.clicked.connect(self._on_retry)
        self.retry.hide()
        self.drop = QPushButton("&Do not send these")
        self.drop.setObjectName("drop")
        self.drop.setToolTip("Those that arrived already stay; nothing is sent again")
        self.drop.clicked.connect(self._on_drop)
        self.drop.hide()
        self.act = QPushButton()
        self.act.setObjectName("act")
        self.act.setProperty("kind", "primary")
        self.act.clicked.connect(self._on_send)
        for button in (self.close_button, self.drop, self.retry, self.act):
            button.setAutoDefault(False)
        self._lay_out()
        self._save = QTimer(self)
        self._save.setSingleShot(True)
        self._save.setInterval(SAVE_MS)
        self._save.timeout.connect(self._save_now)
        self.edit.send_wanted.connect(self._on_send)
        self.edit.textChanged.connect(self._on_text)
        self.way.currentIndexChanged.connect(lambda _row: self._list())
        self.model.wanted_changed.connect(self._refresh)
        store.sessions_changed.connect(self._on_sessions)
        store.sessions_removed.connect(self._on_sessions)
        store.receipts_arrived.connect(self._on_receipts)
        self._list()
        self.edit.moveCursor(self.edit.textCursor().MoveOperation.End)
        self.edit.setFocus()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        layout.addWidget(self._title)
        layout.addWidget(self._note)
        layout.addWidget(self.table, 1)
        way = QHBoxLayout()
        layout.addLayout(way)
        label = QLabel("&Delivery")
        label.setBuddy(self.way)
        way.addWidget(label)
        way.addWidget(self.way)
        way.addStretch(1)
        layout.addWidget(self.edit)
        layout.addWidget(self._error)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        buttons.addStretch(1)
        buttons.addWidget(self.close_button)
        buttons.addWidget(self.drop)
        buttons.addWidget(self.retry)
        buttons.addWidget(self.act)

    @property
    def begun(self) -> bool:
        """Whether the message was sent to somebody."""
        return bool(self._ways)

    def finish(self, letters: Sequence[Letter]) -> None:
        """Take up what an earlier window began: the very same letters, of which nobody knows whether they arrived."""
        for letter in letters:
            self._ways[letter.session_id] = _Way(letter, refused=UNSEEN, uncertain=True)
            self.model.tell(letter.session_id, "no answer seen: sending again cannot double it", "warning", UNSEEN)
        self.edit.setPlainText(letters[0].text)
        self._fix()
        self.drop.show()
        self._refresh()
        self.retry.setFocus()

    def _fix(self) -> None:
        self.model.fix()
        self.edit.setReadOnly(True)
        self.way.setEnabled(False)
        self._save.stop()

    def _on_drop(self) -> None:
        self.dropped.emit([way.letter for way in self._ways.values() if way.refused])
        self.reject()

    # -- who gets it

    def _list(self) -> None:
        if not self.begun:
            self.model.take(self._target(session_id) for session_id in self._ids)
        self._refresh()

    def _target(self, session_id: str) -> Target:
        session = self._store.sessions.get(session_id)
        if session is None:
            return Target(session_id, session_id, "", "Left out: it is no longer known", can=False)
        if why_not := self._why_not(session_id):
            return target(session, can=False, will=f"Left out: {why_not}")
        possible = sending_possible(session)
        delivery = self._delivery(session)
        if possible.can and (wanted := self._wanted) is not None:
            possible = delivery_possible(session, wanted)
        if not possible.can or delivery is None:
            return target(session, can=False, will=f"Left out: {possible.words}")
        name = DELIVERY_NAMES[delivery]
        return target(session, can=True, will=f"{name}: {what_happens(session, delivery, pause_first=False)}")

    @property
    def _wanted(self) -> Delivery | None:
        return _WAYS[self.way.currentIndex()]

    def _delivery(self, session: AgentSession) -> Delivery | None:
        """The way that the message takes into a session; None: it cannot take the chosen one."""
        wanted = self._wanted
        if wanted is None:
            return default_delivery(session)
        return wanted if wanted in session.capabilities.inject else None

    def _on_sessions(self, session_ids: list[str]) -> None:
        if not self.begun and not set(self._ids).isdisjoint(session_ids):
            self._list()

    # -- sending

    def _on_send(self) -> None:
        text = self.edit.toPlainText()
        chosen = [one.session_id for one in self.model.targets if one.included]
        if self.begun or not text.strip() or not chosen:
            return
        if len(text) > MAX_INJECT_CHARS:
            self._say(f"Too long: {len(text):,} of at most {MAX_INJECT_CHARS:,} characters")
            return
        self._say("")
        self._send([letter for session_id in chosen if (letter := self._letter(session_id, text)) is not None])
        self._fix()
        self.text_changed.emit("")
        self.table.setFocus()

    def _letter(self, session_id: str, text: str) -> Letter | None:
        session = self._store.sessions.get(session_id)
        if session is None:
            return None
        return Letter(session_id, text, self._delivery(session), session.run_id, self._new_key())

    def _send(self, letters: list[Letter]) -> None:
        for letter in letters:
            self._ways[letter.session_id] = _Way(letter)
            self.drop.hide()
            self.model.tell(letter.session_id, "sending…", "busy")
        self._refresh()
        self.send_requested.emit(letters)

    def _on_retry(self) -> None:
        """Again what failed. Where nobody knows whether it arrived, it is the same letter under the same key; where it
        was refused or failed for sure, a new one."""
        letters = []
        for session_id, way in self._ways.items():
            if not way.failed:
                continue
            letter = way.letter if way.uncertain else self._letter(session_id, way.letter.text)
            if letter is None:
                self.model.tell(session_id, "it is no longer known", "error")
            else:
                letters.append(letter)
        self._send(letters)

    # -- what came of it

    def stored(self, letter: Letter, receipt: Receipt) -> None:
        """The control plane has the message."""
        way = self._ways.get(letter.session_id)
        if way is None or way.letter != letter:
            return
        way.injection_id = receipt.injection_id
        self._step(way, receipt)
        if (early := self._early.pop(receipt.injection_id, None)) is not None:
            self._step(way, early)
        self._refresh()

    def refused(self, letter: Letter, why: str, uncertain: bool) -> None:
        """It was not taken, or nobody knows."""
        way = self._ways.get(letter.session_id)
        if way is None or way.letter != letter:
            return
        way.refused, way.uncertain = why, uncertain
        if uncertain:
            self.model.tell(letter.session_id, "no answer: sending again cannot double it", "warning", why)
        else:
            self.model.tell(letter.session_id, f"not sent: {why}", "error", why)
        self._refresh()

    def _on_receipts(self, receipts: list[Receipt]) -> None:
        for receipt in receipts:
            way = self._ways.get(receipt.session_id)
            if way is None:
                continue
            if way.injection_id == receipt.injection_id:
                self._step(way, receipt)
            elif not way.injection_id:
                self._early[receipt.injection_id] = receipt
        self._refresh()

    def _step(self, way: _Way, receipt: Receipt) -> None:
        """A receipt never goes back, in whatever order answers and events come."""
        known = way.receipt
        if known is not None and receipt.state not in RECEIPT_TRANSITIONS[known.state]:
            return
        way.receipt = receipt
        self.model.tell(receipt.session_id, ladder_text(receipt), _LEVELS[receipt.state], receipt.detail or "")

    # -- what is said

    def _on_text(self) -> None:
        self._say("")
        self._save.start()
        self._refresh()

    def _save_now(self) -> None:
        if not self.begun:
            self.text_changed.emit(self.edit.toPlainText())

    def _say(self, text: str) -> None:
        self._error.setText(text)
        self._error.setVisible(bool(text))

    def _refresh(self) -> None:
        targets = self.model.targets
        chosen = sum(one.included for one in targets)
        out = sum(not one.can for one in targets)
        if not self.begun:
            title = f"Message to {words.plural(chosen, 'session')}"
            self._note.setText(
                (f"{words.plural(out, 'session is', 'sessions are')} left out. " if out else "")
                + "Each one gets a message of its own. Ctrl+Enter sends."
            )
            self.act.setText(f"Send to {chosen}")
            self.act.setEnabled(bool(chosen) and bool(self.edit.toPlainText().strip()))
            self.act.setToolTip("" if self.act.isEnabled() else "Needs a recipient and a text")
        else:
            title = f"Message to {words.plural(len(self._ways), 'session')}"
            self._note.setText(self._so_far())
            failed = sum(way.failed for way in self._ways.values())
            self.act.hide()
            self.close_button.setText("Close")
            self.retry.setVisible(bool(failed))
            self.retry.setText(f"Send again to {failed}")
        self.setWindowTitle(title)
        self._title.setText(title)

    def _so_far(self) -> str:
        ways = self._ways.values()
        states = [way.receipt.state for way in ways if way.receipt is not None]
        arrived = sum(state in (ReceiptState.DELIVERED, ReceiptState.ANSWERED) for state in states)
        waiting = sum(state in (ReceiptState.STORED, ReceiptState.QUEUED) for state in states)
        unknown = sum(bool(way.refused) and way.uncertain for way in ways)
        failed = sum(way.failed for way in ways) - unknown
        going = len(self._ways) - len(states) - sum(bool(way.refused) for way in ways)
        parts = ((going, "being sent"), (waiting, "accepted and on the way"), (arrived, "delivered"),
                 (failed, "failed"), (unknown, "without an answer"))  # fmt: skip
        told = ", ".join(f"{count} {what}" for count, what in parts if count)
        return f"{told}. Receipts go on coming in while this is open."

    def done(self, result: int) -> None:
        self._save_now()
        super().done(result)
