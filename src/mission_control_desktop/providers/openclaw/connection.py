"""One open connection: requests with their replies, events as they come, and the certainty that it is alive.

The gateway answers requests out of order and refuses a crowd of them, so at most `IN_FLIGHT` are under way. A reply
that does not come in time ends in `Lost`: what was asked may have been done, so nothing is sent a second time here.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException

from mission_control_desktop.domain.errors import TooLarge, Unsupported
from mission_control_desktop.domain.providers import StageName
from mission_control_desktop.providers.openclaw.frames import (
    MAX_INCOMING_BYTES,
    BadFrame,
    Event,
    Frame,
    Hello,
    Reply,
    decode,
    encode_request,
)
from mission_control_desktop.providers.openclaw.machine import Handshake
from mission_control_desktop.providers.openclaw.trouble import GatewayError, Lost, Refused, seconds

IN_FLIGHT = 8
MAX_WAITING = 2_000
"""Requests that may wait for their turn. More are turned away."""
OPEN_TIMEOUT = 10.0
HELLO_TIMEOUT = 15.0
REPLY_TIMEOUT = 30.0
CLOSE_TIMEOUT = 2.0
READS = frozenset(
    {
        "sessions.list",
        "sessions.subscribe",
        "sessions.messages.subscribe",
        "sessions.messages.unsubscribe",
        "chat.history",
        "chat.message.get",
        "tasks.list",
        "exec.approval.list",
        "question.list",
    }
)
"""Asking for these twice changes nothing: a gateway that cannot answer now is asked again, up to `TRIES` times."""
TRIES = 4
TRY_EVERY, TRY_MOST = 0.5, 5.0
"""Seconds between them, doubling, or what the gateway asks for; one that asks for more is not waited for here."""
SILENT_TICKS = 2.5
"""So many of the gateway's ticks without any frame, and it is taken for dead."""
BIG_FRAME = 256 * 1024
"""Bytes from which on a frame is decoded off the event loop."""

