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

    def __init__(self, workspace_id: str | None = None) -> None:
        self.workspace_id = workspace_id
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
        self._workspace: set[Subscriber] = set()
        self._closed = False

    def join_session(self, session_id: str) -> Subscriber:
        return self._joined(self._sessions.setdefault(session_id, set()), Subscriber())

    def join_workspace(self, workspace_id: str) -> Subscriber:
        return self._joined(self._workspace, Subscriber(workspace_id))

    def _joined(self, listeners: set[Subscriber], subscriber: Subscriber) -> Subscriber:
        listeners.add(subscriber)
        if self._closed:
            subscriber.close()
        return subscriber

    def leave(self, subscriber: Subscriber, session_id: str | None = None) -> None:
        if session_id is None:
            self._workspace.discard(subscriber)
            return
        listeners = self._sessions.get(session_id)
        if listeners is not None:
            listeners.discard(subscriber)
            if not listeners:
                del self._sessions[session_id]

    def listeners(self) -> int:
        return len(self._workspace) + sum(len(each) for each in self._sessions.values())

    def publish(self, epoch: str, changes: Iterable[Change]) -> None:
        """Hand committed changes to those who listen, in order; each is encoded at most once per stream."""
        for change in changes:
            listeners = self._sessions.get(change.session_id) if change.session_id is not None else None
            if not listeners and not (self._workspace and change.wseq is not None):
                continue
            payload = Payload(change.type, change.payload())
            if listeners and change.seq is not None:
                event = Encoded(payload, epoch, change.seq, change.place)
                for subscriber in listeners:
                    subscriber.push(event)
            if change.wseq is not None:
                event = Encoded(payload, epoch, change.wseq)
                for subscriber in self._workspace:
                    if change.workspace_id is None or change.workspace_id == subscriber.workspace_id:
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
        return [*self._workspace, *(one for each in self._sessions.values() for one in each)]


def _size(event: Encoded) -> int:
    """Roughly, in characters, what keeping the event costs."""
    data = event.payload.data
    if event.type is EventType.DELTA:
        return 200 + len(getattr(data, "text", ""))
    if isinstance(data, AgentMessage):
        return 1_000 + len(data.content)
    return 2_000
