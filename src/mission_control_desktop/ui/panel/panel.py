"""The live panel of one session. It shows what it is given and says what was asked for; the presenter acts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from PySide6.QtCore import QEvent, QRectF, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFocusEvent,
    QGuiApplication,
    QHideEvent,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QApplication, QFrame, QMenu, QVBoxLayout, QWidget

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.events import Delta, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.approvals.bar import ApprovalBar
from mission_control_desktop.ui.asking import something_is_open
from mission_control_desktop.ui.dialogs.reason import ReasonDialog
from mission_control_desktop.ui.panel import focus
from mission_control_desktop.ui.panel.composer import Composer
from mission_control_desktop.ui.panel.header import PanelHeader
from mission_control_desktop.ui.panel.holding import Holding
from mission_control_desktop.ui.panel.notice import NoticeBar
from mission_control_desktop.ui.panel.port import Draft, DraftStore, PanelPort
from mission_control_desktop.ui.panel.presenter import PanelPresenter
from mission_control_desktop.ui.panel.strip import ReceiptStrip
from mission_control_desktop.ui.panel.ticker import Phase, shared_ticker
from mission_control_desktop.ui.panel.wording import State, long_freeze, queue_possible, state_of
from mission_control_desktop.ui.roles import ONLY_WATCHES
from mission_control_desktop.ui.transcript.highlight import Highlighter
from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.pane import TranscriptPane
from mission_control_desktop.ui.transcript.place import ReadingPlace
from mission_control_desktop.ui.transcript.scheduler import FlushScheduler

QUEUE_WORK = {"withdraw": "withdrawing…", "edit": "saving…", "move": "moving…"}
"""What the presenter's actions on messages that wait are called while they are under way."""
STRIP = 3
"""Height of the coloured edge at the top, in device-independent pixels."""
TIGHT = 340
"""A panel that is lower has one row at its top instead of two, in pixels with text of the size as delivered."""


