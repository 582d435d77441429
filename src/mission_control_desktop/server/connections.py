"""One HTTP connection, with a deadline for the head of a request and errors in our own shape."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.server.errors import error_body

HEAD_SECONDS = 20.0
"""How long the head of a request may take from its first byte (of a new connection: from its opening)."""


class BadRequest(MissionControlError):
    status, code = 400, "bad_request"


class TooSlow(MissionControlError):
    status, code = 408, "too_slow"


class Connection(H11Protocol):
    """A client that opens connections and never finishes a request holds each of them for `HEAD_SECONDS` at most."""

    head_seconds = HEAD_SECONDS

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._watch()
        else:
            self._unwatch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._watch()  # the begun head of the next request was there already

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("This is not an HTTP request that can be understood."))

    def _watch(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._too_slow)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE:
            self._refuse(TooSlow(f"The head of a request has {self.head_seconds:g} seconds."))

    def _refuse(self, error: MissionControlError) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # Its request cannot be read to the end: whoever answers it has nobody to tell.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = error_body(error)
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"connection", b"close"),
            ]
            for event in (
                h11.Response(
                    status_code=error.status, headers=headers, reason=HTTPStatus(error.status).phrase.encode()
                ),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
