"""One entry of a transcript as the window holds it: the message, and text that grows cheaply up to a bound."""

from __future__ import annotations

from enum import Enum

import msgspec

from mission_control_desktop.client.inbox import weight_of
from mission_control_desktop.domain.limits import MAX_STORED_CONTENT_CHARS
from mission_control_desktop.domain.messages import AgentMessage, MessageKind
from mission_control_desktop.ui import times
from mission_control_desktop.ui.transcript.images import without_images

MOST_CHARS = MAX_STORED_CONTENT_CHARS
"""Held of one message's content: as much as the record keeps. What comes beyond it is counted, and the row says so."""
SPOKEN_CHARS = 2_000
"""How much of a message is given to a screen reader at once."""


class Growth(Enum):
    """What became of text that was to be appended."""

    GROWN = "grown"
    KNOWN = "known"
    """It was there already."""
    GAP = "gap"
    """It does not fit what is there: pieces are missing."""


class Entry:
    """A message whose content may grow. `revision` changes with everything that can be seen of it."""

    __slots__ = ("_parts", "_text", "_weight", "broken", "came", "kind", "length", "message", "ordinal", "revision")

    def __init__(self, message: AgentMessage, ordinal: int) -> None:
        self.came = len(message.content)
        """Code points that came, held or not: the offset of what comes next."""
        self.message = message = _bounded(message)
        self.kind = _kind(message)
        self.ordinal = ordinal
        self.revision = 0
        self.broken = False
        """Pieces of the text are missing: nothing is appended until the whole message comes."""
        self._text: str | None = message.content
        self._parts: list[str] = []
        self.length = len(message.content)
        """Of what is held, in code points."""
        self._weight = weight_of(message.metadata)

    @property
    def seq(self) -> int:
        return self.message.seq

    @property
    def weight(self) -> int:
        """Characters held by it: its text, and what a tool was given, changed or found."""
        return self.length + self._weight

    @property
    def complete(self) -> bool:
        return self.message.complete

    @property
    def text(self) -> str:
        """The content as far as it is known."""
        if self._parts:
            self._text = (self._text or "") + "".join(self._parts)
            self._parts = []
        return self._text or ""

    def append(self, offset: int, text: str) -> Growth:
        """Append text whose place is `offset`. What is there already is dropped; a gap sets `broken`."""
        if offset != self.came:
            overlap = self.text[offset:]
            if offset > self.came or not (text.startswith(overlap) or overlap.startswith(text)):
                self.broken = True
                return Growth.GAP
            text = text[self.came - offset :]
        if not text:
            return Growth.KNOWN
        cut = self.came > self.length
        self.came += len(text)
        if cut:
            return Growth.KNOWN
        piece = text[: MOST_CHARS - self.length]
        self._parts.append(piece)
        self.length += len(piece)
        self.revision += 1
        return Growth.GROWN

    def cut(self) -> str:
        """That not all of it is held, in words; empty if it is."""
        kept = self.message.metadata.get("truncatedFrom")
        shown = f"Cut here, after {self.length:,} characters"
        if isinstance(kept, int) and kept > self.came:
            said = f" of {kept:,}" if self.complete else ""
            return f"{shown}{said}: the record keeps no more of one message."
        if self.came > self.length:
            said = f" of {self.came:,}" if self.complete else ""
            return f"{shown}{said}: this window shows no more of one message. The rest is on record."
        return ""

    def replace(self, message: AgentMessage) -> bool:
        """Take the whole message; its place stays. True if anything can look different."""
        self.broken = False
        old = self.message
        self.came = len(message.content)
        message = _bounded(message)
        same = message.content == self.text and message.metadata == old.metadata and message.role == old.role
        self.message = msgspec.structs.replace(message, seq=old.seq) if message.seq != old.seq else message
        self.kind = _kind(message)
        self._weight = weight_of(message.metadata)
        # The message's own text, not one that is equal: it is held once.
        self._text, self._parts = message.content, []
        if same:
            return False
        self.length = len(message.content)
        self.revision += 1
        return True

    def current(self) -> AgentMessage:
        """The message with the content as it is now."""
        return msgspec.structs.replace(self.message, content=self.text)

    def spoken(self) -> str:
        """For screen readers: who, when, what."""
        title = self.message.metadata.get("title")
        text = without_images(self.text)
        if len(text) > SPOKEN_CHARS:
            text = f"{text[:SPOKEN_CHARS]}…"
        parts = [f"{self.message.role.value} at {times.clock(self.message.timestamp)}"]
        kind = self.kind
        if kind is not MessageKind.TEXT:
            parts.append(kind.value.replace("_", " "))
        if isinstance(title, str) and title:
            parts.append(title)
        status = self.message.metadata.get("status")
        if isinstance(status, str):
            parts.append(status.replace("_", " "))
        return f"{', '.join(parts)}: {text}" if text else ", ".join(parts)


def _bounded(message: AgentMessage) -> AgentMessage:
    if len(message.content) <= MOST_CHARS:
        return message
    return msgspec.structs.replace(message, content=message.content[:MOST_CHARS])


def _kind(message: AgentMessage) -> MessageKind:
    """The entry's kind; one that this version does not know is shown as text."""
    try:
        return message.kind
    except ValueError:
        return MessageKind.TEXT