class OrchestratorPanel(QFrame):
    """Embed it, `start` it inside the running loop, feed it with `apply`, and `close_panel` it."""

    title_changed = Signal(str)
    attention_changed = Signal(bool)
    """Whether the session waits for a person."""
    session_wanted = Signal(str)
    """Another session is to be opened (its id)."""
    menu_about_to_show = Signal(object)
    """The panel's QMenu is about to open: who embeds the panel may add to it."""

    def __init__(
        self,
        session: AgentSession,
        port: PanelPort,
        drafts: DraftStore,
        *,
        may_act: bool = True,
        scheduler: FlushScheduler | None = None,
        highlighter: Highlighter | None = None,
        parent: QWidget | None = None,
    ) -> None:
        self._session = session
        self._state = State("", "", "", stale=False)
        self._freeze_text = ""
        self._connected = True
        self._last_sign = session.evidence.last_event_at
        self._below: Sequence[AgentSession] = ()
        self._needs_attention = False
        self._kill_dialog: ReasonDialog | None = None
        self._phase: Phase | None = None
        super().__init__(parent)
        self.setObjectName("panel")
        self.model = TranscriptModel(self)
        self.presenter = PanelPresenter(session.session_id, port, drafts, self.model, self)
        self.header = PanelHeader()
        self.notice = NoticeBar()
        self.pane = TranscriptPane(self.model, scheduler=scheduler, highlighter=highlighter)
        self.approvals = ApprovalBar()
        self.strip = ReceiptStrip()
        self.composer = Composer()
        self._holding = Holding(self.notice, self.presenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(1, STRIP, 1, 1)
        column.setSpacing(0)
        column.addWidget(self.header)
        column.addWidget(self.notice)
        column.addWidget(self.pane, 1)
        column.addWidget(self.approvals)
        column.addWidget(self.strip)
        column.addWidget(self.composer)
        self._connect()
        self.set_may_act(may_act)
        self.header.set_sub_agents(0)
        self.header.set_input_shown(True)
        self._take_session(session)

    # -- outside -----------------------------------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        return self._session.session_id

    @property
    def session(self) -> AgentSession:
        return self._session

    def start(self) -> None:
        """Load the draft and the receipts. Call once, while the loop runs."""
        self.presenter.start()

    async def close_panel(self) -> None:
        """Keep the draft and give up what is under way. Ends no session."""
        if not self.presenter.busy("send"):
            self.composer.save_now()
        self._stop_ticking()
        if self._kill_dialog is not None:
            self._kill_dialog.close()
        await self.presenter.close()

    def load(self, messages: Sequence[AgentMessage], *, has_older: bool) -> None:
        """The newest page of the session's messages."""
        for message in messages:
            self._note_injection(message)
        self.model.load(messages, has_older=has_older)
        self._update_empty_text()

    def resume(
        self, messages: Sequence[AgentMessage], place: ReadingPlace, *, has_older: bool, has_newer: bool
    ) -> None:
        """Messages around the place where the reader was, and back to that place."""
        for message in messages:
            self._note_injection(message)
        self.model.show_window(messages, has_older=has_older, has_newer=has_newer)
        self.pane.view.resume(place)
        self._update_empty_text()

    def show_around(
        self, messages: Sequence[AgentMessage], chosen: AgentMessage, *, has_older: bool, has_newer: bool
    ) -> None:
        """Messages around one of them, which becomes the current one at the top of the view."""
        place = ReadingPlace(seq=chosen.seq, share=0.0, read_seq=max(m.seq for m in messages))
        self.resume(messages, place, has_older=has_older, has_newer=has_newer)
        if (row := self.model.row_of(chosen.message_id)) is not None:
            self.pane.view.select_row(row)

    def reading_place(self) -> ReadingPlace | None:
        """Where the reader is; None at the end."""
        return self.pane.view.reading_place()

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way that would be lost with the panel."""
        return self._kill_dialog is None and self.presenter.at_rest

    def apply(self, events: Sequence[StreamEvent]) -> None:
        """A batch of the session's stream. What is about other sessions is left aside."""
        own: list[StreamEvent] = []
        sign = False
        for event in events:
            data = event.data
            if isinstance(data, AgentSession):
                if data.session_id == self.session_id:
                    self.set_session(data)
            elif isinstance(data, Approval):
                if data.session_id == self.session_id:
                    self.approvals.take(data)
            elif isinstance(data, Receipt):
                if data.session_id == self.session_id:
                    own.append(event)
                    self.strip.take(data)
            elif isinstance(data, AgentMessage):
                if data.session_id == self.session_id:
                    own.append(event)
                    self._note_injection(data)
                    if data.role is MessageRole.AGENT:
                        self._last_sign = max(self._last_sign, data.timestamp)
            else:
                own.append(event)
                sign = sign or isinstance(data, Delta)
        if own:
            self.model.apply(own)
        if sign:
            # Words come from a living agent; they carry no time of their own.
            self._last_sign = max(self._last_sign, words.utc_now())
            if self._state.stale:
                self._update_state()

    def set_session(self, session: AgentSession) -> None:
        """The session as it is now."""
        if session != self._session:
            self._take_session(session)

    def set_below(self, below: Sequence[AgentSession]) -> None:
        """The agents below this one, at any depth."""
        self._below = below
        self.header.set_sub_agents(len(below))

    def set_approvals(self, approvals: Iterable[Approval]) -> None:
        """The session's open questions."""
        self.approvals.set_all([item for item in approvals if item.session_id == self.session_id])

    def set_connection(self, connected: bool, detail: str = "") -> None:
        """Whether events come in. Without, all that is shown is of the past, and drawn so."""
        if connected != self._connected or detail:
            self._connected = connected
            if connected:
                self.notice.clear("connection")
            else:
                self.notice.show_text("connection", detail or "No connection to the control plane. Agents go on.")
            self._update_state()
            self._update_empty_text()

    def set_may_act(self, may_act: bool, why: str = "") -> None:
        """Observers watch: controls are disabled and say so; `why` in words that name the control plane."""
        self._may_act = may_act
        self._why_not = "" if may_act else why or ONLY_WATCHES
        self.header.set_may_act(may_act, self._why_not)
        self.composer.set_may_act(may_act, self._why_not)
        self.approvals.set_may_act(may_act, self._why_not)
        self.strip.set_may_act(may_act, self._why_not)

    def set_input_visible(self, visible: bool) -> None:
        self.composer.setVisible(visible)
        self.header.set_input_shown(visible)

    def focus_input(self) -> None:
        """Show the input and put the cursor there."""
        self.set_input_visible(True)
        self.composer.edit.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def focus_transcript(self) -> None:
        self.pane.view.setFocus(Qt.FocusReason.ShortcutFocusReason)

    @property
    def kill_dialog(self) -> ReasonDialog | None:
        """The dialog that asks for the reason, while it is open."""
        return self._kill_dialog

    # -- wiring ------------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        header, composer, presenter = self.header, self.composer, self.presenter
        header.input_toggled.connect(self._on_input_toggled)
        header.pause_wanted.connect(presenter.pause)
        header.resume_wanted.connect(presenter.resume)
        header.terminate_wanted.connect(presenter.terminate)
        header.kill_wanted.connect(self.ask_kill)
        header.menu_about_to_show.connect(self._on_menu)
        composer.send_wanted.connect(self._on_send_wanted)
        composer.draft_changed.connect(presenter.save_draft)
        composer.left.connect(self.focus_transcript)
        self.strip.withdraw_wanted.connect(presenter.withdraw)
        self.strip.put_back_wanted.connect(self._on_put_back)
        self.strip.take_back_wanted.connect(presenter.take_back)
        self.strip.edit_wanted.connect(presenter.edit_message)
        self.strip.move_wanted.connect(presenter.move_message)
        self.strip.too_many_moves.connect(self._on_too_many_moves)
        self.strip.words_left.connect(self._put_back)
        presenter.edited.connect(self.strip.edited)
        presenter.not_edited.connect(self.strip.not_edited)
        presenter.not_moved.connect(self._on_not_moved)
        presenter.taken_back.connect(self._on_put_back)
        # The model, not the panel: nothing that the panel owns may hold it, or it goes in pieces.
        composer.recall_from(partial(operator_texts, self.model))
        self.strip.queued_changed.connect(composer.set_queued)
        self.approvals.answer_wanted.connect(presenter.answer)
        self.approvals.count_changed.connect(self._on_questions_changed)
        self.pane.question_chosen.connect(self._on_question_chosen)
        presenter.busy_changed.connect(self._on_busy_changed)
        presenter.failed.connect(self._on_failed)
        presenter.session_received.connect(self.set_session)
        presenter.draft_loaded.connect(composer.set_draft)
        presenter.message_accepted.connect(self._on_message_accepted)
        presenter.message_refused.connect(composer.refused)
        presenter.receipt_received.connect(self.strip.take)
        presenter.answered.connect(self.approvals.take)
        presenter.answer_failed.connect(self.approvals.failed)
        self.model.rowsInserted.connect(self._update_empty_text)
        self.model.modelReset.connect(self._update_empty_text)
        self.pane.view.focus_changed.connect(self.update)
        theme.signals.theme_changed.connect(self.update)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        # Not a shortcut: that would reach past a menu or a dialog that is open. A held key is pressed once.
        number = event.key() - Qt.Key.Key_0
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier == Qt.KeyboardModifier.NoModifier
        if 1 <= number <= 9 and plain and not event.isAutoRepeat() and self._answers_by_key():
            self.approvals.answer_number(number)
            event.accept()
        else:
            super().keyPressEvent(event)

    def _answers_by_key(self) -> bool:
        """Whether a number is meant as an answer: pressed in the transcript or at the question, in the active window,
        while nothing else asks for keys."""
        here = QApplication.focusWidget()
        if here is None or not self.isActiveWindow() or something_is_open():
            return False
        return here in (self, self.pane.view) or self.approvals.isAncestorOf(here)

    def focusNextPrevChild(self, forwards: bool) -> bool:
        """Tab goes on as everywhere. Qt asks the same when what has the focus is disabled or hidden: then the keys stay
        in this panel, where digits and letters mean nothing."""
        lost = self.window().focusWidget()
        if lost is None or self.isHidden() or not self.isAncestorOf(lost) or focus.usable(lost, self):
            return super().focusNextPrevChild(forwards)
        edit = self.composer.edit
        if lost is not edit and self.composer.isAncestorOf(lost) and focus.usable(edit, self):
            place: QWidget = edit
        else:
            place = focus.refuge(lost, self, self.header)
        place.setFocus(Qt.FocusReason.OtherFocusReason)
        return True

    # -- from the parts ----------------------------------------------------------------------------------------------

    def _on_input_toggled(self, shown: bool) -> None:
        if shown:
            self.focus_input()
        else:
            self.set_input_visible(False)
            self.focus_transcript()

    def _on_send_wanted(self, draft: Draft) -> None:
        if (sent := self.presenter.send(draft)) is not None:
            self.composer.sending(sent)

    def _on_message_accepted(self, draft: Draft, receipt: Receipt) -> None:
        self.composer.accepted()
        self.strip.note_text(receipt.injection_id, draft.text)
        self.strip.take(receipt, own=True)
        self.model.set_receipts([receipt])
        self.pane.view.follow()

    def _on_put_back(self, injection_id: str) -> None:
        for entry in reversed(self.model.entries):
            if entry.message.metadata.get("injectionId") == injection_id:
                self._put_back(entry.text)
                return
        if text := self.strip.text_of(injection_id):
            self._put_back(text)

    def _put_back(self, text: str) -> None:
        """Into the input, where the words are to be seen; the cursor follows them if it is not at work elsewhere."""
        may_follow = focus.may_be_taken(self)
        self.set_input_visible(True)
        self.composer.put_back(text)
        if may_follow:
            self.composer.edit.setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_busy_changed(self, action: str, busy: bool) -> None:
        kind, _, which = action.partition(":")
        if busy:
            self.notice.clear(kind)
        if kind == "answer":
            self.approvals.set_busy(busy)
        elif kind in QUEUE_WORK:
            self.strip.set_busy(which, QUEUE_WORK[kind] if busy else "")
        else:
            self.header.set_busy(action, busy)

    def _on_not_moved(self, why: str) -> None:
        # Who asked for more moves saw an order that did not come about.
        if forgotten := self.strip.give_up_moves():
            later = "The move" if forgotten == 1 else f"The {forgotten} moves"
            why = f"{why.removesuffix('.')}. {later} asked for after it: left out"
        self.notice.show_text("move", why, dismissable=True)

    def _on_too_many_moves(self, why: str) -> None:
        self.notice.show_text("moves", why, dismissable=True)

    def _on_failed(self, action: str, why: str) -> None:
        names = {
            "pause": "Not paused",
            "resume": "Not resumed",
            "hold": "Commands stay as they were",
            "terminate": "Not terminated",
            "kill": "Not killed",
        }
        lead = names.get(action)
        if action == "withdraw":
            lead = "Not withdrawn"
        self.notice.show_text(action, f"{lead}: {why}" if lead else why, dismissable=True)

    def ask_kill(self) -> None:
        """Ask for the reason, then kill."""
        if self._kill_dialog is None:
            dialog = ReasonDialog(self._session, self._below, kill=True, parent=self)
            dialog.confirmed.connect(self.presenter.kill)
            dialog.finished.connect(self._on_kill_dialog_finished)
            self._kill_dialog = dialog
            # Not `open`: that would lock the window, and other agents may need a hand meanwhile.
            dialog.show()
        else:
            self._kill_dialog.raise_()

    def _on_kill_dialog_finished(self) -> None:
        self._kill_dialog = None

    def _on_questions_changed(self, count: int) -> None:
        self._update_attention()

    def _on_question_chosen(self, approval_id: str) -> None:
        if self.approvals.current is not None:
            self.approvals.focus_answers()

    def _on_menu(self, menu: QMenu) -> None:
        view = self.pane.view
        menu.addAction("Find…", self.pane.open_find)
        menu.addAction("Go to the end", view.follow)
        menu.addSeparator()
        self._holding.add_to(menu, self._session, why_not=self._why_not)
        menu.addAction("Collapse all", self._collapse_all)
        menu.addAction("Expand all", self._expand_all)
        menu.addSeparator()
        if (parent := self._session.parent_session_id) is not None:
            menu.addAction("Open the parent session", self._open_parent).setToolTip(parent)
        menu.addAction("Copy session id", self._copy_id)
        self.menu_about_to_show.emit(menu)

    def _collapse_all(self) -> None:
        self.pane.view.set_all_expanded(False)

    def _expand_all(self) -> None:
        self.pane.view.set_all_expanded(True)

    def _open_parent(self) -> None:
        if self._session.parent_session_id is not None:
            self.session_wanted.emit(self._session.parent_session_id)

    def _copy_id(self) -> None:
        QGuiApplication.clipboard().setText(self.session_id)

    # -- state -------------------------------------------------------------------------------------------------------

    def _take_session(self, session: AgentSession) -> None:
        old_name = words.name(self._session)
        first = not self._state.words
        self._session = session
        self._last_sign = max(self._last_sign, session.evidence.last_event_at)
        self.presenter.set_run(session.run_id)
        self.header.set_session(session)
        self.strip.set_may_edit(queue_possible(session))
        self.composer.set_session(session)
        self._update_state()
        self._update_attention()
        self._update_empty_text()
        self._holding.follow(session, may_act=self._may_act)
        self.setAccessibleName(f"{words.name(session)}, {self._state.words}")
        self.header.setAccessibleName(self.accessibleName())
        if first or words.name(session) != old_name:
            self.title_changed.emit(words.name(session))

    def _update_state(self) -> None:
        now = words.utc_now()
        state = state_of(self._session, self._last_sign, now, connected=self._connected)
        changed = (state.words, state.stale) != (self._state.words, self._state.stale)
        self._state = state
        self.header.set_state(state, now)
        self._warn_of_freeze(now)
        if changed:
            self.update()

    def _warn_of_freeze(self, now: datetime) -> None:
        text = long_freeze(self._session, now)
        if text == self._freeze_text:
            return
        self._freeze_text = text
        if text:
            offer = ("Thaw and cancel the turn", self.presenter.thaw_and_cancel) if self._may_act else None
            self.notice.show_text("frozen", text, offer=offer)
        else:
            self.notice.clear("frozen")

    def _update_attention(self) -> None:
        session = self._session
        waits = session.status is SessionStatus.WAITING and session.waiting_for is not None
        needs = bool(self.approvals.count) or (waits and session.waiting_for in ("approval", "operator"))
        if needs != self._needs_attention:
            self._needs_attention = needs
            self.attention_changed.emit(needs)

    def _update_empty_text(self) -> None:
        if self.model.rowCount():
            return
        self.pane.view.set_empty_text(*empty_text(self._session, connected=self._connected))

    def _note_injection(self, message: AgentMessage) -> None:
        if isinstance(injection := message.metadata.get("injectionId"), str):
            self.strip.note_text(injection, message.content)

    # -- time --------------------------------------------------------------------------------------------------------

    def _on_tick(self) -> None:
        self._update_state()
        self.strip.tick()
        self.approvals.tick()

    def focusInEvent(self, event: QFocusEvent) -> None:
        # No focus proxy: with one the Tab key passes over the header's buttons.
        self.pane.view.setFocus(event.reason())

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._phase is None:
            self._phase = shared_ticker().phase()
            self._phase.ticked.connect(self._on_tick)
            self._on_tick()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._stop_ticking()

    def _stop_ticking(self) -> None:
        if self._phase is not None:
            self._phase.ticked.disconnect(self._on_tick)
            self._phase = None

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.header.set_tight(self.height() < theme.metrics.high(TIGHT, lines=6))
        self._share_room()

    def event(self, event: QEvent) -> bool:
        asked = event.type() is QEvent.Type.LayoutRequest
        handled = super().event(event)
        if asked:
            self._share_room()
        return handled

    def _share_room(self) -> None:
        """Of what the others leave, the question may have all but a few lines, and its answers come first."""
        others = (self.header, self.notice, self.strip, self.composer)
        taken = sum(one.sizeHint().height() for one in others if not one.isHidden())
        taken += self.pane.minimumSizeHint().height() + STRIP + 1
        self.approvals.set_room(self.height() // 6, self.height() - taken)

    # -- painting ----------------------------------------------------------------------------------------------------

    def edge_color(self) -> QColor:
        """Of the border: the status's colour."""
        return theme.current().status_color(self._session.status, self._session.waiting_for)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        colors, area = theme.current(), QRectF(self.rect())
        painter.fillRect(area, colors.surface_raised)
        edge = self.edge_color()
        top = QRectF(0, 0, area.width(), STRIP)
        if self._state.stale:
            # What may not be true any more is hatched.
            painter.fillRect(top, colors.surface)
            painter.fillRect(top, QBrush(edge, Qt.BrushStyle.BDiagPattern))
            header = QRectF(self.header.geometry())
            faint = QColor(colors.text_muted)
            faint.setAlphaF(0.16)
            painter.fillRect(header, QBrush(faint, Qt.BrushStyle.BDiagPattern))
        else:
            painter.fillRect(top, edge)
        pen = QPen(edge, 1)
        if self._state.stale:
            pen.setStyle(Qt.PenStyle.DashLine)
        painter.setPen(pen)
        painter.drawRect(area.adjusted(0.5, 0.5, -0.5, -0.5))
        painter.setPen(colors.border)
        line = self.header.geometry().bottom()
        painter.drawLine(1, line, self.width() - 2, line)
        if self.pane.view.hasFocus():
            # The transcript may have no current row to show it at.
            painter.setPen(QPen(colors.focus, 2))
            painter.drawLine(1, line, self.width() - 1, line)
        painter.setPen(colors.border)
        if not self.composer.isHidden():
            line = self.composer.geometry().top()
            painter.drawLine(1, line, self.width() - 2, line)


def operator_texts(model: TranscriptModel) -> list[str]:
    """Messages of operators in what is loaded of a transcript, oldest first."""
    return [entry.text for entry in model.entries if entry.message.role is MessageRole.OPERATOR]


def empty_text(session: AgentSession, *, connected: bool) -> tuple[str, str]:
    """What stands where no message is yet."""
    if not connected:
        return "Not connected", "The transcript appears when the control plane answers again"
    status = session.status
    if status is SessionStatus.SPAWNING:
        return "Starting…", "The agent's process is being started"
    if status is SessionStatus.FAILED:
        return "The session failed before it said anything", session.error or ""
    if status.final:
        return "No messages", f"The session ended ({status.value}) without a word"
    if status is SessionStatus.WAITING:
        return "The agent is ready", "It waits for its first message"
    return "Waiting for the agent's first words", ""
