"""Operators' messages: accepted once, and followed to the answer.

A message's key is the injection's for its whole life. It is on record, with its text, before it is sent, and stays
there until what became of it is known; so neither end's death loses or doubles it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import Conflict, NotFound, Unsupported
from mission_control_desktop.domain.receipts import RECEIPT_TRANSITIONS, Letter, Receipt, ReceiptState
from mission_control_desktop.domain.sessions import Delivery, global_id
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.providers.openclaw.board import Board
from mission_control_desktop.providers.openclaw.letters import ON_ITS_WAY, Letters, Sent
from mission_control_desktop.providers.openclaw.posting import UNCONFIRMED, Posting
from mission_control_desktop.providers.openclaw.rows import NO_PAUSE, Known, status_of
from mission_control_desktop.providers.openclaw.transcript import INJECTED, injection_of, key_of, words
from mission_control_desktop.providers.openclaw.values import label, mapping, mappings, text

ANSWER_WITHIN = 20.0
"""Seconds after which a caller is told how far the message has come; it goes on without them."""

SILENT_AFTER = 30.0
"""Seconds without a turn after which a message that was delivered and not answered is called so."""
SILENT = "The gateway has it in its transcript, but no turn answered it. Send it again if it still matters."

Call = Callable[..., Awaitable[Any]]


class Mail:
    """`look(key)` brings a session's transcript level, and calls `level` when it is."""

    def __init__(
        self, provider: str, board: Board, call: Call, tasks: Tasks, look: Callable[[str], None], clock: Clock
    ) -> None:
        self._provider = provider
        self._board = board
        self._call = call
        self._look = look
        self._clock = clock
        self._tasks = tasks
        self._silent: set[str] = set()
        """Sessions that are looked at again because a message of theirs has no answer."""
        self._letters = Letters(board, clock)
        self._posting = Posting(self._letters, board, call, tasks, look)

    async def start(self) -> None:
        await self._letters.load()
        self._doubt()

    def _doubt(self) -> None:
        """What the gateway was told to do is not known to be kept: the history of each session tells."""
        for key in self._letters.sessions():
            for sent in self._letters.of(key):
                if sent.receipt.state in ON_ITS_WAY:
                    sent.confirmed, sent.doubtful = False, True
                    self._posting.hold(key)

    def operator_of(self, injection_id: str) -> str | None:
        sent = self._letters.get(injection_id)
        return None if sent is None else sent.letter.operator_id or None

    async def send(
        self,
        key: str,
        *,
        injection_id: str,
        content: str,
        operator_id: str,
        delivery: Delivery | None,
        pause_before_send: bool,
        expected_run_id: str | None,
    ) -> Receipt:
        """See `AgentProvider.inject`."""
        settled = None
        if self._letters.get(injection_id) is None:
            settled = await self._board.record.receipt(injection_id)
        if (before := self._letters.get(injection_id)) is not None:
            if (before.key, before.letter.content) != (key, content):
                raise Conflict("This message id was used for another message.")
            return await self._told(before)
        if settled is not None:
            if settled.session_id != global_id(self._provider, key):
                raise Conflict("This message id was used for another message.")
            return settled
        if pause_before_send:
            raise Unsupported(NO_PAUSE)
        known = self._board.need(key)
        require_run(known, expected_run_id)
        letter = Letter(content=content, operator_id=operator_id, delivery=self._way(known, delivery))
        receipt = Receipt(
            injection_id=injection_id,
            session_id=global_id(self._provider, key),
            state=ReceiptState.STORED,
            at=self._clock.now(),
        )
        sent = Sent(key, letter, receipt)
        await self._letters.store(sent)
        self._posting.start(key)
        told = await self._told(sent)
        if sent.error is not None:
            raise sent.error
        return told

    async def _told(self, sent: Sent) -> Receipt:
        """The receipt once the first attempt came to an end, or as it is after a while."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                await sent.tried.wait()
        except TimeoutError:
            await self._letters.to(sent, sent.receipt.state, UNCONFIRMED)
        return sent.receipt

    def _way(self, known: Known, delivery: Delivery | None) -> Delivery:
        session = self._board.session(known)
        offered, reasons = session.capabilities.inject, session.capabilities.reasons
        if not offered:
            reason = reasons.get("inject", "This session takes no messages.")
            raise Conflict(reason) if self._board.write else Unsupported(reason)
        if delivery is None:
            return offered[0]
        if delivery not in offered:
            raise Unsupported(reasons.get(delivery.value, "This session does not take messages this way."))
        return delivery

    # What the gateway tells

    async def connected(self, *, rebooted: bool) -> None:
        """The gateway's list is known. Messages of sessions that it has no more have failed; for the others, their
        histories are read first."""
        if rebooted:
            self._doubt()
        for key in self._letters.sessions():
            known = self._board.get(key)
            if known is None or known.deleted:
                await self.gone(key)
            else:
                self._look(key)

    async def gone(self, key: str) -> None:
        """The session was deleted."""
        for sent in self._letters.of(key):
            await self._letters.to(sent, ReceiptState.FAILED, "The gateway no longer has this session.")
        await self._letters.drop_settled(key)

    async def level(self, key: str) -> None:
        """The session's transcript is on record up to now, and all of it was told here."""
        await self._failed(key)
        await self._unanswered(key)
        await self._letters.drop_settled(key)
        self._posting.release(key)

    async def _failed(self, key: str) -> None:
        """A run may fail without a word in the transcript: the message that began it gets no answer then."""
        known = self._board.get(key)
        if known is None or known.active or text(known.row, "status") not in ("failed", "timeout"):
            return
        sent = self._letters.get((text(known.row, "lastRunId") or "").removeprefix(INJECTED))
        if sent is not None and sent.key == key and sent.receipt.state is ReceiptState.DELIVERED:
            why = label(known.row, "lastRunError") or "the gateway does not say why"
            await self._letters.to(sent, ReceiptState.FAILED, f"Delivered, but the run failed: {why}")

    async def _unanswered(self, key: str) -> None:
        """A gateway may take a message and begin no turn for it: one whose turn is aborted elsewhere while the message
        finds its place does so (seen on 2026.9.6). It is no failure: a turn may still answer."""
        known = self._board.get(key)
        if known is None or known.active or text(known.row, "status") == "queued":
            return
        delivered = self._delivered(key)
        for sent in delivered:
            if (self._clock.now() - sent.receipt.at).total_seconds() >= SILENT_AFTER:
                await self._letters.to(sent, ReceiptState.DELIVERED, SILENT)
        if any(sent.receipt.detail is None for sent in delivered) and key not in self._silent:
            self._silent.add(key)
            self._tasks.start(self._look_later(key), name=f"unanswered {key}")

    def _delivered(self, key: str) -> list[Sent]:
        return [sent for sent in self._letters.of(key) if sent.receipt.state is ReceiptState.DELIVERED]

    async def _look_later(self, key: str) -> None:
        try:
            await asyncio.sleep(SILENT_AFTER)
        finally:
            self._silent.discard(key)
        self._look(key)

    async def saw(self, key: str, row: dict[str, Any]) -> None:
        """A row of the transcript, in order."""
        injection = injection_of(row)
        if injection is not None:
            sent = self._letters.get(injection)
            if sent is not None and sent.key == key:
                sent.confirmed = True
                await self._letters.to(sent, ReceiptState.DELIVERED, None)
        elif text(row, "role") == "assistant":
            state, detail = ReceiptState.ANSWERED, None
            if not words(row.get("content")):
                state = ReceiptState.DELIVERED  # A turn works on it.
            elif text(row, "stopReason") == "error":
                state, detail = ReceiptState.FAILED, "Delivered, but the run failed."
            for sent in self._delivered(key):
                await self._letters.to(sent, state, detail)

    async def stopped(self, key: str, run_id: str) -> None:
        """A run was aborted: the message that began it gets no answer any more."""
        sent = self._letters.get(run_id.removeprefix(INJECTED))
        if sent is not None and sent.key == key and sent.receipt.state is ReceiptState.DELIVERED:
            why = "Delivered, but its run was stopped before it was answered."
            await self._letters.to(sent, ReceiptState.FAILED, why)

    async def pending(self, key: str, head: dict[str, Any]) -> None:
        """What a history says of messages that are accepted and not in the transcript yet."""
        position = 0
        for item in mappings(mapping(head.get("pendingInputs")).get("items")):
            state = text(item, "state")
            position += state == "queued"
            sent = self._letters.get((text(item, "runId") or "").removeprefix(INJECTED))
            if sent is None or sent.key != key:
                continue
            if state == "queued":
                sent.confirmed = True
                await self._letters.to(sent, ReceiptState.QUEUED, sent.receipt.detail, position)
            elif state == "interrupted":
                # The gateway was killed; it never sends these by itself.
                sent.confirmed, sent.doubtful = False, True
            elif state == "cancelled":
                await self._letters.to(sent, ReceiptState.WITHDRAWN, "The gateway no longer has it in its queue.")

    async def withdraw(self, key: str, injection_id: str) -> Receipt:
        """See `AgentProvider.withdraw`."""
        sent = self._letters.get(injection_id)
        if sent is None or sent.key != key:
            settled = await self._board.record.receipt(injection_id)
            if settled is None or settled.session_id != global_id(self._provider, key):
                raise NotFound("This message is not known.")
            raise Conflict(f"The message is {settled.state.value} already.", state=settled.state.value)
        if ReceiptState.WITHDRAWN not in RECEIPT_TRANSITIONS[sent.receipt.state]:
            raise Conflict(f"The message is {sent.receipt.state.value} already.", state=sent.receipt.state.value)
        own = key_of(injection_id)
        head = await self._head(key)
        if own in _queued(head):
            # A message that is not consumed yet has its own run, which is what is called off.
            await self._call("chat.abort", {"sessionKey": key, "runId": own})
            head = await self._head(key)
        elif sent.confirmed:
            raise Conflict("The message is with the agent already.")
        if any(injection_of(row) == injection_id for row in mappings(head.get("messages"))):
            raise Conflict("The message went to the agent in this moment.")
        await self._letters.to(sent, ReceiptState.WITHDRAWN, None)
        return sent.receipt

    async def _head(self, key: str) -> dict[str, Any]:
        return mapping(await self._call("chat.history", {"sessionKey": key, "limit": 20}))


def _queued(head: dict[str, Any]) -> set[str]:
    pending = mappings(mapping(head.get("pendingInputs")).get("items"))
    return {text(item, "runId") or "" for item in pending if text(item, "state") == "queued"}


def require_run(known: Known, expected_run_id: str | None) -> None:
    """Raises Conflict if another run is the current one."""
    if expected_run_id is not None and expected_run_id != known.run_id:
        raise Conflict("Another run is the current one.", runId=known.run_id, status=status_of(known)[0].value)
