"""The question that an agent waits for, pinned above the input: what it wants to do, and the answers it offers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
from PySide6.QtCore import QEvent, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.domain.approvals import Approval, ApprovalOption, ApprovalState
from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.approvals.flow import Flow
from mission_control_desktop.ui.once import OnceButton
from mission_control_desktop.ui.roles import ONLY_WATCHES
from mission_control_desktop.ui.transcript.blocks import clean, make_diff

SHOWN_AFTER = timedelta(seconds=4)
"""How long an answered question stays, greyed, so that one sees by whom and how it was answered."""
NEXT_AFTER = timedelta(seconds=1)
"""The same where another question waits: the one does not take the place of the other under the hand."""
SETTLES = timedelta(milliseconds=600)
"""How long a question that came by itself takes no answer: what is pressed so soon was meant for what stood there
before. It is forgotten, not kept for later."""
DETAIL_LINES = 8
DETAIL_AROUND = 22


class _Shape(QWidget):
    def __init__(self) -> None:
        self.state = ApprovalState.OPEN
        super().__init__()
        self.setFixedSize(18, 18)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        area = QRectF(self.rect())
        if self.state is ApprovalState.OPEN:
            theme.paint_status(painter, area, SessionStatus.WAITING, WaitingFor.APPROVAL)
        else:
            shape = SessionStatus.COMPLETED if self.state is ApprovalState.ANSWERED else SessionStatus.SPAWNING
            theme.paint_status(painter, area, shape, color=theme.current().text_muted)


class _Detail(QPlainTextEdit):
    """What is asked for, exactly as it is: selectable, scrollable, never interpreted."""

    def __init__(self) -> None:
        self.most = DETAIL_LINES
        super().__init__()
        self.setReadOnly(True)
        self.setTabChangesFocus(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAccessibleName("What the agent wants to do")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        theme.keep_font(self, "text_small", mono=True)

    def show_text(self, text: str) -> None:
        if text != self.toPlainText():
            self.setPlainText(text)
        self.fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.fit()

    def fit(self) -> None:
        """As high as its text, up to `most` lines."""
        lines = max(1, min(self.most, int(self.document().size().height())))
        height = lines * QFontMetrics(self.font()).lineSpacing() + DETAIL_AROUND
        if height != self.maximumHeight():
            self.setFixedHeight(height)

    def sizeHint(self) -> QSize:
        return QSize(200, super().sizeHint().height())


class ApprovalBar(QFrame):
    """One question at a time, the oldest first."""

    answer_wanted = Signal(str, str)
    """Approval id and option id."""
    count_changed = Signal(int)

    def __init__(
        self,
        parent: QWidget | None = None,
        *,
        keeps_detail: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds that never go back."""
        super().__init__(parent)
        self._clock = clock
        self._keeps_detail = keeps_detail
        """Whether what was asked stays to be read when it was answered."""
        self._open: dict[str, Approval] = {}
        self._shown: Approval | None = None
        self._room = (10_000, 10_000)
        self._closed_at: float | None = None
        self._asked: object = None
        """What the answers are for; None while there is nothing to answer."""
        self._came_at = math.inf
        """Since when that is asked."""
        self._pressed_for = ""
        """The question that a button was pressed for, until it is let go."""
        self._may_act, self._why = True, ONLY_WATCHES
        self._busy = False
        self._built = False
        self._command = ""
        self.setProperty("surface", "notice")
        self.setAccessibleName("Question of the agent")
        theme.signals.theme_changed.connect(self._on_theme_changed)
        self.hide()

    def _build(self) -> None:
        """What it consists of, at its first question: most panels never have one, and on each desk stand many."""
        self._built = True
        self._shape = _Shape()
        self._title = QLabel()
        self._title.setTextFormat(Qt.TextFormat.PlainText)
        self._title.setWordWrap(True)
        theme.keep_font(self._title, bold=True)
        self._count = QLabel()
        self._count.setProperty("tone", "small")
        self._where = QLabel()
        self._where.setProperty("tone", "small")
        self._where.setTextFormat(Qt.TextFormat.PlainText)
        self._where.setWordWrap(True)
        self._detail = _Detail()
        self._words = QLabel()
        self._words.setTextFormat(Qt.TextFormat.PlainText)
        self._words.setWordWrap(True)
        self._buttons = Flow(spacing=6)
        self._turn = QTimer(self)
        self._turn.setSingleShot(True)
        self._turn.setTimerType(Qt.TimerType.PreciseTimer)
        self._turn.timeout.connect(self.tick)
        column = QVBoxLayout(self)
        theme.keep_distances(column, margins=("margin", "gap", "margin", "gap"))
        column.setSpacing(6)
        column.setSizeConstraint(QLayout.SizeConstraint.SetMinimumSize)
        head = QHBoxLayout()
        column.addLayout(head)
        theme.keep_distances(head, spacing="gap")
        head.addWidget(self._shape, 0, Qt.AlignmentFlag.AlignTop)
        head.addWidget(self._title, 1)
        head.addWidget(self._count, 0, Qt.AlignmentFlag.AlignTop)
        column.addWidget(self._detail)
        column.addWidget(self._where)
        column.addWidget(self._words)
        column.addWidget(self._buttons)

    # -- outside -----------------------------------------------------------------------------------------------------

    @property
    def current(self) -> Approval | None:
        """The question that is shown."""
        return self._shown

    @property
    def ready(self) -> bool:
        """Whether an answer is taken now: a question is open, the person may answer, none is on its way, and it stands
        there for long enough that a press is meant for it."""
        shown = self._shown
        if shown is None or shown.state is not ApprovalState.OPEN or self._busy or not self._may_act:
            return False
        return self._clock() - self._came_at >= SETTLES.total_seconds()

    @property
    def count(self) -> int:
        return len(self._open)

    def set_may_act(self, may_act: bool, why: str = "") -> None:
        """Whether the person may answer, and why not."""
        self._may_act, self._why = may_act, why or ONLY_WATCHES
        self._show()

    def set_all(self, approvals: list[Approval]) -> None:
        """The open questions of the session, as a whole."""
        keep = {approval.approval_id for approval in approvals}
        for approval_id in [key for key in self._open if key not in keep]:
            del self._open[approval_id]
        for approval in sorted(approvals, key=lambda item: item.created_at):
            self.take(approval)
        if self._shown is not None and self._shown.state is ApprovalState.OPEN and self._shown.approval_id not in keep:
            # Whoever answered it, the answer itself comes (or came) on another way.
            self._shown = msgspec.structs.replace(self._shown, state=ApprovalState.ANSWERED)
            self._close_shown()
            self._show()

    def take(self, approval: Approval) -> None:
        """A question that is new or changed."""
        before = len(self._open)
        if approval.state is ApprovalState.OPEN:
            self._open[approval.approval_id] = approval
        else:
            self._open.pop(approval.approval_id, None)
        if self._shown is not None and self._shown.approval_id == approval.approval_id:
            if approval.state is ApprovalState.OPEN:
                self._closed_at = None
            elif self._shown.state is ApprovalState.OPEN:
                self._close_shown()
            self._shown, self._busy = approval, False
            self._words.setProperty("tone", "muted")
            self._show()
        elif self._shown is None:
            self._next()
        else:
            self._show()
            self.tick()
        if len(self._open) != before:
            self.count_changed.emit(len(self._open))

    def show_one(self, approval: Approval | None, *, chosen: bool = False) -> None:
        """Show this question, whatever became of it, and no other. `chosen`: the person has just turned to it, so it
        takes answers at once."""
        if approval == self._shown and self._busy:
            return
        is_open = approval is not None and approval.state is ApprovalState.OPEN
        self._open = {approval.approval_id: approval} if approval is not None and is_open else {}
        same = approval is not None and self._shown is not None and approval.approval_id == self._shown.approval_id
        if self._built and not (same and is_open):
            self._words.hide()
        self._shown, self._closed_at, self._busy = approval, None, False
        self._show()
        if chosen:
            self._came_at = -math.inf

    def set_room(self, detail: int, whole: int) -> None:
        """How high the detail and the bar may be, in pixels: a small panel must still show its transcript, and every
        answer whole."""
        if (detail, whole) != self._room:
            self._room = detail, whole
            self._fit()

    def _fit(self) -> None:
        column = self.layout()
        if not self._built or column is None:
            return
        detail, whole = self._room
        line = max(1, QFontMetrics(self._detail.font()).lineSpacing())
        rest = column.heightForWidth(self.width()) - self._detail.height()
        if self._where.text() and not self._detail.isHidden():
            high = self._where.heightForWidth(max(1, self._detail.width())) + column.spacing()
            rest -= 0 if self._where.isHidden() else high
            # Where there is no room for a line of its own, the place stands below what is asked, and scrolls with it.
            apart = whole - rest - high >= DETAIL_AROUND + line
            rest += high if apart else 0
            self._where.setVisible(apart)
            self._detail.show_text(self._command if apart else f"{self._command}\n{self._where.text()}")
        most = max(1, min(DETAIL_LINES, max(2, detail // line), (whole - rest - DETAIL_AROUND) // line))
        if most != self._detail.most:
            self._detail.most = most
            self._detail.fit()

    def event(self, event: QEvent) -> bool:
        handled = super().event(event)
        if event.type() is QEvent.Type.LayoutRequest:
            # The detail's lines and the buttons' rows change the height that a width needs, which the layout around
            # remembers; told of it, it does not lay the input over the answers.
            self._fit()
            self.updateGeometry()
        return handled

    def answer_number(self, number: int) -> bool:
        """Choose the answer with this number (from 1), as its key does. False: it is not taken (see `ready`)."""
        shown = self._shown
        if shown is None or not self.ready or not 1 <= number <= len(shown.options):
            return False
        self._choose(shown.options[number - 1])
        return True

    def set_busy(self, busy: bool) -> None:
        self._busy = busy
        for button in self.option_buttons():
            button.setEnabled(not busy and self._may_act)
            button.setToolTip(str(button.property("key_hint") or "") if self._may_act else self._why)

    def failed(self, approval_id: str, why: str) -> None:
        """The answer was not taken: somebody else was first, or it did not get through."""
        self._busy = False
        if self._shown is not None and self._shown.approval_id == approval_id:
            self._say(why, "error")
            self.set_busy(False)

    def tick(self) -> None:
        """Let an answered question go after a while, sooner where another one waits."""
        stays = NEXT_AFTER if self._open else SHOWN_AFTER
        if self._closed_at is not None and self._clock() - self._closed_at >= stays.total_seconds():
            self._next()

    def words(self) -> str:
        return self._words.text() if self._built and not self._words.isHidden() else ""

    def option_buttons(self) -> list[QPushButton]:
        return self._buttons.findChildren(QPushButton) if self._built else []

    def focus_answers(self) -> None:
        if buttons := self.option_buttons():
            buttons[0].setFocus(Qt.FocusReason.ShortcutFocusReason)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _close_shown(self) -> None:
        self._closed_at = self._clock()
        self._turn.start(int(NEXT_AFTER.total_seconds() * 1000) + 1)

    def _next(self) -> None:
        self._shown = min(self._open.values(), key=lambda approval: approval.created_at, default=None)
        self._closed_at = None
        self._busy = False
        if self._built:
            self._words.hide()
        self._show()

    def _show(self) -> None:
        shown = self._shown
        asked = None
        if shown is not None and shown.state is ApprovalState.OPEN:
            asked = (shown.approval_id, shown.title, shown.detail, shown.options)
        if asked != self._asked:
            self._asked, self._came_at = asked, self._clock()
        if shown is None:
            self.hide()
            return
        if not self._built:
            self._build()
            self._words.hide()
        self.setVisible(True)
        is_open = shown.state is ApprovalState.OPEN
        self.setProperty("surface", "notice" if is_open else "composer")
        self.style().unpolish(self)
        self.style().polish(self)
        self._shape.state = shown.state
        self._shape.update()
        self._title.setText(clean(shown.title))
        others = len(self._open) - (1 if is_open else 0)
        self._count.setText(f"{others} more" if others else "")
        command, where = detail_text(shown.detail)
        readable = is_open or self._keeps_detail
        self._detail.setVisible(bool(command) and readable)
        self._command = command
        if command:
            self._detail.show_text(command)
        self._where.setText(where)
        self._where.setVisible(bool(where) and readable)
        self._make_buttons(shown if is_open else None)
        self._fit()
        if not is_open:
            self._say(answer_text(shown), "muted")

    def _make_buttons(self, shown: Approval | None) -> None:
        wanted = [] if shown is None else [(o.option_id, o.label, o.kind) for o in shown.options]
        if self._buttons.property("options") == wanted:
            self.set_busy(self._busy)
            return
        self._buttons.setProperty("options", wanted)
        self._buttons.clear()
        for number, option in enumerate(shown.options if shown is not None else (), start=1):
            button = OnceButton(f"{number}  {clean(option.label)}" if number <= 9 else clean(option.label))
            button.setProperty("option", option.option_id)
            button.setProperty("key_hint", f"Key {number}" if number <= 9 else "")
            button.setToolTip(str(button.property("key_hint")) if self._may_act else self._why)
            button.setAccessibleName(option.label)
            if option.kind.startswith("allow") and number == 1:
                button.setProperty("kind", "primary")
            button.pressed.connect(self._on_pressed)
            button.clicked.connect(self._on_clicked)
            button.setEnabled(self._may_act and not self._busy)
            self._buttons.put(button)
        self._buttons.setVisible(bool(wanted))

    def _on_pressed(self) -> None:
        self._pressed_for = self._shown.approval_id if self._shown is not None and self.ready else ""

    def _on_clicked(self) -> None:
        button, shown = self.sender(), self._shown
        meant = shown is not None and self.ready and self._pressed_for == shown.approval_id
        if isinstance(button, QPushButton) and shown is not None and meant:
            chosen = button.property("option")
            for option in shown.options:
                if option.option_id == chosen:
                    self._choose(option)

    def _choose(self, option: ApprovalOption) -> None:
        shown = self._shown
        if shown is not None:
            self._say(f"Answering: {option.label}…", "muted")
            self.set_busy(True)
            self.answer_wanted.emit(shown.approval_id, option.option_id)

    def _say(self, text: str, tone: str) -> None:
        self._words.setText(text)
        self._words.setProperty("tone", tone)
        self._words.style().unpolish(self._words)
        self._words.style().polish(self._words)
        self._words.setVisible(bool(text))

    def _on_theme_changed(self) -> None:
        self._show()


def answer_text(approval: Approval) -> str:
    """What became of a question: the answer and who gave it."""
    if approval.state is ApprovalState.EXPIRED:
        why = approval.detail.get("expired")
        return f"No longer open: {why}" if isinstance(why, str) else "Expired: nobody answered in time"
    if approval.answer is None:
        return "No longer open"
    label = next((o.label for o in approval.options if o.option_id == approval.answer), approval.answer or "")
    by = f" by {approval.answered_by}" if approval.answered_by else ""
    return f"Answered{by}: {label}"


def detail_text(detail: dict[str, Any]) -> tuple[str, str]:
    """What is to be decided (command, change, text), and where it would happen."""
    parts: list[str] = []
    command = detail.get("command")
    if isinstance(command, list | tuple):
        command = " ".join(str(part) for part in command)
    if isinstance(command, str) and command:
        parts.append(f"$ {clean(command)}")
    if isinstance(text := detail.get("text"), str) and text:
        parts.append(clean(text))
    for item in detail.get("diffs") or ():
        if isinstance(item, dict):
            diff = make_diff(item)
            lines = [f"{line.sign} {line.text}" for line in diff.lines[:400]]
            parts.append("\n".join([f"{diff.path}  +{diff.added} −{diff.removed}", *lines]))
    if not parts and detail.get("input"):
        parts.append(clean(json.dumps(detail["input"], indent=2, ensure_ascii=False, default=str)))
    # A change names its file itself.
    keys = ("cwd",) if detail.get("diffs") else ("cwd", "path")
    where = [str(detail[key]) for key in keys if isinstance(detail.get(key), str) and detail[key]]
    return "\n\n".join(parts), "in " + clean(", ".join(where)) if where else ""
