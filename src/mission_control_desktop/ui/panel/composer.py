"""The barge-in input: words for a running agent, how they reach it, and what will become of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QStandardItemModel, QTextCursor
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.domain.limits import MAX_INJECT_CHARS
from mission_control_desktop.domain.sessions import AgentSession, Delivery, SessionStatus
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.panel import enter
from mission_control_desktop.ui.panel.port import Draft
from mission_control_desktop.ui.panel.recall import Recall
from mission_control_desktop.ui.panel.wording import (
    DELIVERY_NAMES,
    default_delivery,
    delivery_possible,
    other_delivery,
    sending_possible,
    what_happens,
)
from mission_control_desktop.ui.roles import ONLY_WATCHES

MAX_LINES = 6
SAVE_MS = 400
"""How long after the last key a draft is given to the store."""

_DELETES = (Qt.Key.Key_Backspace, Qt.Key.Key_Delete)
_WAYS = tuple(DELIVERY_NAMES)
"""The rows of the selector."""


class MessageEdit(QPlainTextEdit):
    """Grows from one line to six. What Enter does, alone and modified, is the person's choice. While it is read-only,
    what is typed goes nowhere."""

    send_wanted = Signal(bool)
    """True: the other way."""
    left = Signal()
    focus_changed = Signal(bool)
    earlier_wanted = Signal()
    """Up, where there is no line above."""
    later_wanted = Signal()
    """Down, where there is no line below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self._extra = 12
        super().__init__(parent)
        self.setTabChangesFocus(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().setDocumentMargin(2)
        self.document().documentLayout().documentSizeChanged.connect(self._on_size_changed)
        self._fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            act = enter.current().act(event.modifiers())
            if act is enter.Act.LINE:
                if not self.isReadOnly():
                    self.insertPlainText("\n")
                    self.ensureCursorVisible()
            else:
                self.send_wanted.emit(act is enter.Act.OTHER)
            return
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
            return
        typed = event.text()
        if self.isReadOnly() and ((typed and typed.isprintable()) or event.key() in _DELETES):
            return
        way = {Qt.Key.Key_Up: QTextCursor.MoveOperation.Up, Qt.Key.Key_Down: QTextCursor.MoveOperation.Down}.get(
            Qt.Key(event.key())
        )
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier == Qt.KeyboardModifier.NoModifier
        if way is not None and plain and not self.isReadOnly() and not self.textCursor().movePosition(way):
            (self.earlier_wanted if event.key() == Qt.Key.Key_Up else self.later_wanted).emit()
            return
        super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.focus_changed.emit(True)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.focus_changed.emit(False)

    def sizeHint(self) -> QSize:
        return QSize(200, self.height())

    def _on_size_changed(self) -> None:
        self._fit()

    def _fit(self) -> None:
        # A plain text document counts its height in lines.
        lines = max(1, min(MAX_LINES, int(self.document().size().height())))
        self.setFixedHeight(lines * self.fontMetrics().lineSpacing() + self._extra)
        over = self.document().size().height() > MAX_LINES
        policy = Qt.ScrollBarPolicy.ScrollBarAsNeeded if over else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        if self.verticalScrollBarPolicy() != policy:
            self.setVerticalScrollBarPolicy(policy)


class Composer(QFrame):
    """The input with its choices. It says what was asked for; the text stays until it is accepted."""

    send_wanted = Signal(object)
    """A `Draft`."""
    draft_changed = Signal(object)
    """A `Draft`, or None when it is empty; some moments after the last key."""
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: AgentSession | None = None
        self._may_act, self._why_not = True, ""
        self._queued = 0
        self._sending = False
        self._can = True
        """Whether the session takes messages, from this person."""
        self._chosen: Delivery | None = None
        """What the reader chose; None: the session's gentlest way."""
        self._sent: Draft | None = None
        """What was sent last without a sure answer: the same again goes out under the same key."""
        self.setProperty("surface", "composer")
        self._edit = MessageEdit()
        self._edit.setAccessibleName("Message to the agent")
        self._edit.send_wanted.connect(self._on_send)
        self._edit.left.connect(self.left)
        self._edit.focus_changed.connect(self._on_focus_changed)
        self._edit.textChanged.connect(self._on_text_changed)
        self._recall = Recall()
        self._recalling = False
        self._edit.earlier_wanted.connect(self._on_earlier)
        self._edit.later_wanted.connect(self._on_later)
        self._way = QComboBox()
        self._way.setAccessibleName("How the message is delivered")
        for delivery in _WAYS:
            self._way.addItem(DELIVERY_NAMES[delivery])
        self._way.activated.connect(self._on_way_chosen)
        self._pause = QCheckBox("Pause first")
        self._pause.setToolTip("Pauses the agent, then leaves the message for it: it goes out when you resume")
        self._pause.toggled.connect(self._on_choice)
        self._send = QPushButton("Send")
        self._send.setProperty("kind", "primary")
        self._send.clicked.connect(self._on_send_clicked)
        self._words = QLabel()
        self._words.setProperty("tone", "small")
        self._words.setWordWrap(True)
        self._error = QLabel()
        self._error.setProperty("tone", "error")
        self._error.setWordWrap(True)
        self._error.setTextFormat(Qt.TextFormat.PlainText)
        self._error.hide()
        self._choices = QWidget()
        row = QHBoxLayout(self._choices)
        row.setContentsMargins(0, 0, 0, 0)
        theme.keep_distances(row, spacing="gap")
        row.addWidget(self._way)
        row.addWidget(self._pause)
        row.addStretch(1)
        row.addWidget(self._send)
        column = QVBoxLayout(self)
        theme.keep_distances(column, margins=("margin", "gap", "margin", "gap"))
        column.setSpacing(6)
        column.addWidget(self._error)
        column.addWidget(self._edit)
        column.addWidget(self._words)
        column.addWidget(self._choices)
        self._save = QTimer(self)
        self._save.setSingleShot(True)
        self._save.setInterval(SAVE_MS)
        self._save.timeout.connect(self.save_now)
        enter.signals.changed.connect(self._update_words)
        self._fold()

    # -- outside -----------------------------------------------------------------------------------------------------

    @property
    def edit(self) -> MessageEdit:
        return self._edit

    @property
    def way(self) -> QComboBox:
        return self._way

    @property
    def pause_first(self) -> QCheckBox:
        return self._pause

    @property
    def send_button(self) -> QPushButton:
        return self._send

    def words(self) -> str:
        """What is said about a message sent now."""
        return self._words.text()

    def error_text(self) -> str:
        return "" if self._error.isHidden() else self._error.text()

    def set_session(self, session: AgentSession) -> None:
        self._session = session
        self._update()

    def set_may_act(self, may_act: bool, why: str = ONLY_WATCHES) -> None:
        self._may_act, self._why_not = may_act, why
        self._update()

    def set_queued(self, queued: int) -> None:
        """How many messages wait for the agent already."""
        if queued != self._queued:
            self._queued = queued
            self._update_words()

    def set_draft(self, draft: Draft) -> None:
        """Put a stored draft in; in front of what was written meanwhile, if so."""
        if typed := self._edit.toPlainText().strip():
            self._edit.setPlainText(f"{draft.text}\n{typed}")
            return
        self._chosen = draft.delivery
        self._pause.setChecked(draft.pause_before_send)
        self._sent = draft if draft.sending_key is not None else None
        self._edit.setPlainText(draft.text)
        self._edit.moveCursor(self._edit.textCursor().MoveOperation.End)
        if self._sent is not None:
            self.show_error("This message was being sent when the window closed. Sending it again cannot double it.")
        self._update()

    def sending(self, draft: Draft) -> None:
        """The message is on its way under this draft's key."""
        self._sent, self._sending = draft, True
        self._error.hide()
        self._save.stop()
        self._update()

    def accepted(self) -> None:
        """The message is stored: the input is free for the next."""
        self._sending, self._sent = False, None
        self._recall.end()
        self._edit.blockSignals(True)
        self._edit.clear()
        self._edit.blockSignals(False)
        self._save.stop()
        self._error.hide()
        self._pause.setChecked(False)
        self._update()

    def refused(self, why: str, uncertain: bool) -> None:
        """The message was not accepted, or nobody knows: the words stay where they are."""
        self._sending = False
        if not uncertain:
            self._sent = None
        self.show_error(f"{why}. It may have arrived: sending it again cannot double it." if uncertain else why)
        self._update()

    def show_error(self, text: str) -> None:
        self._error.setText(text)
        self._error.show()

    def put_back(self, text: str) -> None:
        """Add words to the input, e.g. those of a message that failed."""
        old = self._edit.toPlainText()
        self._edit.setPlainText(f"{old}\n{text}" if old.strip() else text)
        self._edit.moveCursor(QTextCursor.MoveOperation.End)

    def recall_from(self, messages: Callable[[], Sequence[str]]) -> None:
        """Where Up finds earlier messages, oldest first."""
        self._recall.messages = messages

    def _on_earlier(self) -> None:
        if not self._recall.walking:
            # What is being written is kept before something else stands in its place.
            self.save_now()
        self._show_recalled(self._recall.earlier(self._edit.toPlainText()))

    def _on_later(self) -> None:
        self._show_recalled(self._recall.later())

    def _show_recalled(self, text: str | None) -> None:
        if text is None or self._sending:
            return
        self._recalling = True
        try:
            self._edit.setPlainText(text)
        finally:
            self._recalling = False
        self._edit.moveCursor(QTextCursor.MoveOperation.End)

    def current_draft(self) -> Draft | None:
        text = self._edit.toPlainText()
        if not text.strip():
            return None
        draft = Draft(text=text, delivery=self._chosen, pause_before_send=self._pause.isChecked())
        same = self._sent is not None and (self._sent.text, self._sent.pause_before_send) == (
            draft.text,
            draft.pause_before_send,
        )
        if same and self._sent is not None:
            # The very same request: delivery included, or the key would be refused for another body.
            return self._sent
        return draft

    def save_now(self) -> None:
        """Give the draft to the store."""
        self._save.stop()
        if not self._recall.walking:
            self.draft_changed.emit(self.current_draft())

    # -- inside ------------------------------------------------------------------------------------------------------

    def delivery(self) -> Delivery | None:
        """The way that a message sent now takes."""
        session = self._session
        if session is None:
            return None
        if self._chosen is not None and self._chosen in session.capabilities.inject:
            return self._chosen
        return default_delivery(session)

    def _on_send_clicked(self) -> None:
        self._on_send(False)

    def _on_send(self, other_way: bool) -> None:
        draft, session = self.current_draft(), self._session
        if draft is None or session is None or self._sending or not self._may_act:
            return
        possible = sending_possible(session)
        if not possible.can:
            self.show_error(possible.words)
            return
        if len(draft.text) > MAX_INJECT_CHARS:
            self.show_error(f"Too long: {len(draft.text):,} of at most {MAX_INJECT_CHARS:,} characters")
            return
        if draft.sending_key is None:
            way = self.delivery()
            if other_way:
                way = other_delivery(session, way)
                if way is None:
                    wanted = Delivery.STEER if self.delivery() is Delivery.QUEUE else Delivery.QUEUE
                    self.show_error(delivery_possible(session, wanted).words)
                    return
            draft = Draft(text=draft.text, delivery=way, pause_before_send=draft.pause_before_send)
        self.send_wanted.emit(draft)

    def _on_text_changed(self) -> None:
        if self._sent is None or self._edit.toPlainText() != self._sent.text:
            self._error.hide()
        if not self._recalling:
            # What was written before stays the draft until something is changed in what was found.
            self._recall.end()
            self._save.start()
        self._update_send()
        self._fold()

    def _on_way_chosen(self, row: int) -> None:
        self._chosen = _WAYS[row]
        self._on_choice()

    def _on_choice(self) -> None:
        self._update_words()
        self._save.start()

    def _on_focus_changed(self, focused: bool) -> None:
        # Hidden it may be for a moment, while panels are moved: then the focus comes back.
        if not focused and self._edit.isVisible():
            self._open_or_shut()
        self._fold()

    def _fold(self) -> None:
        """One quiet line until somebody has something to say."""
        wanted = self._edit.hasFocus() or bool(self._edit.toPlainText()) or self._choices_focused()
        if self._choices.isHidden() == wanted:
            self._choices.setVisible(wanted)
        self._words.setVisible((wanted or not self._can) and bool(self._words.text()))

    def _choices_focused(self) -> bool:
        return any(widget.hasFocus() for widget in (self._way, self._pause, self._send))

    def _update(self) -> None:
        session = self._session
        if session is None:
            return
        items = self._way.model()
        for row in range(self._way.count()):
            possible = delivery_possible(session, _WAYS[row])
            if isinstance(items, QStandardItemModel) and (item := items.item(row)) is not None:
                item.setEnabled(possible.can)
                item.setToolTip(possible.words)
        can = self._can = sending_possible(session).can and self._may_act
        self._open_or_shut()
        self._way.setEnabled(can and not self._sending)
        self._pause.setEnabled(can and not self._sending and session.capabilities.pause is not None)
        if session.capabilities.pause is None:
            self._pause.setChecked(False)
            reason = session.capabilities.reasons.get("pause", "This provider cannot pause a session")
            self._pause.setToolTip(reason)
        self._update_words()
        self._update_send()
        self._fold()

    def _open_or_shut(self) -> None:
        """While the keys are in here, or come back with the window, the input is not disabled but read-only: whoever
        types when the session ends goes on typing into nothing, not into what comes next."""
        focus = self.window().focusWidget()
        self._edit.setEnabled(self._can or (focus is not None and self.isAncestorOf(focus)))
        self._edit.setReadOnly(self._sending or not self._can)
        if bool(self._edit.property("shut")) == self._can:
            self._edit.setProperty("shut", not self._can)
            self._edit.style().unpolish(self._edit)
            self._edit.style().polish(self._edit)

    def _update_send(self) -> None:
        has_text = bool(self._edit.toPlainText().strip())
        self._send.setEnabled(has_text and not self._sending and self._can)
        self._send.setText("Sending…" if self._sending else "Send")

    def _update_words(self) -> None:
        session = self._session
        if session is None:
            return
        way = self.delivery()
        if way is not None:
            self._way.setCurrentIndex(_WAYS.index(way))
        possible = sending_possible(session)
        if not self._may_act:
            text = self._why_not
        elif not possible.can:
            text = possible.words
        else:
            text = what_happens(session, way, pause_first=self._pause.isChecked(), queued=self._queued)
        self._words.setText(text)
        self._way.setToolTip(delivery_possible(session, way).words if way is not None else possible.words)
        idle = session.status is SessionStatus.WAITING
        if self._can:
            other = other_delivery(session, way)
            keys = enter.current()
            hint = ""
            if other is not None and not idle:
                hint = f", {keys.key(enter.Act.OTHER)}: {DELIVERY_NAMES[other].lower()}"
            self._edit.setPlaceholderText("Message to the agent")
            self._edit.setToolTip(f"{keys.key(enter.Act.SEND)}: send, {keys.key(enter.Act.LINE)}: new line{hint}")
        else:
            self._edit.setPlaceholderText("No messages" if self._may_act else self._why_not)
            self._edit.setToolTip(text)
