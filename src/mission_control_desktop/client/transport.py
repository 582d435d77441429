"""The way to a control plane: one connection pool for calls, one for streams, on plain asyncio.

Rules that hold for every call:

- A token goes only over TLS or to a loopback address, and is in no log line, repr or error.
- Every POST carries an Idempotency-Key, made once per call and kept in its retries, so a retry can do nothing twice.
- A call is retried only when the connection failed, never when an answer came or is merely late.
- Calls and streams have pools of their own: 64 open streams never keep a kill waiting.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar, cast

import httpx
import structlog

from mission_control_desktop.client.clock import Uuid7Ids
from mission_control_desktop.client.sockets import LocalStreams
from mission_control_desktop.client.sse import MAX_EVENT_BYTES, RawEvent, SseParser
from mission_control_desktop.client.tls import ENV_CA_FILE, trust
from mission_control_desktop.client.wire import compact, decode, error_from
from mission_control_desktop.domain.addresses import is_loopback_name
from mission_control_desktop.domain.base import to_json
from mission_control_desktop.domain.clock import IdSource
from mission_control_desktop.domain.errors import BadInput, NotFound, Unreachable
from mission_control_desktop.domain.events import DATA_TYPES, EventType, StreamEvent

log = structlog.get_logger(__name__)

T = TypeVar("T")

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
STOP_SECONDS = 90.0
"""A kill answers when it is verified, which may take the provider's whole stop sequence."""
SILENCE_SECONDS = 40.0
"""No byte for so long (the server sends a comment at least every 15 s): the connection is dead."""
MAX_STREAMS = 256
ATTEMPTS = 3


def checked_url(base_url: str, *, with_token: bool) -> httpx.URL:
    """The URL to call, or BadInput that says what is wrong with it."""
    try:
        url = httpx.URL(base_url.strip().rstrip("/"))
    except (httpx.InvalidURL, UnicodeError) as error:
        raise BadInput("url", f"{base_url!r} is not a URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise BadInput(
            "url", f"{base_url!r} is not a control plane's URL: give http://HOST:PORT or https://HOST[:PORT]"
        )
    if url.port is not None and not 0 < url.port < 65536:
        raise BadInput("url", f"there is no port {url.port}")
    if url.userinfo:
        raise BadInput("url", "give the token separately, not as part of the URL")
    if with_token and url.scheme == "http" and not is_loopback_name(url.host):
        raise BadInput(
            "url",
            f"the token would travel unencrypted to {url.host}: use https://, or a tunnel that ends on this computer",
        )
    return url


def check_token(token: str) -> None:
    """BadInput for what cannot stand in a header."""
    if not (token.isascii() and token.isprintable() and token.strip() == token and token):
        raise BadInput("token", "the token has characters that no token has: copy it again")


