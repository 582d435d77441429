"""A subscriber of one session, who takes the stream at its word."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from mission_control_desktop.domain.events import Delta, EventType, StreamEvent, parse_event_id
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.record.encoded import Encoded


class Listener:
    """Makes a transcript of nothing but what the events say; `faults` is what they said wrong."""

    def __init__(self, events: AsyncIterator[Encoded], messages: dict[str, AgentMessage] | None = None) -> None:
        self._events = events
        self.messages: dict[str, AgentMessage] = {} if messages is None else messages
        self.faults: list[str] = []
        self.last_id: str | None = None

    async def run(self) -> None:
        async for encoded in self._events:
            self._take(encoded.event)

    def go_on(self, before: Listener) -> None:
        """Take over what an earlier subscription had."""
        self.messages = before.messages
        self.faults = before.faults

    def transcript(self) -> list[AgentMessage]:
        return sorted(self.messages.values(), key=lambda one: one.seq)

    def _take(self, event: StreamEvent) -> None:
        if event.type is EventType.RESET:
            self.messages.clear()
            self.last_id = None
            return
        self._advance(event.event_id)
        match event.data:
            case AgentMessage() as whole:
                known = self.messages.get(whole.message_id)
                if known is not None and known.seq != whole.seq:
                    self.faults.append(f"the message {whole.message_id} moved from {known.seq} to {whole.seq}")
                self.messages[whole.message_id] = whole
            case Delta() as delta:
                grown = self.messages.get(delta.message_id)
                if grown is None or delta.offset != len(grown.content):
                    self.faults.append(f"a piece of {delta.message_id} does not continue what was told")
                else:
                    longer = grown.content + delta.text
                    self.messages[delta.message_id] = msgspec.structs.replace(grown, content=longer)
            case _:
                pass

    def _advance(self, event_id: str | None) -> None:
        new = None if event_id is None else parse_event_id(event_id)
        old = None if self.last_id is None else parse_event_id(self.last_id)
        if new is None or (old is not None and new[1] <= old[1]):
            self.faults.append(f"the event {event_id} does not follow {self.last_id}")
        self.last_id = event_id
