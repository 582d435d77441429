"""Events as they go out: encoded once, shared by all who listen."""

from __future__ import annotations

import msgspec

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.base import to_json
from mission_control_desktop.domain.events import EventData, EventType, StreamEvent, event_id
from mission_control_desktop.domain.kill import KillAll
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, split_id


class Payload:
    """One event's type and data. JSON is made when it is first asked for: who has no listener costs nothing."""

    __slots__ = ("_json", "_native_json", "data", "type")

    def __init__(self, type_: EventType, data: EventData) -> None:
        self.type = type_
        self.data = data
        self._json: bytes | None = None
        self._native_json: bytes | None = None

    @property
    def json(self) -> bytes:
        if self._json is None:
            self._json = to_json(self.data)
        return self._json

    @property
    def native_json(self) -> bytes:
        """The same with the provider's own session ids, as the orchestrator's endpoints speak."""
        if self._native_json is None:
            native = with_native_ids(self.data)
            self._native_json = self.json if native is self.data else to_json(native)
        return self._native_json


class Encoded:
    """An event with its place in one stream. `position` is the number in its id; a `reset` has no id.

    `place` is, for a message or a delta, the place (`AgentMessage.seq`) of its message.
    """

    __slots__ = ("_native_sse", "_sse", "epoch", "payload", "place", "position")

    def __init__(self, payload: Payload, epoch: str, position: int | None, place: int = 0) -> None:
        self.payload = payload
        self.epoch = epoch
        self.position = position
        self.place = place
        self._sse: bytes | None = None
        self._native_sse: bytes | None = None

    @property
    def type(self) -> EventType:
        return self.payload.type

    @property
    def event(self) -> StreamEvent:
        """For listeners in this process."""
        return StreamEvent(event_id=self._id(), type=self.payload.type, data=self.payload.data)

    @property
    def sse(self) -> bytes:
        """The whole frame (WHATWG server-sent events): `id`, `event`, `data` and an empty line."""
        if self._sse is None:
            self._sse = self._frame(self.payload.json)
        return self._sse

    @property
    def sse_native(self) -> bytes:
        """The same frame with the provider's own session ids."""
        if self._native_sse is None:
            self._native_sse = self._frame(self.payload.native_json)
        return self._native_sse

    def _id(self) -> str | None:
        return None if self.position is None else event_id(self.epoch, self.position)

    def _frame(self, data: bytes) -> bytes:
        name = self._id()
        head = b"" if name is None else b"id: " + name.encode() + b"\n"
        return head + b"event: " + self.payload.type.value.encode() + b"\ndata: " + data + b"\n\n"


def with_native_ids(data: EventData) -> EventData:
    """The record with native session ids; the same object if it carries none."""
    if isinstance(data, AgentMessage | Receipt | Approval):
        return msgspec.structs.replace(data, session_id=split_id(data.session_id)[1])
    if isinstance(data, AgentSession):
        parent = data.parent_session_id
        return msgspec.structs.replace(
            data,
            session_id=split_id(data.session_id)[1],
            parent_session_id=None if parent is None else split_id(parent)[1],
        )
    if isinstance(data, KillAll):
        targets = tuple(
            msgspec.structs.replace(target, session_id=split_id(target.session_id)[1]) for target in data.targets
        )
        return msgspec.structs.replace(data, targets=targets)
    return data
