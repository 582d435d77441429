"""Frames of the gateway's protocol: requests, replies and events, one JSON object per WebSocket message.

Unknown fields are ignored everywhere, because the gateway adds some within a protocol version.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

MAX_INCOMING_BYTES = 64 * 1024 * 1024
"""Longest frame accepted. The gateway itself gives up on a client that is 50 MiB behind."""


class BadFrame(Exception):
    """What came is no frame of this protocol."""


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A refusal. Times are in milliseconds."""

    code: str = "UNKNOWN"
    message: str = ""
    details: Any = None
    retryable: bool = False
    retry_after_ms: float | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag="res", tag_field="type"):
    id: str
    ok: bool
    payload: Any = None
    error: ErrorBody | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag="event", tag_field="type"):
    """`seq` counts this connection's events from 1; a hole means that some were skipped."""

    event: str
    payload: Any = None
    seq: int | None = None


Frame = Reply | Event


class Server(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    version: str = ""
    boot_id: str = ""


class Features(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    methods: list[str] = []
    events: list[str] = []


class Granted(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the gateway lets this client do. `device_token` is a secret."""

    role: str = ""
    scopes: list[str] = []
    device_token: str | None = None

    def __repr__(self) -> str:
        return f"Granted(role={self.role!r}, scopes={self.scopes!r})"


class Policy(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Limits that the gateway announces: bytes of one frame to it, and the time between its ticks."""

    max_payload: int = 1024 * 1024
    tick_interval_ms: float = 30_000


class Hello(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer to a `connect` that was accepted."""

    protocol: int
    server: Server = Server()
    features: Features = Features()
    auth: Granted = Granted()
    policy: Policy = Policy()


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway says first; `ts` is in milliseconds."""

    nonce: str
    ts: int


_decoder: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(Frame)


def decode(raw: str | bytes) -> Frame:
    """Raises BadFrame."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(f"it is no frame of this protocol ({type(error).__name__})") from error


def encode_request(request_id: str, method: str, params: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"type": "req", "id": request_id, "method": method, "params": params})


def read(payload: Any, kind: type[T]) -> T:
    """A payload as one of our types. Raises BadFrame."""
    try:
        return msgspec.convert(payload, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadFrame(f"{kind.__name__}: {error}") from error
