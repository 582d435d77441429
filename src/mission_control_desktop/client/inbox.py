"""The inbox between the engine's thread and the window's: bounded, merged, and never wrong.

The engine puts events as they come; the window takes batches when it has time for them (once a frame). What happens at
the limit: when one topic's backlog exceeds its bound, or all of them together exceed theirs, that topic's backlog is
dropped but for its beginning, its feed is told to stop, and once the window has taken that beginning the feed continues
after the last event that the window was *given*. The record then sends whole messages, so a slow window sees less
motion, but never a gap or a doubled word; and because the beginning is kept, it gets further each time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from mission_control_desktop.domain.events import Delta, EventType, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.sessions import AgentSession

WORKSPACE = "workspace"
"""The topic of the workspace's events, and with `@` and its name of another control plane's; all other topics are
session ids, which have a colon."""

MAX_TOPIC_EVENTS = 4_000
MAX_WORKSPACE_EVENTS = 20_000
MAX_TOPIC_CHARS = 8_000_000
MAX_TOTAL_CHARS = 48_000_000
_BASE_WEIGHT = 256
_TURN = 32
_KEPT_PART = 16


class LinkState(StrEnum):
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    REFUSED = "refused"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """How one topic's stream is doing, since when. `error_code` and `error` say why it is not connected; after
    `refused` nothing more is tried until the topic is opened again."""

    state: LinkState
    since: datetime
    attempt: int = 0
    error_code: str | None = None
    error: str | None = None


class InboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to show. `merged` is the number of events on the wire that it stands for."""

    topic: str
    event: StreamEvent | Link
    merged: int = 1


class InboxStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counters since the start; lags are milliseconds between put and drain."""

    pending: int
    pending_chars: int
    put: int
    drained: int
    merged: int
    dropped: int
    relevelled: int
    lag_ms: float
    lag_max_ms: float


class _Entry:
    __slots__ = ("at", "end", "event", "merged", "pieces", "weight")

    def __init__(self, event: StreamEvent | Link, at: float) -> None:
        self.event = event
        self.at = at
        self.merged = 1
        self.pieces: list[str] | None = None
        self.end = 0
        self.weight = _BASE_WEIGHT
        if isinstance(event, StreamEvent):
            data = event.data
            if isinstance(data, Delta):
                self.pieces = [data.text]
                self.end = data.offset + len(data.text)
                self.weight += len(data.text)
            elif isinstance(data, AgentMessage):
                self.weight += len(data.content) + weight_of(data.metadata)

    def take(self, event: StreamEvent | Link) -> bool:
        """Let a following event of the same topic become part of this one, if nothing is lost by it."""
        if isinstance(event, Link) or isinstance(self.event, Link):
            if not (isinstance(event, Link) and isinstance(self.event, Link)):
                return False
            self.event = event
            return True
        old, new = self.event.data, event.data
        if isinstance(new, Delta):
            if (
                self.pieces is None
                or not isinstance(old, Delta)
                or old.message_id != new.message_id
                or new.offset != self.end
            ):
                return False
            self.pieces.append(new.text)
            self.end += len(new.text)
            self.weight += len(new.text)
        elif isinstance(new, AgentMessage):
            if not isinstance(old, (Delta, AgentMessage)) or old.message_id != new.message_id:
                return False
            self.pieces = None
            self.weight = _BASE_WEIGHT + len(new.content) + weight_of(new.metadata)
        elif isinstance(new, AgentSession):
            if not isinstance(old, AgentSession) or old.session_id != new.session_id:
                return False
        else:
            return False
        self.event = event if self.pieces is None else msgspec.structs.replace(self.event, event_id=event.event_id)
        self.merged += 1
        return True

    def item(self, topic: str) -> InboxItem:
        event = self.event
        if self.pieces is not None and len(self.pieces) > 1 and isinstance(event, StreamEvent):
            first = event.data
            if isinstance(first, Delta):
                event = msgspec.structs.replace(event, data=msgspec.structs.replace(first, text="".join(self.pieces)))
        return InboxItem(topic=topic, event=event, merged=self.merged)


def weight_of(value: Any) -> int:
    """Characters held by a JSON value, roughly."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(8 + len(key) + weight_of(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return sum(8 + weight_of(item) for item in value)
    return 8


