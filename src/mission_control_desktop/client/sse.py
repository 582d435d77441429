"""Server-sent events, sans I/O: bytes in, raw events out (WHATWG HTML, "Server-sent events", section 9.2.6).

Works on bytes throughout, so that each event's JSON is decoded once and straight from the wire. An event larger than
the limit is skipped while it arrives, never held: memory stays bounded whatever a peer sends.
"""

from __future__ import annotations

import msgspec

MAX_EVENT_BYTES = 64 * 1024 * 1024
"""Larger than any event that our own server sends (`domain.limits.MAX_LINE_BYTES` and its JSON escapes)."""

_BOM = b"\xef\xbb\xbf"


class RawEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it stood on the wire. `event_id` is the last id seen on this stream; None if there was none yet."""

    type: str
    data: bytes
    event_id: str | None


class SseParser:
    """Incremental: feed it chunks as they come, in any cut."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._fresh = True
        self._skip_lf = False
        self._rest: list[bytes] = []
        self._data: list[bytes] = []
        self._size = 0
        self._skipping = False
        self._cut = False
        self._type = b""
        self._id: bytes | None = None
        self.oversize = 0
        """How many events were skipped because they exceeded the limit."""

    def feed(self, chunk: bytes) -> list[RawEvent]:
        """Events that this chunk completes, in order."""
        events: list[RawEvent] = []
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[0] == 0x0A:
                chunk = chunk[1:]
        if not chunk:
            return events
        self._skip_lf = chunk[-1] == 0x0D
        for piece in chunk.splitlines(keepends=True):
            if piece[-1] not in (0x0A, 0x0D):
                self._hold(piece)
                break
            line = piece.rstrip(b"\r\n")
            if self._rest:
                line = b"".join((*self._rest, line))
                self._size -= sum(map(len, self._rest))
                self._rest.clear()
            if self._cut:
                self._cut = False
                continue
            if self._fresh:
                self._fresh = False
                line = line.removeprefix(_BOM)
            event = self._line(line)
            if event is not None:
                events.append(event)
        return events

    def _hold(self, piece: bytes) -> None:
        """Keep the begun line, or only the fact that there is one when the event exceeds the limit."""
        if self._size + len(piece) > self._limit:
            self._skip()
            self._cut = True
        if self._cut:
            self._rest.clear()
            return
        self._rest.append(piece)
        self._size += len(piece)

    def _skip(self) -> None:
        if not self._skipping:
            self._skipping = True
            self.oversize += 1
        self._data.clear()
        self._size = 0

    def _line(self, line: bytes) -> RawEvent | None:
        if not line:
            return self._dispatch()
        if line[0] == 0x3A:
            return None
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            if self._skipping:
                return None
            if self._size + len(value) > self._limit:
                self._skip()
                return None
            self._data.append(value)
            self._size += len(value)
        elif name == b"event":
            self._type = value[:256]
        elif name == b"id" and b"\0" not in value and len(value) <= 256:
            self._id = value
        return None

    def _dispatch(self) -> RawEvent | None:
        data, kind, skipped = self._data, self._type, self._skipping
        self._data, self._type, self._skipping, self._size = [], b"", False, 0
        if skipped or not data:
            return None
        return RawEvent(
            type=kind.decode("utf-8", "replace") or "message",
            data=data[0] if len(data) == 1 else b"\n".join(data),
            event_id=self._id.decode("utf-8", "replace") if self._id else None,
        )
