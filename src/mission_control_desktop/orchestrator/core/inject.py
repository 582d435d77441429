"""Messages of operators on their way into the session: one queue, and one receipt per message.

The ladder of a receipt is `domain.receipts.RECEIPT_TRANSITIONS`; a step that it does not allow is not written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import msgspec

from mission_control_desktop.domain.receipts import RECEIPT_TRANSITIONS, Receipt, ReceiptState
from mission_control_desktop.domain.sessions import Delivery
from mission_control_desktop.domain.text import clean_text
from mission_control_desktop.orchestrator.core.step import Step
from mission_control_desktop.orchestrator.core.transcript import Said
from mission_control_desktop.record.ops import PutReceipt

MAX_WAITING = 100
"""Messages that can wait in one session; one more is refused."""


def digest(content: str) -> str:
    """Tells whether two messages have the same words, as they were sent or as they are on record."""
    return hashlib.sha256(clean_text(content).encode()).hexdigest()


class Phase(Enum):
    """Where a message is: in the queue, offered to a running turn, handed over, or done with."""

    WAITING = "waiting"
    STEERING = "steering"
    SENT = "sent"
    DONE = "done"


@dataclass(slots=True)
class Item:
    """`receipt` is None for the prompt that the session was started with: nobody waits for that one."""

    ref: str
    content: str
    delivery: Delivery | None
    receipt: Receipt | None = None
    said: Said | None = None
    """Its message in the transcript, as long as it waits."""
    phase: Phase = Phase.WAITING


class InjectQueue:
    """Waiting messages in the order in which they will go out, and all receipts by injection id."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._waiting: list[Item] = []
        self._all: dict[str, Item] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Item]:
        return iter(list(self._waiting))

    @property
    def full(self) -> bool:
        return len(self._waiting) >= MAX_WAITING

    def get(self, injection_id: str) -> Item | None:
        return self._all.get(injection_id)

    def unfinished(self) -> list[Item]:
        """Messages that were accepted and whose way is not over, in the order of their acceptance."""
        return [item for item in self._all.values() if item.phase is not Phase.DONE]

    # ------------------------------------------------------------------ changes

    def add_first_prompt(self, content: str) -> None:
        self._waiting.append(Item(ref="first-prompt", content=content, delivery=None))

    def accept(self, step: Step, injection_id: str, content: str, delivery: Delivery | None, said: Said) -> Item:
        receipt = Receipt(injection_id=injection_id, session_id=self._session_id, state=ReceiptState.STORED, at=step.at)
        item = Item(ref=injection_id, content=content, delivery=delivery, receipt=receipt, said=said)
        self._all[injection_id] = item
        step.write(PutReceipt(receipt=receipt))
        if delivery is Delivery.INTERRUPT:
            # An interruption goes before what waits for the turn's end, but after earlier interruptions.
            self._waiting.insert(self._interruptions(), item)
        else:
            self._waiting.append(item)
        return item

    def take(self, item: Item, phase: Phase) -> None:
        """The item leaves the queue."""
        if item in self._waiting:
            self._waiting.remove(item)
        item.phase = phase
        if phase in (Phase.SENT, Phase.DONE):
            item.said = None

    def _interruptions(self) -> int:
        return sum(1 for other in self._waiting if other.delivery is Delivery.INTERRUPT)

    def move(self, item: Item, position: int) -> None:
        """Put a waiting item at this place, counted from 1, or as near to it as it may be: interruptions stay before
        what waits for the turn's end, and the prompt that the session was started with before all of that."""
        self._waiting.remove(item)
        ahead = self._interruptions()
        if item.delivery is Delivery.INTERRUPT:
            first, last = 0, ahead
        else:
            first = ahead + sum(1 for other in self._waiting if other.receipt is None)
            last = len(self._waiting)
        self._waiting.insert(min(max(position - 1, first), last), item)

    def put_back(self, step: Step, item: Item, detail: str | None) -> None:
        """It was not taken by the turn it was offered to: it is the next one."""
        item.phase = Phase.WAITING
        item.delivery = Delivery.QUEUE
        self._waiting.insert(0, item)
        self.advance(step, item, ReceiptState.QUEUED, position=1, detail=detail)

    def advance(
        self,
        step: Step,
        item: Item,
        state: ReceiptState,
        *,
        position: int | None = None,
        detail: str | None = None,
    ) -> None:
        """Write the next step of the item's receipt, if the ladder has it."""
        receipt = item.receipt
        if receipt is None:
            return
        if state not in RECEIPT_TRANSITIONS[receipt.state]:
            return
        if state is ReceiptState.QUEUED and receipt.state is state:
            detail = detail if detail is not None else receipt.detail
            if position == receipt.position and detail == receipt.detail:
                return
        item.receipt = msgspec.structs.replace(receipt, state=state, at=step.at, position=position, detail=detail)
        step.write(PutReceipt(receipt=item.receipt))

    def finish(self, step: Step, item: Item, state: ReceiptState, *, detail: str | None = None) -> None:
        """The item's way is over; its content is let go."""
        self.take(item, Phase.DONE)
        self.advance(step, item, state, detail=detail)
        item.content = ""

    def renumber(self, step: Step) -> None:
        """Tell those who wait where they stand."""
        for place, item in enumerate(self._waiting, 1):
            self.advance(step, item, ReceiptState.QUEUED, position=place)