class Transport:
    """Requests and event streams of one control plane, typed, with its errors as `domain.errors`. Create, use and
    `close()` it on one event loop."""

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        ids: IdSource | None = None,
        jitter: Callable[[], float] = random.random,
        read_seconds: float = READ_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        max_event_bytes: int = MAX_EVENT_BYTES,
        what: str | None = None,
        allow_insecure: bool = False,
    ) -> None:
        """`what` names the peer in errors. `allow_insecure`: someone accepted that the token is not encrypted."""
        url = checked_url(base_url, with_token=token is not None and not allow_insecure)
        if token is not None:
            check_token(token)
        self._url = str(url)
        self._what = what or f"The control plane at {url}"
        self._auth = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._ids = ids or Uuid7Ids()
        self._jitter = jitter
        self._silence = silence_seconds
        self._max_event_bytes = max_event_bytes
        # Plain HTTP needs no certificates; loading them costs some 50 ms of start time.
        verify = trust() if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # Proxies from the environment are for other hosts: traffic to this computer never goes through one.
        trust_env = not is_loopback_name(url.host)
        headers = {"Accept": "application/json"}
        try:
            self._calls = httpx.AsyncClient(
                base_url=url,
                verify=verify,
                trust_env=trust_env,
                headers=headers,
                follow_redirects=False,
                timeout=httpx.Timeout(read_seconds, connect=CONNECT_SECONDS, pool=10.0),
                limits=httpx.Limits(max_connections=32, max_keepalive_connections=8, keepalive_expiry=20.0),
            )
            local = url.scheme == "http" and not trust_env
            self._streams = httpx.AsyncClient(
                base_url=url,
                transport=LocalStreams(MAX_STREAMS) if local else None,
                verify=verify,
                trust_env=trust_env,
                headers={"Accept": "text/event-stream", "Accept-Encoding": "identity"},
                follow_redirects=False,
                timeout=httpx.Timeout(silence_seconds, connect=CONNECT_SECONDS, pool=10.0),
                limits=httpx.Limits(max_connections=MAX_STREAMS, max_keepalive_connections=0),
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise BadInput("url", f"a proxy that the environment names cannot be used: {error}") from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    @property
    def url(self) -> str:
        return self._url

    async def close(self) -> None:
        await self._calls.aclose()
        await self._streams.aclose()

    @asynccontextmanager
    async def _open(
        self, path: str, params: Mapping[str, Any], last_event_id: str | None
    ) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        headers = dict(self._auth)
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        request = self._streams.build_request("GET", path, params=query_of(params), headers=headers)
        try:
            response = await self._streams.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        async with aclosing(response):
            if response.status_code != httpx.codes.OK:
                try:
                    raw = await response.aread()
                except httpx.HTTPError as error:
                    raise self._unreachable(error) from error
                raise error_from(response.status_code, response.headers, raw, what=self._what)
            kind = response.headers.get("Content-Type", "")
            if not kind.startswith("text/event-stream"):
                raise Unreachable(f"{self._what} sent {kind or 'something unnamed'} instead of an event stream")
            async with aclosing(self._read(response)) as events:
                yield events

    async def _read(self, response: httpx.Response) -> AsyncGenerator[StreamEvent, None]:
        parser = SseParser(max_event_bytes=self._max_event_bytes)
        skipped = 0
        try:
            chunks = cast("AsyncGenerator[bytes, None]", response.aiter_raw())
            async with aclosing(chunks):
                async for chunk in chunks:
                    for raw in parser.feed(chunk):
                        event = self._event(raw)
                        if event is not None:
                            yield event
                    if parser.oversize != skipped:
                        skipped = parser.oversize
                        log.error("event larger than the limit skipped", limit=self._max_event_bytes, skipped=skipped)
        except httpx.ReadTimeout as error:
            raise Unreachable(f"{self._what} sent nothing for {self._silence:g} s: the connection is dead") from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        raise Unreachable(f"{self._what} closed the stream")

    def _event(self, raw: RawEvent) -> StreamEvent | None:
        try:
            kind = EventType(raw.type)
        except ValueError:
            # A newer server may send more types; what we do not know we cannot show.
            log.debug("event of an unknown type skipped", type=raw.type)
            return None
        data: Any = decode(raw.data, DATA_TYPES[kind], what=self._what)
        return StreamEvent(event_id=raw.event_id, type=kind, data=data)

    # --- one request ---------------------------------------------------------------------------------------------

    def _decode(self, raw: bytes, kind: type[T]) -> T:
        return decode(raw, kind, what=self._what)

    def _unreachable(self, error: httpx.HTTPError, *, during: str = "") -> Unreachable:
        match error:
            case httpx.ConnectTimeout():
                reason = f"no connection within {CONNECT_SECONDS:g} s"
            case httpx.ReadTimeout():
                reason = "no answer in time"
            case httpx.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
                reason = (
                    f"its certificate is not one that this computer trusts for that name ({error}); "
                    f"if it comes from an authority of your own, name that authority's file in {ENV_CA_FILE}"
                )
            case httpx.PoolTimeout():
                reason = "too many requests of this program are still waiting"
            case _:
                reason = str(error) or type(error).__name__
        return Unreachable(f"{self._what} cannot be reached{during}: {reason}", reason=reason)

    async def _get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        read_seconds: float | None = None,
    ) -> bytes:
        return await self._request("GET", path, params=query_of(params or {}), read_seconds=read_seconds)

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """PUT, PATCH and DELETE: the same again changes nothing more."""
        return await self._request(method, path, body=body)

    async def _post(
        self, path: str, body: Mapping[str, Any], *, key: str | None = None, read_seconds: float | None = None
    ) -> bytes:
        return await self._request(
            "POST", path, body=compact(body), key=key or self._ids.new(), read_seconds=read_seconds
        )

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        key: str | None = None,
        read_seconds: float | None = None,
    ) -> bytes:
        headers = dict(self._auth)
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = to_json(body)
        if key is not None:
            headers["Idempotency-Key"] = key
        timeout = self._calls.timeout
        if read_seconds is not None:
            timeout = httpx.Timeout(read_seconds, connect=CONNECT_SECONDS, pool=10.0)
        for attempt in range(1, ATTEMPTS + 1):
            if self._calls.is_closed:
                # Another connection has taken its place (with another token), while this waited to try again.
                raise Unreachable(f"{self._what} cannot be reached: this connection was closed", reason="closed")
            try:
                response = await self._calls.request(
                    method, path, params=params, content=content, headers=headers, timeout=timeout
                )
            except httpx.TimeoutException as error:
                unsure = method != "GET" and isinstance(error, (httpx.ReadTimeout, httpx.WriteTimeout))
                raise self._unreachable(
                    error, during=" in time; it may still carry the request out" if unsure else ""
                ) from error
            except httpx.TransportError as error:
                # Idempotency-Key and idempotent methods make this safe even when the request was received.
                if attempt == ATTEMPTS or isinstance(error, (httpx.UnsupportedProtocol, httpx.ProxyError)):
                    raise self._unreachable(error) from error
                await asyncio.sleep(0.1 * attempt * (1 + self._jitter()))
                continue
            except httpx.HTTPError as error:
                raise self._unreachable(error) from error
            if response.is_success:
                return response.content
            error_ = error_from(response.status_code, response.headers, response.content, what=self._what)
            if method == "DELETE" and attempt > 1 and isinstance(error_, NotFound):
                return b""  # the attempt whose answer was lost did it
            raise error_
        raise AssertionError("unreachable: the last attempt returns or raises")


def query_of(values: Mapping[str, Any]) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, Enum):
            value = value.value
        query[name] = value.isoformat() if isinstance(value, datetime) else str(value)
    return query
