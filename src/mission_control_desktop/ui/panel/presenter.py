"""What a panel does: awaits the port, never paints. The panel listens to its signals."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog
from PySide6.QtCore import QObject, Signal

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.errors import Conflict, MissionControlError
from mission_control_desktop.domain.receipts import Receipt, ReceiptState
from mission_control_desktop.domain.sessions import AgentSession
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui.panel.history import CALL_SECONDS, HistoryReader
from mission_control_desktop.ui.panel.port import Draft, DraftStore, PanelPort
from mission_control_desktop.ui.panel.wording import action_words, error_words, uncertain
from mission_control_desktop.ui.transcript.model import TranscriptModel

log = structlog.get_logger(__name__)


class PanelPresenter(QObject):
    """One session's actions. Each runs in a task that this object owns, one of a kind at a time."""

    busy_changed = Signal(str, bool)
    """An action ("send", "pause", "resume", "hold", "terminate", "kill", "answer", "withdraw:ID",
    "edit:ID", "move:ID") began or ended."""
    failed = Signal(str, str)
    """An action failed: its name, and why in words."""
    session_received = Signal(object)
    draft_loaded = Signal(object)
    message_accepted = Signal(object, object)
    """Draft and Receipt of a message that is now stored."""
    message_refused = Signal(str, bool)
    """Why, and whether it may have arrived all the same. The text is still in the input."""
    receipt_received = Signal(object)
    taken_back = Signal(str)
    """A message was withdrawn to be changed."""
    edited = Signal(str, str)
    """A message that waits has these words now."""
    not_edited = Signal(str, str)
    """It has its old words, and why."""
    not_moved = Signal(str)
    """Why a message has not the place that it was to have."""
    answered = Signal(object)
    answer_failed = Signal(str, str)
    """Approval id, and why in words."""

    def __init__(
        self,
        session_id: str,
        port: PanelPort,
        drafts: DraftStore,
        model: TranscriptModel,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session_id, self._port, self._drafts, self._model = session_id, port, drafts, model
        self._tasks = Tasks(self._on_task_error)
        self._running: set[str] = set()
        self._run_id: str | None = None
        self._told = 0
        """How often the session was told anew."""
        self._closed = False
        self.history = HistoryReader(session_id, port, model, self._begin, self.failed, self)

    def set_run(self, run_id: str | None) -> None:
        """The session was told anew: the run that actions are meant for. They fail if another has begun."""
        self._run_id = run_id
        self._told += 1

    def busy(self, action: str) -> bool:
        return action in self._running

    @property
    def at_rest(self) -> bool:
        """Whether no action is under way."""
        return not self._running

    def start(self) -> None:
        """Load draft and receipts."""
        self._begin("draft", self._load_draft)
        self._begin("receipts", self._load_receipts)

    async def close(self) -> None:
        """Give up what is under way. A message that was being sent stays a draft with its key."""
        self._closed = True
        await self._tasks.close()

    # -- actions -----------------------------------------------------------------------------------------------------

    def send(self, draft: Draft) -> Draft | None:
        """Send the message. Returns the draft with the key under which it goes out; None while one is being sent."""
        if self.busy("send") or self._closed:
            return None
        if draft.sending_key is None:
            draft = _with_key(draft, uuid.uuid4().hex)
        # On record before it goes out: after a crash the same words are sent under the same key.
        self._drafts.save(self._session_id, draft)
        self._begin("send", partial(self._send, draft))
        return draft

    def save_draft(self, draft: Draft | None) -> None:
        self._drafts.save(self._session_id, draft)

    def withdraw(self, injection_id: str) -> None:
        self._begin(f"withdraw:{injection_id}", partial(self._withdraw, injection_id))

    def take_back(self, injection_id: str) -> None:
        """Withdraw a message so that its words can be changed: `taken_back` says that it will not arrive as it was."""
        self._begin(f"withdraw:{injection_id}", partial(self._withdraw, injection_id, edit=True))

    def edit_message(self, injection_id: str, words: str, was: str) -> None:
        """Give a message that waits other words; they are to replace `was` and nothing else."""
        self._begin(f"edit:{injection_id}", partial(self._edit_message, injection_id, words, was))

    def move_message(self, injection_id: str, position: int) -> None:
        self._begin(f"move:{injection_id}", partial(self._move_message, injection_id, position))

    def pause(self, level: str | None) -> None:
        self._act("pause", partial(self._port.pause, self._session_id, level=level, expected_run_id=self._run_id))

    def resume(self) -> None:
        self._act("resume", partial(self._port.resume, self._session_id, expected_run_id=self._run_id))

    def thaw_and_cancel(self) -> None:
        """Let a frozen session go on, but not with the turn that it was frozen in."""
        self._act("resume", self._thaw_and_cancel)

    async def _thaw_and_cancel(self) -> AgentSession:
        run = self._run_id
        try:
            # First: a frozen agent meets the cancel before it can go on.
            await self._port.cancel(self._session_id, expected_run_id=run)
        except Conflict:
            log.debug("no turn to cancel", session=self._session_id)
        return await self._port.resume(self._session_id, expected_run_id=run)

    def hold_commands(self) -> None:
        self._act("hold", partial(self._port.hold_commands, self._session_id, expected_run_id=self._run_id))

    def release_commands(self) -> None:
        self._act("hold", partial(self._port.release_commands, self._session_id, expected_run_id=self._run_id))

    def terminate(self) -> None:
        self._act("terminate", partial(self._port.terminate, self._session_id, expected_run_id=self._run_id))

    def kill(self, reason: str) -> None:
        self._act("kill", partial(self._port.kill, self._session_id, reason=reason, expected_run_id=self._run_id))

    def answer(self, approval_id: str, option_id: str) -> None:
        self._begin("answer", partial(self._answer, approval_id, option_id))

    # -- tasks -------------------------------------------------------------------------------------------------------

    def _begin(self, action: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run one action. False: the same action is under way already, and is not begun twice at a time."""
        if action in self._running or self._closed:
            return False
        self._running.add(action)
        self.busy_changed.emit(action, True)
        self._tasks.start(self._run(action, work), name=f"panel.{action}")
        return True

    async def _run(self, action: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        finally:
            self._running.discard(action)
            if not self._closed:
                self.busy_changed.emit(action, False)

    def _act(self, action: str, call: Callable[[], Coroutine[Any, Any, AgentSession]]) -> None:
        self._begin(action, partial(self._session_call, action, call))

    async def _session_call(self, action: str, call: Callable[[], Coroutine[Any, Any, AgentSession]]) -> None:
        told = self._told
        try:
            session = await asyncio.wait_for(call(), CALL_SECONDS)
        except (MissionControlError, TimeoutError, OSError) as error:
            self.failed.emit(action, action_words(error))
        else:
            # What was told meanwhile is newer, or followed by what is: see `SessionStore.put_answer`.
            if told == self._told:
                self.session_received.emit(session)

    async def _send(self, draft: Draft) -> None:
        key = draft.sending_key
        if key is None:
            raise ValueError("a draft is sent under a key")
        try:
            receipt = await asyncio.wait_for(
                self._port.inject(
                    self._session_id,
                    draft.text,
                    delivery=draft.delivery,
                    pause_before_send=draft.pause_before_send,
                    expected_run_id=self._run_id,
                    idempotency_key=key,
                ),
                CALL_SECONDS,
            )
        except (MissionControlError, TimeoutError, OSError) as error:
            unknown = uncertain(error)
            # Refused for sure: the next try is another request. Not known: the same key makes a second try harmless.
            self._drafts.save(self._session_id, draft if unknown else _with_key(draft, None))
            self.message_refused.emit(error_words(error), unknown)
        else:
            self._drafts.save(self._session_id, None)
            self.message_accepted.emit(draft, receipt)

    async def _withdraw(self, injection_id: str, *, edit: bool = False) -> None:
        try:
            receipt = await asyncio.wait_for(self._port.withdraw(self._session_id, injection_id), CALL_SECONDS)
        except (MissionControlError, TimeoutError, OSError) as error:
            self.failed.emit("withdraw", action_words(error))
        else:
            self._take_receipt(receipt)
            if edit and receipt.state is ReceiptState.WITHDRAWN:
                self.taken_back.emit(injection_id)

    async def _edit_message(self, injection_id: str, words: str, was: str) -> None:
        work = self._port.edit_message(self._session_id, injection_id, content=words, was=was)
        try:
            receipt = await asyncio.wait_for(work, CALL_SECONDS)
        except (MissionControlError, TimeoutError, OSError) as error:
            self.not_edited.emit(injection_id, error_words(error))
        else:
            self.edited.emit(injection_id, words)
            self._take_receipt(receipt)

    async def _move_message(self, injection_id: str, position: int) -> None:
        work = self._port.move_message(self._session_id, injection_id, position=position)
        try:
            receipt = await asyncio.wait_for(work, CALL_SECONDS)
        except (MissionControlError, TimeoutError, OSError) as error:
            self.not_moved.emit(f"Not moved: {error_words(error)}")
            return
        self._take_receipt(receipt)
        if receipt.state is ReceiptState.QUEUED and receipt.position != position:
            self.not_moved.emit(f"It is at place {receipt.position}: what interrupts goes out before the rest")

    async def _answer(self, approval_id: str, option_id: str) -> None:
        try:
            approval: Approval = await asyncio.wait_for(self._port.answer(approval_id, option_id), CALL_SECONDS)
        except (MissionControlError, TimeoutError, OSError) as error:
            self.answer_failed.emit(approval_id, error_words(error))
        else:
            self.answered.emit(approval)

    async def _load_draft(self) -> None:
        draft = await self._drafts.load(self._session_id)
        if draft is not None:
            self.draft_loaded.emit(draft)

    async def _load_receipts(self) -> None:
        try:
            receipts = await asyncio.wait_for(self._port.receipts(self._session_id), CALL_SECONDS)
        except (MissionControlError, TimeoutError, OSError) as error:
            log.warning("panel.receipts_failed", session=self._session_id, error=error_words(error))
            return
        self._model.set_receipts(receipts)
        for receipt in receipts:
            self.receipt_received.emit(receipt)

    def _take_receipt(self, receipt: Receipt) -> None:
        self._model.set_receipts([receipt])
        self.receipt_received.emit(receipt)

    def _on_task_error(self, name: str, error: BaseException) -> None:
        log.error("panel.task_failed", task=name, session=self._session_id, error=repr(error))
        if not self._closed:
            self.failed.emit(name.removeprefix("panel."), error_words(error))


def _with_key(draft: Draft, key: str | None) -> Draft:
    return Draft(
        text=draft.text,
        delivery=draft.delivery,
        pause_before_send=draft.pause_before_send,
        sending_key=key,
    )
