"""The transcripts of one gateway's sessions: brought level with the record, row by row and as they stream."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from mission_control_desktop.domain.clock import Clock
from mission_control_desktop.domain.sessions import global_id
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.providers.openclaw.board import Board
from mission_control_desktop.providers.openclaw.lanes import Job, Lanes
from mission_control_desktop.providers.openclaw.mail import Mail
from mission_control_desktop.providers.openclaw.reading import number_of, read_after, read_since, running_of, whole_row
from mission_control_desktop.providers.openclaw.rows import newest_of
from mission_control_desktop.providers.openclaw.transcript import Transcript
from mission_control_desktop.providers.openclaw.values import moment
from mission_control_desktop.record.ops import RecordOp

MAX_TRANSCRIPTS = 256
"""Transcripts kept in memory; one that falls out is read again from the place on record."""
CRAWLERS = 2
OPS_AT_ONCE = 200

Call = Callable[..., Awaitable[Any]]


class _Transcript:
    """One transcript's state: what was read, and up to where."""

    __slots__ = ("cursor", "mark", "stream", "transcript")

    def __init__(self, transcript: Transcript, stream: str) -> None:
        self.transcript = transcript
        self.stream = stream
        self.mark: int | None = None
        """The newest row that is on record with all before it; None before the first reading."""
        self.cursor: str | None = None


class Histories:
    """Work on one session is done in order, in its lane. `safe` makes a job of what may fail with the connection."""

    def __init__(
        self,
        provider: str,
        board: Board,
        call: Call,
        mail: Mail,
        tasks: Tasks,
        clock: Clock,
        safe: Callable[[Callable[[], Awaitable[None]]], Job],
    ) -> None:
        self._provider = provider
        self._board = board
        self._call = call
        self._mail = mail
        self._clock = clock
        self._job = safe
        self._lanes = Lanes(tasks, lambda key: self._job(lambda: self.sync(key)))
        self._transcripts: OrderedDict[str, _Transcript] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        """Whether the session's transcript is in memory."""
        return key in self._transcripts

    def put(self, key: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do it in the session's lane."""
        self._lanes.put(key, self._job(work))

    def rebooted(self) -> None:
        """The gateway's own cursors are of another life; what is on record is not."""
        for one in self._transcripts.values():
            one.cursor = None

    def gap(self) -> None:
        """Events are missing: read what they may have told."""
        for key in tuple(self._transcripts):
            self.level_soon(key)

    async def lost(self) -> None:
        await self._lanes.clear()

    async def new_row(self, key: str, row: dict[str, Any]) -> None:
        one = self._transcript(key)
        if one.mark is None:
            await self.sync(key)
        if one.transcript.holds(row):
            return
        row = await whole_row(self._call, key, row)
        ops = one.transcript.row(row, self._clock.now())
        await self._write(key, ops)
        await self._mail.saw(key, row)

    async def streamed(self, key: str, payload: dict[str, Any]) -> None:
        """An `agent` or `session.tool` event."""
        one = self._transcript(key)
        if one.mark is not None:
            await self._write(key, one.transcript.agent(payload, self._clock.now()))

    async def sync(self, key: str) -> None:
        """Bring the record level with the gateway's transcript."""
        known = self._board.get(key)
        if known is None or known.deleted:
            return
        one = self._transcript(key)
        history = None if one.cursor is None else await read_since(self._call, key, one.cursor)
        mark = one.mark
        if mark is None:
            mark = await self._board.record.cursor(one.stream)
            await self._recall(key, one.transcript)
        on_record = 0
        if history is None:
            history = await read_after(self._call, key, mark)
            on_record = mark
        ops: list[RecordOp] = []
        top = mark
        for row in history.rows:
            if one.transcript.holds(row):
                top = max(top, number_of(row))
                continue
            number = number_of(row)
            counted = 0 < number <= on_record
            if not counted:
                row = await whole_row(self._call, key, row)
            ops.extend(one.transcript.row(row, self._clock.now(), known=counted))
            top = max(top, number)
            if not counted:
                await self._mail.saw(key, row)
            if len(ops) >= OPS_AT_ONCE:
                await self._write(key, ops, one.stream, top if top > mark else None)
                ops = []
        if ops or top > mark:
            await self._write(key, ops, one.stream, top if top > mark else None)
        one.mark, one.cursor = max(mark, top), history.cursor
        running = running_of(history.head, known) if known.active else None
        if running is not None or not known.active:
            await self._write(key, one.transcript.settle(running))
        await self._mail.pending(key, history.head)
        await self._mail.level(key)

    async def _recall(self, key: str, transcript: Transcript) -> None:
        record = self._board.record
        if not all(message.complete for message in await record.newest_messages(key)):
            await record.apply(key, [], durable=True)  # What was written is read, not what is behind it.
            transcript.recall(await record.newest_messages(key))

    def level_soon(self, key: str) -> None:
        self._lanes.put(key, self._job(lambda: self.sync(key)))

    async def _write(self, key: str, ops: list[RecordOp], stream: str | None = None, cursor: int | None = None) -> None:
        if ops or cursor is not None:
            await self._board.record.apply(stream or key, ops, cursor=cursor)

    def _stream(self, key: str) -> str:
        known = self._board.get(key)
        return f"{key}#{'' if known is None else known.session_id}"

    def _transcript(self, key: str) -> _Transcript:
        stream = self._stream(key)
        one = self._transcripts.get(key)
        if one is None or one.stream != stream:
            transcript = Transcript(global_id(self._provider, key), self._mail.operator_of)
            one = self._transcripts[key] = _Transcript(transcript, stream)
        self._transcripts.move_to_end(key)
        while len(self._transcripts) > MAX_TRANSCRIPTS:
            self._transcripts.popitem(last=False)
        return one

    async def read_all(self, followed: Callable[[str], bool]) -> None:
        """Bring all other transcripts level, newest first, without getting in anybody's way. One of which the gateway
        has told nothing new since is left alone: of two thousand, that is nearly all."""
        waiting = [known for known in self._board.all() if not known.deleted and not followed(known.key)]
        waiting.sort(key=lambda known: moment(known.row, "updatedAt") or self._clock.now(), reverse=True)
        keys = iter([known.key for known in waiting])

        async def crawl() -> None:
            for key in keys:
                done = asyncio.Event()

                async def work(key: str = key, done: asyncio.Event = done) -> None:
                    try:
                        await self._job(lambda: self._catch_up(key))()
                    finally:
                        done.set()

                self._lanes.put(key, work)
                await done.wait()

        async with asyncio.TaskGroup() as group:
            for _ in range(CRAWLERS):
                group.create_task(crawl())

    async def _catch_up(self, key: str) -> None:
        known = self._board.get(key)
        newest = 0 if known is None else newest_of(known)
        level = f"{self._stream(key)}@"
        if newest and await self._board.record.cursor(level) >= newest:
            return
        await self.sync(key)
        await self._board.record.apply(level, [], cursor=newest)
