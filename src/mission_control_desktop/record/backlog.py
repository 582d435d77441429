"""What waits to be recorded: in order, bounded by weight, writers wait at the bound."""

from __future__ import annotations

import asyncio
from collections import deque

from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.record.ledger import Call
from mission_control_desktop.record.ops import AppendText, PutMessage, RecordOp

BACKLOG_WEIGHT = 32 * 1024 * 1024
BATCH_WEIGHT = 8 * 1024 * 1024
BATCH_OPS = 5_000
"""Bounds of one transaction, so that a durable write never waits for a very long one."""


def weight_of(op: RecordOp) -> int:
    """Roughly, in bytes, what keeping the op costs. Nobody has checked the op's fields yet."""
    if isinstance(op, AppendText):
        return 400 + _length(op.text)
    if isinstance(op, PutMessage):
        return 1_500 + _length(op.message.content)
    return 3_000


def _length(text: object) -> int:
    return len(text) if isinstance(text, str) else 0


class Waiting:
    """A call in the backlog and the promise that it is committed."""

    __slots__ = ("call", "done")

    def __init__(self, call: Call, done: asyncio.Future[None] | None) -> None:
        self.call = call
        self.done = done

    def committed(self) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_result(None)

    def refused(self) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_exception(Unavailable("The record was closed before this was written."))


class Backlog:
    """First in, first out. A call heavier than the bound is let in alone."""

    def __init__(self, bound: int = BACKLOG_WEIGHT) -> None:
        self._bound = bound
        self._calls: deque[Waiting] = deque()
        self._weight = 0
        self._line = asyncio.Lock()
        self._room = asyncio.Event()
        self._closed = False
        self.filled = asyncio.Event()
        """Something waits."""
        self.urgent = asyncio.Event()
        """Someone waits for something that waits."""

    @property
    def weight(self) -> int:
        """Of what is not committed yet."""
        return self._weight

    @property
    def blocked(self) -> bool:
        return self._line.locked()

    def __len__(self) -> int:
        return len(self._calls)

    async def put(self, waiting: Waiting) -> None:
        """Waits at the bound, in the order of calls. Raises Unavailable once the backlog is closed."""
        weight = waiting.call.weight
        if self._line.locked() or not self._fits(weight):
            async with self._line:
                while not (self._fits(weight) or self._closed):
                    self._room.clear()
                    await self._room.wait()
                self._add(waiting)
            return
        self._add(waiting)

    def _fits(self, weight: int) -> bool:
        return self._weight == 0 or self._weight + weight <= self._bound

    def _add(self, waiting: Waiting) -> None:
        if self._closed:
            raise Unavailable("The record is closing.")
        self._calls.append(waiting)
        self._weight += waiting.call.weight
        self.filled.set()
        if waiting.call.durable:
            self.urgent.set()

    def take(self) -> list[Waiting]:
        """The next transaction's calls. They keep counting until `finished`."""
        taken: list[Waiting] = []
        weight = ops = 0
        while self._calls:
            call = self._calls[0].call
            if taken and (weight + call.weight > BATCH_WEIGHT or ops + len(call.ops) > BATCH_OPS):
                break
            taken.append(self._calls.popleft())
            weight += call.weight
            ops += len(call.ops)
        if not self._calls and not self._closed:
            self.filled.clear()
            self.urgent.clear()
        return taken

    def finished(self, taken: list[Waiting]) -> None:
        """They are committed, or never will be."""
        for waiting in taken:
            waiting.refused()
        self._weight -= sum(waiting.call.weight for waiting in taken)
        self._room.set()

    def close(self) -> None:
        """Let nothing more in; whoever waits is refused."""
        self._closed = True
        self._room.set()
        self.filled.set()
        self.urgent.set()

    def abandon(self) -> None:
        """Tell those who wait for what is left that it will not be committed."""
        for waiting in self._calls:
            waiting.refused()
        self._calls.clear()
