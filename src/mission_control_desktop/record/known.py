"""What the writer remembers of the record, and what it tells of each change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from mission_control_desktop.domain.events import Delta, EventData, EventType
from mission_control_desktop.domain.sessions import SessionStatus

CACHED = 10_000
"""Sessions, messages and cursors remembered of each kind; others are read again."""

MessageKey = tuple[str, str]
"""Session id and message id."""
K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class StreamState:
    """A session's last sequence number, its newest sign of life, and how many messages were removed from it."""

    last_seq: int = 0
    last_event_at: datetime | None = None
    removed: int = 0


@dataclass(slots=True)
class SessionState:
    status: SessionStatus
    run_id: str | None
    workspace_id: str


@dataclass(slots=True)
class MessageState:
    """Lengths in characters; `length` is that of content and appends together."""

    place: int
    length: int
    chunks: int = 0
    chunk_chars: int = 0


@dataclass(slots=True)
class Change:
    """What happened, for the streams. `seq` is its number in the session's stream, `wseq` in that of the workspace
    `workspace_id`; None where it does not show. A delta's text is in `parts` while more may be merged into it."""

    type: EventType
    data: EventData | None
    session_id: str | None = None
    seq: int | None = None
    wseq: int | None = None
    place: int = 0
    workspace_id: str | None = None
    message_id: str = ""
    offset: int = 0
    parts: list[str] = field(default_factory=list)

    def payload(self) -> EventData:
        if self.data is None:
            self.data = Delta(message_id=self.message_id, offset=self.offset, text="".join(self.parts))
        return self.data


class _Cache(OrderedDict[K, V]):
    """The newest entries; what falls out is read again when needed."""

    def put(self, key: K, value: V) -> None:
        self[key] = value
        self.move_to_end(key)
        if len(self) > CACHED:
            self.popitem(last=False)


class Known:
    """What the writer remembers of the record, so that an append need not ask the database."""

    def __init__(self) -> None:
        self.streams: _Cache[str, StreamState] = _Cache()
        self.sessions: _Cache[str, SessionState | None] = _Cache()
        self.messages: _Cache[MessageKey, MessageState | None] = _Cache()
        self.cursors: _Cache[tuple[str, str], int] = _Cache()

    def forget_messages(self, keys: Iterable[MessageKey]) -> None:
        """They are no longer on record."""
        for key in keys:
            self.messages.pop(key, None)
            self.streams.pop(key[0], None)

    def clear(self) -> None:
        for cache in (self.streams, self.sessions, self.messages, self.cursors):
            cache.clear()
