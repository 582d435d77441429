"""Fan-out in this process: who listens, and what waits for each of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from mission_control_desktop.domain.events import EventType
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.record.encoded import Encoded, Payload
from mission_control_desktop.record.known import Change

QUEUE_EVENTS = 512
QUEUE_CHARS = 1_048_576
"""Bounds of one listener's queue. Beyond either the queue is dropped and the listener is brought level from the
record, so that a slow one costs this much memory and delays nobody."""


class Subscriber:
    """One listener's queue. `lagging`: it was dropped, read the record; `closed`: there will be nothing more."""

    def __init__(self) -> None:
        self.lagging = False
        self.closed = False
        self._queue: deque[Encoded] = deque()
        self._chars = 0
        self._wake = asyncio.Event()

    def push(self, event: Encoded) -> None:
        if self.lagging:
            return
        chars = _size(event)
        if len(self._queue) >= QUEUE_EVENTS or (self._queue and self._chars + chars > QUEUE_CHARS):
            self.lag()
            return
        self._queue.append(event)
        self._chars += chars
        self._wake.set()

    def lag(self) -> None:
        self.clear()
        self.lagging = True
        self._wake.set()

    def close(self) -> None:
        self.closed = True
        self._wake.set()

    def clear(self) -> None:
        """Forget what waits, because the record is about to be read."""
        self._queue.clear()
        self._chars = 0
        self.lagging = False

    async def wait(self) -> None:
        """Return when something waits, the queue was dropped, or all is over."""
        while not (self._queue or self.lagging or self.closed):
            self._wake.clear()
            await self._wake.wait()

    def take(self) -> list[Encoded]:
        taken = list(self._queue)
        self._queue.clear()
        self._chars = 0
        return taken


class Hub:
    """All listeners. Everything here runs on the event loop."""

    def __init__(self) -> None:
        self._sessions: dict[str, set[Subscriber]] = {}
        self._workspaces: dict[str, set[Subscriber]] = {}
        self._closed = False

    def join_session(self, session_id: str) -> Subscriber:
        return self._joined(self._sessions.setdefault(session_id, set()), Subscriber())

    def join_workspace(self, workspace_id: str) -> Subscriber:
        return self._joined(self._workspaces.setdefault(workspace_id, set()), Subscriber())

    def _joined(self, listeners: set[Subscriber], subscriber: Subscriber) -> Subscriber:
        listeners.add(subscriber)
        if self._closed:
            subscriber.close()
        return subscriber

    def leave_session(self, subscriber: Subscriber, session_id: str) -> None:
        _leave(self._sessions, subscriber, session_id)

    def leave_workspace(self, subscriber: Subscriber, workspace_id: str) -> None:
        _leave(self._workspaces, subscriber, workspace_id)

    def listeners(self) -> int:
        return len(self._everyone())

    def publish(self, epoch: str, changes: Iterable[Change]) -> None:
        """Hand committed changes to those who listen, in order; each is encoded at most once per stream. One that
        belongs to no workspace reaches no workspace's stream."""
        for change in changes:
            own = self._sessions.get(change.session_id) if change.session_id is not None else None
            all_ = self._workspaces.get(change.workspace_id) if change.workspace_id is not None else None
            if not (own and change.seq is not None) and not (all_ and change.wseq is not None):
                continue
            payload = Payload(change.type, change.payload())
            if own and change.seq is not None:
                event = Encoded(payload, epoch, change.seq, change.place)
                for subscriber in own:
                    subscriber.push(event)
            if all_ and change.wseq is not None:
                event = Encoded(payload, epoch, change.wseq)
                for subscriber in all_:
                    subscriber.push(event)

    def all_lag(self) -> None:
        """Something may have been committed that was not shown: everyone reads the record."""
        for subscriber in self._everyone():
            subscriber.lag()

    def close(self) -> None:
        self._closed = True
        for subscriber in self._everyone():
            subscriber.close()

    def _everyone(self) -> list[Subscriber]:
        return [one for kind in (self._workspaces, self._sessions) for each in kind.values() for one in each]


def _leave(listeners: dict[str, set[Subscriber]], subscriber: Subscriber, place: str) -> None:
    here = listeners.get(place)
    if here is not None:
        here.discard(subscriber)
        if not here:
            del listeners[place]


def _size(event: Encoded) -> int:
    """Roughly, in characters, what keeping the event costs."""
    data = event.payload.data
    if event.type is EventType.DELTA:
        return 200 + len(getattr(data, "text", ""))
    if isinstance(data, AgentMessage):
        return 1_000 + len(data.content)
    return 2_000