EventSink = Callable[[Event], None]
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def websocket_url(url: str) -> str:
    """`http` and `https` addresses mean the WebSocket on the same port."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, parts.path or "/", parts.query, ""))


async def open_socket(url: str) -> ClientConnection:
    """A WebSocket to the gateway, nothing said yet. Raises Refused."""
    target = websocket_url(url)
    host = urlsplit(target).hostname or ""
    place = urlsplit(target).netloc
    try:
        return await connect(
            target,
            open_timeout=OPEN_TIMEOUT,
            close_timeout=CLOSE_TIMEOUT,
            max_size=MAX_INCOMING_BYTES,
            max_queue=16,
            compression=None,
            proxy=None if host in _LOOPBACK else True,
        )
    except TimeoutError as error:
        raise _unreachable(
            f"{place} did not answer within {OPEN_TIMEOUT:g} s. Is it the right host and port?"
        ) from error
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message or "it cannot be verified"
        raise _unreachable(
            f"The certificate of {place} is not trusted: {why}. Use one from an authority that this computer trusts.",
            by_person=True,
        ) from error
    except ssl.SSLError as error:
        raise _unreachable(
            f"{place} does not answer in TLS. If the gateway has no TLS, its address begins with ws:// (not wss://)."
        ) from error
    except socket.gaierror as error:
        raise _unreachable(f"The name {host!r} is not known here. Check the address.") from error
    except ConnectionRefusedError as error:
        raise _unreachable(f"Nothing listens at {place}. Is the gateway running, and is this its port?") from error
    except OSError as error:
        raise _unreachable(f"{place} cannot be reached: {error.strerror or type(error).__name__}.") from error
    except InvalidURI as error:
        raise Refused(StageName.REACHABLE, "The address is no WebSocket address.", by_person=True) from error
    except InvalidStatus as error:
        raise _bad_status(error, place) from error
    except (InvalidHandshake, WebSocketException, EOFError) as error:
        words = f"What answers at {place} does not speak WebSocket. Check host and port."
        raise Refused(StageName.PROTOCOL, words) from error


def _unreachable(words: str, *, by_person: bool = False) -> Refused:
    return Refused(StageName.REACHABLE, words, by_person=by_person)


def _bad_status(error: InvalidStatus, place: str) -> Refused:
    status = error.response.status_code
    after = error.response.headers.get("Retry-After", "")
    wait = seconds(int(after) * 1000) if after.isascii() and after.isdigit() and len(after) < 9 else None
    if status in (429, 503):
        words = f"The gateway at {place} takes no connections now (HTTP {status}); it may be starting or stopping."
        return Refused(StageName.REACHABLE, words, retry_after=wait)
    if status in (401, 403):
        words = f"Something before the gateway at {place} asks for a login of its own (HTTP {status})."
        return Refused(StageName.AUTHENTICATED, words, by_person=True)
    words = f"What answers at {place} is no gateway: it answers HTTP {status} to a WebSocket. Check address and path."
    return Refused(StageName.PROTOCOL, words)


async def shake_hands(websocket: ClientConnection, handshake: Handshake, greeted: Callable[[], None]) -> Hello:
    """`greeted` is called once the gateway has greeted as one. Raises Refused. The socket stays open only if it
    returns."""
    try:
        async with asyncio.timeout(HELLO_TIMEOUT):
            while True:
                answer = handshake.receive(decode(await websocket.recv()))
                if isinstance(answer, Hello):
                    return answer
                if answer is not None:
                    greeted()
                    await websocket.send(answer, text=True)
    except BadFrame as error:
        refused = Refused(StageName.PROTOCOL, f"What answers there is no OpenClaw gateway: {error}. Check the address.")
        raise refused from error
    except TimeoutError as error:
        words = f"The gateway did not complete the greeting within {HELLO_TIMEOUT:g} s."
        raise Refused(StageName.PROTOCOL, words) from error
    except ConnectionClosed as error:
        raise Refused(StageName.PROTOCOL, f"The gateway hung up during the greeting{_why(error)}.") from error


class Connection:
    """A gateway that said hello. `run` reads until the end; `call` works while it does."""

    def __init__(self, websocket: ClientConnection, hello: Hello, on_event: EventSink) -> None:
        self.hello = hello
        self._websocket = websocket
        self._on_event = on_event
        self._ids = itertools.count(1)
        self._replies: dict[str, asyncio.Future[Reply]] = {}
        self._turn = asyncio.Semaphore(IN_FLIGHT)
        self._waiting = 0
        self._ended: str | None = None
        self._silence = max(hello.policy.tick_interval_ms / 1000 * SILENT_TICKS, 5.0)

    @property
    def alive(self) -> bool:
        return self._ended is None

    def can(self, scope: str) -> bool:
        """Whether the gateway granted it."""
        return scope in self.hello.auth.scopes

    async def run(self) -> str:
        """Read frames until the connection ends; tells why. Every request under way then ends in `Lost`."""
        try:
            self._ended = await self._read()
        finally:
            self._ended = self._ended or "the connection was closed"
            for reply in self._replies.values():
                if not reply.done():
                    reply.set_exception(Lost(f"The connection to the gateway ended: {self._ended}."))
                    reply.exception()
            await self._websocket.close()
        return self._ended

    async def _read(self) -> str:
        while True:
            try:
                async with asyncio.timeout(self._silence):
                    raw = await self._websocket.recv()
            except TimeoutError:
                return f"the gateway was silent for {self._silence:g} s"
            except ConnectionClosed as error:
                return "it was closed" + _why(error)
            try:
                frame: Frame = await asyncio.to_thread(decode, raw) if len(raw) > BIG_FRAME else decode(raw)
            except BadFrame as error:
                return f"the gateway sent what cannot be read: {error}"
            if isinstance(frame, Event):
                self._on_event(frame)
            elif (reply := self._replies.get(frame.id)) is not None and not reply.done():
                reply.set_result(frame)

    async def call(self, method: str, params: dict[str, Any] | None = None, *, timeout: float = REPLY_TIMEOUT) -> Any:
        """The reply's payload. Raises GatewayError for a refusal, Lost without a reply in `timeout` seconds (counted
        from when it was sent), TooLarge for a request that the gateway would hang up on."""
        request_id = str(next(self._ids))
        raw = encode_request(request_id, method, params or {})
        limit = self.hello.policy.max_payload
        if len(raw) > limit:
            raise TooLarge(f"The gateway takes at most {limit} bytes at once; this has {len(raw)}.")
        if self._waiting >= MAX_WAITING:
            raise Lost("Too much waits for the gateway already. Try again.")
        self._waiting += 1
        try:
            for tries in itertools.count(1):
                try:
                    async with self._turn:
                        return await self._ask(request_id, method, raw, timeout)
                except GatewayError as error:
                    wait = TRY_EVERY * 2 ** (tries - 1) if error.retry_after is None else error.retry_after
                    if method not in READS or not error.later or tries == TRIES or wait > TRY_MOST:
                        raise
                await asyncio.sleep(wait)
        finally:
            self._waiting -= 1

    async def _ask(self, request_id: str, method: str, raw: bytes, timeout: float) -> Any:
        if self._ended is not None:
            raise Lost(f"The connection to the gateway ended: {self._ended}.")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._replies[request_id] = future
        try:
            async with asyncio.timeout(timeout):
                await self._websocket.send(raw, text=True)
                reply = await future
        except TimeoutError as error:
            raise Lost(f"The gateway did not answer {method} within {timeout:g} s.") from error
        except ConnectionClosed as error:
            raise Lost(f"The connection to the gateway ended{_why(error)}.") from error
        finally:
            self._replies.pop(request_id, None)
        if reply.ok:
            return reply.payload
        if reply.error is None:
            raise Lost("The gateway refused without a reason.")
        if "unknown method" in reply.error.message.lower():
            raise Unsupported(f"This gateway (version {self.hello.server.version}) does not know {method}.")
        raise GatewayError(method, reply.error)

    async def close(self) -> None:
        """Say goodbye; `run` returns then."""
        await self._websocket.close()


def _why(error: ConnectionClosed) -> str:
    received = error.rcvd
    if received is None:
        return " without a word"
    return f" (code {received.code}{f', {received.reason}' if received.reason else ''})"
