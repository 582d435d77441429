"""The way from one session's fold to the record: never blocks the fold, loses nothing.

The journal holds everything, so the record is only a view that may lag. Changes wait here in a bounded queue while the
record takes its time (a full disk, a database that is away). At the limit they are dropped, and once the record takes
changes again, they are computed a second time from the journal. So an agent can be watched, answered and stopped while
its record cannot be written.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import structlog

from mission_control_desktop.providers.contract import ProviderRecord
from mission_control_desktop.record.ops import AppendText, PutMessage, RecordOp

log = structlog.get_logger(__name__)

MAX_WAITING_OPS = 4096
MAX_WAITING_CHARS = 8 * 1024 * 1024
MAX_BATCH_OPS = 512

Refold = Callable[[int, int], Iterator["Change"]]
"""The changes of the journal's entries after the first and up to the second number, folded from the start."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What one journal entry changes on record. `durable`: somebody waits until it is committed."""

    n: int
    ops: tuple[RecordOp, ...]
    durable: bool = False


class RecordWriter:
    """Owned by one driver; `run` is its task."""

    def __init__(
        self,
        record: ProviderRecord,
        session_id: str,
        refold: Refold,
    ) -> None:
        self._record = record
        self._session_id = session_id
        self._refold = refold
        self._max_ops, self._max_chars = MAX_WAITING_OPS, MAX_WAITING_CHARS
        self._waiting: deque[Change] = deque()
        self._ops = self._chars = 0
        self._news = asyncio.Event()
        self._progress = asyncio.Condition()
        self._accepted = 0
        """The newest entry whose changes the record has accepted."""
        self._committed = 0
        self._folded = 0
        self._durable = 0
        """The newest entry with a durable change."""
        self._overflowed = False

    @property
    def behind(self) -> bool:
        """Whether changes had to be dropped and are to be computed again."""
        return self._overflowed

    def begin(self, cursor: int) -> None:
        """What the record has already; changes up to there are not given to it again."""
        self._accepted = self._committed = self._folded = cursor

    def put(self, change: Change) -> None:
        """Take a change. Never waits; those at or below the record's cursor are dropped."""
        if change.n <= self._folded:
            return
        self._folded = change.n
        if change.durable:
            self._durable = change.n
        if not self._overflowed:
            size = sum(map(_chars, change.ops))
            if self._waiting and (self._ops + len(change.ops) > self._max_ops or self._chars + size > self._max_chars):
                self._overflowed = True
                log.warning("the record lags, its changes will be read from the journal", session=self._session_id)
            else:
                self._waiting.append(change)
                self._ops += len(change.ops)
                self._chars += size
        self._news.set()

    async def committed(self, n: int) -> None:
        """Wait until all durable changes of entries up to `n` are committed."""
        async with self._progress:
            await self._progress.wait_for(lambda: self._committed >= min(n, self._durable))

    async def drained(self) -> None:
        """Wait until the record has accepted everything."""
        async with self._progress:
            await self._progress.wait_for(lambda: self._accepted >= self._folded)

    async def run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                await self._apply(self._batch())
            if self._overflowed:
                await self._catch_up()

    def _batch(self) -> list[Change]:
        """The oldest changes, as many as go well into one transaction. One entry is never split."""
        batch: list[Change] = []
        count = 0
        while self._waiting and (not batch or count + len(self._waiting[0].ops) <= MAX_BATCH_OPS):
            change = self._waiting.popleft()
            batch.append(change)
            count += len(change.ops)
            self._ops -= len(change.ops)
            self._chars -= sum(map(_chars, change.ops))
        return batch

    async def _apply(self, batch: Sequence[Change]) -> None:
        ops = joined(op for change in batch for op in change.ops)
        durable = any(change.durable for change in batch)
        last = batch[-1].n
        await self._record.apply(self._session_id, ops, cursor=last, durable=durable)
        async with self._progress:
            self._accepted = last
            if durable:
                self._committed = last
            self._progress.notify_all()

    async def _catch_up(self) -> None:
        """Compute the dropped changes again. Ends at exactly the entry from which on changes are queued again."""
        while self._accepted < self._folded:
            batch: list[Change] = []
            count = 0
            for change in self._refold(self._accepted, self._folded):
                batch.append(change)
                count += len(change.ops)
                if count >= MAX_BATCH_OPS:
                    await self._apply(batch)
                    batch, count = [], 0
                elif change.n % 256 == 0:
                    await asyncio.sleep(0)
            if batch:
                await self._apply(batch)
        # No await since the comparison: nothing was folded in between, so the next change continues the sequence.
        self._overflowed = False


def joined(ops: Iterable[RecordOp]) -> list[RecordOp]:
    """The same changes, with appends that follow one another in one message made one: words that came one by one while
    the record was busy are one change of it."""
    result: list[RecordOp] = []
    first: AppendText | None = None
    pieces: list[str] = []
    end = 0
    for op in ops:
        if (
            first is not None
            and isinstance(op, AppendText)
            and op.offset == end
            and (op.message_id, op.session_id, op.at) == (first.message_id, first.session_id, first.at)
        ):
            pieces.append(op.text)
            end += len(op.text)
            continue
        if first is not None and len(pieces) > 1:
            result[-1] = msgspec.structs.replace(first, text="".join(pieces))
        result.append(op)
        first = op if isinstance(op, AppendText) else None
        if first is not None:
            pieces, end = [first.text], first.offset + len(first.text)
    if first is not None and len(pieces) > 1:
        result[-1] = msgspec.structs.replace(first, text="".join(pieces))
    return result


def _chars(op: RecordOp) -> int:
    if isinstance(op, AppendText):
        return len(op.text) + 200
    if isinstance(op, PutMessage):
        return len(op.message.content) + 1000
    return 1000
