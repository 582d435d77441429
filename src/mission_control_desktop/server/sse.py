"""Streams: encoded events from the record straight to the socket.

What is waiting is written as one chunk. Awaiting the write is the back-pressure: a reader that does not read keeps
only its own stream waiting, and the record brings it level afterwards. A comment goes out when nothing else did for a
while. A stream ends when its client goes, its token ends, or the server does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import structlog
from starlette.types import Receive, Send

from mission_control_desktop.domain.errors import RateLimited
from mission_control_desktop.domain.limits import MAX_STREAMS, MAX_STREAMS_PER_TOKEN
from mission_control_desktop.domain.people import Principal
from mission_control_desktop.record.encoded import Encoded
from mission_control_desktop.record.streams import EventStream

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 10.0
"""The longest silence; the contract promises 15."""
CHECK_SECONDS = 2.0
"""How often a stream's token is looked at; the contract promises an end within 5 seconds."""
END_SECONDS = 1.0
HEARTBEAT = b": alive\n\n"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]


def plain(event: Encoded) -> bytes | None:
    return event.sse


@dataclass(frozen=True, slots=True)
class Frames:
    """What a stream's handler answers: a subscription, and how one event is written (None: it is left out)."""

    subscription: AbstractAsyncContextManager[EventStream]
    frame: Callable[[Encoded], bytes | None] = plain


@dataclass(slots=True, eq=False)
class _Open:
    owner: str
    token_id: str | None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Streams:
    """All open streams of this server."""

    def __init__(
        self,
        still_valid: Callable[[Principal], Awaitable[bool]],
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        check: float = CHECK_SECONDS,
        limit: int = MAX_STREAMS_PER_TOKEN,
        total: int = MAX_STREAMS,
    ) -> None:
        self._still_valid = still_valid
        self._heartbeat = heartbeat
        self._check = check
        self._limit = limit
        self._total = total
        self._open: set[_Open] = set()
        self._count: Counter[str] = Counter()
        self._closing = False

    @property
    def count(self) -> int:
        return len(self._open)

    def end_token(self, token_id: str) -> None:
        """End the streams that were opened with this token."""
        for one in self._open:
            if one.token_id == token_id:
                one.ended.set()

    def end_all(self) -> None:
        """The server is going: end all streams and take no new ones."""
        self._closing = True
        for one in self._open:
            one.ended.set()

    async def serve(self, who: Principal, frames: Frames, receive: Receive, send: Send) -> None:
        """Write until someone ends it. Raises RateLimited, before anything is written, for one stream too many."""
        owner = who.token_id or who.user_id
        if self._count[owner] >= self._limit:
            raise RateLimited(f"At most {self._limit} open streams per token; close one first.", retry_after=5)
        if len(self._open) >= self._total:
            raise RateLimited(f"This server keeps at most {self._total} streams open; try again later.", retry_after=30)
        mine = _Open(owner, who.token_id)
        self._open.add(mine)
        self._count[owner] += 1
        if self._closing:
            mine.ended.set()
        try:
            async with frames.subscription as subscription:
                await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
                await self._run(who, mine, subscription, frames.frame, receive, send)
        finally:
            self._open.discard(mine)
            self._count[owner] -= 1
            if not self._count[owner]:
                del self._count[owner]

    async def _run(
        self,
        who: Principal,
        mine: _Open,
        subscription: EventStream,
        frame: Callable[[Encoded], bytes | None],
        receive: Receive,
        send: Send,
    ) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        writing = asyncio.Lock()

        async def write(chunk: bytes) -> None:
            nonlocal last
            async with writing:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            last = loop.time()

        async def pump() -> None:
            await write(HEARTBEAT)  # headers and a first byte at once, also through a proxy that waits for one
            while batch := await subscription.batch():
                chunk = b"".join([bytes_ for event in batch if (bytes_ := frame(event)) is not None])
                if chunk:
                    await write(chunk)

        async def watch() -> None:
            """Comments in silence, and the end of a token."""
            looked = loop.time()
            while True:
                await asyncio.sleep(min(self._check, self._heartbeat) / 2)
                if not writing.locked() and loop.time() - last >= self._heartbeat:
                    await write(HEARTBEAT)
                if loop.time() - looked >= self._check / 2:
                    looked = loop.time()
                    if not await self._valid(who):
                        return

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        parts: list[asyncio.Task[Any]] = []
        try:
            async with asyncio.TaskGroup() as group:
                parts = [group.create_task(part()) for part in (pump, watch, gone, mine.ended.wait)]
                await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                for part in parts:
                    part.cancel()
        except* OSError:
            pass  # the client went while we wrote
        if parts[2].cancelled():
            # Say that it is over, unless the client does not read: then closing the connection has to do.
            try:
                async with asyncio.timeout(END_SECONDS):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
            except (OSError, TimeoutError):
                log.debug("client did not take the end of its stream")

    async def _valid(self, who: Principal) -> bool:
        try:
            return await self._still_valid(who)
        except Exception as error:  # noqa: BLE001 - logged
            # The database is away: who was let in stays until it can be asked again.
            log.warning("token of a stream cannot be checked", error=repr(error))
            return True