class _Topic:
    __slots__ = ("asked", "chars", "delivered", "entries", "stalled")

    def __init__(self) -> None:
        self.entries: deque[_Entry] = deque()
        self.chars = 0
        self.delivered: str | None = None
        self.stalled = False
        self.asked = False


class Inbox:
    """Thread-safe: `put`, `resume`, `forget` from the engine; `drain` from one consumer.

    `wake` is called from the putting thread when there is something to drain, and not again before the next
    `drain`; connect it to a queued signal. It must not block or raise.
    """

    def __init__(
        self,
        wake: Callable[[], None] | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        max_topic_events: int = MAX_TOPIC_EVENTS,
        max_workspace_events: int = MAX_WORKSPACE_EVENTS,
        max_topic_chars: int = MAX_TOPIC_CHARS,
        max_total_chars: int = MAX_TOTAL_CHARS,
    ) -> None:
        self._wake = wake or _nothing
        self._relevel: Callable[[str, str | None], None] = _ignore
        self._monotonic = monotonic
        self._max_events = max_topic_events
        self._max_workspace_events = max_workspace_events
        self._max_chars = max_topic_chars
        self._max_total = max_total_chars
        self._lock = threading.Lock()
        self._topics: dict[str, _Topic] = {}
        self._ready: deque[str] = deque()
        self._awake = False
        self._closed = False
        self._chars = 0
        self._put = self._drained = self._merged = self._dropped = self._relevelled = 0
        self._lag = self._lag_max = self._lag_recent = 0.0

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Set the wake-up call; it comes at once if something waits already."""
        with self._lock:
            self._wake = wake
            waiting = bool(self._ready)
            self._awake = waiting
        if waiting:
            wake()

    def on_relevel(self, relevel: Callable[[str, str | None], None] | None) -> None:
        """Set who is told (topic, last event id given out) that a stalled topic's stream is to be opened again from
        there. Called from `drain`, on the consumer's thread; must not block."""
        with self._lock:
            self._relevel = relevel or _ignore

    def put(self, topic: str, event: StreamEvent | Link) -> bool:
        """Add an event. False: the topic is over its bound (or the inbox closed) and the event was not taken; the
        caller stops reading and waits for `on_relevel`. Link states are always taken."""
        link = isinstance(event, Link)
        with self._lock:
            if self._closed:
                return False
            state = self._topics.setdefault(topic, _Topic())
            if state.stalled and not link:
                self._dropped += 1
                return False
            self._put += 1
            accepted = self._add(topic, state, event)
            wake = not self._awake
            self._awake = True
        if wake:
            self._wake()
        return accepted

    def _add(self, topic: str, state: _Topic, event: StreamEvent | Link) -> bool:
        entries = state.entries
        if entries:
            last = entries[-1]
            before = last.weight
            if last.take(event):
                self._merged += 1
                self._grow(state, last.weight - before)
                return self._within(topic, state)
        else:
            self._ready.append(topic)
        entry = _Entry(event, self._monotonic())
        entries.append(entry)
        self._grow(state, entry.weight)
        return self._within(topic, state)

    def _grow(self, state: _Topic, chars: int) -> None:
        state.chars += chars
        self._chars += chars

    def _within(self, topic: str, state: _Topic) -> bool:
        limit = self._max_workspace_events if is_workspace(topic) else self._max_events
        if state.stalled:
            return False
        if len(state.entries) > limit or state.chars > self._max_chars:
            self._stall(topic, state)
        elif self._chars > self._max_total:
            going = [name for name, other in self._topics.items() if not other.stalled]
            largest = max(going, key=lambda name: self._topics[name].chars)
            self._stall(largest, self._topics[largest])
        return not state.stalled

    def _stall(self, topic: str, state: _Topic) -> None:
        """Keep a sixteenth of the bound (one entry at least), drop the rest."""
        entries = state.entries
        limit = self._max_workspace_events if is_workspace(topic) else self._max_events
        most_chars = min(self._max_chars, self._max_total) // _KEPT_PART
        kept, chars = 0, 0
        for entry in entries:
            chars += entry.weight
            if kept and (kept >= limit // _KEPT_PART or chars > most_chars):
                break
            kept += 1
        while len(entries) > kept:
            entry = entries.pop()
            self._grow(state, -entry.weight)
            if not isinstance(entry.event, Link):
                self._dropped += entry.merged
        state.stalled, state.asked = True, False
        self._relevelled += 1

    def _clear(self, topic: str, state: _Topic) -> None:
        self._grow(state, -state.chars)
        if state.entries:
            state.entries.clear()
            self._ready.remove(topic)

    def drain(self, max_items: int = 512) -> list[InboxItem]:
        """Up to so many items; topics take turns, so that a loud one does not delay the others. If something is left,
        the wake-up comes again at once."""
        taken: list[tuple[str, _Entry]] = []
        now = self._monotonic()
        with self._lock:
            while self._ready and len(taken) < max_items:
                topic = self._ready.popleft()
                state = self._topics[topic]
                for _ in range(min(_TURN, max_items - len(taken), len(state.entries))):
                    entry = state.entries.popleft()
                    self._grow(state, -entry.weight)
                    taken.append((topic, entry))
                    if isinstance(entry.event, StreamEvent) and entry.event.event_id is not None:
                        state.delivered = entry.event.event_id
                if state.entries:
                    self._ready.append(topic)
            again = self._awake = bool(self._ready)
            if taken:
                self._drained += len(taken)
                self._lag = max(now - entry.at for _, entry in taken) * 1000
                self._lag_max = max(self._lag_max, self._lag)
                self._lag_recent = max(self._lag_recent, self._lag)
            levelled = [(name, state.delivered) for name, state in self._topics.items() if self._ask(state)]
            relevel, wake = self._relevel, self._wake
        for name, last in levelled:
            relevel(name, last)
        if again:
            wake()
        return [entry.item(topic) for topic, entry in taken]

    @staticmethod
    def _ask(state: _Topic) -> bool:
        if not state.stalled or state.asked or state.entries:
            return False
        state.asked = True
        return True

    def nudge(self, topic: str) -> None:
        """Have the next `drain` call `on_relevel` for this topic (again) if it is stalled."""
        with self._lock:
            state = self._topics.get(topic)
            if self._closed or state is None or not state.stalled:
                return
            state.asked = False
            wake = not self._awake
            self._awake = True
        if wake:
            self._wake()

    def resume(self, topic: str) -> None:
        """The feed is about to open the topic's stream again after the id that `on_relevel` gave."""
        with self._lock:
            state = self._topics.get(topic)
            if state is not None:
                state.stalled = state.asked = False

    def forget(self, topic: str) -> None:
        """Drop what waits for this topic, and all that is known of it."""
        with self._lock:
            state = self._topics.pop(topic, None)
            if state is not None:
                self._clear(topic, state)

    def close(self) -> None:
        """Take nothing more, hold nothing more."""
        with self._lock:
            self._closed = True
            self._topics.clear()
            self._ready.clear()
            self._chars = 0
            self._relevel, self._wake = _ignore, _nothing

    def take_lag(self) -> float:
        """The longest that an event waited, in milliseconds, of those drained since the last call."""
        with self._lock:
            lag, self._lag_recent = self._lag_recent, 0.0
            return lag

    def stats(self) -> InboxStats:
        with self._lock:
            return InboxStats(
                pending=sum(len(state.entries) for state in self._topics.values()),
                pending_chars=self._chars,
                put=self._put,
                drained=self._drained,
                merged=self._merged,
                dropped=self._dropped,
                relevelled=self._relevelled,
                lag_ms=self._lag,
                lag_max_ms=self._lag_max,
            )


def is_workspace(topic: str) -> bool:
    """Whether a topic is a workspace's, and not a session's."""
    return topic.partition("@")[0] == WORKSPACE


def is_reset(event: StreamEvent | Link) -> bool:
    return isinstance(event, StreamEvent) and event.type is EventType.RESET


def _nothing() -> None:
    return None


def _ignore(topic: str, last_event_id: str | None) -> None:
    return None
