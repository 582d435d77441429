"""One message on its way, as a line: how far it is, and what can be done about it while it waits.

It says what was asked for, and shows at once what will be, as something that is not so yet; the words that somebody
writes stay in its editor until they are on record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QIcon, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractButton, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.ui import icons, theme
from mission_control_desktop.ui.once import OnceButton, OnceToolButton
from mission_control_desktop.ui.panel.composer import MessageEdit
from mission_control_desktop.ui.panel.elided import ElidedLabel
from mission_control_desktop.ui.panel.focus import Ringed
from mission_control_desktop.ui.panel.queue_drag import Grip
from mission_control_desktop.ui.panel.wording import Possible
from mission_control_desktop.ui.roles import ONLY_WATCHES
from mission_control_desktop.ui.transcript.row import receipt_text

B = TypeVar("B", bound=QAbstractButton)
WAITS = frozenset({ReceiptState.QUEUED, ReceiptState.STORED})
ARROW_WIDTH = 30
"""In device-independent pixels; a panel can be narrow."""
ROOM = 76
"""Average characters: where a line has less room, its buttons are icons and only its newest step is told, so that its
words can be read."""
_UNBOUNDED = 16_777_215
"""Qt's word for a width without limit."""
NO_WORDS = "Its words are further up in the transcript: scroll to them first"
HINT = "Enter saves, Esc leaves it as it was"
HANDED_OVER = "It went to the agent meanwhile, with the words from before. Esc puts yours into the input"
CHANGED = "Somebody else changed it meanwhile. Esc shows how"


