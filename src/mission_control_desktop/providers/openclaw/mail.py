"""Operators' messages: sent once under one key, and followed to the answer.

The key is the injection's for its whole life: the gateway answers a key that it knows with what became of it, so a
message whose acknowledgement was lost can be sent again without being doubled.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import Conflict, MissionControlError, NotFound, Unavailable, Unsupported
from mission_control_desktop.domain.receipts import RECEIPT_TRANSITIONS, Receipt, ReceiptState
from mission_control_desktop.domain.sessions import Delivery, global_id
from mission_control_desktop.providers.openclaw.board import Board
from mission_control_desktop.providers.openclaw.rows import NO_PAUSE, Known, status_of
from mission_control_desktop.providers.openclaw.transcript import INJECTED, injection_of, key_of, words
from mission_control_desktop.providers.openclaw.trouble import Lost
from mission_control_desktop.providers.openclaw.values import mapping, mappings, text
from mission_control_desktop.record.ops import PutReceipt

REMEMBERED = 2_000
SEND_TIMEOUT = 12.0
RETRY_FOR = 20.0
RETRY_EVERY = 1.0

QUEUE_MODES = {Delivery.STEER: "steer", Delivery.QUEUE: "followup", Delivery.INTERRUPT: "interrupt"}
_UNCONFIRMED = "The gateway has not confirmed it yet. It is asked again, with the same key, until it does."

log = structlog.get_logger(__name__)
Call = Callable[..., Awaitable[Any]]


@dataclass(slots=True)
class Letter:
    session: str
    content: str
    operator: str
    delivery: Delivery
    receipt: Receipt
    unconfirmed: bool = False


class Mail:
    def __init__(self, provider: str, board: Board, call: Call, clock: Clock) -> None:
        self._provider = provider
        self._board = board
        self._call = call
        self._clock = clock
        self._letters: OrderedDict[str, Letter] = OrderedDict()

    def operator_of(self, injection_id: str) -> str | None:
        letter = self._letters.get(injection_id)
        return None if letter is None else letter.operator or None

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
        if (before := self._letters.get(injection_id)) is not None:
            if (before.session, before.content) != (key, content):
                raise Conflict("This message id was used for another message.")
            return before.receipt
        if pause_before_send:
            raise Unsupported(NO_PAUSE)
        known = self._board.need(key)
        require_run(known, expected_run_id)
        way = self._way(known, delivery)
        receipt = Receipt(
            injection_id=injection_id,
            session_id=global_id(self._provider, key),
            state=ReceiptState.STORED,
            at=self._clock.now(),
        )
        letter = Letter(key, content, operator_id, way, receipt)
        self._remember(injection_id, letter)
        await self._board.record.apply(key, [PutReceipt(receipt=receipt)], durable=True)
        try:
            await self._post(letter)
        except Lost:
            letter.unconfirmed = True
            await self._to(letter, letter.receipt.state, _UNCONFIRMED)
        except MissionControlError as error:
            await self._to(letter, ReceiptState.FAILED, error.message)
            raise
        return letter.receipt

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

    async def _post(self, letter: Letter) -> None:
        """Raises Lost if it is not known whether the gateway has it; another error if it has not."""
        key = key_of(letter.receipt.injection_id)
        params: dict[str, Any] = {"sessionKey": letter.session, "message": letter.content, "idempotencyKey": key}
        known = self._board.get(letter.session)
        if known is not None and known.active:
            params["queueMode"] = QUEUE_MODES[letter.delivery]
        deadline = asyncio.get_running_loop().time() + RETRY_FOR
        while True:
            try:
                await self._call("chat.send", params, timeout=SEND_TIMEOUT)
            except Unavailable:
                # It refused to take it; the same key again cannot double it.
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                await asyncio.sleep(RETRY_EVERY)
            else:
                break
        letter.unconfirmed = False
        detail = "The gateway has it; " + _WHAT[letter.delivery if "queueMode" in params else None]
        await self._to(letter, ReceiptState.QUEUED, detail)

    async def connected(self) -> None:
        """Ask again about what was not confirmed."""
        for letter in [one for one in self._letters.values() if one.unconfirmed]:
            try:
                await self._post(letter)
            except Lost:
                return
            except MissionControlError as error:
                letter.unconfirmed = False
                await self._to(letter, ReceiptState.FAILED, error.message)

    async def saw(self, key: str, row: dict[str, Any]) -> None:
        """A row of the transcript, in order."""
        injection = injection_of(row)
        if injection is not None:
            letter = self._letters.get(injection)
            if letter is None:
                # Sent by an earlier process, whose receipt stands where that one left it.
                letter = self._found(key, injection, words(row.get("content")))
            if letter.session == key:
                letter.unconfirmed = False
                await self._to(letter, ReceiptState.DELIVERED, None)
        elif text(row, "role") == "assistant" and words(row.get("content")):
            failed = text(row, "stopReason") == "error"
            for letter in self._letters.values():
                if letter.session == key and letter.receipt.state is ReceiptState.DELIVERED:
                    if failed:
                        await self._to(letter, ReceiptState.FAILED, "Delivered, but the run failed.")
                    else:
                        await self._to(letter, ReceiptState.ANSWERED, None)

    async def stopped(self, key: str, run_id: str) -> None:
        """A run was aborted: the message that began it gets no answer any more."""
        letter = self._letters.get(run_id.removeprefix(INJECTED))
        if letter is not None and letter.session == key and letter.receipt.state is ReceiptState.DELIVERED:
            await self._to(letter, ReceiptState.FAILED, "Delivered, but its run was stopped before it was answered.")

    def _found(self, key: str, injection_id: str, content: str) -> Letter:
        receipt = Receipt(
            injection_id=injection_id,
            session_id=global_id(self._provider, key),
            state=ReceiptState.QUEUED,
            at=self._clock.now(),
        )
        letter = Letter(key, content, "", Delivery.STEER, receipt)
        self._remember(injection_id, letter)
        return letter

    async def pending(self, key: str, head: dict[str, Any]) -> bool:
        """What a history says of messages that are accepted and not in the transcript yet. Whether one of them has to
        be sent again."""
        position, again = 0, False
        for item in mappings(mapping(head.get("pendingInputs")).get("items")):
            state = text(item, "state")
            position += state == "queued"
            letter = self._letters.get((text(item, "runId") or "").removeprefix(INJECTED))
            if letter is None or letter.session != key:
                continue
            if state == "queued":
                await self._to(letter, ReceiptState.QUEUED, letter.receipt.detail, position)
            elif state == "interrupted":
                letter.unconfirmed = again = True  # The gateway was killed; it never sends these by itself.
            elif state == "cancelled":
                await self._to(letter, ReceiptState.WITHDRAWN, "The gateway no longer has it in its queue.")
        return again

    async def withdraw(self, key: str, injection_id: str) -> Receipt:
        """See `AgentProvider.withdraw`."""
        letter = self._letters.get(injection_id)
        if letter is None or letter.session != key:
            raise NotFound("This message is not known, or was sent before the control plane was started again.")
        if ReceiptState.WITHDRAWN not in RECEIPT_TRANSITIONS[letter.receipt.state]:
            raise Conflict(f"The message is {letter.receipt.state.value} already.", state=letter.receipt.state.value)
        own = key_of(injection_id)
        head = mapping(await self._call("chat.history", {"sessionKey": key, "limit": 20}))
        if own not in _queued(head):
            raise Conflict("The message is with the agent already.")
        # A message that is not consumed yet has its own run, which is what is called off.
        await self._call("chat.abort", {"sessionKey": key, "runId": own})
        head = mapping(await self._call("chat.history", {"sessionKey": key, "limit": 20}))
        if any(injection_of(row) == injection_id for row in mappings(head.get("messages"))):
            raise Conflict("The message went to the agent in this moment.")
        await self._to(letter, ReceiptState.WITHDRAWN, None)
        return letter.receipt

    async def _to(self, letter: Letter, state: ReceiptState, detail: str | None, position: int | None = None) -> None:
        before = letter.receipt
        if state is not before.state and state not in RECEIPT_TRANSITIONS[before.state]:
            return
        if (state, detail, position) == (before.state, before.detail, before.position):
            return
        if state is before.state and RECEIPT_TRANSITIONS[state] == frozenset():
            return
        letter.receipt = msgspec.structs.replace(
            before, state=state, detail=detail, position=position, at=self._clock.now()
        )
        await self._board.record.apply(letter.session, [PutReceipt(receipt=letter.receipt)])

    def _remember(self, injection_id: str, letter: Letter) -> None:
        self._letters[injection_id] = letter
        while len(self._letters) > REMEMBERED:
            self._letters.popitem(last=False)


_WHAT: dict[Delivery | None, str] = {
    None: "it starts the next turn.",
    Delivery.STEER: "it goes into the running turn at the agent's next step.",
    Delivery.QUEUE: "it waits for the end of the running turn.",
    Delivery.INTERRUPT: "the running turn was stopped for it.",
}


def _queued(head: dict[str, Any]) -> set[str]:
    pending = mappings(mapping(head.get("pendingInputs")).get("items"))
    return {text(item, "runId") or "" for item in pending if text(item, "state") == "queued"}


def require_run(known: Known, expected_run_id: str | None) -> None:
    """Raises Conflict if another run is the current one."""
    if expected_run_id is not None and expected_run_id != known.run_id:
        raise Conflict("Another run is the current one.", runId=known.run_id, status=status_of(known)[0].value)
