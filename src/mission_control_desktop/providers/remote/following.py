"""One session of another orchestrator, brought to our record and kept level with it, exactly once.

The other side numbers what happens in a session (`EPOCH-SEQ`). Our record stores, in the transaction of what it
brought, up to which number it has it (`StreamRecord.cursor` of `SESSION@EPOCH`); a stream is opened right after that.

A stream that was interrupted tells what changed in the order of the last change, but entries have their place by when
they first appeared. So before a stream is read on, entries that are new are read page by page, in their order: the
highest place on record is the position of `SESSION@EPOCH/places`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog

from mission_control_desktop.domain.errors import MissionControlError, NotFound, Unreachable
from mission_control_desktop.domain.events import EventType, StreamEvent, parse_event_id
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, split_id
from mission_control_desktop.providers.contract import ProviderRecord
from mission_control_desktop.providers.remote.api import AgentsApi
from mission_control_desktop.providers.remote.naming import Naming
from mission_control_desktop.record.ops import PutMessage, PutSession, RecordOp

log = structlog.get_logger(__name__)

LINGER_SECONDS = 5.0
"""How long the stream of a session that has ended is listened to: its last words may come after its end."""
RETRY_FIRST, RETRY_MAX = 0.3, 10.0

Seen = Callable[[str, AgentSession | Receipt], None]
"""Told of each session and receipt once it is accepted for the record (with the session's native id)."""


class Follower:
    """Runs until the session has ended and all of it is on record, or is cancelled. Raises NotFound if the other side
    does not know the session (any more)."""

    def __init__(
        self,
        session: AgentSession,
        epoch: str,
        api: AgentsApi,
        record: ProviderRecord,
        naming: Naming,
        seen: Seen,
        *,
        linger: float = LINGER_SECONDS,
    ) -> None:
        native = split_id(session.session_id)[1]
        self._native = native
        self._epoch = epoch
        self._api = api
        self._record = record
        self._naming = naming
        self._seen = seen
        self._linger = linger
        self._stream = f"{native}@{epoch}"
        self._places = f"{native}@{epoch}/places"
        self._done = f"{native}@{epoch}/done"
        self._place = 0
        self._session = session
        self._ended_at = _end_of(session) if session.status.final else None
        self._lived = False

    async def is_done(self) -> bool:
        """Whether the session has ended and all of it is on record already."""
        ended = self._session.status.final
        return ended and await self._record.cursor(self._done) >= _end_of(self._session)

    async def run(self, slots: asyncio.Semaphore) -> None:
        """`slots` bounds how many streams are open at a time."""
        pause = RETRY_FIRST
        while True:
            began = asyncio.get_running_loop().time()
            try:
                async with slots:
                    await self._once()
                return
            except NotFound:
                raise
            except MissionControlError as error:
                log.debug("stream of a session interrupted", session=self._native, why=error.message)
            if asyncio.get_running_loop().time() - began > 2 * RETRY_MAX:
                pause = RETRY_FIRST
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MAX)

    async def _once(self) -> None:
        """One connection, to the end of the session. Raises what ends it before."""
        position = await self._record.cursor(self._stream)
        if position:
            await self._new_entries(await self._record.cursor(self._places))
        last = f"{self._epoch}-{position}" if position else None
        async with self._api.stream(self._native, last) as events:
            async for event in self._until_over(events):
                if event.type is EventType.RESET or not self._ours(event):
                    # Another record stands there now than the one that we were told of: begin again, with its epoch.
                    raise Unreachable("The other side's record is another one now.")
                if not position and event.type is EventType.SESSION:
                    position = await self._begin(event)
                    continue
                await self._take(event)
        if self._ended_at is not None:
            await self._record.apply(self._done, [], cursor=self._ended_at)

    async def _begin(self, event: StreamEvent) -> int:
        """The first event of a stream that continues nothing: all before it is read as history, then it goes on."""
        await self._new_entries(0, fresh=True)
        await self._take(event)
        return _number(event)

    async def _new_entries(self, after: int, *, fresh: bool = False) -> None:
        self._place = after
        place: int | None = after
        while place is not None:
            page = await self._api.messages(self._native, after=place)
            ops: list[RecordOp] = [PutMessage(message=self._naming.message(one)) for one in page.items]
            if page.items:
                self._place = page.items[-1].seq
                # History that was cut short is read again from its beginning, whatever was stored of it: no position.
                await self._record.apply(self._places, ops, cursor=None if fresh else self._place)
            place = None if page.next_cursor is None else int(page.next_cursor)
        if fresh and self._place:
            await self._record.apply(self._places, [], cursor=self._place)

    async def _take(self, event: StreamEvent) -> None:
        ops = self._naming.ops(self._native, event)
        await self._record.apply(self._stream, ops, cursor=_number(event))
        match event.data:
            case AgentMessage() as message if message.seq > self._place:
                self._place = message.seq
                await self._record.apply(self._places, [], cursor=self._place)
            case AgentSession() as session:
                self._ended_at = _end_of(session) if session.status.final else None
                self._lived = self._lived or not session.status.final
                self._seen(self._native, self._naming.session(session))
            case Receipt() as receipt:
                self._seen(self._native, self._naming.receipt(receipt))
            case _:
                pass

    async def _until_over(self, events: AsyncIterator[StreamEvent]) -> AsyncIterator[StreamEvent]:
        """The events, until the session has ended and nothing was said for a while."""
        while True:
            try:
                async with asyncio.timeout(None if self._ended_at is None else self._linger if self._lived else 0.5):
                    event = await anext(events)
            except TimeoutError:
                return
            yield event

    def _ours(self, event: StreamEvent) -> bool:
        found = None if event.event_id is None else parse_event_id(event.event_id)
        return found is not None and found[0] == self._epoch


def _number(event: StreamEvent) -> int:
    found = None if event.event_id is None else parse_event_id(event.event_id)
    if found is None:
        raise Unreachable("The other side sent an event without a number.")
    return found[1]


def _end_of(session: AgentSession) -> int:
    """When it ended, in milliseconds: a session that lives again ends later."""
    at = session.completed_at or session.spawned_at
    return int(at.timestamp() * 1000)


def put(session: AgentSession) -> PutSession:
    return PutSession(session=session)