def ladder_text(receipt: Receipt) -> str:
    """`stored → queued #2`: the steps so far."""
    if receipt.state in (ReceiptState.FAILED, ReceiptState.WITHDRAWN):
        return receipt_text(receipt)
    if receipt.state is ReceiptState.STORED:
        return "stored"
    if receipt.state is ReceiptState.ANSWERED:
        return "stored → delivered → answered"
    return f"stored → {receipt_text(receipt)}"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a line is to show. `words` are all of the message's, empty where they are not known. `up`, `down`: whether a
    message waits above or below. `busy` is what is under way, in a word; `moving`: it is a move, and
    another may be asked for. `why_not`: why the person may do nothing, where not `acting`."""

    receipt: Receipt
    words: str
    may: Possible
    acting: bool
    up: bool
    down: bool
    busy: str = ""
    moving: bool = False
    why_not: str = ONLY_WATCHES


def _dress(button: B, text: str, tip: str) -> B:
    button.setText(text)
    button.setProperty("kind", "quiet")
    button.setProperty("tip", tip)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return button


class QueueLine(Ringed, QWidget):
    """A line that can be reached by Tab: Enter or F2 edits it, Alt+Up and Alt+Down move it, Delete takes it back. The
    mouse drags it by its grip or its words (`QueueDrag`)."""

    withdraw_wanted = Signal(str)
    take_back_wanted = Signal(str)
    """Into the input, where it cannot be changed in its place."""
    edit_wanted = Signal(str, str, str)
    """Message, its new words, and those that it had when they were begun."""
    move_wanted = Signal(str, int)
    """Message, and how many places: -1 is up."""
    words_left = Signal(str)
    """Words that somebody wrote for a message that cannot have them any more."""

    def __init__(self, injection_id: str) -> None:
        super().__init__()
        self._id = injection_id
        self._shown: Shown | None = None
        self._was: str | None = None
        """The words that are being changed; None while nobody writes."""
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.grip = Grip()
        self.text = ElidedLabel(least=48)
        self.text.setProperty("tone", "small")
        self.state = ElidedLabel(least=40, mode=Qt.TextElideMode.ElideLeft)
        # Once: what one of them does brings another line under the pointer.
        self.up = _dress(OnceToolButton(), "↑", "Move it up: it goes out earlier (Alt+Up)")
        self.down = _dress(OnceToolButton(), "↓", "Move it down: it goes out later (Alt+Down)")
        self.edit = _dress(OnceButton(), "Edit", "Change its words here (Enter)")
        self.take_back = _dress(
            OnceButton(),
            "Take back",
            "Take the message back and put its words into the input; sent again, it is the last in line",
        )
        self.button = _dress(OnceButton(), "Withdraw", "")
        policy = self.button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.button.setSizePolicy(policy)
        self.up.clicked.connect(self._on_up)
        self.down.clicked.connect(self._on_down)
        self.edit.clicked.connect(self.begin)
        self.take_back.clicked.connect(self._on_take_back)
        self.button.clicked.connect(self._on_button)
        self.editor = MessageEdit()
        self.editor.send_wanted.connect(self._on_save)
        self.editor.left.connect(self.leave)
        self.hint = QLabel(HINT)
        self.hint.setTextFormat(Qt.TextFormat.PlainText)
        self.hint.setWordWrap(True)
        self.hint.setProperty("tone", "small")
        for arrow in (self.up, self.down):
            arrow.setMaximumWidth(ARROW_WIDTH)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        row = QHBoxLayout()
        column.addLayout(row)
        theme.keep_distances(row, margins=(3, 0, 0, 0), spacing="gap")
        row.addWidget(self.grip)
        row.addWidget(self.text, 1)
        row.addWidget(self.state)
        for button in (self.up, self.down, self.edit, self.take_back, self.button):
            row.addWidget(button)
        column.addWidget(self.editor)
        column.addWidget(self.hint)
        self.editor.hide()
        self.hint.hide()
        theme.signals.theme_changed.connect(self._fit)

    # -- outside -----------------------------------------------------------------------------------------------------

    @property
    def writing(self) -> bool:
        """Whether somebody's words are in it that are not on record."""
        return self._was is not None

    @property
    def movable(self) -> bool:
        """Whether it can be put at another place now."""
        return self.up.isEnabled() or self.down.isEnabled()

    @property
    def has_focus(self) -> bool:
        return self.hasFocus() or any(child.hasFocus() for child in self.findChildren(QWidget))

    def show_message(self, shown: Shown) -> None:
        """The message as it is now."""
        self._shown = shown
        state, words = shown.receipt.state, " ".join(shown.words[:400].split())[:160]
        waits, failed = state in WAITS, state is ReceiptState.FAILED
        self.text.setText(words or "Message")
        self.state.setText(shown.busy or ladder_text(shown.receipt))
        tone = "error" if failed else "small"
        if self.state.property("tone") != tone:
            self.state.setProperty("tone", tone)
            self.state.style().unpolish(self.state)
            self.state.style().polish(self.state)
        self.setAccessibleName(f"{words or 'Message'}: {self.state.text()}")
        may = shown.may if words or not shown.may.can else Possible(False, NO_WORDS)
        idle = shown.acting and not shown.busy and not self.writing
        movable = idle or (shown.acting and shown.moving and not self.writing)
        for button, can, name in (
            (self.up, shown.may.can and shown.up, "Move up"),
            (self.down, shown.may.can and shown.down, "Move down"),
            (self.edit, may.can, "Edit"),
        ):
            why = may if button is self.edit else shown.may
            button.setVisible(waits)
            at_once = idle if button is self.edit else movable
            button.setEnabled(at_once and can)
            button.setAccessibleName(f"{name}: {words or 'message'}")
            button.setToolTip(shown.why_not if not shown.acting else why.words or button.property("tip"))
        self.grip.set_usable(waits and self.movable)
        self.take_back.setVisible(waits and shown.acting and not shown.may.can and bool(words))
        self.take_back.setEnabled(idle)
        self.take_back.setAccessibleName(f"Take back: {words}")
        self.button.setVisible(waits or (failed and shown.acting))
        self.button.setEnabled(idle)
        self.button.setAccessibleName(f"{'Put back' if failed else 'Withdraw'}: {words or 'message'}")
        self._fit()
        tip = "Put the words back into the input" if failed else "Take the message back before it is delivered (Delete)"
        self.button.setToolTip(tip if shown.acting else shown.why_not)
        if self.writing:
            self._look_at_editor(shown)

    def _fit(self) -> None:
        """Where there is little room, the words of the message have it."""
        if self._shown is None:
            return
        narrow = self.width() < self.fontMetrics().averageCharWidth() * ROOM
        failed = self._shown.receipt.state is ReceiptState.FAILED
        self.state.set_short(self.state.text().rpartition(" → ")[2] if narrow and not failed else "")
        words = "Put back" if failed else "Withdraw"
        for button, text, icon in ((self.edit, "Edit", "edit"), (self.button, words, "close")):
            small = narrow and not failed
            button.setText("" if small else text)
            button.setIcon(icons.icon(icon) if small else QIcon())
            button.setMaximumWidth(ARROW_WIDTH if small else _UNBOUNDED)

    def failed(self, why: str) -> None:
        """What was written could not be saved: it is still there to be changed or copied. Whoever went elsewhere
        meanwhile stays there."""
        self.editor.setReadOnly(False)
        self.hint.setText(f"Not saved: {why}")
        self._tone_of_hint("error")

    def saved(self) -> None:
        """The words are on record."""
        focused = self.editor.hasFocus()
        self._close()
        if focused:
            self.setFocus(Qt.FocusReason.OtherFocusReason)

    # -- writing -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Change the words in their place."""
        if self._shown is None or not self.edit.isEnabled() or self.edit.isHidden():
            return
        self._was = self._shown.words
        self.editor.setPlainText(self._was)
        self.editor.setReadOnly(False)
        self.editor.selectAll()
        self.editor.setAccessibleName(f"New words for: {self.text.text()}")
        self.hint.setText(HINT)
        self._tone_of_hint("small")
        self.editor.show()
        self.hint.show()
        self.show_message(self._shown)
        self.editor.setFocus(Qt.FocusReason.OtherFocusReason)

    def leave(self) -> None:
        """Leave the message as it is. Words that it cannot have any more are not lost."""
        if self._shown is None or self.editor.isReadOnly():
            return
        words = self.editor.toPlainText()
        lost = words if self._shown.receipt.state not in WAITS and words not in ("", self._was) else ""
        self._close()
        self.setFocus(Qt.FocusReason.OtherFocusReason)
        if lost:
            self.words_left.emit(lost)

    def _close(self) -> None:
        self._was = None
        self.editor.setReadOnly(False)
        self.editor.hide()
        self.hint.hide()
        if self._shown is not None:
            self.show_message(self._shown)

    def _on_save(self, other: bool) -> None:
        shown, words = self._shown, self.editor.toPlainText()
        if shown is None or self._was is None or self.editor.isReadOnly() or shown.receipt.state not in WAITS:
            return
        if not words.strip():
            self.hint.setText("There is nothing in it. To take the message back: Esc, then Withdraw")
            self._tone_of_hint("error")
        elif words == self._was:
            self.leave()
        else:
            self.editor.setReadOnly(True)
            self.hint.setText("Saving… the message has its old words until this is done")
            self._tone_of_hint("small")
            self.edit_wanted.emit(self._id, words, self._was)

    def _look_at_editor(self, shown: Shown) -> None:
        """What happened to the message while somebody writes."""
        if self.editor.isReadOnly():
            return
        if shown.receipt.state not in WAITS:
            self.hint.setText(HANDED_OVER)
            self._tone_of_hint("error")
        elif shown.words and shown.words != self._was:
            self.hint.setText(CHANGED)
            self._tone_of_hint("error")

    def _tone_of_hint(self, tone: str) -> None:
        if self.hint.property("tone") != tone:
            self.hint.setProperty("tone", tone)
            self.hint.style().unpolish(self.hint)
            self.hint.style().polish(self.hint)

    # -- keys and buttons --------------------------------------------------------------------------------------------

    # The line takes the focus first: its buttons are out of use until it is done, and would give it to who comes next.

    def _on_up(self) -> None:
        self.setFocus(Qt.FocusReason.OtherFocusReason)
        self.move_wanted.emit(self._id, -1)

    def _on_down(self) -> None:
        self.setFocus(Qt.FocusReason.OtherFocusReason)
        self.move_wanted.emit(self._id, 1)

    def _on_take_back(self) -> None:
        self.take_back_wanted.emit(self._id)

    def _on_button(self) -> None:
        self.withdraw_wanted.emit(self._id)

    def event(self, event: QEvent) -> bool:
        ask = event if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride else None
        if ask is not None and self._button_for(ask) is not None:
            ask.accept()  # Meant for the line, whatever command may have this key.
            return True
        return super().event(event)

    def _button_for(self, event: QKeyEvent) -> QAbstractButton | None:
        """What a key presses."""
        alt = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier == Qt.KeyboardModifier.AltModifier
        key = event.key()
        if alt:
            return {Qt.Key.Key_Up: self.up, Qt.Key.Key_Down: self.down}.get(Qt.Key(key))
        if self.hasFocus() and not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            by_key: dict[Qt.Key, QAbstractButton] = {
                Qt.Key.Key_Return: self.edit,
                Qt.Key.Key_Enter: self.edit,
                Qt.Key.Key_F2: self.edit,
                Qt.Key.Key_Delete: self.button,
            }
            return by_key.get(Qt.Key(key))
        return None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        button = self._button_for(event)
        if button is None:
            super().keyPressEvent(event)
            return
        event.accept()
        if button.isEnabled() and not button.isHidden():
            button.click()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()
