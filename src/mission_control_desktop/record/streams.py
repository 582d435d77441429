"""A listener's stream: from the record up to its head, then live, then from the record again whenever it fell behind.

There is one way to be brought level, and it serves resumption, slow readers and messages that the listener has not
seen: read from the record everything that changed after the position reached, then go on live with what is newer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from sqlalchemy import Connection

from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.events import EventType, Reset, parse_event_id
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.record.catchup import (
    CatchUp,
    Item,
    message_place,
    session_changes,
    session_head,
    session_opening,
    workspace_changes,
    workspace_head,
    workspace_opening,
)
from mission_control_desktop.record.encoded import Encoded, Payload
from mission_control_desktop.record.hub import Subscriber
from mission_control_desktop.storage.access import Access


class Source(Protocol):
    """What a stream is read from."""

    def head(self, connection: Connection) -> int | None: ...
    def opening(self, connection: Connection) -> CatchUp: ...
    def changes(self, connection: Connection, after: int) -> CatchUp: ...


class SessionSource:
    def __init__(self, session_id: str, replay: int | None) -> None:
        self._session_id = session_id
        self._replay = replay

    def head(self, connection: Connection) -> int | None:
        return session_head(connection, self._session_id)

    def opening(self, connection: Connection) -> CatchUp:
        return session_opening(connection, self._session_id, self._replay)

    def changes(self, connection: Connection, after: int) -> CatchUp:
        return session_changes(connection, self._session_id, after)


class WorkspaceSource:
    def __init__(self, workspace_id: str) -> None:
        self._workspace_id = workspace_id

    def head(self, connection: Connection) -> int | None:
        return workspace_head(connection)

    def opening(self, connection: Connection) -> CatchUp:
        return workspace_opening(connection, self._workspace_id)

    def changes(self, connection: Connection, after: int) -> CatchUp:
        return workspace_changes(connection, self._workspace_id, after)


class EventStream(AsyncIterator[Encoded]):
    """Events in order, none lost, none doubled. Ends when the recorder closes. Iterate it from one task.

    `batch()` gives all that is ready, so that a server can write it at once.
    """

    def __init__(self, access: Access, epoch: str, subscriber: Subscriber, source: Source) -> None:
        self._access = access
        self._epoch = epoch
        self._subscriber = subscriber
        self._source = source
        self._ready: deque[Encoded] = deque()
        self._position = 0
        self._level = False
        self._known_from = 0
        # Messages that stood before this connection's beginning and of which it has the whole: they may be appended to.
        self._whole: set[str] = set()

    async def open(self, last_event_id: str | None) -> None:
        """Raises BadInput for an id that no stream gave, NotFound (session streams) for an unknown session."""
        resumed = None
        if last_event_id:
            resumed = parse_event_id(last_event_id)
            if resumed is None:
                raise BadInput("Last-Event-ID", "`Last-Event-ID` is not an id that a stream gave.")
        opening = await self._access.read(lambda connection: self._opening(connection, resumed))
        if opening is None and resumed is not None:
            self._position = resumed[1]
            self._known_from = self._position
            return
        if opening is None:
            raise AssertionError("only a resumed stream has no opening")
        if resumed is not None:
            reason = "the record was rebuilt" if resumed[0] != self._epoch else "the record is behind this id"
            self._ready.append(Encoded(Payload(EventType.RESET, Reset(reason=reason)), self._epoch, None))
        self._known_from = opening.bound
        self._give(opening)

    def _opening(self, connection: Connection, resumed: tuple[str, int] | None) -> CatchUp | None:
        """None if the stream goes on after the position that was asked for."""
        if resumed is not None and resumed[0] == self._epoch:
            head = self._source.head(connection)
            if head is not None and resumed[1] <= head:
                return None
        return self._source.opening(connection)

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Encoded:
        while not self._ready:
            if not await self._more():
                raise StopAsyncIteration
        return self._ready.popleft()

    async def batch(self) -> list[Encoded]:
        """At least one event, and all others that are ready; nothing at the end of the stream."""
        while not self._ready:
            if not await self._more():
                break
        taken = list(self._ready)
        self._ready.clear()
        return taken

    async def _more(self) -> bool:
        """One step towards more events; False at the end."""
        if self._subscriber.closed:
            return False
        if not self._level:
            # What waits was committed before this read and is in it; what comes meanwhile stays in the queue.
            self._subscriber.clear()
            self._give(await self._access.read(lambda connection: self._source.changes(connection, self._position)))
            return True
        await self._subscriber.wait()
        if self._subscriber.lagging:
            self._level = False
            return True
        for event in self._subscriber.take():
            if event.position is None or event.position <= self._position:
                continue
            if not self._can_follow(event):
                self._level = False
                return True
            self._remember(event)
            self._position = event.position
            self._ready.append(event)
        return True

    def _give(self, page: CatchUp) -> None:
        for item in page.items:
            event = _encoded(item, self._epoch)
            self._remember(event)
            self._ready.append(event)
        self._position = max(self._position, page.bound)
        self._level = page.level

    def _can_follow(self, event: Encoded) -> bool:
        """Whether the listener has the text that a delta appends to. Messages that appeared during this connection
        were given whole; of older ones only those that were."""
        if event.type is not EventType.DELTA or event.place > self._known_from:
            return True
        return getattr(event.payload.data, "message_id", "") in self._whole

    def _remember(self, event: Encoded) -> None:
        data = event.payload.data
        if isinstance(data, AgentMessage) and data.seq <= self._known_from:
            if data.complete:
                self._whole.discard(data.message_id)
            else:
                self._whole.add(data.message_id)


def _encoded(item: Item, epoch: str) -> Encoded:
    return Encoded(Payload(item.type, item.data), epoch, item.position, message_place(item.data))
