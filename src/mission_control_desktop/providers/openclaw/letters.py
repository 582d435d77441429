"""Operators' messages that are not settled: in memory, and on record so that another process goes on with them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.errors import MissionControlError, Unavailable
from mission_control_desktop.domain.receipts import RECEIPT_TRANSITIONS, Letter, Receipt, ReceiptState
from mission_control_desktop.domain.sessions import split_id
from mission_control_desktop.providers.openclaw.board import Board
from mission_control_desktop.record.ops import DropLetter, PutReceipt

MAX_LETTERS = 2_000
"""Of one gateway, not settled. More are turned away."""
ON_ITS_WAY = frozenset({ReceiptState.STORED, ReceiptState.QUEUED})
_UNSETTLED = ON_ITS_WAY | {ReceiptState.DELIVERED}


@dataclass(slots=True)
class Sent:
    """One message. `key` is its session's."""

    key: str
    letter: Letter
    receipt: Receipt
    confirmed: bool = False
    """Whether the gateway said that it has it, in its present life."""
    doubtful: bool = False
    """Whether an attempt ended without a word, so that the gateway may have it."""
    error: MissionControlError | None = None
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    """The first attempt came to an end."""

    @property
    def id(self) -> str:
        return self.receipt.injection_id

    @property
    def waits(self) -> bool:
        """Whether it has to be sent (again)."""
        return not self.confirmed and self.receipt.state in ON_ITS_WAY


class Letters:
    def __init__(self, board: Board, clock: Clock) -> None:
        self._board = board
        self._clock = clock
        self._by_id: dict[str, Sent] = {}
        self._by_session: dict[str, dict[str, Sent]] = {}

    async def load(self) -> None:
        """What an earlier process left: the gateway may have each of them, or not."""
        for receipt, letter in await self._board.record.letters():
            sent = Sent(split_id(receipt.session_id)[1], letter, receipt, doubtful=True)
            sent.tried.set()
            self._take(sent)

    def get(self, injection_id: str) -> Sent | None:
        return self._by_id.get(injection_id)

    def of(self, key: str) -> list[Sent]:
        """In the order in which they were sent."""
        return list(self._by_session.get(key, {}).values())

    def sessions(self) -> Iterable[str]:
        return tuple(self._by_session)

    async def store(self, sent: Sent) -> None:
        """Durable when it returns."""
        if len(self._by_id) >= MAX_LETTERS:
            raise Unavailable("Too many messages to this gateway are not settled yet. Try again.")
        self._take(sent)
        try:
            put = PutReceipt(receipt=sent.receipt, letter=sent.letter)
            await self._board.record.apply(sent.key, [put], durable=True)
        except BaseException:
            self._forget(sent)
            sent.error = Unavailable("The message could not be stored. Try again.")
            sent.tried.set()
            raise

    async def to(self, sent: Sent, state: ReceiptState, detail: str | None, position: int | None = None) -> None:
        """A step of the ladder; one that leads back is not taken."""
        before = sent.receipt
        if state is not before.state and state not in RECEIPT_TRANSITIONS[before.state]:
            return
        if (state, detail, position) == (before.state, before.detail, before.position):
            return
        if state is before.state and not RECEIPT_TRANSITIONS[state]:
            return
        sent.receipt = msgspec.structs.replace(
            before, state=state, detail=detail, position=position, at=self._clock.now()
        )
        await self._board.record.apply(sent.key, [PutReceipt(receipt=sent.receipt)])

    async def drop_settled(self, key: str) -> None:
        """The session's transcript is on record as far as the gateway has it: what is settled by it is done with."""
        for sent in self.of(key):
            if sent.receipt.state not in _UNSETTLED:
                dropped = DropLetter(session_id=sent.receipt.session_id, injection_id=sent.id)
                # Committed before it is forgotten here: who asks then is answered from the record.
                await self._board.record.apply(key, [dropped], durable=True)
                self._forget(sent)

    def _take(self, sent: Sent) -> None:
        self._by_id[sent.id] = sent
        self._by_session.setdefault(sent.key, {})[sent.id] = sent

    def _forget(self, sent: Sent) -> None:
        self._by_id.pop(sent.id, None)
        mine = self._by_session.get(sent.key, {})
        mine.pop(sent.id, None)
        if not mine:
            self._by_session.pop(sent.key, None)
